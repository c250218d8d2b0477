"""Tiles: put together, taken apart, counted and refused."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from multidd import distill, seeds
from multidd.objectives import DistributionMatching
from multidd.parameterizations import Labels, Tiles
from multidd.parameterizations.decoding import decoder_fault, stored_fields
from multidd.parameterizations.tiles import assemble, disassemble
from tests.tables import FOURFOLD
from tests.toy import FAST, Toy, free

TASK = Toy("mlp", grid=True)
SHAPES = [(2, 8, 8), (3, 28, 28), (3, 32, 30), (2, 7, 9), (4, 29, 31)]


def smooth(count: int, height: int, width: int) -> torch.Tensor:
    """Straight slopes in both directions, others for each image and channel."""
    rng = seeds.at(0, "slopes")
    slopes = torch.randn(3, count, 3, 1, 1, generator=rng, dtype=torch.float64)
    down = torch.linspace(-1, 1, height).double()[:, None]
    across = torch.linspace(-1, 1, width).double()[None]
    return slopes[0] + slopes[1] * down + slopes[2] * across


@pytest.mark.parametrize(("factor", "height", "width"), SHAPES)
def test_constant_images_come_back(factor: int, height: int, width: int) -> None:
    """Each tile knows its own image: constants, others for each, are exact."""
    count = 3 * factor**2
    values = torch.arange(2.0 * count).view(count, 2, 1, 1).double()
    x = values.expand(count, 2, height, width)
    stored = assemble(x, factor)
    assert stored.shape == (3, 2, height, width)
    torch.testing.assert_close(disassemble(stored, factor), x)


@pytest.mark.parametrize(("factor", "height", "width"), SHAPES)
def test_smooth_images_come_back_nearly(factor: int, height: int, width: int) -> None:
    """Slopes are kept but for the half pixel of a tile's border."""
    x = smooth(2 * factor**2, height, width)
    gap = (disassemble(assemble(x, factor), factor) - x).abs()
    size = x.amax((2, 3)) - x.amin((2, 3))
    small = min(height, width) // factor
    assert bool((gap.mean((2, 3)) < 0.2 * size / small).all())
    assert float(gap.max()) > 1e-6


def test_tiles_by_hand() -> None:
    """Four images of 2 x 2 become the pixels of one; each pixel becomes an image."""
    x = torch.arange(16.0).view(4, 1, 2, 2)
    stored = assemble(x, 2)
    assert stored.flatten().tolist() == [1.5, 5.5, 9.5, 13.5]
    back = disassemble(stored, 2)
    expected = torch.tensor([1.5, 5.5, 9.5, 13.5])[:, None].expand(4, 4)
    assert torch.equal(back.flatten(1), expected)


def test_disassemble_cuts_and_blows_up() -> None:
    stored = torch.randn(2, 3, 8, 6, generator=seeds.at(0, "x"), dtype=torch.float64)
    result = disassemble(stored, 2)
    place = 0
    for image in stored:
        for rows in (image[:, :4], image[:, 4:]):
            for tile in (rows[:, :, :3], rows[:, :, 3:]):
                expected = F.interpolate(tile[None], (8, 6), mode="bilinear")[0]
                torch.testing.assert_close(result[place], expected)
                place += 1
    leaf = stored.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: disassemble(x, 2), leaf)


def test_factor_one_is_the_identity() -> None:
    x = smooth(3, 8, 6)
    assert torch.equal(assemble(x, 1), x) and torch.equal(disassemble(x, 1), x)


@pytest.mark.parametrize("soft", [False, True])
def test_decode_gives_each_tile_its_label(soft: bool) -> None:
    base: Any = Labels(free(FOURFOLD)) if soft else free(FOURFOLD)
    form = Tiles(base, 2)
    params = form.init(TASK, seeds.at(0, "start"))
    assert params["x"].shape == (6, 1, 4, 4)
    assert params["y"].tolist() == [0, 0, 1, 1, 1, 2]
    final = form.final(params, seeds.at(0, "final"))
    assert torch.equal(final["x"], params["x"])
    full = form.decode(final)
    assert full["x"].shape == (24, 1, 4, 4)
    assert full["y"].tolist() == [0] * 8 + [1] * 12 + [2] * 4
    drawn = form.draw(params, seeds.at(0, "draw"), 0)
    assert all(torch.equal(drawn[n], full[n]) for n in full)
    if soft:
        assert params["y_soft"].shape == (6, 3)
        four = params["y_soft"][:, None].expand(6, 4, 3).reshape(24, 3)
        assert torch.equal(full["y_soft"], four)


@pytest.mark.parametrize("soft", [False, True])
def test_what_is_kept_has_the_bytes_of_the_stored(soft: bool) -> None:
    """Six images and six labels: as many bytes as without tiles."""
    results = []
    for counts, tiles in ((FOURFOLD, True), ((2, 3, 1), False)):
        base: Any = Labels(free(counts)) if soft else free(counts)
        form = Tiles(base, 2) if tiles else base
        options = {"steps": 2, "optimizer": FAST}
        results.append(distill(TASK, DistributionMatching(), form, **options))
    sizes = [
        sum(t.numel() * t.element_size() for t in one.tensors.values())
        for one in results
    ]
    assert sizes[0] == sizes[1] == 6 * 16 * 8 + 6 * 8 + (6 * 3 * 8 if soft else 0)
    assert results[0].card.decoder == {"kind": "tiles", "factor": 2}
    assert results[1].card.decoder == {}
    assert results[0].card.labels == ("centered" if soft else "hard")


@pytest.mark.parametrize(
    ("form", "task", "message"),
    [
        (Tiles(free()), Toy(edges=False), "images"),
        (Tiles(free()), TASK, "4 records"),
        (Tiles(free(FOURFOLD), 5), TASK, "5 x 5"),
    ],
)
def test_what_does_not_make_tiles(form: Tiles, task: Toy, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        form.init(task, seeds.at(0, "start"))


def test_classes_are_not_mixed_in_a_stored_image() -> None:
    """Twelve records fill three images, but not class by class."""
    with pytest.raises(ValueError, match="class|records for each"):
        Tiles(free((2, 6, 4))).init(TASK, seeds.at(0, "start"))


def test_stored_images_too_small_for_their_tiles() -> None:
    shape = (1, 4, 6)
    fields = stored_fields({"kind": "tiles", "factor": 4}, shape, {})
    assert fields is not None and str(fields["x"]) == "torch.float32 [m, 1, 4, 6]"
    assert decoder_fault({"kind": "tiles", "factor": 4}, shape) is None
    text = "card.decoder.factor is 5; images of [1, 4, 6] hold at most 4 "
    assert text in str(decoder_fault({"kind": "tiles", "factor": 5}, shape))


@pytest.mark.parametrize("factor", [0, -1])
def test_bad_factor(factor: int) -> None:
    with pytest.raises(ValueError, match="factor"):
        Tiles(free(), factor)
