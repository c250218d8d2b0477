"""Users with contexts and targets: scored block by block, counted all at once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from multidd.recsys.models.ranking import places

__all__ = ["Block", "Exam", "random_items"]

Scorer = Callable[[csr_array], Tensor]

_SCORES = 4_000_000  # in memory at once where no batch is given


@dataclass(frozen=True, eq=False)
class Block:
    """Users scored together.

    Attributes:
        raw: `[b, I]`, finite scores.
        masked: `[b, I]`, the same with minus infinity at the context.
        rows: `[n]`, row in the block of each target, ascending.
        items: `[n]`, its item, ascending within a row.
    """

    raw: NDArray[np.float32]
    masked: NDArray[np.float32]
    rows: NDArray
    items: NDArray


@dataclass(frozen=True, eq=False)
class Exam:
    """Users who have a target: the others do not count and are left out.

    Args:
        context: `[U, I]`, what is known of each user.
        target: `[U, I]`, what is to be found.
        ks: lengths of lists.
        batch: users scored at once; None makes four million scores.

    Raises:
        ValueError: shapes that do not fit, a length below 1, no user with a target, or
            targets inside the context.

    Example:
        >>> exam = Exam(csr_array([[1, 0], [1, 0]]), csr_array([[0, 1], [0, 0]]), (1,))
        >>> exam.users.tolist(), exam.counted(np.array([[1]]), np.ones(2))["hr@1"]
        ([0], 1.0)
    """

    context: csr_array
    target: csr_array
    ks: tuple[int, ...]
    batch: int | None = None

    def __post_init__(self) -> None:
        if self.context.shape != self.target.shape:
            raise ValueError(
                f"context {self.context.shape} and target {self.target.shape} must be "
                "of the same users and items"
            )
        if not self.ks or min(self.ks) < 1 or (self.batch or 1) < 1:
            raise ValueError(
                f"lists and batches need a length of at least 1; got ks={self.ks}, "
                f"batch={self.batch}"
            )
        if not len(self.users):
            raise ValueError(
                f"none of the {self.target.shape[0]} users has a target, so nothing "
                "can be measured; give users with interactions in the part tested"
            )
        both = int(inside(self.context, *self.pairs).sum())
        if both:
            raise ValueError(
                f"{both} targets are in the context of their user, and what is known "
                "is never recommended; take them out of one of the two"
            )

    @property
    def num_items(self) -> int:
        """I."""
        return int(self.target.shape[1])

    @cached_property
    def pairs(self) -> tuple[NDArray, NDArray]:
        """User and item of each target, both ascending."""
        return sorted_entries(self.target)

    @cached_property
    def users(self) -> NDArray[np.int64]:
        """Users with a target, ascending."""
        return np.unique(self.pairs[0])

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """How many targets each of `users` has."""
        return np.bincount(self.pairs[0])[self.users]

    def scored(self, scorer: Scorer) -> Iterator[Block]:
        """The users, block by block.

        Raises:
            ValueError: scores of another shape, or not finite.
        """
        step = self.batch or max(1, _SCORES // self.num_items)
        for start in range(0, len(self.users), step):
            block = self.users[start : start + step]
            known = self.context[block]
            raw = scorer(known).detach().float().cpu().numpy()
            if raw.shape != known.shape or not np.isfinite(raw).all():
                raise ValueError(
                    f"a scorer must give finite scores {list(known.shape)} for these "
                    f"histories; got {list(raw.shape)}, "
                    f"{int((~np.isfinite(raw)).sum())} of them not finite"
                )
            masked = raw.copy()
            masked[known.nonzero()] = -np.inf
            yield Block(raw, masked, *sorted_entries(self.target[block]))

    def negatives(
        self, barred: csr_array, draws: NDArray
    ) -> tuple[NDArray, NDArray, NDArray]:
        """Random items of each user: neither targets nor in `barred`.

        Args:
            barred: `[U, I]`.
            draws: `[users with a target, n]`, uniform in 0..1.

        Returns:
            Place in `users` and item of each, and where each user's begin, with one
            more for the end. A user for whom no item is left has none.
        """
        excluded = csr_array(barred[self.users] + self.target[self.users])
        rows, items = random_items(excluded, draws)
        return rows, items, np.searchsorted(rows, np.arange(len(self.users) + 1))

    def counted(self, lists: NDArray, weights: NDArray) -> dict[str, float]:
        """Metrics of lists, for each length.

        Args:
            lists: `[users with a target, k]`, -1 for nothing.
            weights: `[I]`, what a hit counts in `psp`.

        Returns:
            `<metric>@<k>` to value.
        """
        rows = np.broadcast_to(self.users[:, None], lists.shape)
        hits = lists >= 0
        hits[hits] = inside(self.target, rows[hits], lists[hits])
        metrics: dict[str, float] = {}
        for k in self.ks:
            each = self._each(lists[:, :k], hits[:, :k], weights, k)
            metrics |= {f"{name}@{k}": float(v.mean()) for name, v in each.items()}
            shown = lists[:, :k][lists[:, :k] >= 0]
            shows = np.bincount(shown, minlength=self.num_items)
            metrics[f"coverage@{k}"] = float((shows > 0).mean())
            metrics[f"gini@{k}"] = _gini(shows)
        return metrics

    def _each(
        self, lists: NDArray, hits: NDArray, weights: NDArray, k: int
    ) -> dict[str, NDArray]:
        """`[users with a target]` of every metric that is a mean over users."""
        ideal_hits, hit = np.minimum(self.sizes, k), hits.sum(1)
        discounts = 1 / np.log2(np.arange(2, k + 2))
        ideal = np.cumsum(discounts)[ideal_hits - 1]
        gain = np.where(hits, weights[lists], 0.0).sum(1) / self._best(weights, k)
        return {
            "hr": hit / ideal_hits,
            "hit": hit > 0,
            "recall": hit / self.sizes,
            "ndcg": (hits @ discounts) / ideal,
            "psp": gain / ideal_hits,
            "psp_jain": gain,
        }

    def _best(self, weights: NDArray, k: int) -> NDArray[np.float64]:
        """The sum of the k largest weights among each user's targets."""
        rows, items = self.pairs
        best = weights[items][np.lexsort((-weights[items], rows))]
        within = places(rows) < k
        sums = np.bincount(rows[within], best[within])[self.users]
        return sums.astype(np.float64)


def sorted_entries(matrix: csr_array) -> tuple[NDArray, NDArray]:
    """Row and column of every entry that is not zero, both ascending.

    Example:
        >>> [scores.tolist() for scores in sorted_entries(csr_array([[0, 2], [1, 0]]))]
        [[0, 1], [1, 0]]
    """
    rows, columns = matrix.nonzero()
    order = np.argsort(rows.astype(np.int64) * matrix.shape[1] + columns)
    return rows[order].astype(np.int64), columns[order].astype(np.int64)


def inside(matrix: csr_array, rows: NDArray, columns: NDArray) -> NDArray[np.bool_]:
    """Whether each (row, column) is an entry that is not zero.

    Example:
        >>> inside(csr_array([[0, 2]]), np.array([0, 0]), np.array([0, 1])).tolist()
        [False, True]
    """
    owners, items = sorted_entries(matrix)
    if not len(owners):
        return np.zeros(len(rows), dtype=bool)
    known = owners * matrix.shape[1] + items
    asked = rows.astype(np.int64) * matrix.shape[1] + columns
    place = np.searchsorted(known, asked)
    return known[np.minimum(place, len(known) - 1)] == asked


def random_items(excluded: csr_array, draws: NDArray) -> tuple[NDArray, NDArray]:
    """Random items of each row that are not entries of it, with replacement.

    Args:
        excluded: `[b, I]`.
        draws: `[b, n]`, uniform in 0..1.

    Returns:
        Row and item of each, rows ascending; a row full of entries has none.

    Example:
        >>> random_items(csr_array([[1, 0, 1], [1, 1, 1]]), np.array([[0.9], [0.9]]))
        (array([0]), array([1]))
    """
    rows, items = sorted_entries(excluded)
    width = excluded.shape[1]
    left = width - np.bincount(rows, minlength=len(draws))
    some = np.flatnonzero(left)
    free = np.minimum((draws[some] * left[some, None]).astype(np.int64), width - 1)
    # The r-th free item is r plus the excluded ones before it: those with at most r
    # free items to their left.
    before = rows * (width + 1) + items - places(rows)
    asked = some[:, None] * (width + 1) + free
    start = np.searchsorted(rows, some)
    item = free + np.searchsorted(before, asked, side="right") - start[:, None]
    return np.repeat(some, draws.shape[1]), item.ravel()


def _gini(counts: NDArray) -> float:
    """Gini coefficient of counts: 0 where all are equal, 1 - 1/I where one has all."""
    order, n = np.sort(counts), len(counts)
    return float(((2 * np.arange(1, n + 1) - n - 1) @ order) / (n * order.sum()))
