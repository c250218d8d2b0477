"""What is done with events before they are a log: order, duplicates, a k-core."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Rows:
    """Events as arrays: numbers of user and item, and what else is known of each.

    Attributes:
        user: `[n]` int32.
        item: `[n]` int32.
        rating, time, part: `[n]`, or None.
    """

    user: np.ndarray
    item: np.ndarray
    rating: np.ndarray | None = None
    time: np.ndarray | None = None
    part: np.ndarray | None = None

    def take(self, which: np.ndarray) -> "Rows":
        """Some of the rows, by places or a mask."""

        def of(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[which]

        return Rows(
            self.user[which],
            self.item[which],
            of(self.rating),
            of(self.time),
            of(self.part),
        )


def without_duplicates(rows: Rows) -> tuple[Rows, int]:
    """Rows sorted by user and item, one of each pair: the latest, or else the last.

    Args:
        rows: in the order in which they were read.

    Returns:
        The rows, and how many are gone.

    Example:
        >>> user, item = np.array([1, 0, 1]), np.array([2, 2, 2])
        >>> rows = Rows(user, item, time=np.array([9, 5, 8]))
        >>> kept, gone = without_duplicates(rows)
        >>> kept.user, kept.time, gone
        (array([0, 1]), array([5, 9]), 1)
    """
    pair = rows.user.astype(np.int64) * (int(rows.item.max()) + 1) + rows.item
    if not (pair[1:] > pair[:-1]).all():
        if rows.time is None:
            order = np.argsort(pair, kind="stable")
        else:
            order = np.lexsort((rows.time, pair))  # stable, too
        pair = pair[order]
        kept = rows.take(order[np.append(pair[1:] != pair[:-1], True)])
        return kept, len(pair) - len(kept.user)
    return rows, 0


def core(
    rows: Rows, min_user: int | None = None, min_item: int | None = None
) -> tuple[Rows, Counter[str]]:
    """Rows of users and items that keep enough of each other.

    Users below `min_user` and items below `min_item` leave in turn until none does:
    what stays is the same whoever begins.

    Args:
        rows: without duplicates.
        min_user: least number of items of a user.
        min_item: least number of users of an item.

    Returns:
        The rows that stay, and how many rows, users and items left for which reason.

    Example:
        >>> rows = Rows(np.array([0, 0, 1]), np.array([0, 1, 1]))
        >>> kept, gone = core(rows, min_user=2)
        >>> kept.user, dict(gone)
        (array([0, 0]), {'below min_user': 1, 'users below min_user': 1})
    """
    limits: dict[str, int] = {}
    for side, least in (("user", min_user), ("item", min_item)):
        if least is not None and least > 1:
            limits[side] = least
    gone: Counter[str] = Counter()
    while True:
        before = len(rows.user)
        for side, least in limits.items():
            rows = _drop(rows, side, least, gone)
        if len(rows.user) == before:
            return rows, gone


def _drop(rows: Rows, side: str, least: int, gone: Counter[str]) -> Rows:
    codes = getattr(rows, side)
    counts = np.bincount(codes)
    low = counts < least
    leaving = low[codes]
    if not leaving.any():
        return rows
    gone[f"below min_{side}"] += int(leaving.sum())
    gone[f"{side}s below min_{side}"] += int((low & (counts > 0)).sum())
    return rows.take(~leaving)


def used(codes: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and ids without the ids that no row has; their order stays.

    Example:
        >>> used(np.array([2, 0], np.int32), np.array([7, 8, 9]))
        (array([1, 0], dtype=int32), array([7, 9]))
    """
    seen = np.zeros(len(ids), bool)
    seen[codes] = True
    if seen.all():
        return codes, ids
    place = np.cumsum(seen, dtype=np.int32) - np.int32(1)
    return place[codes], ids[seen]


def told(counts: Counter[str], keep: Callable[[str], bool] = lambda _: True) -> str:
    """Counts in words, the largest first.

    Example:
        >>> told(Counter({"duplicates": 2, "missing ids": 1000}))
        '1,000 missing ids, 2 duplicates'
    """
    found = [f"{count:,} {why}" for why, count in counts.most_common() if keep(why)]
    return ", ".join(found)
