"""One suite over every method for images: sizes, seeds, budgets, resuming, refusals."""

import inspect
from functools import cache

import pytest
import torch

import multidd
from multidd.engine.options import SelectBest
from multidd.errors import CheckpointMismatchError
from multidd.images.methods.budget import item_bytes
from multidd.images.methods.registry import LEARNED, METHODS, SELECTED

ALL = tuple(METHODS)
KERNELS = ("kip", "rfad", "frepo")
TILED = ("m3d", "idm", "iid", "ncfm", "idc", "rded")
SOFT = dict.fromkeys(KERNELS, 3) | {
    "datm": 3,
    "sre2l": 3,
    "rded": 12,
    "sldd": 3,
    "ld": 3,
}
"""Numbers of the labels of a stored image, of three classes."""
SEEDLESS = ("herding", "kcenter")

every = pytest.mark.parametrize("name", ALL)
learned = pytest.mark.parametrize("name", LEARNED)

CODED = ("kfs", "haba", "gtn", "linba")
"""What they store are no images: see test_factorized."""
stored = pytest.mark.parametrize("name", [n for n in ALL if n not in CODED])


@pytest.fixture(scope="module")
def plain(make, run):
    """What a method makes of the small images, by its name; each is made once."""
    return cache(lambda name: run(name, make()))


# --- what is made --------------------------------------------------------------------


def test_the_table_is_whole():
    assert set(ALL) == {*LEARNED, *SELECTED}
    named = "dm dc dsa dcc idc cafe idm m3d iid ncfm kip rfad frepo sre2l"
    named += " mtt tesla ftd datm"
    named += " kfs haba gtn itgan latent"
    named += " dd sldd ld rat_bptt linba"
    assert set(LEARNED) == set(named.split())
    named = "rded random herding kcenter kmeans forgetting"
    assert set(SELECTED) == set(named.split())
    for name, method in METHODS.items():
        assert getattr(multidd.images, name) is method
        assert name in multidd.images.__all__


@every
def test_signature_and_docstring(name):
    method = METHODS[name]
    found = inspect.signature(method).parameters
    train, ipc, *rest = found.values()
    assert (train.name, ipc.name, ipc.default) == ("train", "ipc", None)
    assert all(p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in rest)
    assert found["seed"].default == 0
    text = method.__doc__
    assert "Example:" in text and f">>> {name}(" in text.replace("= ", ">>> ")
    assert "Reference:" in text or name == "random"


@stored
def test_counts_labels_and_card(make, run, name):
    channels = 3 if name in ("dm", "dc", "idc", "kip", "rfad", "kmeans") else 1
    images = make(channels=channels)
    before = images.x.clone(), images.labels.clone()
    made = run(name, images)
    factor = 2 if name in TILED else 1
    assert made.tensors["x"].shape == (6, channels, 8, 8)
    assert made.tensors["x"].dtype == torch.float32
    assert made.tensors["y"].tolist() == [0, 0, 1, 1, 2, 2]
    assert made.num_images == 6 * factor**2
    assert all(torch.isfinite(t).all() for t in made.tensors.values())
    soft = SOFT.get(name, 0)
    assert made.num_bytes == 6 * item_bytes((channels, 8, 8), soft=soft)
    card = made.card
    assert (card.method, card.seed) == (name, 0)
    kind = "soft" if soft else "hard"
    assert card.labels == ("centered" if name in KERNELS else kind)
    assert card.source["images"] == 60 and made.classes == ("cat", "dog", "owl")
    assert card.steps == len(card.history) == (3 if name in LEARNED else 0)
    assert torch.equal(images.x, before[0]) and torch.equal(images.labels, before[1])


@learned
def test_images_move_from_where_they_start(small, run, plain, name):
    start, made = run(name, small, steps=0), plain(name)
    if name in CODED:
        assert not torch.equal(start.to_tensors()[0], made.to_tensors()[0])
        return
    if name == "ld":  # its labels move: see test_unroll_recipes
        assert torch.equal(start.tensors["x"], made.tensors["x"])
        return
    assert not torch.equal(start.tensors["x"], made.tensors["x"])
    gap = (made.tensors["x"] - start.tensors["x"]).flatten(1).norm(dim=1)
    assert (gap > 0).all()
    if name in KERNELS:
        assert not torch.equal(start.tensors["y_soft"], made.tensors["y_soft"])
        wanted = torch.eye(3)[start.tensors["y"]] - 1 / 3
        torch.testing.assert_close(start.tensors["y_soft"], wanted)


@every
def test_same_seed_same_bits(small, run, plain, name):
    """Nor is a global random state drawn from."""
    before = torch.get_rng_state()
    one, same = plain(name), run(name, small, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert one.digest() == same.digest()
    assert one.card.history == same.card.history


@every
def test_another_seed_another_result(small, run, name):
    options = {"epochs": 4} if name == "forgetting" else {"ipc": 1}
    if name in ("kmeans", *CODED):  # the mean of a class is one; a byte is few
        options = {"ipc": 3}
    digests = {run(name, small, seed=seed, **options).digest() for seed in range(2)}
    assert len(digests) == (1 if name in SEEDLESS else 2)


@every
def test_the_result_does_not_depend_on_the_form_of_the_images(small, run, plain, name):
    pair = (small.x[:, 0].numpy(), small.labels.tolist())
    assert run(name, pair).digest() == plain(name).digest()


@learned
def test_a_stopped_run_goes_on_to_the_same_bits(small, run, plain, name, tmp_path):
    whole = plain(name)
    options = {"checkpoint": str(tmp_path)}
    short = run(name, small, timeout=0.0, **options)
    assert short.card.steps == 1
    assert short.digest() == run(name, small, steps=1).digest()
    resumed = run(name, small, **options)
    assert resumed.digest() == whole.digest()
    assert resumed.card.history == whole.card.history
    assert run(name, small, **options).digest() == whole.digest()


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
        {"balance": "proportional"},
        {"reuse": 2},
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


@stored
@pytest.mark.parametrize(("ipc", "spare"), [(1, 100), (2, 0)])
def test_bytes_for_as_many_images_give_the_same(small, run, plain, name, ipc, spare):
    """Where both budgets come to the same images, so does all else."""
    soft = SOFT.get(name, 0)
    size = 3 * ipc * item_bytes((1, 8, 8), soft=soft)
    one = plain(name) if ipc == 2 else run(name, small, ipc=ipc)
    made = run(name, small, budget_bytes=size + spare)
    assert made.num_bytes == size <= size + spare
    assert made.digest() == one.digest()


@stored
def test_a_byte_less_is_an_image_less(small, run, name):
    soft = SOFT.get(name, 0)
    size = 6 * item_bytes((1, 8, 8), soft=soft)
    made = run(name, small, budget_bytes=size - 1)
    assert made.tensors["y"].tolist() == [0, 1, 2] and made.num_bytes < size


@stored
def test_a_budget_in_proportion(make, run, name):
    """Of 6 images a class three times as large gets three times as many."""
    images = make((36, 12, 12))
    made = run(name, images, balance="proportional", ipc=2)
    assert made.tensors["y"].bincount().tolist() == [4, 1, 1]
    if name in LEARNED:
        assert made.card.settings["counts"] == [4, 1, 1]


@pytest.mark.parametrize("name", ["dm", "random"])
def test_bytes_in_proportion(make, run, name):
    images = make((36, 12, 12))
    size = item_bytes((1, 8, 8))
    made = run(name, images, balance="proportional", budget_bytes=10 * size + 5)
    assert made.tensors["y"].bincount().tolist() == [6, 2, 2]
    assert made.num_bytes == 10 * size


# --- long-tailed data ----------------------------------------------------------------


def test_long_tailed_data(make, run):
    whole = make((50, 50, 50))
    images = multidd.images.long_tailed(whole, 0.1)
    sizes = images.counts.tolist()
    assert sizes == [50, 15, 5]
    equal = run("dm", images, ipc=4)
    assert equal.tensors["y"].bincount().tolist() == [4, 4, 4]
    shared = run("dm", images, ipc=4, balance="proportional")
    assert shared.tensors["y"].bincount().tolist() == [8, 3, 1]
    wanted = "'owl' has 5.*at most 5 of each.*balance"
    with pytest.raises(ValueError, match=wanted):
        run("dm", images, ipc=6)
    assert len(run("dm", images, ipc=6, balance="proportional").tensors["y"]) == 18


def test_accuracy_on_each_class_is_reported(make, run):
    images = multidd.images.long_tailed(make((60, 60, 60)), 0.1)
    test = make((10, 20, 30), seed=3)
    made = run("kmeans", images, ipc=2, balance="proportional")
    protocol = multidd.Protocol("q", epochs=30, lr=0.01, width=16)
    report = multidd.evaluate(
        made, test, train=images, models=["mlp"], seeds=1, protocol=protocol
    )
    for row in ("whole", "random", "kmeans"):
        found = report.per_class("mlp", row)
        assert list(found) == ["cat", "dog", "owl"]
        mean = (10 * found["cat"] + 20 * found["dog"] + 30 * found["owl"]) / 60
        assert mean == pytest.approx(report.accuracy("mlp", row), abs=1e-6)
    assert report.accuracy("mlp") > 0.8
    sizes = {row.name: row.size for row in report.rows}
    assert sizes["random"] == sizes["kmeans"] == 6
