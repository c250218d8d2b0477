"""Metrics against scikit-learn, against plain loops and against hand cases."""

import math

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.metrics import ndcg_score, roc_auc_score

from multidd.recsys.models.metrics import measure, propensity_weights, rank
from multidd.recsys.models.ranking import auc, first_ranks, sorted_rows, top_lists
from multidd.recsys.models.scoring import random_items
from tests.recsys.worlds import rng

USERS, ITEMS = 40, 30


def of(scores):
    """A scorer that finds a user by the first entry of the history."""
    return lambda rows: torch.from_numpy(
        scores[rows[:, [0]].toarray()[:, 0].astype(int)]
    )


@pytest.fixture(params=["distinct", "tied"])
def world(request):
    """Scores, context and target; user u's number stands at item 0 of the context."""
    draw = np.random.default_rng(1)
    scores = draw.standard_normal((USERS, ITEMS)).astype(np.float32)
    if request.param == "tied":
        scores = np.round(scores)
    part = draw.choice(3, (USERS, ITEMS), p=(0.7, 0.15, 0.15))
    part[:, 0] = 1
    part[:, 1] = 2
    part[5] = np.where(part[5] == 2, 0, part[5])  # a user without a target
    context = (part == 1).astype(np.float32)
    context[:, 0] = np.arange(USERS)
    context[0, 0] = 1e-9  # user 0: an entry that is not zero, and reads as 0
    return scores, csr_array(context), csr_array((part == 2).astype(np.float32))


def ranked(world, **settings):
    scores, context, target = world
    settings = {
        "popularity": np.arange(ITEMS),
        "num_train": 435,
        "ks": (3, 100),
    } | settings
    return rank(of(scores), context, target, rng=rng(), **settings)


def one_by_one(world, k):
    """The definitions, as loops."""
    scores, context, target = (
        m if isinstance(m, np.ndarray) else m.toarray() for m in world
    )
    w = propensity_weights(np.arange(ITEMS), 435)
    results = {n: [] for n in ("hr", "hit", "recall", "ndcg", "psp", "psp_jain", "mrr")}
    for row, seen, expected in zip(scores, context != 0, target != 0, strict=True):
        if not expected.any():
            continue
        order = [i for i in sorted(range(ITEMS), key=lambda i: -row[i]) if not seen[i]]
        hits = [i for i in order[:k] if expected[i]]
        size, least = int(expected.sum()), min(k, int(expected.sum()))
        best = sorted(w[expected])[::-1][:k]
        gain = sum(1 / math.log2(2 + order.index(i)) for i in hits)
        results["hr"].append(len(hits) / least)
        results["hit"].append(bool(hits))
        results["recall"].append(len(hits) / size)
        results["ndcg"].append(gain / sum(1 / math.log2(2 + p) for p in range(least)))
        results["psp_jain"].append(sum(w[i] for i in hits) / sum(best))
        results["psp"].append(results["psp_jain"][-1] / least)
        results["mrr"].append(
            1 / (1 + next(p for p, i in enumerate(order) if expected[i]))
        )
    return {name: float(np.mean(values)) for name, values in results.items()}


@pytest.mark.parametrize("k", [3, 100])
def test_lists_as_defined(world, k):
    metrics = ranked(world)
    for name, value in one_by_one(world, k).items():
        assert metrics[name if name == "mrr" else f"{name}@{k}"] == pytest.approx(value)


def test_auc_of_users_is_scikit_learns(world):
    scores, context, target = world
    each = []
    for row, seen, expected in zip(
        scores, context.toarray() != 0, target.toarray() != 0, strict=True
    ):
        if expected.any():
            each.append(roc_auc_score(expected[~seen], row[~seen]))
    assert ranked(world)["auc_user"] == pytest.approx(np.mean(each))


def test_ndcg_of_the_whole_ranking_is_scikit_learns():
    draw = np.random.default_rng(2)
    scores = draw.standard_normal((8, ITEMS)).astype(np.float32)
    target = (draw.random((8, ITEMS)) < 0.2).astype(np.float32)
    target[:, 3] = 1
    rows = iter([scores])
    metrics = measure(
        lambda _: torch.from_numpy(next(rows)),
        csr_array(target.shape),
        csr_array(target),
        f"ndcg@{ITEMS}",
    )
    assert metrics == pytest.approx(ndcg_score(target, scores))


def test_pooled_auc_is_scikit_learns():
    draw = np.random.default_rng(3)
    one, two = np.round(draw.random(50), 1), np.round(draw.random(70), 1)
    labels = np.r_[np.ones(50), np.zeros(70)]
    assert auc(one, two) == pytest.approx(roc_auc_score(labels, np.r_[one, two]))
    assert auc(one, two[:0]) == 0.5


def test_pooled_auc_over_all_negatives(world):
    # So many draws that each user's negatives come out alike often: the expectation.
    scores, context, target = world
    shown = [u for u in range(USERS) if u != 5]
    t, c = target.toarray()[shown] != 0, context.toarray()[shown] != 0
    free = ~(t | c)
    labels = np.r_[np.ones(t.sum()), np.zeros(free.sum())]
    weights = np.r_[np.ones(t.sum()), (free / free.sum(1, keepdims=True))[free]]
    pool = np.r_[scores[shown][t], scores[shown][free]]
    exact = roc_auc_score(labels, pool, sample_weight=weights)
    assert ranked(world, negatives=3000)["auc"] == pytest.approx(exact, abs=5e-3)


def test_batches_change_nothing(world):
    whole = ranked(world)
    for batch in (1, 7, 1000):
        assert ranked(world, batch=batch) == whole


def test_validation_items_are_negatives_when_only_training_is_barred(world):
    scores, context, target = world
    masked = np.where(context.toarray() != 0, 9.0, scores).astype(np.float32)
    barred = ranked((masked, context, target), negatives=500)["auc"]
    open_ = ranked(
        (masked, context, target), negatives=500, train=csr_array(context.shape)
    )["auc"]
    assert open_ < barred - 0.05


def test_equal_scores_are_listed_by_item():
    scores = np.array([[1, 2, 2, 2, 0], [7, 7, 7, 7, 7]], dtype=np.float32)
    assert top_lists(scores, 2).tolist() == [[1, 2], [0, 1]]
    assert top_lists(scores, 2, sorted_rows(scores)).tolist() == [[1, 2], [0, 1]]
    target = np.array([0, 0, 1]), np.array([0, 3, 4])
    assert first_ranks(scores, sorted_rows(scores), *target).tolist() == [3, 5]


def test_random_items_are_free_and_all_alike():
    excluded = csr_array(np.array([[1, 0, 0, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]))
    draws = np.random.default_rng(0).random((3, 3000))
    rows, items = random_items(excluded, draws)
    assert np.bincount(rows).tolist() == [3000, 3000]
    shares = np.bincount(items[rows == 0], minlength=5) / 3000
    assert shares == pytest.approx(np.array([0, 1, 1, 0, 1]) / 3, abs=0.03)
    assert np.bincount(items[rows == 1]) / 3000 == pytest.approx(0.2, abs=0.03)


def test_by_hand():
    # Items 0..4 scored 5..1, item 0 known; targets 1 and 4; the list is 1, 2.
    scores = np.array([[5.0, 4.0, 3.0, 2.0, 1.0]], dtype=np.float32)
    metrics = rank(
        lambda rows: torch.from_numpy(scores),
        csr_array([[1, 0, 0, 0, 0]]),
        csr_array([[0, 1, 0, 0, 1]]),
        popularity=np.array([5, 4, 3, 2, 1]),
        num_train=15,
        ks=(2,),
        rng=rng(),
    )
    a, b = 1 + (math.log(15) - 1) * 2.5**0.55 * np.array([5.5, 2.5]) ** -0.55
    expected = {
        "hr@2": 1 / 2,
        "hit@2": 1.0,
        "recall@2": 1 / 2,
        "ndcg@2": 1 / (1 + 1 / math.log2(3)),
        "psp_jain@2": a / (a + b),
        "psp@2": a / (a + b) / 2,
        "mrr": 1.0,
        "auc_user": 1 / 2,
        "coverage@2": 2 / 5,
        "gini@2": 3 / 5,
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)


def test_a_user_who_has_seen_all_the_rest():
    metrics = rank(
        lambda rows: torch.zeros(rows.shape),
        csr_array([[1, 1, 0]]),
        csr_array([[0, 0, 1]]),
        popularity=np.ones(3),
        num_train=3,
        ks=(10,),
        rng=rng(),
    )
    assert metrics["hr@10"] == metrics["ndcg@10"] == 1.0
    assert metrics["auc"] == metrics["auc_user"] == 0.5


@pytest.mark.parametrize(
    "context, target, score, said",
    [
        ([[1, 0]], [[0, 0]], 0.0, "none of the 1 users has a target"),
        ([[1, 0]], [[1, 0]], 0.0, "1 targets are in the context"),
        ([[1, 0]], [[0, 1]], math.nan, "2 of them not finite"),
        ([[1, 0, 0]], [[0, 1]], 0.0, "same users and items"),
    ],
)
def test_refusals(context, target, score, said):
    scorer = lambda rows: torch.full(rows.shape, score)  # noqa: E731
    with pytest.raises(ValueError, match=said):
        measure(scorer, csr_array(context), csr_array(target), "hr@1")


def test_one_metric_that_weighs_rare_items():
    """Of two targets, equally weighed but for their popularity, one is listed."""
    popularity, num_train = np.array([9, 0, 4]), 13
    value = measure(
        lambda rows: torch.tensor([[0.0, 1.0, 2.0]]),
        csr_array([[1, 0, 0]]),
        csr_array([[0, 1, 1]]),
        "psp_jain@1",
        popularity=popularity,
        num_train=num_train,
    )
    weights = propensity_weights(popularity, num_train)
    assert value == pytest.approx(weights[2] / weights[1])
    assert weights[2] < weights[1]


def test_metrics_of_rare_items_need_the_popularity():
    rows = csr_array((1, 2)), csr_array([[0, 1]])
    with pytest.raises(ValueError, match=r"psp@1 needs popularity= and num_train="):
        measure(torch.zeros, *rows, "psp@1", popularity=np.ones(2))
    with pytest.raises(ValueError, match="num_train must be at least 3, got 2"):
        measure(torch.zeros, *rows, "psp@1", popularity=np.ones(2), num_train=2)
    with pytest.raises(ValueError, match=r"must be \[2\], .*; got 3 and 50"):
        rank(torch.zeros, *rows, popularity=np.ones(3), num_train=3, rng=rng())
    with pytest.raises(ValueError, match="negatives 0 or more; got 2 and -1"):
        rank(
            torch.zeros,
            *rows,
            popularity=np.ones(2),
            num_train=3,
            negatives=-1,
            rng=rng(),
        )


@pytest.mark.parametrize("metric", ["hr", "mrr@3", "hr@x", "hr@0"])
def test_unknown_metrics_are_refused(metric):
    with pytest.raises(ValueError, match="length"):
        measure(torch.zeros, csr_array((1, 2)), csr_array([[0, 1]]), metric)
