"""`ImageTask`: real batches and the views of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from multidd.images.data.augment import OPERATIONS, Augmentation
from multidd.images.data.images import as_images
from multidd.images.tasks import image_task as module
from multidd.images.tasks.image_task import ImageBatch, ImageTask
from tests.images.tasks import by_hand, rng, task_of


def rows_of(batch, images):
    """Which real image each image of a batch is."""
    gaps = (batch.x[:, None] - by_hand(images)).abs().flatten(2).amax(2)
    assert gaps.min(1).values.max() < 1e-5
    return gaps.argmin(1)


# --- batches -------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_of_all(make, channels):
    images = make(channels=channels)
    batch = task_of(images, batch_size=None).batch(rng())
    torch.testing.assert_close(batch.x, by_hand(images), rtol=1e-4, atol=1e-5)
    assert torch.equal(batch.y, images.labels) and batch.soft is None


@pytest.mark.parametrize("size", [1, 6, 18, 1000])
def test_a_batch_by_class(small, size):
    batch = task_of(small, batch_size=size).batch(rng())
    expected = [min(size, count) for count in (24, 20, 16)]
    assert batch.y.bincount().tolist() == expected
    rows = rows_of(batch, small)
    assert len(set(rows.tolist())) == len(rows)
    assert torch.equal(small.labels[rows], batch.y)


@pytest.mark.parametrize("size", [1, 25, 60, 1000])
def test_a_uniform_batch(small, size):
    batch = task_of(small, batch_size=size, sampler="uniform").batch(rng())
    rows = rows_of(batch, small)
    assert len(rows) == len(set(rows.tolist())) == min(size, 60)
    assert torch.equal(small.labels[rows], batch.y)


@pytest.mark.parametrize("sampler", ["class", "uniform"])
def test_a_batch_is_keyed_by_its_generator(small, sampler):
    task = task_of(small, batch_size=5, sampler=sampler)
    one, same, other = (task.batch(rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(one.x, same.x) and torch.equal(one.y, same.y)
    assert not torch.equal(one.x, other.x)
    stream = rng()
    assert not torch.equal(task.batch(stream).x, task.batch(stream).x)


def test_every_image_is_drawn_in_time(small):
    for sampler in ("class", "uniform"):
        task, seen = task_of(small, batch_size=8, sampler=sampler), set()
        for seed in range(40):
            seen |= set(rows_of(task.batch(rng(seed)), small).tolist())
        assert len(seen) == 60


@pytest.mark.parametrize("zca", [False, True])
@pytest.mark.parametrize("size", [None, 5])
def test_memory_does_not_change_a_batch(small, monkeypatch, zca, size):
    """Images that are too many to be kept are normalized anew: the same numbers."""
    task = task_of(small, zca, batch_size=size)
    batch = task.batch(rng())
    monkeypatch.setattr(module, "KEPT", 0)
    anew = replace(task).batch(rng())
    if zca:  # a product of matrices of another size
        torch.testing.assert_close(batch.x, anew.x, rtol=1e-4, atol=1e-4)
    else:
        assert torch.equal(batch.x, anew.x)
    assert torch.equal(batch.y, anew.y)
    monkeypatch.setattr(ImageTask, "_everything", property(lambda _: pytest.fail()))
    replace(task).batch(rng())


def test_whitened_images_have_unit_covariance_at_most(make):
    images = make((300, 200, 100), side=4)
    x = task_of(images, zca=True, batch_size=None).batch(rng()).x.flatten(1)
    spread = torch.linalg.eigvalsh(torch.cov(x.double().T))
    assert 0.2 < spread.min() and spread.max() < 1.01


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64])
def test_bytes_and_floats_give_equal_tasks(small, kind):
    x, y = small.x.numpy(), small.labels.numpy()
    images = x if kind is np.uint8 else x.astype(kind) / kind(255)
    before = images.copy()
    one, other = task_of(small, batch_size=6), task_of((images, y), batch_size=6)
    torch.testing.assert_close(
        one.batch(rng()).x, other.batch(rng()).x, rtol=1e-5, atol=1e-6
    )
    assert torch.equal(one.batch(rng()).y, other.batch(rng()).y)
    for seed in range(3):
        other.view(rng(seed))(other.batch(rng(seed)))
    assert np.array_equal(images, before) and np.array_equal(y, small.labels.numpy())


@pytest.mark.parametrize("stored", [0, 2**28])
def test_the_images_are_never_changed(small, monkeypatch, stored):
    monkeypatch.setattr(module, "KEPT", stored)
    floats = as_images((small.pixels(), small.labels))
    for images in (small, floats):
        before = images.x.clone()
        task = task_of(images, batch_size=None, augment=Augmentation())
        batch = task.batch(rng())
        batch.x.zero_()
        again = task.batch(rng())
        assert torch.equal(images.x, before)
        assert again.x.any()
        for name in OPERATIONS:
            view = replace(task, augment=Augmentation((name,))).view(rng())
            shown = again.x.clone()
            view(again)
            assert torch.equal(again.x, shown)


def test_holding_a_batch(small):
    task = task_of(small, batch_size=4)
    batch = task.batch(rng())
    held = task.with_fixed_batch(batch)
    for seed in (3, 4):
        assert held.batch(rng(seed)) is batch
    assert task.batch(rng(3)) is not batch
    assert held.describe() == task.describe()


def test_taking_rows():
    x, y = torch.arange(8.0).view(4, 1, 1, 2), torch.tensor([0, 1, 1, 0])
    batch = ImageBatch(x, y, torch.eye(2)[y])
    images = as_images((torch.zeros(4, 8, 8), y))
    task, rows = task_of(images), torch.tensor([2, 0, 2])
    some = task.take(batch, rows)
    assert torch.equal(some.x, x[rows]) and some.y.tolist() == [1, 0, 1]
    assert torch.equal(some.soft, batch.soft[rows])
    assert task.take(ImageBatch(x, y), rows).soft is None


# --- views ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPERATIONS)
def test_both_sides_are_shown_alike(small, name):
    """An image looks the same in a real and in a synthetic batch of other order: a
    class has its parameters, wherever its images stand."""
    task = task_of(small, batch_size=None, augment=Augmentation((name,)))
    real = task.batch(rng())
    order = torch.randperm(60, generator=rng(1))[:17]
    synthetic = task.take(real, order)
    view = task.view(rng())
    assert torch.equal(view(real).x[order], view(synthetic).x)
    assert torch.equal(view(real).y, real.y)


def test_classes_have_parameters_of_their_own(small):
    task = task_of(small, augment=Augmentation(("rotate",)))
    same = torch.rand(1, 1, 8, 8, generator=rng()).expand(6, -1, -1, -1)
    batch = ImageBatch(same, torch.tensor([0, 0, 1, 1, 2, 2]))
    shown = task.view(rng())(batch).x
    for label in range(3):
        assert torch.equal(shown[2 * label], shown[2 * label + 1])
    assert not torch.equal(shown[0], shown[2]) and not torch.equal(shown[2], shown[4])


def test_a_view_is_keyed_by_its_generator(small):
    task = task_of(small, batch_size=None, augment=Augmentation(("color", "scale")))
    batch = task.batch(rng())
    one, same, other = (task.view(rng(seed))(batch).x for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)
    view = task.view(rng())
    assert torch.equal(view(batch).x, view(batch).x)


def test_no_augmentation_is_the_identity(small):
    task = task_of(small, batch_size=None)
    batch, stream = task.batch(rng()), rng()
    before = stream.get_state()
    assert task.view(stream)(batch) is batch
    assert torch.equal(stream.get_state(), before)


def test_a_view_is_differentiable_in_the_images(small):
    task = task_of(small)
    y = torch.tensor([0, 1, 2])
    for name in OPERATIONS:
        x = torch.rand(3, 1, 8, 8, generator=rng()).requires_grad_()
        view = replace(task, augment=Augmentation((name,))).view(rng())
        (slope,) = torch.autograd.grad(view(ImageBatch(x, y)).x.sum(), x)
        assert torch.isfinite(slope).all() and slope.any()
