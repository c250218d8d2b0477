"""The judge of images: what it reads, refuses, trains on and reports."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import multidd
from multidd.errors import MultiddWarning
from multidd.evaluation.protocol import Protocol
from multidd.images.data.images import Images, as_images
from multidd.images.data.preprocessing import Preprocessing
from multidd.images.evaluation.evaluator import Evaluator
from multidd.images.models.kernel_predictor import DEFAULT, kernel_model
from multidd.images.summary.summary import ImageSummary
from multidd.kernels import infinite_kernel
from multidd.seeds import at

FAST = Protocol(
    "fast",
    epochs=60,
    lr=0.05,
    width=8,
    optimizer="sgd",
    momentum=0.9,
    whole_patience=20,
    whole_cap=60,
)


def pictures(n: int, seed: int = 0, values: tuple = ("cat", "dog", "owl")) -> tuple:
    """Images of three classes: a bright corner each, on noise."""
    rng = at(seed, "pictures")
    x, y = torch.rand(n, 1, 8, 8, generator=rng) * 0.4, torch.arange(n) % 3
    x[y == 0, :, :4, :4] += 0.5
    x[y == 1, :, 4:, 4:] += 0.5
    x[y == 2, :, :4, 4:] += 0.5
    return x, [values[i] for i in y.tolist()]


@pytest.fixture
def train() -> Images:
    with pytest.warns(MultiddWarning):
        return as_images(pictures(90, 1))


def make_summary(
    train: Images, ipc: int = 2, soft: Tensor | None = None, **card: Any
) -> Any:
    x = Preprocessing.fit(train)
    chosen = torch.cat(
        [(train.labels == k).nonzero().flatten()[:ipc] for k in range(3)]
    )
    y = train.labels[chosen] if soft is None else soft
    description = ImageSummary.from_tensors(
        x.apply(train.pixels(chosen)),
        y,
        source=train.describe(),
        method="ours",
        preprocessing=x,
    )
    return replace(description, card=replace(description.card, **card))


def evaluator(summary: Any, on: Any = None, **options: Any) -> Evaluator:
    result = Evaluator(pictures(60, 2) if on is None else on, **options)
    result.check(summary)
    return result


# --- scores ---------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["convnet", "mlp", "kernel"])
def test_a_summary_and_whole_data_are_scored(train: Images, model: str) -> None:
    one = evaluator(make_summary(train), train=train)
    for summary in (make_summary(train), None):
        scores = one.fit(summary, model, FAST, 0)
        assert scores["accuracy"] > 0.8
        classes = [scores[f"accuracy/{name}"] for name in ("cat", "dog", "owl")]
        assert sum(classes) / 3 == pytest.approx(scores["accuracy"])


def test_a_report_of_images(train: Images) -> None:
    report = multidd.evaluate(
        make_summary(train), pictures(60, 2), train=train, seeds=2, protocol=FAST
    )
    names = [row.name for row in report.rows]
    assert names == ["whole", "random", "herding", "kcenter", "kmeans", "ours"]
    assert [row.size for row in report.rows] == [None, 6, 6, 6, 6, 6]
    assert set(report.per_class("convnet")) == {"cat", "dog", "owl"}
    assert report.accuracy("convnet") > 0.8
    lone = multidd.evaluate(
        make_summary(train), pictures(60, 2), seeds=1, protocol=FAST
    )
    assert len(lone.rows) == 1 and "No rows beside it." in str(lone)
    with pytest.raises(ValueError, match="give train="):
        multidd.evaluate(make_summary(train), pictures(60, 2), rows=["random"])


def test_rate_and_epoch_are_chosen_on_training_data(train: Images) -> None:
    protocol = replace(FAST, lrs=(1e-6, 0.05), snapshots=2)
    one = evaluator(make_summary(train), train=train)
    for summary in (make_summary(train), None):
        scores = one.fit(summary, "convnet", protocol, 0)
        assert scores["lr"] == 0.05 and scores["val_accuracy"] > 0.7
    with pytest.warns(MultiddWarning, match="learning rate is 0.05.*give train="):
        scores = evaluator(make_summary(train)).fit(
            make_summary(train), "convnet", protocol, 0
        )
    assert scores["lr"] == 0.05 and "val_accuracy" not in scores


def test_validation_images_are_not_trained_on(train: Images) -> None:
    one = evaluator(make_summary(train), train=train)
    rest, held = one.split_rows
    assert torch.cat([rest, held]).sort().values.equal(torch.arange(90))
    assert len(held) == 9
    assert len(one._records(None, FAST).targets) == 81


# --- labels ---------------------------------------------------------------------------


def test_labels_mean_what_they_meant(train: Images) -> None:
    """A test set that lacks a class, in another order, is still read right."""
    x, y = pictures(60, 2)
    keep = [i for i, name in enumerate(y) if name != "cat"][::-1]
    scores = evaluator(make_summary(train), (x[keep], [y[i] for i in keep])).fit(
        make_summary(train), "kernel", FAST, 0
    )
    assert scores["accuracy"] > 0.8 and "accuracy/cat" not in scores


@pytest.mark.parametrize("kind", ["soft", "centered"])
def test_soft_and_centered_labels(train: Images, kind: str) -> None:
    targets = F.one_hot(torch.arange(3).repeat_interleave(2), 3).float()
    targets = targets * 0.8 + 0.2 / 3 if kind == "soft" else targets - 1 / 3
    summary = make_summary(train, soft=targets, labels=kind)
    one = evaluator(summary, train=train)
    records = one._records(summary, FAST)
    assert torch.equal(records.targets, targets)
    assert records.centered == (kind == "centered")
    hard = one._records(summary, replace(FAST, soft_labels=False))
    assert torch.equal(hard.targets.argmax(1), targets.argmax(1)) and not hard.centered
    for model in ("convnet", "kernel"):
        protocol = replace(FAST, centered_lr=0.01)
        assert one.fit(summary, model, protocol, 0)["accuracy"] > 0.8


# --- the kernel -----------------------------------------------------------------------


def test_kernel_by_hand(train: Images) -> None:
    x = torch.rand(6, 1, 5, 5, generator=at(0, "x"), dtype=torch.float64)
    y = torch.eye(3, dtype=torch.float64).repeat(2, 1) - 1 / 3
    t = torch.rand(4, 1, 5, 5, generator=at(1, "x"), dtype=torch.float64)
    settings = {"kind": "infinite", "depth": 2, "type": "nngp", "ridge": 0.1}
    flat, other = x.flatten(1), t.flatten(1)
    k = infinite_kernel(flat, depth=2, kind="nngp")
    ridge = 0.1 * k.diagonal().mean() * torch.eye(6, dtype=torch.float64)
    dual = torch.linalg.solve(k + ridge, y)
    expected = infinite_kernel(other, flat, depth=2, kind="nngp") @ dual
    torch.testing.assert_close(kernel_model(x, y, settings)(t), expected)


@pytest.mark.parametrize(
    "kernel",
    [
        {
            "kind": "random",
            "width": 16,
            "norm": "none",
            "init": "gaussian",
            "bias": 0.1,
        },
        {"kind": "trained", "width": (4, 8), "norm": "batch", "steps": 20, "models": 2},
    ],
)
def test_kernels_of_features(train: Images, kernel: dict) -> None:
    summary = make_summary(train, settings={"kernel": kernel | {"ridge": 5e-3}})
    scores = evaluator(summary).fit(summary, "kernel", FAST, 0)
    assert scores["accuracy"] > 0.6
    assert scores == evaluator(summary).fit(summary, "kernel", FAST, 0)


def test_rows_beside_take_the_kernel_of_the_summary(train: Images) -> None:
    kernel = DEFAULT | {"depth": 3}
    summary = make_summary(train, settings={"kernel": kernel})
    one = evaluator(summary, train=train)
    row = one.row("random", summary, 0)
    assert row is not None and row.card.settings["kernel"] == kernel
    assert torch.equal(row.tensors["y"].bincount(), summary.tensors["y"].bincount())
    assert '"depth": 3' in one.model_key("kernel") and one.model_key("mlp") == "mlp"
    assert one.row("whole", summary, 0) is None


def test_an_unknown_kernel() -> None:
    with pytest.raises(ValueError, match="must be one of infinite.*'linear'"):
        kernel_model(torch.zeros(2, 1, 2, 2), torch.zeros(2, 2), {"kind": "linear"})


# --- what is refused, and what is told ------------------------------------------------


def test_other_sizes_and_classes_are_refused(train: Images) -> None:
    summary, (x, y) = make_summary(train), pictures(60, 2)
    with pytest.raises(ValueError, match="of 1 x 8 x 8, the test images are 1 x"):
        evaluator(summary, (x[:, :, :6, :6], y))
    with pytest.raises(ValueError, match="the training images are"):
        evaluator(summary, train=(x[:, :, :6, :6], y))
    with pytest.raises(ValueError, match="fox"):
        evaluator(summary, (x, ["fox", *y[1:]]))
    source = summary.card.source | {"labels": ["ape", "bee", "cow"]}
    other = replace(summary, card=replace(summary.card, source=source))
    with pytest.raises(ValueError, match="different classes"):
        evaluator(summary).check(other)


def test_images_that_do_not_fit_are_normalized_as_they_are_seen(
    train: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = make_summary(train)
    one, other = evaluator(summary), evaluator(summary)
    rows = torch.arange(5)
    expected = one._evaluation_set("test", one.test, summary).inputs(rows)
    monkeypatch.setattr(type(other.prepared), "fits", lambda self, size: False)
    part = other._evaluation_set("test", other.test, summary)
    assert torch.equal(part.inputs(rows), expected)


def test_what_the_cache_goes_by(train: Images) -> None:
    summary = make_summary(train)
    one, same = evaluator(summary, train=train), evaluator(summary, train=train)
    assert one.describe() == same.describe()
    assert one.describe() != evaluator(summary).describe()
    assert one.describe() != evaluator(summary, pictures(60, 3), train=train).describe()
    one = evaluator(summary)
    assert one.size(None) == (None, None)
    assert one.size(summary) == (6, 6 * 64 * 4 + 6 * 8)


def test_mirrors_are_known_by_name_or_told(train: Images) -> None:
    summary = make_summary(train)
    source = summary.card.source | {"name": "fashion-mnist"}
    named = replace(summary, card=replace(summary.card, source=source))
    assert evaluator(named).mirror and not evaluator(summary).mirror
    assert (
        evaluator(summary, mirror=True).mirror
        and not evaluator(named, mirror=False).mirror
    )
