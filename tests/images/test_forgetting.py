"""Forgetting: events of known courses, and the images with the most of them."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import multidd
from multidd.images import ImageTask
from multidd.images.methods import selection
from multidd.images.methods import selection as events

# Right (1) or wrong (0) after each of four epochs, and the events in it.
COURSES = [("1111", 0), ("1010", 2), ("0110", 1), ("0001", 0), ("0000", 4), ("0101", 1)]


def test_events_of_known_courses(monkeypatch):
    y = torch.tensor([0, 1, 0, 1, 0, 1])
    task = ImageTask.of((torch.zeros(6, 8, 8), y))
    right = torch.tensor([[int(c) for c in course] for course, _ in COURSES]).bool().T
    answers = iter(torch.where(right, y, 1 - y))

    def features(self, weights, batch, last):
        return [torch.eye(2)[next(answers)]]

    monkeypatch.setattr(events, "training_step", lambda task, w, m, *_: (w, m))
    monkeypatch.setattr(ImageTask, "features", features)
    result = events.forgetting_counts(task, 4, 4, 0)
    assert result.tolist() == [count for _, count in COURSES]


def test_the_most_forgotten_are_chosen(small, run, monkeypatch):
    scores = torch.rand(60, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(selection, "forgetting_counts", lambda *_: scores)
    summary = run("forgetting", small, ipc=3)
    for label, rows in enumerate(picked(summary, small).split(3)):
        class_scores = scores.masked_fill(small.labels != label, -1)
        assert sorted(rows.tolist()) == sorted(class_scores.topk(3).indices.tolist())


def test_wrong_labels_are_the_ones_forgotten(fashion):
    """An image has one event at most in two epochs, or, never learned, as many as
    there are epochs."""
    some = fashion.train.split(500)[1]
    wrong = torch.arange(500) % 10 == 0
    labels = torch.where(wrong, (some.labels + 1) % 10, some.labels)
    task = ImageTask.of(replace(some, labels=labels))
    result = events.forgetting_counts(task, 4, 8, 0)
    assert set(result.tolist()) <= {0, 1, 2, 4}
    assert result[wrong].mean() > 3 and result[~wrong].mean() < 1.5
    assert torch.equal(result, events.forgetting_counts(task, 4, 8, 0))


@pytest.mark.parametrize("options", [{"epochs": 0}, {"width": 0}])
def test_forgetting_without_a_network_to_train(small, run, options):
    with pytest.raises(ValueError, match="epochs and width must be 1 or more"):
        run("forgetting", small, **options)


def test_training_is_part_of_the_seconds(small, monkeypatch):
    assert (
        multidd.images.forgetting(
            small, ipc=1, options=multidd.images.ForgettingOptions(epochs=2)
        ).card.seconds
        > 0
    )
    clock = iter([1.0, 8.0])
    fake = SimpleNamespace(perf_counter=lambda: next(clock))
    monkeypatch.setattr(selection, "time", fake)
    summary = multidd.images.forgetting(
        small, ipc=1, options=multidd.images.ForgettingOptions(epochs=1, width=4)
    )
    assert 7 <= summary.card.seconds < 8


def picked(summary, images):
    """Which real image each chosen one is."""
    shown = summary.transform(images.x)
    return torch.cdist(summary.tensors["x"].flatten(1), shown.flatten(1)).argmin(1)
