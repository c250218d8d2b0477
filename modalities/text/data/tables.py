"""Tables in memory, and which of their columns hold texts and labels."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multidd.data.labels import Value, is_missing
from multidd.data.tables import no_column

PARTS = {
    "train": ("train", "training"),
    "val": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
"""Part of a dataset -> what splits and files call it, the first that is there."""


@dataclass(frozen=True, eq=False)
class Found:
    """Labelled texts as they were found, unchecked.

    Attributes:
        texts: n values.
        pairs: n values, or None.
        y: labels of any kind.
        classes: their names, where the source has them.
        values: the label value of each class, where the source has `classes`.
        name: of the dataset; empty where unknown.
        told: what messages call `texts` and `pairs`.
    """

    texts: Sequence[Any]
    pairs: Sequence[Any] | None
    y: Any
    classes: tuple[str, ...] | None = None
    values: tuple[Value, ...] | None = None
    name: str = ""
    told: tuple[str, str] = ("texts", "second texts")


def checked(found: Found) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """The texts and pairs of what was found, as strings.

    Raises:
        TypeError: a value that is no string.
        ValueError: none at all, empty or missing ones, or lengths that differ.

    Example:
        >>> checked(Found(["ham", " "], None, [0, 1]))
        Traceback (most recent call last):
        ...
        ValueError: 1 of 2 texts are empty or missing, the first at row 1 (' '); ...
    """
    if not len(found.texts):
        raise ValueError(f"there are no texts: {found.told[0]} hold no rows")
    texts = strings(found.texts, found.told[0])
    if found.pairs is None:
        return texts, None
    if len(found.pairs) != len(texts):
        raise ValueError(
            f"{len(texts)} {found.told[0]} have {len(found.pairs)} {found.told[1]}; "
            "there must be one for each"
        )
    return texts, strings(found.pairs, found.told[1])


def strings(values: Iterable[Any], what: str) -> tuple[str, ...]:
    """Values that must all be texts with something in them.

    Args:
        values: of one column.
        what: what messages call it.

    Raises:
        TypeError: a value that is no string; names the first and its row.
        ValueError: empty, white or missing ones, or half of a surrogate pair.

    Example:
        >>> strings(["ham", b"spam"], "texts")
        Traceback (most recent call last):
        ...
        TypeError: texts must be strings; row 1 (from 0) holds bytes: b'spam'; ...
    """
    held = list(values)
    bare = [i for i, value in enumerate(held) if _is_bare(value)]
    if bare:
        raise ValueError(
            f"{len(bare)} of {len(held)} {what} are empty or missing, the first at row "
            f"{bare[0]} ({_short(held[bare[0]])}); rows count from 0; drop these rows, "
            "or fill them in"
        )
    odd = next((i for i, v in enumerate(held) if not isinstance(v, str)), None)
    if odd is not None:
        raise TypeError(
            f"{what} must be strings; row {odd} (from 0) holds "
            f"{type(held[odd]).__name__}: {_short(held[odd])}; convert them first"
        )
    texts = tuple(map(str, held))
    _check_unicode(texts, what)
    return texts


def _is_bare(value: Any) -> bool:
    return not value.strip() if isinstance(value, str) else is_missing(value)


def _check_unicode(texts: Sequence[str], what: str) -> None:
    """Half of a surrogate pair is no character: no file could hold it."""
    for row, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{what} must be valid Unicode; row {row} (from 0) holds half of a "
                f"surrogate pair at character {error.start}; read the file as UTF-8, "
                'or drop it: text.encode("utf-8", "ignore").decode()'
            ) from None


def _short(value: Any) -> str:
    told = repr(value)
    return told if len(told) <= 60 else told[:60] + "..."


WHOLE = re.compile(r"-?(0|[1-9]\d*)")
FRACTION = re.compile(r"-?(0|[1-9]\d*)(\.\d*)?([eE][+-]?\d+)?|[nN]a[nN]")


@dataclass(frozen=True)
class Wanted:
    """Names of columns.

    Attributes:
        text: of the texts.
        pair: of the second texts, or None.
        label: of the labels; None where labels are given beside the table.
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
        asked = {"text": self.text, "pair": self.pair, "label": self.label}
        return {role: name for role, name in asked.items() if name is not None}


@dataclass(frozen=True, eq=False)
class Table:
    """A source with named columns, opened and not read yet.

    Attributes:
        what: what errors call it.
        names: its columns.
        read: gives the values of a column.
        classes: column -> names of its classes, where the source has them.
        name: its own name.
        text: numbers are written as text, as in CSV.
    """

    what: str
    names: tuple[str, ...]
    read: Callable[[str], Sequence[Any]]
    classes: Mapping[str, tuple[str, ...]]
    name: str = ""
    text: bool = False

    def found(self, wanted: Wanted) -> Found:
        """Its texts and labels.

        Raises:
            ValueError: a column is not there, or comes twice.
        """
        for role, column in wanted.roles().items():
            self._check(role, column)
        texts = self.read(wanted.text)
        pairs = None if wanted.pair is None else self.read(wanted.pair)
        y = None if wanted.label is None else self.read(wanted.label)
        names = self.classes.get(wanted.label or "")
        return Found(
            texts,
            pairs,
            numbers(y) if self.text and y is not None else y,
            names,
            None if names is None else tuple(range(len(names))),
            self.name,
            (f"texts in {wanted.text!r}", f"texts in {wanted.pair!r}"),
        )

    def _check(self, role: str, column: str) -> None:
        count = self.names.count(column)
        if count == 0:
            fault = no_column(self.what, column, role, self.names)
            raise ValueError(f"{fault}; name the right one with {role}=")
        if count > 1:
            raise ValueError(f"{self.what} has {count} columns {column!r}; rename one")


def of_hf(data: Any, what: str = "the dataset") -> Table:
    """A `datasets.Dataset`; formats and transforms are left out.

    Example:
        >>> from datasets import Dataset
        >>> of_hf(Dataset.from_dict({"text": ["a"], "label": [1]})).names
        ('text', 'label')
    """
    features = data.features
    named = {n: f for n, f in features.items() if type(f).__name__ == "ClassLabel"}
    classes = {name: tuple(feature.names) for name, feature in named.items()}

    def read(name: str) -> list[Any]:
        chosen = data.select_columns([name]).with_format("arrow")
        return chosen[:].column(name).to_pylist()

    return Table(what, tuple(features), read, classes, data.info.dataset_name or "")


def of_pandas(frame: Any) -> Table:
    """A `pandas.DataFrame`; its index is not read.

    Example:
        >>> import pandas
        >>> of_pandas(pandas.DataFrame({"text": ["a"], "label": [1]})).read("label")
        [1]
    """
    names = tuple(map(str, frame.columns))

    def read(name: str) -> list[Any]:
        return frame.iloc[:, names.index(name)].tolist()

    return Table("the frame", names, read, {})


def of_arrow(table: Any) -> Table:
    """A `pyarrow.Table`, or a frame of polars as one.

    Example:
        >>> import pyarrow
        >>> of_arrow(pyarrow.table({"text": ["a"], "label": [1]})).read("text")
        ['a']
    """
    names = tuple(table.schema.names)
    return Table("the table", names, lambda name: table.column(name).to_pylist(), {})


def of_mapping(columns: Mapping[Any, Any]) -> Table:
    """A dict of columns.

    Example:
        >>> of_mapping({"text": ["a"], "label": [1]}).read("text")
        ['a']
    """

    def read(name: str) -> list[Any]:
        return listed(columns[name], f"column {name!r} of the dict")

    return Table("the dict", tuple(columns), read, {})


def of_rows(rows: Sequence[Any], what: str = "the list") -> Table:
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
            f"{what} must hold a dict for each row; row {odd} (from 0) is "
            f"{type(rows[odd]).__name__}"
        )
    names = tuple(dict.fromkeys(str(name) for row in rows for name in row))

    def read(name: str) -> list[Any]:
        absent = [i for i, row in enumerate(rows) if name not in row]
        if absent:
            raise ValueError(
                f"{len(absent)} of {len(rows)} rows of {what} have no {name!r}, the "
                f"first is row {absent[0]} (from 0); add it, or drop these rows"
            )
        return [row[name] for row in rows]

    return Table(what, names, read, {})


def numbers(cells: Sequence[str]) -> list[Any]:
    """Cells of a text file as numbers where all of them are; empty ones as None.

    Digits behind a zero (007) are names, not numbers.

    Example:
        >>> numbers(["1", "0"]), numbers(["1.0", ""]), numbers(["a", "1"])
        ([1, 0], [1.0, None], ['a', '1'])
    """
    some = {cell for cell in cells if cell.strip()}
    known: dict[str, Any] = {cell: cell for cell in some}
    for form, kind in ((WHOLE, int), (FRACTION, float)):
        if all(form.fullmatch(cell) for cell in some):
            known = {cell: kind(cell) for cell in some}
            break
    return [known.get(cell) for cell in cells]


def listed(values: Any, what: str) -> list[Any]:
    """The values of a list, tuple, array, series or column, as a list.

    Raises:
        TypeError: a single text, or something without a length.

    Example:
        >>> listed(("a", "b"), "texts")
        ['a', 'b']
    """
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__"):
        raise TypeError(
            f"{what} must be a list, an array or a column; got {type(values).__name__}"
        )
    return values.tolist() if hasattr(values, "tolist") else list(values)
