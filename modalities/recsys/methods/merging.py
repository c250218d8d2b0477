"""A new log and an older summary over the items of both."""

from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array

from multidd.recsys.data.ids import find, id_array
from multidd.recsys.data.log import InteractionLog
from multidd.recsys.summary.binarize import histories, mean_length
from multidd.recsys.summary.summary import RecsysSummary

__all__ = ["merged", "replayed"]


def merged(
    log: InteractionLog, older: RecsysSummary
) -> tuple[InteractionLog, csr_array]:
    """The log and the summary's rows, over the items of either, sorted.

    Args:
        log: the new log.
        older: the summary.

    Returns:
        The log with all items, and the rows `[m, I]`.

    Raises:
        TypeError: no summary, or ids that fit no common type.
        ValueError: ids of different kinds.

    Example:
        >>> import multidd
        >>> log = multidd.recsys.power_law(60, 40, 600)
        >>> both, rows = merged(log, multidd.recsys.random(log, 3))
        >>> both.num_items, rows.shape
        (40, (3, 40))
    """
    if not isinstance(older, RecsysSummary):
        raise TypeError(
            f"warm_start must be a RecsysSummary, got {type(older).__name__}; "
            "multidd.load reads one"
        )
    ours, theirs = older.item_ids, log.item_ids
    if (ours.dtype.kind in "iu") != (theirs.dtype.kind in "iu"):
        raise ValueError(
            f"item ids of the summary are like {ours[0]!r}, those of the log like "
            f"{theirs[0]!r}; they must be of one kind"
        )
    # Not by numpy: of int64 and uint64 it would make floats.
    union = id_array(sorted({*ours.tolist(), *theirs.tolist()}), "item ids")
    inside = np.arange(len(union))
    places = find(union, inside, theirs)[log.items]
    rows = np.repeat(np.arange(log.num_users), np.diff(log.indptr))
    order = np.lexsort((places, rows))
    wide = replace(
        log,
        items=places[order].astype(np.int32),
        item_ids=union,
        part=None if log.part is None else log.part[order],
        rating=None if log.rating is None else log.rating[order],
        time=None if log.time is None else log.time[order],
    )
    old = older.to_csr().tocoo()
    columns = find(union, inside, ours)[old.coords[1]]
    shape = (older.num_users, len(union))
    return wide, csr_array((old.data, (old.coords[0], columns)), shape=shape)


def replayed(rows: csr_array, log: InteractionLog) -> csr_array:
    """The rows as histories of real length: users of the past, to be predicted too."""
    filled = np.count_nonzero(np.diff(log.train.indptr))
    return histories(rows, mean_length(log.train.nnz, int(filled), rows.shape[1]))
