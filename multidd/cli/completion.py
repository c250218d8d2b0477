"""What a shell completes: names that entries of modalities list, and paths.

Nothing here loads a modality's parts: the shell waits for each press of a key.
"""

import glob
import os
import pathlib
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import typer

from multidd import modality
from multidd.modality import Modality

__all__ = [
    "complete_data",
    "complete_methods",
    "complete_models",
    "complete_protocols",
    "of_entry",
]

Completer = Callable[[str], list[str]]
RUN_CONFIG = "run.toml"


def starting(names: Iterable[str], incomplete: str) -> list[str]:
    """Names that go on from what is typed: of a list by commas, its last name.

    Example:
        >>> starting(["gcn", "sgc"], "gcn,s")
        ['gcn,sgc']
    """
    before, comma, last = incomplete.rpartition(",")
    return [
        before + comma + name
        for name in dict.fromkeys(names)
        if name.startswith(last) and name not in before.split(",")
    ]


def of_entry(entry: Modality, kind: str) -> Completer:
    """Completes names of one modality.

    Args:
        entry: of the modality.
        kind: `"methods"`, `"models"`, `"protocols"` or `"data"`.

    Example:
        >>> of_entry(modality.entry("graph"), "methods")("gco")
        ['gcond', 'gcond_x']
    """
    names: Sequence[str] = getattr(entry.listed, kind)
    if kind == "methods" and entry.method not in names:
        names = (entry.method, *names)  # its `distill`, which is no method

    def complete(incomplete: str) -> list[str]:
        paths = _paths(incomplete) if kind == "data" else []
        return starting(names, incomplete) + paths

    return complete


def complete_methods(incomplete: str) -> list[str]:
    """Names of the methods of all modalities, and with the modality before a point."""
    entries = list(modality.entries())
    bare = [name for entry in entries for name in entry.listed.methods]
    dotted = [f"{e.name}.{name}" for e in entries for name in e.listed.methods]
    return starting(bare + dotted if "." in incomplete else bare, incomplete)


def complete_models(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of models, of the run's modality where its folder is typed before."""
    return starting(_names(ctx, "models"), incomplete)


def complete_protocols(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of protocols, of the run's modality where its folder is typed before."""
    return starting(_names(ctx, "protocols"), incomplete)


def complete_data(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of data sets, and paths."""
    return starting(_names(ctx, "data"), incomplete) + _paths(incomplete)


def _names(ctx: typer.Context, kind: str) -> Iterator[str]:
    name = _modality_of(ctx.params.get("folder"))
    for entry in modality.entries():
        if name in (None, entry.name):
            yield from getattr(entry.listed, kind)


def _modality_of(folder: Any) -> str | None:
    """The modality that the settings of a run folder name; None where they do not."""
    if not folder:
        return None
    try:
        text = (pathlib.Path(folder).expanduser() / RUN_CONFIG).read_text("utf-8")
        name = tomllib.loads(text).get("modality")
    except (OSError, ValueError, RuntimeError):
        return None
    return name if name in modality.names() else None


def _paths(incomplete: str) -> list[str]:
    """Files and folders whose path goes on from what is typed."""
    if not incomplete:
        return []
    places = sorted(glob.glob(glob.escape(incomplete) + "*"))
    return [f"{place}/" if os.path.isdir(place) else place for place in places]
