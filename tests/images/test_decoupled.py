"""SRe2L and RDED: what is cropped and picked, what a run leaves, bad settings."""

from typing import Any

import pytest
import torch

from multidd.images.data.augment import random_crops, through_tile
from multidd.images.methods import decoupled
from multidd.images.methods.decoupled import best_crops
from multidd.parameterizations.tiles import assemble, disassemble
from tests.images.tasks import rng, task_of

# --- crops ---------------------------------------------------------------------------


def test_a_crop_of_the_whole_is_the_image() -> None:
    x = torch.randn(3, 2, 6, 5, generator=rng())
    result = random_crops(x, 2, (1.0, 1.0), rng())
    torch.testing.assert_close(result, x[:, None].expand(3, 2, 2, 6, 5))


def test_crops_lie_inside_and_hold_their_share() -> None:
    """Of an image whose pixels tell their place, by the ends of each crop."""
    side, share = 8, 0.25
    place = torch.arange(side).float()
    x = torch.stack([place[:, None].expand(side, side), place.expand(side, side)])
    result = random_crops(x[None], 200, (share, share), rng())[0]
    down = result[:, 0, -1, 0] - result[:, 0, 0, 0]
    # Between the centers of the first and last of 8 rows lie 7 of half a pixel each.
    inside = (result[:, 0, 0, 0] > 0) & (result[:, 0, -1, 0] < side - 1)
    torch.testing.assert_close(down[inside], torch.full_like(down[inside], 3.5))
    assert result.min() >= 0 and result.max() <= side - 1
    assert result[:, 0].min() < 0.5 and result[:, 0].max() > side - 1.5
    corners = result[:, :, 0, 0]
    assert torch.corrcoef(corners.T)[0, 1].abs() < 0.3


def test_a_crop_as_it_comes_back_from_its_tile() -> None:
    x = torch.randn(4, 3, 8, 6, generator=rng())
    expected = disassemble(assemble(x, 2), 2)
    torch.testing.assert_close(through_tile(x, 2), expected)
    assert through_tile(x, 1) is x


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crops": 0}, "crops must be 1 or more, got 0"),
        ({"crop_area": (0.0, 1.0)}, r"area must be two shares.*got \(0.0, 1.0\)"),
        ({"crop_area": (0.9, 0.5)}, "area must be two shares"),
        ({"candidates": 0}, "candidates must be 1 or more, got 0"),
        ({"teacher_steps": 0}, "teacher_steps must be 1 or more, got 0"),
        ({"views": -1}, "views must be 0 or more.*got -1"),
        ({"views": 2, "labels": "hard"}, "views must be 0.*where labels are hard"),
        ({"labels": "onehot"}, "labels must be one of hard, teacher_once,.*'onehot'"),
        ({"label_temperature": 0.0}, "label_temperature must be above 0, got 0"),
        ({"factor": 4, "ipc": 2}, "each of class|ask for at most|at most 1 of each"),
    ],
    ids=str,
)
def test_bad_settings(small, run, monkeypatch, options, message) -> None:
    """Known before the teacher is trained."""
    monkeypatch.setattr(
        "multidd.learning.states.training_step", lambda *_: pytest.fail("trained")
    )
    with pytest.raises(ValueError, match=message):
        run("rded", small, **options)
    if not {"crops", "crop_area", "candidates", "factor"} & set(options):
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
        expected = torch.stack([crop for _, crop in rows[: 4 * count]])
        torch.testing.assert_close(x[first : first + 4 * count], expected)
        first += 4 * count


def test_one_crop_of_the_whole_keeps_real_images(small, run) -> None:
    """Tiles are then real images, shrunken; other images where fewer are candidates."""
    options = {"crops": 1, "crop_area": (1.0, 1.0), "factor": 1, "labels": "hard"}
    summary = run("rded", small, **options)
    gaps = (summary.pictures()[:, None] - small.pixels()).abs().flatten(2).amax(2)
    assert gaps.min(1).values.max() < 1e-5
    rows = gaps.argmin(1)
    assert torch.equal(small.labels[rows], summary.tensors["y"]) and len(set(rows)) == 6
    assert summary.card.decoder == {} and summary.card.labels == "hard"
    assert "y_soft" not in summary.tensors
    few = run("rded", small, candidates=2, **options)
    assert few.digest() != summary.digest()


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
    known = decoupled.Recovery

    def spy(*inputs: Any) -> Any:
        seen.append(inputs[3])
        return known(*inputs)

    monkeypatch.setattr(decoupled, "Recovery", spy)
    run("sre2l", small, model=model)
    assert seen[0] == (channels or (16, 16, 16, 16, 16, 4))


def test_batch_norm_runs_too(small, run) -> None:
    summary = run("sre2l", small, norm="batch")
    assert torch.isfinite(summary.tensors["x"]).all()
