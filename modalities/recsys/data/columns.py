"""Columns of an event table: which holds what, and their values checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from multidd.data.cells import as_bools, as_numbers
from multidd.data.table_source import TableSource, no_column
from multidd.recsys.data.splits import TEST, TRAIN, VAL, WORDS

USERS = (
    "user_id user userid uid u customer_id customer visitor_id account_id reviewer_id "
    "session_id"
).split()
ITEMS = (
    "item_id item itemid iid i movie_id product_id product track_id song_id book_id "
    "game_id article_id parent_asin asin"
).split()
COMMON = {"user": USERS, "item": ITEMS}
"""Names looked for where none is given, the first of them first."""

ROLES = ("user", "item", "rating", "time", "split")


@dataclass(frozen=True, eq=False)
class EventSource(TableSource):
    """A source of events, opened and not read yet.

    Attributes:
        roles: role -> column, where the position of a column says what it holds.
        typed: names end in a type, as in `user_id:token`.
        dropped: what reading it leaves out, by reason.
        sketch: what was seen, where it is a sketch that was written to a file.
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    typed: bool = False
    dropped: Mapping[str, int] = field(default_factory=dict)
    sketch: Mapping[str, Any] = field(default_factory=dict)


def choose_columns(
    events: EventSource, asked: Mapping[str, str | None]
) -> dict[str, str]:
    """Role -> column of the source.

    Args:
        events: the source.
        asked: role -> name; None: for users and items a common name is looked for,
            another role is left out.

    Returns:
        The roles there are, in the order of `ROLES`.

    Raises:
        ValueError: a column is not there, or comes twice, or has two roles.

    Example:
        >>> from multidd.recsys.data.sources import open_events
        >>> import pandas
        >>> frame = pandas.DataFrame({"userId": [1], "movieId": [2], "stars": [3]})
        >>> choose_columns(open_events(frame), {"rating": "stars"})
        {'user': 'userId', 'item': 'movieId', 'rating': 'stars'}
    """
    if events.roles:
        return _by_position(events, asked)
    columns = {}
    for role in ROLES:
        name = asked.get(role)
        if name is not None:
            columns[role] = _named(events, role, name)
        elif role in COMMON:
            columns[role] = _guessed(events, role)
    for role, name in columns.items():
        if events.names.count(name) > 1:
            raise ValueError(f"column {name!r} comes twice in {events.label}")
        others = [r for r, n in columns.items() if n == name and r != role]
        if others:
            raise ValueError(f"{name!r} is named as {role} and as {others[0]}")
    return columns


def final_names(events: EventSource, asked: Mapping[str, str | None]) -> dict[str, str]:
    """Role -> what a log calls its columns: triples and matrices have no names.

    Example:
        >>> from multidd.recsys.data.sources import open_events
        >>> final_names(open_events([(1, 2)]), {"user": "reader"})
        {'user': 'reader', 'item': 'item'}
    """
    chosen = choose_columns(events, asked)
    if not events.roles:
        return chosen
    return {role: asked.get(role) or name for role, name in chosen.items()}


def _by_position(
    events: EventSource, asked: Mapping[str, str | None]
) -> dict[str, str]:
    """Triples and matrices have no names: those given are names for the log."""
    absent = [r for r in asked if asked[r] is not None and r not in events.roles]
    if absent:
        raise ValueError(
            f"{events.label} hold no {absent[0]} (got {absent[0]}={asked[absent[0]]!r}"
            f"); they hold {', '.join(events.names)}; pass a frame with named columns"
        )
    return dict(events.roles)


def _named(events: EventSource, role: str, name: str) -> str:
    """A column by its name, with or without a type such as `:token`."""
    if not isinstance(name, str):
        raise TypeError(f"{role} must be the name of a column; got {name!r}")
    if name in events.names:
        return name
    bare = name.split(":")[0]
    if events.typed and bare in events.names:
        return bare
    raise no_column(events.label, name, role, events.names)


def _guessed(events: EventSource, role: str) -> str:
    plain = {_plain_name(name): name for name in reversed(events.names)}
    for name in COMMON[role]:
        if _plain_name(name) in plain:
            return plain[_plain_name(name)]
    raise ValueError(
        f"{events.label} has no column that is known to hold {role}s (such as "
        f"{', '.join(COMMON[role][:3])}); its columns are {', '.join(events.names)}; "
        f"name the one with {role}="
    )


def _plain_name(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


# --- values ---------------------------------------------------------------------------

OUT = -1  # the part of an event that is in none

NUMBER = r"(?i)^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$|^[+-]?(nan|inf|infinity)$"


def as_ratings(column: Any, label: str, start: int = 0) -> np.ndarray:
    """Ratings: finite and not negative, as float32 holds them.

    Args:
        column: `[n]` Arrow array of numbers, or of text that is numbers.
        label: what errors call it.
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
    ratings = _floats(column, label, start)
    limits = np.finfo(np.float32)
    is_held = (ratings <= limits.max) & ((ratings == 0) | (ratings >= limits.tiny))
    bad = np.flatnonzero(~((ratings >= 0) & is_held))
    if len(bad):
        raise ValueError(
            f"{label} holds {_shown(column, bad[0])} in row {start + bad[0]} (from 0): "
            "ratings must be finite and not negative, and of a size that float32 "
            "holds; leave such rows out, or do not name the column as rating"
        )
    return ratings.astype(np.float32)


def as_times(column: Any, label: str, start: int = 0) -> np.ndarray:
    """Times: numbers as they are, dates and datetimes in microseconds since 1970.

    Args:
        column: `[n]` Arrow array of numbers, datetimes, or text that is numbers.
        label: what errors call it.
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

    column, kinds = _plain_column(column), pyarrow.types
    if kinds.is_timestamp(column.type) or kinds.is_date(column.type):
        column = column.cast(pyarrow.timestamp("us"), safe=False)
        column = column.cast(pyarrow.int64())
    if column.null_count == 0 and not kinds.is_floating(column.type):
        try:
            return np.array(as_numbers(_trimmed(column).cast(pyarrow.int64())))
        except pyarrow.ArrowException:
            pass  # text such as 1.5e9, or no number
    times = _floats(column, label, start)
    bad = np.flatnonzero(~np.isfinite(times))
    if len(bad):
        raise ValueError(
            f"{label} holds {_shown(column, bad[0])} in row {start + bad[0]} (from 0): "
            "times must be finite; leave such rows out, or do not name the column as "
            "time"
        )
    return times


def as_parts(column: Any, label: str, start: int = 0) -> np.ndarray:
    """Parts: 0, 1, 2 or words for them; -1 for what is in none.

    Args:
        column: `[n]` Arrow array. A negative number or nothing is in no part.
        label: what errors call it.
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
    codes = _plain_column(column).dictionary_encode()
    parts = [_part(value) for value in codes.dictionary.to_pylist()]
    if None in parts:
        value = parts.index(None)
        indices = as_numbers(codes.indices, OUT)
        first = int(np.flatnonzero(indices == value)[0])
        raise ValueError(
            f"{label} holds {codes.dictionary[value].as_py()!r} in row {start + first} "
            f"(from 0): parts are 0, 1, 2 or {', '.join(WORDS)}, and negative numbers "
            "or nothing for rows to leave out"
        )
    table = np.array([*parts, OUT], np.int8)
    return table[as_numbers(codes.indices, len(parts))]


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


def _plain_column(column: Any) -> Any:
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


def _floats(column: Any, label: str, start: int) -> np.ndarray:
    """Numbers as float64, NaN for nothing."""
    import pyarrow

    values, kinds = _trimmed(_plain_column(column)), pyarrow.types
    if _is_text(values):
        _check_text(values, label, start)
    elif kinds.is_boolean(values.type):
        values = values.cast(pyarrow.uint8())
    elif kinds.is_null(values.type):
        return np.full(len(values), np.nan)
    elif not (kinds.is_integer(values.type) or kinds.is_floating(values.type)):
        if not kinds.is_decimal(values.type):
            raise ValueError(
                f"{label} must hold numbers; it holds {values.type}, such as "
                f"{values[0].as_py()!r}; convert it first"
            )
    numbers = values.cast(pyarrow.float64(), safe=False)
    return np.array(as_numbers(numbers, float("nan")))


def _check_text(values: Any, label: str, start: int) -> None:
    import pyarrow.compute

    is_number = pyarrow.compute.match_substring_regex(values, NUMBER)
    bad = np.flatnonzero(~as_bools(is_number.fill_null(True)))
    if len(bad):
        raise ValueError(
            f"{label} must hold numbers; row {start + bad[0]} (from 0) holds "
            f"{values[bad[0]].as_py()!r}; convert it, or leave the row out"
        )


def _shown(column: Any, row: int) -> str:
    value = column[int(row)].as_py()
    return "nothing" if value is None else f"{value}"
