"""A run finds its last whole checkpoint, and only its own."""

import errno
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from multidd.engine.checkpoint import CheckpointFolder, check_same
from multidd.errors import (
    CheckpointMismatchError,
    FileVersionError,
    LockedError,
    MultiddWarning,
    NonFiniteError,
    StorageError,
    ThreadCountWarning,
)
from multidd.storage import files, lock
from tests.reliability.checkpoints import assert_latest, save, saved, steps

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
    latest = CheckpointFolder(tmp_path).latest()
    assert latest is not None and latest[0] == step


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


def test_a_lock_that_the_disk_does_not_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(lock: FileLock) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    text = "cannot lock .*No locks available; use a folder on another disk"
    with pytest.raises(StorageError, match=text), CheckpointFolder(tmp_path):
        pass


def test_a_folder_that_cannot_be_entered_is_left_unlocked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, text: str) -> None:
        raise StorageError(f"cannot write {path}: No space left on device")

    folder = CheckpointFolder(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(lock, "write_text", fail)
        with pytest.raises(StorageError, match=".writer: No space left"), folder:
            pass
    with CheckpointFolder(tmp_path), pytest.raises(LockedError, match="is in use by"):
        folder.__enter__()
    with folder:
        save(folder, 3)
    assert steps(tmp_path) == [3]


def test_a_checkpoint_that_is_deleted_while_it_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the run that writes there: the one before is the newest then."""
    folder, read = saved(tmp_path, 20, 23), files.read

    def late(path: Path, **options: Any) -> Any:
        (tmp_path / "step-00000023.safetensors").unlink(missing_ok=True)
        return read(path, **options)

    monkeypatch.setattr(files, "read", late)
    latest = folder.latest()
    assert latest is not None and latest[0] == 20


# --- damage --------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 7, 300, -1])
def test_damaged_newest_is_skipped(tmp_path: Path, cut: int) -> None:
    folder = saved(tmp_path, 20, 23)
    newest = tmp_path / "step-00000023.safetensors"
    newest.write_bytes(newest.read_bytes()[:cut])
    with pytest.warns(MultiddWarning, match="step-00000023.safetensors is .*damaged"):
        latest = folder.latest()
    assert latest is not None and latest[0] == 20
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
        latest = folder.latest()
    assert latest is not None and latest[0] == 20


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
    saved(tmp_path, 2)
    saved(tmp_path, 1)
    monkeypatch.setattr(files, "FORMAT", 0)  # both are newer than what is read
    with pytest.raises(FileVersionError, match="step-00000002.*format 1"):
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


# --- whose checkpoint is it ----------------------------------------------------

SETTINGS = {"seed": 0, "adam": {"lr": 0.1, "betas": (0.9, 0.99)}, "threads": 2, "x": {}}


def test_same_settings(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files.write(tmp_path / "a", {}, SETTINGS, kind="settings")
        check_same(files.read(tmp_path / "a")[1], SETTINGS)


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
