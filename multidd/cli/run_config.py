"""`run.toml`: all that a run was asked for, to read, to change and to repeat.

A run folder has one, and `multidd distill --config FILE` repeats it:

    multidd = "0.2.0"            # the version that wrote it; not read
    modality = "images"
    method = "dm"
    preset = "paper"             # where the run had one
    seed = 0
    steps = 300                  # where the method has a loop
    out = "."                    # paths are absolute, or relative to the file
    data_sha256 = "..."          # of files of the user's own; others are refused

    [options]                    # of `multidd distill images`, with _ for -
    data = "fashion-mnist"
    ipc = 10

    [settings]                   # as of --set; `multidd methods dm` lists them
    batch_size = 128

The file is data: it names no program and no code, and what it does not know is refused.
"""

import difflib
import inspect
import os
import pathlib
import tomllib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from multidd import modality
from multidd._version import __version__
from multidd.cli.completion import RUN_CONFIG
from multidd.cli.values import NONE, read_value
from multidd.modality import Modality

__all__ = ["RunConfig", "read", "write"]

TOP = {"modality": str, "method": str, "preset": str, "seed": int, "steps": int}
TOP |= {"out": str}
"""Keys and their types; and `multidd`, `data_sha256`, `options`, `settings`."""

MAX_BYTES = 2**20
"""Of a file; more is no list of settings."""

DATA = ("data", "log")
"""Options that name data: the first that a modality has."""

PLACES = (*DATA, "encoder")
"""Options that may be paths."""

PLACE_SETTINGS = ("experts.folder", "tokenizer", "warm_start")
"""Settings that may be paths."""


@dataclass(frozen=True)
class RunConfig:
    """What a file asks for.

    Attributes:
        path: of the file.
        modality: its name.
        values: option of `multidd distill <modality>` -> value.
        settings: dotted name -> value, as TOML has it.
        sha256: of the user's own data, where the file says it.
    """

    path: pathlib.Path
    modality: str
    values: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    sha256: str | None = None


# --- reading --------------------------------------------------------------------


def read(path: str | os.PathLike[str]) -> RunConfig:
    """Read a file.

    Args:
        path: of the file, or of a run folder.

    Raises:
        ValueError: not TOML, or a key or value that does not belong there.
        StorageError: it cannot be read.
    """
    from multidd.storage.atomic import naming, user_path

    place = user_path(path)
    place = place / RUN_CONFIG if place.is_dir() else place
    with naming(place, "read"):
        if place.stat().st_size > MAX_BYTES:
            raise ValueError(f"{place} is larger than 1 MiB, which no settings are")
        data = place.read_bytes()
    try:
        content = tomllib.loads(data.decode("utf-8"))
    except ValueError as error:  # of the encoding too
        raise ValueError(f"{place} is not TOML: {error}") from None
    return _checked(place, content)


def _checked(path: pathlib.Path, content: Mapping[str, Any]) -> RunConfig:
    known = [*TOP, "multidd", "data_sha256", "options", "settings"]
    _refuse_unknown(path, "", content, known)
    if "modality" not in content:
        raise ValueError(f'{path} names no modality; add modality = "images", or such')
    values = {
        name: _typed(path, name, hint, content[name])
        for name, hint in TOP.items()
        if name in content
    }
    name = values.pop("modality")
    if name not in modality.names():
        raise ValueError(
            f"{path}: modality must be one of {', '.join(modality.names())}; got "
            f"{name!r}"
        )
    tables = {}
    for title in ("options", "settings"):
        tables[title] = content.get(title, {})
        if not isinstance(tables[title], dict):
            raise ValueError(f"{path}: {title} must be a table, [{title}]")
    hints = _hints(modality.entry(name))
    _refuse_unknown(path, "options.", tables["options"], hints)
    for key, value in tables["options"].items():
        values[key] = _typed(path, f"options.{key}", hints[key], value)
    if "out" in values:
        values["out"] = str(path.parent / os.path.expanduser(values["out"]))
    settings = dict(_flat(tables["settings"]))
    data_names = modality.entry(name).listed.data
    for places, keys in ((values, PLACES), (settings, PLACE_SETTINGS)):
        for key in keys:
            if isinstance(places.get(key), str):
                places[key] = _place(path, key, places[key], data_names)
    sha256 = content.get("data_sha256")
    if not isinstance(sha256, str | None):
        raise ValueError(f"{path}: data_sha256 must be text, got {sha256!r}")
    return RunConfig(path, name, values, settings, sha256)


def _hints(entry: Modality) -> dict[str, Any]:
    """The options of a modality and their types."""
    hints = typing.get_type_hints(entry.options)
    return {
        name: hints[name] for name in [*inspect.signature(entry.options).parameters][1:]
    }


def _refuse_unknown(
    path: pathlib.Path, prefix: str, table: Mapping[str, Any], known: Iterable[str]
) -> None:
    for key in table:
        if key not in list(known):
            near = difflib.get_close_matches(key, list(known)) or list(known)
            raise ValueError(
                f"{path} has a key {prefix + key!r}, which is none; did you mean "
                f"{', '.join(near)}?"
            )


def _typed(path: pathlib.Path, name: str, hint: Any, value: Any) -> Any:
    try:
        return read_value(name, hint, value)
    except TypeError as error:
        raise ValueError(f"{path}: {error}") from None


def _place(path: pathlib.Path, key: str, name: str, known: Iterable[str]) -> str:
    """A name that the library or a hub knows, or a path relative to the file."""
    if name == NONE or any(
        name.startswith(n) if n.endswith(":") else name == n for n in known
    ):
        return name
    place = path.parent / os.path.expanduser(name)
    if place.exists():
        return str(place)
    if os.path.exists(name):
        raise ValueError(
            f"{path} names {name!r} as {key}, which lies in the working directory and "
            "not beside the file; write its absolute path, or name it on the command "
            "line"
        )
    return name


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Tables in tables as dotted names."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def check_data(config: RunConfig, data: str) -> None:
    """Refuse other files than those that the run was made from.

    Args:
        config: of the run.
        data: the path that its data were opened by.

    Raises:
        ValueError: their SHA-256 is another; both are named.
    """
    from multidd.data.sources import sha256_of

    if config.sha256 is None or not os.path.exists(data):
        return
    digest = sha256_of(data)
    if digest != config.sha256:
        raise ValueError(
            f"{data} is not what {config.path} was written for: its SHA-256 is "
            f"{digest}, not {config.sha256}; if it is to be used all the same, name it "
            "on the command line"
        )


# --- writing --------------------------------------------------------------------


def absolute(name: Any) -> Any:
    """A path that is there as an absolute one; what is none as it is.

    Example:
        >>> absolute("no/such/path")
        'no/such/path'
    """
    if not isinstance(name, str) or not name:
        return name
    place = os.path.expanduser(name)
    return os.path.abspath(place) if os.path.exists(place) else name


def write(
    folder: pathlib.Path,
    entry: Modality,
    top: Mapping[str, Any],
    options: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> pathlib.Path:
    """Write the file of a run into its folder.

    Args:
        folder: of the run.
        entry: of its modality.
        top: keys of the file beside the tables.
        options: of `multidd distill <modality>`, by name.
        settings: as `multidd.cli.parameters.plain_values` gives them.

    Returns:
        Its path.

    Raises:
        StorageError: it cannot be written.
    """
    import tomli_w

    from multidd.storage.files import write_text

    signature = inspect.signature(entry.options).parameters
    plain = {
        name: NONE if value is None else value
        for name, value in options.items()
        if not (value is None and signature[name].default is None)
    }
    content = {"multidd": __version__, "modality": entry.name, **top, "out": "."}
    content |= {"options": plain, "settings": dict(settings)}
    head = "# `multidd distill --config FILE` repeats this run.\n"
    path = folder / RUN_CONFIG
    write_text(path, head + tomli_w.dumps(content))
    return path
