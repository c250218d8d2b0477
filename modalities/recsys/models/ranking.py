"""Ranked lists and ranks out of a block of scores: what metrics are counted from.

`ascending` is what `sorted_rows` makes of the scores of a block.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["areas", "auc", "first_ranks", "places", "sorted_rows", "top_lists"]

Floats = NDArray[np.float32]


def sorted_rows(scores: Floats) -> Floats:
    """A copy whose rows ascend, on as many threads as torch uses.

    Args:
        scores: `[b, I]`, no NaN; minus infinity stands for an item not to be ranked.

    Returns:
        `[b, I]`, a new array.

    Example:
        >>> sorted_rows(np.array([[2.0, 1.0]], dtype=np.float32)).tolist()
        [[1.0, 2.0]]
    """
    ordered = scores.copy()
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: part.sort(axis=1), np.array_split(ordered, threads)))
    return ordered


def places(rows: NDArray) -> NDArray[np.int64]:
    """Place of each entry in its row, counted from 0.

    Args:
        rows: `[n]`, ascending row of each entry.

    Returns:
        `[n]`.

    Example:
        >>> places(np.array([0, 0, 2])).tolist()
        [0, 1, 0]
    """
    return np.arange(len(rows)) - np.searchsorted(rows, rows)


def top_lists(scores: Floats, k: int, ascending: Floats | None = None) -> NDArray:
    """The k best items of each row; of equal scores the item with the lower index.

    Args:
        scores: `[b, I]`; items at minus infinity are never listed.
        k: length of a list, at least 1.
        ascending: spares looking for the k-th best score.

    Returns:
        `[b, k]` int64 items, best first; -1 behind the end of a shorter list.

    Example:
        >>> top_lists(np.array([[1.0, 3.0, 3.0, -np.inf]], dtype=np.float32), 4)
        array([[ 1,  2,  0, -1]])
    """
    width = min(k, scores.shape[1])
    if ascending is None:
        best = torch.from_numpy(scores).topk(width, dim=1).values
        threshold = best[:, -1:].numpy()
    else:
        threshold = ascending[:, -width, None]
    # All from the k-th best score up: k items, and those that tie with the last one.
    threshold = np.maximum(threshold, np.finfo(np.float32).min)
    rows, items = np.nonzero(scores >= threshold)
    place = places(rows)
    list_length = max(int(place.max(initial=0)) + 1, k)
    lists = np.full((len(scores), list_length), -1, dtype=np.int64)
    loss = np.full((len(scores), list_length), np.inf, dtype=np.float32)
    lists[rows, place], loss[rows, place] = items, -scores[rows, items]
    order = loss.argsort(axis=1, kind="stable")[:, :k]
    return np.take_along_axis(lists, order, axis=1)


def first_ranks(
    scores: Floats, ascending: Floats, rows: NDArray, items: NDArray
) -> NDArray[np.int64]:
    """Place, counted from 1, of the best target of each row.

    Equal scores stand in the order of the items, as in `top_lists`.

    Args:
        scores: `[b, I]`.
        ascending: `[b, I]`.
        rows: `[n]`, ascending row of each target; every row has one.
        items: `[n]`, item of each target, ascending within a row.

    Returns:
        `[b]`.

    Example:
        >>> scores = np.array([[5.0, 4.0, 4.0]], dtype=np.float32)
        >>> target = np.array([0]), np.array([2])
        >>> first_ranks(scores, sorted_rows(scores), *target).tolist()
        [3]
    """
    values = scores[rows, items]
    top = np.maximum.reduceat(values, np.flatnonzero(places(rows) == 0))
    left, right = _between(ascending, top[:, None])
    rank = 1 + scores.shape[1] - right[:, 0]
    best = np.flatnonzero(values == top[rows])
    first = items[best[places(rows[best]) == 0]]
    tied = np.flatnonzero(right[:, 0] - left[:, 0] > 1)
    before = np.arange(scores.shape[1]) < first[tied, None]
    rank[tied] += ((scores[tied] == top[tied, None]) & before).sum(1)
    return rank


def areas(
    scores: Floats, ascending: Floats, rows: NDArray, items: NDArray
) -> NDArray[np.float64]:
    """Area under the curve of each row, by the rank sum; ties count one half.

    Args:
        scores: `[b, I]`; items at minus infinity are no negatives.
        ascending: `[b, I]`.
        rows: `[n]`, ascending row of each target; every row has one.
        items: `[n]`, item of each target.

    Returns:
        `[b]` in 0..1; NaN where there is nothing but targets.

    Example:
        >>> scores = np.array([[5.0, 4.0, 4.0]], dtype=np.float32)
        >>> areas(scores, sorted_rows(scores), np.array([0]), np.array([2])).tolist()
        [0.25]
    """
    size = np.bincount(rows, minlength=len(scores))
    place = places(rows)
    asked = np.full((len(scores), size.max()), np.inf, dtype=np.float32)
    asked[rows, place] = scores[rows, items]
    left, right = _between(ascending, asked)
    hidden = _between(ascending, np.full((len(scores), 1), -np.inf))[1]
    ranks = (left + right + 1) / 2 - hidden
    total = np.bincount(rows, ranks[rows, place], minlength=len(scores))
    others = scores.shape[1] - hidden[:, 0] - size
    pairs = np.where(others > 0, size * others, np.nan)
    return (total - size * (size + 1) / 2) / pairs


def _between(ascending: Floats, asked: NDArray) -> tuple[NDArray, NDArray]:
    """How many of a row are below each number asked, and how many are not above."""
    rows = torch.from_numpy(ascending)
    numbers = torch.from_numpy(asked.astype(np.float32, copy=False)).contiguous()
    left = torch.searchsorted(rows, numbers, side="left")
    return left.numpy(), torch.searchsorted(rows, numbers, side="right").numpy()


def auc(positive: NDArray, negative: NDArray) -> float:
    """Chance that a positive score is above a negative one; a tie counts one half.

    Args:
        positive: `[p]` scores.
        negative: `[n]` scores.

    Returns:
        In 0..1; one half where either is empty, for then nothing is told apart.

    Example:
        >>> auc(np.array([1.0, 2.0]), np.array([0.0, 1.0]))
        0.875
    """
    if not len(positive) or not len(negative):
        return 0.5
    order, asked = np.sort(negative), np.sort(positive)
    below = np.searchsorted(order, asked, "left")
    upto = np.searchsorted(order, asked, "right")
    return float((below + upto).mean() / (2 * len(order)))
