"""Rows of a log: some of its interactions or users, and the matrix of ones."""

import numpy as np
from scipy import sparse


def kept_starts(indptr: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Where each user's interactions begin when only those of a mask are left.

    Args:
        indptr: `[U + 1]` int64.
        mask: `[n]` bool.

    Example:
        >>> kept_starts(np.array([0, 2, 3]), np.array([True, False, True]))
        array([0, 1, 2])
    """
    before = np.zeros(len(mask) + 1, np.int64)
    np.cumsum(mask, out=before[1:])
    return before[indptr]


def places_of(indptr: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Interactions of some users one after another, and where each user's begin.

    Args:
        indptr: `[U + 1]` int64.
        rows: `[b]` users.

    Example:
        >>> places_of(np.array([0, 2, 3, 5]), np.array([2, 0]))
        (array([3, 4, 0, 1]), array([0, 2, 4]))
    """
    sizes = np.diff(indptr)[rows]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return np.arange(starts[-1]) + np.repeat(indptr[rows] - starts[:-1], sizes), starts


def ones(
    indptr: np.ndarray, items: np.ndarray, shape: tuple[int, int]
) -> sparse.csr_array:
    """A matrix of float32 ones; rows are known to be sorted and without duplicates.

    Example:
        >>> ones(np.array([0, 1]), np.array([1], np.int32), (1, 2)).toarray()
        array([[0., 1.]], dtype=float32)
    """
    values = np.ones(len(items), np.float32)
    made = sparse.csr_array((values, items, indptr), shape=shape)
    made.has_sorted_indices = made.has_canonical_format = True  # no need to look
    return made
