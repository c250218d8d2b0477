"""How near synthetic users come to real ones."""

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from multidd.recsys.data.ids import require_same_items
from multidd.recsys.summary.binarize import histories

if TYPE_CHECKING:
    from multidd.recsys.data.log import InteractionLog
    from multidd.recsys.summary.summary import RecsysSummary

CELLS = 2**22
"""Overlaps of synthetic with real rows that are held at a time."""


def nearest_overlap(
    summary: "RecsysSummary", log: "InteractionLog", length: int | None = None
) -> np.ndarray:
    """Overlap of each synthetic row with the history of its nearest real user.

    The Jaccard overlap |a ∩ b| / |a ∪ b| of the row's `length` largest entries with
    the training history of a real user, the largest over all of them: 1 for a row that
    is a real history, the same as random users of that length have with each other for
    a row that copies nobody.

    Args:
        summary: m synthetic users.
        log: the log it was made from.
        length: items that stand for a row; the mean length of a real history unless
            given. A binary summary counts as it is where none is given.

    Returns:
        `[m]` float64, in 0..1.

    Raises:
        ValueError: the log has other items, or a length that is not in 1..I.

    Example:
        >>> from multidd.recsys.data.log import InteractionLog
        >>> from multidd.recsys.summary.summary import RecsysSummary
        >>> log = InteractionLog.from_csr(csr_array(np.eye(3)))
        >>> source = log.describe()
        >>> copied = RecsysSummary.from_csr(np.eye(3)[:1], source=source, method="mine")
        >>> nearest_overlap(copied, log)
        array([1.])
    """
    require_same_items(summary.item_ids, log.item_ids)
    rows = summary.to_csr()
    if length is not None or not summary.binary:
        rows = histories(rows, summary.mean_length if length is None else length)
    real = log.train
    size = np.diff(rows.indptr).astype(np.float64)
    best = np.zeros(len(size))
    step = max(1, CELLS // max(1, len(size)))
    for start in range(0, real.shape[0], step):
        block = _overlaps(rows, size, real[start : start + step])
        best = np.maximum(best, block)
    return best


def _overlaps(rows: csr_array, size: np.ndarray, real: csr_array) -> np.ndarray:
    """`[m]`, the largest overlap of each row with users of this block."""
    shared = csr_array(rows @ real.T)
    counts = np.diff(shared.indptr)
    ours = np.repeat(size, counts)
    theirs = np.diff(real.indptr)[shared.indices]
    jaccard = csr_array(
        (shared.data / (ours + theirs - shared.data), shared.indices, shared.indptr),
        shape=shared.shape,
    )
    return jaccard.max(axis=1).toarray().ravel()
