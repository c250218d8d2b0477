"""Decoding of stored tensors to the records that models run on."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from torch import Tensor

from multidd.protocols import Draw
from multidd.storage.fields import Field, FreeJSON, Number, Record, Text
from multidd.storage.schema import Fields, Forms, TensorField

__all__ = [
    "KINDS",
    "ByteCost",
    "DecoderKind",
    "decode",
    "decoder_fault",
    "records_per_item",
    "is_shared",
    "item_name",
    "register",
    "stored_fields",
]

DecoderInfo: TypeAlias = Mapping[str, Any]
"""A decoder as on a card: its `kind`, and what decoding needs beside tensors."""

FieldsOf: TypeAlias = Callable[[DecoderInfo, Sequence[int], Forms], Fields]
"""By decoder, shape of a record and forms in a header: the field of each tensor."""

TIMES = Number(low=1, high=2**16, whole=True)
"""A factor or a count that a decoder has on its card."""


def _records(decoder: DecoderInfo, shape: Sequence[int], forms: Forms) -> Fields:
    return {"x": TensorField(("m", *shape))}


@dataclass(frozen=True)
class DecoderKind:
    """How one kind of stored set is decoded.

    Attributes:
        decode: stored tensors to `x`, labels and the rest.
        records_per_item: records that every stored one becomes.
        shared: groups of tensors that all stored records share; all other tensors
            have one row for each of them.
        item_name: what the stored records are called.
        settings: what the card says of the decoder beside its kind.
        fields: what the file holds in the place of records, checked before decoding;
            None takes any tensors.
        fault: what is wrong with the settings for records of a shape, if anything.
    """

    decode: Callable[[DecoderInfo, Draw], Draw]
    records_per_item: Callable[[DecoderInfo], int] = lambda decoder: 1
    shared: tuple[str, ...] = ()
    item_name: str = "images"
    settings: Mapping[str, Field] | None = None
    fields: FieldsOf | None = None
    fault: Callable[[DecoderInfo, Sequence[int]], str | None] = lambda decoder, shape: (
        None
    )


_AS_STORED = DecoderKind(
    lambda decoder, stored: dict(stored),
    settings={},
    fields=_records,
)
_MADE_BY = {"by": Text(), "network": Text()}

KINDS: dict[str, DecoderKind] = {
    "": _AS_STORED,
    # A generator of the user's own does not go into a file: what it made does.
    "materialized": replace(_AS_STORED, settings=_MADE_BY),
}
"""Kind that a card names -> how it is decoded."""


def register(name: str, kind: DecoderKind) -> None:
    """Add a kind of stored set, so that summaries and files of it can be decoded."""
    KINDS[name] = kind


def decode(decoder: DecoderInfo, stored: Draw) -> Draw:
    """What models run on.

    Args:
        decoder: of the card; empty where records are stored as they are.
        stored: the stored tensors.

    Returns:
        `x`, `y` and what else belongs to each record.

    Raises:
        ValueError: a kind that this version does not know.

    Example:
        >>> import torch
        >>> x, y = torch.ones(1, 1, 4, 4), torch.tensor([3])
        >>> decode({"kind": "tiles", "factor": 2}, {"x": x, "y": y})["y"]
        tensor([3, 3, 3, 3])
    """
    return _kind(decoder).decode(decoder, stored)


def decoder_fault(decoder: DecoderInfo, shape: Sequence[int]) -> str | None:
    """What is wrong with a decoder on a card, for records of a shape; None if nothing.

    Example:
        >>> decoder_fault({"kind": "tiles", "factor": 0}, (1, 8, 8))
        'card.decoder.factor is 0; it must be a whole number in 1..65,536'
    """
    name = decoder.get("kind", "")
    if not isinstance(name, str) or name not in KINDS:
        known = ", ".join(repr(one) for one in KINDS if one)
        return f"card.decoder.kind is {name!r:.80}; this version decodes {known}"
    kind = KINDS[name]
    others = FreeJSON() if kind.settings is None else None
    made_by = {"by", "network"} if name == "materialized" else set()
    record = Record(
        {"kind": Text(), **(kind.settings or {})},
        frozenset(made_by if name else {"kind"}),
        others,
    )
    return record.fault(decoder, "card.decoder") or kind.fault(decoder, shape)


def stored_fields(
    decoder: DecoderInfo, shape: Sequence[int], forms: Forms
) -> Fields | None:
    """The field of each tensor that stands for records of a shape; None for any.

    Args:
        decoder: of the card, without a fault.
        shape: of a decoded record.
        forms: type and shape of the tensors of the file.

    Example:
        >>> [str(f) for f in stored_fields({}, (1, 8, 8), {}).values()]
        ['torch.float32 [m, 1, 8, 8]']
    """
    kind = _kind(decoder)
    return None if kind.fields is None else kind.fields(decoder, shape, forms)


def records_per_item(decoder: DecoderInfo) -> int:
    """Records that every stored one becomes.

    Example:
        >>> records_per_item({"kind": "tiles", "factor": 3})
        9
    """
    return _kind(decoder).records_per_item(decoder)


def item_name(decoder: DecoderInfo) -> str:
    """What stored records are called: codes, bases, or images.

    Example:
        >>> item_name({"kind": "bases", "factor": 2})
        'codes'
    """
    return _kind(decoder).item_name


def is_shared(decoder: DecoderInfo, name: str) -> bool:
    """Whether all stored records share the tensor of that name.

    Example:
        >>> decoder = {"kind": "bases", "factor": 2}
        >>> is_shared(decoder, "bases"), is_shared(decoder, "codes")
        (True, False)
    """
    return name.split("/")[0] in _kind(decoder).shared


@dataclass(frozen=True)
class ByteCost:
    """Bytes of a factorized set.

    Attributes:
        fixed: of what all stored records share.
        item: of each stored record with its label.

    Example:
        >>> ByteCost(fixed=1000, item=100).fitting(1550, classes=2)
        5
    """

    fixed: int
    item: int

    @classmethod
    def of(
        cls, shared: Sequence[Sequence[int]], code: Sequence[int], soft: int = 0
    ) -> "ByteCost":
        """Of the shapes of float32 tensors, with an int64 label for each code.

        Args:
            shared: shapes of what is shared.
            code: shape of a stored record.
            soft: float32 soft labels stored with each, 0 for hard labels.

        Example:
            >>> ByteCost.of([(2, 3)], (5,))
            ByteCost(fixed=24, item=28)
        """
        fixed = 4 * sum(math.prod(shape) for shape in shared)
        return cls(fixed, 4 * math.prod(code) + 8 + 4 * soft)

    def fitting(self, budget: int, classes: int) -> int:
        """How many stored records fit, one of each class at least.

        Raises:
            ValueError: the budget is too small; says the smallest that fits.
        """
        items = (budget - self.fixed) // self.item
        if items < classes:
            smallest = self.fixed + classes * self.item
            raise ValueError(
                f"{budget} bytes are too few: what all records share takes "
                f"{self.fixed}, each of at least {classes} codes {self.item} with its "
                f"label; the smallest budget that fits is {smallest} bytes"
            )
        return items


def repeat_labels(labels: Draw, times: int) -> Draw:
    """Labels of the records that each stored one becomes."""
    return {n: t.repeat_interleave(times, dim=0) for n, t in labels.items()}


def merge_labels(labels: Tensor, times: int) -> Tensor:
    """The label of each stored record of `times` records: soft ones by their mean."""
    if labels.is_floating_point():
        return labels.unflatten(0, (-1, times)).mean(1)
    return labels[::times].clone()


def check_same_class(y: Tensor, times: int, noun: str) -> None:
    """Refuse `times` records that follow one another and differ in class.

    Raises:
        ValueError: names what they make.
    """
    labels = y.unflatten(0, (-1, times))
    if bool((labels != labels[:, :1]).any()):
        raise ValueError(
            f"{noun} must be of one class: give each class a multiple of {times} "
            "records"
        )


def split_groups(stored: Draw, *groups: str) -> tuple[dict[str, Tensor], Draw]:
    """The tensors of some groups, and all others."""
    inside = {n: t for n, t in stored.items() if n.split("/")[0] in groups}
    return inside, {n: t for n, t in stored.items() if n not in inside}


def _kind(decoder: DecoderInfo) -> DecoderKind:
    name = decoder.get("kind", "")
    if name not in KINDS:
        names = ", ".join(repr(one) for one in KINDS if one)
        raise ValueError(
            f"this version decodes {names}, not {name!r}; a newer one wrote it"
        )
    return KINDS[name]
