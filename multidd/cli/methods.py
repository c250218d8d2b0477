"""`multidd methods`: every method, and every setting of one."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from multidd import modality
from multidd.cli.completion import complete_methods
from multidd.cli.output import Json, write
from multidd.cli.parameters import Parameter, parameters
from multidd.modality import Modality, Parts

__all__ = ["RESERVED", "method_of", "methods", "options_of"]

Name = Annotated[
    str | None,
    typer.Argument(
        help="A method, such as dm or images.dm: its settings.",
        autocompletion=complete_methods,
    ),
]

RESERVED = ("data", "seed", "steps", "checkpoint", "progress", "preset")
"""Parameters that a command gives itself."""

FOR_LOOPS = ("checkpoint_every", "select_best", "callbacks", "threads")
"""Settings of a run that a method without a loop refuses."""


def methods(name: Name = None, as_json: Json = False) -> None:
    """List the methods of every modality, or every setting of one method.

    `needs` says what a method learns first: experts (trainings on real data that are
    recorded and followed) or a teacher (a model that labels).
    """
    if name is None:
        facts = [
            _facts(entry, parts, method)
            for entry, parts in modality.with_parts()
            for method in parts.commands
        ]
        write({"methods": facts}, _Lazy(lambda: _table(facts)), as_json)
        return
    details = [_details(*one) for one in _named(name)]
    text = _Lazy(lambda: "\n\n".join(map(_page, details)))
    write({"methods": details}, text, as_json)


class _Lazy:
    """A text that is made when it is printed."""

    def __init__(self, make: Callable[[], str]) -> None:
        self._make = make

    def __str__(self) -> str:
        return self._make()


def _named(name: str) -> list[tuple[Modality, Parts, str]]:
    """The methods of this name, one of each modality that has it."""
    of, _, method = name.rpartition(".")
    if of and of not in modality.names():
        raise ValueError(
            f"modality must be one of {', '.join(modality.names())}; got {of!r}"
        )
    every = [(e, p) for e, p in modality.with_parts() if of in ("", e.name)]
    named = [
        (entry, parts, method) for entry, parts in every if method in parts.commands
    ]
    if not named:
        import difflib

        known = list(dict.fromkeys(m for _, parts in every for m in parts.commands))
        close = difflib.get_close_matches(method, known) or known
        raise ValueError(
            f"there is no method {name!r}; did you mean {', '.join(close)}? "
            "`multidd methods` lists all"
        )
    return named


def method_of(name: str, parts: Parts, method: str) -> Callable[..., Any]:
    """A method of a modality by its name.

    Args:
        name: of the modality.
        parts: its parts.
        method: the name.

    Raises:
        ValueError: it has no such method; says which it has.
    """
    if method not in parts.commands:
        known = ", ".join(parts.commands)
        raise ValueError(f"--method must be one of {known}; got {method!r}")
    return parts.commands[method]


def options_of(entry: Modality) -> dict[str, str]:
    """Parameters that `multidd distill <name>` has options for, and these options.

    Example:
        >>> options_of(modality.entry("images"))["budget_bytes"]
        '--budget-bytes'
    """
    names = list(inspect.signature(entry.options).parameters)[1:]
    names = ["preset", "steps", "seed", *names]
    return {name: f"--{name.replace('_', '-')}" for name in names}


# --- facts ----------------------------------------------------------------------


def _facts(entry: Modality, parts: Parts, name: str) -> dict[str, Any]:
    """What the list says of a method."""
    method = parts.commands[name]
    return {
        "modality": entry.name,
        "method": name,
        "family": method.__module__.rpartition(".")[2],
        "year": _year(method),
        "needs": _needs(method),
        "loop": parts.has_loop(name),
        "about": (method.__doc__ or "").strip().partition("\n")[0],
    }


def _year(method: Callable[..., Any]) -> int | None:
    """Of the first work that its docstring refers to."""
    _, _, works = (method.__doc__ or "").partition("Reference:")
    year = re.search(r"(?<![\d.])(?:19|20)\d\d(?![\d.]\d)", works)
    return int(year[0]) if year else None


def _needs(method: Callable[..., Any]) -> str | None:
    """What is learned before: experts, a teacher, or nothing."""
    defaults = {one.name: one.default for one in parameters(method)}
    if "experts" in defaults:
        return "experts"
    labels = str(defaults.get("labels", "")).startswith("teacher")
    teacher = {"teacher", "teacher_steps"} & set(defaults)
    guided = defaults.get("supervision") == "teacher"
    return "teacher" if labels or teacher or guided else None


def _details(entry: Modality, parts: Parts, name: str) -> dict[str, Any]:
    """What the page of a method says."""
    from multidd.engine.presets import presets_of  # loads torch

    options = options_of(entry)
    others = [one for other, one in parts.methods.items() if other != name]
    skipped = {"checkpoint", "progress"}
    skipped |= set() if parts.has_loop(name) else set(FOR_LOOPS)
    presets = presets_of(parts.commands[name])
    paper = {} if presets is None else presets.settings(name)
    settings = [
        _setting(one, options, paper)
        for one in parameters(parts.commands[name], others)
        if one.name.partition(".")[0] not in skipped
    ]
    facts = _facts(entry, parts, name) | {"settings": settings}
    remains = None if presets is None else presets.remains(name)
    return facts | {"remains": remains}


def _setting(
    one: Parameter, options: Mapping[str, str], paper: Mapping[str, Any]
) -> dict[str, Any]:
    by = options.get(one.name, "--set" if one.is_text else "Python")
    facts = {"name": one.name, "type": one.type_name, "default": one.default_text}
    facts |= {"by": by, "about": one.about}
    first, *path = one.name.split(".")
    if first not in paper:
        return facts
    value = paper[first]
    for part in path:
        # Of a class with other fields than the default's there is none.
        value = getattr(value, part, inspect.Parameter.empty)
    return facts | {"paper": replace(one, default=value).default_text}


# --- text -----------------------------------------------------------------------

HEADS = ("method", "family", "year", "needs", "what it does")


def _table(facts: Sequence[Mapping[str, Any]]) -> str:
    """One table for a pipe; on a terminal one for each modality."""
    from multidd.evaluation.table import aligned, terminal_width

    width = terminal_width()
    rows = [
        [
            one["modality"],
            one["method"],
            one["family"],
            str(one["year"] or ""),
            one["needs"] or "",
            one["about"],
        ]
        for one in facts
    ]
    if width is None:
        return aligned([["modality", *HEADS], *rows])
    tables = []
    for name in dict.fromkeys(row[0] for row in rows):
        inside = [row[1:] for row in rows if row[0] == name]
        table = aligned([list(HEADS), *inside], width, ("family", "year"))
        tables.append(f"{name}\n\n{table}")
    return "\n\n".join([*tables, "`multidd methods NAME` lists the settings of one."])


def _page(details: Mapping[str, Any]) -> str:
    """A method: what it is, and its settings by how they are given."""
    from multidd.evaluation.table import folded, terminal_width

    width = terminal_width()
    name, of = details["method"], details["modality"]
    facts = [
        f"family {details['family']}",
        f"year {details['year']}" if details["year"] else "",
        f"needs {details['needs']}" if details["needs"] else "",
        "has a loop" if details["loop"] else "no loop",
    ]
    lines = [f"{of}.{name}", folded(details["about"], width, "  ")]
    lines.append(folded(", ".join(fact for fact in facts if fact), width, "  "))
    if details["remains"] is not None:
        paper = (
            "--preset paper takes the settings of the paper, listed where it has some "
            f"for the budget and data that papers report most. Under it: "
            f"{details['remains']}"
        )
        lines.append(folded(paper, width, "  "))
    settings = details["settings"]
    given_by = {
        f"Options of `multidd distill {of}`:": lambda by: (
            by.startswith("--") and by != "--set"
        ),
        "Settings, by --set NAME=VALUE:": lambda by: by == "--set",
        "From Python only:": lambda by: by == "Python",
    }
    for title, belongs in given_by.items():
        chosen = [one for one in settings if belongs(one["by"])]
        if chosen:
            lines += ["", title]
            lines += [text for one in chosen for text in _entry(one, width)]
    return "\n".join(lines)


def _entry(one: Mapping[str, Any], width: int | None) -> Iterator[str]:
    """A setting: its name, type and default, and below them what it is."""
    from multidd.evaluation.table import folded

    name = one["by"] if one["by"].startswith("--") and one["by"] != "--set" else ""
    default = f", default {one['default']}" if one["default"] else ""
    default += f", paper {one['paper']}" if one.get("paper") else ""
    yield folded(f"{name or one['name']}: {one['type']}{default}", width, "  ")
    if one["about"]:
        yield folded(one["about"], width, "      ")
