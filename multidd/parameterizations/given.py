"""A set that starts from tensors made before, in the place of real records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from multidd.protocols import Draw, Params, Task

__all__ = ["Given"]


@dataclass(frozen=True, eq=False)
class Given:
    """A draw of an earlier run, learned on.

    Attributes:
        start: tensors of the draw.
        learn: which of them an optimizer may move.
        label_kind: what the card says of the labels: hard, soft or centered.

    Example:
        >>> given = Given({"x": torch.zeros(1, 2)}, ("x",))
        >>> given.groups, given.label_kind
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

    def final(self, params: Params, rng: torch.Generator) -> Draw:
        """The records, detached."""
        return {name: tensor.detach() for name, tensor in params.items()}

    def decode(self, kept: Draw) -> Draw:
        """The same."""
        return kept
