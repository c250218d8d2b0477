"""A write that fails changes nothing."""

import errno
import io
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from multidd.errors import StorageError
from multidd.storage import files
from tests.reliability.contents import assert_alone, save


def _disk_full(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def fail(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, name, fail)


WRITERS: list[Callable[[Path], object]] = [
    lambda path: files.write(path, {"x": torch.ones(9)}, {}, kind="summary"),
    lambda path: files.write_text(path, "new"),
]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_disk_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any, call: str
) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with monkeypatch.context() as patch:
        _disk_full(patch, call)
        with pytest.raises(StorageError, match="/a: No space left.*free some space"):
            write(path)
    assert path.read_text() == "old"
    assert_alone(path)
    write(path)
    assert path.read_bytes() != b"old"
    assert_alone(path)


def test_write_cut_short_by_the_system(tmp_path: Path) -> None:
    path = save(tmp_path / "a")
    old = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StorageError, match="/a: File too large"):
            files.write(path, {"x": torch.ones(10**6)}, {}, kind="summary")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == old
    assert_alone(path)


def test_interrupt_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(source: Path, target: Path) -> None:
        assert source.parent == target.parent and source.is_file()
        assert source.name.startswith(".") and f".{os.getpid()}." in source.name
        raise KeyboardInterrupt

    path = save(tmp_path / "a")
    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write_text(path, "new")
    files.read(path)
    assert_alone(path)


def test_rename_outlives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(handle: int) -> None:
        folder = os.path.isdir(f"/proc/self/fd/{handle}")
        calls.append("folder flushed" if folder else "file flushed")
        fsync(handle)

    def note_replace(source: Path, target: Path) -> None:
        calls.append("renamed")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    save(tmp_path / "a")
    assert calls == ["file flushed", "renamed", "folder flushed"]


@pytest.mark.parametrize("fault", ["EINVAL", "ENOTSUP", "EIO"])
def test_disks_that_flush_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Some network disks cannot, which is no fault of the write."""
    fsync, number = os.fsync, getattr(errno, fault)

    def fail(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(number, os.strerror(number))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", fail)
    if fault == "EIO":
        with pytest.raises(StorageError, match="cannot write .*/a: Input/output error"):
            files.write_text(tmp_path / "a", "new")
    else:
        files.write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"
    assert_alone(tmp_path / "a")


def test_a_home_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "~nobody-of-this-name/a: .*home directory.*; write the path out"
    with pytest.raises(StorageError, match=text):
        files.write_text("~nobody-of-this-name/a", "new")


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file.*make the folder"):
        save(tmp_path / "none" / "a")


def test_check_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.check_writable(tmp_path / "a" / "b")
    files.check_writable(tmp_path / "a" / "b")
    assert os.listdir(tmp_path / "a" / "b") == []
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StorageError, match="cannot write to the folder.*/file"):
            files.check_writable(folder)

    def read_only(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    # Root may write anywhere, so the disk itself says no.
    monkeypatch.setattr(io, "open", read_only)
    with pytest.raises(StorageError, match="Read-only file system; check"):
        files.check_writable(tmp_path / "a")
