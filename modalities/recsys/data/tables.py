"""Events in memory: Arrow, pandas, polars, HF datasets, triples, sparse matrices."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeAlias

import numpy as np

from multidd.data.labels import is_missing
from multidd.recsys.data.checks import check_values

BATCH = 2**20
"""Rows read at a time."""

Columns: TypeAlias = Mapping[str, Any]  # name -> pyarrow.Array, all of one length


@dataclass(frozen=True)
class Events:
    """A source of events, opened and not read yet.

    Attributes:
        what: what errors call it.
        names: its columns.
        read: gives batches of the columns asked for.
        roles: role -> column, where the position of a column says what it holds.
        text: numbers are written as text, as in CSV.
        typed: names end in a type, as in `user_id:token`.
        dropped: what reading it leaves out, by reason.
        name: its own name, for reports.
    """

    what: str
    names: tuple[str, ...]
    read: Callable[[list[str]], Iterator[Columns]]
    roles: Mapping[str, str] = field(default_factory=dict)
    text: bool = False
    typed: bool = False
    dropped: Mapping[str, int] = field(default_factory=dict)
    name: str = ""


def columns_of(batch: Any, names: list[str]) -> Columns:
    """Columns of an Arrow batch or table, each as one array.

    Example:
        >>> import pyarrow
        >>> columns_of(pyarrow.table({"a": [1], "b": [2]}), ["b"])["b"].to_pylist()
        [2]
    """
    found = {name: batch.column(name) for name in names}
    chunked = hasattr(batch, "to_batches")  # a table
    return {n: c.combine_chunks() if chunked else c for n, c in found.items()}


ROLES = ("user", "item", "rating", "time")


def of_table(table: Any, what: str = "the table") -> Events:
    """Events of a `pyarrow.Table` or `RecordBatch`.

    Example:
        >>> import pyarrow
        >>> of_table(pyarrow.table({"user": [1], "item": [2]})).names
        ('user', 'item')
    """
    import pyarrow

    if isinstance(table, pyarrow.RecordBatch):
        table = pyarrow.Table.from_batches([table])

    def read(names: list[str]) -> Iterator[Columns]:
        batches = table.select(names).to_batches(max_chunksize=BATCH)
        return (columns_of(batch, names) for batch in batches)

    return Events(what, tuple(table.schema.names), read)


def of_batches(batches: Iterable[Any], what: str = "the batches") -> Events:
    """Events of a `RecordBatchReader`, or of any iterable of record batches.

    Each batch is dropped before the next is asked for, so a log may be larger than
    memory. An iterator is used up.

    Raises:
        TypeError: the first element is no batch.
        ValueError: there is none.

    Example:
        >>> import pyarrow
        >>> batch = pyarrow.record_batch({"user": [1], "item": [2]})
        >>> of_batches([batch, batch]).names
        ('user', 'item')
    """
    import pyarrow

    known = getattr(batches, "schema", None)
    found = iter(batches)
    if known is None:
        first = next(found, None)
        if first is None:
            raise ValueError("there are no events: an empty iterable was given")
        if not isinstance(first, pyarrow.RecordBatch | pyarrow.Table):
            raise TypeError(
                "an iterable of events must give Arrow record batches; got "
                f"{type(first).__name__}; triples must be a list or an array"
            )
        known, found = first.schema, chain([first], found)

    def read(names: list[str]) -> Iterator[Columns]:
        for batch in found:
            absent = [name for name in names if name not in batch.schema.names]
            if absent:
                raise ValueError(
                    f"a batch has no column {absent[0]!r}, which the first one has; "
                    f"its columns are {', '.join(batch.schema.names)}"
                )
            yield columns_of(batch, names)

    return Events(what, tuple(known.names), read)


def of_pandas(frame: Any, what: str = "the frame") -> Events:
    """Events of a `pandas.DataFrame`; its index is not read.

    Example:
        >>> import pandas
        >>> of_pandas(pandas.DataFrame({"user": [1], "item": [2]})).names
        ('user', 'item')
    """
    names = tuple(map(str, frame.columns))
    places = {name: place for place, name in reversed(list(enumerate(names)))}

    def read(wanted: list[str]) -> Iterator[Columns]:
        for start in range(0, len(frame), BATCH):
            part = frame.iloc[start : start + BATCH]
            taken = {name: part.iloc[:, places[name]] for name in wanted}
            yield {n: to_arrow(c, n, what, start) for n, c in taken.items()}

    return Events(what, names, read)


def of_hf(data: Any, what: str = "the dataset") -> Events:
    """Events of a `datasets.Dataset`, or of a stream whose columns are known.

    Raises:
        TypeError: several splits, or a stream of unknown columns.

    Example:
        >>> from datasets import Dataset
        >>> of_hf(Dataset.from_dict({"user": [1], "item": [2]})).names
        ('user', 'item')
    """
    if isinstance(data, dict):
        raise TypeError(
            f"the log is a dict of the splits {sorted(data)}; pass one of them, such "
            f"as data[{sorted(data)[-1]!r}]"
        )
    if data.column_names is None:
        raise TypeError("the stream's columns are not known; load it without streaming")

    def read(names: list[str]) -> Iterator[Columns]:
        arrow = data.select_columns(names).with_format("arrow")
        return (columns_of(b, names) for b in arrow.iter(batch_size=BATCH))

    return Events(what, tuple(data.column_names), read)


def of_rows(rows: Any, what: str = "the triples") -> Events:
    """Events of (user, item[, rating[, time]]) rows: a list of tuples or an array.

    Args:
        rows: `[n, 2..4]`.
        what: what errors call them.

    Raises:
        ValueError: rows of other lengths.

    Example:
        >>> dict(of_rows([("ann", 7), ("bob", 9)]).roles)
        {'user': 'user', 'item': 'item'}
    """
    if isinstance(rows, list | tuple):
        widths = {len(row) for row in rows if hasattr(row, "__len__")} or {2}
        sound = all(hasattr(row, "__len__") for row in rows)
        width = widths.pop() if len(widths) == 1 and sound else 0
        columns = list(zip(*rows, strict=False)) if width else []
    else:
        rows = np.asarray(rows)
        width = rows.shape[1] if rows.ndim == 2 else 0
        columns = list(rows.T) if width else []
    if not 2 <= width <= 4:
        raise ValueError(
            "rows of events must all be (user, item), (user, item, rating) or "
            f"(user, item, rating, time); got {_shape(rows)}"
        )
    names = ROLES[:width]

    def read(wanted: list[str]) -> Iterator[Columns]:
        for start in range(0, len(rows), BATCH):
            taken = {n: columns[names.index(n)][start : start + BATCH] for n in wanted}
            yield {n: to_arrow(c, n, what, start) for n, c in taken.items()}

    return Events(what, names, read, roles={name: name for name in names})


def of_matrix(matrix: Any, what: str = "the matrix") -> Events:
    """Events of a scipy sparse matrix, users x items: its entries that are not zero.

    Ids are numbers of rows and columns; values are ratings, unless all are one. Rows
    and columns without entries are left out, and counted.

    Example:
        >>> from scipy.sparse import csr_array
        >>> dict(of_matrix(csr_array([[1, 0], [0, 0]])).dropped)["users without items"]
        1
    """
    import pyarrow

    check_values(matrix)
    found = matrix.tocoo()
    some = found.data != 0
    user, item = (axis[some] for axis in found.coords)
    columns = {"user": user, "item": item}
    if not (found.data[some] == 1).all():
        columns["rating"] = found.data[some].astype(np.float64)
    dropped = {
        "stored zeros": int(len(some) - some.sum()),
        "users without items": matrix.shape[0] - len(np.unique(user)),
        "items without users": matrix.shape[1] - len(np.unique(item)),
    }

    def read(wanted: list[str]) -> Iterator[Columns]:
        for start in range(0, len(user), BATCH):
            span = slice(start, start + BATCH)
            yield {name: pyarrow.array(columns[name][span]) for name in wanted}

    roles = {name: name for name in columns}
    return Events(what, tuple(columns), read, roles=roles, dropped=dropped)


def to_arrow(values: Any, name: str, what: str, start: int = 0) -> Any:
    """One column of Python, numpy or pandas values as an Arrow array.

    Raises:
        ValueError: values of several kinds; names the first odd one and its row.

    Example:
        >>> to_arrow([4, "five"], "rating", "the frame")
        Traceback (most recent call last):
        ...
        ValueError: column 'rating' of the frame mixes int and str: row 1 (from 0) ...
    """
    import pyarrow

    tidy = _tidy(values)
    for kind in (None, pyarrow.uint64()):  # the latter for ids of 2**63 and more
        try:
            found = pyarrow.array(tidy, kind, from_pandas=True)
        except (pyarrow.ArrowException, TypeError, OverflowError) as error:
            fault: Exception = error
        else:
            return found.combine_chunks() if hasattr(found, "num_chunks") else found
    raise _mixed(values, f"column {name!r} of {what}", start, fault) from fault


def _mixed(values: Any, told: str, start: int, fault: Exception) -> ValueError:
    """The error for a column that is of no type: the first value unlike the first."""
    listed = np.asarray(values, object).tolist()
    kinds = [None if is_missing(value) else type(value) for value in listed]
    first = next((kind for kind in kinds if kind is not None), object)
    odd = [at for at, kind in enumerate(kinds) if kind not in (None, first)]
    if not odd:
        return ValueError(f"{told} cannot be read: {fault}; convert it first")
    return ValueError(
        f"{told} mixes {first.__name__} and {type(listed[odd[0]]).__name__}: row "
        f"{start + odd[0]} (from 0) holds {listed[odd[0]]!r}; make all of them "
        "numbers, or all of them text"
    )


def _tidy(values: Any) -> Any:
    """numpy text as objects; pyarrow takes one-dimensional arrays of the rest."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "UT":
        return values.astype(object)
    return values


def _shape(rows: Any) -> str:
    if isinstance(rows, np.ndarray):
        return f"an array of shape {list(rows.shape)}"
    lengths = sorted({len(row) if hasattr(row, "__len__") else 1 for row in rows})
    return f"rows of {', '.join(map(str, lengths))} values"
