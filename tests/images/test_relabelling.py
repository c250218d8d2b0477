"""Labels of a teacher for finished images and for stored views, and their bytes."""

from dataclasses import replace
from typing import Any

import pytest
import torch

import multidd
from multidd import seeds
from multidd.images import relabel
from multidd.images.data.augment import parse
from multidd.images.evaluation import evaluator
from multidd.images.methods.budget import item_bytes
from multidd.images.methods.relabeling import Answers, views_of
from multidd.images.models.training import ImageTrainingSet, train
from tests.images.tasks import rng, task_of

FEW = {"teacher_steps": 3, "width": 4}

both = pytest.mark.parametrize("name", ["sre2l", "rded"])


# --- labels --------------------------------------------------------------------------


@both
@pytest.mark.parametrize(("views", "factor"), [(0, 1), (3, 1), (0, 2), (3, 2)])
def test_bytes_with_labels(small, run, name, views, factor) -> None:
    """Pixels, a class, a label of each decoded image, and those of its views."""
    summary = run(name, small, views=views, factor=factor)
    decoded = 6 * factor**2
    tensors = summary.tensors
    assert tensors["y_soft"].shape == (decoded, 3) and summary.card.labels == "soft"
    size = 6 * item_bytes((1, 8, 8)) + decoded * 3 * 4
    if views:
        assert tensors["y_views"].shape == (decoded, views, 3)
        assert tensors["y_views"].dtype == torch.float16
        assert tensors["view_seeds"].shape == (views,)
        size += decoded * views * 3 * 2 + views * 8
    assert summary.num_bytes == size
    x, y = summary.to_tensors()
    assert len(x) == decoded and torch.equal(y, tensors["y_soft"])
    for labels in (
        tensors["y_soft"],
        tensors.get("y_views", tensors["y_soft"]).float(),
    ):
        assert (labels.sum(-1) - 1).abs().max() < 2e-3
        assert labels.min() >= 0
    spent = run(name, small, views=views, factor=factor, ipc=None, budget_bytes=size)
    least = Answers(views=views).bytes(factor)(3) + item_bytes((1, 8, 8))
    assert spent.num_bytes <= size and len(spent.tensors["y"]) == size // least // 3 * 3
    assert len(spent.tensors["y"]) >= 3


@both
def test_what_is_stored_comes_back(small, run, name, tmp_path) -> None:
    summary = run(name, small, views=2)
    again = multidd.load(summary.save(tmp_path))
    assert again.digest() == summary.digest() and again.card == summary.card
    assert len(again.to_dataset()) == summary.num_images


def test_labels_are_the_teachers(small) -> None:
    """By hand: softened outputs on each image and on each view of it."""
    task = task_of(small, augment=parse("crop_rotate"))
    weights = task.weights(rng(), 2)
    summary = multidd.images.random(small, ipc=2)
    relabelled = Answers(views=5, label_temperature=2.0).give(
        summary, task, weights, seed=3
    )
    x, _ = summary.to_tensors()

    def answer(images: torch.Tensor) -> torch.Tensor:
        parts = [{n: w[k] for n, w in weights.items()} for k in range(2)]
        batch = task.synthetic({"x": images, "y": torch.zeros(6).long()})
        results = [(task.features(p, batch)[-1] / 2).softmax(1) for p in parts]
        return sum(results) / 2

    with torch.no_grad():
        torch.testing.assert_close(relabelled.tensors["y_soft"], answer(x))
        seen = set()
        for place, number in enumerate(relabelled.tensors["view_seeds"].tolist()):
            view = task.augment.draw(seeds.at(number, "view"), 6)
            seen.add(view.operation)
            labels = relabelled.tensors["y_views"][:, place]
            torch.testing.assert_close(labels, answer(view(x)).half())
    assert seen == {"crop", "rotate"}
    assert "y_soft" not in summary.tensors and summary.card.labels == "hard"
    assert torch.equal(relabelled.tensors["x"], summary.tensors["x"])


def test_views_are_shown_with_their_own_labels(small) -> None:
    """A student sees some rows of a stored view, and what the teacher said of them."""
    task = task_of(small, augment=parse("crop_rotate"))
    summary = multidd.images.random(small, ipc=2)
    relabelled = Answers(views=4).give(summary, task, task.weights(rng(), 1))
    x, _ = relabelled.to_tensors()
    show, rows, seen = views_of(relabelled, x), torch.tensor([4, 0, 3]), set()
    assert show is not None and views_of(summary, x) is None
    for step in range(40):
        images, labels = show(rows, seeds.at(step, "step"))
        expected = relabelled.tensors["y_views"][rows].float()
        (place,) = {k for k in range(4) if torch.equal(expected[:, k], labels)}
        number = int(relabelled.tensors["view_seeds"][place])
        whole = task.augment.draw(seeds.at(number, "view"), 6)(x)
        torch.testing.assert_close(images, whole[rows])
        seen.add(place)
    assert seen == {0, 1, 2, 3}


def test_a_lesson_of_views_has_no_other_augmentation() -> None:
    x, targets = torch.randn(4, 1, 8, 8, generator=rng()), torch.eye(2).repeat(2, 1)
    seen: list[Any] = []

    def show(rows: Any, drawn: Any) -> Any:
        seen.append(rows)
        return x[rows], targets[rows]

    protocol = multidd.Protocol("p", epochs=3, width=4, augment="color_cutout")
    training_set = ImageTrainingSet(
        lambda rows: pytest.fail("asked for"), targets, draw_views=show
    )
    by_views, _ = train("convnet", training_set, None, protocol, 0, (1, 8, 8))
    assert len(seen) == 3
    plain = ImageTrainingSet(lambda rows: x[rows], targets)
    bare = replace(protocol, augment="")
    alone, _ = train("convnet", plain, None, bare, 0, (1, 8, 8))
    for a, b in zip(by_views.parameters(), alone.parameters(), strict=True):
        assert torch.equal(a, b)


def test_an_evaluation_by_views_hard_and_soft_labels(make, monkeypatch) -> None:
    """The labels that a protocol asks for; both are learned from."""
    images, test = make((40, 40, 40)), make((20, 20, 20), seed=3)
    options = multidd.images.RDEDOptions(teacher_steps=40, width=8, depth=2, views=6)
    summary = multidd.images.rded(images, ipc=2, options=options)
    seen, known = [], evaluator.train

    def spy(name: str, records: ImageTrainingSet, *inputs: Any) -> Any:
        seen.append(records.draw_views is not None)
        return known(name, records, *inputs)

    monkeypatch.setattr(evaluator, "train", spy)
    protocol = multidd.Protocol("q", epochs=60, lr=0.01, augment="crop")
    for soft in (True, False):
        asked = replace(protocol, soft_labels=soft)
        report = multidd.evaluate(
            summary, test, models=["mlp"], rows=[], seeds=1, protocol=asked
        )
        assert report.accuracy("mlp") > 0.8
    assert seen == [True, False]


# --- relabel -------------------------------------------------------------------------


def test_relabelling_another_method(small, run) -> None:
    summary = run("kip", small)
    relabelled = relabel(summary, small, views=2, **FEW)
    assert relabelled.card.labels == "soft" and relabelled.card.method == "kip"
    assert torch.equal(relabelled.tensors["x"], summary.tensors["x"])
    settings = relabelled.card.settings["relabelled"]
    assert settings["views"] == 2 and settings["augment"] == "crop"
    assert relabelled.card.seconds > summary.card.seconds
    again = relabel(summary, small, views=2, **FEW)
    assert again.digest() == relabelled.digest()
    assert (
        relabel(summary, small, views=2, seed=1, **FEW).digest() != relabelled.digest()
    )
    assert "y_views" not in relabel(relabelled, small, **FEW).tensors


def test_a_good_teacher_knows_real_images(make) -> None:
    images = make((40, 40, 40))
    summary = multidd.images.random(images, ipc=3)
    options = {"teacher_steps": 60, "width": 8, "depth": 2}
    relabelled = relabel(summary, images, **options)
    assert torch.equal(relabelled.tensors["y_soft"].argmax(1), summary.tensors["y"])
    soft = relabel(summary, images, label_temperature=5.0, **options)
    sure = [one.tensors["y_soft"].amax(1).mean() for one in (relabelled, soft)]
    assert sure[0] > sure[1]


def test_relabelling_with_what_does_not_fit(small, make) -> None:
    summary = multidd.images.random(small, ipc=1)
    with pytest.raises(ValueError, match=r"of \[1, 8, 8\], the teacher .* \[3, 8, 8\]"):
        relabel(summary, make(channels=3), **FEW)
    with pytest.raises(ValueError, match="none of the 3 classes"):
        relabel(summary, (small.x, small.labels + 1), **FEW)
    with pytest.raises(ValueError, match="operations are.*'twist'"):
        relabel(summary, small, augment="twist")
