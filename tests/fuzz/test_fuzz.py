"""Files that were changed and sealed again: refused by name, or valid all the same.

A few mutations of each kind, the same ones every time; `make fuzz` tries thousands.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.fuzz.judge import BAD, run
from tests.fuzz.subjects import SUBJECTS
from tests.golden.make_stored_runs import EXPERTS, cached_experts

COUNT = int(os.environ.get("FUZZ", "12"))
"""Mutations of each kind of file."""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One for all kinds, with the experts that checkpoints follow."""
    before, threads = os.environ["MULTIDD_CACHE"], torch.get_num_threads()
    folder = tmp_path_factory.mktemp("cache")
    os.environ["MULTIDD_CACHE"] = str(folder)
    torch.set_num_threads(1)
    shutil.copytree(EXPERTS, cached_experts())
    yield folder
    os.environ["MULTIDD_CACHE"] = before
    torch.set_num_threads(threads)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_mutated_file_is_refused_by_name_or_valid(name: str) -> None:
    outcomes = run(name, COUNT)
    assert len(outcomes) == COUNT
    wrong: list[Any] = [one for one in outcomes if one["outcome"] in BAD]
    assert not wrong
    assert any(one["outcome"] == "refused" for one in outcomes)
