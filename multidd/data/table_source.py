"""Tables of any library as named columns: pandas, polars, Arrow, datasets, rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypeAlias

import numpy as np

from multidd.data.cells import check_nan_texts, is_missing
from multidd.errors import CorruptFileError, first_line

BATCH_ROWS = 2**20  # read at a time

Columns: TypeAlias = Mapping[str, Any]  # name -> values, all of one length


@dataclass(frozen=True, eq=False)
class TableSource:
    """A source with named columns, opened and not read yet.

    Attributes:
        label: what errors call it.
        names: its columns.
        read: gives batches of the columns asked for, each column as an Arrow array, a
            pandas series, a numpy array or a list.
        classes: column -> names of its classes, where the source has them.
        name: its own name, for reports.
        numbers_as_text: numbers are written as text, as in CSV.
    """

    label: str
    names: tuple[str, ...]
    read: Callable[[list[str]], Iterator[Columns]]
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    name: str = ""
    numbers_as_text: bool = False

    def arrow(self, names: Sequence[str]) -> Iterator[Columns]:
        """Batches of columns as Arrow arrays.

        Raises:
            ValueError: a column of several kinds of values; names the first odd row.
        """
        start = 0
        for batch in self.read(list(names)):
            columns = {
                name: to_arrow(values, name, self.label, start)
                for name, values in batch.items()
            }
            del batch  # a log may be larger than memory
            start += len(next(iter(columns.values())))
            yield columns
            del columns

    def lists(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """All values of columns as lists, in one pass: a stream is read only once."""
        lists: dict[str, list[Any]] = {name: [] for name in names}
        for batch in self.read(list(names)):
            for name, values in batch.items():
                lists[name] += as_list(values, f"column {name!r} of {self.label}")
        return lists


def open_table(source: Any) -> TableSource | None:
    """A table of any library, or None for what has no named columns.

    Args:
        source: a pandas or polars frame; an Arrow table, dataset, reader, batch or
            list of batches; anything with `__arrow_c_stream__`; a `datasets.Dataset`;
            a list of dicts.

    Raises:
        TypeError: a lazy frame; a list that begins with a dict and holds other things.

    Example:
        >>> open_table([{"text": "a", "label": 1}]).names
        ('text', 'label')
        >>> open_table([1, 2]) is None
        True
    """
    # By library and methods: those that are not installed must not be imported, and
    # many projects have a module called datasets of their own.
    library = type(source).__module__.split(".")[0]
    if library == "pandas":
        is_frame = hasattr(source, "iloc") and hasattr(source, "columns")
        return of_pandas(source) if is_frame else None
    if library == "datasets" and hasattr(source, "select_columns"):
        return None if isinstance(source, Mapping) else of_hf(source)
    if library == "pyarrow":
        return _of_pyarrow(source)
    if hasattr(source, "to_arrow"):  # polars and others
        return _of_pyarrow(source.to_arrow())
    if hasattr(source, "__arrow_c_stream__"):
        return _of_stream(source)
    if hasattr(source, "collect") and hasattr(source, "collect_schema"):
        raise TypeError("a lazy frame holds no rows yet; pass frame.collect()")
    if isinstance(source, list | tuple) and source:
        if isinstance(source[0], Mapping):
            return of_rows(source)
        if _is_batch(source[0]):
            return of_batches(source, source[0].schema)
    return None


def _is_batch(value: Any) -> bool:
    library = type(value).__module__.split(".")[0]
    return library == "pyarrow" and hasattr(value, "schema")


def _of_pyarrow(source: Any) -> TableSource | None:
    import pyarrow
    import pyarrow.dataset

    if isinstance(source, pyarrow.Table | pyarrow.RecordBatch):
        return of_arrow(source)
    if isinstance(source, pyarrow.dataset.Dataset):
        return of_dataset(source)
    if isinstance(source, pyarrow.RecordBatchReader):
        return of_batches(source, source.schema)
    return None


def _of_stream(source: Any) -> TableSource | None:
    import pyarrow

    try:
        reader = pyarrow.RecordBatchReader.from_stream(source)
    except pyarrow.ArrowException:  # a stream of one column without a name
        return None
    return of_batches(reader, reader.schema)


# --- one opener for each kind of table ------------------------------------------------


def of_pandas(frame: Any, label: str = "the frame") -> TableSource:
    """A `pandas.DataFrame`; its index is not read.

    Example:
        >>> import pandas
        >>> of_pandas(pandas.DataFrame({"user": [1], "item": [2]})).names
        ('user', 'item')
    """
    names = tuple(map(str, frame.columns))

    def read(chosen: list[str]) -> Iterator[Columns]:
        for start in range(0, len(frame), BATCH_ROWS):
            part = frame.iloc[start : start + BATCH_ROWS]
            yield {name: part.iloc[:, names.index(name)] for name in chosen}

    return TableSource(label, names, read)


def of_arrow(table: Any, label: str = "the table") -> TableSource:
    """A `pyarrow.Table` or `RecordBatch`.

    Example:
        >>> import pyarrow
        >>> of_arrow(pyarrow.table({"text": ["a"], "label": [1]})).lists(["text"])
        {'text': ['a']}
    """
    import pyarrow

    if isinstance(table, pyarrow.RecordBatch):
        table = pyarrow.Table.from_batches([table])

    def read(names: list[str]) -> Iterator[Columns]:
        batches = table.select(names).to_batches(max_chunksize=BATCH_ROWS)
        return (columns_of(batch, names) for batch in batches)

    return TableSource(label, tuple(table.schema.names), read)


def of_batches(
    batches: Iterable[Any], schema: Any, label: str = "the batches"
) -> TableSource:
    """A `RecordBatchReader`, or any iterable of record batches or tables.

    Each batch is dropped before the next is asked for, so a table may be larger than
    memory. An iterator is used up.

    Args:
        batches: all with the columns of the first.
        schema: of the first.
        label: what errors call them.

    Example:
        >>> import pyarrow
        >>> batch = pyarrow.record_batch({"user": [1], "item": [2]})
        >>> of_batches([batch, batch], batch.schema).lists(["item"])
        {'item': [2, 2]}
    """

    def read(names: list[str]) -> Iterator[Columns]:
        for batch in batches:
            absent = [name for name in names if name not in batch.schema.names]
            if absent:
                raise ValueError(
                    f"a batch has no column {absent[0]!r}, which the first one has; "
                    f"its columns are {', '.join(batch.schema.names)}"
                )
            yield columns_of(batch, names)

    return TableSource(label, tuple(schema.names), read)


def of_dataset(data: Any, label: str = "the dataset") -> TableSource:
    """A `pyarrow.dataset.Dataset`; parquet is read a row group at a time.

    Args:
        data: the dataset; a filter on it holds.
        label: what errors call it.

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
            batches = data.to_batches(columns=names, batch_size=BATCH_ROWS)
            fault = damaged(f"{label} cannot be read")
            yield from (columns_of(b, names) for b in guarded(batches, fault))
            return
        for fragment in fragments:
            yield from _of_fragment(fragment, data.schema, names, label)

    return TableSource(label, tuple(data.schema.names), read)


def _of_fragment(
    fragment: Any, schema: Any, names: list[str], label: str
) -> Iterator[Columns]:
    """One file of a dataset, or a table in memory."""
    import pyarrow.dataset

    path = getattr(fragment, "path", label)
    fault = damaged(f"{path} cannot be opened")
    # Its own types: a column of int32 here may be one of int64 in the next file.
    physical = attempt(lambda: fragment.physical_schema, fault)
    keys = pyarrow.dataset.get_partition_keys(fragment.partition_expression)
    absent = [name for name in names if name not in (*physical.names, *keys)]
    if absent:
        raise ValueError(
            f"{path} has no column {absent[0]!r}, which other files of {label} have; "
            f"its columns are {', '.join(physical.names)}"
        )
    for key in keys:
        if key not in physical.names:
            physical = physical.append(schema.field(key))
    options: dict[str, Any] = {
        "schema": physical,
        "columns": names,
        "batch_size": BATCH_ROWS,
    }
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


def of_hf(data: Any, label: str = "the dataset") -> TableSource:
    """A `datasets.Dataset`, or a stream whose columns are known.

    Formats and transforms are left out.

    Raises:
        TypeError: a stream of unknown columns.

    Example:
        >>> from datasets import Dataset
        >>> of_hf(Dataset.from_dict({"text": ["a"], "label": [1]})).names
        ('text', 'label')
    """
    if data.column_names is None:
        raise TypeError("the stream's columns are not known; load it without streaming")
    features = (data.features or {}).items()
    classes = {n: tuple(f.names) for n, f in features if _is_class_label(f)}

    def read(names: list[str]) -> Iterator[Columns]:
        arrow = data.select_columns(names).with_format("arrow")
        return (columns_of(b, names) for b in arrow.iter(batch_size=BATCH_ROWS))

    names = tuple(data.column_names)
    return TableSource(label, names, read, classes, data.info.dataset_name or "")


def _is_class_label(feature: Any) -> bool:
    return type(feature).__name__ == "ClassLabel"


def of_mapping(columns: Mapping[Any, Any], label: str = "the dict") -> TableSource:
    """A dict of columns.

    Example:
        >>> of_mapping({"text": ["a"], "label": [1]}).lists(["text"])
        {'text': ['a']}
    """

    def read(names: list[str]) -> Iterator[Columns]:
        yield {name: columns[name] for name in names}

    return TableSource(label, tuple(columns), read)


def of_rows(rows: Sequence[Any], label: str = "the list") -> TableSource:
    """A list of dicts, one for each row.

    Raises:
        TypeError: a row that is no dict.

    Example:
        >>> of_rows([{"text": "a", "label": 1}, {"text": "b", "label": 0}]).names
        ('text', 'label')
    """
    odd = next((i for i, row in enumerate(rows) if not isinstance(row, Mapping)), None)
    if odd is not None:
        raise TypeError(
            f"{label} must hold a dict for each row; row {odd} (from 0) is "
            f"{type(rows[odd]).__name__}"
        )

    def column(name: str) -> list[Any]:
        absent = [i for i, row in enumerate(rows) if name not in row]
        if absent:
            raise ValueError(
                f"{len(absent)} of {len(rows)} rows of {label} have no {name!r}, the "
                f"first is row {absent[0]} (from 0); add it, or drop these rows"
            )
        return [row[name] for row in rows]

    def read(names: list[str]) -> Iterator[Columns]:
        yield {name: column(name) for name in names}

    names = dict.fromkeys(str(name) for row in rows for name in row)
    return TableSource(label, tuple(names), read)


# --- columns --------------------------------------------------------------------------


def columns_of(batch: Any, names: list[str]) -> Columns:
    """Columns of an Arrow batch or table, each as one array.

    Example:
        >>> import pyarrow
        >>> columns_of(pyarrow.table({"a": [1], "b": [2]}), ["b"])["b"].to_pylist()
        [2]
    """
    columns = {name: batch.column(name) for name in names}
    is_table = hasattr(batch, "to_batches")
    return {n: c.combine_chunks() if is_table else c for n, c in columns.items()}


def to_arrow(values: Any, name: str, label: str, start: int = 0) -> Any:
    """One column of Python, numpy, pandas or Arrow values as an Arrow array.

    Args:
        values: `[n]`.
        name: of the column.
        label: what errors call the table.
        start: row of the first value.

    Raises:
        ValueError: values of several kinds; names the first odd one and its row.

    Example:
        >>> to_arrow([4, "five"], "rating", "the frame")
        Traceback (most recent call last):
        ...
        ValueError: column 'rating' of the frame mixes int and str: row 1 (from 0) ...
    """
    import pyarrow

    if isinstance(values, pyarrow.Array):
        return values
    tidy = values
    if isinstance(values, np.ndarray) and values.dtype.kind in "UT":
        tidy = values.astype(object)  # pyarrow takes arrays of text as objects only
    for kind in (None, pyarrow.uint64()):  # the latter for ids of 2**63 and more
        try:
            array = pyarrow.array(tidy, kind, from_pandas=True)
        except (pyarrow.ArrowException, TypeError, OverflowError) as error:
            fault: Exception = error
        else:
            return array.combine_chunks() if hasattr(array, "num_chunks") else array
    raise _mixed(values, f"column {name!r} of {label}", start, fault) from fault


def _mixed(values: Any, label: str, start: int, fault: Exception) -> ValueError:
    """The error for a column that is of no type: the first value unlike the first."""
    listed = np.asarray(values, object).tolist()
    kinds = [None if is_missing(value) else type(value) for value in listed]
    first = next((kind for kind in kinds if kind is not None), object)
    odd = [at for at, kind in enumerate(kinds) if kind not in (None, first)]
    if not odd:
        return ValueError(f"{label} cannot be read: {fault}; convert it first")
    return ValueError(
        f"{label} mixes {first.__name__} and {type(listed[odd[0]]).__name__}: row "
        f"{start + odd[0]} (from 0) holds {listed[odd[0]]!r}; make all of them "
        "numbers, or all of them text"
    )


def as_list(values: Any, label: str) -> list[Any]:
    """The values of a list, tuple, array, series or column, as a list.

    Raises:
        TypeError: a single text, or something without a length.
        ValueError: an array of texts that NumPy made of missing values.

    Example:
        >>> as_list(("a", "b"), "texts")
        ['a', 'b']
    """
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__"):
        raise TypeError(
            f"{label} must be a list, an array or a column; got {type(values).__name__}"
        )
    check_nan_texts(values, label)
    return values.tolist() if hasattr(values, "tolist") else list(values)


# --- errors of pyarrow in our words ---------------------------------------------------


def guarded(
    batches: Iterable[Any], fault: Callable[[Exception], Exception]
) -> Iterator[Any]:
    """The same batches; what pyarrow raises on the way is raised as `fault` makes it.

    Example:
        >>> list(guarded([1, 2], lambda error: ValueError(error)))
        [1, 2]
    """
    rest = iter(batches)
    while True:
        try:
            batch = attempt(lambda: next(rest), fault)
        except StopIteration:
            return
        yield batch


def attempt(call: Callable[[], Any], fault: Callable[[Exception], Exception]) -> Any:
    """What `call` returns; what pyarrow raises is raised as `fault` makes it.

    Example:
        >>> attempt(lambda: 3, lambda error: ValueError(error))
        3
    """
    import pyarrow

    try:
        return call()
    except (OSError, pyarrow.ArrowException) as error:
        raise fault(error) from error


def damaged(problem: str) -> Callable[[Exception], Exception]:
    """What `attempt` raises for a file that is not what it should be.

    Example:
        >>> str(damaged("x.parquet cannot be read")(OSError("no footer")))
        'x.parquet cannot be read: no footer; use another copy of the file, or ...'
    """
    advice = "use another copy of the file, or write it again"
    return lambda error: CorruptFileError(f"{problem}: {first_line(error)}; {advice}")


def no_column(label: str, name: str, role: str, names: Sequence[str]) -> ValueError:
    """The error for a column that is not there: names those that are.

    Example:
        >>> str(no_column("the frame", "txt", "text", ["text", "label"]))
        "the frame has no column 'txt' (text); its columns are text, label; did you ..."
    """
    close = get_close_matches(name, names, 1, 0.6)
    return ValueError(
        f"{label} has no column {name!r} ({role}); its columns are {', '.join(names)}"
        f"{f'; did you mean {close[0]!r}?' if close else ''}"
    )
