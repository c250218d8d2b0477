"""Selections of users: what is chosen, in what order, and from which part."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from multidd.recsys.data.benchmarks import load
from multidd.recsys.data.log import InteractionLog
from multidd.recsys.methods import selection
from multidd.recsys.methods.selection import SELECTIONS, of_count
from multidd.recsys.models.bpr import Proxy
from multidd.recsys.models.infinite_ae import InfiniteAE
from multidd.recsys.models.metrics import measure
from multidd.recsys.models.tuning import tune
from multidd.seeds import at
from tests.recsys.worlds import ML100K, two_tastes

NAMES = list(SELECTIONS)
REAL = [name for name in NAMES if name not in ("kmeans", "interactions")]


def a_log(users=40, items=16, seed=0):
    """A log in three parts, whose last two users have no training items."""
    rows = two_tastes(users, items, seed).toarray()
    rows[:, 0] = 1
    log = InteractionLog.from_csr(csr_array(rows), name="two")
    log = log.split(shares=(0.6, 0.2, 0.2), seed=seed)
    part = np.where(log.rows >= users - 2, np.int8(2), log.part)
    part[log.indptr[: users - 2]] = 0
    return replace(log, part=part)


def the_same(one, other):
    np.testing.assert_array_equal(one.to_csr().toarray(), other.to_csr().toarray())
    np.testing.assert_array_equal(one.weight, other.weight)


def chosen(summary, log):
    """Users whose training histories the rows are; histories must differ."""
    known = {tuple(row): user for user, row in enumerate(log.train.toarray())}
    return [known[tuple(row)] for row in summary.to_csr().toarray()]


@pytest.mark.parametrize("name", NAMES)
def test_only_the_training_part_is_read(name):
    log = a_log()
    result = SELECTIONS[name](log, 6)
    other = replace(log, part=np.where(log.part == 1, np.int8(2), log.part))
    the_same(result, SELECTIONS[name](other, 6))
    alone = log.select(log.part == 0)
    the_same(result, SELECTIONS[name](replace(alone, part=None), 6))


@pytest.mark.parametrize("name", REAL)
def test_rows_are_different_users_of_weight_one(name):
    log = a_log(30, 24)
    result = SELECTIONS[name](log, 12)
    users = chosen(result, log)
    assert len(set(users)) == 12 and (result.weight == 1).all()
    assert (np.diff(log.train.indptr)[users] > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_all_users(name):
    log = a_log()
    result = SELECTIONS[name](log, 38)
    expected = np.sort(log.train.toarray()[:38], axis=0)
    np.testing.assert_array_equal(np.sort(result.to_csr().toarray(), axis=0), expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_log_with_nothing_to_choose_from(name):
    """And users without training items are none to choose."""
    log, how = a_log(), SELECTIONS[name]
    with pytest.raises(ValueError, match="from 1 to 38, .* got 39"):
        how(log, 39)
    with pytest.raises(ValueError, match="no training interactions"):
        how(replace(log, part=np.full(len(log.part), 2, np.int8)), 2)


def test_weights_and_ids_are_those_of_the_log():
    log = a_log()
    result = SELECTIONS["random"](log, 6, seed=3)
    assert result.card.seed == 3 and result.card.settings["users"] == 6
    assert result.card.source == log.describe()
    np.testing.assert_array_equal(result.item_ids, log.item_ids)


def test_random_is_uniform():
    log = InteractionLog.from_csr(csr_array(np.eye(6, dtype=np.float32)))
    result = np.zeros(6)
    for seed in range(300):
        result += np.asarray(selection.random(log, 2, seed=seed).to_csr().sum(0))
    # Each user is in a third of the draws: 100, with a standard deviation of 8.2.
    assert abs(result - 100).max() < 33


def test_head_takes_the_longest_and_of_equal_ones_the_first():
    rows = np.tri(5, 6)[[1, 4, 2, 4, 0]]  # lengths 2, 5, 3, 5, 1
    rows[3] = np.roll(rows[3], 1)
    log = InteractionLog.from_csr(csr_array(rows))
    for users, expected in ((1, [1]), (2, [1, 3]), (4, [1, 3, 2, 0])):
        assert chosen(selection.head(log, users), log) == expected
    many = InteractionLog.from_csr(csr_array(np.eye(3000, dtype=np.float32)))
    assert chosen(selection.head(many, 3), many) == [0, 1, 2]


def test_kcenter_takes_both_tastes_and_kmeans_their_means():
    log = InteractionLog.from_csr(two_tastes(60, 24, share=0.9))
    halves = [user < 30 for user in chosen(selection.kcenter(log, 2), log)]
    assert sorted(halves) == [False, True]
    summary = selection.kmeans(log, 2)
    means = np.stack([part.mean(0) for part in np.split(log.train.toarray(), 2)])
    rows = summary.to_csr().toarray()
    np.testing.assert_allclose(rows[rows[:, 0].argsort()[::-1]], means, atol=1e-6)
    assert summary.weight.tolist() == [30, 30]


def test_kmeans_weighs_rows_by_members():
    log = a_log(60, 24)
    summary = selection.kmeans(log, 7)
    assert summary.weight.sum() == 58 and len(set(summary.weight.tolist())) > 1
    total = summary.weight @ summary.to_csr().toarray()
    np.testing.assert_allclose(total, log.train.sum(0), rtol=1e-5)


def test_interactions_have_the_budget_of_users():
    log = a_log(60, 24)
    summary = selection.interactions(log, 9)
    expected = round(9 * log.train.nnz / 58)
    assert summary.nnz == expected == summary.card.settings["interactions"]
    assert summary.binary and summary.num_users > 9
    rows, known = summary.to_csr(), log.train.toarray()
    assert (np.diff(rows.indptr) > 0).all()
    # Rows are parts of histories, in the order of the log.
    user = 0
    for row in rows.toarray():
        while (row > known[user]).any():
            user += 1
        user += 1
    assert user <= 60


def test_interactions_are_uniform():
    log = InteractionLog.from_csr(csr_array(np.tri(4, 4, dtype=np.float32)))
    result = np.zeros(4)
    for seed in range(300):
        result += np.asarray(selection.interactions(log, 2, seed=seed).to_csr().sum(0))
    np.testing.assert_allclose(result / 300, [2, 1.5, 1, 0.5], atol=0.12)


def odd_ones():
    """Two tastes, and ten users at the end who like anything."""
    rng = np.random.default_rng(0)
    rows = two_tastes(300, 60, share=0.6).toarray()
    rows[-10:] = rng.random((10, 60)) < 0.3
    return csr_array(rows)


def test_svp_keeps_the_users_who_are_hard_to_predict():
    log = InteractionLog.from_csr(odd_ones())
    picks = chosen(selection.svp(log, 10), log)
    assert sum(user >= 290 for user in picks) >= 8


def test_importance_is_one_minus_the_auc():
    rng = np.random.default_rng(1)
    rows = (rng.random((20, 12)) < 0.4).astype(np.float32)
    rows[3], rows[4] = 0, 1  # nothing to rank, and nothing to rank it above
    # A proxy that has learned nothing (steps of almost zero) and has one factor.
    blank = Proxy(factors=1, epochs=1, lr=1e-12, decay=0, negatives=4000)
    other_scores = blank.importance(csr_array(rows), torch.Generator().manual_seed(0))
    start = torch.randn(32, 1, generator=torch.Generator().manual_seed(0)).numpy()
    scores = start[:20] @ start[20:].T
    for user in range(20):
        part, others = scores[user][rows[user] > 0], scores[user][rows[user] == 0]
        expected = 0.0
        if len(part) and len(others):
            expected = (part[:, None] < others).mean()
        assert abs(other_scores[user] - expected) < 0.05, user
    assert other_scores[3] == other_scores[4] == 0


def test_the_proxy_learns():
    rows = odd_ones()
    errors = [
        Proxy(epochs=epochs).importance(rows, torch.Generator().manual_seed(0))[:290]
        for epochs in (1, 8)
    ]
    assert errors[1].mean() < 0.6 * errors[0].mean()


@pytest.mark.parametrize("shape", [(1, 5), (400, 3), (3, 400), (1, 1)])
def test_the_proxy_stays_finite(shape):
    rows = np.random.default_rng(0).random(shape) < 0.5
    rows[0, 0] = True
    scores = Proxy(epochs=8).importance(csr_array(rows), torch.Generator())
    assert ((scores >= 0) & (scores <= 1)).all()


def test_bad_proxies():
    for bad in ({"factors": 0}, {"epochs": 0}, {"lr": 0.0}, {"decay": -1.0}):
        with pytest.raises(ValueError, match="must be 1 or more"):
            Proxy(**bad)


def test_of_count():
    log = a_log()
    for name in NAMES:
        assert (
            of_count(name, log, 5, 2).digest()
            == SELECTIONS[name](log, 5, seed=2).digest()
        )
    assert of_count("herding", log, 1000, 0).num_users == 38
    with pytest.raises(ValueError, match="one of random, head, .* got 'best'"):
        of_count("best", log, 5, 0)


def test_means_of_users_train_better_than_users():
    log = load("sample:movietweetings")
    score = {
        name: validated(log, of_count(name, log, 40, 0))
        for name in ("random", "kmeans")
    }
    assert score["kmeans"] > score["random"] + 0.03


@pytest.mark.data(ML100K)
def test_movielens():
    log = load("ml-100k")
    score = {
        name: on_test(log, of_count(name, log, 50, 0))
        for name in ("random", "head", "kmeans", "svp")
    }
    # Published for 50 random and 50 head users: 22.7 and 15.4.
    assert abs(score["random"] - 0.227) < 0.02 and abs(score["head"] - 0.154) < 0.01
    assert score["kmeans"] > 0.31
    assert score["head"] < score["svp"] < score["random"]


def tuned(log, summary):
    """The infinite autoencoder on a summary, with the best ridge on validation."""
    rows, weight = summary.to_csr(), summary.weight
    return tune(InfiniteAE(), rows, weight, log.train, log.val, rng=at(0, "tune"))


def validated(log, summary):
    return max(tuned(log, summary)[1].values())


def on_test(log, summary):
    model = tuned(log, summary)[0]
    scorer = model.train(summary.to_csr(), summary.weight, at(0, "train"))
    return measure(scorer, log.context, log.test, "hr@10")
