"""Files of packed tensors from a hostile hand: refused by name, and never expanded."""

import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import multidd
from multidd.errors import CorruptFileError, NonFiniteError, SchemaError
from multidd.storage import files
from multidd.storage.codecs import Codec
from multidd.storage.limits import Limits
from multidd.storage.packing import pack
from multidd.summary import FILE
from tests.fuzz.mutations import Content, seal
from tests.golden.make_stored_runs import STORED

Fields = dict[str, Any]


def content_of(tensors: dict[str, torch.Tensor], **kinds: Codec) -> Content:
    packing = pack(tensors, 4, lambda name: kinds.get(name, Codec("exact")), 9)
    record = {"compression": packing.record()}
    return Content(record, dict(packing.data()), "note", format=2)


def graph() -> Content:
    packing = multidd.load(STORED / "graph-gcond" / FILE).compress(bits=4).packing
    assert packing is not None
    info = files.peek(STORED / "graph-gcond" / FILE)[2]
    info["compression"] = packing.record()
    return Content(info, dict(packing.data()), "graph", format=2)


def written(content: Content, folder: Path) -> Path:
    path = folder / "packed.safetensors"
    seal(path, content)
    return path


def test_sealed_files_are_sound(tmp_path: Path) -> None:
    x = torch.arange(9)
    path = written(content_of({"x": x}), tmp_path)
    assert torch.equal(files.read(path, kind="note")[0]["x"], x)
    assert multidd.load(written(graph(), tmp_path)).packing.bits == 4


def peak_bytes(read: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(CorruptFileError, match=r"packed\.safetensors"):
            read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_stream_that_expands_without_end_is_not_expanded(tmp_path: Path) -> None:
    """A million times its bytes are in it, and a hundred are asked for."""
    coder = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join(coder.compress(bytes(2**20)) for _ in range(64)) + coder.flush()
    content = content_of({"x": torch.zeros(100, dtype=torch.uint8)})
    fields: Fields = {"coder": "deflate", "bits": 8, "group": 1, "codec": "whole"}
    content.info["compression"]["tensors"]["x"] |= fields
    raw = bytes(8) + bomb
    content.tensors["x"] = torch.frombuffer(bytearray(raw), dtype=torch.uint8)
    path = written(content, tmp_path)
    assert peak_bytes(lambda: files.read(path)) < 2**22


@pytest.mark.parametrize("coder", ["packed", "deflate", "lzma"])
def test_what_a_record_claims_is_held_against_the_limits(
    coder: str, tmp_path: Path
) -> None:
    """A constant takes no bytes at all, whatever its shape."""
    content = content_of({"x": torch.ones(100)})
    fields: Fields = {"shape": [2**20, 2**20], "coder": coder}
    content.info["compression"]["tensors"]["x"] |= fields
    path = written(content, tmp_path)
    assert peak_bytes(lambda: files.read(path)) < 2**22
    with pytest.raises(SchemaError, match=r"4,398,046,511,104 bytes once decoded"):
        files.read(path)


def test_the_limit_is_the_readers(tmp_path: Path) -> None:
    path = written(content_of({"x": torch.ones(1000)}), tmp_path)
    files.read(path, limits=Limits(decoded_bytes=4000))
    with pytest.raises(SchemaError, match=r"4,000 bytes .* more than 3,999; .*raise"):
        files.read(path, limits=Limits(decoded_bytes=3999))


def without_record(content: Content) -> None:
    del content.info["compression"]


def without_codec(content: Content) -> None:
    del content.info["compression"]["tensors"]["y"]


def without_bytes(content: Content) -> None:
    del content.tensors["y"]


def another_type(content: Content) -> None:
    content.tensors["x"] = content.tensors["x"].long()


def a_table_that_is_longer(content: Content) -> None:
    content.info["compression"]["tensors"]["x"] |= {"axes": [0, 1]}


def a_class_beyond(content: Content) -> None:
    content.info["card"]["source"]["classes"] = 1


def another_shape(content: Content) -> None:
    content.info["compression"]["tensors"]["y"]["shape"] = [5]


def a_codec_of_others(content: Content) -> None:
    content.info["compression"]["tensors"]["x"]["codec"] = "pickle"


def a_level_that_is_nan(content: Content) -> None:
    content.tensors["x"][:4] = torch.tensor([0, 0, 192, 127], dtype=torch.uint8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_record, "compression is null; it must be a dict with bits"),
        (without_codec, "tensor 'y' has bytes and no codec"),
        (without_bytes, "tensor 'y' has no bytes"),
        (another_type, "tensor 'x' is torch.int64 .*a packed one must be bytes"),
        (a_table_that_is_longer, r"compression\.tensors\.x: its table takes"),
        (a_class_beyond, "tensor 'y' .*below classes = 1"),
        (another_shape, r"tensor 'y(_soft)?' is torch\.\w+ \["),
        (a_codec_of_others, r"compression\.tensors\.x\.codec is \"pickle\""),
    ],
)
def test_what_does_not_fit_is_named(
    change: Callable[[Content], None], message: str, tmp_path: Path
) -> None:
    content = graph()
    change(content)
    path = written(content, tmp_path)
    with pytest.raises(SchemaError, match=message) as caught:
        multidd.load(path)
    assert path.name in str(caught.value)


def test_decoded_numbers_are_finite(tmp_path: Path) -> None:
    content = graph()
    a_level_that_is_nan(content)
    with pytest.raises(NonFiniteError, match=r"packed.*tensor 'x' holds"):
        multidd.load(written(content, tmp_path))
