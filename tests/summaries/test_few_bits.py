"""Runs with `bits`: what is matched sees the set as it will be stored."""

from pathlib import Path
from typing import Any

import pytest
import torch

import multidd
from multidd import images, seeds
from multidd.engine.options import RunOptions
from multidd.errors import CheckpointMismatchError
from multidd.objectives import DistributionMatching, KernelRidge
from multidd.parameterizations import FromTensors
from multidd.parameterizations.few_bits import FewBits, straight_through
from multidd.storage.codecs import CODECS, Codec
from multidd.storage.packed_tensor import pack_tensor
from tests.golden import tiny
from tests.methods.cases import CASES, Case, made_by

LOOPS = (
    "gcond doscond gdem doscond_graphs dm kip dc idm mtt linba kfs gtn haba latent "
    "distill_cf tokens tbptt"
).split()
"""One of each way to store and draw a set."""

looped = [case for case in CASES if case.has_loop]
some = pytest.mark.parametrize(
    "case", [case for case in looped if case.name in LOOPS], ids=str
)
one_each = pytest.mark.parametrize(
    "case",
    [
        c
        for c in looped
        if str(c) in ("graph-gcond", "images-linba", "recsys-distill_cf")
    ],
    ids=str,
)


# --- rounding -------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [2, 3, 8])
@pytest.mark.parametrize("kind", CODECS)
def test_a_tensor_is_rounded_to_what_its_file_gives_back(kind: str, bits: int) -> None:
    x = torch.rand(6, 3, 5, generator=seeds.at(0, "x")) + 0.01
    for codec in (Codec(kind), Codec(kind, (1,))):
        stored = pack_tensor(x, codec, bits).decode()
        assert torch.equal(straight_through(x, codec, bits), stored)


def test_what_is_stored_exactly_stays() -> None:
    few, whole = torch.tensor([0.3, 0.7, 0.3]), torch.tensor([3, 5])
    assert torch.equal(straight_through(few, Codec("fitted"), 2), few)
    assert straight_through(whole, Codec("fitted"), 2) is whole
    fine = torch.linspace(0, 1, 99)
    assert torch.equal(straight_through(fine, Codec("exact"), 2), fine)
    assert straight_through(torch.empty(0, 2), Codec("fitted"), 2).shape == (0, 2)


def test_the_gradient_is_that_of_the_tensor() -> None:
    x = torch.rand(40, generator=seeds.at(0, "x")).requires_grad_()
    weight = torch.rand(40, generator=seeds.at(1, "x"))
    loss = (weight * straight_through(x, Codec("fitted"), 2)).sum()
    assert torch.equal(torch.autograd.grad(loss, x)[0], weight)


# --- the run --------------------------------------------------------------------------


class Watching(DistributionMatching):
    """Remembers how many different pixels each synthetic batch has."""

    def loss(self, task: Any, state: Any, synthetic: Any, rng: Any) -> torch.Tensor:
        self.__dict__.setdefault("levels", []).append(len(synthetic.x.unique()))
        return super().loss(task, state, synthetic, rng)


def test_the_second_half_of_the_run_sees_few_levels() -> None:
    task = images.ImageTask.of(tiny.images())
    x = torch.rand(3, 1, 8, 8, generator=seeds.at(0, "x"))
    form = FromTensors({"x": x, "y": torch.arange(3)})
    watching = Watching()
    summary: Any = multidd.distill(
        task, watching, form, steps=5, run=RunOptions(bits=2), progress=False
    )
    assert watching.__dict__["levels"] == [192, 192, 4, 4, 4]
    assert len(summary.tensors["x"].unique()) == 4


@some
def test_the_summary_is_compressed(case: Case) -> None:
    """In so many bits, as `compress` does it; the card says so."""
    summary = case.run(bits=3)
    assert summary.packing is not None and summary.packing.bits == 3
    assert summary.card.settings["compressed"] == {"bits": 3}
    assert summary.num_bytes < made_by(case).num_bytes
    assert len(summary.card.history) == len(made_by(case).card.history)
    start = case.run(bits=3, steps=0)
    assert start.tensors.keys() == case.start().compress(bits=3).tensors.keys()
    assert start.digest() == case.start().compress(bits=3).digest()


@one_each
def test_it_goes_on_to_the_same_bits(case: Case, tmp_path: Path) -> None:
    asked = {"bits": 2, "steps": 4, "checkpoint": str(tmp_path)}
    whole = case.run(bits=2, steps=4)
    assert case.run(timeout=0.0, **asked).card.steps == 1
    assert case.run(**asked).digest() == whole.digest()
    with pytest.raises(CheckpointMismatchError, match="parameterization"):
        case.run(**asked | {"bits": 3})


def test_the_best_iterate_is_judged_as_it_is_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    levels = []

    def score(self: Any, draw: Any, rng: Any) -> float:
        levels.append(len(draw["x"].unique()))
        return 0.0

    monkeypatch.setattr(images.ImageTask, "score", score)
    select_best = multidd.SelectBest(every=1)
    images.dm(
        tiny.images(),
        1,
        steps=2,
        options=images.DMOptions(width=4, val_share=0.2),
        run=RunOptions(bits=2, select_best=select_best),
        progress=False,
    )
    assert levels == [4, 4, 4]


def test_learning_with_few_bits_beats_rounding_after() -> None:
    """The loss of the set as it is stored, of the same kernel and on the same data."""
    task, objective = images.ImageTask.of(tiny.images()), KernelRidge(ridge=1e-3)

    def learned(start: dict[str, torch.Tensor], steps: int, bits: int | None) -> Any:
        form = FromTensors(start)
        return multidd.distill(
            task,
            objective,
            form,
            steps=steps,
            run=RunOptions(bits=bits),
            progress=False,
        )

    x = torch.rand(6, 1, 8, 8, generator=seeds.at(0, "x"))
    start = {"x": x, "y": torch.arange(6) % 3}
    losses = []
    for bits in (None, 2):
        summary = learned(start, 60, bits)
        tensors = (summary if bits else summary.compress(bits=2)).tensors
        stored = {name: tensors[name] for name in ("x", "y")}
        losses.append(learned(stored, 1, None).card.history[0])
    assert losses[1] < losses[0]


@pytest.mark.parametrize(
    ("bits", "message"), [(1, "bits must be 2 to 8, got 1"), (9, "bits must be 2 to 8")]
)
def test_bits_that_are_none(bits: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RunOptions(bits=bits)
    with pytest.raises(TypeError, match=r"must be a whole number, got 2\.5"):
        RunOptions(bits=2.5)  # type: ignore[arg-type]


def test_a_method_without_a_loop_says_that_it_takes_none() -> None:
    with pytest.raises(TypeError, match="herding takes no bits: it has no loop"):
        images.herding(tiny.images(), 1, run=RunOptions(bits=2))


def test_the_form_is_that_of_its_base() -> None:
    base = FromTensors({"x": torch.ones(2, 9)}, label_kind="soft")
    form = FewBits(base, 2, lambda name: Codec("linear"))
    assert form.groups == base.groups and form.decoder == {}
    assert torch.equal(
        form.final(dict(base.start), seeds.at(0, "x"))["x"], base.start["x"]
    )
