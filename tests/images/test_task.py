"""`ImageTask`: losses, what a selection stands for, scores, descriptions."""

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from multidd.images.data.augment import Augmentation
from multidd.images.data.images import as_images
from multidd.images.models.backbone import Backbone
from multidd.images.tasks import image_task as module
from multidd.learning.optim import SGD
from multidd.learning.states import training_step
from multidd.protocols import Picks
from multidd.selection.basic import KMeans, Random
from tests.images.tasks import by_hand, rng, task_of

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
    expected = {
        "mse": 0.5 * ((logits - targets) ** 2).sum(1),
        "cross_entropy": (targets * (shift - logits)).sum(1),
    }[loss]
    torch.testing.assert_close(task.losses(weights, batch), expected)
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


@pytest.mark.parametrize("stored", [0, 2**28])
def test_collecting_real_images(small, monkeypatch, stored):
    monkeypatch.setattr(module, "KEPT", stored)
    task = task_of(small)
    picks = Random().pick(task.records(), (3, 1, 2), rng())
    draw = task.from_selection(picks)
    torch.testing.assert_close(
        draw["x"], by_hand(small)[picks.indices], rtol=1e-4, atol=1e-5
    )
    assert draw["y"].tolist() == [0, 0, 0, 1, 2, 2]
    assert torch.equal(small.labels[picks.indices], draw["y"])


@pytest.mark.parametrize("stored", [0, 2**28])
def test_collecting_means(small, monkeypatch, stored):
    monkeypatch.setattr(module, "KEPT", stored)
    task = task_of(small)
    records = task.records()
    picks = KMeans(restarts=1).pick(records, (3, 1, 2), rng())
    draw = task.from_selection(picks)
    expected = picks.weights.to_dense() @ records.features
    torch.testing.assert_close(draw["x"].flatten(1), expected, rtol=1e-4, atol=1e-5)
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
    expected = torch.stack([by_hand(images)[y == label].mean(0) for label in range(3)])
    assert n > 4096
    torch.testing.assert_close(
        task.from_selection(picks)["x"], expected, rtol=1e-3, atol=1e-4
    )


# --- scores --------------------------------------------------------------------------


def scored(make, **settings):
    """A task with validation images, and real images of it as a synthetic set."""
    rest, val = make((30, 30, 30)).split(45)
    task = task_of(rest, val=val, backbone=Backbone(width=16), **settings)
    draw = task.from_selection(Random().pick(task.records(), (8, 8, 8), rng()))
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


def test_a_score_is_the_accuracy_on_the_validation_images(make):
    task, draw = scored(make)
    score = task.score(draw, rng())
    assert score == task.score(draw, rng())
    assert 45 * score == pytest.approx(round(45 * score), abs=1e-4)
    val = replace(task.val, labels=(task.val.labels + 1) % 3)
    assert replace(task, val=val).score(draw, rng()) < 0.1


def test_no_score_without_validation_images(small):
    task = task_of(small)
    with pytest.raises(ValueError, match="select_best needs validation images"):
        task.score({"x": torch.zeros(3, 1, 8, 8), "y": torch.arange(3)}, rng())


# --- what it says of itself ----------------------------------------------------------


def test_describe_can_be_written(small, make):
    task = task_of(small, augment=Augmentation(("crop", "flip")), val=make((2, 2, 2)))
    description = task.describe()
    assert json.loads(json.dumps(description)) == description
    assert description["data"]["images"] == 60 and description["data"]["counts"] == [
        24,
        20,
        16,
    ]
    assert description["data"]["names"] == ["cat", "dog", "owl"]
    assert description["val"]["images"] == 6
    assert description["augment"] == "crop_flip"


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
    description = task_of(again).describe()["data"]
    assert description["sha256"] == task_of(small).describe()["data"]["sha256"]
    one = small.x.clone()
    one[3, 0, 2, 2] += 1
    other = replace(small, x=one)
    assert task_of(other).describe()["data"] != task_of(small).describe()["data"]


def test_a_task_on_its_own_device_is_itself(small):
    task = task_of(small)
    assert task.to("cpu") is task
    assert not task.vectorize_models and task.num_classes == 3


def test_training_on_a_part_of_a_batch(small):
    """A step takes as many rows as told, of the batch that it is given."""
    task = task_of(small, batch_size=None)
    weights = task.weights(rng(), 1)
    sgd = SGD(lr=0.1)
    moments = {n: sgd.init(w) for n, w in weights.items()}
    batch = task.batch(rng())
    whole, _ = training_step(task, weights, moments, sgd, batch, rng(), 60)
    every, _ = training_step(task, weights, moments, sgd, batch, rng())
    part, _ = training_step(task, weights, moments, sgd, batch, rng(), 6)
    name = "head.weight"
    assert torch.equal(whole[name], every[name])
    assert not torch.equal(part[name], every[name])
