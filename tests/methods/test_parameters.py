"""Parameters of all public methods: names of the glossary, few, typed, with defaults.

The glossary is `docs/concepts/parameters.md`.
"""

import inspect
import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import multidd
from tests.methods.cases import CASES, MODALITIES, Case

GLOSSARY = Path(__file__).parents[2] / "docs" / "concepts" / "parameters.md"
ROWS = re.findall(r"^\| `(\w+)` \| (.*) \|$", GLOSSARY.read_text(), re.M)
MOST = 12
"""Parameters that a signature shows."""

by_kind = pytest.mark.parametrize("kind", MODALITIES)


def of_kind(kind: str) -> list[Case]:
    return [case for case in CASES if case.kind == kind]


def parameters(case: Case) -> list[inspect.Parameter]:
    return list(inspect.signature(case.method).parameters.values())


def names(case: Case) -> set[str]:
    """Those of the signature and of the options."""
    shown = {p.name: p.default for p in parameters(case)}
    options = shown.get("options")
    inside = fields(options) if is_dataclass(options) else ()
    return set(shown) | {f.name for f in inside}


def test_the_glossary_names_everything_once() -> None:
    names = [name for name, _ in ROWS]
    assert len(names) > 100 and len(set(names)) == len(names)
    meanings = [meaning for _, meaning in ROWS]
    assert len(set(meanings)) == len(meanings)
    assert all(3 < len(meaning) < 90 for meaning in meanings)


@by_kind
def test_names_are_those_of_the_glossary(kind: str) -> None:
    known = {name for name, _ in ROWS}
    unknown = {str(case): names(case) - known for case in of_kind(kind)}
    assert not {name: some for name, some in unknown.items() if some}


def test_sketches_have_the_same_names() -> None:
    functions = [multidd.recsys.sketch, multidd.text.sketch, multidd.images.sketch]
    known = {name for name, _ in ROWS}
    for function in [*functions, multidd.sketches.kmeans]:
        names = inspect.signature(function).parameters
        assert set(names) <= known and len(names) <= MOST, function.__module__


@by_kind
def test_signatures_are_short(kind: str) -> None:
    sizes = {str(case): len(parameters(case)) for case in of_kind(kind)}
    assert not {name: size for name, size in sizes.items() if size > MOST}


@by_kind
def test_nothing_hides_behind_options(kind: str) -> None:
    hidden = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    offenders = [
        f"{case}: {p.name}"
        for case in of_kind(kind)
        for p in parameters(case)
        if p.kind in hidden
    ]
    assert not offenders


def test_every_parameter_has_a_type_and_a_default() -> None:
    """The data alone, which come first, have no default."""
    offenders = [
        f"{case}: {p.name}"
        for case in CASES
        for place, p in enumerate(parameters(case))
        if p.annotation is p.empty or (place > 0) != (p.default is not p.empty)
    ]
    assert not offenders
