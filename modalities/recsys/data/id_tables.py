"""Tables of item ids: whole numbers or strings, exact, to tensors and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multidd.data import strings
from multidd.recsys.data.ids import id_array, kind_of

KINDS = ("int", "uint", "str")
NAMES = ("items", "items.bytes", "items.offsets")


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
    seen: set[Any] = set()
    for value in table.tolist():
        if value in seen:
            return value
        seen.add(value)
    return None


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
    wanted = NAMES[1:] if kind == "str" else NAMES[:1]
    if missing := [name for name in wanted if name not in tensors]:
        raise ValueError(f"item ids of kind {kind!r} lack {', '.join(missing)}")
    if kind == "str":
        return as_table(_texts(*(tensors[name] for name in wanted)))
    strings.check_flat("items", tensors["items"], torch.int64)
    table = tensors["items"].numpy().copy()
    return as_table(table.view(np.uint64) if kind == "uint" else table)


def _texts(joined: Tensor, offsets: Tensor) -> np.ndarray:
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
