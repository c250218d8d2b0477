"""The command line as a user runs it: processes, exit codes and signals."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

import multidd

DISTILL = "distill images --data sample:fashion --ipc 1 --method kip --quiet"
STEPS = 200


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
    processes = [
        child(*words) for words in (["--version"], ["--help"], ["show", "/no"])
    ]
    results = [
        (*process.communicate(timeout=60), process.returncode) for process in processes
    ]
    assert results[0] == (f"multidd {multidd.__version__}\n", "", 0)
    assert results[1][2] == 0
    for command in ("distill", "evaluate", "show", "verify", "methods", "demo"):
        assert re.search(rf"\b{command}\b", results[1][0])
    out, err, code = results[2]
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


def _stopped(words, out, signum):
    """Run until there is a new checkpoint, then send a signal: exit code and step."""
    before, process = _checkpoints(out), child(*words, "--out", out)
    try:
        _wait(process, lambda: _checkpoints(out) - before)
        process.send_signal(signum)
        printed, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert printed == ""
    match = re.fullmatch(
        rf"multidd: stopped by signal {int(signum)} after step (\d+) of {STEPS}; "
        rf"repeat the call to go on from {re.escape(str(out))}\S*\n",
        err,
    )
    assert match, err
    assert any(match[1] in name for name in _checkpoints(out))
    assert not (out / "summary.safetensors").exists()
    return process.returncode, int(match[1])


def test_a_run_stopped_twice_ends_with_the_same_bits(call, tmp_path, rendered):
    """Each start of the same command goes on from what the one before saved; the last
    draws it."""
    words = [*DISTILL.split(), "--steps", STEPS]
    first, at_first = _stopped(words, tmp_path, signal.SIGTERM)
    then, at_last = _stopped(words, tmp_path, signal.SIGINT)
    assert (first, then) == (143, 130)
    assert 50 <= at_first < at_last < STEPS
    code, _, err = call(*words, "--out", tmp_path)
    assert (code, err) == (0, "")
    train = multidd.samples.fashion().train
    whole = multidd.images.kip(train, ipc=1, steps=STEPS, progress=False)
    assert multidd.load(tmp_path).digest() == whole.digest()
    assert len(Image.open(tmp_path / "summary.png").getcolors(10**6)) > 50
