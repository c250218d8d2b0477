"""Compressed summaries: what they lose and take, and what their files promise."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import multidd
from multidd import seeds
from multidd.errors import CorruptFileError, FileVersionError, NonFiniteError
from multidd.storage import files
from multidd.storage.codecs import Codec
from multidd.storage.packed_tensor import pack_tensor
from multidd.storage.packing import DecodedTensors
from tests.methods.cases import CASES, Case, made_by
from tests.summaries.test_summaries import KINDS, PLAIN

pytestmark = pytest.mark.usefixtures("short_teachers")

every = pytest.mark.parametrize("case", KINDS.values(), ids=str)
plain = pytest.mark.parametrize("case", [KINDS[name] for name in PLAIN], ids=str)
USERS = next(c for c in CASES if (c.kind, c.name) == ("recsys", "distill_cf"))


@every
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_the_error_is_told_and_exact(case: Case, bits: int) -> None:
    """And nothing of the summary itself changed."""
    summary = made_by(case)
    before = summary.digest()
    small = summary.compress(bits=bits)
    assert small.packing is not None and summary.packing is None
    assert summary.digest() == before and set(small.tensors) == set(summary.tensors)
    for name, error in small.packing.max_error.items():
        first, last = summary.tensors[name], small.tensors[name]
        assert (first.dtype, first.shape) == (last.dtype, last.shape)
        gap = (first.double() - last.double()).abs()
        assert (float(gap.max()) if gap.numel() else 0.0) == error
        if not first.is_floating_point():
            assert error == 0
    assert small.tensor_bytes == summary.num_bytes == small.packing.bytes_before
    assert small.card.settings["compressed"] == {"bits": bits}
    assert small.card.score is None and small.card.protocol is None
    worst = max(small.packing.max_error.values())
    assert f"in {bits} bits, error {worst:.2g}" in repr(small)


@every
def test_save_and_load_to_the_same_bits(case: Case, tmp_path: Path) -> None:
    small = made_by(case).compress(bits=3)
    path = small.save(tmp_path)
    assert files.peek(path)[1] == 2
    again = multidd.load(tmp_path)
    assert type(again) is type(small)
    assert again.digest() == small.digest() and again.card == small.card
    assert repr(again) == repr(small) and again.num_bytes == small.num_bytes
    content = path.read_bytes()
    again.save(tmp_path)
    assert path.read_bytes() == content


@plain
def test_a_summary_that_is_not_compressed_is_a_file_as_before(
    case: Case, tmp_path: Path
) -> None:
    path = made_by(case).save(tmp_path)
    assert files.peek(path)[1] == 1 and "compression" not in files.peek(path)[2]


@every
def test_more_bits_take_more_bytes_and_lose_less(case: Case) -> None:
    summary = made_by(case)
    sizes, losses = [], []
    for bits in (2, 4, 8):
        small = summary.compress(bits=bits)
        sizes.append(small.num_bytes)
        pairs = [(summary.tensors[n], small.tensors[n]) for n in summary.tensors]
        losses.append(sum(float((a.double() - b).square().sum()) for a, b in pairs))
    assert losses == sorted(losses, reverse=True)
    assert sizes[0] <= sizes[2]


def test_zeros_stay_and_nothing_of_a_sparse_matrix_becomes_zero() -> None:
    dense = torch.tensor([[0.0, 0.5, 1.0, 1e-4], [0.2, 0.0, 0.3, 0.9]]).repeat(1, 9)
    dense = dense * torch.linspace(0.5, 1, 36)
    sparse = torch.zeros(2, 300)
    sparse[:, :36] = dense
    source = {"users": 9, "train": 90}
    for rows in (dense, sparse):
        summary = multidd.recsys.RecsysSummary.from_csr(
            rows, source=source, method="mine"
        )
        for bits in (2, 3, 8):
            again = torch.from_numpy(summary.compress(bits=bits).to_csr().toarray())
            assert bool((again[rows == 0] == 0).all())
            if rows is sparse:
                assert bool((again[rows > 0] > 0).all())
            large = rows > rows.max() / 2
            assert bool((again[large] > 0).all())


def test_users_by_ratios_are_near_with_three_bits() -> None:
    """A step of ratios is at most the span of the levels by their number."""
    rows = torch.rand(20, 400, generator=seeds.at(0, "rows")) ** 6
    source = {"users": 9, "train": 90}
    summary = multidd.recsys.RecsysSummary.from_csr(rows, source=source, method="mine")
    again = torch.from_numpy(summary.compress(bits=3).to_csr().toarray())
    large = rows > 0.3
    ratio = (again[large] / rows[large]).log2().abs()
    assert float(ratio.max()) < 24 / 6 / 2 and float(ratio.mean()) < 0.6


def test_few_different_numbers_are_exact_in_fewer_bits() -> None:
    """Binary features, for instance."""
    cora = multidd.samples.cora()
    summary = multidd.graph.random(cora, per_class=2)
    rows = (summary.tensors["x"] > 0).float()
    binary = replace(summary, tensors={**summary.tensors, "x": rows})
    small = binary.compress(bits=8)
    assert small.digest() == binary.digest()
    assert small.packing.tensors["x"].bits == 1


def test_a_budget_takes_the_most_bits_that_fit() -> None:
    summary = made_by(USERS)
    sizes = {bits: summary.compress(bits=bits).num_bytes for bits in range(2, 9)}
    for bits, size in sizes.items():
        chosen = summary.compress(budget_bytes=size)
        assert chosen.num_bytes <= size
        fitting = max(b for b, s in sizes.items() if s <= size)
        assert chosen.packing.bits - fitting == (chosen.packing.rate > 0)
        assert chosen.packing.bits >= bits
    with pytest.raises(ValueError, match=r"about 50 of 100 of its items would fit"):
        summary.compress(budget_bytes=-(-min(sizes.values()) // 2))


def test_a_budget_between_two_bits_takes_cheaper_levels() -> None:
    """Nearer to what it was than one bit less, in fewer bytes than one more."""
    rows = torch.rand(20, 150, generator=seeds.at(0, "rows")) + 0.5
    source = {"users": 90, "train": 900}
    summary = multidd.recsys.RecsysSummary.from_csr(rows, source=source, method="mine")
    low, high = (summary.compress(bits=bits) for bits in (3, 4))
    budget = high.num_bytes - (high.num_bytes - low.num_bytes) // 5
    small = summary.compress(budget_bytes=budget)
    assert low.num_bytes < small.num_bytes <= budget
    how = {"bits": 4, "rate": small.packing.rate}
    assert 0 < how["rate"] < 0.1 and small.card.settings["compressed"] == how
    losses = [
        float((torch.from_numpy(one.to_csr().toarray()) - rows).square().mean())
        for one in (high, small, low)
    ]
    assert losses[0] < losses[1] < losses[2]


@pytest.mark.parametrize("kind", ["fitted", "log", "ratio"])
def test_cheaper_levels_keep_zeros(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(20, 50, generator=generator) ** 4
    x[torch.rand(20, 50, generator=generator) < 0.7] = 0.0
    near, cheap = (pack_tensor(x, Codec(kind), 3, rate) for rate in (0.0, 0.08))
    assert cheap.num_bytes < near.num_bytes
    first, last = near.decode(), cheap.decode()
    assert torch.equal(first == 0, last == 0) and not torch.equal(first, last)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give exactly one of bits and budget_bytes"),
        ({"bits": 3, "budget_bytes": 9}, "give exactly one"),
        ({"bits": 1}, "bits must be 2 to 8, got 1"),
        ({"bits": 9}, "bits must be 2 to 8, got 9"),
        ({"budget_bytes": 0}, "budget_bytes must be 1 or more, got 0"),
    ],
)
def test_settings_that_are_none(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made_by(USERS).compress(**options)


def test_fractions_of_bits_and_nan_are_refused() -> None:
    summary = made_by(KINDS["graph-random"])
    with pytest.raises(TypeError, match=r"bits must be a whole number, got 2\.5"):
        summary.compress(bits=2.5)
    x = summary.tensors["x"].clone()
    x[0, 0] = float("nan")
    broken = replace(summary, tensors={**summary.tensors, "x": x})
    with pytest.raises(NonFiniteError, match="x. holds 1 .*; few bits hold"):
        broken.compress(bits=4)


def test_what_was_changed_is_no_longer_compressed(tmp_path: Path) -> None:
    """A copy with another tensor has its bytes; a tensor changed in place is told."""
    small = made_by(KINDS["graph-random"]).compress(bits=4)
    tensors = {**small.tensors, "x": small.tensors["x"] + 1}
    other = replace(small, tensors=tensors)
    assert other.packing is None and other.num_bytes == small.tensor_bytes
    assert replace(small, card=small.card).packing is small.packing
    fresh = replace(small, tensors=small.packing.decode())
    fresh.tensors["x"][0] += 1
    with pytest.raises(ValueError, match="changed in place"):
        fresh.save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_says_how_it_is_packed(tmp_path: Path) -> None:
    path = made_by(USERS).compress(bits=3).save(tmp_path)
    record = files.peek(path)[2]["compression"]
    assert record["bits"] == 3
    assert {one["codec"] for one in record["tensors"].values()} >= {"log"}
    tensors, info = files.read(path)
    assert isinstance(tensors, DecodedTensors) and set(info) == {"card"}
    raw = path.read_bytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:end])
    assert {one["dtype"] for name, one in header.items() if name[0] != "_"} == {"U8"}


def test_an_older_reader_says_that_the_file_is_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made_by(USERS).compress(bits=3).save(tmp_path)
    monkeypatch.setattr(files, "FORMAT", 1)
    with pytest.raises(FileVersionError, match="has format 2; .* upgrade multidd"):
        multidd.load(path)


@every
def test_a_damaged_file_is_refused(case: Case, tmp_path: Path) -> None:
    path = made_by(case).compress(bits=3).save(tmp_path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-1] ^= 4
    for raw in (whole[:-7], bytes(flipped)):
        path.write_bytes(raw)
        with pytest.raises(CorruptFileError, match=re.escape(str(path))):
            multidd.load(tmp_path)
