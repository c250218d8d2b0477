"""`from_arrays`: synthetic users that others made, as a summary."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse import csc_array, csr_array

from multidd.arguments import public_function
from multidd.data.array_files import array_by_name, is_path, origin_of, read_arrays
from multidd.data.external_labels import facts_of
from multidd.engine.card import external_card
from multidd.recsys.data.log import InteractionLog
from multidd.recsys.data.readers import read_log
from multidd.recsys.data.sources import open_events
from multidd.recsys.summary.storage import as_matrix
from multidd.recsys.summary.summary import RecsysSummary

__all__ = ["from_arrays"]

TABLE_FILES = (".csv", ".tsv", ".gz", ".parquet", ".inter")
"""Endings of tables of (user, item, value)."""

VALUE_NAMES = ("value", "values", "weight", "rating")
"""Of columns of values, as files of summaries call them."""

CSR_NAMES = ("indptr", "indices")


@public_function
def from_arrays(
    rows: Any,
    *,
    source: Any,
    item_ids: Any = None,
    weight: Any = None,
    user: str | None = None,
    item: str | None = None,
    value: str | None = None,
    method: str = "external",
    origin: str = "",
) -> RecsysSummary:
    """A summary of synthetic users that others made, to be judged as ours.

    Args:
        rows: `[u, I]`, entries 0 or more: an array, a tensor, a scipy sparse matrix, or
            an .npz or .safetensors file of one (x, or indptr, indices and values; also
            what `scipy.sparse.save_npz` wrote). Or triples (user, item, value): a list
            of tuples, a frame, a `datasets.Dataset`, a .csv, .tsv or .parquet file; the
            value is 1 where there is none.
        source: the real log; or at least its `users` and `train`, the training
            interactions, with `item_ids`.
        item_ids: `[I]` ids of the columns of a matrix, all of them ids of the log; those
            of the log in its order unless given.
        weight: `[u]`, above 0; how many users each row stands for, ones unless given.
        user: column of the users of a table; None looks for a common name.
        item: column of its items; None looks for a common name.
        value: column of its values; a column value, weight or rating unless given, and
            where there is none every entry is 1.
        method: what reports call it.
        origin: where it came from, for the card; the name of the file or the type of
            the rows unless given.

    Returns:
        A `RecsysSummary` that can be evaluated, printed and saved.

    Raises:
        TypeError, ValueError: rows of other items, negative entries, or shapes that do
            not fit; a file of another kind, of a pickle with the way to convert it.

    Example:
        >>> import multidd
        >>> log = multidd.recsys.power_law(60, 40, 900).split()
        >>> from_arrays([(0, 3), (0, 7), (1, 3)], source=log).num_users
        2
    """  # noqa: E501
    place = origin_of(rows, origin)
    is_log = isinstance(source, InteractionLog)
    facts, catalog = _source(source, item_ids)
    if _is_table(rows):
        column = _value_column(rows) if value is None else value
        table = read_log(rows, user=user, item=item, rating=column)
        matrix, ids = _of_log(table), table.item_ids
    else:
        matrix = as_matrix(_matrix(rows))
        ids = catalog if item_ids is None else item_ids
        if matrix.shape[1] != len(ids):
            raise ValueError(
                f"rows have {matrix.shape[1]} columns for {len(ids)} items; give "
                "item_ids= with the id of each column"
            )
    if is_log:
        matrix = _placed(matrix, source.item_index(ids), source.num_items)
        ids = source.item_ids
    card = external_card(place, facts, method=method)
    return RecsysSummary.of(matrix, card, item_ids=ids, weight=weight)


def _source(source: Any, item_ids: Any) -> tuple[dict[str, Any], Any]:
    """What is known of the real log, and its item ids."""
    if isinstance(source, InteractionLog):
        return source.describe(), source.item_ids
    if not isinstance(source, Mapping):
        raise TypeError(
            "source must be the real InteractionLog, or its sizes users and train; got "
            f"{type(source).__name__}"
        )
    facts = facts_of(source, ("users", "train"), "the real log, or these sizes of it")
    if item_ids is None:
        raise ValueError("item_ids is missing: no log says what the columns are")
    return facts, item_ids


def _is_table(rows: Any) -> bool:
    """Whether rows are single interactions, and not those of a matrix."""
    if is_path(rows):
        path = pathlib.Path(rows)
        return path.suffix.lower() in TABLE_FILES or path.is_dir()
    if isinstance(rows, list | tuple):
        return bool(rows) and isinstance(rows[0], tuple | Mapping)
    is_array = hasattr(rows, "__array__") and not hasattr(rows, "columns")
    return not (is_array or sparse.issparse(rows))


def _value_column(rows: Any) -> str | None:
    """The column of values by its usual name; None where there is none."""
    names = open_events(rows).names
    return next((name for name in VALUE_NAMES if name in names), None)


def _of_log(log: InteractionLog) -> csr_array:
    """`[u, I]`, the ratings of a log as entries; ones where it has none."""
    matrix = log.matrix.copy()
    if log.rating is not None:
        matrix.data = log.rating.astype(np.float32)
    return matrix


def _matrix(rows: Any) -> Any:
    """The matrix of a file, or what was given."""
    if not is_path(rows):
        return rows
    arrays, label = read_arrays(rows), pathlib.Path(rows).name
    form = bytes(np.asarray(arrays.get("format", b"csr")).tobytes()).rstrip(b"\0")
    if form not in (b"csr", b"csc"):
        raise ValueError(
            f"{label} holds a sparse matrix in form {form.decode('ascii', 'replace')}; "
            "save matrix.tocsr()"
        )
    if not set(CSR_NAMES) <= set(arrays):
        return array_by_name(arrays, ("x", "rows"), label)
    indptr, indices = (np.asarray(arrays[name]) for name in CSR_NAMES)
    values = np.asarray(array_by_name(arrays, ("values", "data"), label))
    shape = arrays.get("shape")
    if shape is None:
        raise ValueError(
            f"{label} has indptr and indices without the array 'shape', [u, I]; save "
            "it too, or save with scipy.sparse.save_npz"
        )
    try:
        size = tuple(int(n) for n in np.asarray(shape).tolist())
        kind = csc_array if form == b"csc" else csr_array
        return csr_array(kind((values, indices, indptr), shape=size))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{label} holds no sparse matrix: {error}") from None


def _placed(matrix: csr_array, places: np.ndarray, items: int) -> csr_array:
    """The columns at their places among all items of the log."""
    entries = sparse.coo_array(matrix)
    where = (entries.row, places[entries.col])
    return csr_array((entries.data, where), shape=(matrix.shape[0], items))
