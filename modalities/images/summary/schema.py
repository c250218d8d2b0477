"""What a file of distilled images holds: records, labels, views, preprocessing.

The decoder on the card says what stands in the place of images; see
`multidd.parameterizations.decoding`.
"""

import math
from collections.abc import Mapping
from typing import Any

from multidd.card_schema import (
    CLASS_VALUES,
    CLASSES,
    COUNT,
    POSITIVE,
    card_schema,
    names_fault,
)
from multidd.images.data.augment import parse
from multidd.images.data.preprocessing import PREFIX
from multidd.parameterizations import decoding
from multidd.storage.fields import (
    Either,
    Field,
    FreeJSON,
    Items,
    Maybe,
    Number,
    Record,
    Text,
)
from multidd.storage.schema import INTEGER, Fields, Forms, TensorField

SIDE = Number(low=1, high=2**16, whole=True)
_DEPTH = Number(low=1, high=100, whole=True)
_WIDTH = Either(SIDE, Items(SIDE, max_count=100))
_NUMBER = Number(low=-1e6, high=1e6)

KERNEL = Record(
    {
        "kind": Text(choices=("infinite", "random", "trained")),
        "architecture": Text(max_length=100),
        "type": Text(max_length=100),
        "ridge": Number(low=0, high=1e6),
        "depth": Maybe(_DEPTH),
        "width": Maybe(_WIDTH),
        "models": Number(low=1, high=10**4, whole=True),
        "steps": Number(low=0, high=10**7, whole=True),
        "scale": _NUMBER,
        "offset": _NUMBER,
        "bias": _NUMBER,
        "lr": _NUMBER,
        "model": Text(max_length=100),
        "norm": Text(max_length=100),
        "init": Text(max_length=100),
    },
    optional=frozenset(
        "kind architecture type ridge depth width models steps scale offset bias lr "
        "model norm init".split()
    ),
    others=FreeJSON(max_items=1000),
)
"""Settings of the kernel predictor; see `multidd.images.models.kernel_predictor`."""

SOURCE: dict[str, Field] = {
    "images": POSITIVE,
    "classes": CLASSES,
    "shape": Items(SIDE, 3, 3),
    "labels": CLASS_VALUES,
    "names": Maybe(CLASS_VALUES),
}

_RELABELLED = Record(
    {"augment": Text(max_length=200), "views": COUNT},
    frozenset({"augment", "views"}),
    FreeJSON(max_items=1000),
)


def _tensors(info: Mapping[str, Any], forms: Forms) -> Fields:
    card = info["card"]
    shape, decoder = card["source"]["shape"], card.get("decoder", {})
    stored = decoding.stored_fields(decoder, shape, forms)
    if stored is None:  # a kind that somebody registered, without a schema
        stored = {n: TensorField(None, ()) for n in forms if not n.startswith(PREFIX)}
    channels, pixels = shape[0], math.prod(shape)
    decoded, rows = _labelled(info, forms), "m"
    soft = forms["y_soft"].shape[:1] if "y_soft" in forms else ()
    if soft == (decoded,):  # a label of its own for each decoded image
        rows = "images"
    return {
        **stored,
        "y": TensorField(("m",), INTEGER, low=0, below="classes"),
        "y_soft": TensorField((rows, "classes"), low=-1e6, high=1e6, optional=True),
        "y_views": TensorField(
            ("images", "views", "classes"), ("F16",), low=0, high=1.01, optional=True
        ),
        "view_seeds": TensorField(("views",), INTEGER, optional=True),
        f"{PREFIX}mean": TensorField((channels,)),
        f"{PREFIX}std": TensorField((channels,), positive=True),
        f"{PREFIX}center": TensorField((pixels,), optional=True),
        f"{PREFIX}whitening": TensorField((pixels, pixels), optional=True),
    }


def _labelled(info: Mapping[str, Any], forms: Forms) -> int:
    """Images after decoding."""
    items = forms["y"].shape[0] if "y" in forms and forms["y"].shape else 0
    return items * decoding.records_per_item(info["card"].get("decoder", {}))


def _sizes(info: Mapping[str, Any]) -> dict[str, int]:
    return {"classes": info["card"]["source"]["classes"]}


def _agreement(info: Mapping[str, Any], forms: Forms) -> str | None:
    """Faults of the decoder, of names, and of tensors that go in pairs."""
    card = info["card"]
    source = card["source"]
    fault = decoding.decoder_fault(card.get("decoder", {}), source["shape"])
    fault = fault or names_fault(source, "labels", "names")
    fault = fault or _augment_fault(card.get("protocol") or {}, "card.protocol")
    if fault:
        return fault
    pairs = (f"{PREFIX}center", f"{PREFIX}whitening"), ("y_views", "view_seeds")
    for pair in pairs:
        lone = [name for name in pair if name in forms]
        if len(lone) == 1:
            other = next(name for name in pair if name not in forms)
            return f"there is a tensor {lone[0]!r} without a tensor {other!r}"
    views = forms.get("y_views")
    if views is not None:
        if views.shape[:1] != (_labelled(info, forms),):
            return (
                f"tensor 'y_views' is {views}; it must have a row for each of "
                f"{_labelled(info, forms)} decoded images"
            )
        place, settings = "card.settings.relabelled", card["settings"]
        if "augment" not in settings.get("relabelled", {}):
            return f"{place}.augment is missing; tensor 'y_views' needs it"
        return _augment_fault(settings["relabelled"], place)
    return None


def _augment_fault(settings: Mapping[str, Any], place: str) -> str | None:
    """What is wrong with an augmentation that evaluation uses again."""
    try:
        parse(settings.get("augment", ""))
    except ValueError as error:
        return f"{place}.augment is {settings['augment']!r}: {error}"
    return None


def _decoded_bytes(info: Mapping[str, Any], forms: Forms) -> int:
    return 4 * _labelled(info, forms) * math.prod(info["card"]["source"]["shape"])


SCHEMA = card_schema(
    SOURCE,
    {"kernel": Maybe(KERNEL), "relabelled": _RELABELLED},
    optional=("names",),
    tensors=_tensors,
    sizes=_sizes,
    agreement=_agreement,
    decoded_bytes=_decoded_bytes,
)
"""What a file of distilled images holds."""
