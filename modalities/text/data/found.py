"""What every reader hands over, and the check of its texts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from multidd.data.labels import Value, is_missing

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
