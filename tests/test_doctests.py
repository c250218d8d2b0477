"""Every example in a docstring runs, and every public function has one."""

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest

import multidd

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = (
    "multidd",
    "multidd.graph",
    "multidd.images",
    "multidd.kernels",
    "multidd.learning",
    "multidd.objectives",
    "multidd.parameterizations",
    "multidd.recsys",
    "multidd.samples",
    "multidd.selection",
    "multidd.text",
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Finder(doctest.DocTestFinder):
    """Sees functions behind a decorator too, in the module that defines them."""

    def _from_module(self, module, object):
        return super()._from_module(module, inspect.unwrap(object))


LEAST = {
    "multidd": 50,
    "multidd.graph": 25,
    "multidd.images": 60,
    "multidd.kernels": 17,
    "multidd.learning": 10,
    "multidd.objectives": 13,
    "multidd.parameterizations": 10,
    "multidd.recsys": 90,
    "multidd.samples": 4,
    "multidd.text": 20,
}
"""Docstrings with examples in each package, at least: none drops out unseen."""


def _stop(name: str) -> None:
    raise ImportError(f"{name} does not import")


# multidd.__path__ covers modalities/ too, so this finds multidd.graph.
NAMES = ["multidd"] + [
    info.name
    for info in pkgutil.walk_packages(multidd.__path__, "multidd.", _stop)
    if not info.name.endswith("__main__")
]


@pytest.mark.usefixtures("short_teachers")
@pytest.mark.parametrize("name", NAMES)
def test_examples_run(name, tmp_path, monkeypatch):
    module = importlib.import_module(name)
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in Finder().find(module, name):
        runner.run(test)
    assert runner.summarize().failed == 0


def test_every_file_is_looked_through():
    files = [p for f in ("multidd", "modalities") for p in (ROOT / f).rglob("*.py")]
    seen = {Path(importlib.import_module(name).__file__) for name in NAMES}
    assert {path for path in files if path.name != "__main__.py"} == seen


@pytest.mark.parametrize("package", LEAST)
def test_no_examples_are_lost(package):
    names = [name for name in NAMES if _package(name) == package]
    results = [
        test
        for name in names
        for test in Finder().find(importlib.import_module(name))
        if test.examples
    ]
    assert len(results) >= LEAST[package]


def _package(name: str) -> str:
    """`multidd.graph.task` -> `multidd.graph`, `multidd.loop` -> `multidd`."""
    parts = ".".join(name.split(".")[:2])
    return parts if parts in LEAST else "multidd"


def _public_functions(package: ModuleType) -> list[str]:
    names = package.__all__
    return [name for name in names if inspect.isfunction(getattr(package, name))]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_function_has_an_example(name):
    package = importlib.import_module(name)
    without = [
        function
        for function in _public_functions(package)
        if ">>>" not in (getattr(package, function).__doc__ or "")
    ]
    assert not without
