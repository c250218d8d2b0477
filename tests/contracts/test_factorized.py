"""Factorized sets: bytes by hand, decoding by hand, starts, and what is refused."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from multidd import distill, seeds
from multidd.objectives import Contrast, DistributionMatching
from multidd.parameterizations import (
    Bases,
    Conditional,
    Hallucinators,
    Labels,
    SharedDecoder,
    decoder_nets,
    decoding,
)
from multidd.parameterizations.bases import least_squares
from multidd.parameterizations.decoder_nets import DecoderFit, DecoderNet
from tests.toy import COUNTS, FAST, Toy, free

VECTORS = Toy("mlp", edges=False)
GRIDS = Toy("mlp", grid=True)
TWOFOLD = tuple(2 * n for n in COUNTS)
FEW = DecoderFit(3)


def start(form: Any, task: Toy = VECTORS, seed: int = 0) -> dict:
    return form.init(task, seeds.at(seed, "start"))


def numbers(summary: Any) -> int:
    return sum(t.numel() for n, t in summary.tensors.items() if not n.startswith("y"))


# --- bytes ---------------------------------------------------------------------------

BYTES = [
    # Numbers that all records share, and of each code.
    (Bases(free(), 3), VECTORS, 3 * 4, 3),
    (Bases(free(), 3, factor=2), GRIDS, 3 * 4, 3),
    (Hallucinators(free(), 2, 3), VECTORS, 2 * (12 + 3 + 3 + 3 + 12 + 4), 4),
    (
        Hallucinators(free(), 2, 1, factor=2),
        GRIDS,
        2 * (9 + 1 + 4 + 4 + 9 + 1),
        16,
    ),
    (
        SharedDecoder(free(TWOFOLD), 2, DecoderNet(3, 5, 1), FEW),
        VECTORS,
        2 * (15 + 5 + 20 + 4),
        3,
    ),
    (
        SharedDecoder(free(TWOFOLD), 2, DecoderNet(2, 3, 4), FEW),
        GRIDS,
        2 * (54 + 3 + 81 + 3 + 27 + 1),
        2,
    ),
    (
        Conditional(free(), 6, DecoderNet(2, 3, 2)),
        GRIDS,
        3 * 8 + 6 * 8 + 54 + 3 + 27 + 1,
        6,
    ),
]


@pytest.mark.parametrize(("form", "task", "shared", "code"), BYTES)
def test_bytes_by_hand(form: Any, task: Toy, shared: int, code: int) -> None:
    """What the cost says is what a run keeps."""
    shape = task.data[0].shape[1:]
    expected = decoding.ByteCost(4 * shared, 4 * code + 8)
    assert form.cost(shape, 3) == expected
    assert form.cost(shape, 3, soft=3).item == expected.item + 12
    summary = distill(task, DistributionMatching(), form, steps=1, optimizer=FAST)
    assert numbers(summary) == shared + 6 * code


def test_a_budget_by_hand() -> None:
    cost = decoding.ByteCost(1000, 100)
    assert [cost.fitting(b, 2) for b in (1200, 1299, 1300)] == [2, 2, 3]
    with pytest.raises(ValueError, match="1199 bytes.*1000.*fits is 1200 bytes"):
        cost.fitting(1199, 2)


# --- decoding ------------------------------------------------------------------------


def test_bases_are_products_of_codes_and_bases() -> None:
    form = Bases(Labels(free()), 3)
    params = start(form)
    draw = form.draw(params, seeds.at(0, "draw"), 0)
    for i, code in enumerate(params["codes"]):
        expected = sum(c * b for c, b in zip(code, params["bases"], strict=True))
        torch.testing.assert_close(draw["x"][i], expected)
    assert torch.equal(draw["y_soft"], params["y_soft"])
    summary = distill(Toy(), DistributionMatching(), form, steps=1, optimizer=FAST)
    assert summary.card.labels == "centered"


def test_bases_of_images_are_blown_up() -> None:
    form = Bases(free(), 2, factor=2)
    params = start(form, GRIDS)
    assert params["bases"].shape == (2, 1, 2, 2)
    small = torch.einsum("mk,kchw->mchw", params["codes"], params["bases"])
    expected = F.interpolate(small, (4, 4), mode="bilinear", align_corners=False)
    torch.testing.assert_close(form.decode(params)["x"], expected)


@pytest.mark.parametrize("kind", ["svd", "records"])
def test_as_many_bases_as_numbers_give_every_record_back(kind: Any) -> None:
    x = free().init(VECTORS, seeds.at(0, "start"))["x"]
    form = Bases(free(), 4, start=kind)
    result = form.decode(start(form))["x"]
    torch.testing.assert_close(result, x, rtol=0, atol=1e-3)
    ours = start(Bases(free(), 2, start="svd"))
    gap = (Bases(free(), 2).decode(ours)["x"] - x).square().sum()
    other = start(Bases(free(), 2, start="records"))
    assert gap < (Bases(free(), 2).decode(other)["x"] - x).square().sum()


def test_singular_bases_are_those_of_the_real_records() -> None:
    bases = start(Bases(free(), 2))["bases"]
    _, _, right = torch.linalg.svd(VECTORS.data[0], full_matrices=False)
    cosines = (bases / bases.norm(dim=1, keepdim=True) * right[:2]).sum(1).abs()
    torch.testing.assert_close(cosines, torch.ones_like(cosines))
    torch.testing.assert_close(bases.square().mean(1), torch.ones_like(cosines))


def test_codes_are_those_of_least_squares() -> None:
    x = torch.randn(5, 6, generator=seeds.at(0, "x")).double()
    bases = torch.randn(3, 6, generator=seeds.at(0, "b")).double()
    expected = torch.linalg.lstsq(bases.T, x.T).solution.T
    torch.testing.assert_close(least_squares(x, bases), expected)


def test_every_code_goes_through_every_decoder() -> None:
    form = SharedDecoder(Labels(free(TWOFOLD)), 2, DecoderNet(3, 5, 1), FEW)
    params = start(form)
    draw = form.decode(params)
    assert draw["y"].tolist() == [0] * 4 + [1] * 6 + [2] * 2
    for i, code in enumerate(params["codes"]):
        for j in range(2):
            one = {n: params[f"decoders/{n}"][j] for n in form.net.shapes((4,))}
            hidden = one["0.weight"] @ code + one["0.bias"]
            expected = one["1.weight"] @ F.silu(hidden) + one["1.bias"]
            torch.testing.assert_close(draw["x"][2 * i + j], expected)
            assert torch.equal(draw["y_soft"][2 * i + j], params["y_soft"][i])


def test_a_fit_brings_codes_near_the_records() -> None:
    gaps = []
    for steps in (0, 200):
        form = SharedDecoder(free(TWOFOLD), 2, DecoderNet(4, 8, 1), DecoderFit(steps))
        x = free(TWOFOLD).init(VECTORS, seeds.at(0, "start"))["x"]
        gaps.append(float((form.decode(start(form))["x"] - x).square().mean()))
    assert gaps[1] < 0.1 * gaps[0]


def test_hallucinators_change_the_base() -> None:
    form = Hallucinators(free(), 2, 3)
    params = start(form)
    x = free().init(VECTORS, seeds.at(0, "start"))["x"]
    assert torch.equal(params["bases"], x)
    for i, base in enumerate(x):
        for j in range(2):
            one = {
                n.removeprefix("hallucinators/"): t[j]
                for n, t in params.items()
                if n.startswith("hallucinators/")
            }
            hidden = F.silu(one["encode"] @ base + one["encode_bias"])
            styled = one["scale"] * hidden + one["shift"]
            expected = base + one["decode"] @ styled + one["decode_bias"]
            torch.testing.assert_close(form.decode(params)["x"][2 * i + j], expected)


def test_conditional_noise_and_classes_add_up() -> None:
    form = Conditional(free(), 3, DecoderNet(2, 5, 1))
    params = start(form)
    one = {n.removeprefix("generator/"): t for n, t in params.items() if "/" in n}
    x = form.decode(params)["x"]
    for i, (z, y) in enumerate(zip(params["curriculum"], params["y"], strict=True)):
        code = one["noise"].T @ z / 3**0.5 + one["classes"][y]
        hidden = F.silu(one["0.weight"] @ code + one["0.bias"])
        torch.testing.assert_close(x[i], one["1.weight"] @ hidden + one["1.bias"])


def test_what_a_curriculum_learns() -> None:
    for form, moves in (
        (Conditional(free(), 3, DecoderNet(2, 5, 1)), False),
        (Conditional(free(), 3, DecoderNet(2, 5, 1), learn_noise=True), True),
    ):
        summary = distill(
            VECTORS, DistributionMatching(), form, steps=2, optimizer=FAST
        )
        first = start(form)["curriculum"]
        assert torch.equal(summary.tensors["curriculum"], first) != moves


# --- what is refused -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "task", "message"),
    [
        (Bases(free(), 3, factor=2), VECTORS, "needs images.*factor=1"),
        (Bases(free(), 3, factor=3), GRIDS, "does not divide.*1, 2, 4"),
        (Bases(free(), 99, start="records"), VECTORS, "99 bases.*fewer"),
        (SharedDecoder(free(), 2, DecoderNet(3, 5, 1)), VECTORS, "of one class"),
        (
            SharedDecoder(free((1, 1, 1)), 2, DecoderNet(3, 5, 1)),
            VECTORS,
            "2 records for",
        ),
        (
            SharedDecoder(free(TWOFOLD), 2, DecoderNet(2, 3, 1)),
            GRIDS,
            "factor of 2 or more",
        ),
        (SharedDecoder(free(TWOFOLD), 2, DecoderNet(3, 5, 1)), Toy(), "no adjacency"),
        (Hallucinators(free(), 2), Toy(), "no adjacency"),
        (Bases(Bases(free(), 2), 2), VECTORS, "goes around records as they are"),
    ],
)
def test_what_does_not_fit(form: Any, task: Toy, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        start(form, task)


def test_bad_settings() -> None:
    for make, message in (
        (lambda: Bases(free(), 0), "count and factor"),
        (lambda: Bases(free(), start="zeros"), "svd, records, noise"),  # type: ignore[arg-type]
        (lambda: Hallucinators(free(), 0), "count, width and factor"),
        (lambda: Hallucinators(free())._shapes((4, 4)), r"not records of \[4, 4\]"),
        (lambda: SharedDecoder(free(), 0), "count must be 1"),
        (lambda: Conditional(free(), 0), "noise must be 1"),
        (lambda: DecoderNet(factor=3), "power of two"),
        (lambda: DecoderNet(channels=0), "channels and width"),
        (lambda: DecoderFit(steps=-1), "steps must be 0"),
        (lambda: Contrast(1), "2 or more"),
        (lambda: Labels(Bases(free())), "goes around Labels"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(ValueError, match="'bases'.*not 'woven'; a newer"):
        decoding.decode({"kind": "woven"}, {})
    with pytest.raises(ValueError, match=r"channels, .*, not records of \[4, 4\]"):
        decoder_nets._vector((4, 4))
    forms = dict.fromkeys((f"g/{i}.weight" for i in range(4)), None)
    code, fields = decoder_nets.net_fields("g/", (1, 8, 8), forms)  # type: ignore[arg-type]
    assert code[0] == "channels" and {f"g/{i}.weight" for i in range(4)} <= set(fields)
    assert "g/4.weight" not in fields
    fault = decoding.decoder_fault({"kind": "bases", "factor": 3}, (1, 8, 8))
    assert fault is not None and fault.startswith("card.decoder.factor is 3: ")
    fault = decoding.decoder_fault({"kind": "woven"}, (1, 8, 8))
    assert fault is not None and "is 'woven'; this version decodes 'materi" in fault
