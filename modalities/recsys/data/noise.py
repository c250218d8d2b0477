"""Logs with noise in them, to see what distilling makes of it."""

from dataclasses import replace
from typing import Any

import numpy as np

from multidd import seeds
from multidd.recsys.data.log import InteractionLog, check_log
from multidd.recsys.data.splits import TRAIN

__all__ = ["with_noise"]


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
        >>> from multidd.recsys.generated import power_law
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
    told = f"{100 * share:g} % noise"
    name = f"{log.name}, {told}" if log.name else told
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
    found = np.full(len(users), -1)
    while len(open_ := np.flatnonzero(found < 0)):
        pairs = _drawn(taken, free, users[open_], width, rng)
        new, first = np.unique(pairs, return_index=True)  # others try again
        found[open_[first]] = new % width
        free = free - np.bincount(new // width, minlength=len(free))
        taken = np.sort(np.concatenate([taken, new]))
    return found


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
