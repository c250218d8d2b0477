"""What is written is what is read; what no file can hold is refused."""

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from multidd.errors import NonFiniteError
from multidd.storage import files
from tests.reliability.contents import INFO, assert_alone, save, tensors

# SHA-256 of the file of `tensors()` and INFO: format 1 must be readable for ever, and
# the same content must give the same bytes in every process.
GOLDEN = "feae89d3c5ff436593b36460905259a2bba4ae02f68b5680b918290215c6923f"


# --- what is written is what is read -------------------------------------------


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    size = files.write(path, tensors(), INFO, kind="summary")
    result, info = files.read(path, kind="summary")
    assert info == INFO
    assert size == path.stat().st_size
    assert result.keys() == tensors().keys()
    for name, tensor in tensors().items():
        assert result[name].dtype == tensor.dtype
        assert result[name].shape == tensor.shape
        assert torch.equal(result[name], tensor), name
    assert files.digest(result) == files.digest(tensors())
    assert files.peek(path) == ("summary", 1, INFO)
    result["float32"] += 1  # what was read can be written to
    assert_alone(path)


def test_no_tensors(tmp_path: Path) -> None:
    files.write(tmp_path / "a", {}, {}, kind="note")
    assert files.read(tmp_path / "a") == ({}, {})


def test_format_is_as_documented(tmp_path: Path) -> None:
    data = save(tmp_path / "a").read_bytes()
    result = safetensors.torch.load_file(tmp_path / "a")
    assert files.digest(result) == files.digest(tensors())
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
    files.write(tmp_path / "b", turned, info, kind="summary")
    assert save(tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert files.digest(turned) == files.digest(tensors())


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
    assert files.digest(other) != files.digest({"x": torch.zeros(4)})


def test_inputs_unchanged(tmp_path: Path) -> None:
    given_ = tensors()
    before = {n: (t.clone(), t.stride(), t.data_ptr()) for n, t in given_.items()}
    files.write(tmp_path / "a", given_, INFO, kind="summary")
    files.digest(given_)
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
            files.flatten(tree)
        return
    flat = files.flatten(tree)
    assert all(isinstance(leaf, Tensor) for leaf in flat.values())
    again = files.unflatten(flat)
    assert str(again) == str(tree)  # structure and order
    leaves = [t for n, t in files.flatten(again).items() if not n.endswith("::")]
    assert all(any(leaf is t for t in flat.values()) for leaf in leaves)


def test_empty_dicts_survive() -> None:
    tree: dict[str, Any] = {"adjacency/w": torch.ones(1), "a": {}, "b": {"c": {}}}
    assert files.unflatten(files.flatten(tree)) == tree
    assert files.unflatten(files.flatten({})) == {}


@pytest.mark.parametrize(
    "paths", [["a", "a::b"], ["a::b", "a"], ["::a"], [""], ["a::::b"]]
)
def test_malformed_keys_refused(paths: list[str]) -> None:
    with pytest.raises(ValueError):
        files.unflatten({path: torch.ones(1) for path in paths})


def test_only_text_as_keys_of_a_tree() -> None:
    with pytest.raises(TypeError, match="the key 1 is a int; use a string"):
        files.flatten({1: torch.ones(1)})  # type: ignore[dict-item]


@pytest.mark.parametrize("leaf", [1, "text", None, np.ones(2)])
def test_only_tensors_in_a_tree(leaf: Any) -> None:
    with pytest.raises(TypeError, match="'x' holds a"):
        files.flatten({"x": leaf})


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
        files.write(path, spoilt, {}, kind="summary")
    assert not path.exists()
    files.write(path, spoilt, {}, kind="summary", allow_nonfinite=True)
    with pytest.raises(NonFiniteError, match=said):
        files.read(path)
    result, _ = files.read(path, allow_nonfinite=True)
    assert files.digest(result) == files.digest(spoilt)


def _lists(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"a": [0, {"b": float("nan")}]}, r"info\['a'\]\[1\]\['b'\] is nan"),
        ({"a": -float("inf")}, r"info\['a'\] is -inf"),
        ({"a": {1: 2}}, "key 1, which is not a string"),
        ({"a": torch.ones(1)}, "is a Tensor"),
        ({"a": {1, 2}}, "is a set"),
        ({"a": _lists(99)}, r"cannot write .*/a: .*json_depth=\.\.\."),
        ({"a": _lists(10**5)}, "info is nested too deep; info must be plain JSON"),
    ],
)
def test_info_must_be_json(tmp_path: Path, info: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        files.write(tmp_path / "a", {}, info, kind="summary")
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
        files.write(tmp_path / "a", {"x": tensor}, {}, kind="summary")


@pytest.mark.parametrize("name", ["", "__metadata__", 3, "\ud800"])
def test_names_no_file_can_hold(tmp_path: Path, name: Any) -> None:
    with pytest.raises(ValueError):
        files.write(tmp_path / "a", {name: torch.ones(1)}, {}, kind="summary")


def test_header_too_long_to_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_MAX_HEADER", 1000)
    files.write(tmp_path / "a", {}, {"a": "x" * 500}, kind="summary")
    with pytest.raises(ValueError, match="at most 1000"):
        files.write(tmp_path / "a", {}, {"a": "x" * 900}, kind="summary")
    assert files.read(tmp_path / "a")[1] == {"a": "x" * 500}
