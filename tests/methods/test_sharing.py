"""Which methods ranks can share, as the page of many devices says it."""

import re
from typing import Any

import pytest

from multidd.engine import loop
from multidd.protocols import ways_to_share
from tests.methods.cases import CASES
from tests.source import ROOT

PAGE = (ROOT / "docs/guides/many-devices.md").read_text(encoding="utf-8")


class Known(Exception):
    """The run is known, and need not begin."""


def ways_of(case: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """How ranks share a method, as its table in the page has it."""
    ways: list[tuple[str, ...]] = []

    def note(group: Any, method: str, task: Any, objective: Any, *rest: Any) -> None:
        ways.append(ways_to_share(objective, task))
        raise Known

    monkeypatch.setattr(loop, "_check_ranks", note)
    with pytest.raises(Known):
        case.run()
    return " or ".join(ways[0]) if ways[0] else "nothing"


def table() -> dict[str, str]:
    """Method -> how it is shared."""
    rows = re.findall(
        r"^\| (\w+) \| (classes or rows|rows|nothing) \| (.+) \|$", PAGE, re.M
    )
    return {
        f"{kind}.{name}": way
        for kind, way, names in rows
        for name in re.findall(r"`(\w+)`", names)
    }


def test_the_page_says_how_each_method_is_shared(monkeypatch: pytest.MonkeyPatch):
    looped = [case for case in CASES if case.has_loop]
    ways = {f"{c.kind}.{c.name}": ways_of(c, monkeypatch) for c in looped}
    rest = {f"{c.kind}.{c.name}": "nothing" for c in CASES if not c.has_loop}
    assert table() == ways | rest
