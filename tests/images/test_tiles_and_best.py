"""Tiles, whitened pixels, and the best iterate: what is stored otherwise."""

import pytest
import torch

import multidd
from multidd.engine.options import SelectBest
from multidd.images.data.preprocessing import Preprocessing
from multidd.images.methods.registry import LEARNED
from multidd.images.tasks.image_task import ImageTask
from multidd.parameterizations.tiles import assemble, disassemble

FEW = ("dm", "dc", "iid", "rfad")

learned = pytest.mark.parametrize("name", LEARNED)

# --- tiles ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", FEW)
def test_tiles(small, run, name):
    """The bytes of one image hold four of lower resolution."""
    summary = run(name, small, factor=2)
    assert summary.card.decoder == {"kind": "tiles", "factor": 2}
    assert summary.num_images == 24
    assert summary.tensors["x"].shape == (6, 1, 8, 8)
    assert summary.num_bytes == run(name, small, factor=1).num_bytes
    x, y = summary.to_tensors()
    assert torch.equal(x, disassemble(summary.tensors["x"], 2))
    labels = summary.tensors.get("y_soft", summary.tensors["y"])
    assert len(y) == 24 and torch.equal(y, labels.repeat_interleave(4, dim=0))


def test_tiles_start_from_real_images(small, run):
    """Four real images of its class, shrunken, make a stored one."""
    stored = run("dm", small, factor=2, steps=0).tensors["x"]
    wide = run("dm", small, factor=1, steps=0, ipc=8).tensors["x"]
    torch.testing.assert_close(stored, assemble(wide, 2))


def test_random_tiles_stand_beside_a_set_of_tiles(small, run):
    """Its bytes; tiles of images that are all there."""
    evaluator = multidd.images.Evaluator(small, train=small)
    for factor, shown in ((1, False), (2, True)):
        summary = run("dm", small, factor=factor, steps=0)
        evaluator.check(summary)
        assert ("random_tiles" in evaluator.rows) == shown
        assert evaluator.form(summary) == (f"{6 * factor**2} tiles" * (factor > 1))
    summary = run("dm", small, factor=2)
    evaluator.check(summary)
    row = evaluator.row("random_tiles", summary, 0)
    assert row.num_bytes == summary.num_bytes and row.num_images == 24
    assert row.card.method == "random_tiles" and row.card.decoder["factor"] == 2
    real = summary.transform(small.x)
    shrunken = assemble(real.repeat_interleave(4, 0), 2)[:, :, :4, :4].flatten(1)
    stored = row.tensors["x"].unfold(2, 4, 4).unfold(3, 4, 4)
    nearest = torch.cdist(stored.reshape(24, 16), shrunken).min(1)
    assert nearest.values.max() < 1e-2 and len(nearest.indices.unique()) == 24
    assert small.labels[nearest.indices].bincount().tolist() == [8, 8, 8]
    assert row.digest() != evaluator.row("random_tiles", summary, 1).digest()


def test_tiles_of_three(make, run):
    images = make((20, 20, 20))
    summary = run("dm", images, factor=3, ipc=2)
    assert summary.num_images == 54 and summary.to_tensors()[0].shape == (54, 1, 8, 8)


# --- whitening -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dm", "idc", "kip", "random", "kmeans"])
def test_whitening_travels(small, run, name, tmp_path):
    summary = run(name, small, zca=True)
    expected = Preprocessing.fit(small, zca=True)
    torch.testing.assert_close(
        summary.transform(small.x), expected.apply(small.pixels())
    )
    assert summary.num_bytes == run(name, small).num_bytes
    assert summary.digest() != run(name, small).digest()
    again = multidd.load(summary.save(tmp_path))
    assert again.digest() == summary.digest()
    assert torch.equal(again.transform(small.x), summary.transform(small.x))


@pytest.mark.parametrize("name", ["random", "herding", "kcenter"])
def test_whitened_images_are_still_the_real_ones(small, run, name):
    summary = run(name, small, zca=True)
    gaps = (summary.pictures()[:, None] - small.pixels()).abs().flatten(2).amax(2)
    assert gaps.min(1).values.max() < 1e-3


# --- the best iterate ----------------------------------------------------------------


@learned
def test_validation_images_are_in_no_real_batch(make, run, name, monkeypatch, tmp_path):
    """Nor in the statistics of the pixels, nor at the start."""
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path))  # no experts of other tests
    images = make((40, 40, 40))
    rest, val = images.split(0.3, 7)
    seen = []
    batch = ImageTask.batch

    def spy(self, rng):
        result = batch(self, rng)
        assert self.val is not None and len(self.val) == 36
        seen.append(self.preprocessing.invert(result.x))
        return result

    monkeypatch.setattr(ImageTask, "batch", spy)
    monkeypatch.setattr(ImageTask, "score", lambda *_: 0.5)  # a training: slow
    options = {"select_best": SelectBest(every=1), "val_share": 0.3, "augment": "none"}
    options |= {"match_space": "images"} if name == "latent" else {}
    summary = run(name, images, seed=7, steps=1, **options)
    pixels = torch.cat(seen)
    held = (pixels[:, None] - val.pixels()).abs().flatten(2).amax(2)
    assert held.min() > 1e-3
    real = (pixels[:, None] - rest.pixels()).abs().flatten(2).amax(2)
    assert real.min(1).values.max() < 1e-4
    expected = Preprocessing.fit(rest)
    torch.testing.assert_close(summary.tensors["preprocessing.mean"], expected.mean)


@pytest.mark.parametrize("name", ["dm", "m3d", "dc"])
def test_the_best_iterate_is_one_of_the_scored(make, run, name, monkeypatch):
    images = make((40, 40, 40))
    scores = iter([0.1, 0.2, 0.9, 0.3])
    shapes = []

    def score(self, draw, rng):
        shapes.append(len(draw["x"]))
        return next(scores)

    monkeypatch.setattr(ImageTask, "score", score)
    options = {"select_best": SelectBest(every=1)}
    best = run(name, images, steps=3, **options)
    assert shapes == [24 if name == "m3d" else 6] * 4
    scores = iter([0.5] * 9)
    until = run(name, images, steps=2, select_best=SelectBest(every=9))
    assert not torch.equal(best.tensors["x"], until.tensors["x"])
    scores = iter([0.1, 0.2, 0.9])
    assert torch.equal(
        best.tensors["x"], run(name, images, steps=2, **options).tensors["x"]
    )


def test_a_real_score_is_asked_for(make, run):
    summary = run(
        "dm", make((40, 40, 40)), select_best=SelectBest(every=2), val_share=30
    )
    assert summary.card.source["images"] == 90
