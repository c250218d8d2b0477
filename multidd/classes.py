"""Rows of each class side by side, so that per-class work is batched, not looped."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class ClassIndex:
    """Rows of each class, padded to the largest class.

    Attributes:
        index: `[c, r]`, row numbers; padding points at row 0.
        weight: `[c, r]`, weight of each row within its class: rows of one class sum to
            one, padding is zero, an absent class is all zeros.
        share: `[c]`, size of each class relative to the largest.
        mass: `[c]`, summed weight of the rows of each class, before they were made to
            sum to one.
    """

    index: Tensor
    weight: Tensor
    share: Tensor
    mass: Tensor

    def merged(self) -> "ClassIndex":
        """All rows as one class: the class-summed form of an objective."""
        weight = self.weight * (self.mass / self.mass.sum())[:, None]
        one = torch.ones_like(self.share[:1])
        rows = self.index.flatten()[None]
        return ClassIndex(rows, weight.flatten()[None], one, self.mass.sum()[None])

    def to(self, device: torch.device | str) -> "ClassIndex":
        """The same on another device."""
        parts = (self.index, self.weight, self.share, self.mass)
        return ClassIndex(*(part.to(device) for part in parts))

    def mean(self, values: Float[Tensor, "*k b h"]) -> Float[Tensor, "*k c h"]:
        """Weighted mean of `values` over the rows of each class."""
        weight = self.weight.to(values.dtype)
        return torch.einsum("...crh,cr->...ch", values[..., self.index, :], weight)

    def mean_of(self, losses: Float[Tensor, " b"]) -> Float[Tensor, " c"]:
        """Mean loss of each class."""
        return (losses[self.index] * self.weight.to(losses.dtype)).sum(-1)


def by_class(
    labels: Int[Tensor, " b"],
    num_classes: int,
    weights: Float[Tensor, " b"] | None = None,
) -> ClassIndex:
    """The rows of each class.

    Args:
        labels: `[b]`, integers `0..num_classes-1`.
        num_classes: c.
        weights: `[b]`, how much each row counts within its class; equal unless given.

    Returns:
        The `ClassIndex` of `labels`.

    Example:
        >>> classes = by_class(torch.tensor([1, 0, 1]), 2)
        >>> classes.mean(torch.tensor([[1.0], [5.0], [3.0]])).tolist()
        [[5.0], [2.0]]
    """
    counts = torch.bincount(labels, minlength=num_classes)
    order = labels.argsort(stable=True)
    width = max(int(counts.max()), 1) if len(labels) else 1
    place = torch.arange(width, device=labels.device).expand(num_classes, width)
    inside = place < counts[:, None]
    first = counts.cumsum(0) - counts
    rows = (first[:, None] + place).clamp(max=max(len(labels) - 1, 0))
    index = torch.where(inside, order[rows], 0)
    given = torch.ones(len(labels)) if weights is None else weights
    given = given.double()  # users cast it to their own precision, not beyond
    weight = inside * given.to(labels.device)[index] if len(labels) else inside.double()
    mass = weight.sum(1)
    weight = weight / mass.clamp(min=1e-30)[:, None]
    share = counts.double() / counts.max().clamp(min=1)
    return ClassIndex(index, weight, share, mass)
