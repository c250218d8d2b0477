"""The names that the library gave out when they were noted: each is still there.

A name that goes is first deprecated; then it leaves `public_names.json` too.
"""

import json
from importlib import import_module
from pathlib import Path

import pytest

NAMES = json.loads(Path(__file__).with_name("public_names.json").read_text())


@pytest.mark.parametrize("module", NAMES)
def test_public_names_are_still_there(module: str) -> None:
    there = import_module(module)
    gone = [name for name in NAMES[module] if not hasattr(there, name)]
    assert not gone
    assert set(NAMES[module]) <= set(there.__all__)
