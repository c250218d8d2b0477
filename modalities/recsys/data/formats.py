"""What holds events: told apart here, opened in `files` and `frames`."""

import os
import pathlib
from collections.abc import Iterable
from typing import Any

from scipy import sparse

from multidd.recsys.data.events import Events
from multidd.recsys.data.sources import of_dataset, of_path
from multidd.recsys.data.tables import (
    of_batches,
    of_hf,
    of_matrix,
    of_pandas,
    of_rows,
    of_table,
)


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
