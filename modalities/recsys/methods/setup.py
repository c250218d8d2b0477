"""Preparation of every method: the budget checked, validation data held out."""

from typing import Any

import numpy as np

from multidd.data.splitting import check_count
from multidd.recsys.data.log import InteractionLog

__all__ = ["check_users", "validated"]


def check_users(log: InteractionLog, users: Any) -> int:
    """The number of synthetic users, where the log has as many real ones.

    Raises:
        TypeError: no whole number.
        ValueError: below 1, or above the users of the log that have training items.
    """
    if users is None:
        raise ValueError("give users=, the number of synthetic users")
    count = check_count("users", users, None)
    have = int(np.count_nonzero(np.diff(log.train.indptr)))
    if not 1 <= count <= have:
        raise ValueError(
            f"users must be from 1 to {have:,}, the users of the log with training "
            f"items; got {count:,}"
        )
    return count


def validated(log: InteractionLog, seed: int) -> InteractionLog:
    """The log, with a tenth of its training part for validation where it has none.

    Raises:
        ValueError: no user has items enough to spare one.
    """
    if log.val.nnz:
        return log
    known = log if log.part is None else log.select(log.part == 0)
    split = known.split("user-random", (0.9, 0.1, 0.0), seed)
    if not split.val.nnz:
        longest = int(np.diff(known.train.indptr).max())
        raise ValueError(
            "the ridge and the step are chosen on validation items, and no user can "
            f"spare one: the longest history has {longest} training items; give a log "
            "with some of ten or more, or one that is divided already"
        )
    return split
