"""Distribution matching: DM, CAFE, IDM, M3D, IID, NCFM, GCDM."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from multidd.learning.functional import embed
from multidd.learning.states import Fresh, States
from multidd.objectives.terms import Embedded, Means, Term, num_layers
from multidd.parallel.sharing import Sharing, SummedClasses, sharing
from multidd.protocols import Batch, Objective, Params, Task, Tree, View, task_ways


@dataclass(frozen=True)
class DistributionMatching(Objective):
    r"""Distribution matching: embeddings of S against those of T, class by class.

    $$\frac1k \sum_\theta \sum_j \mathrm{term}_j(f_\theta(S), f_\theta(T))$$

    With `Means()` and fresh models this is DM; the other members of the family differ
    in their terms and in where their models come from. One view of the task is drawn
    at each step and applied to both sides.

    Attributes:
        terms: what is compared; see `multidd.objectives.terms`.
        states: where the models come from.

    Reference:
        Zhao, Bilen, "Dataset Condensation with Distribution Matching", WACV 2023;
        Liu et al., "Graph Condensation via Receptive Field Distribution Matching",
        arXiv 2206.13697, 2022.

    Example:
        >>> DistributionMatching((Means("all"),)).states
        Fresh(num_models=1)
    """

    lower_precision: ClassVar[bool] = True
    differentiates_once: ClassVar[bool] = True

    terms: tuple[Term, ...] = (Means(),)
    states: States = Fresh()

    def __post_init__(self) -> None:
        if not isinstance(self.terms, tuple) or not self.terms:
            raise ValueError(f"terms must be a tuple of terms, got {self.terms!r}")

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """Weights at the start."""
        return self.states.init(task, rng)

    def loss(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tensor:
        """Mean over models of the terms' sum."""
        real, view = task.batch(rng), task.view(rng)
        last, weights = num_layers(self.terms), state["weights"]
        shared = sharing()
        if shared is not None:
            sides = task, weights, synthetic, real
            return self._part(sides, view, last, shared)
        ours = _embedded(task, weights, view(synthetic), last)
        with torch.no_grad():
            theirs = _embedded(task, weights, view(real), last)
        return self._apart(ours.facing(theirs), theirs)

    def shareable(self, task: Task[Any]) -> tuple[str, ...]:
        """By rows, as the real side has no gradient; by classes where all terms are."""
        ways = task_ways(task)
        alone = all(getattr(term, "by_class", False) for term in self.terms)
        return tuple(way for way in ways if way == "rows" or alone)

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """Fresh or further trained weights."""
        return self.states.advance(task, state, synthetic, rng)

    def _apart(self, ours: Embedded, theirs: Embedded) -> Tensor:
        terms = [term(ours, theirs) for term in self.terms]
        return torch.stack(terms).sum(0).mean()

    def _part(
        self,
        sides: tuple[Task[Any], Params, Batch, Batch],
        view: View,
        last: int | None,
        shared: Sharing,
    ) -> Tensor:
        """This rank's part of the loss."""
        task, weights, synthetic, real = sides
        there = shared.cut(task, real)
        with torch.no_grad():
            theirs = _embedded(task, weights, view(there.batch), last)
        if shared.way == "classes":
            here = shared.cut(task, synthetic)
            ours = _embedded(task, weights, view(here.batch), last)
            ours = replace(ours, classes=here.classes, total=here.total)
            theirs = replace(theirs, classes=there.classes, total=there.total)
            return self._apart(ours.facing(theirs), theirs)
        # By rows the synthetic side is the same on all ranks.
        if all(getattr(term, "by_means", False) for term in self.terms):
            theirs = replace(theirs, classes=SummedClasses.of(there, shared))
        else:
            layers = shared.rows(theirs.layers, there)
            theirs = Embedded(layers, task.targets(real), there.whole)
        ours = _embedded(task, weights, view(synthetic), last)
        return shared.of_first(self._apart(ours.facing(theirs), theirs))


def _embedded(
    task: Task[Any], weights: Params, batch: Batch, last: int | None
) -> Embedded:
    layers = embed(task, weights, batch, last)
    return Embedded(layers, task.targets(batch), task.classes(batch))
