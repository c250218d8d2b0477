"""What a card says of the making of a summary, with a loop and without."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from multidd.parallel.sharing import nothing_to_share
from multidd.settings import describe, versions
from multidd.summary import Card

__all__ = ["CardInfo", "card_without_loop", "external_card"]


@dataclass(frozen=True)
class CardInfo:
    """What a card says that only the method knows.

    Attributes:
        method: name of the method; that of the loop or of the selection unless given.
        settings: all settings of the method; those of its parts unless given.
        seconds: of preparing, which count too.

    Example:
        >>> CardInfo("gcond", {"lr": 0.1}).method
        'gcond'
    """

    method: str | None = None
    settings: Mapping[str, Any] | None = None
    seconds: float = 0.0


def card_without_loop(
    method: str,
    settings: Any,
    source: Mapping[str, Any],
    *,
    seed: int,
    started: float,
    seconds: float = 0.0,
    labels: str = "hard",
    decoder: Mapping[str, Any] | None = None,
) -> Card:
    """The card of a method without a loop.

    Args:
        method: its name.
        settings: all its settings.
        source: fingerprint and sizes of the data.
        seed: seed of the draws.
        started: `time.perf_counter()` when it began.
        seconds: of what was prepared before, which count too.
        labels: `"hard"`, `"soft"` or `"centered"`.
        decoder: how stored records become those that models run on, if not as they are.

    Example:
        >>> card_without_loop("random", {}, {}, seed=0, started=0.0).steps
        0
    """
    nothing_to_share(method)
    return Card(
        method=method,
        settings=describe(settings),
        seed=seed,
        source=dict(source),
        versions=versions(),
        labels=labels,
        decoder=dict(decoder or {}),
        threads=torch.get_num_threads(),
        seconds=round(seconds + time.perf_counter() - started, 3),
    )


RESERVED = ("whole", "random", "herding", "kcenter", "kmeans")
"""Names of rows beside, which a set of others would displace."""


def external_card(
    origin: Mapping[str, Any],
    source: Mapping[str, Any],
    *,
    method: str = "external",
    labels: str = "hard",
    settings: Mapping[str, Any] | None = None,
) -> Card:
    """The card of a summary that others made: it says where it came from.

    Args:
        origin: `origin`, a name, and what else is known of the file.
        source: fingerprint and sizes of the real data it stands for.
        method: what reports call it.
        labels: `"hard"`, `"soft"` or `"centered"`.
        settings: what else is known of the making.

    Raises:
        ValueError: no name for the method.

    Example:
        >>> external_card({"origin": "set.npz"}, {}).settings
        {'origin': 'set.npz'}
    """
    if isinstance(method, str) and method in RESERVED:
        raise ValueError(
            f"method={method!r} is the name of a row that stands beside sets in "
            f"reports; give another, such as 'their {method}'"
        )
    if not isinstance(method, str) or not method.strip() or not method.isprintable():
        raise ValueError(
            f"method must be the name that reports give the set; got {method!r}"
        )
    return Card(
        method=method,
        settings={**origin, **(settings or {})},
        seed=0,
        source=dict(source),
        versions=versions(),
        labels=labels,
    )
