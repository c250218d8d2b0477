"""Events in files: parquet (one, a folder, an Arrow dataset), CSV, RecBole's .inter."""

import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

from scipy import sparse

from multidd.data.tables import attempt, damaged, guarded
from multidd.errors import first_line
from multidd.recsys.data.tables import (
    BATCH,
    Columns,
    Events,
    columns_of,
    of_batches,
    of_hf,
    of_matrix,
    of_pandas,
    of_rows,
    of_table,
)

DELIMITERS = {".csv": ",", ".tsv": "\t", ".inter": "\t"}
BLOCK = 2**24  # bytes of text parsed at a time

FORMS = ".parquet, .csv, .tsv, .inter (the last three also .gz), or a folder of parquet"


def of_path(path: pathlib.Path) -> Events:
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
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    if plain.suffix in DELIMITERS:
        return _of_text(path, plain.suffix, plain.stem)
    if path.suffix in (".parquet", ".pq"):
        return _of_parquet([path], str(path), path.stem)
    raise ValueError(
        f"{path} is none of {FORMS}; for other files pass what reads them: a pandas "
        "or polars frame, an Arrow table, or triples"
    )


def _of_folder(folder: pathlib.Path) -> Events:
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise ValueError(
            f"{folder} holds no .parquet file; give the path of a single file ({FORMS})"
        )
    return _of_parquet(files, str(folder), folder.name)


def _of_parquet(files: list[pathlib.Path], what: str, name: str) -> Events:
    import pyarrow.dataset

    # Folders such as day=3 become columns, as Spark and Hive write them.
    paths, form = [str(file) for file in files], {"format": "parquet"}
    data = attempt(
        lambda: pyarrow.dataset.dataset(paths, partitioning="hive", **form),
        damaged(f"{what} cannot be opened as parquet"),
    )
    return of_dataset(data, what, name)


def of_dataset(data: Any, what: str = "the dataset", name: str = "") -> Events:
    """Events of a `pyarrow.dataset.Dataset`; parquet is read a row group at a time.

    Args:
        data: the dataset; a filter on it holds.
        what: what errors call it.
        name: its own name.

    Example:
        >>> import pyarrow, pyarrow.dataset
        >>> table = pyarrow.table({"user": [1], "item": [2]})
        >>> of_dataset(pyarrow.dataset.dataset(table)).names
        ('user', 'item')
    """

    def read(names: list[str]) -> Iterator[Columns]:
        try:
            fragments = list(data.get_fragments())
        except ValueError:  # a filtered dataset does not give its fragments
            batches = data.to_batches(columns=names, batch_size=BATCH)
            fault = damaged(f"{what} cannot be read")
            yield from (columns_of(b, names) for b in guarded(batches, fault))
            return
        for fragment in fragments:
            yield from _of_fragment(fragment, data.schema, names, what)

    return Events(what, tuple(data.schema.names), read, name=name)


def _of_fragment(
    fragment: Any, schema: Any, names: list[str], what: str
) -> Iterator[Columns]:
    """One file of a dataset, or a table in memory."""
    import pyarrow.dataset

    path = getattr(fragment, "path", what)
    fault = damaged(f"{path} cannot be opened")
    own = attempt(lambda: fragment.physical_schema, fault)
    keys = pyarrow.dataset.get_partition_keys(fragment.partition_expression)
    absent = [name for name in names if name not in own.names and name not in keys]
    if absent:
        raise ValueError(
            f"{path} has no column {absent[0]!r}, which other files of {what} have; "
            f"its columns are {', '.join(own.names)}"
        )
    # Its own types: a column of int32 here may be one of int64 in the next file.
    for key in keys:
        if key not in own.names:
            own = own.append(schema.field(key))
    options: dict[str, Any] = {"schema": own, "columns": names, "batch_size": BATCH}
    if not isinstance(fragment, pyarrow.dataset.ParquetFileFragment):
        for batch in guarded(fragment.to_batches(**options), fault):
            yield columns_of(batch, names)
        return
    options["fragment_scan_options"] = pyarrow.dataset.ParquetFragmentScanOptions(
        page_checksum_verification=True
    )
    groups = attempt(fragment.split_by_row_group, fault)
    for group in groups:
        place = f"row group {group.row_groups[0].id} of {fragment.num_row_groups}"
        fault = damaged(f"{path} is damaged: {place} (from 0) cannot be read")
        for batch in guarded(group.to_batches(**options), fault):
            yield columns_of(batch, names)


def _of_text(path: pathlib.Path, suffix: str, name: str) -> Events:
    """A text file with a header; every column stays text until all of it is read."""
    import pyarrow.csv as csv

    def open_file(wanted: list[str] | None) -> Any:
        return csv.open_csv(
            str(path),  # by its suffix .gz is unpacked
            csv.ReadOptions(block_size=BLOCK),
            csv.ParseOptions(delimiter=DELIMITERS[suffix]),
            csv.ConvertOptions(
                column_types={column: "string" for column in wanted or ()},
                include_columns=wanted or [],
                strings_can_be_null=True,
                null_values=[""],
            ),
        )

    def fault(error: Exception) -> Exception:
        return ValueError(
            f"{path} cannot be read as {suffix} text: {first_line(error)}; it must "
            f"have a header and be delimited by {DELIMITERS[suffix]!r}"
        )

    header = attempt(lambda: open_file(None).schema.names, fault)
    typed = suffix == ".inter"
    plain = [column.split(":")[0] if typed else column for column in header]

    def read(names: list[str]) -> Iterator[Columns]:
        wanted = [header[plain.index(column)] for column in names]
        file = attempt(lambda: open_file(wanted), fault)
        for batch in guarded(file, fault):
            yield dict(zip(names, columns_of(batch, wanted).values(), strict=True))

    return Events(str(path), tuple(plain), read, text=True, typed=typed, name=name)


def open_events(source: Any) -> Events:
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
    found = _of_library(source, type(source).__module__.split(".")[0])
    if found is not None:
        return found
    if isinstance(source, list | tuple) and not _holds_batches(source):
        return of_rows(source)
    if hasattr(source, "__array__"):  # numpy, torch
        return of_rows(source)
    if isinstance(source, Iterable) and not isinstance(source, dict | bytes):
        return of_batches(source)
    raise TypeError(
        "events must be a path, a pandas or polars frame, an Arrow table, dataset or "
        "record batches, a datasets.Dataset, rows of (user, item[, rating[, time]]) "
        f"or a scipy sparse matrix; got {type(source).__name__}"
    )


def _of_library(source: Any, library: str) -> Events | None:
    """By its library and methods: those not installed must not be imported."""
    if library == "pandas" and hasattr(source, "iloc") and hasattr(source, "columns"):
        return of_pandas(source)
    # By a method, too: many projects have a module called datasets of their own.
    if library == "datasets" and hasattr(source, "column_names"):
        return of_hf(source)
    if library == "pyarrow":
        return _of_arrow(source)
    if hasattr(source, "to_arrow"):  # polars and others
        return _of_arrow(source.to_arrow())
    if hasattr(source, "__arrow_c_stream__"):
        import pyarrow

        return of_batches(pyarrow.RecordBatchReader.from_stream(source))
    if hasattr(source, "collect") and hasattr(source, "collect_schema"):
        raise TypeError("a lazy frame holds no rows yet; pass frame.collect()")
    return None


def _of_arrow(source: Any) -> Events | None:
    import pyarrow
    import pyarrow.dataset

    if isinstance(source, pyarrow.Table | pyarrow.RecordBatch):
        return of_table(source)
    if isinstance(source, pyarrow.dataset.Dataset):
        return of_dataset(source)
    return None


def _holds_batches(source: Any) -> bool:
    return bool(source) and type(source[0]).__module__.split(".")[0] == "pyarrow"
