"""The command line as a user runs it: processes, exit codes and signals."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

import multidd


@pytest.fixture(autouse=True)
def shipped_data_only(monkeypatch, tmp_path_factory):
    """Cora as it ships, whatever data folder or cache this machine has."""
    monkeypatch.delenv("MULTIDD_DATA", raising=False)
    folder = tmp_path_factory.getbasetemp() / "cli-cache"
    monkeypatch.setenv("MULTIDD_CACHE", str(folder))


def child(*words, **options):
    """The command line in a process of its own, in the checkout."""
    return subprocess.Popen(
        [sys.executable, "-m", "multidd", *map(str, words)],
        cwd=os.path.dirname(os.path.dirname(__file__)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_version_and_help():
    found = [child(*words) for words in (["--version"], ["--help"], ["show", "/no"])]
    told = [(*process.communicate(timeout=60), process.returncode) for process in found]
    assert told[0] == (f"multidd {multidd.__version__}\n", "", 0)
    assert told[1][2] == 0
    for command in ("distill", "evaluate", "show", "verify", "methods", "demo"):
        assert re.search(rf"\b{command}\b", told[1][0])
    out, err, code = told[2]
    assert (out, code) == ("", 2)
    assert err.startswith("multidd: ")
    assert "Traceback" not in err
    assert "/no" in err


def _checkpoints(out):
    return {path.name for path in (out / "checkpoint").glob("*.safetensors")}


def _wait(process, ready, seconds=60):
    limit = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_signal_saves_and_the_same_command_goes_on(tmp_path, signum, code):
    words = ["distill", "graph", "--data", "cora", "--nodes", "14", "--inductive"]
    words += ["--method", "gcond_x", "--steps", "100000", "--out", tmp_path, "--quiet"]
    stopped = []
    for _ in range(2):
        before = _checkpoints(tmp_path)
        process = child(*words)
        try:
            _wait(process, lambda seen=before: _checkpoints(tmp_path) - seen)
            process.send_signal(signum)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == code
        found = re.fullmatch(
            rf"multidd: stopped by signal {int(signum)} after step (\d+) of 100000; "
            rf"repeat the call to go on from {re.escape(str(tmp_path))}\S*\n",
            err,
        )
        assert found, err
        stopped.append(int(found[1]))
        assert any(str(stopped[-1]) in name for name in _checkpoints(tmp_path))
        assert not (tmp_path / "summary.safetensors").exists()
    assert 0 < stopped[0] < stopped[1]
