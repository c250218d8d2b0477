"""Texts and labels of a table: which columns hold them, and their values checked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from multidd.data.cells import Value, is_missing
from multidd.data.table_source import TableSource, no_column

PARTS = {
    "train": ("train", "training"),
    "val": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
"""Part of a dataset -> what splits and files call it, the first that is there."""


@dataclass(frozen=True, eq=False)
class RawTexts:
    """Labelled texts as read, not validated yet.

    Attributes:
        texts: n values.
        pairs: n values, or None.
        y: labels of any kind.
        classes: their names, where the source has them.
        values: the label value of each class, where the source has `classes`.
        name: of the dataset; empty where unknown.
        source_names: what messages call `texts` and `pairs`.
    """

    texts: Sequence[Any]
    pairs: Sequence[Any] | None
    y: Any
    classes: tuple[str, ...] | None = None
    values: tuple[Value, ...] | None = None
    name: str = ""
    source_names: tuple[str, str] = ("texts", "second texts")


@dataclass(frozen=True)
class TextColumns:
    """Names of columns.

    Attributes:
        text: of the texts.
        pair: of the second texts, or None.
        label: of the labels; None where labels come beside the table.
    """

    text: str = "text"
    pair: str | None = None
    label: str | None = "label"

    def __post_init__(self) -> None:
        for role, name in self.roles().items():
            if not isinstance(name, str):
                raise TypeError(f"{role} must be the name of a column; got {name!r}")
        names = list(self.roles().values())
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            both = " and as ".join(r for r, n in self.roles().items() if n == twice[0])
            raise ValueError(f"column {twice[0]!r} is named as {both}")

    def roles(self) -> dict[str, str]:
        """Role -> column, of those that are asked for."""
        names = {"text": self.text, "pair": self.pair, "label": self.label}
        return {role: name for role, name in names.items() if name is not None}


def read_columns(
    table: TableSource, columns: TextColumns, *, labels_optional: bool = False
) -> RawTexts:
    """Texts and labels of a table, unchecked.

    Args:
        table: opened.
        columns: which hold them.
        labels_optional: without a column of labels every label is missing, as in test
            parts of contests.

    Raises:
        ValueError: a column is not there, or comes twice.

    Example:
        >>> from multidd.data.table_source import of_mapping
        >>> read_columns(of_mapping({"text": ["a"], "label": [1]}), TextColumns()).y
        [1]
    """
    if labels_optional and columns.label not in table.names:
        columns = replace(columns, label=None)
    check_columns(table, columns)
    lists = table.lists(list(columns.roles().values()))
    pairs = None if columns.pair is None else lists[columns.pair]
    y: list[Any] | None = None
    if columns.label is not None:
        y = lists[columns.label]
        y = numbers(y) if table.numbers_as_text else y
    elif labels_optional:
        y = [None] * len(lists[columns.text])
    classes = table.classes.get(columns.label or "")
    return RawTexts(
        lists[columns.text],
        pairs,
        y,
        classes,
        None if classes is None else tuple(range(len(classes))),
        table.name,
        (f"texts in {columns.text!r}", f"texts in {columns.pair!r}"),
    )


def check_columns(table: TableSource, columns: TextColumns) -> None:
    """Refuse a table without the columns.

    Raises:
        ValueError: a column is not there, or comes twice.

    Example:
        >>> from multidd.data.table_source import of_mapping
        >>> check_columns(of_mapping({"text": ["a"], "label": [1]}), TextColumns())
    """
    for role, name in columns.roles().items():
        _check_column(table, role, name)


def _check_column(table: TableSource, role: str, name: str) -> None:
    count = table.names.count(name)
    if count == 0:
        fault = no_column(table.label, name, role, table.names)
        raise ValueError(f"{fault}; name the right one with {role}=")
    if count > 1:
        raise ValueError(f"{table.label} has {count} columns {name!r}; rename one")


def numbers(cells: Sequence[str]) -> list[Any]:
    """Cells of a text file as numbers where all of them are; missing ones as None.

    What a number would not give back is a name: 007, 1e5, 1_000, 1.50. Missing are
    cells without letters, and what Python, NumPy and pandas write for NaN.

    Example:
        >>> numbers(["1", "0"]), numbers(["1.0", ""]), numbers(["a", "1"])
        ([1, 0], [1.0, None], ['a', '1'])
        >>> numbers(["1e5", "007", "nan"])
        ['1e5', '007', None]
    """
    filled = {cell for cell in cells if cell.strip() and cell not in NAN_CELLS}
    values: dict[str, Any] = {cell: cell for cell in filled}
    for kind in (int, float):
        if all(_gives_back(kind, cell) for cell in filled):
            values = {cell: kind(cell) for cell in filled}
            break
    return [values.get(cell) for cell in cells]


NAN_CELLS = ("nan", "NaN", "<NA>")


def _gives_back(kind: type[int] | type[float], cell: str) -> bool:
    """Whether a number of 64 bits is written as the cell is."""
    try:
        number = kind(cell)
    except ValueError:
        return False
    return str(number) == cell and -(2**63) <= number < 2**63


def check_texts(raw: RawTexts) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """The texts and pairs as strings, where all of them are texts.

    Raises:
        TypeError: a value that is no string.
        ValueError: none at all, empty or missing ones, or lengths that differ.

    Example:
        >>> check_texts(RawTexts(["ham", " "], None, [0, 1]))
        Traceback (most recent call last):
        ...
        ValueError: 1 of 2 texts are empty or missing, the first at row 1 (' '); ...
    """
    first, second = raw.source_names
    if not len(raw.texts):
        raise ValueError(f"there are no texts: {first} hold no rows")
    texts = strings(raw.texts, first)
    if raw.pairs is None:
        return texts, None
    if len(raw.pairs) != len(texts):
        raise ValueError(
            f"{len(texts)} {first} have {len(raw.pairs)} {second}; there must be one "
            "for each"
        )
    return texts, strings(raw.pairs, second)


def strings(values: Iterable[Any], label: str, start: int = 0) -> tuple[str, ...]:
    """Values that must all be texts with something in them.

    Args:
        values: of one column.
        label: what messages call it.
        start: row of the first value.

    Raises:
        TypeError: a value that is no string; names the first and its row.
        ValueError: empty, white or missing ones, or half of a surrogate pair.

    Example:
        >>> strings(["ham", b"spam"], "texts")
        Traceback (most recent call last):
        ...
        TypeError: texts must be strings; row 1 (from 0) holds bytes: b'spam'; ...
    """
    listed = list(values)
    blank = [i for i, value in enumerate(listed) if _is_blank(value)]
    if blank:
        raise ValueError(
            f"{len(blank)} of {len(listed)} {label} are empty or missing, the first at "
            f"row {start + blank[0]} ({_short(listed[blank[0]])}); rows count from 0; "
            "drop these rows, or fill them in"
        )
    odd = next((i for i, v in enumerate(listed) if not isinstance(v, str)), None)
    if odd is not None:
        raise TypeError(
            f"{label} must be strings; row {start + odd} (from 0) holds "
            f"{type(listed[odd]).__name__}: {_short(listed[odd])}; convert them first"
        )
    texts = tuple(map(str, listed))
    _check_unicode(texts, label, start)
    return texts


def _is_blank(value: Any) -> bool:
    return not value.strip() if isinstance(value, str) else is_missing(value)


def _check_unicode(texts: Sequence[str], label: str, start: int) -> None:
    """Half of a surrogate pair is no character: no file could hold it."""
    for row, text in enumerate(texts, start):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{label} must be valid Unicode; row {row} (from 0) holds half of a "
                f"surrogate pair at character {error.start}; read the file as UTF-8, "
                'or drop it: text.encode("utf-8", "ignore").decode()'
            ) from None


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:60] + "..."
