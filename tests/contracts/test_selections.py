"""Every selection: what it promises, and what it equals by a naive loop."""

import inspect
import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from multidd import protocols, seeds, select
from multidd.protocols import Picks, Records
from multidd.selection import basic
from multidd.selection.basic import (
    Herding,
    KCenter,
    KMeans,
    Medoids,
    Random,
    Recognized,
    Scored,
)
from tests.toy import SIZES, Toy, iris, label

SELECTIONS: dict[str, list[Any]] = {
    "Random": [Random()],
    "Herding": [Herding()],
    "KCenter": [KCenter()],
    "KMeans": [KMeans(), KMeans(restarts=1)],
    "Medoids": [Medoids(), Medoids(restarts=1)],
    "Recognized": [Recognized(Random(), torch.arange(28) % 3 < 2)],
    "Scored": [Scored(tuple(math.sin(7.0 * i) for i in range(28)))],
}
ALL = [one for some in SELECTIONS.values() for one in some]
REAL = [one for one in ALL if not isinstance(one, KMeans)]
every = pytest.mark.parametrize("chooser", ALL, ids=label)
real = pytest.mark.parametrize("chooser", REAL, ids=label)
counted = pytest.mark.parametrize("counts", [(1, 1, 1), (4, 2, 3), SIZES])


def records(weights: Tensor | None = None) -> Records:
    x, y, _, _ = iris()
    return Records(x, y, 3, weights)


def pick(chooser: Any, of: Records, counts: Any, seed: int = 0) -> Picks:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Number of distinct clusters")
        return chooser.pick(of, counts, seeds.at(seed, "pick"))


def test_every_selection_is_tried() -> None:
    assert set(SELECTIONS) == set(basic.__all__)
    for name, some in SELECTIONS.items():
        assert some and all(type(one).__name__ == name for one in some)


@every
def test_parameter_names(chooser: Any) -> None:
    for owner in (protocols.Selection, type(chooser)):
        results = list(inspect.signature(owner.pick).parameters)
        assert results == ["self", "records", "counts", "rng"]


@every
@counted
def test_counts_labels_and_classes(chooser: Any, counts: Any) -> None:
    """Each row is a mean, of its own class, and no record stands in two rows."""
    data = records()
    picks = pick(chooser, data, counts)
    weights = picks.weights.to_dense()
    assert weights.shape == (sum(counts), len(data.labels))
    assert picks.labels.bincount(minlength=3).tolist() == list(counts)
    torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)).double())
    same = picks.labels[:, None] == data.labels[None]
    assert bool((weights[~same] == 0).all()) and bool((weights >= 0).all())
    assert int((weights > 0).sum(0).max()) == 1


@real
@counted
def test_real_records_without_repeats(chooser: Any, counts: Any) -> None:
    data = records()
    picks = pick(chooser, data, counts)
    assert picks.real
    assert len(set(picks.indices.tolist())) == sum(counts)
    assert torch.equal(data.labels[picks.indices], picks.labels)


@every
@pytest.mark.parametrize("kind", ["all", "half"])
def test_equal_records_are_still_different_records(chooser: Any, kind: str) -> None:
    x, y, _, _ = iris()
    same = torch.ones(len(x), dtype=torch.bool) if kind == "all" else x[:, 0] > 0
    data = Records(torch.where(same[:, None], torch.ones_like(x), x), y, 3)
    picks = pick(chooser, data, (5, 5, 5))
    weights = picks.weights.to_dense()
    assert bool(torch.isfinite(weights).all())
    torch.testing.assert_close(weights.sum(1), torch.ones(15).double())
    if picks.real:
        assert len(set(picks.indices.tolist())) == 15
    else:
        assert bool((weights.sum(1) > 0).all())


@pytest.mark.parametrize("chooser", [Random(), KMeans()], ids=label)
def test_same_seed_same_bits(chooser: Any) -> None:
    first, again = (pick(chooser, records(), (4, 2, 3)) for _ in range(2))
    assert torch.equal(first.weights.to_dense(), again.weights.to_dense())
    others = [pick(Random(), records(), (4, 2, 3), seed).indices for seed in (1, 2)]
    assert not torch.equal(*others)


@pytest.mark.parametrize("chooser", [Herding(), KCenter()], ids=label)
def test_order_of_records_does_not_matter(chooser: Any) -> None:
    data = records()
    order = torch.randperm(len(data.labels), generator=seeds.at(0, "order"))
    shuffled = Records(data.features[order], data.labels[order], 3)
    first = pick(chooser, data, (4, 2, 3)).indices
    again = pick(chooser, shuffled, (4, 2, 3)).indices
    assert not torch.equal(first, again)
    assert torch.equal(data.features[first], shuffled.features[again])


def test_herding_equals_a_naive_loop() -> None:
    data = records()
    picks = pick(Herding(), data, (5, 4, 3)).indices.tolist()
    expected = []
    for c, count in enumerate((5, 4, 3)):
        members = (data.labels == c).nonzero().flatten().tolist()
        goal = data.features[members].mean(0)
        chosen: list[int] = []
        for _ in range(count):
            free = [m for m in members if m not in chosen]
            gaps = [
                float((data.features[[*chosen, m]].mean(0) - goal).norm()) for m in free
            ]
            chosen.append(free[gaps.index(min(gaps))])
        expected += chosen
    assert picks == expected


def test_kcenter_equals_a_naive_loop() -> None:
    data = records()
    picks = pick(KCenter(), data, (5, 4, 3)).indices.tolist()
    expected = []
    for c, count in enumerate((5, 4, 3)):
        members = (data.labels == c).nonzero().flatten().tolist()
        x = data.features
        middle = x[members].mean(0)
        chosen = [min(members, key=lambda m: float((x[m] - middle).norm()))]
        while len(chosen) < count:
            chosen.append(
                max(
                    members,
                    key=lambda m: min(float((x[m] - x[o]).norm()) for o in chosen),
                )
            )
        expected += chosen
    assert picks == expected


@pytest.mark.parametrize("chooser", SELECTIONS["Medoids"], ids=label)
def test_a_medoid_of_two_is_the_first(chooser: Any) -> None:
    """Both are equally near, so that rounding would choose."""
    x = torch.randn(60, 2, 9, generator=torch.Generator().manual_seed(0))
    for pair in x:
        data = Records(pair, torch.zeros(2).long(), 1)
        assert pick(chooser, data, (1,)).indices.tolist() == [0]


def test_scored_takes_the_highest_of_each_class() -> None:
    """Naive sort; ties are broken by the seed; a wrong number is refused."""
    data, chooser = records(), SELECTIONS["Scored"][0]
    results = set(pick(chooser, data, (5, 4, 3)).indices.tolist())
    expected = set()
    for c, count in enumerate((5, 4, 3)):
        members = (data.labels == c).nonzero().flatten().tolist()
        expected |= set(sorted(members, key=lambda m: -chooser.scores[m])[:count])
    assert results == expected
    ties = Scored((1.0,) * 28)
    draws = {tuple(pick(ties, data, (5, 4, 3), s).indices.tolist()) for s in (0, 1)}
    assert len(draws) == 2
    with pytest.raises(ValueError, match="27 scores for 28"):
        pick(Scored((1.0,) * 27), data, (1, 1, 1))


def test_kmeans_is_at_rest() -> None:
    """Every record lies nearest to its own centroid, and all records take part."""
    data = records()
    weights = pick(KMeans(), data, (3, 2, 2)).weights.to_dense()
    assert bool(((weights > 0).sum(0) == 1).all())
    centroids = weights @ data.features
    nearest = torch.cdist(data.features, centroids)
    other = pick(KMeans(), data, (3, 2, 2)).labels[None] != data.labels[:, None]
    nearest = nearest.masked_fill(other, torch.inf).argmin(1)
    assert torch.equal(nearest, weights.argmax(0))


def test_kmeans_weighs_records() -> None:
    data = records(torch.arange(1.0, 29.0))
    weights = pick(KMeans(), data, (1, 1, 1)).weights.to_dense()
    for c in range(3):
        mass = torch.arange(1.0, 29.0).double() * (data.labels == c)
        torch.testing.assert_close(weights[c], mass / mass.sum())
    plain = pick(KMeans(), records(), (1, 1, 1)).weights.to_dense()
    assert not torch.allclose(weights, plain)


@every
@pytest.mark.parametrize(
    ("counts", "message"),
    [((14, 1, 1), "class 0 has 13"), ((1, 0, 1), "class 1"), ((1, 1), "2 counts")],
)
def test_counts_that_do_not_fit(chooser: Any, counts: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select(Toy(), chooser, counts)


@every
def test_select_gives_the_picks(chooser: Any) -> None:
    task = Toy()
    result = select(task, chooser, (4, 2, 3), seed=7)
    picks = chooser.pick(task.records(), (4, 2, 3), seeds.at(7, "selection"))
    assert torch.equal(result.tensors["x"], picks.weights.to_dense() @ task.data[0])
    assert result.card.method == type(chooser).__name__.lower()
    assert (result.card.steps, result.card.seed) == (0, 7)
    assert result.card.source == task.describe()["data"]


def test_means_have_no_indices() -> None:
    picks = pick(KMeans(), records(), (1, 1, 1))
    assert not picks.real
    with pytest.raises(ValueError, match="means of several records"):
        _ = picks.indices
