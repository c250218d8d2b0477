"""`Images` and `as_images`: layouts, labels, subsets, splits, fingerprints."""

import warnings

import numpy as np
import pytest
import torch

from multidd.errors import MultiddWarning
from multidd.images.data.benchmarks import long_tailed
from multidd.images.data.images import Images, as_images


def make_images(counts=(4, 6), size=8, seed=0):
    """Random gray images, so many of each class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (len(labels), size, size), dtype=np.uint8)
    return as_images((x, labels))


# --- layouts ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4, 8, 9), (1, 8, 9)),
        ((4, 1, 8, 9), (1, 8, 9)),
        ((4, 8, 9, 1), (1, 8, 9)),
        ((4, 3, 8, 9), (3, 8, 9)),
        ((4, 8, 9, 3), (3, 8, 9)),
    ],
)
@pytest.mark.parametrize("kind", ["array", "tensor", "list", "tensors"])
def test_channel_axis(shape, expected, kind):
    x = np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)
    forms = {
        "array": x,
        "tensor": torch.from_numpy(x),
        "list": list(x),
        "tensors": list(torch.from_numpy(x)),
    }
    images = as_images((forms[kind], [0, 1, 1, 0]))
    assert images.shape == expected
    assert images.x.dtype == torch.uint8
    axis = 3 if shape[-1] in (1, 3) else 1
    first = x[:, None] if x.ndim == 3 else np.moveaxis(x, axis, 1)
    assert np.array_equal(images.x.numpy(), first)


@pytest.mark.parametrize("dtype", [np.int64, np.int16, np.uint16, ">i4"])
def test_other_integers_become_uint8(dtype):
    x = np.arange(256).reshape(4, 8, 8)
    images = as_images((x.astype(dtype), [0, 1, 0, 1]))
    assert images.x.dtype == torch.uint8
    assert np.array_equal(images.x[:, 0].numpy(), x)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_fractions_become_float32(dtype):
    x = np.linspace(0, 1, 256).reshape(4, 8, 8).astype(dtype)
    images = as_images((x, [0, 1, 0, 1]))
    assert images.x.dtype == torch.float32
    assert np.array_equal(images.pixels()[:, 0].numpy(), x.astype(np.float32))


def test_bfloat16_booleans_and_rounding():
    x = torch.rand(4, 8, 8, generator=torch.Generator().manual_seed(0))
    halves = as_images((x.bfloat16(), [0, 1, 0, 1]))
    assert torch.equal(halves.x[:, 0], x.bfloat16().float())
    bits = as_images((x > 0.5, [0, 1, 0, 1]))
    assert bits.x.unique().tolist() == [0, 255]
    beyond = as_images((x.clone().fill_(1 + 1e-7), [0, 1, 0, 1]))
    assert float(beyond.x.max()) == 1


def test_uint8_is_shared_and_nothing_is_changed():
    x, y = np.full((4, 8, 8), 7, np.uint8), np.array([5, 3, 5, 3])
    before = x.copy(), y.copy()
    with pytest.warns(MultiddWarning):
        images = as_images((x, y))
    assert np.shares_memory(images.x.numpy(), x)
    images.pixels()
    assert np.array_equal(x, before[0]) and np.array_equal(y, before[1])


def test_memmap_that_is_read_only(tmp_path):
    path, x = tmp_path / "x.npy", np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    np.save(path, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images = as_images((np.load(path, mmap_mode="r"), [0, 1, 0, 1]))
    assert np.array_equal(images.x[:, 0].numpy(), x)


def test_gradients_are_left_behind():
    x = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0))
    assert not as_images((x.requires_grad_(), [0, 1])).x.requires_grad


def test_pixels_are_fractions_of_255():
    images = make_images()
    assert torch.equal(images.pixels(), images.x.float() / 255)
    rows = torch.tensor([5, 2])
    assert torch.equal(images.pixels(rows), images.x[rows].float() / 255)


def test_list_of_gray_and_rgb():
    gray, rgb = np.full((8, 8), 9, np.uint8), np.zeros((8, 8, 3), np.uint8)
    for x in ([gray, rgb], [rgb, gray], [gray, gray, rgb]):
        images = as_images((x, list(range(len(x)))))
        assert images.shape == (3, 8, 8)
        for image, inputs in zip(images.x, x, strict=True):
            assert image.unique().tolist() == [int(inputs.max())]


# --- labels -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "y",
    [
        [0, 1, 1, 0],
        np.array([0.0, 1.0, 1.0, 0.0]),
        torch.tensor([0, 1, 1, 0], dtype=torch.uint8),
        np.array([[0], [1], [1], [0]]),
        [False, True, True, False],
    ],
)
def test_labels_from_0_are_silent(y):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images = as_images((np.zeros((4, 8, 8)), y))
    assert images.labels.tolist() == [0, 1, 1, 0]
    assert images.labels.dtype == torch.int64
    assert (images.values, images.classes) == ((0, 1), ("0", "1"))


@pytest.mark.parametrize(
    ("y", "values"), [([7, 3, 7, -1], (-1, 3, 7)), (["b", "a", "b", "c"], tuple("abc"))]
)
def test_other_labels_are_mapped_and_said_once(y, values):
    with pytest.warns(UserWarning, match="mapped") as message:
        images = as_images((np.zeros((4, 8, 8)), y))
    assert len(message) == 1
    assert f"{values[0]!r} -> 0" in str(message[0].message)
    assert message[0].filename == __file__
    assert images.values == values
    assert [values[i] for i in images.labels.tolist()] == y
    assert images.describe()["labels"] == list(values)
    assert images.classes == tuple(map(str, values))


def test_labels_like_another_set():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        test = as_images((np.zeros((2, 8, 8)), [7, 7]), values=(3, 7, 9))
    assert test.labels.tolist() == [1, 1]
    assert test.counts.tolist() == [0, 2, 0]  # a test set may lack a class


def test_images_pass_and_are_relabelled():
    images = make_images()
    assert as_images(images) is images
    assert as_images(images, values=(0, 1)) is images
    other = as_images(images, values=(1, 0))
    assert torch.equal(other.labels, 1 - images.labels)
    assert other.classes == ("1", "0")


# --- the object -------------------------------------------------------------------


def test_repr_and_sizes():
    images = make_images((4, 6))
    assert repr(images) == "Images(10 of 1 x 8 x 8, 2 classes)"
    assert (len(images), images.num_classes, images.shape) == (10, 2, (1, 8, 8))
    assert images.counts.tolist() == [4, 6]
    assert not images.mirror


def test_subset_keeps_classes():
    part = make_images((4, 6)).subset(torch.tensor([9, 8]))
    assert part.counts.tolist() == [0, 2]
    assert part.num_classes == 2


def test_fingerprint_follows_pixels_and_labels():
    images, again = make_images(), make_images()
    description = images.describe()
    assert description == again.describe()
    assert (
        description["images"] == 10
        and description["classes"] == 2
        and description["counts"] == [4, 6]
    )
    assert description["shape"] == [1, 8, 8]
    x, labels = images.x.clone(), images.labels.flip(0)
    x[3, 0, 2, 2] += 1
    for other in (
        Images(x, images.labels, images.classes, images.values),
        Images(images.x, labels, images.classes, images.values),
    ):
        assert other.describe()["sha256"] != description["sha256"]


@pytest.mark.parametrize(
    ("held", "counts"), [(0.25, [5, 10]), (15, [5, 10]), (1, None)]
)
def test_split_is_stratified(held, counts):
    images = make_images((20, 40))
    rest, out = images.split(held, seed=3)
    assert len(rest) + len(out) == 60
    if counts:
        assert out.counts.tolist() == counts
    both = torch.cat([rest.x, out.x]).flatten(1)
    assert sorted(both.tolist()) == sorted(images.x.flatten(1).tolist())


def test_split_follows_its_seed():
    images = make_images((20, 40))
    one, same, other = (images.split(0.3, seed=s)[1] for s in (0, 0, 1))
    assert torch.equal(one.x, same.x)
    assert not torch.equal(one.x, other.x)


def test_split_leaves_one_of_each_class():
    rest, _ = make_images((1, 2, 30)).split(0.9)
    assert min(rest.counts.tolist()) == 1


def test_long_tailed_profile():
    images = make_images((100, 100, 100, 100, 40))
    tail = long_tailed(images, 0.01)
    assert tail.counts.tolist() == [100, 31, 10, 3, 1]
    assert long_tailed(images, 1.0).counts.tolist() == [100, 100, 100, 100, 40]
    assert torch.equal(tail.x, long_tailed(images, 0.01).x)
    assert not torch.equal(tail.x, long_tailed(images, 0.01, seed=1).x)


@pytest.mark.parametrize("factor", [0, -1, 1.5, float("nan")])
def test_long_tailed_factor(factor):
    with pytest.raises(ValueError, match="factor must be above 0 and at most 1"):
        long_tailed(make_images(), factor)
