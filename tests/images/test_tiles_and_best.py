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
    made = run(name, small, factor=2)
    assert made.card.decoder == {"kind": "tiles", "factor": 2}
    assert made.num_images == 24
    assert made.tensors["x"].shape == (6, 1, 8, 8)
    assert made.num_bytes == run(name, small, factor=1).num_bytes
    x, y = made.to_tensors()
    assert torch.equal(x, disassemble(made.tensors["x"], 2))
    own = made.tensors.get("y_soft", made.tensors["y"])
    assert len(y) == 24 and torch.equal(y, own.repeat_interleave(4, dim=0))


def test_tiles_start_from_real_images(small, run):
    """Four real images of its class, shrunken, make a stored one."""
    stored = run("dm", small, factor=2, steps=0).tensors["x"]
    wide = run("dm", small, factor=1, steps=0, ipc=8).tensors["x"]
    torch.testing.assert_close(stored, assemble(wide, 2))


def test_tiles_of_three(make, run):
    images = make((20, 20, 20))
    made = run("dm", images, factor=3, ipc=2)
    assert made.num_images == 54 and made.to_tensors()[0].shape == (54, 1, 8, 8)


# --- whitening -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dm", "idc", "kip", "random", "kmeans"])
def test_whitening_travels(small, run, name, tmp_path):
    made = run(name, small, zca=True)
    wanted = Preprocessing.fit(small, zca=True)
    torch.testing.assert_close(made.transform(small.x), wanted.apply(small.pixels()))
    assert made.num_bytes == run(name, small).num_bytes
    assert made.digest() != run(name, small).digest()
    again = multidd.load(made.save(tmp_path))
    assert again.digest() == made.digest()
    assert torch.equal(again.transform(small.x), made.transform(small.x))


@pytest.mark.parametrize("name", ["random", "herding", "kcenter"])
def test_whitened_images_are_still_the_real_ones(small, run, name):
    made = run(name, small, zca=True)
    gaps = (made.pictures()[:, None] - small.pixels()).abs().flatten(2).amax(2)
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
        found = batch(self, rng)
        assert self.val is not None and len(self.val) == 36
        seen.append(self.preprocessing.invert(found.x))
        return found

    monkeypatch.setattr(ImageTask, "batch", spy)
    monkeypatch.setattr(ImageTask, "score", lambda *_: 0.5)  # a training: slow
    options = {"select_best": SelectBest(every=1), "val_share": 0.3, "augment": "none"}
    options |= {"match_space": "images"} if name == "latent" else {}
    made = run(name, images, seed=7, steps=1, **options)
    pixels = torch.cat(seen)
    held = (pixels[:, None] - val.pixels()).abs().flatten(2).amax(2)
    assert held.min() > 1e-3
    real = (pixels[:, None] - rest.pixels()).abs().flatten(2).amax(2)
    assert real.min(1).values.max() < 1e-4
    wanted = Preprocessing.fit(rest)
    torch.testing.assert_close(made.tensors["preprocessing.mean"], wanted.mean)


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
    made = run("dm", make((40, 40, 40)), select_best=SelectBest(every=2), val_share=30)
    assert made.card.source["images"] == 90
