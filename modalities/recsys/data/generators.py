"""Generated interaction logs: power laws of any size, and logs with noise."""

from dataclasses import replace
from typing import Any

import numpy as np

from multidd import seeds
from multidd.arguments import public_function
from multidd.recsys.data.log import InteractionLog, check_log
from multidd.recsys.data.splits import TRAIN

__all__ = ["power_law", "with_noise"]

BLOCK = 2**20  # interactions drawn at a time
TASTES = 3  # groups of items that a user prefers
LOYALTY = 0.6  # share of a user's draws that come from these
SPREAD = 1.0  # standard deviation of the logarithm of the lengths of histories
TRIES = 6  # rounds that replace repeated items by preference; then by chance


@public_function
def power_law(
    users: int,
    items: int,
    interactions: int,
    seed: int = 0,
    *,
    exponent: float = 1.0,
    groups: int = 20,
) -> InteractionLog:
    """A generated log: popular items are few, long histories are rare, tastes differ.

    The item of rank r is drawn in proportion to `r ** -exponent`; lengths of histories
    are log-normal and at least 1. Items belong to groups; most draws of a user come
    from three of these, so popularity alone does not tell what a user takes. An item
    that a user has already is drawn again, which flattens the popularity somewhat.

    A block of users at a time, so that memory is that of the log: 50 million
    interactions of 1 million users take half a gigabyte.

    Args:
        users: U; each has at least one item.
        items: I; some may stay without users.
        interactions: n, at most half of all pairs.
        seed: of all draws.
        exponent: of the popularity; 0 makes all items alike.
        groups: of items; 1 makes all users alike.

    Returns:
        A log that is not split, with the ids 0, 1, 2, ...

    Raises:
        ValueError: fewer interactions than users, or more than half of all pairs.

    Example:
        >>> power_law(100, 50, 1000)
        InteractionLog(power_law, users=100, items=50, interactions=1,000, density=20 %)
    """
    _check(users, items, interactions, exponent, groups)
    rng = np.random.default_rng(seeds.key(seed, "power_law"))
    counts = lengths(users, items // 2, interactions, rng)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    taste = Tastes(items, exponent, groups, rng)
    drawn = np.empty(interactions, np.int32)
    start = 0
    while start < users:
        stop = int(np.searchsorted(indptr, indptr[start] + BLOCK, side="right")) - 1
        stop = min(max(stop, start + 1), users)
        block = _histories(counts[start:stop], items, taste, rng)
        drawn[indptr[start] : indptr[stop]] = block
        start = stop
    return InteractionLog(
        indptr,
        drawn,
        np.arange(users, dtype=np.int64),
        np.arange(items, dtype=np.int64),
        columns={"user": "user_id", "item": "item_id"},
        name="power_law",
    )


def lengths(
    users: int, max_length: int, total: int, rng: np.random.Generator
) -> np.ndarray:
    """Log-normal lengths of histories, from 1 to `max_length`, with a given sum.

    Args:
        users: how many.
        max_length: the longest.
        total: their sum, from `users` to `users * most`.
        rng: draws them.

    Returns:
        `[users]` int64.

    Example:
        >>> int(lengths(3, 5, 9, np.random.default_rng(0)).sum())
        9
    """
    raw = np.exp(SPREAD * rng.standard_normal(users))
    counts = 1 + np.floor(raw / raw.sum() * (total - users)).astype(np.int64)
    counts = np.minimum(counts, max_length)
    while (missing := total - int(counts.sum())) > 0:
        below = np.flatnonzero(counts < max_length)
        # What rounding and the limit took goes to users by chance, evenly.
        each = max(1, missing // len(below))
        chosen = rng.permutation(below)[: missing // each]
        counts[chosen] += np.minimum(each, max_length - counts[chosen])
    return counts


class Tastes:
    """Draws items by popularity, from all of them or from a group.

    Items stand sorted by group with their cumulated weights, so that a group is an
    interval and every draw is one search.
    """

    def __init__(
        self, items: int, exponent: float, groups: int, rng: np.random.Generator
    ) -> None:
        weight = (1.0 + rng.permutation(items)) ** -exponent
        # By turns in the order of popularity, so that no group is without a hit.
        group = np.empty(items, np.int64)
        group[np.argsort(-weight, kind="stable")] = np.arange(items) % groups
        self.order = np.argsort(group, kind="stable").astype(np.int32)
        self.ends = np.cumsum(weight[self.order])
        bounds = np.searchsorted(group[self.order], np.arange(groups + 1))
        self.bounds = np.concatenate([[0.0], self.ends])[bounds]

    def choose(self, users: int, rng: np.random.Generator) -> np.ndarray:
        """`[users, TASTES]` groups that users prefer."""
        return rng.integers(len(self.bounds) - 1, size=(users, TASTES))

    def draw(
        self, row: np.ndarray, chosen: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """One item for each user in `row`."""
        group = chosen[row, rng.integers(TASTES, size=len(row))]
        low, high = self.bounds[group], self.bounds[group + 1]
        free = rng.random(len(row)) >= LOYALTY
        low[free], high[free] = 0.0, self.bounds[-1]
        at = low + rng.random(len(row)) * (high - low)
        place = np.searchsorted(self.ends, at, side="right")
        return self.order[np.minimum(place, len(self.order) - 1)]


def _histories(
    counts: np.ndarray, items: int, taste: Tastes, rng: np.random.Generator
) -> np.ndarray:
    """Different items for every user, ascending: `[counts.sum()]` int32."""
    chosen = taste.choose(len(counts), rng)
    users = np.arange(len(counts))
    pairs = np.empty(0, np.int64)  # user * items + item, ascending
    missing, tries = counts, 0
    while len(row := np.repeat(users, missing)):
        if tries < TRIES:
            item = taste.draw(row, chosen, rng).astype(np.int64)
        else:  # the items a user prefers are nearly used up
            item = rng.integers(items, size=len(row))
        pairs = np.concatenate([pairs, row * items + item])
        pairs.sort(kind="stable")  # merges what is sorted already
        pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])]
        missing = counts - np.bincount(pairs // items, minlength=len(counts))
        tries += 1
    return (pairs % items).astype(np.int32)


def _check(
    users: int, items: int, interactions: int, exponent: float, groups: int
) -> None:
    if users < 1 or items < 2:
        raise ValueError(
            f"a log needs a user and two items at least; got users={users}, "
            f"items={items}"
        )
    max_interactions = users * (items // 2)
    if not users <= interactions <= max_interactions:
        raise ValueError(
            f"interactions must be from {users:,} (one of each user) to "
            f"{max_interactions:,} (half of all pairs); got {interactions:,}"
        )
    if not 1 <= groups <= items or not exponent >= 0:
        raise ValueError(
            f"groups must be from 1 to {items} and exponent 0 or more; got "
            f"groups={groups}, exponent={exponent}"
        )


@public_function
def with_noise(log: InteractionLog, share: float, seed: int = 0) -> InteractionLog:
    """The log with some of its training interactions replaced by random items.

    The interactions are drawn uniformly; each becomes an item, drawn uniformly too,
    that is in no part of the user's history. Users keep as many items as they have,
    validation and test stay as they are, and ratings and times stay in their places.

    Args:
        log: U users; it is not changed.
        share: of the training interactions that are replaced, 0..1.
        seed: of the draws.

    Returns:
        A new log whose name tells the share.

    Raises:
        TypeError: not a log.
        ValueError: no training items, a share outside 0..1, or a user with fewer
            unseen items than would be replaced.

    Example:
        >>> log = power_law(60, 40, 600)
        >>> noisy = with_noise(log, 0.5)
        >>> int(log.matrix.multiply(noisy.matrix).sum()), noisy.num_interactions
        (300, 600)
    """
    check_log(log)
    if not 0 <= share <= 1:
        raise ValueError(f"share must be from 0 to 1, got {share!r}")
    rng = np.random.default_rng(seeds.key(seed, "noise"))
    chosen = _chosen(log, share, rng)
    items = log.items.copy()
    items[chosen] = _unseen(log, log.rows[chosen], rng)
    order = np.lexsort((items, log.rows))
    parts: dict[str, Any] = {
        name: None if values is None else values[order]
        for name in ("part", "rating", "time")
        for values in [getattr(log, name)]
    }
    noise = f"{100 * share:g} % noise"
    name = f"{log.name}, {noise}" if log.name else noise
    return replace(log, items=items[order], name=name, **parts)


def _chosen(log: InteractionLog, share: float, rng: np.random.Generator) -> np.ndarray:
    """Places of that share of the training interactions."""
    train = np.arange(log.num_interactions)
    if log.part is not None:
        train = np.flatnonzero(log.part == TRAIN)
    count = round(share * len(train))
    return np.sort(rng.choice(train, count, replace=False, shuffle=False))


def _unseen(
    log: InteractionLog, users: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """`[b]` items, one for each of these users, whom it is new to; no pair twice."""
    width = log.num_items
    free = width - np.diff(log.indptr)
    short = np.flatnonzero(np.bincount(users, minlength=log.num_users) > free)
    if len(short):
        raise ValueError(
            f"{len(short)} users have fewer unseen items than would be replaced, "
            f"user {log.user_ids[short[0]]!r} among them; take a smaller share"
        )
    taken = log.rows * width + log.items  # a number for each pair, ascending
    items = np.full(len(users), -1)
    while len(open_ := np.flatnonzero(items < 0)):
        pairs = _drawn(taken, free, users[open_], width, rng)
        new, first = np.unique(pairs, return_index=True)  # others try again
        items[open_[first]] = new % width
        free = free - np.bincount(new // width, minlength=len(free))
        taken = np.sort(np.concatenate([taken, new]))
    return items


def _drawn(
    taken: np.ndarray,
    free: np.ndarray,
    users: np.ndarray,
    width: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """A pair of each of the users with any item, uniformly of those not taken.

    The r-th unseen item is r plus the seen ones before it: those with at most r unseen
    ones before them.
    """
    starts = np.searchsorted(taken, np.arange(len(free)) * width)
    owner, item = taken // width, taken % width
    unseen_before = item - (np.arange(len(taken)) - starts[owner])
    rank = rng.integers(0, free[users])
    ahead = np.searchsorted(
        owner * (width + 1) + unseen_before, users * (width + 1) + rank, side="right"
    )
    return users * width + rank + ahead - starts[users]
