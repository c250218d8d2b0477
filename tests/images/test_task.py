"""`ImageTask`: real batches, views, what a selection stands for, scores."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from multidd import seeds
from multidd.images import task as module
from multidd.images.augment import OPERATIONS, Augmentation
from multidd.images.backbone import Backbone
from multidd.images.images import as_images
from multidd.images.task import ImageBatch, ImageTask
from multidd.learning.states import learn
from multidd.protocols import Picks
from multidd.selection import KMeans, Random


def rng(seed=0):
    return seeds.at(seed, "test")


def task_of(images, zca=False, **settings):
    return ImageTask.of(images, zca=zca, **({"backbone": Backbone(width=4)} | settings))


def by_hand(images):
    """Standardized by the mean and deviation of each channel over all pixels."""
    x = images.x.numpy().astype(np.float64) / 255
    mean, std = (f(x, axis=(0, 2, 3), keepdims=True) for f in (np.mean, np.std))
    return torch.from_numpy((x - mean) / std).float()


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
    wanted = [min(size, count) for count in (24, 20, 16)]
    assert batch.y.bincount().tolist() == wanted
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
    kept = task.batch(rng())
    monkeypatch.setattr(module, "KEPT", 0)
    anew = replace(task).batch(rng())
    if zca:  # a product of matrices of another size
        torch.testing.assert_close(kept.x, anew.x, rtol=1e-4, atol=1e-4)
    else:
        assert torch.equal(kept.x, anew.x)
    assert torch.equal(kept.y, anew.y)
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
    given = x if kind is np.uint8 else x.astype(kind) / kind(255)
    kept = given.copy()
    one, other = task_of(small, batch_size=6), task_of((given, y), batch_size=6)
    torch.testing.assert_close(
        one.batch(rng()).x, other.batch(rng()).x, rtol=1e-5, atol=1e-6
    )
    assert torch.equal(one.batch(rng()).y, other.batch(rng()).y)
    for seed in range(3):
        other.view(rng(seed))(other.batch(rng(seed)))
    assert np.array_equal(given, kept) and np.array_equal(y, small.labels.numpy())


@pytest.mark.parametrize("kept", [0, 2**28])
def test_the_images_are_never_changed(small, monkeypatch, kept):
    monkeypatch.setattr(module, "KEPT", kept)
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
    held = task.holding(batch)
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


# --- losses and targets --------------------------------------------------------------


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_losses_by_hand(small, loss, soft):
    task = task_of(small, batch_size=None, loss=loss)
    batch = task.batch(rng())
    targets = F.one_hot(batch.y, 3).float()
    if soft:
        targets = torch.randn(60, 3, generator=rng(1))
        batch = replace(batch, soft=targets)
    assert torch.equal(task.targets(batch), targets)
    weights = {n: w[0] for n, w in task.weights(rng(), 1).items()}
    logits = task.features(weights, batch, 1)[0]
    shift = logits.logsumexp(1, keepdim=True)
    wanted = {
        "mse": 0.5 * ((logits - targets) ** 2).sum(1),
        "cross_entropy": (targets * (shift - logits)).sum(1),
    }[loss]
    torch.testing.assert_close(task.losses(weights, batch), wanted)
    if not soft and loss == "cross_entropy":
        usual = F.cross_entropy(logits, batch.y, reduction="none")
        torch.testing.assert_close(task.losses(weights, batch), usual)


def test_a_synthetic_batch_is_the_draw(small):
    task = task_of(small)
    x = torch.rand(2, 1, 8, 8, generator=rng()).requires_grad_()
    y, soft = torch.tensor([0, 2]), torch.rand(2, 3, generator=rng())
    batch = task.synthetic({"x": x, "y": y, "y_soft": soft})
    assert batch.x is x and batch.y is y and batch.soft is soft
    assert task.synthetic({"x": x, "y": y}).soft is None
    assert task.inputs(batch) is x
    assert task.linear_features(batch) is None


def test_models_side_by_side(small):
    task = task_of(small, backbone=Backbone(width=(2, 3, 4), init="gaussian", bias=0.1))
    weights = task.weights(rng(), 3)
    assert weights["blocks.1.conv.weight"].shape == (3, 3, 2, 3, 3)
    first = weights["head.weight"]
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first, task.weights(rng(), 3)["head.weight"])
    assert not torch.equal(first, task.weights(rng(1), 3)["head.weight"])


# --- selections ----------------------------------------------------------------------


def test_records_are_the_normalized_pixels(small):
    records = task_of(small).records()
    torch.testing.assert_close(
        records.features, by_hand(small).flatten(1), rtol=1e-4, atol=1e-5
    )
    assert torch.equal(records.labels, small.labels) and records.num_classes == 3


@pytest.mark.parametrize("kept", [0, 2**28])
def test_collecting_real_images(small, monkeypatch, kept):
    monkeypatch.setattr(module, "KEPT", kept)
    task = task_of(small)
    picks = Random().pick(task.records(), (3, 1, 2), rng())
    draw = task.collect(picks)
    torch.testing.assert_close(
        draw["x"], by_hand(small)[picks.indices], rtol=1e-4, atol=1e-5
    )
    assert draw["y"].tolist() == [0, 0, 0, 1, 2, 2]
    assert torch.equal(small.labels[picks.indices], draw["y"])


@pytest.mark.parametrize("kept", [0, 2**28])
def test_collecting_means(small, monkeypatch, kept):
    monkeypatch.setattr(module, "KEPT", kept)
    task = task_of(small)
    records = task.records()
    picks = KMeans(restarts=1).pick(records, (3, 1, 2), rng())
    draw = task.collect(picks)
    wanted = picks.weights.to_dense() @ records.features
    torch.testing.assert_close(draw["x"].flatten(1), wanted, rtol=1e-4, atol=1e-5)
    mean = by_hand(small)[small.labels == 1].mean(0)
    torch.testing.assert_close(draw["x"][3], mean, rtol=1e-4, atol=1e-5)


def test_collecting_a_mean_of_many_images(make):
    """More images than go through at a time."""
    images = make((3000, 2000, 4), side=2)
    task = task_of(images)
    n, y = len(images), images.labels
    rows = torch.nn.functional.one_hot(y, 3).float().T
    rows = rows / rows.sum(1, keepdim=True)
    picks = Picks(rows.to_sparse(), torch.arange(3), real=False)
    wanted = torch.stack([by_hand(images)[y == label].mean(0) for label in range(3)])
    assert n > 4096
    torch.testing.assert_close(task.collect(picks)["x"], wanted, rtol=1e-3, atol=1e-4)


# --- scores --------------------------------------------------------------------------


def scored(make, **settings):
    """A task with validation images, and real images of it as a synthetic set."""
    rest, val = make((30, 30, 30)).split(45)
    task = task_of(rest, val=val, backbone=Backbone(width=16), **settings)
    draw = task.collect(Random().pick(task.records(), (8, 8, 8), rng()))
    return task, draw


@pytest.mark.parametrize("labels", ["hard", "soft", "centered"])
def test_a_good_set_scores_above_a_wrong_one(make, labels):
    task, draw = scored(make)
    wrong = draw | {"y": (draw["y"] + 1) % 3}
    if labels != "hard":
        shift = 1 / 3 if labels == "centered" else 0
        for one in (draw, wrong):
            one["y_soft"] = torch.eye(3)[one["y"]] - shift
    assert task.score(draw, rng()) > 0.9
    assert task.score(wrong, rng()) < 0.2
    assert task.score(draw, rng()) == task.score(draw, rng())


def test_a_score_is_the_accuracy_on_the_validation_images(make):
    task, draw = scored(make)
    found = 45 * task.score(draw, rng())
    assert found == pytest.approx(round(found), abs=1e-4)
    val = replace(task.val, labels=(task.val.labels + 1) % 3)
    assert replace(task, val=val).score(draw, rng()) < 0.1


def test_no_score_without_validation_images(small):
    task = task_of(small)
    with pytest.raises(ValueError, match="select_best needs validation images"):
        task.score({"x": torch.zeros(3, 1, 8, 8), "y": torch.arange(3)}, rng())


# --- what it says of itself ----------------------------------------------------------


def test_describe_can_be_written(small, make):
    task = task_of(small, augment=Augmentation(("crop", "flip")), val=make((2, 2, 2)))
    told = task.describe()
    assert json.loads(json.dumps(told)) == told
    assert told["data"]["images"] == 60 and told["data"]["counts"] == [24, 20, 16]
    assert told["data"]["names"] == ["cat", "dog", "owl"]
    assert told["val"]["images"] == 6
    assert told["augment"] == "crop_flip"


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 7},
        {"sampler": "uniform"},
        {"augment": Augmentation(("crop",))},
        {"loss": "mse"},
        {"backbone": Backbone(width=5)},
        {"zca": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_describe_tells_settings_apart(small, change):
    assert task_of(small).describe() != task_of(small, **change).describe()


def test_describe_tells_data_apart(small, make):
    again = as_images((small.x.clone(), small.labels.clone()))
    told = task_of(again).describe()["data"]
    assert told["sha256"] == task_of(small).describe()["data"]["sha256"]
    one = small.x.clone()
    one[3, 0, 2, 2] += 1
    other = replace(small, x=one)
    assert task_of(other).describe()["data"] != task_of(small).describe()["data"]


def test_a_task_on_its_own_device_is_itself(small):
    task = task_of(small)
    assert task.to("cpu") is task
    assert not task.side_by_side and task.num_classes == 3


def test_training_on_a_part_of_a_batch(small):
    """A step takes as many rows as told, of the batch that it is given."""
    task = task_of(small, batch_size=None)
    weights = task.weights(rng(), 1)
    from multidd.learning.optim import SGD

    sgd = SGD(lr=0.1)
    moments = {n: sgd.init(w) for n, w in weights.items()}
    batch = task.batch(rng())
    whole, _ = learn(task, weights, moments, sgd, batch, rng(), 60)
    every, _ = learn(task, weights, moments, sgd, batch, rng())
    part, _ = learn(task, weights, moments, sgd, batch, rng(), 6)
    name = "head.weight"
    assert torch.equal(whole[name], every[name])
    assert not torch.equal(part[name], every[name])
