"""Free tensors: every entry of the synthetic set is learned by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from multidd.protocols import Draw, Params, Selection, Task


@dataclass(frozen=True)
class Free:
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
        params = {name: t.clone() for name, t in task.collect(picks).items()}
        if self.noise:
            x = params["x"]
            params["x"] = torch.empty_like(x).normal_(generator=rng)
        return params

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """The records."""
        return dict(params)

    def final(self, params: Params, rng: torch.Generator) -> Draw:
        """The records, detached."""
        return {name: tensor.detach() for name, tensor in params.items()}

    def decode(self, kept: Draw) -> Draw:
        """The same."""
        return kept
