"""Gram matrices in blocks, with a bound on memory."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Kernel: TypeAlias = Callable[[Tensor, Tensor | None], Tensor]

__all__ = ["gram", "gram_blocks"]


def gram(
    kernel: Kernel, a: Tensor, b: Tensor | None = None, *, pairs: int = 2**22
) -> Tensor:
    """Gram matrix of a kernel, computed in blocks of bounded memory.

    Args:
        kernel: `kernel(a, b)` gives `[n, m]`, `kernel(a, None)` gives `[n, n]`.
        a: `[n, ...]`.
        b: `[m, ...]`; without it, the symmetric matrix of a.
        pairs: how many entries one block may hold, at least 1.

    Returns:
        `[n, m]`. Differentiable where the kernel is: with more than one block, a
        backward pass computes each block again instead of holding what it went
        through, so that memory stays bounded.

    Example:
        >>> x = torch.eye(3)
        >>> gram(lambda a, b: a @ (a if b is None else b).mT, x, pairs=2).trace().item()
        3.0
    """
    if pairs < 1:
        raise ValueError(f"pairs must be at least 1, got {pairs}")
    other = a if b is None else b
    if len(a) * len(other) <= pairs or not len(a) or not len(other):
        return kernel(a, b)
    if b is None:
        return _symmetric(kernel, a, max(1, int(pairs**0.5)))
    columns = min(len(other), max(pairs // len(a), int(pairs**0.5), 1))
    rows = max(1, pairs // columns)
    bands = [_band(kernel, x, other, columns) for x in a.split(rows)]
    return torch.cat(bands)


def gram_blocks(
    kernel: Kernel, a: Tensor, b: Tensor, *, pairs: int = 2**22
) -> Iterator[tuple[slice, Tensor]]:
    """Row blocks of a Gram matrix that is too large to hold.

    Yields:
        The rows, and their band `[rows, m]`.

    Example:
        >>> x = torch.ones(5, 2)
        >>> bands = gram_blocks(lambda a, b: a @ b.mT, x, x, pairs=10)
        >>> [len(band) for _, band in bands]
        [2, 2, 1]
    """
    rows = max(1, pairs // max(1, len(b)))
    for start in range(0, len(a), rows):
        part = slice(start, min(start + rows, len(a)))
        yield part, gram(kernel, a[part], b, pairs=pairs)


def _band(kernel: Kernel, a: Tensor, b: Tensor, columns: int) -> Tensor:
    return torch.cat([_once(kernel, a, y) for y in b.split(columns)], 1)


def _symmetric(kernel: Kernel, a: Tensor, rows: int) -> Tensor:
    """The blocks on and above the diagonal; those below are their mirror images."""
    parts = a.split(rows)
    grid = [[a.new_empty(0)] * len(parts) for _ in parts]
    for i, x in enumerate(parts):
        grid[i][i] = _once(kernel, x, None)
        for j in range(i + 1, len(parts)):
            grid[i][j] = _once(kernel, x, parts[j])
            grid[j][i] = grid[i][j].mT
    return torch.cat([torch.cat(row, 1) for row in grid])


def _once(kernel: Kernel, a: Tensor, b: Tensor | None) -> Tensor:
    """One block; a backward pass computes it again."""
    needed = a.requires_grad or (b is not None and b.requires_grad)
    if not (needed and torch.is_grad_enabled()):
        return kernel(a, b)
    block = checkpoint(kernel, a, b, use_reentrant=False, preserve_rng_state=False)
    assert isinstance(block, Tensor)
    return block
