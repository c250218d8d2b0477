"""Views: what each operation does, and that both sides see the same."""

import pytest
import torch
from torch import Tensor

from multidd.images.data.augment import (
    MARGIN,
    OPERATIONS,
    RANGES,
    Augmentation,
    View,
    parse,
)
from multidd.seeds import at

NEUTRAL = {
    "color": {"brightness": 0.0, "saturation": 1.0, "contrast": 1.0},
    "crop": {"down": 0.5, "right": 0.5},
    "cutout": {"row": 0.5, "column": 0.5, "side": 0.0},
    "flip": {"turn": 1.0},
    "scale": {"across": 1.0, "along": 1.0},
    "rotate": {"degrees": 0.0},
}


def images(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=at(0, "images"), dtype=dtype)


def view(operation: str, **parameters: float) -> View:
    return View(operation, {k: torch.tensor([v]) for k, v in parameters.items()})


def drawn(operation: str, count: int = 1, seed: int = 0) -> View:
    return Augmentation((operation,)).draw(at(seed, "view"), count)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (2, 3, 32, 32), (2, 2, 9, 14)])
def test_neutral_parameters_change_nothing(operation: str, shape: tuple) -> None:
    x = images(*shape)
    result = view(operation, **NEUTRAL[operation])(x)
    torch.testing.assert_close(result, x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_sides_see_the_same(operation: str, dtype: torch.dtype) -> None:
    x = images(6, 3, 12, 12, dtype=dtype)
    for seed in range(5):
        one = drawn(operation, seed=seed)
        result = one(x)
        assert result.dtype == dtype and result.shape == x.shape
        assert torch.equal(one(x[2:4]), result[2:4])  # another batch, the same images
        each = drawn(operation, 6, seed)
        assert torch.equal(each(x), each(x, torch.arange(6)))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_set_for_each_class(operation: str) -> None:
    one, x = drawn(operation, 3), images(1, 3, 12, 12)
    real, synthetic = torch.tensor([2, 0, 1, 1, 2, 0]), torch.tensor([0, 1, 2])
    left = one(x.expand(6, -1, -1, -1), real)
    right = one(x.expand(3, -1, -1, -1), synthetic)
    assert torch.equal(left, right[real])
    for k in range(3):
        alone = View(operation, {n: p[k : k + 1] for n, p in one.parameters.items()})
        torch.testing.assert_close(alone(x)[0], right[k], atol=1e-6, rtol=0)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("count", [1, 2])
def test_gradients(operation: str, count: int) -> None:
    x = images(2, 2, 5, 6, dtype=torch.float64).requires_grad_()
    one = drawn(operation, count, seed=1)
    assert torch.autograd.gradcheck(one, (x,))


def test_parameters_fill_their_ranges() -> None:
    for operation, ranges in RANGES.items():
        one = drawn(operation, 4000)
        assert set(one.parameters) == set(ranges) and len(one) == 4000
        for name, (low, high) in ranges.items():
            result = one.parameters[name]
            assert low <= result.min() and result.max() <= high
            wide = (high - low) / 100
            assert result.min() - low <= wide and high - result.max() <= wide
            assert abs(float(result.mean()) - (low + high) / 2) < 4 * wide + 1e-7


def test_color_by_hand() -> None:
    x = images(2, 3, 4, 4)
    y = x + 0.25
    gray = y.mean(1, keepdim=True)
    y = gray + 1.5 * (y - gray)
    mean = y.mean((1, 2, 3), keepdim=True)
    expected = mean + 0.75 * (y - mean)
    result = view("color", brightness=0.25, saturation=1.5, contrast=0.75)(x)
    torch.testing.assert_close(result, expected)


@pytest.mark.parametrize("many", [False, True])
def test_crop_moves_by_whole_pixels(many: bool) -> None:
    x = torch.arange(1.0, 65).view(1, 1, 8, 8)  # moves by one pixel at most
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            share = {"down": (down + 1.5) / 3, "right": (right + 1.5) / 3}
            expected = torch.zeros(10, 10)
            expected[1 + down : 9 + down, 1 + right : 9 + right] = x[0, 0]
            sets = {k: torch.tensor([v] * (1 + many)) for k, v in share.items()}
            result = View("crop", sets)(x.expand(1 + many, -1, -1, -1))
            assert torch.equal(result[-1, 0], expected[1:9, 1:9])


def test_crop_reaches_every_place_alike() -> None:
    one, most = drawn("crop", 9000), int(28 * MARGIN + 0.5)
    x = torch.zeros(9000, 1, 28, 28)
    x[:, :, 14, 14] = 1
    place = one(x).flatten(1).argmax(1)
    for axis in (place // 28 - 14, place % 28 - 14):
        counts = torch.bincount(axis + most, minlength=2 * most + 1)
        assert len(counts) == 9 and counts.min() > 850 and counts.max() < 1150


@pytest.mark.parametrize("side", [8, 9, 28, 31])
def test_cutout_puts_one_box_of_zeros(side: int) -> None:
    box = int(side * 0.5 + 0.5)
    result = drawn("cutout", 500)(torch.ones(500, 2, side, side))
    assert torch.equal(result[:, 0], result[:, 1])
    zeros = result[:, 0] == 0
    rows, columns = zeros.any(2).sum(1), zeros.any(1).sum(1)
    assert torch.equal(zeros.flatten(1).sum(1), rows * columns)
    assert rows.max() == box == columns.max() and rows.min() >= box // 2
    middle = view("cutout", row=0.5, column=0.5, side=0.5)(torch.ones(1, 1, side, side))
    assert int((middle == 0).sum()) == box**2


def test_flip_mirrors_half_of_the_images() -> None:
    x = images(1000, 1, 2, 4)
    result = drawn("flip", 1000)(x)
    turned = (result == x.flip(3)).flatten(1).all(1)
    assert torch.equal(result[~turned], x[~turned])
    assert 420 < int(turned.sum()) < 580


def test_rotation_by_a_right_angle() -> None:
    x = images(1, 2, 6, 6)
    result = view("rotate", degrees=90.0)(x)
    torch.testing.assert_close(result, x.rot90(1, (2, 3)), atol=1e-5, rtol=0)


def test_rotation_keeps_lengths_of_oblong_images() -> None:
    x = torch.zeros(1, 1, 40, 80)
    x[..., 20, 40:56] = 1  # a bar of 16 pixels, flat
    turned = view("rotate", degrees=90.0)(x)
    assert int((turned > 0.4).any(3).sum()) in (15, 16, 17)


def test_scale_has_two_axes() -> None:
    x = torch.zeros(1, 1, 24, 24)
    x[..., 6:18, 6:18] = 1
    result = view("scale", across=1.2, along=1 / 1.2)(x)[0, 0] > 0.5
    assert int(result[12].sum()) == 10  # 12 / 1.2
    assert int(result[:, 12].sum()) == 14  # 12 * 1.2


def test_every_operation_comes_up_alike() -> None:
    whole, rng = Augmentation(), at(0, "many")
    results = [whole.draw(rng).operation for _ in range(1200)]
    assert all(150 < results.count(one) < 250 for one in OPERATIONS)


def test_draws_repeat_and_leave_the_input() -> None:
    x = images(4, 3, 8, 8)
    before = x.clone()
    for operation in OPERATIONS:
        a, b = drawn(operation, 4), drawn(operation, 4)
        assert torch.equal(a(x), b(x)) and torch.equal(x, before)


def test_written_and_read() -> None:
    assert parse("color_crop_flip") == Augmentation(("color", "crop", "flip"))
    assert str(parse("crop_rotate")) == "crop_rotate"
    assert parse("") == parse("none") == Augmentation(())
    x = images(2, 1, 4, 4)
    assert parse("").draw(at(0, "none"), 2)(x) is x
    assert "flip" not in Augmentation().without("flip").operations


def test_refusals() -> None:
    with pytest.raises(ValueError, match="operations are color.*'blur'"):
        parse("crop_blur")
    with pytest.raises(ValueError, match="once"):
        parse("crop_crop")
    with pytest.raises(ValueError, match="count must be 1 or more; got 0"):
        Augmentation().draw(at(0, "x"), 0)
    with pytest.raises(ValueError, match="5 images need 5 parameter sets"):
        drawn("color", 3)(images(5, 1, 4, 4))
