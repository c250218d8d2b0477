"""Cells of tables: what is missing, names of classes, Arrow and NumPy.

Without torch: processes that only read tables are small.
"""

import json
from typing import Any

import numpy as np

Value = int | str
"""The value of a label."""


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: None, NaN, or what pandas writes for them.

    Example:
        >>> [is_missing(value) for value in (None, float("nan"), "", 0)]
        [True, True, False, False]
    """
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas' NA is neither; an array is no cell
        return type(value).__name__ == "NAType"


def check_nan_texts(array: Any, label: str) -> None:
    """Refuse an array of texts with `nan` in it: NumPy makes that of a NaN among texts.

    Args:
        array: of any kind; what is no NumPy array passes.
        label: what the message calls the values.

    Example:
        >>> check_nan_texts(np.array(["a", np.nan]), "labels")
        Traceback (most recent call last):
        ...
        ValueError: labels hold the text 'nan' 1 times, which NumPy makes of missing ...
    """
    is_text = isinstance(array, np.ndarray) and array.dtype.kind in "UT"
    count = int((array == "nan").sum()) if is_text else 0
    if count:
        raise ValueError(
            f"{label} hold the text 'nan' {count} times, which NumPy makes of missing "
            "values; leave these out, or pass a list where it is a text"
        )


def whole_limit(dtype: Any) -> float:
    """The number from which on floats of a type merge whole numbers.

    Example:
        >>> [whole_limit(np.dtype(name)) for name in ("float16", "float32")]
        [2048, 16777216]
    """
    return 2 ** (int(np.finfo(dtype).nmant) + 1)


def class_names(schema: Any) -> dict[str, tuple[str, ...]]:
    """Class names that the datasets library wrote beside its columns.

    Args:
        schema: of an Arrow table or a parquet file.

    Returns:
        Column -> names of its classes.

    Example:
        >>> import pyarrow
        >>> class_names(pyarrow.schema([("label", pyarrow.int64())]))
        {}
    """
    try:
        info = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = info.get("info", {}).get("features", {})
        kinds = {n: f for n, f in features.items() if f.get("_type") == "ClassLabel"}
        return {name: tuple(map(str, kind["names"])) for name, kind in kinds.items()}
    except (ValueError, AttributeError, TypeError, KeyError):
        return {}  # a note of another library: the columns themselves are sound


def as_arrow(numbers: np.ndarray) -> Any:
    """Whole numbers as an Arrow array, without pandas, which `pyarrow.array` loads.

    Args:
        numbers: `[n]` int64 or uint64.

    Example:
        >>> as_arrow(np.array([3, 1])).to_pylist()
        [3, 1]
    """
    import pyarrow

    kind = pyarrow.uint64() if numbers.dtype == np.uint64 else pyarrow.int64()
    content = pyarrow.py_buffer(np.ascontiguousarray(numbers))
    return pyarrow.Array.from_buffers(kind, len(numbers), [None, content])


def as_numbers(array: Any, missing: Any = None) -> np.ndarray:
    """Numbers of an Arrow array, not copied; its own `to_numpy` loads pandas.

    Args:
        array: of numbers.
        missing: stands for those that are missing; None: none is.

    Example:
        >>> import pyarrow
        >>> as_numbers(pyarrow.array([4, 3, 1], pyarrow.int32())[1:])
        array([3, 1], dtype=int32)
    """
    if array.null_count:
        array = array.fill_null(missing)
    name = str(array.type)
    dtype = np.dtype({"float": "float32"}.get(name, name))
    content = array.buffers()[1]
    if content is None or not len(array):
        return np.empty(0, dtype)
    start = array.offset * dtype.itemsize
    return np.frombuffer(content, dtype, len(array), start)


def as_bools(array: Any) -> np.ndarray:
    """An Arrow array of booleans, none missing, as `[n]` bool; see `as_numbers`.

    Example:
        >>> import pyarrow
        >>> as_bools(pyarrow.array([True, False]))
        array([ True, False])
    """
    import pyarrow

    return as_numbers(array.cast(pyarrow.uint8())).astype(bool)
