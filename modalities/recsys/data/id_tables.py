"""Tables of ids of several shards: one type, one order, counts of each id."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from multidd.data.cells import as_arrow, as_bools, as_numbers

MAX_DENSE = 2**22  # ids below it are counted in one array
PENDING = 2**20  # distinct ids of batches before they are put together


def as_one_type(one: Any, other: Any, names: tuple[str, str]) -> tuple[Any, Any]:
    """Two tables of ids in one type: numbers of 64 bits, with or without a sign.

    Args:
        one: Arrow array of int64, uint64 or large_string.
        other: the same.
        names: what errors call their columns.

    Raises:
        ValueError: text in one and numbers in the other, or numbers that no type of 64
            bits holds together.

    Example:
        >>> import pyarrow
        >>> tables = pyarrow.array([1]), pyarrow.array([2**63], pyarrow.uint64())
        >>> as_one_type(*tables, ("a", "b"))[0].type
        DataType(uint64)
    """
    import pyarrow

    if one.type == other.type:
        return one, other
    if not len(one) or not len(other):
        kind = other.type if len(other) else one.type
        empty = pyarrow.nulls(0, kind)
        return (one if len(one) else empty), (other if len(other) else empty)
    text = pyarrow.large_string()
    if text in (one.type, other.type):
        first, second = names if one.type == text else names[::-1]
        raise mixed_kinds(first, second)
    try:
        return one.cast(pyarrow.uint64()), other.cast(pyarrow.uint64())
    except pyarrow.ArrowInvalid:
        raise ValueError(
            f"{names[0]} and {names[1]} hold negative ids and ids of 2**63 or more, "
            "which no 64-bit number type holds together; make them text"
        ) from None


def mixed_kinds(text: str, numbers: str) -> ValueError:
    """The error for ids of one column that are text in one place only.

    Args:
        text: what the message calls the column where it holds text.
        numbers: and where it holds numbers.

    Example:
        >>> str(mixed_kinds("column 'user' of a.csv", "that of b.parquet"))
        "column 'user' of a.csv holds text and that of b.parquet numbers; make all ..."
    """
    return ValueError(
        f"{text} holds text and {numbers} numbers; make all of them text, or all of "
        "them numbers: ids in CSV are text to a sketch"
    )


def in_one_type(tables: Sequence[Any], label: str) -> list[Any]:
    """Tables of ids of one column in one type; see `as_one_type`.

    Example:
        >>> import pyarrow
        >>> tables = pyarrow.array([1]), pyarrow.array([2**63], pyarrow.uint64())
        >>> [str(table.type) for table in in_one_type(tables, "column 'user'")]
        ['uint64', 'uint64']
    """
    widest = tables[0]
    for table in tables[1:]:
        widest, _ = as_one_type(widest, table, (label, f"{label}, elsewhere,"))
    return [table.cast(widest.type) for table in tables]


def united(tables: Sequence[Any]) -> tuple[Any, tuple[np.ndarray, ...]]:
    """All ids of several tables, ascending, and where those of each stand among them.

    Args:
        tables: Arrow arrays of one type.

    Returns:
        `[I]` Arrow array, and for each table `[k]` int64 places.

    Example:
        >>> import pyarrow
        >>> ids, places = united((pyarrow.array([7, 3]), pyarrow.array([5, 7])))
        >>> ids.to_pylist(), [place.tolist() for place in places]
        ([3, 5, 7], [[2, 0], [1, 2]])
    """
    import pyarrow
    import pyarrow.compute as compute

    ids = pyarrow.concat_arrays(list(tables))
    bounds = np.cumsum([len(table) for table in tables])[:-1]
    if not pyarrow.types.is_large_string(ids.type):
        distinct, place = np.unique(as_numbers(ids), return_inverse=True)
        return as_arrow(distinct), tuple(np.split(place, bounds))
    encoded = ids.dictionary_encode()
    order = as_numbers(compute.sort_indices(encoded.dictionary)).astype(np.int64)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    codes = rank[as_numbers(encoded.indices)]
    return encoded.dictionary.take(as_arrow(order)), tuple(np.split(codes, bounds))


def aligned(ids: Any, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """`[b]` bool: whether ids at two lists of places differ.

    Example:
        >>> import pyarrow
        >>> aligned(pyarrow.array([4, 4, 6]), np.array([0, 1]), np.array([1, 2]))
        array([False,  True])
    """
    import pyarrow.compute as compute

    one, other = ids.take(as_arrow(left)), ids.take(as_arrow(right))
    differ = compute.not_equal(one, other)
    return as_bools(differ)


class IdCounts:
    """How often each id occurs, batch after batch.

    Small whole numbers are counted in an array, others in a table of distinct ids.

    Args:
        label: what errors call the column.

    Example:
        >>> import pyarrow
        >>> counts = IdCounts()
        >>> counts.add(pyarrow.array([7, 3, 7]))
        >>> ids, times = counts.finish()
        >>> ids.to_pylist(), times.tolist()
        ([3, 7], [1, 2])
    """

    def __init__(self, label: str = "the column") -> None:
        self.label = label
        self._dense = np.zeros(2**12, np.int64)
        self._pending: list[tuple[Any, np.ndarray]] = []
        self._size = 0

    def add(self, ids: Any) -> None:
        """Count a batch.

        Args:
            ids: `[n]` Arrow array of int64, uint64 or large_string, none missing.
        """
        import pyarrow

        if not len(ids):
            return
        if pyarrow.types.is_int64(ids.type):
            numbers = as_numbers(ids)
            top = int(numbers.max())
            if top < MAX_DENSE and int(numbers.min()) >= 0:
                self._grow(top + 1)
                np.add.at(self._dense, numbers, 1)
                return
        distinct = ids.value_counts()
        self._put(distinct.field("values"), as_numbers(distinct.field("counts")))

    def finish(self) -> tuple[Any, np.ndarray]:
        """`[I]` Arrow array of ids, ascending, and `[I]` int64 counts."""
        dense = np.flatnonzero(self._dense)
        if len(dense) or not self._pending:
            self._put(as_arrow(dense), self._dense[dense])
        self._dense = np.zeros(2**12, np.int64)
        self._merge()
        (result,) = self._pending
        return result

    def _grow(self, size: int) -> None:
        if size > len(self._dense):
            grown = np.zeros(min(MAX_DENSE, 2 * size), np.int64)
            grown[: len(self._dense)] = self._dense
            self._dense = grown

    def _put(self, ids: Any, counts: np.ndarray) -> None:
        self._pending.append((ids, counts))
        if sum(len(ids) for ids, _ in self._pending) > max(PENDING, 2 * self._size):
            self._merge()

    def _merge(self) -> None:
        tables = in_one_type([ids for ids, _ in self._pending], self.label)
        ids, places = united(tables)
        total = np.zeros(len(ids), np.int64)
        for (_, counts), place in zip(self._pending, places, strict=True):
            # Within a table no id stands twice.
            total[place] += counts
        self._pending = [(ids, total)]
        self._size = len(ids)
