"""Two runs never write to one folder, and one that is killed leaves it sound."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from multidd.engine.checkpoint import CheckpointFolder
from multidd.errors import LockedError
from tests.reliability.checkpoints import assert_latest, save, saved, steps

ROOT = Path(__file__).parents[2]


def _child(code: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A second process that has saved step 7 and still holds the folder."""
    child = _child(
        "import sys, torch\n"
        "from multidd.engine.checkpoint import CheckpointFolder\n"
        "with CheckpointFolder(sys.argv[1]) as folder:\n"
        "    folder.save(7, {'x': torch.full((50,), 7.0)}, {'seed': 7})\n"
        "    print('holding', flush=True)\n"
        "    sys.stdin.read()\n",
        tmp_path,
    )
    assert child.stdout is not None and child.stdout.readline() == "holding\n"
    yield child
    child.kill()
    child.communicate()


def test_two_writers(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    stray = tmp_path / ".step-00000009.safetensors.1.0badf00d.tmp"
    stray.write_bytes(b"being written")
    for _ in range(2):  # a refusal must not weaken the lock
        with pytest.raises(LockedError, match=rf"by process {writer.pid} on "):
            CheckpointFolder(tmp_path).__enter__()
    assert stray.exists()  # only the holder of the lock clears up
    assert_latest(tmp_path, 7)  # reading is free
    writer.kill()
    writer.wait()
    assert (tmp_path / ".writer").exists()  # it had no time to clear up
    saved(tmp_path, 8)
    assert not stray.exists()
    assert_latest(tmp_path, 8)


def test_two_writers_in_one_process(tmp_path: Path) -> None:
    with CheckpointFolder(tmp_path) as folder:
        with pytest.raises(LockedError, match=f"process {os.getpid()} on"):
            CheckpointFolder(tmp_path).__enter__()
        save(folder, 1)  # the first still holds it
        (tmp_path / ".writer").write_text("[")
        with pytest.raises(LockedError, match="not yet said its number"):
            CheckpointFolder(tmp_path).__enter__()
    saved(tmp_path, 2)


def test_lock_is_released_by_any_end(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        with CheckpointFolder(tmp_path):
            raise KeyboardInterrupt
    saved(tmp_path, 1)
    assert not (tmp_path / ".writer").exists()


def test_strays_are_cleared(tmp_path: Path) -> None:
    strays = [".step-00000001.safetensors.77.0badf00d.tmp", ".probe.77.0badf00d.tmp"]
    others = [".notes.77.0badf00d.tmp", "step-1.tmp", ".step-00000001.safetensors"]
    for name in strays + others:
        (tmp_path / name).write_bytes(b"")
    with CheckpointFolder(tmp_path):
        assert {".lock", ".writer", *others} == set(os.listdir(tmp_path))


# One fresh process forks a child for each kill, so that torch is loaded but once.
KILLED = """
import os, signal, sys, time, torch
from pathlib import Path
from multidd.engine.checkpoint import CheckpointFolder

root = Path(sys.argv[1])

def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)

def run(path, stop):
    with CheckpointFolder(path) as folder:
        for step in range(100_000):
            if step == 2:
                stop()
            folder.save(step, {"x": torch.full((10**6,), float(step))}, {"seed": step})

def at(call, count):
    def stop():
        real, left = getattr(os, call), [count]
        def wrapped(*args):
            left[0] -= 1
            return real(*args) if left[0] else die()
        setattr(os, call, wrapped)
    return stop

jobs = {"unflushed": (at("fsync", 1), 60), "unrenamed": (at("replace", 1), 60),
        "renamed": (at("fsync", 2), 60)}
jobs |= {f"random {i}": (lambda: None, delay / 1000)
         for i, delay in enumerate(map(int, sys.argv[2:]))}
for name, (stop, seconds) in jobs.items():
    child = os.fork()
    if child == 0:
        try:
            run(root / name, stop)
        finally:
            os._exit(1)
    if seconds < 60:
        while not list((root / name).glob("step-00000001*")):
            time.sleep(0.001)
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    print(name, os.waitstatus_to_exitcode(status), sep=":")
"""


def test_sigkill_during_a_save(tmp_path: Path) -> None:
    child = _child(KILLED, tmp_path, 3, 17, 41, 88, 131)
    try:
        said, _ = child.communicate(timeout=60)
    finally:
        child.kill()
    ends = dict(line.split(":") for line in said.splitlines())
    assert set(ends.values()) == {str(-signal.SIGKILL)}, ends
    assert len(ends) == 8
    for name in ends:
        strays = [p.name for p in (tmp_path / name).glob(".step-*.tmp")]
        if name in ("unflushed", "unrenamed"):
            assert re.match(r"\.step-00000002", strays[0])  # killed amid a save
        newest = steps(tmp_path / name)[-1]
        assert newest == {"unflushed": 1, "unrenamed": 1, "renamed": 2}.get(
            name, newest
        )
        assert_latest(tmp_path / name, newest)
        saved(tmp_path / name, newest + 1)
        assert_latest(tmp_path / name, newest + 1)
        assert list((tmp_path / name).glob(".*.tmp")) == []
