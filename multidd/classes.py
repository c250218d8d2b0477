"""The rows of each class, and what is a mean over them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

__all__ = ["ClassIndex", "by_class", "merged_only"]

_MERGED: ContextVar[bool] = ContextVar("merged only", default=False)


@contextmanager
def merged_only() -> Iterator[None]:
    """Within the block classes are asked for as one class alone.

    Their sizes need not be known then: on a device nothing is read. On the CPU nothing
    changes.

    Example:
        >>> with merged_only():
        ...     by_class(torch.tensor([1, 0]), 2).merged().index.tolist()
        [[1, 0]]
    """
    token = _MERGED.set(True)
    try:
        yield
    finally:
        _MERGED.reset(token)


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
        sizes: of each class the rows in each block of equal width that its `r` places
            are cut into, known to the processor; None where only weights tell.
    """

    index: Tensor
    weight: Tensor
    share: Tensor
    mass: Tensor
    sizes: tuple[tuple[int, ...], ...] | None = None

    def merged(self) -> "ClassIndex":
        """All rows as one class: the class-summed form of an objective."""
        weight = self.weight * (self.mass / self.mass.sum())[:, None]
        one = torch.ones_like(self.share[:1])
        rows = self.index.flatten()[None]
        sizes = None if self.sizes is None else (sum(self.sizes, ()),)
        return ClassIndex(
            rows, weight.flatten()[None], one, self.mass.sum()[None], sizes
        )

    def only(self, labels: list[int]) -> "ClassIndex":
        """Some classes alone, in this order.

        Example:
            >>> by_class(torch.tensor([1, 0, 1]), 2).only([1]).index.tolist()
            [[0, 2]]
        """
        if labels == list(range(len(self.index))):
            return self
        sizes = None if self.sizes is None else tuple(self.sizes[i] for i in labels)
        index, weight = self.index[labels], self.weight[labels]
        return ClassIndex(index, weight, self.share[labels], self.mass[labels], sizes)

    def to(self, device: torch.device | str) -> "ClassIndex":
        """The same on another device."""
        index, weight = self.index.to(device), self.weight.to(device)
        share, mass = self.share.to(device), self.mass.to(device)
        return ClassIndex(index, weight, share, mass, self.sizes)

    def rows_of(self, label: int) -> tuple[Tensor, Tensor]:
        """The rows of a class without padding, and their weights.

        Where sizes are known nothing is asked of the device. The same tensors each
        time.

        Example:
            >>> by_class(torch.tensor([1, 0, 1]), 2).rows_of(1)[0].tolist()
            [0, 2]
        """
        known: dict[int, tuple[Tensor, Tensor]] = self.__dict__.setdefault("_rows", {})
        if label not in known:
            known[label] = self._rows_of(label)
        return known[label]

    def _rows_of(self, label: int) -> tuple[Tensor, Tensor]:
        index, weight = self.index[label], self.weight[label]
        if self.sizes is None:
            inside = (weight > 0).nonzero().flatten()
            return index[inside], weight[inside]
        blocks = self.sizes[label]
        if len(blocks) == 1:
            return index[: blocks[0]], weight[: blocks[0]]
        width = len(index) // len(blocks)
        parts = [(i * width, i * width + size) for i, size in enumerate(blocks)]
        rows = torch.cat([index[first:last] for first, last in parts])
        return rows, torch.cat([weight[first:last] for first, last in parts])

    def mean(self, values: Float[Tensor, "*k b h"]) -> Float[Tensor, "*k c h"]:
        """Weighted mean of `values` over the rows of each class."""
        weight = self.weight.to(values.dtype)
        return torch.einsum("...crh,cr->...ch", values[..., self.index, :], weight)

    def mean_of(self, losses: Float[Tensor, " b"]) -> Float[Tensor, " c"]:
        """Mean loss of each class."""
        return (losses[self.index] * self.weight.to(losses.dtype)).sum(-1)


_indices = WeakTensorKeyDictionary()
"""Labels -> their version, the number of classes and their index: labels of synthetic
records stay the same object over many steps, and to look at them is to wait for the
device."""


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

    Example:
        >>> classes = by_class(torch.tensor([1, 0, 1]), 2)
        >>> classes.mean(torch.tensor([[1.0], [5.0], [3.0]])).tolist()
        [[5.0], [2.0]]
    """
    if (
        weights is not None
        or torch.is_inference_mode_enabled()
        or labels.is_inference()
    ):
        return _by_class(labels, num_classes, weights)
    version, classes, index = _indices.get(labels, (-1, 0, None))
    if index is None or (version, classes) != (labels._version, num_classes):
        if _MERGED.get() and labels.device.type != "cpu":
            return _all_rows(len(labels), labels.device)
        index = _by_class(labels, num_classes, None)
        _indices[labels] = labels._version, num_classes, index
    return index


@lru_cache(maxsize=64)
def _all_rows(count: int, device: torch.device) -> ClassIndex:
    """All rows as one class, of equal weight."""
    one = torch.ones(1, dtype=torch.double, device=device)
    rows = torch.arange(count, device=device)[None]
    weight = (one / max(count, 1)).expand(1, count)
    return ClassIndex(rows, weight, one, one * count, ((count,),))


def _by_class(labels: Tensor, num_classes: int, weights: Tensor | None) -> ClassIndex:
    # `bincount` would wait for the device; whole numbers add up to the same anywhere.
    counts = torch.zeros(num_classes, dtype=torch.int64, device=labels.device)
    counts.index_add_(0, labels, torch.ones_like(labels))
    sizes = counts.tolist()
    order = labels.argsort(stable=True)
    width = max([1, *sizes])
    place = torch.arange(width, device=labels.device).expand(num_classes, width)
    inside = place < counts[:, None]
    first = counts.cumsum(0) - counts
    rows = (first[:, None] + place).clamp(max=max(len(labels) - 1, 0))
    index = torch.where(inside, order[rows], 0) if len(labels) else rows
    # Users cast weights to their own precision, not beyond.
    weight = inside.double()
    if weights is not None and len(labels):
        weight = inside * weights.double().to(labels.device)[index]
    mass = weight.sum(1)
    weight = weight / mass.clamp(min=1e-30)[:, None]
    share = counts.double() / counts.max().clamp(min=1)
    blocks = None if weights is not None else tuple((size,) for size in sizes)
    return ClassIndex(index, weight, share, mass, blocks)
