"""Streams and codecs without a file: what goes in comes out, and nothing more."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multidd.storage.codecs import CODECS, Codec
from multidd.storage.lossless import CODERS, Stream, expand, shrink
from multidd.storage.packed_tensor import PackedTensor, pack_tensor
from multidd.storage.schema import DTYPES


def drawn(bits: int, count: int, skew: float) -> Any:
    rng = np.random.default_rng(count)
    share = rng.dirichlet(np.full(2**bits, skew))
    return rng.choice(2**bits, size=count, p=share).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 8), st.integers(0, 300), st.sampled_from([0.05, 1.0]))
def test_symbols_come_back(bits: int, count: int, skew: float) -> None:
    symbols = drawn(bits, count, skew)
    stream = shrink(symbols, bits)
    assert np.array_equal(expand(stream, count, bits), symbols)
    assert len(stream.data) <= -(-count * bits // 8)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_independent_symbols_take_little_more_than_their_entropy(bits: int) -> None:
    symbols = drawn(bits, 20_000, 0.5)
    share = np.bincount(symbols) / len(symbols)
    share = share[share > 0]
    entropy = float(-(share * np.log2(share)).sum()) * len(symbols) / 8
    assert len(shrink(symbols, bits).data) < 1.06 * entropy + 100


@pytest.mark.parametrize("symbols", [np.zeros(5000, np.uint8), drawn(3, 5000, 0.05)])
def test_streams_of_another_length_are_refused(symbols: Any) -> None:
    stream = shrink(symbols, 3)
    assert stream.coder != "packed"
    for count in (4000, 6000, 10**12):
        with pytest.raises(ValueError, match="its stream does not hold just"):
            expand(stream, count, 3)


@pytest.mark.parametrize("coder", CODERS)
def test_noise_is_refused(coder: str) -> None:
    noise = bytes(np.random.default_rng(0).integers(0, 256, 400, np.uint8))
    with pytest.raises(ValueError, match="its stream"):
        expand(Stream(coder, 1, 0, noise), 5000, 4, (50, 100))


def test_groups_that_fill_more_than_a_byte_are_refused() -> None:
    with pytest.raises(ValueError, match="3 symbols of 4 bits are not in a byte"):
        expand(Stream("deflate", 3, 0, b""), 9, 4)


EXACT = {
    "labels": torch.arange(50) % 7,
    "ends": torch.arange(0, 900, 3),
    "negative": torch.tensor([-(2**63), 2**63 - 1, 0, -5]),
    "narrow": torch.tensor([-128, 127], dtype=torch.int8),
    "ids": torch.tensor([0, 2**40, 17, 2**40 + 1]),
    "bytes": torch.arange(256).to(torch.uint8),
    "flags": torch.arange(40) % 3 == 0,
    "nothing": torch.zeros(2, 0, dtype=torch.int64),
    "one": torch.tensor(3),
    "ones": torch.ones(1000),
    "two floats": torch.tensor([0.1, -0.0, 0.0, 0.1]),
    "half": torch.linspace(0, 1, 300).half(),
    "brain": torch.linspace(0, 1, 300).bfloat16(),
    "double": torch.linspace(0, 1, 300).double(),
    "complex": torch.view_as_complex(torch.arange(40.0).reshape(20, 2)),
    "nan": torch.tensor([math.nan, math.inf, -math.inf]),
}


@pytest.mark.parametrize("name", EXACT)
def test_exact_tensors_come_back_to_the_bit(name: str) -> None:
    tensor = EXACT[name]
    packed = pack_tensor(tensor, Codec("exact"), 2)
    again = packed.decode()
    assert packed.fault() is None and packed.max_error == 0
    assert (again.dtype, again.shape) == (tensor.dtype, tensor.shape)
    if tensor.numel():
        first, last = (t.reshape(-1).view(torch.uint8) for t in (tensor, again))
        assert torch.equal(first, last)


def test_unsigned_whole_numbers_are_exact() -> None:
    for dtype in (torch.uint16, torch.uint32, torch.uint64):
        top = 2 ** (8 * dtype.itemsize) - 1
        tensor = torch.tensor([0, 1, top], dtype=dtype)
        again = pack_tensor(tensor, Codec("exact"), 2).decode()
        assert again.dtype == dtype and again.tolist() == [0, 1, top]


@pytest.mark.parametrize("kind", CODECS)
@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("axes", [(), (0,), (1,), (0, 2)])
def test_levels_are_as_near_as_they_can_be(
    kind: str, bits: int, axes: tuple[int, ...]
) -> None:
    """No other level of its group is nearer to a number, by the codec's measure."""
    generator = torch.Generator().manual_seed(bits)
    x = torch.rand(4, 3, 5, 40, generator=generator) ** 3 + 0.01
    packed = pack_tensor(x, Codec(kind, axes), bits)
    again = packed.decode()
    assert packed.fault() is None and packed.axes == axes
    moved = [t.movedim(axes, tuple(range(len(axes)))) for t in (x, again)]
    groups = math.prod(x.shape[a] for a in axes)
    for first, last in zip(*(t.reshape(groups, -1) for t in moved), strict=True):
        levels = last.unique()
        assert len(levels) <= 2**bits
        gaps = (first[:, None].double() - levels).abs()
        if kind in ("log", "ratio"):
            positive = levels[levels > 0].double()
            gaps = (first[:, None].double().log() - positive.log()).abs()
            taken = (first.double().log() - last.double().log()).abs()
            flushed = last == 0
            assert bool((first[flushed] <= positive.min() / 2 + 1e-6).all())
            assert bool((taken <= gaps.min(1).values + 1e-6)[~flushed].all())
        else:
            taken = (first.double() - last.double()).abs()
            assert bool((taken <= gaps.min(1).values + 1e-6).all())


def test_fitted_levels_lose_less_than_even_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5000, generator=generator) ** 3
    for bits in (2, 3, 4):
        losses = [
            float((pack_tensor(x, Codec(k), bits).decode() - x).square().mean())
            for k in ("fitted", "linear")
        ]
        assert losses[0] < losses[1] / 2


def test_numbers_below_zero_have_no_ratio() -> None:
    x = torch.linspace(-1, 1, 999)
    packed = pack_tensor(x, Codec("log"), 4)
    assert packed.codec == "fitted" and packed.max_error < 0.2


def record_of(**changes: Any) -> PackedTensor:
    packed = pack_tensor(torch.linspace(0, 1, 999), Codec("linear"), 4)
    return PackedTensor(**{**packed.__dict__, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": (1,)}, "axes are"),
        ({"axes": (0, 0)}, "axes are"),
        ({"planes": 2}, "planes are 2"),
        ({"codec": "whole", "planes": 5}, "planes are 5"),
        ({"codec": "whole", "planes": 2}, "bits are 4; several planes"),
        ({"codec": "palette", "levels": 17}, "levels are 17"),
        ({"bits": 0}, "bits are 0"),
        ({"dtype": "I64"}, "codec is 'linear'"),
        ({"axes": (0,)}, "its table takes"),
        ({"coder": "mixed"}, "lanes are axis 0 of [999]"),
        ({"coder": "mixed", "shape": (9, 111), "lanes": 2}, "lanes are axis 2 of"),
        (
            {"coder": "mixed", "shape": (9, 111), "columns": True},
            "coder is 'mixed', of",
        ),
        ({"coder": "mixed", "shape": (2**23, 2)}, "coder is 'mixed', of 67,108,864"),
    ],
)
def test_records_that_contradict_themselves(changes: Any, message: str) -> None:
    assert record_of().fault() is None
    assert (record_of(**changes).fault() or "").startswith(message)


@pytest.mark.parametrize(
    ("tensor", "changes", "message"),
    [
        (
            torch.arange(300),
            {"dtype": "U8", "planes": 1, "bits": 8},
            "are not in a byte",
        ),
        (torch.tensor([0, 300, 7]), {"dtype": "U8"}, "no torch.uint8"),
        (torch.tensor([0, 3, 7]), {"dtype": "BOOL"}, "neither true nor false"),
        (torch.ones(9), {"levels": 1, "bits": 1}, "its stream"),
    ],
)
def test_records_that_contradict_their_stream(
    tensor: Any, changes: Any, message: str
) -> None:
    packed = pack_tensor(tensor, Codec("exact"), 2)
    with pytest.raises(ValueError, match=message):
        PackedTensor(**{**packed.__dict__, **changes}).decode()


def test_every_type_of_a_file_can_be_packed() -> None:
    for dtype in DTYPES.values():
        tensor = torch.arange(3).to(dtype) if dtype != torch.bool else torch.ones(3) > 0
        again = pack_tensor(tensor, Codec("exact"), 2).decode()
        assert again.dtype == dtype and again.shape == (3,)
