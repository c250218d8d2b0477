"""Summaries of codes, bases and decoders: bytes, files, pictures, training, pruning."""

from dataclasses import replace

import pytest
import torch
from matplotlib.figure import Figure

import multidd
from multidd import seeds
from multidd.engine.options import RunSettings
from multidd.engine.recipe import call
from multidd.images.methods import pruning
from multidd.images.methods.budget import item_bytes
from multidd.images.methods.options import ImageOptions
from multidd.images.methods.setup import learn
from multidd.images.models.autoencoder import Autoencoder
from multidd.images.models.backbone import Backbone
from multidd.images.tasks.image_task import ImageTask
from multidd.images.tasks.latent_task import LatentTask
from multidd.learning.optim import Adam
from multidd.objectives import DistributionMatching
from multidd.parameterizations import Bases, decoding

QUICK = multidd.Protocol("q", epochs=4, lr=0.01, width=8)
CODED = {
    "kfs": "decoders",
    "haba": "hallucinators",
    "gtn": "generator",
    "bases": "bases",
}


def of_bases(images, ipc=2, count=4, steps=2, budget_bytes=None, **options):
    """A recipe around bases and codes."""
    return learn(
        "bases",
        images,
        ipc,
        budget_bytes,
        ImageOptions(width=4, batch_size=6, **options),
        DistributionMatching(),
        steps=steps,
        optimizer={"codes": Adam(lr=0.05), "bases": Adam(lr=0.01)},
        run=RunSettings(progress=False),
        recipe={},
        around=lambda base: Bases(base, count, 2),
    )


@pytest.fixture(params=CODED)
def name(request):
    return request.param


@pytest.fixture
def summary(name, small, run):
    return of_bases(small) if name == "bases" else run(name, small)


# --- what is stored ------------------------------------------------------------------


def test_bytes_and_decoding(summary, name):
    """All tensors but the preprocessing count, and fit into those of two images."""
    part = {
        n: t for n, t in summary.tensors.items() if not n.startswith("preprocessing")
    }
    assert "x" not in part and any(n.split("/")[0] == CODED[name] for n in part)
    assert summary.num_bytes == sum(t.numel() * t.element_size() for t in part.values())
    assert summary.num_bytes <= 6 * item_bytes((1, 8, 8))
    x, y = summary.to_tensors()
    assert x.shape == (summary.num_images, 1, 8, 8) and len(y) == summary.num_images
    assert x.dtype == torch.float32 and bool(torch.isfinite(x).all())
    each = decoding.records_per_item(summary.card.decoder)
    assert summary.num_images == each * len(summary.tensors["y"])
    assert torch.equal(y, summary.tensors["y"].repeat_interleave(each))
    noun = decoding.item_name(summary.card.decoder)
    text = f"{noun}={len(summary.tensors['y'])}, decoded to {summary.num_images}"
    assert text in repr(summary)
    assert len(summary.to_dataset()) == summary.num_images


def test_file_picture_and_training(summary, small, tmp_path):
    again = multidd.load(summary.save(tmp_path))
    assert again.digest() == summary.digest() and again.card == summary.card
    assert all(
        torch.equal(a, b)
        for a, b in zip(again.to_tensors(), summary.to_tensors(), strict=True)
    )
    assert isinstance(again.plot(), Figure)
    report = multidd.evaluate(
        again, small, train=small, models=["convnet"], seeds=1, protocol=QUICK
    )
    rows = {row.name: row for row in report.rows}
    # The rows beside take as many bytes, not as many codes.
    fitting = summary.num_bytes // item_bytes((1, 8, 8))
    assert rows["random"].size == max(3, fitting)


def test_codes_by_the_bytes(small):
    """4 bases of 4 x 4 take 256 bytes, each code 24."""
    size = 6 * item_bytes((1, 8, 8))
    assert (size - 256) // 24 // 3 == 18
    summary = of_bases(small)
    counts = summary.tensors["y"].bincount().tolist()
    assert counts == [18, 18, 16]  # no more than there are real images
    assert summary.num_bytes == 256 + 52 * 24
    with pytest.raises(ValueError, match="327 bytes.*fits is 328 bytes"):
        of_bases(small, None, budget_bytes=327)
    assert of_bases(small, None, budget_bytes=328).num_bytes == 328
    other_summary = of_bases(
        small, None, budget_bytes=4096, class_balance="proportional"
    )
    assert other_summary.num_bytes <= 4096


def test_a_budget_too_small_for_one_decoder(small, run):
    with pytest.raises(ValueError, match="too few.*smallest budget that fits is"):
        run("kfs", small, ipc=1, hidden=16)
    with pytest.raises(ValueError, match="factor=1"):
        run("kfs", small, factor=2)


def test_soft_labels_of_codes(small):
    summary = of_bases(small, 3, labels="onehot")
    assert summary.tensors["y_soft"].shape == (len(summary.tensors["y"]), 3)
    assert summary.to_tensors()[1].shape == (summary.num_images, 3)
    assert summary.num_bytes <= 9 * item_bytes((1, 8, 8), soft=3)


# --- networks of the user's own ------------------------------------------------------


def shift(z):
    return 2 * z - 1


def test_a_generator_of_ones_own_is_materialized(small, run):
    options = {"generator": shift, "latent_shape": (1, 8, 8)}
    summary = run("itgan", small, **options)
    assert summary.card.decoder == {
        "kind": "materialized",
        "by": "Generator",
        "network": "shift",
    }
    assert summary.tensors["x"].shape == (6, 1, 8, 8) and summary.num_images == 6
    with pytest.raises(ValueError, match=r"\[1, 4, 4\].*\[1, 8, 8\]"):
        run("itgan", small, generator=shift, latent_shape=(1, 4, 4))
    for lacking in ({"generator": shift}, {"latent_shape": (3,)}):
        with pytest.raises(ValueError, match="together"):
            run("itgan", small, **lacking)


@pytest.mark.parametrize("match", ["latents", "images"])
def test_latents_of_a_pair_of_ones_own(small, run, match):
    """The identity as encoder and decoder: images come back where nothing moves."""
    options = {"encoder": torch.asinh, "decoder": torch.sinh, "match_space": match}
    summary = run("latent", small, steps=0, **options)
    plain = run("random", small)
    assert torch.equal(summary.preprocessing.mean, plain.preprocessing.mean)
    assert summary.card.decoder["kind"] == "materialized"
    assert summary.card.source == plain.card.source
    task = ImageTask.of(small)
    real = task.normalized(torch.arange(60))
    gaps = (summary.to_tensors()[0][:, None] - real).abs().flatten(2).amax(2)
    assert float(gaps.min(1).values.max()) < 1e-4
    moved = run("latent", small, **options)
    assert not torch.equal(moved.to_tensors()[0], summary.to_tensors()[0])


def test_encoders_that_do_not_fit(small, run):
    for pair, message in (
        ({"encoder": torch.sinh}, "together"),
        ({"match_space": "pixels"}, "'latents' or 'images'"),
        ({"encoder": lambda x: x.flatten(1), "decoder": shift}, "one of each image"),
        ({"encoder": shift, "decoder": lambda z: z[:, :, :4]}, r"\[1, 4, 8\].*8, 8"),
    ):
        with pytest.raises(ValueError, match=message):
            run("latent", small, **pair)


def halved(x):
    return x[:, :, ::2, ::2]


def doubled(z):
    return z.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def test_the_task_of_latents(small):
    task = LatentTask.around(ImageTask.of(small), halved, doubled)
    assert task.images.shape == (1, 4, 4) and task.backbone.depth == 2
    x = task.normalized(torch.arange(60))
    assert abs(float(x.mean())) < 1e-5 and abs(float(x.std()) - 1) < 0.01
    validated = LatentTask.around(
        ImageTask.of(small, val=small, backbone=Backbone(width=32)), halved, doubled
    )
    draw = {"x": validated.normalized(torch.arange(15)), "y": small.labels[:15]}
    right = validated.score(draw, seeds.at(0, "score"))
    wrong = validated.score(draw | {"y": (draw["y"] + 1) % 3}, seeds.at(0, "score"))
    assert right > 0.7 > 0.3 > wrong


# --- pruning -------------------------------------------------------------------------


def test_the_low_scores_of_each_class_stay():
    y = torch.tensor([0, 1, 0, 1, 0, 1])
    score = torch.tensor([0.5, 0.9, 0.1, 0.8, 0.4, 0.7])
    assert pruning.lowest(score, y, [2, 1]).tolist() == [2, 4, 5]


def test_scores_by_hand(small, run, monkeypatch):
    """The norm of softmax minus label, over the tiles of a stored image."""
    from multidd.images.models import training

    summary = run("idc", small)
    outputs = torch.randn(24, 3, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(training, "train", lambda *_: (lambda x: outputs, {}))
    scores = pruning.scores(summary, "convnet", 1, 2, 0)
    hard = summary.to_tensors()[1]
    for i in range(6):
        gaps = []
        for j in range(4 * i, 4 * i + 4):
            said = outputs[j].exp() / outputs[j].exp().sum()
            goal = torch.zeros(3)
            goal[hard[j]] = 1
            gaps.append((said - goal).square().sum().sqrt())
        assert float(scores[i]) == pytest.approx(float(sum(gaps)) / 4, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [("dm", {}), ("kip", {}), ("idc", {}), ("dm", {"labels": "onehot"})],
)
def test_pruned_to_fewer(small, run, name, options):
    summary = run(name, small, ipc=4, **options)
    digest = summary.digest()
    less = summary.prune(ipc=2, epochs=3, models=1)
    assert less.tensors["y"].tolist() == [0, 0, 1, 1, 2, 2]
    stored = [
        int((summary.tensors["x"] == x).flatten(1).all(1).nonzero())
        for x in less.tensors["x"]
    ]
    assert stored == sorted(stored) and summary.digest() == digest
    for tensor in ("y", "y_soft"):
        if tensor in summary.tensors:
            assert torch.equal(less.tensors[tensor], summary.tensors[tensor][stored])
    assert less.num_bytes * 2 == summary.num_bytes
    settings = less.card.settings["pruned"]
    assert (settings["from"], settings["items"], settings["kept"]) == (digest, 12, 6)
    assert less.card.labels == summary.card.labels and less.card.score is None
    again = summary.prune(ipc=2, epochs=3, models=1)
    assert again.digest() == less.digest()
    assert summary.prune(ipc=4, epochs=3, models=1).digest() == digest


def test_codes_are_pruned_to_the_bytes_of_so_many_images(small, run):
    summary = of_bases(small, 4)
    less = summary.prune(ipc=1, epochs=2, models=1)
    size = 3 * item_bytes((1, 8, 8))
    assert less.num_bytes == 256 + 21 * 24 <= size
    assert torch.equal(less.tensors["bases"], summary.tensors["bases"])
    assert less.tensors["y"].bincount().tolist() == [7, 7, 7]
    assert less.num_images == 21
    with pytest.raises(ValueError, match="no less than there is"):
        less.prune(ipc=1, epochs=1)
    with pytest.raises(ValueError, match="smallest budget that fits"):
        of_bases(small, 8, 20).prune(ipc=1, epochs=1)


def test_bad_pruning(small, run):
    summary = run("random", small)
    with pytest.raises(ValueError, match="'cat' has 2; ask for at most 2"):
        summary.prune(ipc=3)
    with pytest.raises(TypeError, match=r"whole number, got 1\.5"):
        summary.prune(ipc=1.5)
    for options in ({"ipc": 0}, {"ipc": 1, "epochs": 0}, {"ipc": 1, "models": 0}):
        with pytest.raises(ValueError, match="1 or more"):
            summary.prune(**options)
    seen = replace(
        summary, tensors=dict(summary.tensors) | {"view_seeds": torch.ones(2)}
    )
    with pytest.raises(ValueError, match="prune first"):
        seen.prune(ipc=1)


# --- the shipped sample --------------------------------------------------------------

SHORT = {"steps": 2, "width": 4, "batch_size": 10, "progress": False}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("kfs", {"fit_steps": 5}),
        ("gtn", {"max_per_class": 2, "syn_steps": 2}),
        ("itgan", {"invert_steps": 2, "autoencoder": Autoencoder(width=2, steps=2)}),
        ("latent", {"autoencoder": Autoencoder(width=2, steps=2)}),
    ],
)
def test_a_look_at_each_recipe(fashion, name, options):
    method = multidd.images.METHODS[name]
    result = call(method, fashion.train, ipc=1, **(SHORT | options))
    assert result.num_bytes <= 10 * item_bytes((1, 28, 28))
    assert result.num_images >= 10 and result.to_tensors()[0].shape[1:] == (1, 28, 28)
