"""What is written is what is read; a write that fails changes nothing."""

import errno
import hashlib
import io
import json
import math
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from multidd import storage
from multidd.errors import (
    NonFiniteError,
    StorageError,
)

INFO = {"seed": 0, "name": "naïve", "nested": {"list": [1, 2.5, None, True]}}
# SHA-256 of the file of `tensors()` and INFO: format 1 must be readable for ever, and
# the same content must give the same bytes in every process.
GOLDEN = "feae89d3c5ff436593b36460905259a2bba4ae02f68b5680b918290215c6923f"


def tensors() -> dict[str, Tensor]:
    base = torch.arange(12.0).reshape(3, 4)
    return {
        "float32": base,
        "transposed": base.T,
        "every second": base[:, ::2],
        "expanded": torch.ones(1).expand(2, 3),
        "float64": base.double() / 3,
        "float16": base.half(),
        "adam::bfloat16": base.bfloat16(),
        "adjacency/int32": base.int(),
        "int64": torch.tensor([-(2**62), 2**62]),
        "bool": torch.tensor([[True], [False]]),
        "uint8": torch.arange(3, dtype=torch.uint8),
        "complex64": torch.tensor([1 + 2j]).conj(),
        "scalar": torch.tensor(7),
        "empty": torch.empty(0, 3),
        "learned": torch.nn.Parameter(torch.ones(2)),
    }


def save(path: Path, **changes: Any) -> Path:
    storage.write(path, tensors(), INFO, kind="summary", **changes)
    return path


def assert_alone(path: Path) -> None:
    """No temporary file is left beside it."""
    assert os.listdir(path.parent) == [path.name]


# --- what is written is what is read -------------------------------------------


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    size = storage.write(path, tensors(), INFO, kind="summary")
    found, info = storage.read(path, kind="summary")
    assert info == INFO
    assert size == path.stat().st_size
    assert found.keys() == tensors().keys()
    for name, tensor in tensors().items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert torch.equal(found[name], tensor), name
    assert storage.digest(found) == storage.digest(tensors())
    assert storage.peek(path) == ("summary", 1, INFO)
    found["float32"] += 1  # what was read can be written to
    assert_alone(path)


def test_no_tensors(tmp_path: Path) -> None:
    storage.write(tmp_path / "a", {}, {}, kind="note")
    assert storage.read(tmp_path / "a") == ({}, {})


def test_format_is_as_documented(tmp_path: Path) -> None:
    data = save(tmp_path / "a").read_bytes()
    found = safetensors.torch.load_file(tmp_path / "a")
    assert storage.digest(found) == storage.digest(tensors())
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    seal = header["__metadata__"]["sha256"]
    zeroed = data.replace(seal.encode(), b"0" * 64)
    assert zeroed != data
    assert hashlib.sha256(zeroed).hexdigest() == seal
    assert hashlib.sha256(data).hexdigest() == GOLDEN


def test_order_does_not_matter(tmp_path: Path) -> None:
    turned = dict(reversed(tensors().items()))
    assert list(turned) != list(tensors())
    info = dict(reversed(INFO.items()))
    storage.write(tmp_path / "b", turned, info, kind="summary")
    assert save(tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert storage.digest(turned) == storage.digest(tensors())


@pytest.mark.parametrize(
    "other",
    [
        {"y": torch.zeros(4)},
        {"x": torch.zeros(2, 2)},
        {"x": torch.zeros(4, dtype=torch.int32)},
        {"x": torch.tensor([0, 0, 0, -0.0])},
        {"x": torch.zeros(4), "y": torch.empty(0)},
        {},
    ],
)
def test_digest_sees_every_difference(other: dict[str, Tensor]) -> None:
    assert storage.digest(other) != storage.digest({"x": torch.zeros(4)})


def test_inputs_unchanged(tmp_path: Path) -> None:
    given_ = tensors()
    before = {n: (t.clone(), t.stride(), t.data_ptr()) for n, t in given_.items()}
    storage.write(tmp_path / "a", given_, INFO, kind="summary")
    storage.digest(given_)
    assert given_["learned"].requires_grad
    for name, (copy, stride, pointer) in before.items():
        tensor = given_[name]
        assert torch.equal(tensor, copy)
        assert (tensor.stride(), tensor.data_ptr()) == (stride, pointer)


KEYS = st.text("ab/:.", max_size=4)
TREES = st.recursive(
    st.builds(torch.zeros, st.just(1)),
    lambda below: st.dictionaries(KEYS, below, max_size=3),
)


def _sound(tree: dict[str, Any]) -> bool:
    return all(
        key
        and "::" not in key
        and key.strip(":") == key
        and (isinstance(child, Tensor) or _sound(child))
        for key, child in tree.items()
    )


@given(st.dictionaries(KEYS, TREES, max_size=3))
@settings(max_examples=150, deadline=None)
def test_flatten_round_trip(tree: dict[str, Any]) -> None:
    if not _sound(tree):
        with pytest.raises(ValueError, match="rename"):
            storage.flatten(tree)
        return
    flat = storage.flatten(tree)
    assert all(isinstance(leaf, Tensor) for leaf in flat.values())
    again = storage.unflatten(flat)
    assert str(again) == str(tree)  # structure and order
    leaves = [t for n, t in storage.flatten(again).items() if not n.endswith("::")]
    assert all(any(leaf is t for t in flat.values()) for leaf in leaves)


def test_empty_dicts_survive() -> None:
    tree: dict[str, Any] = {"adjacency/w": torch.ones(1), "a": {}, "b": {"c": {}}}
    assert storage.unflatten(storage.flatten(tree)) == tree
    assert storage.unflatten(storage.flatten({})) == {}


@pytest.mark.parametrize(
    "paths", [["a", "a::b"], ["a::b", "a"], ["::a"], [""], ["a::::b"]]
)
def test_malformed_keys_refused(paths: list[str]) -> None:
    with pytest.raises(ValueError):
        storage.unflatten({path: torch.ones(1) for path in paths})


@pytest.mark.parametrize("leaf", [1, "text", None, np.ones(2)])
def test_only_tensors_in_a_tree(leaf: Any) -> None:
    with pytest.raises(TypeError, match="'x' holds a"):
        storage.flatten({"x": leaf})


# --- what is refused at writing ------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "dtype"),
    [
        (math.nan, "float32"),
        (math.inf, "float64"),
        (-math.inf, "bfloat16"),
        (math.inf, "float16"),
        (math.nan, "complex64"),
        (math.inf, "float8_e5m2"),
        (math.nan, "float8_e4m3fn"),  # torch.isfinite does not know this one
    ],
)
def test_nonfinite(tmp_path: Path, bad: float, dtype: str) -> None:
    x = torch.zeros(3, 2)
    x[1, 1] = x[2, 0] = bad
    spoilt = {"fine": torch.ones(1), "x": x.to(getattr(torch, dtype))}
    path = tmp_path / "a"
    said = r"'x' holds 2 values that are NaN or infinite, the first at \[1, 1\]"
    with pytest.raises(NonFiniteError, match=said):
        storage.write(path, spoilt, {}, kind="summary")
    assert not path.exists()
    storage.write(path, spoilt, {}, kind="summary", allow_nonfinite=True)
    with pytest.raises(NonFiniteError, match=said):
        storage.read(path)
    found, _ = storage.read(path, allow_nonfinite=True)
    assert storage.digest(found) == storage.digest(spoilt)


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"a": [0, {"b": float("nan")}]}, r"info\['a'\]\[1\]\['b'\] is nan"),
        ({"a": -float("inf")}, r"info\['a'\] is -inf"),
        ({"a": {1: 2}}, "key 1, which is not a string"),
        ({"a": torch.ones(1)}, "is a Tensor"),
        ({"a": {1, 2}}, "is a set"),
    ],
)
def test_info_must_be_json(tmp_path: Path, info: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        storage.write(tmp_path / "a", {}, info, kind="summary")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "tensor",
    [
        torch.eye(2).to_sparse(),
        torch.zeros(1, dtype=torch.complex128),
        torch.zeros(1, device="meta"),
    ],
)
def test_tensors_no_file_can_hold(tmp_path: Path, tensor: Tensor) -> None:
    with pytest.raises(TypeError, match="'x' is torch"):
        storage.write(tmp_path / "a", {"x": tensor}, {}, kind="summary")


@pytest.mark.parametrize("name", ["", "__metadata__", 3, "\ud800"])
def test_names_no_file_can_hold(tmp_path: Path, name: Any) -> None:
    with pytest.raises(ValueError):
        storage.write(tmp_path / "a", {name: torch.ones(1)}, {}, kind="summary")


def test_header_too_long_to_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_MAX_HEADER", 1000)
    storage.write(tmp_path / "a", {}, {"a": "x" * 500}, kind="summary")
    with pytest.raises(ValueError, match="at most 1000"):
        storage.write(tmp_path / "a", {}, {"a": "x" * 900}, kind="summary")
    assert storage.read(tmp_path / "a")[1] == {"a": "x" * 500}


# --- faults of the disk --------------------------------------------------------


def _disk_full(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def fail(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, name, fail)


WRITERS: list[Callable[[Path], object]] = [
    lambda path: storage.write(path, {"x": torch.ones(9)}, {}, kind="summary"),
    lambda path: storage.write_text(path, "new"),
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
            storage.write(path, {"x": torch.ones(10**6)}, {}, kind="summary")
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
        storage.write_text(path, "new")
    storage.read(path)
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


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file.*make the folder"):
        save(tmp_path / "none" / "a")


def test_check_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.check_writable(tmp_path / "a" / "b")
    storage.check_writable(tmp_path / "a" / "b")
    assert os.listdir(tmp_path / "a" / "b") == []
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StorageError, match="cannot write to the folder.*/file"):
            storage.check_writable(folder)

    def read_only(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    # Root may write anywhere, so the disk itself says no.
    monkeypatch.setattr(io, "open", read_only)
    with pytest.raises(StorageError, match="Read-only file system; check"):
        storage.check_writable(tmp_path / "a")
