"""DREAM: real batches of representative records, for any objective."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from multidd import seeds
from multidd.errors import CheckpointMismatchError
from multidd.learning.functional import embed
from multidd.learning.states import Fresh, States
from multidd.numerics import distances_to, first_nearest
from multidd.protocols import (
    Batch,
    Objective,
    Params,
    Records,
    Task,
    Tree,
    device_of,
    learned_tensors,
    ways_to_share,
)
from multidd.selection.basic import KMeans


@dataclass(frozen=True)
class Representative(Objective):
    """Any objective on representative real batches: records near cluster centers.

    Every few steps the rows of a real batch are embedded by a model, each class is
    clustered by k-means, and the record nearest to each center makes up the real
    batch until the next time.

    Differs from the paper: the rows of one real batch are clustered, not whole classes,
    under a model of `states`, not the one that is trained beside.

    Attributes:
        objective: what is matched.
        per_class: clusters, and so real records, of each class.
        every: steps between two clusterings.
        states: the model whose last hidden layer is clustered.

    Reference:
        Liu, Gu, Wang, Zhu, Jiang, You, "DREAM: Efficient Dataset Distillation by
        Representative Matching", ICCV 2023.

    Example:
        >>> from multidd.objectives import DistributionMatching
        >>> Representative(DistributionMatching(), per_class=16).every
        10
    """

    varying: ClassVar[tuple[str, ...]] = ("rows",)

    objective: Objective
    per_class: int = 64
    every: int = 10
    states: States = Fresh()

    def __post_init__(self) -> None:
        if self.per_class < 1 or self.every < 1:
            raise ValueError(
                f"per_class and every must be 1 or more, got {self.per_class} and "
                f"{self.every}"
            )

    @property
    def lower_precision(self) -> bool:
        """As of what is matched."""
        return getattr(self.objective, "lower_precision", False)

    @property
    def differentiates_once(self) -> bool:
        """As of what is matched."""
        return getattr(self.objective, "differentiates_once", False)

    def learned(self) -> Params:
        """What the objective learns."""
        return learned_tensors(self.objective)

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """The first clustering, and the objective's state."""
        chosen = self._chosen(task, rng)
        inner = self.objective.init(self._narrowed(task, chosen), rng)
        return {**chosen, "inner": inner, "age": torch.tensor(0)}

    def loss(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tensor:
        """The objective's, against the representative records."""
        inner = self._inner(state)
        return self.objective.loss(self._narrowed(task, state), inner, synthetic, rng)

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """The objective's next state; a new clustering when it is due."""
        held = self._narrowed(task, state)
        inner = self.objective.advance(held, self._inner(state), synthetic, rng)
        chosen = {"draw": state["draw"], "rows": state["rows"]}
        age = int(state["age"]) + 1
        if age >= self.every:
            chosen, age = self._chosen(task, rng), 0
        return {**chosen, "inner": inner, "age": torch.tensor(age)}

    def shareable(self, task: Task[Any]) -> tuple[str, ...]:
        """As the objective; the clustering is not shared."""
        return ways_to_share(self.objective, task)

    def _chosen(self, task: Task[Any], rng: torch.Generator) -> dict[str, Tensor]:
        """The key of a real batch, and the rows of it that are representative."""
        draw = torch.tensor(seeds.child(rng))
        batch = self._batch(task, draw)
        weights = self.states.init(task, rng)["weights"]
        with torch.no_grad():
            space = embed(task, weights, batch, 2)[0].transpose(0, 1).flatten(1)
        return {"draw": draw, "rows": self._nearest(task, batch, space, rng)}

    def _nearest(
        self, task: Task[Any], batch: Batch, space: Tensor, rng: torch.Generator
    ) -> Tensor:
        rows = []
        for index, weight in _classes(task, batch):
            x = space[index]
            records = Records(x, torch.zeros_like(index), 1, weight)
            count = min(self.per_class, len(index))
            picks = KMeans(restarts=1).pick(records, (count,), rng)
            centers = torch.sparse.mm(picks.weights.to(x.dtype), x)
            rows.append(index[first_nearest(distances_to(centers, x), x).unique()])
        return torch.cat(rows)

    def _batch(self, task: Task[Any], draw: Tensor) -> Batch:
        rng = seeds.at(int(draw), "representative", device=device_of(task))
        return task.batch(rng)

    def _narrowed(self, task: Task[Any], state: Tree) -> Task[Any]:
        batch = self._batch(task, state["draw"])
        try:
            return task.with_fixed_batch(task.take(batch, state["rows"]))
        except (IndexError, RuntimeError) as error:  # rows of a checkpoint
            raise CheckpointMismatchError(
                f"tensor 'state::rows' holds rows that the real batch has not: {error}"
            ) from error

    def _inner(self, state: Tree) -> Tree:
        learned = {"learned": state["learned"]} if "learned" in state else {}
        return {**state["inner"], **learned}


def _classes(task: Task[Any], batch: Batch) -> list[tuple[Tensor, Tensor]]:
    """Rows and weights of each class that is present."""
    classes = task.classes(batch)
    pairs = zip(classes.index, classes.weight, strict=True)
    return [(i[w > 0], w[w > 0]) for i, w in pairs if bool((w > 0).any())]
