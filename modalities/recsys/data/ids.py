"""Ids of users and items: checks, look-up, and their form in files."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multidd.data import strings
from multidd.data.cells import whole_limit
from multidd.recsys.data.id_encoder import TOP

KINDS = ("int", "uint", "str")
NAMES = ("items", "items.bytes", "items.offsets")


def id_array(values: Any, name: str = "ids") -> np.ndarray:
    """Ids as one array: int64, uint64 where one needs it, or objects that are `str`.

    Args:
        values: sequence or array of whole numbers, or of text.
        name: how an error calls them.

    Raises:
        TypeError: ids of another kind, or of two kinds.

    Example:
        >>> id_array([3, 2**63]).dtype, id_array(["a", "b"]).dtype
        (dtype('uint64'), dtype('O'))
    """
    ids = values if isinstance(values, np.ndarray) else _objects(values, name)
    if ids.ndim != 1:
        raise TypeError(f"{name} must be a list; got shape {list(ids.shape)}")
    if ids.dtype.kind in "iu":
        return _whole(ids)
    if ids.dtype.kind in "UT":
        return ids.astype(object)
    if ids.dtype.kind == "f":
        return _from_floats(ids, name)
    if ids.dtype.kind != "O":
        raise TypeError(f"{name} must be whole numbers or text, not {ids.dtype}")
    return _of_objects(ids, name)


def _objects(values: Any, name: str) -> np.ndarray:
    """A list as an array of what it holds: numpy would make text of numbers."""
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise TypeError(f"{name} must be a list; got {values!r}")
    if hasattr(values, "__array__"):  # a tensor, a frame's column
        return np.asarray(values)
    ids = np.empty(len(values), object)
    ids[:] = list(values)
    return ids


def _of_objects(ids: np.ndarray, name: str) -> np.ndarray:
    kinds = set(map(type, ids.tolist()))
    if all(issubclass(kind, str) for kind in kinds):
        return np.array([str(text) for text in ids] + [None], object)[:-1]
    if not all(issubclass(kind, int | np.integer) for kind in kinds) or bool in kinds:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise TypeError(
            f"{name} must be all whole numbers or all text; got {names}; make them "
            "text with str(id)"
        )
    numbers = [int(number) for number in ids]
    try:
        top = max(numbers) >= TOP
        return np.array(numbers, np.uint64 if top else np.int64)
    except OverflowError:
        raise TypeError(
            f"{name} must fit 64 bits; got {max(numbers, key=abs)}; make them text "
            "with str(id)"
        ) from None


def _whole(ids: np.ndarray) -> np.ndarray:
    if ids.dtype == np.uint64 and len(ids) and int(ids.max()) >= TOP:
        return ids
    return ids.astype(np.int64)


def _from_floats(ids: np.ndarray, name: str) -> np.ndarray:
    limit = whole_limit(ids.dtype)
    bad = ~(ids == np.floor(ids)) | ~(np.abs(ids) < limit)
    if bad.any():
        raise TypeError(
            f"{name} must be whole numbers or text; got {ids[bad][0].item()!r}; "
            f"{ids.dtype} tells whole numbers apart below {limit} only"
        )
    return ids.astype(np.int64)


def some(values: Any, max_shown: int = 3) -> str:
    """The first few values, for a message.

    Example:
        >>> some(np.array([1, 2, 3, 4]))
        '1, 2, 3, ...'
    """
    shown = [repr(getattr(v, "item", lambda v=v: v)()) for v in values[:max_shown]]
    return ", ".join(shown + ["..."] * (len(values) > max_shown))


# --- look-up --------------------------------------------------------------------------


def sorting(ids: np.ndarray) -> np.ndarray | None:
    """Places that sort ids, or None where they are sorted, as those of `read_log` are.

    Example:
        >>> sorting(np.array([5, 3])), sorting(np.array([3, 5])) is None
        (array([1, 0]), True)
    """
    is_sorted = bool(np.all(ids[:-1] <= ids[1:]))
    return None if is_sorted else np.argsort(ids, kind="stable")


def find(
    table: np.ndarray, order: np.ndarray | None, ids: Any, name: str = "ids"
) -> np.ndarray:
    """Where ids stand in a table.

    Args:
        table: `[n]` ids, each once.
        order: `[n]` places that sort it, or None where it is sorted; see `sorting`.
        ids: `[b]` ids. Text of digits finds numbers and the other way round.
        name: how an error calls them.

    Returns:
        `[b]` int64 places.

    Raises:
        ValueError: some are not in the table; names the first ones.

    Example:
        >>> find(np.array([5, 3, 9]), np.array([1, 0, 2]), [9, 5])
        array([2, 0])
    """
    asked = id_array(ids, name)
    values, known = _same_type(asked, table.dtype)
    place = np.zeros(len(asked), np.int64)
    if len(table):
        near = np.searchsorted(table, values, sorter=order)
        place = np.minimum(near, len(table) - 1)
        place = place if order is None else order[place]
        known &= np.asarray(table[place] == values, bool)
    if len(table) == 0 or not known.all():
        unknown = asked[~known] if len(table) else asked
        if len(unknown):
            raise ValueError(
                f"{len(unknown)} of {len(asked)} {name} are not in the log: "
                f"{some(unknown)}; its {name} are like {some(table)}"
            )
    return place.astype(np.int64)


def _same_type(asked: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Ids in the type of a table, and which of them can be in it at all."""
    known = np.ones(len(asked), bool)
    if dtype.kind == "O":
        return (asked if asked.dtype.kind == "O" else _texts_of_numbers(asked)), known
    if asked.dtype.kind == "O":
        asked, known = _numbers(asked)
    # Compared as they are, int64 and uint64 would both become floats.
    if dtype.kind == "u" and asked.dtype.kind == "i":
        return asked.astype(np.uint64), known & (asked >= 0)
    if dtype.kind == "i" and asked.dtype.kind == "u":
        return asked.astype(np.int64), known & (asked < np.uint64(TOP))
    return asked, known


def _texts_of_numbers(numbers: np.ndarray) -> np.ndarray:
    return np.array([*map(str, numbers.tolist()), None], object)[:-1]


def _numbers(texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Texts of plain digits as numbers; which texts were."""
    values = [int(text) if _is_plain(text) else None for text in texts]
    fits = [value is not None and -TOP <= value < 2 * TOP for value in values]
    whole = [value or 0 if fit else 0 for value, fit in zip(values, fits, strict=True)]
    top = any(value >= TOP for value in whole) and min(whole) >= 0
    known = np.array(fits, bool)
    if not top:
        known &= np.array([value < TOP for value in whole], bool)
        whole = [value if value < TOP else 0 for value in whole]
    return np.array(whole, np.uint64 if top else np.int64), known


def _is_plain(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and str(int(text)) == text


# --- in files -------------------------------------------------------------------------


def kind_of(ids: np.ndarray) -> str:
    """`"int"`, `"uint"` or `"str"`.

    Example:
        >>> kind_of(id_array(["a"]))
        'str'
    """
    return {"i": "int", "u": "uint"}.get(ids.dtype.kind, "str")


def to_bytes(ids: np.ndarray) -> bytes:
    """Bytes that tell any two tables of ids apart, the same on every machine.

    Example:
        >>> to_bytes(id_array(["ab"])) == to_bytes(id_array(["a", "b"]))
        False
    """
    if ids.dtype.kind in "iu":
        return ids.astype(f"<{ids.dtype.kind}8").tobytes()
    texts = [text.encode() for text in ids]
    sizes = np.array([len(text) for text in texts], "<i8")
    return sizes.tobytes() + b"".join(texts)


def as_table(ids: Any) -> np.ndarray:
    """Ids as one array, each once.

    Args:
        ids: whole numbers or strings.

    Returns:
        `[I]`: int64, uint64 where one needs it, or an object array of `str`.

    Raises:
        TypeError: ids of another type, or of several types.
        ValueError: an id that occurs twice.

    Example:
        >>> as_table([2**63, 7]).dtype, as_table(["a", "b"]).dtype
        (dtype('uint64'), dtype('O'))
    """
    table = id_array(ids, "item ids")
    if len(np.unique(table) if table.dtype != object else set(table)) < len(table):
        raise ValueError(f"item ids must differ; {_twice(table)!r} occurs twice")
    return table


def _twice(table: np.ndarray) -> Any:
    counts = Counter(table.tolist())
    return next(value for value, count in counts.items() if count > 1)


def pack(ids: Any) -> tuple[dict[str, Tensor], str]:
    """A table of ids as tensors.

    Args:
        ids: as of `as_table`.

    Returns:
        The tensors and the kind of id: `items` `[I]` int64 for `"int"` and `"uint"`
        (uint64 has its bits viewed as int64), or `items.bytes` uint8 (UTF-8, one
        string after another) and `items.offsets` `[I + 1]` int64 for `"str"`.

    Raises:
        TypeError, ValueError: as of `as_table`.

    Example:
        >>> pack(["ab", "c"])[0]["items.offsets"]
        tensor([0, 2, 3])
    """
    table = as_table(ids)
    kind = kind_of(table)
    if kind != "str":
        return {"items": torch.from_numpy(table.view(np.int64).copy())}, kind
    joined, ends = strings.pack(table)
    return {"items.bytes": joined, "items.offsets": ends}, kind


def unpack(tensors: Mapping[str, Tensor], kind: str) -> np.ndarray:
    """The ids that `pack` stored.

    Args:
        tensors: those of `pack`; others are passed over.
        kind: `"int"`, `"uint"` or `"str"`.

    Returns:
        `[I]`, as of `as_table`; a new array.

    Raises:
        ValueError: tensors that are not of this kind, or damaged ones.

    Example:
        >>> unpack(*pack([3, 1])).tolist()
        [3, 1]
    """
    if kind not in KINDS:
        raise ValueError(
            f"the kind of item id must be one of {', '.join(KINDS)}; got {kind!r}"
        )
    names = NAMES[1:] if kind == "str" else NAMES[:1]
    if missing := [name for name in names if name not in tensors]:
        raise ValueError(f"item ids of kind {kind!r} lack {', '.join(missing)}")
    if kind == "str":
        return as_table(_split_texts(*(tensors[name] for name in names)))
    strings.check_flat("items", tensors["items"], torch.int64)
    table = tensors["items"].numpy().copy()
    return as_table(table.view(np.uint64) if kind == "uint" else table)


def _split_texts(joined: Tensor, offsets: Tensor) -> np.ndarray:
    texts = strings.unpack(joined, offsets, (NAMES[1], NAMES[2]))
    table = np.empty(len(texts), dtype=object)
    table[:] = texts
    return table


def require_same_items(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Refuse a log whose items are not those of the summary, in the same order.

    Args:
        ours: `[I]`, item ids of the summary.
        theirs: `[I]`, item ids of the log.

    Raises:
        ValueError: they differ; the message tells the overlap.

    Example:
        >>> require_same_items(np.array([1, 2]), np.array([2, 3, 4]))
        Traceback (most recent call last):
        ...
        ValueError: the summary was made from another log: 1 of its 2 items are ...
    """
    if len(ours) == len(theirs) and bool(np.all(ours == theirs)):
        return
    shared = len(set(ours.tolist()) & set(theirs.tolist()))
    order = shared == len(ours) == len(theirs)
    raise ValueError(
        f"the summary was made from another log: {shared} of its {len(ours)} items "
        f"are among the {len(theirs)} of this one"
        f"{', in another order' if order else ''}; use the log it was made from"
    )
