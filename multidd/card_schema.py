"""Schemas of cards: what the JSON of a file of a summary may hold."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
from multidd.storage.schema import Fields, Forms, Schema

__all__ = [
    "ANYTHING",
    "CARD",
    "CLASSES",
    "CLASS_VALUES",
    "COUNT",
    "POSITIVE",
    "PROTOCOL",
    "SCORES",
    "card_schema",
    "names_fault",
]

COUNT = Number(low=0, high=10**9, whole=True)
"""A number of things or of steps."""
POSITIVE = Number(low=1, high=2**53, whole=True)
"""A size of real data."""
CLASSES = Number(low=1, high=10**6, whole=True)
"""A number of classes."""
ANYTHING = Record(others=FreeJSON())
"""A dict that only its writer reads."""
_RATE = Number(low=0, high=10**6)
_SHARE = Number(low=0, high=1)
_UPDATES = Number(low=0, high=10**7, whole=True)

_PROTOCOL: dict[str, Field] = {
    "name": Text(max_length=200),
    "epochs": _UPDATES,
    "lr": _RATE,
    "lr_drop": _RATE,
    "weight_decay": _RATE,
    "dropout": _SHARE,
    "width": Number(low=1, high=2**16, whole=True),
    "check_every": Number(low=1, high=10**9, whole=True),
    "soft_labels": Flag(),
    "optimizer": Text(choices=("adam", "sgd")),
    "momentum": _SHARE,
    "schedule": Text(choices=("step", "cosine")),
    "batch": _UPDATES,
    "whole_batch": _UPDATES,
    "whole_patience": _UPDATES,
    "whole_cap": _UPDATES,
    "augment": Text(max_length=200),
    "lrs": Items(_RATE, max_count=100),
    "snapshots": Number(low=0, high=10**4, whole=True),
    "centered_lr": _RATE,
}
PROTOCOL = Record(_PROTOCOL, optional=frozenset(_PROTOCOL) - {"name"})
"""Settings of a training, as a card has them: those of `multidd.Protocol`."""

SCORES = Record(
    {
        "metric": Text(max_length=200),
        "values": Items(Number(), max_count=10**5),
        "seeds": Items(Number(low=-(2**63), high=2**64, whole=True), max_count=10**5),
    }
)
"""What trainings of one model reached, as a card has it."""

_CARD: dict[str, Field] = {
    "method": Text(max_length=1000),
    "settings": ANYTHING,
    "seed": Number(low=-(2**63), high=2**64, whole=True),
    "source": ANYTHING,
    "versions": Record(others=Text(max_length=1000)),
    "labels": Text(choices=("hard", "soft", "centered")),
    "decoder": ANYTHING,
    "preprocessing": ANYTHING,
    "steps": COUNT,
    "seconds": Number(low=0),
    "stages": Record(others=Number(low=0)),
    "threads": COUNT,
    "history": Items(Number()),
    "protocol": Maybe(PROTOCOL),
    "score": Maybe(Record(others=Either(SCORES, Number()))),
}
CARD = Record(
    _CARD,
    # An older version wrote fewer fields.
    optional=frozenset(_CARD) - set("method settings seed source versions".split()),
)
"""A card as it lies in a file."""


def card_schema(
    source: Mapping[str, Field] | None = None,
    settings: Mapping[str, Field] | None = None,
    *,
    optional: Sequence[str] = (),
    tensors: Callable[[Mapping[str, Any], Forms], Fields] | None = None,
    sizes: Callable[[Mapping[str, Any]], Mapping[str, int]] = lambda info: {},
    agreement: Callable[[Mapping[str, Any], Forms], str | None] | None = None,
    relation: Callable[..., str | None] = lambda info, tensors: None,
    decoded_bytes: Callable[[Mapping[str, Any], Forms], int] = lambda info, forms: 0,
) -> Schema:
    """The schema of a kind of summary.

    Args:
        source: what `card.source` must say; it may say more.
        settings: what those of `card.settings` must be that are used again.
        optional: entries of `source` that may be missing.
        tensors: the field of each tensor; see `multidd.storage.schema.Schema`, also for
            the others.
        sizes: names of sizes.
        agreement: a fault between card and header.
        relation: a fault between tensors.
        decoded_bytes: bytes of the decoded records.

    Example:
        >>> card_schema({"nodes": POSITIVE}).info.fields["card"].fields["source"]
        Record(fields={'nodes': ...
    """
    known = settings or {}
    card = CARD.extended(
        {
            "source": ANYTHING.extended(source or {}, optional),
            "settings": ANYTHING.extended(known, known),
        }
    )

    def quarrel(info: Mapping[str, Any], forms: Forms) -> str | None:
        return _quarrel(info) or (agreement(info, forms) if agreement else None)

    return Schema(
        Record({"card": card}), tensors, sizes, quarrel, relation, decoded_bytes
    )


def _quarrel(info: Mapping[str, Any]) -> str | None:
    """Scores that are not one for each seed."""
    for model, score in (info["card"].get("score") or {}).items():
        if not isinstance(score, Mapping):  # a number that somebody noted
            continue
        values, seeds = len(score["values"]), len(score["seeds"])
        if values != seeds or not seeds:
            return (
                f"card.score.{model} has {values} values for {seeds} seeds; it must "
                "have one for each, and at least one"
            )
    return None


def names_fault(source: Mapping[str, Any], *keys: str) -> str | None:
    """What is wrong with lists that must have an entry for each class."""
    for key in keys:
        if source.get(key) is not None and len(source[key]) != source["classes"]:
            return (
                f"card.source.{key} has {len(source[key])} entries; it must have one "
                f"for each of card.source.classes = {source['classes']}"
            )
    return None


CLASS_VALUES = Items(Either(Number(whole=True), Text()), min_count=1, max_count=10**6)
"""Labels or names of classes."""
