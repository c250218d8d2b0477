"""Examples, run as a reader runs them."""

import importlib.util
import sys
from types import ModuleType

import pytest

from tests.source import ROOT


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, loaded but not run."""
    path = ROOT / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)  # where dataclasses look
    spec.loader.exec_module(module)
    return module
