"""Processes that have loaded what they need."""

from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Processes of a server that has imported what they need."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    context = get_context("forkserver")
    # The server starts once in a session, whoever asks first.
    context.set_forkserver_preload(
        ["tests.reliability.test_interrupts", "tests.reliability.load"]
    )
    return context
