"""Processes that have loaded what they need."""

from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PRELOADED = ("test_interrupts", "load", "rank_runs")


@pytest.fixture
def children(module_children: Any) -> Any:
    """Processes of a server that has imported what they need."""
    return module_children


@pytest.fixture(scope="module")
def module_children() -> Iterator[Any]:
    """The same, for what is done once for all tests of a file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        yield _server()


def _server() -> Any:
    context = get_context("forkserver")
    # The server starts once in a session, whoever asks first.
    context.set_forkserver_preload([f"tests.reliability.{name}" for name in PRELOADED])
    return context
