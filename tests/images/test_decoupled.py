"""SRe2L and RDED: the teacher, what it picks, what it says, and the bytes of that."""

from dataclasses import replace
from typing import Any

import pytest
import torch

import multidd
from multidd import seeds
from multidd.images import _decoupled, judge, relabel
from multidd.images._decoupled import best_crops
from multidd.images.augment import parse
from multidd.images.budget import item_bytes
from multidd.images.crops import random_crops, through_tile
from multidd.images.relabelling import Answers, views_of
from multidd.images.training import Lesson, train
from multidd.parameterizations.tiles import assemble, disassemble
from tests.images.tasks import rng, task_of

FEW = {"teacher_steps": 3, "width": 4}
BOTH = ("sre2l", "rded")

both = pytest.mark.parametrize("name", BOTH)


# --- crops ---------------------------------------------------------------------------


def test_a_crop_of_the_whole_is_the_image() -> None:
    x = torch.randn(3, 2, 6, 5, generator=rng())
    found = random_crops(x, 2, (1.0, 1.0), rng())
    torch.testing.assert_close(found, x[:, None].expand(3, 2, 2, 6, 5))


def test_crops_lie_inside_and_hold_their_share() -> None:
    """Of an image whose pixels tell their place, by the ends of each crop."""
    side, share = 8, 0.25
    place = torch.arange(side).float()
    x = torch.stack([place[:, None].expand(side, side), place.expand(side, side)])
    found = random_crops(x[None], 200, (share, share), rng())[0]
    down = found[:, 0, -1, 0] - found[:, 0, 0, 0]
    # Between the centers of the first and last of 8 rows lie 7 of half a pixel each.
    inside = (found[:, 0, 0, 0] > 0) & (found[:, 0, -1, 0] < side - 1)
    torch.testing.assert_close(down[inside], torch.full_like(down[inside], 3.5))
    assert found.min() >= 0 and found.max() <= side - 1
    assert found[:, 0].min() < 0.5 and found[:, 0].max() > side - 1.5
    corners = found[:, :, 0, 0]
    assert torch.corrcoef(corners.T)[0, 1].abs() < 0.3


def test_a_crop_as_it_comes_back_from_its_tile() -> None:
    x = torch.randn(4, 3, 8, 6, generator=rng())
    wanted = disassemble(assemble(x, 2), 2)
    torch.testing.assert_close(through_tile(x, 2), wanted)
    assert through_tile(x, 1) is x


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crops": 0}, "crops must be 1 or more, got 0"),
        ({"scale": (0.0, 1.0)}, r"scale must be two shares.*got \(0.0, 1.0\)"),
        ({"scale": (0.9, 0.5)}, "scale must be two shares"),
        ({"candidates": 0}, "candidates must be 1 or more, got 0"),
        ({"teacher_steps": 0}, "teacher_steps must be 1 or more, got 0"),
        ({"views": -1}, "views must be 0 or more.*got -1"),
        ({"views": 2, "labels": "hard"}, "views must be 0.*where labels are hard"),
        ({"labels": "onehot"}, "labels must be one of hard, teacher_once,.*'onehot'"),
        ({"temperature": 0.0}, "temperature must be above 0, got 0"),
        ({"factor": 4, "ipc": 2}, "each of class|ask for at most|at most 1 of each"),
    ],
    ids=str,
)
def test_bad_settings(small, run, monkeypatch, options, message) -> None:
    """Known before the teacher is trained."""
    monkeypatch.setattr(
        "multidd.learning.pool.learn", lambda *given: pytest.fail("trained")
    )
    with pytest.raises(ValueError, match=message):
        run("rded", small, **options)
    if not {"crops", "scale", "candidates", "factor"} & set(options):
        with pytest.raises(ValueError, match=message):
            run("sre2l", small, **options)


# --- RDED ----------------------------------------------------------------------------


def test_the_best_crops_by_hand(small) -> None:
    """Every candidate's least loss, sorted within its class."""
    task, counts = task_of(small), [1, 2, 1]
    weights = task.weights(rng(), 2)
    x, y = best_crops(task, weights, counts, 2, 100, 3, (0.5, 1.0), rng(7))
    assert y.tolist() == [0] * 4 + [1] * 8 + [2] * 4 and len(x) == 16
    again, first = rng(7), 0
    for label, count in enumerate(counts):
        members = (small.labels == label).nonzero().flatten()
        order = torch.randperm(len(members), generator=again)
        real = task.preprocessing.apply(small.pixels(members[order]))
        cut = random_crops(real, 3, (0.5, 1.0), again)
        rows = []
        for crops in cut:
            costs = []
            for crop in crops:
                shown = through_tile(crop[None], 2)
                draw = {"x": shown, "y": torch.tensor([label])}
                batch = task.synthetic(draw)
                parts = [{n: w[k] for n, w in weights.items()} for k in range(2)]
                costs.append(sum(float(task.losses(p, batch)) for p in parts) / 2)
            least = min(range(3), key=costs.__getitem__)
            rows.append((costs[least], crops[least]))
        rows.sort(key=lambda row: row[0])
        wanted = torch.stack([crop for _, crop in rows[: 4 * count]])
        torch.testing.assert_close(x[first : first + 4 * count], wanted)
        first += 4 * count


def test_one_crop_of_the_whole_keeps_real_images(small, run) -> None:
    """Tiles are then real images, shrunken; other images where fewer are candidates."""
    options = {"crops": 1, "scale": (1.0, 1.0), "factor": 1, "labels": "hard"}
    made = run("rded", small, **options)
    gaps = (made.pictures()[:, None] - small.pixels()).abs().flatten(2).amax(2)
    assert gaps.min(1).values.max() < 1e-5
    rows = gaps.argmin(1)
    assert torch.equal(small.labels[rows], made.tensors["y"]) and len(set(rows)) == 6
    assert made.card.decoder == {} and made.card.labels == "hard"
    assert "y_soft" not in made.tensors
    few = run("rded", small, candidates=2, **options)
    assert few.digest() != made.digest()


# --- labels --------------------------------------------------------------------------


@both
@pytest.mark.parametrize(("views", "factor"), [(0, 1), (3, 1), (0, 2), (3, 2)])
def test_bytes_with_labels(small, run, name, views, factor) -> None:
    """Pixels, a class, a label of each decoded image, and those of its views."""
    made = run(name, small, views=views, factor=factor)
    decoded = 6 * factor**2
    own = made.tensors
    assert own["y_soft"].shape == (decoded, 3) and made.card.labels == "soft"
    size = 6 * item_bytes((1, 8, 8)) + decoded * 3 * 4
    if views:
        assert own["y_views"].shape == (decoded, views, 3)
        assert own["y_views"].dtype == torch.float16
        assert own["view_seeds"].shape == (views,)
        size += decoded * views * 3 * 2 + views * 8
    assert made.num_bytes == size
    x, y = made.to_tensors()
    assert len(x) == decoded and torch.equal(y, own["y_soft"])
    for labels in (own["y_soft"], own.get("y_views", own["y_soft"]).float()):
        assert (labels.sum(-1) - 1).abs().max() < 2e-3
        assert labels.min() >= 0
    spent = run(name, small, views=views, factor=factor, ipc=None, budget_bytes=size)
    least = Answers(views=views).bytes(factor)(3) + item_bytes((1, 8, 8))
    assert spent.num_bytes <= size and len(spent.tensors["y"]) == size // least // 3 * 3
    assert len(spent.tensors["y"]) >= 3


@both
def test_what_is_stored_comes_back(small, run, name, tmp_path) -> None:
    made = run(name, small, views=2)
    again = multidd.load(made.save(tmp_path))
    assert again.digest() == made.digest() and again.card == made.card
    assert len(again.to_dataset()) == made.num_images


def test_labels_are_the_teachers(small) -> None:
    """By hand: softened outputs on each image and on each view of it."""
    task = task_of(small, augment=parse("crop_rotate"))
    weights = task.weights(rng(), 2)
    made = multidd.images.random(small, ipc=2)
    given = Answers(views=5, temperature=2.0).give(made, task, weights, seed=3)
    x, _ = made.to_tensors()

    def answer(images: torch.Tensor) -> torch.Tensor:
        parts = [{n: w[k] for n, w in weights.items()} for k in range(2)]
        batch = task.synthetic({"x": images, "y": torch.zeros(6).long()})
        found = [(task.features(p, batch)[-1] / 2).softmax(1) for p in parts]
        return sum(found) / 2

    with torch.no_grad():
        torch.testing.assert_close(given.tensors["y_soft"], answer(x))
        seen = set()
        for place, number in enumerate(given.tensors["view_seeds"].tolist()):
            view = task.augment.draw(seeds.at(number, "view"), 6)
            seen.add(view.operation)
            labels = given.tensors["y_views"][:, place]
            torch.testing.assert_close(labels, answer(view(x)).half())
    assert seen == {"crop", "rotate"}
    assert "y_soft" not in made.tensors and made.card.labels == "hard"
    assert torch.equal(given.tensors["x"], made.tensors["x"])


def test_views_are_shown_with_their_own_labels(small) -> None:
    """A student sees some rows of a stored view, and what the teacher said of them."""
    task = task_of(small, augment=parse("crop_rotate"))
    made = multidd.images.random(small, ipc=2)
    given = Answers(views=4).give(made, task, task.weights(rng(), 1))
    x, _ = given.to_tensors()
    show, rows, seen = views_of(given, x), torch.tensor([4, 0, 3]), set()
    assert show is not None and views_of(made, x) is None
    for step in range(40):
        images, labels = show(rows, seeds.at(step, "step"))
        wanted = given.tensors["y_views"][rows].float()
        (place,) = {k for k in range(4) if torch.equal(wanted[:, k], labels)}
        number = int(given.tensors["view_seeds"][place])
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
    given = Lesson(lambda rows: pytest.fail("asked for"), targets, shown=show)
    by_views, _ = train("convnet", given, None, protocol, 0, (1, 8, 8))
    assert len(seen) == 3
    plain = Lesson(lambda rows: x[rows], targets)
    bare = replace(protocol, augment="")
    alone, _ = train("convnet", plain, None, bare, 0, (1, 8, 8))
    for a, b in zip(by_views.parameters(), alone.parameters(), strict=True):
        assert torch.equal(a, b)


def test_an_evaluation_by_views_hard_and_soft_labels(make, monkeypatch) -> None:
    """The labels that a protocol asks for; both are learned from."""
    images, test = make((40, 40, 40)), make((20, 20, 20), seed=3)
    options = {"teacher_steps": 40, "width": 8, "depth": 2}
    made = multidd.images.rded(images, ipc=2, views=6, **options)
    seen, known = [], judge.train

    def spy(name: str, lesson: Lesson, *given: Any) -> Any:
        seen.append(lesson.shown is not None)
        return known(name, lesson, *given)

    monkeypatch.setattr(judge, "train", spy)
    protocol = multidd.Protocol("q", epochs=60, lr=0.01, augment="crop")
    for soft in (True, False):
        asked = replace(protocol, soft_labels=soft)
        report = multidd.evaluate(
            made, test, models=["mlp"], rows=[], seeds=1, protocol=asked
        )
        assert report.accuracy("mlp") > 0.8
    assert seen == [True, False]


# --- relabel -------------------------------------------------------------------------


def test_relabelling_another_method(small, run) -> None:
    made = run("kip", small)
    given = relabel(made, small, views=2, **FEW)
    assert given.card.labels == "soft" and given.card.method == "kip"
    assert torch.equal(given.tensors["x"], made.tensors["x"])
    told = given.card.settings["relabelled"]
    assert told["views"] == 2 and told["augment"] == "crop"
    assert given.card.seconds > made.card.seconds
    again = relabel(made, small, views=2, **FEW)
    assert again.digest() == given.digest()
    assert relabel(made, small, views=2, seed=1, **FEW).digest() != given.digest()
    assert "y_views" not in relabel(given, small, **FEW).tensors


def test_a_good_teacher_knows_real_images(make) -> None:
    images = make((40, 40, 40))
    made = multidd.images.random(images, ipc=3)
    options = {"teacher_steps": 60, "width": 8, "depth": 2}
    given = relabel(made, images, **options)
    assert torch.equal(given.tensors["y_soft"].argmax(1), made.tensors["y"])
    soft = relabel(made, images, temperature=5.0, **options)
    sure = [one.tensors["y_soft"].amax(1).mean() for one in (given, soft)]
    assert sure[0] > sure[1]


def test_relabelling_with_what_does_not_fit(small, make) -> None:
    made = multidd.images.random(small, ipc=1)
    with pytest.raises(ValueError, match=r"of \[1, 8, 8\], the teacher .* \[3, 8, 8\]"):
        relabel(made, make(channels=3), **FEW)
    with pytest.raises(ValueError, match="none of the 3 classes"):
        relabel(made, (small.x, small.labels + 1), **FEW)
    with pytest.raises(ValueError, match="operations are.*'twist'"):
        relabel(made, small, augment="twist")


# --- SRe2L ---------------------------------------------------------------------------


def test_a_finished_run_is_labelled_the_same(small, run, tmp_path) -> None:
    """Its teacher is trained again, to the same bits, with every sampler."""
    for sampler in ("class", "representative"):
        options = {"sampler": sampler, "checkpoint": str(tmp_path / sampler)}
        first, again = (run("sre2l", small, **options) for _ in range(2))
        assert first.digest() == again.digest()
        assert first.card.history == again.card.history


def test_callbacks_are_called(small, run) -> None:
    seen = []

    class Note:
        def on_start(self, run: Any) -> None:
            seen.append("start")

        def on_step(self, run: Any) -> None:
            seen.append(run.step)

        def on_end(self, run: Any) -> None:
            seen.append("end")

    run("sre2l", small, callbacks=[Note()])
    assert seen == ["start", 1, 2, 3, "end"]


@pytest.mark.parametrize(
    ("model", "channels"), [("convnet", (4, 4, 4)), ("mlp", (4, 4)), ("vit", None)]
)
def test_statistics_are_of_channels(small, run, monkeypatch, model, channels) -> None:
    """Maps have channels; other layers as many as they have entries."""
    seen = []
    known = _decoupled.Recovery

    def spy(*given: Any) -> Any:
        seen.append(given[3])
        return known(*given)

    monkeypatch.setattr(_decoupled, "Recovery", spy)
    run("sre2l", small, model=model)
    assert seen[0] == (channels or (16, 16, 16, 16, 16, 4))


def test_batch_norm_runs_too(small, run) -> None:
    made = run("sre2l", small, norm="batch")
    assert torch.isfinite(made.tensors["x"]).all()
