"""A run killed at any moment finds its last whole checkpoint, and only its own."""

import errno
import os
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from multidd import storage
from multidd.checkpoint import CheckpointFolder, check_same
from multidd.errors import (
    CheckpointMismatchError,
    FileVersionError,
    LockedError,
    MultiddWarning,
    NonFiniteError,
    StorageError,
    ThreadCountWarning,
)

ROOT = Path(__file__).parents[2]


def save(folder: CheckpointFolder, step: int) -> Path:
    folder.save(step, {"x": torch.full((50,), float(step))}, {"seed": step})
    return folder.path / f"step-{step:08d}.safetensors"


def saved(path: Path, *steps: int, keep: int = 2) -> CheckpointFolder:
    with CheckpointFolder(path, keep=keep) as folder:
        for step in steps:
            save(folder, step)
    return folder


def steps(path: Path) -> list[int]:
    return sorted(int(file.name[5:13]) for file in path.glob("step-*.safetensors"))


def assert_latest(path: Path, step: int) -> None:
    """The newest is `step`, whole, and found without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = CheckpointFolder(path).latest()
    assert found is not None
    assert found[0] == step
    assert torch.equal(found[1]["x"], torch.full_like(found[1]["x"], step))
    assert found[2] == {"seed": step}


# --- saving and finding --------------------------------------------------------


def test_keeps_the_newest(tmp_path: Path) -> None:
    folder = saved(tmp_path / "new" / "run", 9, 10, 100, keep=2)
    assert steps(folder.path) == [10, 100]
    assert_latest(folder.path, 100)
    assert repr(folder) == f"CheckpointFolder({str(folder.path)!r}, keep=2)"


def test_nothing_yet(tmp_path: Path) -> None:
    assert CheckpointFolder(tmp_path / "none").latest() is None
    assert not (tmp_path / "none").exists()
    with CheckpointFolder(tmp_path) as folder:
        assert folder.latest() is None


@pytest.mark.parametrize("step", [0, 10**8, 123_456_789_012])
def test_any_count_of_steps(tmp_path: Path, step: int) -> None:
    saved(tmp_path, step)
    found = CheckpointFolder(tmp_path).latest()
    assert found is not None and found[0] == step


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep=0: keep at least 1"):
        CheckpointFolder(tmp_path, keep=0)
    with pytest.raises(RuntimeError, match="enter the folder"):
        save(CheckpointFolder(tmp_path), 1)
    with CheckpointFolder(tmp_path) as folder:
        with pytest.raises(ValueError, match="step=-1"):
            save(folder, -1)
        with pytest.raises(NonFiniteError, match="'x'"):
            folder.save(1, {"x": torch.tensor(torch.inf)}, {})
    assert steps(tmp_path) == []


# --- damage --------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 7, 300, -1])
def test_damaged_newest_is_skipped(tmp_path: Path, cut: int) -> None:
    folder = saved(tmp_path, 20, 23)
    newest = tmp_path / "step-00000023.safetensors"
    newest.write_bytes(newest.read_bytes()[:cut])
    with pytest.warns(MultiddWarning, match="step-00000023.safetensors is .*damaged"):
        found = folder.latest()
    assert found is not None and found[0] == 20
    with CheckpointFolder(tmp_path) as folder:  # and written again, it is replaced
        save(folder, 23)
    assert_latest(tmp_path, 23)


def test_flipped_bit_in_newest(tmp_path: Path) -> None:
    folder = saved(tmp_path, 20, 23)
    newest = tmp_path / "step-00000023.safetensors"
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    with pytest.warns(MultiddWarning, match="00000023.*SHA-256"):
        found = folder.latest()
    assert found is not None and found[0] == 20


def test_all_damaged(tmp_path: Path) -> None:
    folder = saved(tmp_path, 20, 23)
    for step in (20, 23):
        (tmp_path / f"step-{step:08d}.safetensors").write_bytes(b"")
    with pytest.warns(MultiddWarning) as caught:
        assert folder.latest() is None
    assert [str(w.message).count("step-000000") for w in caught] == [1, 1]


def test_damage_does_not_count_as_kept(tmp_path: Path) -> None:
    saved(tmp_path, 20, 30, keep=2)
    (tmp_path / "step-00000030.safetensors").write_bytes(b"")
    with CheckpointFolder(tmp_path, keep=1) as folder:
        with pytest.warns(MultiddWarning, match="step-00000030"):
            assert folder.latest() is not None
        save(folder, 25)
        assert steps(tmp_path) == [25]
    assert_latest(tmp_path, 25)


def test_what_was_just_saved_is_kept(tmp_path: Path) -> None:
    saved(tmp_path, 20, 30, keep=2)
    saved(tmp_path, 10, keep=1)  # a run that did not look for the others
    assert steps(tmp_path) == [10, 30]


def test_renamed_file(tmp_path: Path) -> None:
    folder = saved(tmp_path, 5)
    (tmp_path / "step-00000005.safetensors").rename(
        tmp_path / "step-00000009.safetensors"
    )
    with pytest.warns(MultiddWarning, match="not the checkpoint of step 9 but of 5"):
        assert folder.latest() is None


def test_newer_format_is_not_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(storage, "FORMAT", 2)
        saved(tmp_path, 2)
    saved(tmp_path, 1)
    with pytest.raises(FileVersionError, match="step-00000002.*format 2"):
        CheckpointFolder(tmp_path).latest()


def test_unreadable_newest_is_not_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    folder = saved(tmp_path, 1, 2)
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(StorageError, match="step-00000002.*: Permission denied"):
        folder.latest()


def test_path_escape(tmp_path: Path) -> None:
    elsewhere = saved(tmp_path / "elsewhere", 99).path / "step-00000099.safetensors"
    before = elsewhere.read_bytes()
    inside = saved(tmp_path / "run", 5).path
    names = ["step-..%2f00000099.safetensors", "step-00000099.safetensors.bak"]
    names += ["step-٠٠٠٠٠٠٩٩.safetensors", "step-000000000000099.safetensors"]
    names += ["step-99.safetensors", ".step-00000099.safetensors"]
    for name in names:
        (inside / name).write_bytes(before)
    (inside / "step-00000098.safetensors").mkdir()
    (inside / "step-00000099.safetensors").symlink_to(elsewhere)
    assert_latest(inside, 5)
    saved(inside, 99)  # replaces the link, not what it points to
    assert not (inside / "step-00000099.safetensors").is_symlink()
    assert elsewhere.read_bytes() == before
    assert elsewhere.stat().st_nlink == 1
    assert all((inside / name).exists() for name in names)


# --- faults of the disk --------------------------------------------------------


def test_disk_full_on_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with CheckpointFolder(tmp_path) as folder:
        save(folder, 1)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(StorageError, match="step-00000002.*No space left"):
                save(folder, 2)
        assert_latest(tmp_path, 1)
        assert list(tmp_path.glob(".*.tmp")) == []
        save(folder, 3)  # the run may go on
    assert steps(tmp_path) == [1, 3]


@pytest.mark.parametrize("below", ["", "run"])
def test_read_only_folder(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")  # root may write below any real folder
    entered = False
    with pytest.raises(StorageError, match="cannot write to the folder .*/file"):
        with CheckpointFolder(tmp_path / "file" / below):
            entered = True
    assert not entered


def test_failed_deletion_only_warns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name.startswith("step-"):
            raise PermissionError(errno.EPERM, "Operation not permitted")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with CheckpointFolder(tmp_path, keep=1) as folder:
        save(folder, 1)
        with pytest.warns(MultiddWarning, match="cannot delete .*step-00000001.*hand"):
            save(folder, 2)
    assert steps(tmp_path) == [1, 2]
    assert_latest(tmp_path, 2)


# --- other processes -----------------------------------------------------------


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
        "from multidd.checkpoint import CheckpointFolder\n"
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
from multidd.checkpoint import CheckpointFolder

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


# --- whose checkpoint is it ----------------------------------------------------

SETTINGS = {"seed": 0, "adam": {"lr": 0.1, "betas": (0.9, 0.99)}, "threads": 2, "x": {}}


def test_same_settings(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        storage.write(tmp_path / "a", {}, SETTINGS, kind="settings")
        check_same(storage.read(tmp_path / "a")[1], SETTINGS)


def test_every_difference_is_named() -> None:
    now = {
        "seed": 1,
        "adam": {"lr": 0.1, "betas": (0.9, 0.95)},
        "threads": 2,
        "new": None,
    }
    with pytest.raises(CheckpointMismatchError) as caught:
        check_same(SETTINGS, now)
    said = str(caught.value)
    for part in (
        "seed was 0 and is now 1",
        "adam.betas.1 was 0.99 and is now 0.95",
        "x was {} and is now '(absent)'",
        "new was '(absent)' and is now None",
        "use another folder, or delete this one",
    ):
        assert part in said
    assert "lr" not in said and "threads" not in said and "betas.0" not in said


def test_thread_count_only_warns() -> None:
    with pytest.warns(ThreadCountWarning, match="threads was 2 and is now 1"):
        check_same(SETTINGS, SETTINGS | {"threads": 1})
    with pytest.raises(CheckpointMismatchError, match="seed was 0"):
        check_same(SETTINGS, SETTINGS | {"threads": 1, "seed": 5})
