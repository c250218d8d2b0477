"""Noise in a log: how much, where, and where not."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from multidd.recsys.data.generators import power_law, with_noise
from multidd.recsys.data.log import InteractionLog
from tests.recsys.logs import random_log, same


def pairs(matrix):
    return set(zip(*map(np.ndarray.tolist, matrix.nonzero()), strict=True))


@pytest.fixture(scope="module")
def log():
    return power_law(300, 120, 6000, seed=1).split(seed=2)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_share_of_the_training_part_is_replaced(log, share):
    before = pairs(log.train), pairs(log.val), pairs(log.test)
    noisy = with_noise(log, share)
    train = pairs(noisy.train)
    assert len(before[0] - train) == round(share * len(before[0]))
    assert (pairs(noisy.val), pairs(noisy.test)) == before[1:]
    # New items are new to the user in every part, and no user's count changes.
    assert not (train - before[0]) & set.union(*before)
    assert (noisy.indptr == log.indptr).all()
    assert (np.diff(noisy.train.indptr) == np.diff(log.train.indptr)).all()


def test_the_log_given_is_not_changed(log):
    before = log.items.copy(), log.part.copy()
    with_noise(log, 0.5)
    assert (log.items == before[0]).all() and (log.part == before[1]).all()


def test_noise_follows_its_seed(log):
    assert same(with_noise(log, 0.3, seed=4), with_noise(log, 0.3, seed=4))
    other = with_noise(log, 0.3, seed=5)
    assert (with_noise(log, 0.3, seed=4).items != other.items).any()


def test_no_noise_is_the_same_log(log):
    assert same(with_noise(log, 0.0), log)


def test_items_are_drawn_uniformly_from_the_unseen():
    # Users 0..29,999 have item 3 of 5 as training and item 1 as test.
    users = 30_000
    indptr = np.arange(users + 1, dtype=np.int64) * 2
    items = np.tile(np.array([1, 3], np.int32), users)
    ids = np.arange(users), np.arange(5)
    log = InteractionLog(indptr, items, *ids, part=np.tile([2, 0], users).astype("i1"))
    counts = with_noise(log, 1.0).train.sum(axis=0)
    assert counts[[1, 3]].tolist() == [0, 0]
    assert np.abs(counts[[0, 2, 4]] / users - 1 / 3).max() < 5 * (2 / 9 / users) ** 0.5


def test_users_who_have_seen_half_of_everything_get_the_other_half():
    half = np.zeros((3, 400), "f4")
    half[:, ::2] = 1
    log = InteractionLog.from_csr(csr_array(half))
    assert (with_noise(log, 1.0).matrix.toarray() == 1 - half).all()


def test_ratings_times_and_ids_stay_in_their_places():
    log = random_log(users=12, items=30, seed=0)
    noisy = with_noise(log, 0.4)
    for name in ("rating", "time", "part"):
        values, others = getattr(log, name), getattr(noisy, name)
        if values is not None:
            for user in range(log.num_users):
                row_range = slice(log.indptr[user], log.indptr[user + 1])
                assert sorted(values[row_range]) == sorted(others[row_range])
    assert noisy.item_ids is log.item_ids and "40 % noise" in noisy.name


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_0_to_1_is_refused(log, share):
    with pytest.raises(ValueError, match="share must be from 0 to 1"):
        with_noise(log, share)


def test_users_without_enough_unseen_items_are_named():
    rows = csr_array(np.array([[1, 1, 1], [1, 0, 0]], "f4"))
    log = InteractionLog.from_csr(rows, ["ann", "bob"])
    with pytest.raises(ValueError, match="1 users have fewer unseen .*'ann'"):
        with_noise(log, 1.0)


def test_something_else_is_refused():
    with pytest.raises(TypeError, match="read_log"):
        with_noise(np.eye(3), 0.1)
