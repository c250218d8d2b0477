"""Training by a protocol: what is updated, when, on what, and what is chosen."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.evaluation.protocol import Protocol
from multidd.images.models import training
from multidd.images.models.networks import MODELS, build
from multidd.images.models.training import (
    PROTOCOLS,
    ImageEvaluationSet,
    ImageTrainingSet,
    train,
)
from multidd.seeds import at

SHAPE = (1, 12, 12)
PLAIN = Protocol("plain", epochs=6, lr=0.05, width=4, optimizer="sgd", momentum=0.9)


def stripes(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Images of two classes: noise, with lines across or along."""
    rng = at(seed, "stripes")
    x, y = torch.randn(n, *SHAPE, generator=rng), torch.arange(n) % 2
    x[y == 0, :, ::2] += 1.5
    x[y == 1, :, :, ::2] += 1.5
    return x, y


def lesson(n: int = 8, **settings: bool) -> ImageTrainingSet:
    x, y = stripes(n)
    return ImageTrainingSet(lambda rows: x[rows], F.one_hot(y, 2).float(), **settings)


def exam(n: int = 60, seed: int = 1) -> ImageEvaluationSet:
    x, y = stripes(n, seed)
    return ImageEvaluationSet(lambda rows: x[rows], y)


def run(
    protocol: Protocol, inputs: ImageTrainingSet, val: Any = None, **kw: int
) -> tuple:
    return train("convnet", inputs, val, protocol, kw.get("seed", 0), SHAPE)


def weights(net: torch.nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


@pytest.fixture
def updates(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Rows and learning rate of each update; none is made."""
    seen: list[tuple] = []

    def note(net, lesson, rows, optimizer, views, rng) -> None:  # noqa: ANN001
        group = optimizer.param_groups[0]
        seen.append((rows, group["lr"], type(optimizer).__name__, id(optimizer), views))

    monkeypatch.setattr(training, "_update", note)
    return seen


# --- learning -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["convnet", "mlp", "vit", "lenet"])
def test_models_learn(name: str) -> None:
    protocol = replace(PLAIN, epochs=40, width=8, lr=0.02)
    net, _ = train(name, lesson(32), None, protocol, 0, SHAPE)
    assert exam().score(net) > 0.8 and not net.training


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_trained(name: str) -> None:
    side = 32 if name == "vgg11" else 12
    x, y = (
        torch.randn(4, 1, side, side, generator=at(0, "x")),
        torch.tensor([0, 1, 0, 1]),
    )
    training_set = ImageTrainingSet(lambda rows: x[rows], F.one_hot(y, 2).float())
    protocol = replace(PLAIN, epochs=1, width=8)
    net, _ = train(name, training_set, None, protocol, 0, (1, side, side))
    assert all(torch.isfinite(p).all() for p in net.parameters())
    assert ImageEvaluationSet(lambda rows: x[rows], y).predict(net).shape == (4,)


def test_a_seed_gives_the_same_bits() -> None:
    protocol = replace(PLAIN, augment="color_crop_rotate", batch=3)
    one, again = run(protocol, lesson())[0], run(protocol, lesson())[0]
    assert torch.equal(weights(one), weights(again))
    assert not torch.equal(weights(one), weights(run(protocol, lesson(), seed=1)[0]))


@pytest.mark.parametrize("centered", [False, True])
def test_by_hand_is_by_autograd(
    centered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = torch.randn(6, 1, 16, 16, generator=at(0, "x")), torch.arange(6) % 2
    targets = F.one_hot(y, 2).float() - 0.5 * centered
    training_set = ImageTrainingSet(lambda rows: x[rows], targets, centered)
    protocol = replace(PLAIN, weight_decay=0.01, augment="color_scale")
    settings = ("convnet", training_set, None, protocol, 0, (1, 16, 16))
    assert training.fast_convnet.fits("convnet", "instance", x, 3)
    ours = train(*settings)[0](x)
    monkeypatch.setattr(training.fast_convnet, "fits", lambda *_: False)
    torch.testing.assert_close(ours, train(*settings)[0](x), atol=2e-4, rtol=1e-3)


def test_sgd_by_hand() -> None:
    """Two steps, the drop and the fresh momentum between them."""
    protocol = replace(PLAIN, epochs=2, lr_drop=0.1, weight_decay=0.01)
    training_set = lesson()
    rows = torch.arange(8)
    result, _ = train("mlp", training_set, None, protocol, 0, SHAPE)
    module = build("mlp", SHAPE, 2, at(0, "train/mlp"))
    for rate in (0.05, 0.005):
        loss = F.cross_entropy(module(training_set.inputs(rows)), training_set.targets)
        slopes = torch.autograd.grad(loss, list(module.parameters()))
        with torch.no_grad():
            for p, g in zip(module.parameters(), slopes, strict=True):
                p -= rate * (g + 0.01 * p)
    torch.testing.assert_close(weights(result), weights(module))


# --- the course -----------------------------------------------------------------------


def test_the_protocol_of_the_field(updates: list) -> None:
    run(replace(PROTOCOLS["dsa"], width=4), lesson(mirror=True))
    assert len(updates) == 1000
    assert [u[1] for u in updates] == pytest.approx([0.01] * 500 + [0.001] * 500)
    assert {u[2] for u in updates} == {"SGD"} and updates[0][3] != updates[-1][3]
    assert all(torch.equal(u[0], torch.arange(8)) for u in updates)
    assert str(updates[0][4]) == "color_crop_cutout_flip_scale_rotate"


def test_no_flip_where_a_mirror_changes_the_class(updates: list) -> None:
    run(PROTOCOLS["quick"], lesson())
    assert str(updates[0][4]) == "color_crop_cutout_scale_rotate"
    assert len(updates) == 300
    updates.clear()
    run(PROTOCOLS["dc"], lesson(mirror=True))
    assert len(updates) == 300 and updates[0][4].operations == ()


def test_batches_are_shuffled_and_complete(updates: list) -> None:
    run(replace(PLAIN, batch=3), lesson())
    assert [len(u[0]) for u in updates] == [3, 3, 2] * 6
    epochs = [torch.cat([u[0] for u in updates[i : i + 3]]) for i in range(0, 18, 3)]
    assert all(torch.equal(e.sort().values, torch.arange(8)) for e in epochs)
    assert not torch.equal(epochs[0], epochs[1])


def test_whole_data_get_one_batch_for_each_epoch(updates: list) -> None:
    run(replace(PLAIN, batch=3, whole_batch=5), lesson(40, whole=True))
    assert [len(u[0]) for u in updates] == [5] * 6
    assert len(set(torch.cat([u[0] for u in updates]).tolist())) > 15


def test_centered_labels_take_adam_and_a_cosine(updates: list) -> None:
    protocol = replace(PLAIN, lr_drop=0.1, centered_lr=0.002, epochs=4)
    run(protocol, lesson(centered=True))
    expected = [0.002 * 0.5 * (1 + c) for c in (1, 0.5**0.5, 0, -(0.5**0.5))]
    assert [u[1] for u in updates] == pytest.approx(expected)
    assert {u[2] for u in updates} == {"Adam"} and len({u[3] for u in updates}) == 1


def test_each_image_has_its_own_view(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []

    def draw(self, rng, count=1):  # noqa: ANN001, ANN202
        counts.append(count)
        return was(self, rng, count)

    was = training.Augmentation.draw
    monkeypatch.setattr(training.Augmentation, "draw", draw)
    run(replace(PLAIN, augment="crop", epochs=2), lesson())
    assert counts == [8, 8]


# --- what is chosen -------------------------------------------------------------------


def test_the_rate_is_fixed_without_validation() -> None:
    protocol = replace(PLAIN, lrs=(1e-6, 0.02), snapshots=3)
    assert run(protocol, lesson())[1] == {"lr": 0.05, "epoch": 6}


def test_the_best_rate_and_epoch_are_kept() -> None:
    protocol = replace(PLAIN, epochs=40, width=8, lrs=(1e-7, 0.02), snapshots=2)
    val = exam(80, 2)
    net, chosen = run(protocol, lesson(32), val)
    assert chosen["lr"] == 0.02 and chosen["epoch"] in (20, 40)
    assert chosen["val_accuracy"] == val.score(net) > 0.8
    alone = replace(protocol, lrs=(1e-7,))
    assert run(alone, lesson(32), val)[1]["lr"] == 1e-7


def test_an_earlier_epoch_may_win(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.5, 0.9, 0.9, 0.7])
    monkeypatch.setattr(ImageEvaluationSet, "score", lambda *_: next(scores))
    protocol = replace(PLAIN, epochs=8, snapshots=4, momentum=0.0)
    net, chosen = run(protocol, lesson(), exam())
    assert chosen == {"lr": 0.05, "epoch": 4, "val_accuracy": 0.9}
    short, _ = run(replace(protocol, epochs=4), lesson())
    assert torch.equal(weights(net), weights(short))


def test_centered_rates_are_in_proportion() -> None:
    protocol = replace(PLAIN, centered_lr=0.001, lrs=(0.1,), epochs=2)
    _, chosen = run(protocol, lesson(centered=True), exam())
    assert chosen["lr"] == pytest.approx(0.002)


def test_answers_do_not_depend_on_the_parts() -> None:
    net, _ = run(PLAIN, lesson())
    training_set = exam(70)
    parts = replace(training_set, batch_size=7)
    assert torch.equal(training_set.predict(net), parts.predict(net))
