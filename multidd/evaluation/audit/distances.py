"""Euclidean distances between records, computed in chunks of bounded memory."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

__all__ = ["mean_distance", "nearest", "neighbour_radii"]

PAIRS = 2**22
"""Distances in memory at once."""


def nearest(x: Tensor, others: Tensor | Iterable[Tensor]) -> Tensor:
    r"""Distance of each record to the nearest of others.

    $$\min_j \lVert x_i - z_j \rVert_2$$

    Args:
        x: `[n, d]`.
        others: `[m, d]`, or chunks of it one after another.

    Returns:
        `[n]` float64; infinity where there are no others.

    Example:
        >>> nearest(torch.tensor([[0.0], [5.0]]), torch.tensor([[1.0], [9.0]])).tolist()
        [1.0, 4.0]
    """
    best = torch.full((len(x),), torch.inf, dtype=torch.float64)
    for chunk in [others] if isinstance(others, Tensor) else others:
        for rows, distances in _blocks(x, chunk):
            least = distances.min(1).values  # (b,)
            best[rows] = torch.minimum(best[rows], least)
    return best


def neighbour_radii(x: Tensor, k: int) -> Tensor:
    r"""Distance of each record to its k-th nearest neighbour among the same records.

    Args:
        x: `[n, d]`.
        k: 1 for the nearest; a record is no neighbour of itself.

    Returns:
        `[n]` float64.

    Raises:
        ValueError: k is not in 1..n-1.

    Example:
        >>> neighbour_radii(torch.tensor([[0.0], [1.0], [3.0]]), 1).tolist()
        [1.0, 1.0, 2.0]
    """
    if not 1 <= k < len(x):
        raise ValueError(
            f"k must be from 1 to {len(x) - 1}, the other records; got {k}"
        )
    radii = torch.empty(len(x), dtype=torch.float64)
    for rows, distances in _blocks(x, x):
        places = torch.arange(rows.start, rows.stop)
        distances[torch.arange(len(places)), places] = torch.inf  # not to itself
        radii[rows] = distances.kthvalue(k, 1).values
    return radii


def mean_distance(x: Tensor) -> float:
    r"""Mean distance between two different records.

    $$\frac{1}{m (m - 1)} \sum_{i \ne j} \lVert x_i - x_j \rVert_2$$

    Args:
        x: `[m, d]`.

    Returns:
        The mean; 0 of a single record.

    Example:
        >>> mean_distance(torch.tensor([[0.0], [1.0], [3.0]]))
        2.0
    """
    if len(x) < 2:
        return 0.0
    # Rounding leaves the distance of a record to itself above zero by a little.
    total = 0.0
    for rows, distances in _blocks(x, x):
        places = torch.arange(rows.start, rows.stop)
        distances[torch.arange(len(places)), places] = 0.0
        total += float(distances.sum())
    return total / (len(x) * (len(x) - 1))


def _blocks(a: Tensor, b: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Rows of `a`, and their distances `[rows, m]` to all of `b`, in double precision.

    By the product of the two, which is fast; in double precision what that rounds off
    is far below any distance between records that differ.
    """
    if not len(b):
        return
    theirs = b.double()
    size = max(1, PAIRS // len(b))
    for start in range(0, len(a), size):
        rows = slice(start, min(start + size, len(a)))
        mode = "use_mm_for_euclid_dist"
        yield rows, torch.cdist(a[rows].double(), theirs, compute_mode=mode)
