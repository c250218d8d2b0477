"""Data of a run: recorded with the SHA-256 of their files, and opened by it again.

A run folder may come from anybody. What it names is opened where the library knows the
name (a benchmark, a sample), where the files have the SHA-256 that the summary's card
records, or where the user names them.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from multidd import modality
from multidd.data.sources import sha256_of
from multidd.errors import MultiddError, warn_caller
from multidd.storage.atomic import user_path
from multidd.summary import DataSummary

__all__ = ["load_source", "record", "reopen", "with_files"]

CARD_KEY = "files_sha256"
"""Where the card's source has it; its `sha256` is of the values, however stored."""

_RECORDS = ("data", "path", CARD_KEY)


def load_source(kind: str, source: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Load the data that a note of a run folder names.

    Args:
        kind: a modality, or a kind of its summaries.
        source: the name under `"data"`, and settings of `load_for_evaluation`.

    Returns:
        What methods take, and the keywords with which `evaluate` judges a summary.
    """
    settings = {name: v for name, v in source.items() if name not in _RECORDS}
    return modality.parts(kind).load_for_evaluation(source["data"], **settings)


def record(kind: str, source: Mapping[str, Any]) -> dict[str, Any]:
    """The source with the absolute path and the SHA-256 of files of the user's own.

    Args:
        kind: a modality.
        source: as of `load_source`.

    Example:
        >>> record("graph", {"data": "sample:cora", "seed": 0})
        {'data': 'sample:cora', 'seed': 0}
    """
    path = user_path(source["data"])
    if _is_known(kind, source["data"]) or not path.exists():
        return dict(source)
    return {**source, "path": str(path.resolve()), CARD_KEY: sha256_of(path)}


def with_files(summary: DataSummary, source: Mapping[str, Any]) -> DataSummary:
    """The summary whose card has the SHA-256 of the files, where there is one."""
    if CARD_KEY not in source:
        return summary
    facts = summary.card.source | {CARD_KEY: source[CARD_KEY]}
    return replace(summary, card=replace(summary.card, source=facts))


def reopen(
    summary: DataSummary, source: Mapping[str, Any], data: str | None = None
) -> tuple[Any, dict[str, Any]]:
    """Load the data of a run again, as `load_source` does.

    Args:
        summary: of the run.
        source: the note of its folder.
        data: a name or a path from the user, in the place of the note's.

    Raises:
        MultiddError: files that are not those of the card, or are not where they were;
            both SHA-256 are named.
    """
    kind = modality.name_of(summary.kind)
    if data is not None:
        _warn_of_others(kind, summary, data)
        return load_source(kind, {**source, "data": data})
    name = source["data"]
    if not isinstance(name, str):
        raise MultiddError(f"the run's data must be a name, got {name!r}; give --data")
    if _is_known(kind, name):
        return load_source(kind, source)
    expected = summary.card.source.get(CARD_KEY)
    if expected is None:
        raise MultiddError(
            f"the run names {name!r} as its data, and its card has no SHA-256 of it, "
            "so that it is not opened; if you trust it, name it yourself: --data "
            f"{name}"
        )
    places = [source.get("path"), name]
    paths = [p for p in places if isinstance(p, str) and os.path.exists(p)]
    if not paths:
        raise MultiddError(
            f"the data of the run, {places[0] or name} with SHA-256 {expected}, are "
            "not there; say where they are: --data PATH"
        )
    digests = {path: sha256_of(path) for path in paths}
    for path, digest in digests.items():
        if digest == expected:
            return load_source(kind, {**source, "data": path})
    raise MultiddError(
        f"{paths[0]} is not what the summary was made from: its SHA-256 is "
        f"{digests[paths[0]]}, that of the run's data {expected}; if it is to be "
        f"used all the same: --data {paths[0]}"
    )


def _is_known(kind: str, name: str) -> bool:
    """Whether it is the name of a benchmark or a sample, and no path or id of a hub."""
    known = modality.parts(kind).data_names
    if any(name.startswith(n) if n.endswith(":") else name == n for n in known):
        return True
    # A modality that lists no names may have some: what is no path opens no file.
    return not re.search(r"[/\\]|^[.~]", name) and not os.path.lexists(name)


def _warn_of_others(kind: str, summary: DataSummary, data: str) -> None:
    expected = summary.card.source.get(CARD_KEY)
    if expected is None or _is_known(kind, data) or not os.path.exists(data):
        return
    digest = sha256_of(data)
    if digest != expected:
        warn_caller(
            f"{data} is not what the summary was made from: its SHA-256 is {digest}, "
            f"that of the run's data {expected}"
        )
