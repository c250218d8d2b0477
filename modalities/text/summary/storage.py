"""Texts of a summary as tensors, and back; what a stored set must hold."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from multidd.card_schema import (
    CLASS_VALUES,
    CLASSES,
    POSITIVE,
    card_schema,
    names_fault,
)
from multidd.data import strings
from multidd.storage.fields import (
    Either,
    Field,
    Flag,
    FreeJSON,
    Items,
    Maybe,
    Number,
    Record,
    Text,
)
from multidd.storage.schema import INTEGER, Fields, Forms, TensorField

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


# --- the schema of files ------------------------------------------------------

_RATE = Number(low=-1e6, high=1e6)
_FEW = FreeJSON(max_items=1000)


def _known(fields: Mapping[str, Field]) -> Record:
    """A dict of settings, any of which may be missing, and others beside."""
    return Record(fields, frozenset(fields), _FEW)


KERNEL = _known(
    {
        "kind": Text(choices=("rbf", "linear", "infinite")),
        "gamma": Number(low=0, high=1e6),
        "offset": _RATE,
        "depth": Number(low=1, high=100, whole=True),
        "ridge": Number(low=0, high=1e6),
    }
)
"""Settings of the kernel predictor; see `multidd.text.models.kernel_predictor`."""

_SETTINGS: dict[str, Field] = {
    "kernel": Maybe(KERNEL),
    "encoder": Maybe(
        _known(
            {
                "key": Text(max_length=1000),
                "name": Text(max_length=1000),
                "origin": Text(max_length=1000),
                "pooling": Text(max_length=100),
                "max_length": Number(low=1, high=10**6, whole=True),
                "normalize": Flag(),
            }
        )
    ),
    "table": Maybe(
        _known(
            {
                "key": Text(max_length=1000),
                "kind": Text(choices=("static", "encoder")),
                "name": Text(max_length=1000),
                "typed": Flag(),
            }
        )
    ),
    "learned": _known({"rate": Either(_RATE, Items(_RATE, max_count=10**5))}),
    "inner_steps": Number(low=1, high=10**6, whole=True),
    "momentum": Number(low=0, high=1),
    "pace": Number(low=0, high=1e6),
    "attention": Number(low=0, high=1e12),
    "learner": Maybe(Record({"kind": Text(max_length=100)}, others=_FEW)),
}

_SOURCE: dict[str, Field] = {
    "texts": POSITIVE,
    "classes": CLASSES,
    "labels": CLASS_VALUES,
    "names": CLASS_VALUES,
}


def _tensors(info: Mapping[str, Any], forms: Forms) -> Fields:
    m = forms["y"].shape[0] if "y" in forms and forms["y"].shape else 0
    # (m, d) features of an encoder, or (m, L, d) token vectors
    tokens = "x" in forms and len(forms["x"].shape) == 3
    fields = {
        "y": TensorField(("m",), INTEGER, low=0, below="classes"),
        "x": TensorField(("m", "length", "d") if tokens else ("m", "d")),
        "y_soft": TensorField(("m", "classes"), low=-1e6, high=1e6, optional=True),
        "weight": TensorField(("m",), positive=True, optional=True),
        "source": TensorField(("m",), INTEGER, low=-1, below="texts", optional=True),
    }
    for kind in KINDS:
        letters = f"{kind}_bytes"
        fields[f"{kind}_bytes"] = TensorField((f"{letters}?",), ("U8",), optional=True)
        fields[f"{kind}_ends"] = TensorField(
            (m + 1,), INTEGER, rises=letters, optional=True
        )
    if tokens:
        shape: Any = ("m", "length")
        fields |= {
            "ids": TensorField(shape, INTEGER, low=0, high=10**7, optional=True),
            "mask": TensorField(shape, INTEGER, low=0, high=1),
            "types": TensorField(shape, INTEGER, low=0, high=1, optional=True),
            "attention": TensorField(("m", "layers", "heads", "length"), optional=True),
        }
    return fields


def _agreement(info: Mapping[str, Any], forms: Forms) -> str | None:
    """Lists that are not of the classes, and tensors without others."""
    if "x" in forms and len(forms["x"].shape) == 3 and "mask" not in forms:
        return "tensor 'x' has 3 axes, as token vectors, and there is no tensor 'mask'"
    for kind in KINDS:
        pair = (f"{kind}_bytes", f"{kind}_ends")
        if (pair[0] in forms) != (pair[1] in forms):
            lone, other = pair if pair[0] in forms else pair[::-1]
            return f"there is a tensor {lone!r} without a tensor {other!r}"
    return names_fault(info["card"]["source"], "labels", "names")


def _relation(info: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str | None:
    """Bytes that are no text."""
    for kind in KINDS:
        try:
            read(tensors, kind)
        except ValueError as error:
            return f"'{kind}_bytes' is no text: {error}"
    return None


SCHEMA = card_schema(
    _SOURCE,
    _SETTINGS,
    tensors=_tensors,
    sizes=lambda info: {n: info["card"]["source"][n] for n in ("classes", "texts")},
    agreement=_agreement,
    relation=_relation,
)
"""What a file of distilled texts holds."""
