"""`distill` without a method: candidates on small images, labels, budgets, resuming."""

import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch

import multidd
from multidd.errors import RunInterrupted
from multidd.evaluation import tournament
from multidd.images import DistillOptions, distill, relabel
from multidd.images.data.images import Images
from multidd.images.data.preprocessing import Preprocessing
from multidd.images.methods import candidates, composition, registry, relabeling
from multidd.images.methods.judging import plain_judge, split_for_judging
from multidd.images.methods.selection import random_tiles
from multidd.images.methods.stored_forms import (
    StoredForm,
    first_images,
    forms_of,
    within,
)
from multidd.images.tasks.image_task import ImageTask
from multidd.learning.states import Frozen

SHORT: dict[str, Any] = {
    "steps": 3,
    "width": 4,
    "batch_size": 8,
    "teacher_steps": 3,
    "updates": 3,
}
NAMES = ["ridge", "halfway", "dm", "medoids"]
SHORT |= {"candidates": tuple(NAMES)}


def run(images: Any, ipc: int | None = 2, **changes: Any) -> Any:
    return distill(images, ipc, **SHORT | {"progress": False} | changes)


@pytest.fixture(scope="module")
def played(make: Callable[..., Images]) -> Any:
    return run(make())


def test_what_scored_best_is_returned(played, make) -> None:
    """And the card tells what each candidate scored and took."""
    settings = played.card.settings["tournament"]
    standings = settings["standings"]
    assert [one["name"] for one in standings] == NAMES
    assert set(DistillOptions().candidates) == set(NAMES) - {"dm"}
    for one in standings:
        assert list(one["scores"]) == ["cnn", "cnn_norm", "mlp", "logistic"]
        assert one["mean"] == pytest.approx(sum(one["scores"].values()) / 4, abs=1e-5)
        assert one["seconds"] > 0
    best = max(standings, key=lambda one: one["mean"])["name"]
    methods = dict(zip(NAMES, ("rfad", "rfad", "dm", "medoids"), strict=True))
    assert played.card.method == methods[best]
    assert settings["held_out"] == 12 and settings["teacher_seconds"] > 0
    assert settings["label_temperature"] in (1.0, 2.0, 4.0)
    assert set(played.card.stages) == {*NAMES, *(f"judging {name}" for name in NAMES)}
    alone = run(make(), candidates=(best,), val_share=0.2)
    assert alone.card.settings["tournament"]["held_out"] == 0


def test_the_seed_decides(played, make) -> None:
    assert run(make()).digest() == played.digest()
    assert run(make(), seed=1).digest() != played.digest()


@pytest.mark.parametrize("name", NAMES)
def test_labels_of_each_candidate(make, name) -> None:
    images = make()
    soft = run(images, candidates=(name,))
    y = soft.tensors["y_soft"]
    assert soft.card.labels == "soft" and y.shape == (6, 3) and y.min() >= 0
    torch.testing.assert_close(y.sum(1), torch.ones(6))
    hard = run(images, candidates=(name,), labels="hard")
    assert hard.card.labels == "hard" and "y_soft" not in hard.tensors
    taught = run(images, candidates=(name,), labels="teacher")
    assert torch.equal(taught.tensors["x"], soft.tensors["x"])
    relabelled = taught.card.settings["relabelled"]
    assert relabelled["temperature"] == 2.0  # nobody judges one candidate


def test_halfway_is_the_middle_between_the_start_and_the_end(make) -> None:
    images = make()
    middle, end, start = (
        run(images, candidates=(name,), seed=2, **changes).to_tensors()
        for name, changes in (
            ("halfway", {}),
            ("ridge", {}),
            ("ridge", {"steps": 0}),
        )
    )
    for between, last, first in zip(middle, end, start, strict=True):
        torch.testing.assert_close(between, (last + first) / 2)
        assert not torch.equal(between, first)


BUDGET = 3 * 264 + 2
"""Bytes of one image of each class as it is."""


@pytest.mark.parametrize(
    ("name", "labels"), [("ridge", None), ("ridge", "hard"), ("dm", None)]
)
def test_bytes_are_within_the_budget(make, name, labels) -> None:
    """In few bits, so that there are more images than there would be."""
    one = {"candidates": (name,), "labels": labels}
    small = run(make(), None, budget_bytes=BUDGET, **one)
    assert small.packing is not None and small.num_bytes <= BUDGET
    assert small.packing.bits == 3  # the first form, as nobody judges
    assert small.num_images >= 9


def test_forms_are_judged_where_the_budget_is_in_bytes(make) -> None:
    """Few bits and tiles; what learns takes the bits of the best whole medoids."""
    images = make((40, 40, 40), side=16)
    several = ["medoids in 3 bits", "medoids in 4 bits", "medoids in 2 bits"]
    several += ["tiles in 4 bits", "tiles in 3 bits"]
    assert [form.name for form in forms_of(None, images)] == several
    budget, few = 1200, {"bits": 3, "candidates": ("ridge", "medoids")}
    small = run(images, None, budget_bytes=budget, **few)
    standings = small.card.settings["tournament"]["standings"]
    forms = ["medoids in 3 bits", "tiles in 3 bits"]
    assert [one["name"] for one in standings] == [*forms, "ridge"]
    assert all(one["mean"] is not None for one in standings)
    assert small.packing is not None and 0.6 * budget < small.num_bytes <= budget
    best = max(standings, key=lambda one: one["mean"])["name"]
    assert (small.card.decoder.get("factor") == 2) == best.startswith("tiles")


@pytest.mark.parametrize("factor", [1, 2])
def test_tiles_and_images_lose_the_last_of_each_class(make, factor) -> None:
    images = make((40, 40, 40), side=16)
    task = ImageTask(images, Preprocessing.fit(images))
    summary = random_tiles(task, [6, 4, 5], factor, 0)
    answers = torch.rand(15 * factor**2, 3, generator=torch.Generator().manual_seed(0))
    tensors = {**summary.tensors, "y_soft": answers}
    summary = replace(
        summary, tensors=tensors, card=replace(summary.card, labels="soft")
    )
    less = first_images(summary, [2, 4, 1])
    rows = [0, 1, 6, 7, 8, 9, 10]
    assert torch.equal(less.tensors["x"], summary.tensors["x"][rows])
    parts = answers.reshape(15, factor**2, 3)[rows].reshape(-1, 3)
    assert torch.equal(less.tensors["y_soft"], parts)
    budget = summary.compress(3).num_bytes
    small = within(summary, StoredForm(3, factor), budget * 2 // 3)
    assert 0.3 * budget < small.num_bytes <= budget * 2 // 3
    assert small.tensors["y"].unique().tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="one image of each class takes"):
        within(summary, StoredForm(3, factor), 50)


def test_a_run_that_was_stopped_ends_with_the_same_bits(make, played, tmp_path) -> None:
    class Stop:
        def on_start(self, run: Any) -> None: ...

        def on_step(self, run: Any) -> None:
            if run.method == "dm" and run.step == 2:
                signal.raise_signal(signal.SIGTERM)

        def on_end(self, run: Any) -> None: ...

    with pytest.raises(RunInterrupted):
        run(make(), checkpoint=tmp_path, callbacks=[Stop()])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dm", "ridge"]
    resumed = run(make(), checkpoint=tmp_path)
    assert resumed.digest() == played.digest()
    assert resumed.card.history == played.card.history


def test_it_says_how_long_it_will_take(make, monkeypatch) -> None:
    events: list[dict[str, Any]] = []

    def heard(text: str, shown: bool | None = None, **facts: Any) -> None:
        events.append(facts)

    for module in (candidates, composition, tournament):
        monkeypatch.setattr(module, "announce", heard)
    run(make(), 1)
    estimate = events[0]
    assert estimate["event"] == "estimate"
    assert set(estimate["parts"]) == {*NAMES, "teacher", "judging"}
    assert estimate["seconds"] == pytest.approx(sum(estimate["parts"].values()), abs=1)
    names = [event["name"] for event in events if event["event"] == "candidate"]
    assert names == NAMES and events[1]["event"] == "teacher"


def test_a_time_limit_leaves_a_result(make) -> None:
    summary = run(make(), timeout=0.0)
    standings = summary.card.settings["tournament"]["standings"]
    assert summary.card.method == "rfad" and standings[1]["mean"] is None


def test_color_and_many_sizes(make) -> None:
    assert run(make(channels=3), 1).tensors["x"].shape == (3, 3, 8, 8)
    assert run(make(side=12), 1).tensors["x"].shape == (3, 1, 12, 12)


def test_classes_with_few_images(make) -> None:
    """Where nothing can be held out the first candidate is taken, unjudged."""
    summary = run(make((6, 2, 2)), 2)
    assert summary.card.method == "rfad"
    assert summary.card.settings["tournament"]["held_out"] == 0
    assert summary.tensors["y"].tolist() == [0, 0, 1, 1, 2, 2]
    uneven = run(make((24, 6, 3)), 2, class_balance="proportional")
    assert uneven.tensors["y"].bincount().tolist() == [4, 1, 1]


def test_held_out_images_are_no_training_images(make) -> None:
    images = make()
    rest, held_out = split_for_judging(images, 0.2, (2, 2, 2), seed=0)
    assert held_out is not None and len(rest) + len(held_out) == len(images)
    scores = plain_judge(held_out, updates=60, seed=0)(
        multidd.images.random(rest, ipc=4)
    )
    assert min(scores.values()) > 0.6  # corners are told apart


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"candidates": ("magic",)}, "candidates must name some of .*; got 'magic'"),
        ({"candidates": ()}, "got none"),
        ({"teacher_steps": 0}, "teacher_steps must be 1 or more"),
        ({"ipc": 99}, "ask for at most 16 of each"),
        ({"labels": "soft"}, "labels must be 'hard', 'teacher' or None; got 'soft'"),
    ],
)
def test_refusals(make, changes, message) -> None:
    ipc = changes.pop("ipc", 2)
    with pytest.raises(ValueError, match=message):
        run(make(), ipc, **changes)
    with pytest.raises(TypeError, match="has no setting lerning_rate"):
        run(make(), lerning_rate=1)


def test_a_teacher_labels_the_images_of_any_method(make, monkeypatch) -> None:
    judges = partial(plain_judge, updates=3)
    monkeypatch.setattr(relabeling, "plain_judge", judges)
    short_relabel = partial(relabeling.relabel, teacher_steps=3, width=4)
    monkeypatch.setattr(registry, "relabel", short_relabel)
    images, short = make(), {"steps": 2, "width": 4, "batch_size": 6}
    plain = distill(images, 2, method="dm", **short)
    taught = distill(images, 2, method="dm", labels="teacher", **short)
    assert torch.equal(plain.tensors["x"], taught.tensors["x"])
    assert taught.card.settings["relabelled"]["temperature"] in (1.0, 2.0, 4.0)
    assert taught.card.seconds > plain.card.seconds
    hard = distill(images, 2, method="rfad", labels="hard", **short)
    assert hard.card.labels == "hard"


def test_a_teacher_is_trained_once_and_kept(make, monkeypatch) -> None:
    trainings, init = [], Frozen.init

    def counted(self: Frozen, task: Any, rng: torch.Generator) -> Any:
        trainings.append(self.steps)
        return init(self, task, rng)

    monkeypatch.setattr(Frozen, "init", counted)
    images, few = make(), {"teacher_steps": 4, "width": 4}
    first, second = (multidd.images.random(images, ipc=n) for n in (1, 2))
    labelled = [relabel(one, images, **few) for one in (first, second, first)]
    assert trainings == [4]
    assert labelled[0].digest() == labelled[2].digest()
    other = relabel(first, images, **few, seed=8)
    assert trainings == [4, 4] and other.digest() != labelled[0].digest()


@pytest.mark.parametrize("bits", [3, 4])
@pytest.mark.parametrize("options", [{"method": "random"}, {"method": "dm"}, {}])
def test_few_bits_hold_more_images_in_as_many_bytes(make, bits, options) -> None:
    """Learned so by a loop, rounded after otherwise; never more than the budget."""
    budget = 3 * 264 + 2  # of one image of each class
    quick = {"steps": 2, "width": 4} if options.get("method") == "dm" else {}
    short = options | quick or SHORT | {"candidates": ("medoids",)}
    whole = distill(make(), 1, **short) if not options else None
    whole = whole or distill(make(), budget_bytes=budget, **short)
    small = distill(make(), budget_bytes=budget, bits=bits, **short)
    assert small.packing is not None and small.packing.bits == bits
    assert small.num_bytes <= budget
    assert small.num_images >= 2 * 3 == 2 * whole.num_images
    with pytest.raises(ValueError, match="fewer images of 4 bits .*smallest that fits"):
        distill(make(), budget_bytes=250, bits=4, **short)
