"""Every example in a docstring runs, and every public function has one."""

import doctest
import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import multidd

PUBLIC = (
    "multidd",
    "multidd.graph",
    "multidd.objectives",
    "multidd.parameterizations",
    "multidd.samples",
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _stop(name: str) -> None:
    raise ImportError(f"{name} does not import")


# multidd.__path__ covers modalities/ too, so this finds multidd.graph.
NAMES = ["multidd"] + [
    found.name
    for found in pkgutil.walk_packages(multidd.__path__, "multidd.", _stop)
    if not found.name.endswith("__main__")
]


@pytest.mark.parametrize("name", NAMES)
def test_examples_run(name, tmp_path, monkeypatch):
    module = importlib.import_module(name)
    monkeypatch.chdir(tmp_path)
    failed, _ = doctest.testmod(module, optionflags=FLAGS)
    assert failed == 0


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
