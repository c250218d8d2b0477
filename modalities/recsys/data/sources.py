"""Interaction events from files, tables of any library, triples and matrices."""

import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from scipy import sparse

from multidd.data import table_source
from multidd.data.cells import check_nan_texts
from multidd.data.listing import SPARK_HIDDEN, list_files, suffix_counts
from multidd.data.sources import several_splits
from multidd.data.table_source import (
    Columns,
    TableSource,
    attempt,
    columns_of,
    damaged,
    guarded,
    of_batches,
    of_dataset,
    open_table,
)
from multidd.errors import first_line
from multidd.recsys.data.checks import check_values
from multidd.recsys.data.columns import EventSource
from multidd.storage.limits import check_regular, parse_json

DELIMITERS = {".csv": ",", ".tsv": "\t", ".inter": "\t"}
PARQUET = (".parquet", ".pq")
SKETCH_NOTE = b"multidd.sketch"
"""Where a parquet file of a sketch has what was seen."""

CSV_BLOCK = 2**24  # bytes of text parsed at a time

FORMS = ".parquet, .csv, .tsv, .inter (the last three also .gz), or a folder of parquet"

POSITIONS = ("user", "item", "rating", "time")
"""What the columns of triples hold, in their order."""


def open_events(source: Any) -> EventSource:
    """Events of any source that `read_log` takes; nothing is read but names.

    Args:
        source: as of `read_log`.

    Raises:
        TypeError: another kind of object.
        FileNotFoundError, ValueError, CorruptFileError: a path that cannot be read.

    Example:
        >>> open_events([(1, 2, 5.0)]).names
        ('user', 'item', 'rating')
    """
    if isinstance(source, str | os.PathLike):
        return of_path(pathlib.Path(source))
    if sparse.issparse(source):
        return of_matrix(source)
    _check_no_splits(source)
    table = open_table(source)
    if table is not None:
        return _of_table(table)
    # Arrays of numpy and torch are rows, too.
    if isinstance(source, list | tuple) or hasattr(source, "__array__"):
        return of_triples(source)
    if isinstance(source, Iterable) and not isinstance(source, dict | bytes):
        return _of_iterable(source)
    raise TypeError(
        "events must be a path, a pandas or polars frame, an Arrow table, dataset or "
        "record batches, a datasets.Dataset, rows of (user, item[, rating[, time]]) "
        f"or a scipy sparse matrix; got {type(source).__name__}"
    )


def _check_no_splits(source: Any) -> None:
    if isinstance(source, dict) and type(source).__module__.startswith("datasets"):
        raise TypeError(several_splits(source, "the log"))


def _of_table(table: TableSource, name: str = "") -> EventSource:
    return EventSource(table.label, table.names, table.read, name=name)


def _of_iterable(batches: Iterable[Any]) -> EventSource:
    """Record batches one after another; the first one tells the columns."""
    import pyarrow

    rest = iter(batches)
    first = next(rest, None)
    if first is None:
        raise ValueError("there are no events: an empty iterable was given")
    if not isinstance(first, pyarrow.RecordBatch | pyarrow.Table):
        raise TypeError(
            "an iterable of events must give Arrow record batches; got "
            f"{type(first).__name__}; triples must be a list or an array"
        )
    return _of_table(of_batches(chain([first], rest), first.schema))


# --- files ----------------------------------------------------------------------------


def of_path(path: pathlib.Path) -> EventSource:
    """Events of a file or a folder.

    Args:
        path: .parquet, .csv, .tsv, RecBole's .inter, or a folder with parquet files,
            in it or below it.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: another kind of file, or a folder without parquet files.
        CorruptFileError: it is not what its name says.

    Example:
        >>> of_path(pathlib.Path("nowhere.csv"))
        Traceback (most recent call last):
        ...
        FileNotFoundError: there is no file or folder nowhere.csv; ...
    """
    if not path.exists():
        raise FileNotFoundError(
            f"there is no file or folder {path}; give the path of events "
            f"({FORMS}), or read a benchmark with multidd.recsys.load"
        )
    if path.is_dir():
        return _of_folder(path)
    check_regular(path)  # a pipe would wait for ever, a device has no end
    is_packed = path.suffix.lower() == ".gz"
    unpacked = path.with_suffix("") if is_packed else path
    if unpacked.suffix.lower() in DELIMITERS:
        return _of_text(path, unpacked.suffix.lower(), unpacked.stem, is_packed)
    if path.suffix.lower() in PARQUET:
        return _of_parquet([path], str(path), path.stem)
    raise ValueError(
        f"{path} is none of {FORMS}; for other files pass what reads them: a pandas "
        "or polars frame, an Arrow table, or triples"
    )


def _of_folder(folder: pathlib.Path) -> EventSource:
    listing = list_files(folder, SPARK_HIDDEN)
    files = listing.of_suffix(PARQUET)
    if not files:
        raise ValueError(
            f"{folder} holds no .parquet file; give the path of a single file ({FORMS})"
            f"; its files are {suffix_counts(listing.files) or 'none'}"
        )
    source = _of_parquet(files, str(folder), folder.name)

    def read(names: list[str]) -> Iterator[Columns]:
        listing.warn(files, "parquet files (.parquet, .pq)")
        return source.read(names)

    return replace(source, read=read)


def _of_parquet(files: list[pathlib.Path], label: str, name: str) -> EventSource:
    import pyarrow.dataset

    # Folders such as day=3 become columns, as Spark and Hive write them.
    paths, form = [str(file) for file in files], {"format": "parquet"}
    data = attempt(
        lambda: pyarrow.dataset.dataset(paths, partitioning="hive", **form),
        damaged(f"{label} cannot be opened as parquet"),
    )
    source = _of_table(of_dataset(data, label), name)
    notes = data.schema.metadata or {}
    return replace(source, sketch=_sketch_facts(notes.get(SKETCH_NOTE, b"")))


def _sketch_facts(note: bytes) -> dict[str, Any]:
    """What a sketch saw, where the note is one of ours; else nothing."""
    try:
        facts = parse_json(note.decode())
    except ValueError:
        return {}
    values = facts.values() if isinstance(facts, dict) else [None]
    # Numbers and booleans, finite ones: they go into cards.
    sound = all(isinstance(v, int | float) and abs(v) < 2**63 for v in values)
    return facts if sound else {}


def _of_text(
    path: pathlib.Path, suffix: str, name: str, is_packed: bool
) -> EventSource:
    """A text file with a header; every column stays text until all of it is read."""
    import pyarrow
    import pyarrow.csv as csv

    def open_file(columns: list[str]) -> Any:
        return csv.open_csv(
            pyarrow.input_stream(str(path), "gzip" if is_packed else None),
            csv.ReadOptions(block_size=CSV_BLOCK),
            # A block may end in a quoted cell, behind a line break of its own.
            csv.ParseOptions(delimiter=DELIMITERS[suffix], newlines_in_values=True),
            csv.ConvertOptions(
                column_types=dict.fromkeys(columns, "string"),
                include_columns=columns,
                strings_can_be_null=True,
                null_values=[""],
            ),
        )

    def fault(error: Exception) -> Exception:
        if "straddl" in str(error):  # of two blocks
            return ValueError(
                f"{path} has a row of more than {CSV_BLOCK // 2**20} MB, or a quote "
                "that is not closed; mend it, or pass the frame of a reader that takes "
                "it, such as pandas.read_csv"
            )
        return ValueError(
            f"{path} cannot be read as {suffix} text: {first_line(error)}; it must "
            f"have a header and be delimited by {DELIMITERS[suffix]!r}"
        )

    try:
        header = attempt(lambda: open_file([]).schema.names, fault)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error}); convert it first") from error
    typed = suffix == ".inter"
    names = [column.split(":")[0] if typed else column for column in header]

    def read(chosen: list[str]) -> Iterator[Columns]:
        columns = [header[names.index(name)] for name in chosen]
        file = attempt(lambda: open_file(columns), fault)
        for batch in guarded(file, fault):
            yield dict(zip(chosen, columns_of(batch, columns).values(), strict=True))

    return EventSource(
        str(path), tuple(names), read, name=name, numbers_as_text=True, typed=typed
    )


# --- in memory ------------------------------------------------------------------------


def of_triples(rows: Any, label: str = "the triples") -> EventSource:
    """Events of (user, item[, rating[, time]]) rows: a list of tuples or an array.

    Args:
        rows: `[n, 2..4]`.
        label: what errors call them.

    Raises:
        ValueError: rows of other lengths.

    Example:
        >>> dict(of_triples([("ann", 7), ("bob", 9)]).roles)
        {'user': 'user', 'item': 'item'}
    """
    if isinstance(rows, list | tuple):
        widths = {len(row) for row in rows if hasattr(row, "__len__")} or {2}
        sound = all(hasattr(row, "__len__") for row in rows)
        width = widths.pop() if len(widths) == 1 and sound else 0
        columns = list(zip(*rows, strict=False)) if width else []
    else:
        rows = np.asarray(rows)
        check_nan_texts(rows, label)
        width = rows.shape[1] if rows.ndim == 2 else 0
        columns = list(rows.T) if width else []
    if not 2 <= width <= 4:
        raise ValueError(
            "rows of events must all be (user, item), (user, item, rating) or "
            f"(user, item, rating, time); got {_shape(rows)}"
        )
    named = dict(zip(POSITIONS, columns, strict=False))
    return _of_columns(label, POSITIONS[:width], named, len(rows))


def of_matrix(matrix: Any, label: str = "the matrix") -> EventSource:
    """Events of a scipy sparse matrix, users x items: its entries that are not zero.

    Ids are numbers of rows and columns; values are ratings, unless all are one. Rows
    and columns without entries are left out, and counted.

    Example:
        >>> from scipy.sparse import csr_array
        >>> dict(of_matrix(csr_array([[1, 0], [0, 0]])).dropped)["users without items"]
        1
    """
    check_values(matrix)
    entries = matrix.tocoo()
    nonzero = entries.data != 0
    user, item = (axis[nonzero] for axis in entries.coords)
    columns = {"user": user, "item": item}
    if not (entries.data[nonzero] == 1).all():
        columns["rating"] = entries.data[nonzero].astype(np.float64)
    dropped = {
        "stored zeros": int(len(nonzero) - nonzero.sum()),
        "users without items": matrix.shape[0] - len(np.unique(user)),
        "items without users": matrix.shape[1] - len(np.unique(item)),
    }
    return _of_columns(label, tuple(columns), columns, len(user), dropped)


def _of_columns(
    label: str,
    names: tuple[str, ...],
    columns: Mapping[str, Any],
    count: int,
    dropped: Mapping[str, int] | None = None,
) -> EventSource:
    """Columns whose position says what they hold; without rows there may be none."""

    def read(chosen: list[str]) -> Iterator[Columns]:
        size = table_source.BATCH_ROWS
        for start in range(0, count, size):
            yield {name: columns[name][start : start + size] for name in chosen}

    roles = {name: name for name in names}
    return EventSource(label, names, read, roles=roles, dropped=dropped or {})


def _shape(rows: Any) -> str:
    if isinstance(rows, np.ndarray):
        return f"an array of shape {list(rows.shape)}"
    lengths = sorted({len(row) if hasattr(row, "__len__") else 1 for row in rows})
    return f"rows of {', '.join(map(str, lengths))} values"
