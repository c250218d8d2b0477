"""How ranks share a step: cuts of a batch, and sums over what each computed.

Under sharing an objective's loss is one part of a sum: the parts of all ranks add up to
the loss of one process, and so do their gradients. What all ranks compute alike counts
on rank 0 alone. A method whose loss cannot be cut exactly is not cut.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from multidd.classes import ClassIndex
from multidd.errors import warn_caller
from multidd.parallel.rank_group import Ranks, Way, current
from multidd.protocols import (
    Batch,
    Objective,
    Params,
    Task,
    Tree,
    task_ways,
    ways_to_share,
)

__all__ = [
    "Cut",
    "Sharing",
    "SummedClasses",
    "loss_part",
    "nothing_to_share",
    "on_first",
    "sharing",
    "sharing_by",
    "training_shares",
    "way_of",
]


@dataclass(frozen=True, eq=False)
class Cut:
    """The rows of a batch that are this rank's.

    Attributes:
        batch: these rows, as a batch; where a rank has none, one row that counts
            nothing.
        classes: the rows of each class; of the rank's classes only, where these are
            shared.
        rows: `[r]`, where they lie in the whole batch.
        total: rows of the whole batch.
        mass: `[c]`, summed weight of these rows by class.
        whole: the rows of each class of the whole batch.
    """

    batch: Batch
    classes: ClassIndex
    rows: Tensor
    total: int
    mass: Tensor
    whole: ClassIndex

    @property
    def fraction(self) -> float:
        """Rows of this rank, of all of them: what a mean over its rows counts."""
        return len(self.rows) / self.total

    @property
    def weight(self) -> Tensor:
        """Mass of this rank, of all of it: what a weighted mean counts."""
        return self.mass.sum() / self.whole.mass.sum()


@dataclass(frozen=True)
class Sharing:
    """The ranks that share a step, and how.

    Attributes:
        ranks: the processes.
        way: what each has some of; None where the loss cannot be cut.

    Example:
        >>> Sharing(Ranks(rank=1, world=2), "classes").labels(5)
        [1, 3]
    """

    ranks: Ranks
    way: Way | None

    def labels(self, num_classes: int) -> list[int]:
        """The classes of this rank."""
        return list(range(self.ranks.rank, num_classes, self.ranks.world))

    def cut(self, task: Task[Any], batch: Batch, way: Way | None = None) -> Cut:
        """This rank's part of a batch that all ranks have.

        Args:
            task: the task.
            batch: real or synthetic records.
            way: `"classes"` or `"rows"`; that of the sharing unless given.
        """
        whole = task.classes(batch)
        sizes = whole.sizes
        total = sum(map(sum, sizes)) if sizes else len(task.targets(batch))
        if (way or self.way) == "classes":
            labels = self.labels(len(whole.index))
            rows = torch.cat([whole.rows_of(label)[0] for label in labels])
            rows = rows.sort().values
        else:
            labels = list(range(len(whole.index)))
            rows = torch.arange(total)[self.ranks.rank :: self.ranks.world]
            rows = rows.to(whole.index.device)
        some = rows if len(rows) else whole.index.new_zeros(1)
        part = task.take(batch, some)
        classes = task.classes(part)
        mass = classes.mass if len(rows) else torch.zeros_like(classes.mass)
        # A class counts by its size in the whole batch, not in the part.
        chosen = classes.only(labels)
        chosen = replace(chosen, share=whole.share[labels])
        return Cut(part, chosen, rows, total, mass, whole)

    def of_first(self, loss: Tensor) -> Tensor:
        """A loss that all ranks compute alike, as a part of the sum: rank 0 has it.

        Times zero, not left out: what is not finite on one rank is so on all.
        """
        return loss if self.ranks.is_first else 0.0 * loss

    def sum(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Each tensor's sum over the ranks; no gradient flows."""
        return self.ranks.sum(tensors)

    def means(self, parts: Params, cut: Cut, merged: bool = False) -> Params:
        """Means over the classes of the whole batch, of means over those of the cuts.

        Args:
            parts: by name `[k, c, ...]`, means over this rank's rows of each class.
            cut: the rows; of a batch that is shared by rows.
            merged: all rows are one class, `[k, 1, ...]`.
        """
        mass, whole = cut.mass, cut.whole.mass
        if merged:
            mass, whole = mass.sum()[None], whole.sum()[None]
        share = mass / whole.clamp(min=1e-30)
        scaled = [t * _beside(share, t) for t in parts.values()]
        return dict(zip(parts, self.sum(scaled), strict=True))

    def rows(self, parts: Sequence[Tensor], cut: Cut) -> list[Tensor]:
        """Rows of the whole batch, `[k, b, ...]`, by those of the cuts."""
        spread = []
        for part in parts:
            shape = (len(part), cut.total, *part.shape[2:])
            whole = part.new_zeros(shape)
            if len(cut.rows):
                whole[:, cut.rows] = part
            spread.append(whole)
        return self.sum(spread)


@dataclass(frozen=True)
class SummedClasses(ClassIndex):
    """The rows of each class on one rank, whose means are those of all ranks.

    Attributes:
        sharing: the ranks.
        part: what this rank has of the batch.

    No gradient flows through the means.
    """

    sharing: Sharing | None = None
    part: Cut | None = None

    @classmethod
    def of(cls, part: Cut, shared: Sharing) -> "SummedClasses":
        """The classes of a batch that is shared by rows; their mass is the whole's."""
        one, whole = part.classes, part.whole
        known = one.index, one.weight, whole.share, whole.mass, one.sizes
        return cls(*known, sharing=shared, part=part)

    def mean(self, values: Tensor) -> Tensor:
        """Weighted mean of `values` over the rows of each class, on all ranks."""
        assert self.sharing is not None and self.part is not None
        return self.sharing.means({"": super().mean(values)}, self.part)[""]


def _beside(share: Tensor, like: Tensor) -> Tensor:
    """`[c]` as it multiplies `[k, c, ...]`."""
    return share.to(like.dtype).view(-1, *[1] * (like.dim() - 2))


_SHARING: ContextVar[Sharing | None] = ContextVar("sharing", default=None)


def sharing() -> Sharing | None:
    """How the loss that runs is cut; None where each process has all of it.

    Example:
        >>> sharing() is None
        True
    """
    shared = _SHARING.get()
    return None if shared is None or shared.way is None else shared


def training_shares(task: Task[Any]) -> Sharing | None:
    """How a training step on real records of a task is cut: by rows, if at all.

    Args:
        task: the task.
    """
    shared = _SHARING.get()
    return None if shared is None or "rows" not in task_ways(task) else shared


@contextmanager
def sharing_by(ranks: Ranks, way: Way | None) -> Iterator[None]:
    """Let these ranks share what runs inside the block; one alone has all of it.

    Args:
        ranks: the processes.
        way: how; None where the loss cannot be cut.
    """
    token = _SHARING.set(None if ranks.is_alone else Sharing(ranks, way))
    try:
        yield
    finally:
        _SHARING.reset(token)


def on_first(work: Callable[[], Any]) -> Any:
    """What `work` gives on rank 0 of the ranks that share what runs; plain JSON.

    For choices that rounding could make otherwise on another machine.

    Example:
        >>> on_first(lambda: 0.5)
        0.5
    """
    shared = _SHARING.get()
    return work() if shared is None else shared.ranks.first(work)


def way_of(objective: Objective, task: Task[Any], ranks: Ranks) -> Way | None:
    """How ranks share an objective on a task; None where that cannot be exact.

    Args:
        objective: what is matched.
        task: what it runs on.
        ranks: the processes, which may say how.

    Raises:
        ValueError: they ask for a way that this objective, or this task, cannot be
            shared in.
    """
    ways = ways_to_share(objective, task)
    if ranks.is_alone or not ways:
        return None
    if ranks.share is not None:
        if ranks.share not in ways:
            raise ValueError(
                f"share={ranks.share!r}: {type(objective).__name__} on "
                f"{type(task).__name__} can be shared by {' or '.join(ways)} only; "
                "leave share= out"
            )
        if ranks.share == "classes" and task.num_classes < ranks.world:
            raise ValueError(
                f"share='classes': {task.num_classes} classes for {ranks.world} ranks "
                "leave some without one; start fewer ranks, or take share='rows'"
            )
        return ranks.share
    enough = task.num_classes >= 2 * ranks.world
    return "classes" if "classes" in ways and (enough or "rows" not in ways) else "rows"


def nothing_to_share(method: str) -> None:
    """Warn, on rank 0, that every rank does all the work of a method.

    Args:
        method: its name.
    """
    ranks = current()
    if not ranks.is_alone and ranks.is_first:
        warn_caller(
            f"{method} has nothing that {ranks.world} ranks could share to the same "
            "result: each does all of its work; run it without ranks(), and "
            "independent work, such as experts, seeds or trainings, side by side by "
            "executor="
        )


def loss_part(
    objective: Objective,
    task: Task[Any],
    state: Tree,
    synthetic: Batch,
    rng: torch.Generator,
) -> Tensor:
    """An objective's loss; under sharing this rank's part of it.

    Args:
        objective: what is matched.
        task, state, synthetic, rng: see `multidd.protocols.Objective.loss`.
    """
    shared = _SHARING.get()
    if shared is None:
        return objective.loss(task, state, synthetic, rng)
    way = way_of(objective, task, shared.ranks)
    with sharing_by(shared.ranks, way):
        loss = objective.loss(task, state, synthetic, rng)
    return loss if way is not None else shared.of_first(loss)
