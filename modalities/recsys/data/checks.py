"""Checks of the arrays of an interaction log, and of a sparse matrix for one."""

from typing import Any

import numpy as np
from scipy import sparse

from multidd.recsys.data.ids import id_array, some


def check_arrays(log: Any) -> None:
    """Refuse a log whose arrays do not fit together.

    Args:
        log: an `InteractionLog`.

    Raises:
        TypeError, ValueError: says which array, and how it should be.

    Example:
        >>> from scipy.sparse import csr_array
        >>> from multidd.recsys.data.log import InteractionLog
        >>> check_arrays(InteractionLog.from_csr(csr_array([[1, 0, 1]])))
    """
    n = len(log.items)
    _check_rows(log.indptr, len(log.user_ids), n)
    if log.items.dtype != np.int32 or log.indptr.dtype != np.int64:
        raise TypeError(
            f"indptr must be int64 and items int32; got {log.indptr.dtype} and "
            f"{log.items.dtype}; InteractionLog.from_csr converts"
        )
    if n and not 0 <= log.items.min() <= log.items.max() < len(log.item_ids):
        raise ValueError(
            f"items must be in 0..{len(log.item_ids) - 1}, the places of item_ids; "
            f"got {log.items.min()} to {log.items.max()}"
        )
    starts = np.zeros(n + 1, bool)
    starts[log.indptr] = True
    if not starts[1:-1][log.items[1:] <= log.items[:-1]].all():
        raise ValueError("items must ascend within each user, none twice; sort them")
    for label in ("part", "rating", "time"):
        values = getattr(log, label)
        if values is not None and values.shape != (n,):
            raise ValueError(
                f"{label} must have a value for each of {n} interactions; got shape "
                f"{list(values.shape)}"
            )


def _check_rows(indptr: np.ndarray, users: int, n: int) -> None:
    if len(indptr) != users + 1:
        raise ValueError(
            f"indptr must have one number more than user_ids, {users + 1}; got "
            f"{len(indptr)}"
        )
    if indptr[0] != 0 or indptr[-1] != n or (indptr[1:] < indptr[:-1]).any():
        raise ValueError(
            f"indptr must ascend from 0 to {n}, the number of items; got {some(indptr)}"
        )


def chosen_rows(rows: Any, users: int) -> np.ndarray:
    """Numbers of users, from these or from a mask.

    Args:
        rows: numbers, none twice, or `[users]` bool.
        users: how many there are.

    Raises:
        ValueError: a number that is none of these, or one that comes twice.

    Example:
        >>> chosen_rows([True, False, True], 3)
        array([0, 2])
    """
    array = np.asarray(rows)
    if array.dtype == bool and array.shape == (users,):
        return np.flatnonzero(array)
    chosen = array.astype(np.int64) if array.size == 0 else array
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
        raise ValueError(
            f"rows must be numbers of users, or a mask of {users}; got {array.dtype} "
            f"of shape {list(array.shape)}"
        )
    bad = chosen[(chosen < 0) | (chosen >= users)]
    if len(bad):
        raise ValueError(f"rows must be in 0..{users - 1}; got {some(bad)}")
    if len(np.unique(chosen)) < len(chosen):
        raise ValueError("rows must name each user once; a user comes twice")
    return chosen


def ids_or_range(ids: Any, count: int, name: str) -> np.ndarray:
    """Ids for so many rows or columns, or 0, 1, 2, ...

    Example:
        >>> ids_or_range(None, 2, "user_ids")
        array([0, 1])
    """
    if ids is None:
        return np.arange(count, dtype=np.int64)
    array = id_array(ids, name)
    if len(array) != count:
        raise ValueError(f"{name} must be {count}, as the matrix has; got {len(array)}")
    if len(set(array.tolist())) < count:
        raise ValueError(f"{name} must differ from each other; some come twice")
    return array


def matrix_parts(matrix: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """`indptr`, `items` and ratings of a sparse matrix; no ratings where all are one.

    Stored zeros are no interactions; an entry stored twice counts once, its values
    added, as scipy does.

    Raises:
        TypeError: not a sparse matrix.
        ValueError: a negative value, or one that is not finite.

    Example:
        >>> matrix_parts(sparse.csr_array([[0, 1], [1, 1]]))[1]
        array([1, 0, 1], dtype=int32)
    """
    if not sparse.issparse(matrix) or matrix.ndim != 2:
        raise TypeError(
            "an interaction log is made from a sparse matrix, users x items; got "
            f"{type(matrix).__name__}; scipy.sparse.csr_array(x) makes one"
        )
    check_values(matrix)
    csr = sparse.csr_array(matrix, copy=True)
    csr.sum_duplicates()
    csr.eliminate_zeros()
    rating = None if (csr.data == 1).all() else csr.data.astype(np.float32)
    return csr.indptr.astype(np.int64), csr.indices.astype(np.int32), rating


def check_values(matrix: Any) -> None:
    """Refuse negative values and such as are not finite; says where the first one is.

    Example:
        >>> check_values(sparse.csr_array([[0, -1]]))
        Traceback (most recent call last):
        ...
        ValueError: entry [0, 1] of the matrix is -1: ratings must be finite and ...
    """
    values = matrix.tocoo()
    if values.data.dtype.kind not in "biuf":
        raise TypeError(f"a matrix of numbers is needed; got {values.data.dtype}")
    bad = np.flatnonzero(~((values.data >= 0) & np.isfinite(values.data)))
    if len(bad):
        at, which = [int(axis[bad[0]]) for axis in values.coords], values.data[bad[0]]
        raise ValueError(
            f"entry {at} of the matrix is {which}: ratings must be finite and not "
            "negative; leave such entries out"
        )
