"""The rules of conftest.py hold: each is tried on tests that break it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent

GLOBALS = """
import os, random, signal
import matplotlib, numpy as np, pytest, torch
from hypothesis import given, strategies as st

def test_quiet():
    generator = torch.Generator().manual_seed(1)
    torch.rand(3, generator=generator), np.random.default_rng(0).random()

@given(st.floats(allow_nan=False), st.randoms())
def test_quiet_with_hypothesis(x, r):
    assert x == x

def test_undone(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

@pytest.mark.changes_globals("asks for it")
def test_excused():
    torch.manual_seed(7)

CHANGES = [
    lambda: torch.set_default_dtype(torch.float64),
    lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    lambda: torch.use_deterministic_algorithms(True),
    lambda: torch.set_flush_denormal(True),
    lambda: torch.set_grad_enabled(False),
    lambda: torch.rand(1),
    lambda: np.random.rand(),
    lambda: random.random(),
    lambda: matplotlib.rcParams.update({"font.size": 3}),
    lambda: os.chdir("/"),
    lambda: signal.signal(signal.SIGTERM, lambda *_: None),
]

@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_loud(number):
    CHANGES[number]()

def test_quiet_afterwards():
    assert torch.get_default_dtype() == torch.float32
"""

DATA = """
import pytest

@pytest.mark.data("graph/Cora")
def test_present(data_root):
    assert (data_root / "graph" / "Cora").is_dir()

@pytest.mark.data("graph/Absent")
def test_absent():
    pass

def test_other():
    pass
"""


def _run(folder: Path, source: str, **env: str) -> tuple[dict[str, int], str]:
    """Run pytest on a file with our conftest; return its counts and its output."""
    shutil.copy(HERE / "conftest.py", folder)
    (folder / "test_it.py").write_text(source)
    config = ["-c", str(HERE.parent / "pyproject.toml"), "--rootdir", str(folder)]
    plugins = ["-p", "no:cacheprovider"]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MULTIDD_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *config, *plugins, str(folder)],
        capture_output=True,
        text=True,
        env=kept | env,
        cwd=folder,
    )
    last = done.stdout.strip().splitlines()[-1].strip("= ").partition(" in ")[0]
    counts = (entry.split() for entry in last.split(", "))
    return {name: int(count) for count, name in counts}, done.stdout


def test_a_changed_global_fails_the_test(tmp_path):
    counts, output = _run(tmp_path, GLOBALS)
    loud = GLOBALS.count("    lambda: ")
    assert (counts["passed"], counts["errors"]) == (5 + loud, loud), output
    assert "failed" not in counts


@pytest.fixture
def root(tmp_path):
    (tmp_path / "data" / "graph" / "Cora").mkdir(parents=True)
    return str(tmp_path / "data")


def test_data_unset_deselects_and_says_so(tmp_path):
    counts, output = _run(tmp_path, DATA)
    assert counts == {"passed": 1, "deselected": 2}
    assert "2 real-data tests left out: MULTIDD_DATA is not set" in output


def test_missing_set_is_skipped(tmp_path, root):
    counts, _ = _run(tmp_path, DATA, MULTIDD_DATA=root)
    assert counts == {"passed": 2, "skipped": 1}


def test_missing_set_fails_where_required(tmp_path, root):
    counts, _ = _run(tmp_path, DATA, MULTIDD_DATA=root, MULTIDD_REQUIRE_DATA="1")
    assert counts == {"passed": 2, "error": 1}


def test_unset_fails_where_required(tmp_path):
    counts, _ = _run(tmp_path, DATA, MULTIDD_REQUIRE_DATA="1")
    assert counts == {"passed": 1, "errors": 2}
