"""Damaged, foreign and malicious files are refused by name; none is unpickled."""

import builtins
import errno
import hashlib
import json
import os
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multidd.errors import (
    CorruptFileError,
    FileVersionError,
    StorageError,
    WrongKindError,
)
from multidd.storage import files


def save(path: Path) -> Path:
    content = {
        "x": torch.arange(12.0),
        "adam::step": torch.tensor(3),
        "e": torch.ones(0),
    }
    files.write(path, content, {"seed": 0}, kind="summary")
    return path


def forge(path: Path, body: bytes = b"", **changes: Any) -> Path:
    """A file with a valid digest, made independently of the code under test."""
    meta = {"multidd": "{}", "kind": "summary", "format": "1", "sha256": "0" * 64}
    entries = changes.pop("entries", {})
    header = json.dumps(
        {"__metadata__": meta | changes} | entries, separators=(",", ":")
    )
    head = len(header).to_bytes(8, "little") + header.encode()
    seal = hashlib.sha256(head + body).hexdigest()
    path.write_bytes(head.replace(b"0" * 64, seal.encode()) + body)
    return path


def test_forged_files_are_sound(tmp_path: Path) -> None:
    assert files.read(forge(tmp_path / "a"), kind="summary") == ({}, {})


def test_missing_file(tmp_path: Path) -> None:
    for read in (files.read, files.peek):
        with pytest.raises(FileNotFoundError, match="no file .*/a; check the path"):
            read(tmp_path / "a")


def test_not_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for ever
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(StorageError, match="not a file"):
            files.read(path)


def test_unreadable_sector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    path = save(tmp_path / "a")
    monkeypatch.setattr(builtins, "open", fail)
    with pytest.raises(CorruptFileError, match="/a: Input/output error"):
        files.read(path)


@pytest.mark.parametrize("cut", ["0", "7", "8", "half", "last byte"])
def test_truncated(tmp_path: Path, cut: str) -> None:
    data = save(tmp_path / "a").read_bytes()
    at = {"half": len(data) // 2, "last byte": len(data) - 1}
    (tmp_path / "a").write_bytes(data[: at.get(cut) or int(cut)])
    with pytest.raises(CorruptFileError, match="/a is .*(truncated|damaged)"):
        files.read(tmp_path / "a")


def test_trailing_bytes(tmp_path: Path) -> None:
    path = save(tmp_path / "a")
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(CorruptFileError):
        files.read(path)


def _assert_flip_found(path: Path, bit: int) -> None:
    at, mask = bit // 8, 1 << bit % 8
    handle = os.open(path, os.O_RDWR)
    try:
        byte = os.pread(handle, 1, at)
        os.pwrite(handle, bytes([byte[0] ^ mask]), at)
        # A flip in the very word "__metadata__" makes it look like a file of others.
        with pytest.raises((CorruptFileError, WrongKindError), match="/a is"):
            files.read(path, allow_nonfinite=True)
        os.pwrite(handle, byte, at)
    finally:
        os.close(handle)


def test_every_bit_flipped(tmp_path: Path) -> None:
    path = tmp_path / "a"
    files.write(path, {"x": torch.ones(1)}, {"a": 10}, kind="k")
    data = path.read_bytes()
    assert data[-5:-4] == b" "  # safetensors reads over a flip in the padding
    for bit in range(8 * len(data)):
        _assert_flip_found(path, bit)
    assert path.read_bytes() == data
    files.read(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("flips") / "a")


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_flipped_bit(whole: Path, data: st.DataObject) -> None:
    bits = 8 * whole.stat().st_size
    _assert_flip_found(whole, data.draw(st.integers(0, bits - 1)))


def test_rewrite_after_damage(tmp_path: Path) -> None:
    path = save(tmp_path / "a")
    path.write_bytes(path.read_bytes()[:100])
    files.read(save(path), kind="summary")
    assert os.listdir(tmp_path) == [path.name]


def test_newer_format(tmp_path: Path) -> None:
    path = forge(tmp_path / "a", format="3")
    with pytest.raises(FileVersionError, match="format 3.* up to format 2; upgrade"):
        files.read(path)
    assert files.peek(path) == ("summary", 3, {})
    # Damage that looks like a newer format is damage.
    path.write_bytes(path.read_bytes().replace(b'"format":"3"', b'"format":"4"'))
    with pytest.raises(CorruptFileError):
        files.read(path)


def test_wrong_kind(tmp_path: Path) -> None:
    with pytest.raises(WrongKindError, match="'summary', not a 'checkpoint'"):
        files.read(save(tmp_path / "a"), kind="checkpoint")


def test_safetensors_of_others(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for meta in (None, {"format": "pt"}, {"made": "elsewhere"}):
        safetensors.torch.save_file({"w": torch.ones(2)}, path, metadata=meta)
        for read in (files.read, files.peek):
            with pytest.raises((WrongKindError, CorruptFileError), match="/a is"):
                read(path)


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.marker,)


def _np_save(path: Path, bomb: Bomb) -> None:
    with open(path, "wb") as file:
        np.save(file, np.array([bomb], dtype=object))


def _npz(path: Path, bomb: Bomb) -> None:
    with open(path, "wb") as file:
        np.savez(file, x=np.array([bomb], dtype=object))


PICKLES: dict[str, Callable[[Path, Bomb], object]] = {
    "pkl": lambda path, bomb: path.write_bytes(pickle.dumps(bomb)),
    "pkl0": lambda path, bomb: path.write_bytes(pickle.dumps(bomb, protocol=0)),
    "pt": lambda path, bomb: torch.save(bomb, path),
    "old pt": lambda path, bomb: torch.save(
        bomb, path, _use_new_zipfile_serialization=False
    ),
    "npy": _np_save,
    "npz": _npz,
    "in a tensor": lambda path, bomb: forge(path, pickle.dumps(bomb)),
    "as metadata": lambda path, bomb: forge(
        path, multidd=pickle.dumps(bomb, protocol=0).decode()
    ),
}


@pytest.mark.parametrize("name", PICKLES)
def test_malicious_pickle(tmp_path: Path, name: str) -> None:
    marker = tmp_path / "marker"
    bomb = Bomb(marker)
    pickle.loads(pickle.dumps(bomb))
    marker.rmdir()  # it was there: the bomb is live
    path = tmp_path / "a"
    PICKLES[name](path, bomb)
    assert b"mkdir" in path.read_bytes()
    with pytest.raises(CorruptFileError, match="/a is .*(not a multidd file|damaged)"):
        files.read(path)
    if name not in ("in a tensor",):  # its header is sound
        with pytest.raises(CorruptFileError):
            files.peek(path)
    assert not marker.exists()


def _sparse(path: Path, start: bytes, size: int) -> Path:
    with open(path, "wb") as file:
        file.write(start)
        file.truncate(size)  # takes no room on the disk
    return path


def _zip_bomb(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.npy", b"\0" * 10**7)
    return path


def _claims(path: Path) -> Path:
    entry = {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}
    return forge(path, b"\0" * 8, entries={"x": entry})


BOMBS: dict[str, Callable[[Path], Path]] = {
    "header longer than the file": lambda p: _sparse(
        p, (2**40).to_bytes(8, "little"), 99
    ),
    "header of 2**63 bytes": lambda p: _sparse(p, b"\xff" * 8, 99),
    "header over the bound": lambda p: _sparse(
        p, (100_000_001).to_bytes(8, "little"), 2**28
    ),
    "file over the bound": lambda p: _sparse(p, (2).to_bytes(8, "little"), 2**36 + 1),
    "zip": _zip_bomb,
    "tensor larger than the file": _claims,
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_allocate_nothing(tmp_path: Path, name: str) -> None:
    path = BOMBS[name](tmp_path / "a")
    tracemalloc.start()
    try:
        with pytest.raises(StorageError, match="/a"):
            files.read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**20


def test_max_bytes(tmp_path: Path) -> None:
    path = save(tmp_path / "a")
    size = path.stat().st_size
    files.read(path, max_bytes=size)
    with pytest.raises(StorageError, match=f"{size} bytes, more than {size - 1}"):
        files.read(path, max_bytes=size - 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"multidd": '{"a": NaN}'},
        {"multidd": '{"a": [1e999]}'},
        {"multidd": "[]"},
        {"multidd": "[" * 100_000},
        {"multidd": "{"},
        {"format": "9" * 5000},
        {"format": "one"},
        {"format": 1},
        {"entries": {"x": {"dtype": "F99", "shape": [0], "data_offsets": [0, 0]}}},
        {"entries": {"x": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}},
        {"entries": {"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 0]}}},
        {"entries": {"x": 3}},
        {"entries": {"x": {"dtype": "F32", "data_offsets": [0, 0]}}},
        {"entries": {"x": json.loads("[" * 70 + "]" * 70)}},
    ],
)
def test_forged_headers(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(CorruptFileError, match="/a is damaged"):
        files.read(forge(tmp_path / "a", **changes))


@pytest.mark.parametrize("header", ["[]", "3", "null", '{"__metadata__": 3}', "\x80"])
def test_headers_of_another_make(tmp_path: Path, header: str) -> None:
    raw = header.encode("latin-1")
    (tmp_path / "a").write_bytes(len(raw).to_bytes(8, "little") + raw)
    with pytest.raises(CorruptFileError, match="not a multidd file"):
        files.read(tmp_path / "a")
