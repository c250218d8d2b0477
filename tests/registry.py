"""Modalities from outside the library: installed for a test, or registered in it."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from multidd import modality
from multidd.modality import Modality, Parts


def install(
    folder: Path, package: str, groups: Mapping[str, Mapping[str, str]]
) -> None:
    """Write the packaging metadata of a package that lies in `folder`, as pip does."""
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\n")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {at}\n" for name, at in points.items())
        for group, points in groups.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))


@contextmanager
def on_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is installed in `folder` can be imported and discovered."""
    modules = set(sys.modules)
    monkeypatch.syspath_prepend(str(folder))
    modality._claims.cache_clear()
    try:
        yield
    finally:
        modality._claims.cache_clear()
        for name in set(sys.modules) - modules:
            place = getattr(sys.modules[name], "__file__", None) or ""
            if place.startswith(str(folder)):
                del sys.modules[name]


def register(
    monkeypatch: pytest.MonkeyPatch, name: str, parts: Callable[[], Parts]
) -> None:
    """Until the test ends, `name` is a modality of the package "tests"."""

    def options(method: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Nothing to set."""
        return {"data": name}, {}

    method = next(iter(parts().methods))
    entry = Modality(name, name, "tests", method, options, parts)
    claim = modality._Claim("tests", lambda: entry)
    monkeypatch.setitem(modality._claims(), name, [claim])
