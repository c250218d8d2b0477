"""Selections of texts: what they choose, their weights, and what they refuse."""

import pytest
import torch

from multidd import seeds
from multidd.engine.recipe import call
from multidd.protocols import Records
from multidd.selection.basic import KMeans, Medoids
from multidd.text.methods.selection import CHOOSERS, SELECTIONS, of_counts
from multidd.text.tasks.embedding_task import TextTask
from tests.text import sets

REAL = ("random", "herding", "kcenter", "medoids")
every = pytest.mark.parametrize("name", [*REAL, "kmeans"])
real = pytest.mark.parametrize("name", REAL)


def run(name, per_class=2, **options):
    return call(
        SELECTIONS[name],
        sets.texts(),
        per_class=per_class,
        encoder=sets.encoder(),
        **options,
    )


def test_the_table_is_whole():
    assert set(SELECTIONS) == set(CHOOSERS) == {*REAL, "kmeans"}


@real
def test_real_texts_with_their_labels(name):
    summary, some = run(name), sets.texts()
    rows = summary.tensors["source"]
    assert len(set(rows.tolist())) == 6
    assert summary.texts == some.take(rows).texts
    assert summary.tensors["y"].tolist() == some.labels[rows].tolist()
    assert summary.card.method == name and summary.card.settings["counts"] == [2, 2, 2]
    assert summary.card.settings["encoder"]["name"] == sets.encoder().name


def test_centroids_have_no_text():
    summary = run("kmeans", 1)
    some = sets.texts()
    x = sets.encoder().encode(some)
    means = torch.stack([x[some.labels == c].mean(0) for c in range(3)])
    assert summary.texts is None and "source" not in summary.tensors
    assert torch.allclose(summary.tensors["x"], means, atol=1e-6)


def test_medoids_are_nearest_to_the_centroids():
    x = sets.encoder().encode(sets.texts())
    records = Records(x, sets.texts().labels, 3)
    medoids = Medoids().pick(records, (2, 2, 2), seeds.at(0, "pick"))
    means = KMeans().pick(records, (2, 2, 2), seeds.at(0, "pick"))
    centers = means.weights.to_dense() @ x
    for center, row, label in zip(
        centers, medoids.indices, medoids.labels, strict=True
    ):
        apart = (x - center).square().sum(1)
        apart[records.labels != label] = torch.inf
        assert apart[row] <= apart.min() + 1e-6


def test_medoids_of_a_whole_class_are_all_of_it():
    x = torch.zeros(4, 2)  # all alike: no row is taken twice
    picks = Medoids().pick(
        Records(x, torch.zeros(4).long(), 1), (4,), seeds.at(0, "pick")
    )
    assert sorted(picks.indices.tolist()) == [0, 1, 2, 3]


@every
def test_weights_are_asked_for(name):
    assert run(name).weight.tolist() == [1.0] * 6
    weight = run(name, weights=True).weight
    assert weight.mean() == pytest.approx(1) and weight.min() > 0
    share = torch.stack([part.sum() for part in weight.split(2)]) / weight.sum()
    assert torch.allclose(share, torch.tensor([12.0, 10.0, 8.0]) / 30, atol=1e-6)


@real
def test_pairs_stay_together(name):
    some = sets.pairs()
    result = SELECTIONS[name](some, 1, encoder=sets.encoder())
    assert result.pairs == some.take(result.tensors["source"]).pairs


def test_a_row_beside_gives_what_there_is():
    some = sets.texts()
    task = TextTask(some, sets.encoder().encode(some))
    summary = of_counts("herding", task, (3, 99, 1), {"encoder": {}}, 0)
    assert summary.tensors["y"].bincount().tolist() == [3, 10, 1]


@every
def test_what_is_refused(name):
    with pytest.raises(TypeError, match=f"{name} has no setting steps"):
        run(name, steps=4)
    with pytest.raises(TypeError, match="takes no checkpoint_every: it has no loop"):
        run(name, checkpoint_every=4)
