"""Selections of images: which real ones they are, how many, what the card says."""

from dataclasses import replace

import pytest
import torch

import multidd
from multidd.images.data.images import as_images
from multidd.images.data.preprocessing import Preprocessing
from multidd.images.methods.budget import item_bytes
from multidd.images.methods.registry import SELECTED

WHOLE = tuple(
    name for name in SELECTED if name != "rded"
)  # which crops: test_decoupled
REAL = tuple(name for name in WHOLE if name != "kmeans")
ITEM = item_bytes((1, 8, 8))
KINDS = {"random": "Random", "herding": "Herding", "kcenter": "KCenter"}

real = pytest.mark.parametrize("name", REAL)
every = pytest.mark.parametrize("name", WHOLE)

# Of 24, 20 and 16 images; the exact shares of 10 are 4, 3.3 and 2.7.
BUDGETS = [
    ({"ipc": 3}, [3, 3, 3]),
    ({"budget_bytes": 8 * ITEM + 9}, [2, 2, 2]),
    ({"ipc": 5, "class_balance": "proportional"}, [6, 5, 4]),
    ({"budget_bytes": 10 * ITEM, "class_balance": "proportional"}, [4, 3, 3]),
]


def rows_of(summary, images):
    """Which real image each chosen one is; fails where one is none."""
    shown = summary.transform(images.x)
    gaps = (summary.tensors["x"][:, None] - shown).abs().flatten(2).amax(2)
    assert gaps.min(1).values.max() < 1e-5
    return gaps.argmin(1)


# --- what is chosen ------------------------------------------------------------------


@real
@pytest.mark.parametrize(("budget", "counts"), BUDGETS)
@pytest.mark.parametrize("zca", [False, True])
def test_real_images_of_their_class(small, run, name, budget, counts, zca):
    summary = run(name, small, zca=zca, **budget)
    rows = rows_of(summary, small)
    assert len(set(rows.tolist())) == len(rows) == sum(counts)
    assert torch.equal(small.labels[rows], summary.tensors["y"])
    assert summary.tensors["y"].bincount().tolist() == counts
    assert summary.num_bytes == sum(counts) * ITEM


@pytest.mark.parametrize("name", ["random", "herding", "kcenter"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_come_back(make, run, name, channels):
    """Of colored and of floating point images too, to a rounding error."""
    images = make(channels=channels)
    for one in (images, replace(images, x=images.pixels())):
        summary = run(name, one)
        expected = one.pixels(rows_of(summary, one))
        torch.testing.assert_close(summary.pictures(), expected, rtol=0, atol=1e-5)


@real
def test_all_of_a_class(small, run, name):
    summary = run(name, small, ipc=16)
    rows = rows_of(summary, small)
    owls = (small.labels == 2).nonzero().flatten()
    assert sorted(rows[summary.tensors["y"] == 2].tolist()) == owls.tolist()


def test_random_draws_follow_the_seed(small, run):
    drawn = [rows_of(run("random", small, seed=seed), small) for seed in (0, 0, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert len({tuple(rows.tolist()) for rows in drawn}) == 3
    seen = {i for s in range(40) for i in rows_of(run("random", small, seed=s), small)}
    assert len({int(i) for i in seen}) > 50  # of 60


@pytest.mark.parametrize("name", ["herding", "kcenter"])
def test_the_order_of_the_images_does_not_matter(small, run, name):
    order = torch.randperm(60, generator=torch.Generator().manual_seed(3))
    one, other = run(name, small, ipc=4), run(name, small.subset(order), ipc=4)
    torch.testing.assert_close(one.pictures(), other.pictures())


def test_herding_stays_near_the_class_mean_and_kcenter_spreads(small, run):
    def flat(name, **options):
        x = run(name, small, ipc=4, **options).tensors["x"]
        return x.flatten(1).view(3, 4, 64)

    x = Preprocessing.fit(small).apply(small.pixels()).flatten(1)
    members = [x[small.labels == label] for label in range(3)]

    def off_mean(chosen):
        return max(
            float((c.mean(0) - x.mean(0)).norm())
            for c, x in zip(chosen, members, strict=True)
        )

    def radius(chosen):
        return max(
            float(torch.cdist(x, c).min(1).values.max())
            for c, x in zip(chosen, members, strict=True)
        )

    by_chance = [flat("random", seed=seed) for seed in range(10)]
    assert off_mean(flat("herding")) < min(map(off_mean, by_chance))
    assert radius(flat("kcenter")) < min(map(radius, by_chance))


def test_kmeans_gives_means_of_the_images_nearest_to_them(small, run):
    """Means of real images of the class, not images: the fixed point of Lloyd's."""
    summary = run("kmeans", small, ipc=3)
    x = summary.transform(small.x).flatten(1)
    for label, centers in enumerate(summary.tensors["x"].flatten(1).split(3)):
        members = x[small.labels == label]
        nearest = torch.cdist(members, centers).argmin(1)
        assert nearest.unique().tolist() == [0, 1, 2]
        means = torch.stack([members[nearest == k].mean(0) for k in range(3)])
        torch.testing.assert_close(centers, means, rtol=1e-4, atol=1e-4)
        several = nearest.bincount() > 1
        assert several.any() and torch.cdist(centers[several], members).min() > 0.5


@pytest.mark.parametrize(("budget", "counts"), BUDGETS)
def test_kmeans_spends_the_same_budgets(small, run, budget, counts):
    summary = run("kmeans", small, **budget)
    assert summary.tensors["y"].bincount().tolist() == counts


# --- the card ------------------------------------------------------------------------


@every
def test_the_recipe_of_the_card(small, run, name):
    summary = run(name, small, zca=True, class_balance="proportional", ipc=5, seed=4)
    expected = {"ipc": 5, "counts": [6, 5, 4], "balance": "proportional", "zca": True}
    settings = {"kmeans": {"kind": "KMeans", "restarts": 1}}
    settings |= {"forgetting": {"epochs": 2, "width": 4}}
    assert summary.card.settings == expected | settings.get(
        name, {"kind": KINDS.get(name)}
    )
    assert (summary.card.method, summary.card.seed, summary.card.steps) == (name, 4, 0)
    spent = run(name, small, ipc=None, budget_bytes=6 * ITEM).card.settings
    assert (spent["ipc"], spent["counts"]) == (None, [2, 2, 2])


@every
def test_whitening_travels_to_another_process(small, run, name, tmp_path):
    summary = run(name, small, zca=True)
    again = multidd.load(summary.save(tmp_path))
    assert again.preprocessing.describe()["zca"]
    expected = Preprocessing.fit(small, zca=True).apply(small.pixels())
    torch.testing.assert_close(again.transform(small.x), expected)
    if name in REAL:
        assert torch.equal(rows_of(again, small), rows_of(summary, small))


def test_selections_of_a_pair_keep_the_pair(small, run):
    pair = (small.x[:, 0].numpy(), small.labels.numpy())
    before = pair[0].copy()
    for name in WHOLE:
        assert run(name, pair).digest() == run(name, as_images(pair)).digest()
    assert (pair[0] == before).all()
