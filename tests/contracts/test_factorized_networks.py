"""Factorized sets: networks of the user's own, tasks that cannot decode, contrast."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from multidd import distill, seeds
from multidd.objectives import Contrast, DistributionMatching
from multidd.parameterizations import (
    Bases,
    Generator,
    Latent,
    SharedDecoder,
    Tiles,
    decoding,
)
from multidd.parameterizations.decoder_nets import DecoderFit, DecoderNet
from tests.toy import COUNTS, FAST, Toy, free

VECTORS = Toy("mlp", edges=False)
GRIDS = Toy("mlp", grid=True)
TWOFOLD = tuple(2 * n for n in COUNTS)
FEW = DecoderFit(3)


def start(form: Any, task: Toy = VECTORS, seed: int = 0) -> dict:
    return form.init(task, seeds.at(seed, "start"))


# --- networks of the user's own ------------------------------------------------------


def test_latents_are_inverted_and_the_set_is_kept_as_it_was_made() -> None:
    rows = torch.eye(4).double() + 0.1

    def bend(z: torch.Tensor) -> torch.Tensor:
        return z @ rows

    form = Generator(free(), bend, (4,), DecoderFit(400, 0.05))
    x = free().init(VECTORS, seeds.at(0, "start"))["x"]
    torch.testing.assert_close(bend(start(form)["latents"]), x, rtol=0.05, atol=0.05)
    summary = distill(VECTORS, DistributionMatching(), form, steps=2, optimizer=FAST)
    assert set(summary.tensors) == {"x", "y"} and summary.tensors["x"].shape == (6, 4)
    assert summary.card.decoder["kind"] == "materialized"
    assert (
        summary.card.decoder["by"] == "Generator"
        and "bend" in summary.card.decoder["network"]
    )


def test_encoded_records_come_back() -> None:
    form = Latent(free(), torch.asinh, torch.sinh)
    x = free().init(VECTORS, seeds.at(0, "start"))["x"]
    torch.testing.assert_close(form.draw(start(form), seeds.at(0, "d"), 0)["x"], x)


def linear(out: int) -> nn.Module:
    """A module whose weights are set, not drawn."""
    with torch.device("meta"):
        result = nn.Linear(3, out, bias=False)
    result = result.to_empty(device="cpu").double()
    with torch.no_grad():
        result.weight.copy_(torch.arange(3.0 * out).view(out, 3) / 10)
    return result


def test_a_generator_of_another_shape_is_refused_with_both() -> None:
    form = Generator(free(), linear(5), (3,), FEW)
    with pytest.raises(ValueError, match=r"\[5\] from latents of \[3\].*are \[4\]"):
        start(form)
    with pytest.raises(ValueError, match=r"decoder makes .*\[3\].*\[4\].*are \[4\]"):
        start(Latent(free(), torch.sinh, lambda z: z[:, :3]))
    text = "the encoder makes 3 latents of 6 records; it must make one of each"
    with pytest.raises(ValueError, match=text):
        start(Latent(free(), lambda x: x[:3], torch.asinh))


def test_a_generator_that_draws_is_refused() -> None:
    noisy = nn.Sequential(linear(4), nn.Dropout(0.5))
    with pytest.raises(ValueError, match=r"eval\(\)"):
        start(Generator(free(), noisy, (3,), FEW))
    start(Generator(free(), noisy.eval(), (3,), FEW))


def test_a_module_is_told_by_its_weights_and_left_as_it_was() -> None:
    module = linear(4)
    before = module.weight.detach().clone()
    form = Generator(free(), module, (3,), FEW)
    description = form.describe()
    distill(VECTORS, DistributionMatching(), form, steps=2, optimizer=FAST)
    assert torch.equal(module.weight, before) and module.weight.grad is None
    with torch.no_grad():
        module.weight += 1
    assert form.describe()["generator"] != description["generator"]


# --- summaries that cannot decode, and contrast --------------------------------------


class Blind(Toy):
    """A task whose summaries keep what models run on."""

    decodes = False  # type: ignore[misc]


@pytest.mark.parametrize(
    "form", [Tiles(free(tuple(4 * n for n in COUNTS))), Bases(free(), 3)]
)
def test_a_task_that_cannot_decode_keeps_what_models_run_on(form: Any) -> None:
    task = GRIDS if isinstance(form, Tiles) else VECTORS
    blind = Blind(task.model, edges=False, grid=task.grid)
    options = {"steps": 2, "optimizer": FAST}
    whole = distill(task, DistributionMatching(), form, **options)
    summary = distill(blind, DistributionMatching(), form, **options)
    expected = decoding.decode(whole.card.decoder, dict(whole.tensors))
    assert set(summary.tensors) == set(expected)
    assert all(torch.equal(summary.tensors[n], expected[n]) for n in expected)
    assert summary.card.decoder == {"kind": "materialized", "by": type(form).__name__}


def test_contrast_by_hand() -> None:
    """The mean cosine of all pairs inside a group, the last, smaller one too."""
    task = VECTORS
    batch = task.synthetic(start(free()))
    contrast = Contrast(4)
    state = contrast.init(task, seeds.at(0, "init"))
    loss = contrast.loss(task, state, batch, seeds.at(0, "loss"))
    one = {name: w[0] for name, w in state["weights"].items()}
    hidden = task.features(one, batch)[-2]
    cosines = []
    for group in (range(4), range(4, 6)):
        for i in group:
            for j in group:
                if i != j:
                    cosines.append(F.cosine_similarity(hidden[i], hidden[j], dim=0))
    torch.testing.assert_close(loss, torch.stack(cosines).mean())


def test_codes_of_images_start_from_their_pixels() -> None:
    """Four channels of 1 x 1 hold the four pixels of an image shrunken to 2 x 2."""
    form = SharedDecoder(free(TWOFOLD), 2, DecoderNet(5, 3, 4), DecoderFit(0))
    x = free(TWOFOLD).init(GRIDS, seeds.at(0, "start"))["x"]
    codes = start(form, GRIDS)["codes"]
    mean = (x[::2] + x[1::2]) / 2
    small = F.interpolate(
        mean, (2, 2), mode="bilinear", align_corners=False, antialias=True
    )
    torch.testing.assert_close(codes[:, :4, 0, 0], small.flatten(1))
