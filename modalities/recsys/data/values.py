"""Ratings, times and parts: columns of events as checked arrays."""

from typing import Any

import numpy as np

from multidd.recsys.data.splits import TEST, TRAIN, VAL, WORDS

OUT = -1  # the part of an event that is in none

NUMBER = r"(?i)^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$|^[+-]?(nan|inf|infinity)$"


def as_ratings(column: Any, what: str, start: int = 0) -> np.ndarray:
    """Ratings: finite and not negative.

    Args:
        column: `[n]` Arrow array of numbers, or of text that is numbers.
        what: what errors call it.
        start: row of the first value.

    Returns:
        `[n]` float32.

    Raises:
        ValueError: names the first bad value and its row.

    Example:
        >>> import pyarrow
        >>> as_ratings(pyarrow.array([4, -1]), "column 'stars'")
        Traceback (most recent call last):
        ...
        ValueError: column 'stars' holds -1 in row 1 (from 0): ratings must be ...
    """
    found = _floats(column, what, start)
    bad = np.flatnonzero(~((found >= 0) & np.isfinite(found)))
    if len(bad):
        raise ValueError(
            f"{what} holds {_shown(column, bad[0])} in row {start + bad[0]} (from 0): "
            "ratings must be finite and not negative; leave such rows out, or do not "
            "name the column as rating"
        )
    return found.astype(np.float32)


def as_times(column: Any, what: str, start: int = 0) -> np.ndarray:
    """Times: numbers as they are, dates and datetimes in microseconds since 1970.

    Args:
        column: `[n]` Arrow array of numbers, datetimes, or text that is numbers.
        what: what errors call it.
        start: row of the first value.

    Returns:
        `[n]` int64, or float64 where they are no whole numbers.

    Raises:
        ValueError: names the first bad value and its row.

    Example:
        >>> import datetime, pyarrow
        >>> as_times(pyarrow.array([datetime.date(1970, 1, 2)]), "column 'day'")
        array([86400000000])
    """
    import pyarrow

    column, kinds = _plain(column), pyarrow.types
    if kinds.is_timestamp(column.type) or kinds.is_date(column.type):
        column = column.cast(pyarrow.timestamp("us"), safe=False)
        column = column.cast(pyarrow.int64())
    if column.null_count == 0 and not kinds.is_floating(column.type):
        try:
            return np.array(_trimmed(column).cast(pyarrow.int64()), np.int64)
        except pyarrow.ArrowException:
            pass  # text such as 1.5e9, or no number
    found = _floats(column, what, start)
    bad = np.flatnonzero(~np.isfinite(found))
    if len(bad):
        raise ValueError(
            f"{what} holds {_shown(column, bad[0])} in row {start + bad[0]} (from 0): "
            "times must be finite; leave such rows out, or do not name the column as "
            "time"
        )
    return found


def as_parts(column: Any, what: str, start: int = 0) -> np.ndarray:
    """Parts: 0, 1, 2 or words for them; -1 for what is in none.

    Args:
        column: `[n]` Arrow array. A negative number or nothing is in no part.
        what: what errors call it.
        start: row of the first value.

    Returns:
        `[n]` int8.

    Raises:
        ValueError: names the first other value and its row.

    Example:
        >>> import pyarrow
        >>> as_parts(pyarrow.array(["train", "valid", None]), "column 'part'")
        array([ 0,  1, -1], dtype=int8)
    """
    codes = _plain(column).dictionary_encode()
    known = [_part(value) for value in codes.dictionary.to_pylist()]
    if None in known:
        value = known.index(None)
        found = codes.indices.fill_null(OUT).to_numpy(zero_copy_only=False)
        first = int(np.flatnonzero(found == value)[0])
        raise ValueError(
            f"{what} holds {codes.dictionary[value].as_py()!r} in row {start + first} "
            f"(from 0): parts are 0, 1, 2 or {', '.join(WORDS)}, and negative numbers "
            "or nothing for rows to leave out"
        )
    table = np.array([*known, OUT], np.int8)
    return table[codes.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)]


def _part(value: Any) -> int | None:
    """The part a value means, -1 for none of them; None for what means nothing."""
    if value is None:
        return OUT
    if isinstance(value, str):
        word = value.strip().lower()
        if word in WORDS:
            return WORDS[word]
        digits = word.removeprefix("-").removesuffix(".0")
        if not (digits.isascii() and digits.isdigit()):
            return None
        value = int(float(word))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if value != value or value < 0:
        return OUT
    return int(value) if value in (TRAIN, VAL, TEST) else None


def _plain(column: Any) -> Any:
    """Values themselves where a column holds numbers of them in a dictionary."""
    import pyarrow

    if pyarrow.types.is_dictionary(column.type):
        return column.dictionary_decode()
    return column


def _is_text(column: Any) -> bool:
    import pyarrow

    kinds = pyarrow.types
    tests = (kinds.is_string, kinds.is_large_string, kinds.is_string_view)
    return any(test(column.type) for test in tests)


def _trimmed(column: Any) -> Any:
    import pyarrow
    import pyarrow.compute

    if not _is_text(column):
        return column
    return pyarrow.compute.utf8_trim_whitespace(column.cast(pyarrow.large_string()))


def _floats(column: Any, what: str, start: int) -> np.ndarray:
    """Numbers as float64, NaN for nothing."""
    import pyarrow

    found, kinds = _trimmed(_plain(column)), pyarrow.types
    if _is_text(found):
        _check_text(found, what, start)
    elif kinds.is_boolean(found.type):
        found = found.cast(pyarrow.uint8())
    elif kinds.is_null(found.type):
        return np.full(len(found), np.nan)
    elif not (kinds.is_integer(found.type) or kinds.is_floating(found.type)):
        if not kinds.is_decimal(found.type):
            raise ValueError(
                f"{what} must hold numbers; it holds {found.type}, such as "
                f"{found[0].as_py()!r}; convert it first"
            )
    numbers = found.cast(pyarrow.float64(), safe=False)
    return np.array(numbers.to_numpy(zero_copy_only=False))


def _check_text(found: Any, what: str, start: int) -> None:
    import pyarrow.compute

    is_number = pyarrow.compute.match_substring_regex(found, NUMBER)
    bad = np.flatnonzero(~is_number.fill_null(True).to_numpy(zero_copy_only=False))
    if len(bad):
        raise ValueError(
            f"{what} must hold numbers; row {start + bad[0]} (from 0) holds "
            f"{found[bad[0]].as_py()!r}; convert it, or leave the row out"
        )


def _shown(column: Any, row: int) -> str:
    value = column[int(row)].as_py()
    return "nothing" if value is None else f"{value}"
