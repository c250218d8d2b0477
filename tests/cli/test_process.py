"""The command line as a user runs it: processes, exit codes and signals."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import multidd

GRAPH = "distill graph --data cora --nodes 14 --inductive --method gcond_x --quiet"
IMAGES = "distill images --data sample:fashion --ipc 1 --method kip --quiet"


def child(*words, **options):
    """The command line in a process of its own, in the checkout."""
    return subprocess.Popen(
        [sys.executable, "-m", "multidd", *map(str, words)],
        cwd=Path(__file__).parents[2],
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


def _stop(words, out, signum):
    """Run until there is a new checkpoint, then send a signal."""
    before, process = _checkpoints(out), child(*words, "--out", out)
    try:
        _wait(process, lambda: _checkpoints(out) - before)
        process.send_signal(signum)
        told, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert told == ""
    assert not (out / "summary.safetensors").exists()
    return process.returncode, err


def _step(err, out, signum, steps):
    """The step that a stopped run names; its checkpoint is there."""
    found = re.fullmatch(
        rf"multidd: stopped by signal {int(signum)} after step (\d+) of {steps}; "
        rf"repeat the call to go on from {re.escape(str(out))}\S*\n",
        err,
    )
    assert found, err
    assert any(found[1] in name for name in _checkpoints(out))
    return int(found[1])


def test_a_terminated_run_has_saved(tmp_path):
    words = [*GRAPH.split(), "--steps", "100000"]
    code, err = _stop(words, tmp_path, signal.SIGTERM)
    assert code == 143
    assert _step(err, tmp_path, signal.SIGTERM, 100000) > 0


def test_a_run_stopped_twice_ends_with_the_same_bits(tmp_path):
    """Ctrl-C, then a kill: each start goes on from what the one before saved."""
    words = [*IMAGES.split(), "--steps", "300"]
    code, err = _stop(words, tmp_path, signal.SIGINT)
    assert code == 130
    assert 50 <= _step(err, tmp_path, signal.SIGINT, 300) < 300
    code, err = _stop(words, tmp_path, signal.SIGKILL)
    assert (code, err) == (-signal.SIGKILL, "")
    last = child(*words, "--out", tmp_path)
    out, err = last.communicate(timeout=60)
    assert (last.returncode, err) == (0, "")
    train = multidd.samples.fashion().train
    whole = multidd.images.kip(train, ipc=1, steps=300, progress=False)
    assert multidd.load(tmp_path).digest() == whole.digest()
