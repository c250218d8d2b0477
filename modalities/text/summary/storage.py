"""Texts of a summary as tensors, and back; what a stored set must hold."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from multidd.data import strings

KINDS = ("text", "pair")


def stored(
    texts: Sequence[str] | None, pairs: Sequence[str] | None = None
) -> dict[str, Tensor]:
    """Texts as tensors that a summary holds.

    Args:
        texts: m texts, or None where there are none.
        pairs: m second texts, or None.

    Returns:
        `text_bytes` uint8 and `text_ends` `[m + 1]` int64, and of pairs `pair_bytes`
        and `pair_ends` too; nothing where there are no texts.

    Example:
        >>> list(stored(["fine", "dull"]))
        ['text_bytes', 'text_ends']
    """
    packed: dict[str, Tensor] = {}
    for kind, column in zip(KINDS, (texts, pairs), strict=True):
        if column is not None:
            both = strings.pack(column)
            packed |= zip((f"{kind}_bytes", f"{kind}_ends"), both, strict=True)
    return packed


def read(tensors: Mapping[str, Tensor], kind: str) -> tuple[str, ...] | None:
    """The texts that `stored` made tensors of, or None.

    Args:
        tensors: of a summary.
        kind: `"text"` or `"pair"`.

    Raises:
        ValueError: damaged ones.

    Example:
        >>> read(stored(["fine", "dull"]), "text")
        ('fine', 'dull')
    """
    names = (f"{kind}_bytes", f"{kind}_ends")
    if names[0] not in tensors:
        return None
    if names[1] not in tensors:
        raise ValueError(f"{names[0]} stands without {names[1]}")
    return strings.unpack(tensors[names[0]], tensors[names[1]], names)


def check(tensors: Mapping[str, Tensor], classes: int) -> None:
    """Refuse tensors that are no distilled texts.

    Args:
        tensors: of a summary.
        classes: c.

    Raises:
        ValueError: says which, and what it must be.

    Example:
        >>> check({"x": torch.zeros(1, 3), "y": torch.tensor([2])}, classes=2)
        Traceback (most recent call last):
        ...
        ValueError: y must be 0..1; got 2..2
    """
    missing = [name for name in ("x", "y") if name not in tensors]
    if missing:
        raise ValueError(f"a set of distilled texts lacks {', '.join(missing)}")
    y, m = tensors["y"], len(tensors["y"])
    strings.check_flat("y", y, torch.int64)
    if not m or not 0 <= int(y.min()) <= int(y.max()) < classes:
        range_text = f"{int(y.min())}..{int(y.max())}" if m else "no labels"
        raise ValueError(f"y must be 0..{classes - 1}; got {range_text}")
    for name, shapes in _shapes(tensors, m, classes).items():
        if name in tensors and list(tensors[name].shape) not in shapes:
            raise ValueError(
                f"{name} must be {shapes[-1]}; got {list(tensors[name].shape)}"
            )
    if "weight" in tensors and not bool((tensors["weight"] > 0).all()):
        raise ValueError("weights must be above 0; drop rows that count nothing")


def _shapes(
    tensors: Mapping[str, Tensor], m: int, classes: int
) -> dict[str, list[list[int]]]:
    """Shapes that each tensor may have."""
    x = list(tensors["x"].shape)
    tokens = [m, x[1]] if len(x) == 3 else [m, 0]
    return {
        "x": [[m, *x[1:]]] if len(x) in (2, 3) else [[m, 0]],
        "y_soft": [[m, classes]],
        "weight": [[m]],
        "source": [[m]],
        "ids": [tokens],
        "mask": [tokens],
        "types": [tokens],
        "text_ends": [[m + 1]],
        "pair_ends": [[m + 1]],
    }
