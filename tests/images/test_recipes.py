"""What methods for images have of their own: bytes, starts, states, long tails.

What all methods have in common is in `tests.methods`.
"""

import pytest
import torch

import multidd
from multidd.engine.options import SelectBest
from multidd.errors import CheckpointMismatchError
from multidd.images.methods.budget import item_bytes
from multidd.images.methods.registry import LEARNED, METHODS
from tests.methods import cases
from tests.methods.cases import CODED, SOFT_LABELS, families, made_by

KERNELS = ("kip", "rfad", "frepo")
TILED = ("m3d", "idm", "iid", "ncfm", "idc", "rded")

stored = pytest.mark.parametrize("name", [n for n in METHODS if n not in CODED])
"""What the others store are no images: see test_factorized."""

CASES = {case.name: case for case in cases.CASES if case.kind == "images"}


# --- what is made --------------------------------------------------------------------


@stored
def test_counts_labels_and_bytes(name):
    summary = made_by(CASES[name])
    factor = 2 if name in TILED else 1
    assert summary.tensors["x"].shape == (6, 1, 8, 8)
    assert summary.tensors["x"].dtype == torch.float32
    assert summary.tensors["y"].tolist() == [0, 0, 1, 1, 2, 2]
    assert summary.num_images == 6 * factor**2
    soft = SOFT_LABELS.get(name, 0)
    assert summary.num_bytes == 6 * item_bytes((1, 8, 8), soft=soft)
    kind = "soft" if soft else "hard"
    assert summary.card.labels == ("centered" if name in KERNELS else kind)
    assert summary.card.source["images"] == 36


@pytest.mark.parametrize("name", ["dm", "dc", "idc", "kip", "rfad", "kmeans"])
def test_colored_images(make, run, name):
    summary = run(name, make(channels=3))
    assert summary.tensors["x"].shape == (6, 3, 8, 8)
    assert torch.isfinite(summary.tensors["x"]).all()
    assert summary.classes == ("cat", "dog", "owl")
    soft = SOFT_LABELS.get(name, 0)
    assert summary.num_bytes == 6 * item_bytes((3, 8, 8), soft=soft)


@pytest.mark.parametrize("name", [n for n in LEARNED if n not in (*CODED, "ld")])
def test_every_image_moves_from_where_it_starts(name):
    """The labels of `ld` move, not its images: see test_unroll_recipes."""
    start, tensors = CASES[name].start().tensors, made_by(CASES[name]).tensors
    assert ((tensors["x"] - start["x"]).flatten(1).norm(dim=1) > 0).all()
    if name in KERNELS:
        assert not torch.equal(start["y_soft"], tensors["y_soft"])
        expected = torch.eye(3)[start["y"]] - 1 / 3
        torch.testing.assert_close(start["y_soft"], expected)


@pytest.mark.parametrize("name", ["dm", "idc", "kip", "rfad", "frepo"])
def test_resuming_with_all_kinds_of_state(small, run, name, tmp_path):
    """Representative batches, learned labels, a learned temperature, a pool."""
    options = {"sampler": "representative", "labels": "onehot", "zca": True}
    whole = run(name, small, **options)
    folder = {"checkpoint": str(tmp_path)}
    run(name, small, timeout=0.0, **options, **folder)
    resumed = run(name, small, **options, **folder)
    assert resumed.digest() == whole.digest()
    assert resumed.card.history == whole.card.history


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"lr": 0.5},
        {"zca": True},
        {"width": 5},
        {"init": "noise"},
        {"augment": "crop"},
        {"sampler": "uniform"},
        {"class_balance": "proportional"},
        {"matches_per_net": 2},
        {"select_best": SelectBest(1)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_checkpoint_of_another_run(small, run, tmp_path, change):
    run("dm", small, checkpoint=str(tmp_path))
    with pytest.raises(CheckpointMismatchError):
        run("dm", small, checkpoint=str(tmp_path), **change)


def test_a_checkpoint_of_other_images(small, run, tmp_path):
    run("dm", small, checkpoint=str(tmp_path))
    small.x[7, 0, 3, 3] += 1
    with pytest.raises(CheckpointMismatchError):
        run("dm", small, checkpoint=str(tmp_path))


# --- budgets -------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in families("images") if n not in CODED])
def test_a_budget_in_proportion(make, run, name):
    """Of 6 images a class three times as large gets three times as many."""
    summary = run(name, make((36, 12, 12)), class_balance="proportional")
    assert summary.tensors["y"].bincount().tolist() == [4, 1, 1]
    if name in LEARNED:
        assert summary.card.settings["counts"] == [4, 1, 1]


@pytest.mark.parametrize("name", ["dm", "random"])
def test_bytes_in_proportion(make, run, name):
    images = make((36, 12, 12))
    size = item_bytes((1, 8, 8))
    summary = run(
        name, images, class_balance="proportional", budget_bytes=10 * size + 5
    )
    assert summary.tensors["y"].bincount().tolist() == [6, 2, 2]
    assert summary.num_bytes == 10 * size


# --- long-tailed data ----------------------------------------------------------------


def test_long_tailed_data(make, run):
    whole = make((50, 50, 50))
    images = multidd.images.long_tailed(whole, 0.1)
    sizes = images.counts.tolist()
    assert sizes == [50, 15, 5]
    equal = run("dm", images, ipc=4)
    assert equal.tensors["y"].bincount().tolist() == [4, 4, 4]
    shared = run("dm", images, ipc=4, class_balance="proportional")
    assert shared.tensors["y"].bincount().tolist() == [8, 3, 1]
    expected = "'owl' has 5.*at most 5 of each.*balance"
    with pytest.raises(ValueError, match=expected):
        run("dm", images, ipc=6)
    assert (
        len(run("dm", images, ipc=6, class_balance="proportional").tensors["y"]) == 18
    )


def test_accuracy_on_each_class_is_reported(make, run):
    images = multidd.images.long_tailed(make((60, 60, 60)), 0.1)
    test = make((10, 20, 30), seed=3)
    summary = run("kmeans", images, ipc=2, class_balance="proportional")
    protocol = multidd.Protocol("q", epochs=30, lr=0.01, width=16)
    report = multidd.evaluate(
        summary, test, train=images, models=["mlp"], seeds=1, protocol=protocol
    )
    for row in ("whole", "random", "kmeans"):
        result = report.per_class("mlp", row)
        assert list(result) == ["cat", "dog", "owl"]
        mean = (10 * result["cat"] + 20 * result["dog"] + 30 * result["owl"]) / 60
        assert mean == pytest.approx(report.accuracy("mlp", row), abs=1e-6)
    assert report.accuracy("mlp") > 0.8
    sizes = {row.name: row.size for row in report.rows}
    assert sizes["random"] == sizes["kmeans"] == 6


# --- kernels beside each other, and labels for any training ---------------------------

BESIDE = {"beside": ("mlp", "pixels"), "label_space": "simplex", "model": "cnn"}


def test_labels_on_the_simplex_are_probabilities(small, run, tmp_path):
    summary = run("rfad", small, **BESIDE)
    assert summary.card.labels == "soft"
    settings = summary.card.settings
    assert settings["beside"] == ["mlp", "pixels"]
    assert settings["label_space"] == "simplex"
    y = summary.to_tensors()[1]
    assert y.shape == (6, 3) and y.min() >= 0
    torch.testing.assert_close(y.sum(1), torch.ones(6))
    folder = {"checkpoint": str(tmp_path)}
    run("rfad", small, timeout=0.0, **BESIDE, **folder)
    assert run("rfad", small, **BESIDE, **folder).digest() == summary.digest()


def test_every_kernel_beside_moves_the_images(small, run):
    names = [(), ("mlp",), ("pixels",), ("mlp", "pixels")]
    digests = {
        run("rfad", small, **BESIDE | {"beside": some}).digest() for some in names
    }
    assert len(digests) == 4
    learned = run("rfad", small, **BESIDE, loss="cross_entropy").card.settings[
        "learned"
    ]
    assert list(learned) == ["0.temperature"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"beside": ("tree",)},
            "beside must name kernels among mlp, pixels; got 'tree'",
        ),
        (
            {"label_space": "sphere"},
            "label_space must be 'real' or 'simplex'; got 'sph",
        ),
    ],
)
def test_kernels_and_labels_that_there_are_not(small, run, change, message):
    with pytest.raises(ValueError, match=message):
        run("rfad", small, **change)
