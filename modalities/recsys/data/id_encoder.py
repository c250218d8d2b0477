"""Numbers for the ids of a column, batch by batch, in memory of distinct ids."""

from typing import Any

import numpy as np

from multidd.data.cells import whole_limit

TOP = 2**63  # ids from here on do not fit int64

PENDING = 2**20  # ids of batches before these are put into the table

NAN_TEXTS = ("nan", "NaN", "<NA>")
"""What Python, NumPy and pandas write for a missing value."""

WHOLE = r"^(0|-?[1-9][0-9]*)$"  # text that a number gives back as it was


class IdColumn:
    """The ids of users, or of items, of all batches.

    `add` numbers the ids of a batch among themselves; from time to time those of all
    batches are numbered together, which costs no more than a pass over them.

    Args:
        name: what errors call the column.
        text: its ids are text that may stand for numbers, as in CSV.

    Example:
        >>> import pyarrow
        >>> ids = IdColumn("column 'user'")
        >>> ids.add(pyarrow.array(["b", "a", "b"]), np.array([True, True, True]))
        >>> ids.finish()
        (array(['a', 'b'], dtype=object), array([1, 0, 1], dtype=int32))
    """

    def __init__(self, name: str, text: bool = False) -> None:
        self.name, self.text = name, text
        self._table: Any = None
        self._pending: list[Any] = []  # distinct ids of each of the last batches
        self._codes: list[np.ndarray] = []  # of all batches

    def add(self, column: Any, mask: np.ndarray) -> None:
        """Number a batch.

        Args:
            column: `[n]` Arrow array; ids that `mask` leaves out are numbered, too.
            mask: `[n]` bool: those that are counted; no id is missing among them.
        """
        encoded = column.dictionary_encode()
        codes = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
        self._codes.append(codes.astype(np.int32, copy=False)[mask])
        ids = self._as_before(encoded.dictionary)  # may change those before
        self._pending.append(ids)
        size = 0 if self._table is None else len(self._table)
        if sum(map(len, self._pending)) > max(PENDING, size):
            self._merge()

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """All ids, sorted, and the number of the id of every row counted: int32."""
        import pyarrow.compute

        self._merge()
        table = numbers_of(self._table) if self.text else self._table
        order = pyarrow.compute.sort_indices(table).to_numpy()
        rank = np.empty(len(order), np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        for place, codes in enumerate(self._codes):
            self._codes[place] = rank[codes]
        codes = np.concatenate(self._codes)
        self._codes.clear()
        return to_numpy(table.take(order)), codes

    def _merge(self) -> None:
        """Put the ids of the last batches into the table, and renumber the batches."""
        import pyarrow

        if not self._pending:
            return
        before = [] if self._table is None else [self._table]
        chunks = [_numbered(ids) for ids in [*before, *self._pending]]
        unified = pyarrow.chunked_array(chunks).unify_dictionaries().chunks
        self._table = unified[0].dictionary
        for at in range(-len(self._pending), 0):
            self._codes[at] = unified[at].indices.to_numpy()[self._codes[at]]
        self._pending.clear()

    def _as_before(self, ids: Any) -> Any:
        """Ids of a batch in the type of those before: one type may need the other."""
        import pyarrow

        before = [self._table, *self._pending[:1]]
        kind = next((b.type for b in before if b is not None and len(b)), ids.type)
        if ids.type == kind or not len(ids):
            return ids.cast(kind) if len(ids) else pyarrow.array([], kind)
        if pyarrow.large_string() in (ids.type, kind):
            raise ValueError(
                f"{self.name} holds text in one place ({ids[0].as_py()!r}) and "
                "numbers in another; make all of them text"
            )
        try:  # int64 and uint64
            whole = pyarrow.uint64()
            self._table = None if self._table is None else self._table.cast(whole)
            self._pending = [part.cast(whole) for part in self._pending]
            return ids.cast(whole)
        except pyarrow.ArrowInvalid:
            raise ValueError(
                f"{self.name} holds negative ids and ids of 2**63 or more, which no "
                "64-bit number type holds together; make them text"
            ) from None


def _numbered(ids: Any) -> Any:
    """Distinct ids as a dictionary, and the place of each in it."""
    import pyarrow

    places = pyarrow.array(np.arange(len(ids), dtype=np.int32))
    return pyarrow.DictionaryArray.from_arrays(places, ids)


def as_ids(column: Any, name: str, text: bool = False) -> Any:
    """A column of ids as Arrow int64, uint64 or large_string; missing ones are null.

    Missing is what is null, NaN, or text without letters.

    Args:
        column: `[n]` Arrow array.
        name: what errors call it.
        text: of a text file, where a missing id may be written as nan.

    Raises:
        ValueError: ids of another type, or numbers that are not whole.

    Example:
        >>> import pyarrow
        >>> as_ids(pyarrow.array([1.0, None]), "column 'user'").type
        DataType(int64)
    """
    import pyarrow

    kinds = pyarrow.types
    if kinds.is_dictionary(column.type):
        column = column.dictionary_decode()
    if kinds.is_null(column.type):
        return column.cast(pyarrow.int64())
    if kinds.is_string(column.type) or kinds.is_string_view(column.type):
        return _filled(column.cast(pyarrow.large_string()), text)
    if kinds.is_large_string(column.type):
        return _filled(column, text)
    if kinds.is_uint64(column.type):
        return column
    if kinds.is_integer(column.type):
        return column.cast(pyarrow.int64())
    if kinds.is_floating(column.type):
        return _whole(column, name)
    raise ValueError(
        f"{name} must hold ids that are whole numbers or text; it holds {column.type}, "
        f"such as {column[0].as_py()!r}; convert it first"
    )


def _filled(texts: Any, text: bool) -> Any:
    """Texts with null for those that say nothing."""
    import pyarrow
    import pyarrow.compute as compute

    blank = compute.or_(
        compute.equal(compute.binary_length(texts), 0), compute.utf8_is_space(texts)
    )
    if text:
        missing = pyarrow.array(NAN_TEXTS, texts.type)
        blank = compute.or_(blank, compute.is_in(texts, missing))
    if not compute.any(blank).as_py():
        return texts
    return compute.if_else(blank, pyarrow.scalar(None, texts.type), texts)


def _whole(column: Any, name: str) -> Any:
    """Whole numbers that were made floats, as pandas does where one is missing."""
    import pyarrow

    dtype = np.dtype(column.type.to_pandas_dtype())
    limit = whole_limit(dtype)
    values = column.cast(pyarrow.float64()).to_numpy(zero_copy_only=False)
    missing = np.isnan(values)
    bad = ~missing & ~((values == np.floor(values)) & (np.abs(values) < limit))
    if bad.any():
        raise ValueError(
            f"{name} must hold ids that are whole numbers or text; it holds "
            f"{values[bad][0].item()!r}; {dtype} tells whole numbers apart below "
            f"{limit} only: read the ids as integers or text"
        )
    return pyarrow.array(np.where(missing, 0, values).astype(np.int64), mask=missing)


def numbers_of(table: Any) -> Any:
    """Text as numbers where every id is one, and would be written the same.

    Example:
        >>> import pyarrow
        >>> str(numbers_of(pyarrow.array(["7", "10"], pyarrow.large_string())).type)
        'int64'
    """
    import pyarrow
    import pyarrow.compute as compute

    is_text = pyarrow.types.is_large_string(table.type)
    if (
        not is_text
        or not compute.all(compute.match_substring_regex(table, WHOLE)).as_py()
    ):
        return table
    for kind in (pyarrow.int64(), pyarrow.uint64()):
        try:
            return table.cast(kind)
        except pyarrow.ArrowInvalid:
            continue
    return table


def to_numpy(table: Any) -> np.ndarray:
    """Ids as logs have them: int64, uint64 where one needs it, or objects.

    Example:
        >>> import pyarrow
        >>> to_numpy(pyarrow.array([7], pyarrow.uint64())).dtype
        dtype('int64')
    """
    import pyarrow

    ids = table.to_numpy(zero_copy_only=False)
    if pyarrow.types.is_uint64(table.type) and not (ids >= TOP).any():
        return ids.astype(np.int64)
    return np.array(ids)
