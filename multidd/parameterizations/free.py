"""Free tensors: every entry of the synthetic set is learned by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from multidd.protocols import Draw, Parameterization, Params, Selection, Task

__all__ = ["Free", "FromTensors"]


@dataclass(frozen=True)
class Free(Parameterization):
    """Records stored as they are, started from real ones or from noise.

    Attributes:
        start: the selection whose records it starts from.
        counts: how many records of each class.
        learn: which tensors of the draw an optimizer may move.
        noise: replace `x` of the start by standard normal numbers; labels stay.

    Reference:
        Wang, Zhu, Torralba, Efros, "Dataset Distillation", arXiv 1811.10959, 2018.

    Example:
        >>> from multidd.selection import Random
        >>> Free(Random(), (10, 10)).groups
        ('x',)
    """

    start: Selection
    counts: Sequence[int]
    learn: tuple[str, ...] = ("x",)
    noise: bool = False

    @property
    def groups(self) -> tuple[str, ...]:
        """The learned tensors."""
        return self.learn

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """The records of the start."""
        records = task.records()
        records.check(self.counts)
        picks = self.start.pick(records, self.counts, rng)
        params = {name: t.clone() for name, t in task.from_selection(picks).items()}
        if self.noise:
            x = params["x"]
            params["x"] = torch.empty_like(x).normal_(generator=rng)
        return params

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """The records."""
        return dict(params)


@dataclass(frozen=True, eq=False)
class FromTensors(Parameterization):
    """Free tensors that start from given ones, such as those of an earlier run.

    Attributes:
        start: tensors of the draw.
        learn: which of them an optimizer may move.
        label_kind: what the card says of the labels: hard, soft or centered.

    Example:
        >>> form = FromTensors({"x": torch.zeros(1, 2)}, ("x",))
        >>> form.groups, form.label_kind
        (('x',), 'hard')
    """

    start: Mapping[str, Tensor] = field(repr=False)
    learn: tuple[str, ...] = ("x",)
    label_kind: str = "hard"

    @property
    def groups(self) -> tuple[str, ...]:
        """The learned tensors."""
        return self.learn

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """The draw as it was given."""
        return {name: t.to(rng.device).clone() for name, t in self.start.items()}

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """The records."""
        return dict(params)
