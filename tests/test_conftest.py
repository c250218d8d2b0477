"""The rules of conftest.py hold: each is tried on tests that break it."""

import shutil
from pathlib import Path

import pytest

pytest_plugins = "pytester"

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


CONFIG = ("-c", str(HERE.parent / "pyproject.toml"), "-p", "no:cacheprovider")


def _started(pytester: pytest.Pytester, source: str) -> tuple[str, ...]:
    """A test file with our conftest beside it, and the arguments of pytest."""
    shutil.copy(HERE / "conftest.py", pytester.path)
    pytester.makepyfile(source)
    return (*CONFIG, "--rootdir", str(pytester.path), str(pytester.path))


def test_a_changed_global_fails_the_test(pytester):
    # In a process of its own: what it changes must not reach other tests.
    done = pytester.runpytest_subprocess(*_started(pytester, GLOBALS))
    loud = GLOBALS.count("    lambda: ")
    done.assert_outcomes(passed=5 + loud, errors=loud)


@pytest.mark.parametrize(
    ("inputs", "required", "expected"),
    [
        (False, False, {"passed": 1, "deselected": 2}),
        (True, False, {"passed": 2, "skipped": 1}),
        (True, True, {"passed": 2, "errors": 1}),
        (False, True, {"passed": 1, "errors": 2}),
    ],
    ids=["unset", "missing", "missing where required", "unset where required"],
)
def test_absent_data(pytester, monkeypatch, tmp_path, inputs, required, expected):
    """Unset leaves tests out and says so; a missing set is skipped; where data are
    required both fail."""
    (tmp_path / "data" / "graph" / "Cora").mkdir(parents=True)
    for name in ("MULTIDD_DATA", "MULTIDD_REQUIRE_DATA"):
        monkeypatch.delenv(name, raising=False)
    if inputs:
        monkeypatch.setenv("MULTIDD_DATA", str(tmp_path / "data"))
    if required:
        monkeypatch.setenv("MULTIDD_REQUIRE_DATA", "1")
    done = pytester.runpytest_inprocess(*_started(pytester, DATA))
    done.assert_outcomes(**expected)
    left_out = "2 real-data tests left out: MULTIDD_DATA is not set"
    assert (left_out in done.stdout.str()) == ("deselected" in expected)
