"""Symbols by mixed contexts: what goes in comes out, shorter where they are alike."""

import hashlib
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multidd.storage import context_mixing
from multidd.storage.codecs import Codec
from multidd.storage.context_mixing import decode, encode
from multidd.storage.lossless import shrink, shrink_tensor
from multidd.storage.packed_tensor import pack_tensor
from multidd.storage.packing import Packing, pack

SHAPES = [(1, 1), (3, 70), (70, 3), (5, 2, 9), (4, 3, 6, 5), (0, 4), (4, 0)]


def drawn(shape: tuple[int, ...], bits: int, seed: int = 0) -> Any:
    """Symbols whose neighbours are alike."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(-1, 2, shape).cumsum(-1)
    return (steps + rng.integers(0, 2**bits, shape[:1] + (1,) * (len(shape) - 1))) % (
        2**bits
    )


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(SHAPES), st.integers(1, 8), st.integers(0, 3), st.integers(0, 99)
)
def test_symbols_come_back(
    shape: tuple[int, ...], bits: int, axis: int, seed: int
) -> None:
    symbols, axis = drawn(shape, bits, seed), axis % len(shape)
    stream = encode(symbols, axis, bits)
    assert np.array_equal(decode(stream, shape, axis, bits), symbols)


def test_symbols_of_several_chunks_and_states() -> None:
    symbols = drawn((40, 700), 3)
    stream = encode(symbols, 1, 3)
    assert np.array_equal(decode(stream, symbols.shape, 1, 3), symbols)


def test_counts_are_halved_and_symbols_come_back() -> None:
    symbols = np.zeros((2, 3000), np.uint8)
    symbols[1, ::100] = 1
    stream = encode(symbols, 1, 1)
    assert np.array_equal(decode(stream, symbols.shape, 1, 1), symbols)
    assert len(stream) < 120


def test_bytes_are_those_of_every_machine() -> None:
    """Whole numbers alone: a change of one bit makes old files unreadable."""
    squashed, logits = context_mixing._tables()
    assert squashed[0] == 65536 - squashed[-1] and int(squashed[2047]) == 32768
    assert (int(logits[0]), int(logits[2048]), int(logits[-1])) == (-2047, 0, 2047)
    stream = encode(drawn((30, 2, 7, 9), 3), 0, 3)
    assert hashlib.sha256(stream).hexdigest()[:16] == "907eb1ae0b347981"


def pictures(count: int) -> Any:
    """Smooth pictures of eight levels, `[count, 16, 16]`."""
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(count, 16, 16)).cumsum(1).cumsum(2)
    return np.clip(steps / 4 + 4, 0, 7).astype(np.uint8)


def test_neighbours_make_symbols_short() -> None:
    """Pixels are told by those beside and above them, which a line does not show."""
    symbols = pictures(60)
    mixed = shrink_tensor(symbols, 3)
    assert mixed.lanes == 0
    assert len(mixed.data) < 0.75 * len(shrink(symbols.reshape(-1), 3).data)


def test_items_of_users_are_lanes() -> None:
    """The longer axis: items that every user likes are told by the users before."""
    rng = np.random.default_rng(0)
    liked = rng.integers(0, 8, 300)
    symbols = (liked + rng.integers(0, 2, (20, 300))).clip(max=7).astype(np.uint8)
    mixed = shrink_tensor(symbols, 3)
    assert mixed.lanes == 1 and shrink_tensor(symbols.T, 3).lanes == 0
    assert len(mixed.data) < 0.7 * len(shrink(symbols.reshape(-1), 3).data)


def test_streams_of_another_shape_are_refused() -> None:
    symbols = drawn((20, 90), 3)
    stream = encode(symbols, 1, 3)
    for shape in ((20, 91), (19, 90), (21, 90), (90, 20)):
        with pytest.raises(ValueError, match="its stream is damaged"):
            decode(stream, shape, 1, 3)
    for cut in (stream[:3], stream[:-2], stream + b"\0\0", stream[:-1]):
        with pytest.raises(ValueError, match="its stream is damaged"):
            decode(cut, symbols.shape, 1, 3)


def test_a_changed_byte_is_refused_or_gives_symbols_in_range() -> None:
    symbols = drawn((20, 90), 3)
    stream = bytearray(encode(symbols, 1, 3))
    refused = 0
    for place in range(0, len(stream), 97):
        changed = bytes(stream[:place]) + bytes([stream[place] ^ 64])
        try:
            again = decode(changed + bytes(stream[place + 1 :]), (20, 90), 1, 3)
            assert 0 <= again.min() and again.max() < 8
        except ValueError:
            refused += 1
    assert refused > 0.9 * math.ceil(len(stream) / 97)


@pytest.mark.parametrize("axes", [(), (0,), (1,), (0, 2)])
def test_tensors_with_tables_of_their_own(axes: tuple[int, ...]) -> None:
    """Symbols stand in the tensor's order, whatever the order of the tables."""
    few = torch.from_numpy(pictures(40))[:, :8, :8]
    noise = torch.rand(few.shape, generator=torch.Generator().manual_seed(0))
    x = few + 0.9 * noise
    packed = pack_tensor(x, Codec("linear", axes), 3)
    assert packed.coder == "mixed" and packed.fault() is None
    assert float((packed.decode() - x).abs().max()) == pytest.approx(packed.max_error)


def test_exact_tensors_are_mixed_too() -> None:
    few = torch.from_numpy(pictures(40)).float() / 8
    packed = pack_tensor(few, Codec("exact"), 2)
    assert packed.coder == "mixed" and torch.equal(packed.decode(), few)


def test_a_few_lanes_are_left_to_the_others() -> None:
    """They would take many steps, and have little to learn from."""
    packed = pack_tensor(torch.from_numpy(pictures(7)), Codec("exact"), 2)
    assert packed.coder != "mixed"


def test_records_from_before_are_read() -> None:
    """They have no lanes, and streams of other coders."""
    x = torch.linspace(0, 1, 3000)
    packing = pack({"x": x}, 4, lambda name: Codec("linear"), 12_000)
    record = packing.record()
    del record["tensors"]["x"]["lanes"]
    again = Packing.of(record, packing.data()).decode()["x"]
    assert torch.equal(again, packing.decode()["x"])


def test_what_is_too_much_is_coded_by_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = torch.from_numpy(pictures(40)).float()
    monkeypatch.setattr("multidd.storage.packed_tensor.MAX_DECISIONS", 30_719)
    packed = pack_tensor(few, Codec("exact"), 2)
    assert packed.coder != "mixed" and torch.equal(packed.decode(), few)
    monkeypatch.undo()
    large = replace(packed, coder="mixed", bits=2, levels=4, shape=(2**11, 2**10))
    assert large.fault() is None
    larger = replace(large, shape=(2**11 + 1, 2**10))
    assert "it decodes at most 4,194,304" in str(larger.fault())
