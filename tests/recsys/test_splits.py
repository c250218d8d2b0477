"""Splits: the protocol of the papers exactly, by time, left out, given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multidd.recsys.data import splits
from multidd.recsys.data.log import InteractionLog
from tests.recsys.logs import random_log


def log_of(lengths, time=None):
    """Users with so many items each."""
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    items = np.concatenate([np.arange(c) for c in lengths]).astype(np.int32)
    ids = np.arange(len(lengths)), np.arange(max(lengths, default=0))
    return InteractionLog(indptr, items, *ids, time=time)


def counts(log):
    """Of each user, how many are training, validation and test: `[U, 3]`."""
    return np.stack(
        [
            np.bincount(log.rows[log.part == p], minlength=log.num_users)
            for p in range(3)
        ],
        1,
    )


def of_the_papers(c):
    """The rule of the protocol, place by place."""
    if c < 3:
        return [c, 0, 0]
    parts = [0 if p < int(0.8 * c) else 1 if p < int(0.9 * c) else 2 for p in range(c)]
    parts[0] = 2
    return [parts.count(part) for part in range(3)]


def test_user_random_is_the_protocol_of_the_papers():
    lengths = list(range(1, 400))
    log = log_of(lengths).split(seed=5)
    assert counts(log).tolist() == [of_the_papers(c) for c in lengths]
    assert log.part.dtype == np.int8
    assert log.divided == "user-random 0.8/0.1/0.1 seed 5"


def test_user_random_follows_its_seed_and_nothing_else():
    log = log_of([50] * 20)
    one = log.split(seed=1)
    assert (log.split(seed=1).part == one.part).all()
    assert (log.split(seed=2).part != one.part).any()
    assert log.part is None


def test_user_random_is_uniform():
    log = log_of([10] * 4000).split()
    shares = (log.part.reshape(-1, 10) == 2).mean(0)
    # Two of ten are test: 5 standard deviations of 4,000 draws.
    assert np.abs(shares - 0.2).max() < 5 * np.sqrt(0.2 * 0.8 / 4000)
    together = (log.part.reshape(-1, 10)[:, :2] == 2).all(1).mean()
    assert abs(together - 1 / 45) < 5 * np.sqrt(1 / 45 / 4000)


def test_blocks_of_users_are_divided_alike(monkeypatch):
    log = random_log(3, users=40)
    whole = log.split("leave-last-out")
    monkeypatch.setattr(splits, "BLOCK", 7)  # less than a history, at times
    assert (log.split("leave-last-out").part == whole.part).all()
    assert counts(log.split()).tolist() == [
        of_the_papers(int(c)) for c in np.diff(log.indptr)
    ]


@pytest.mark.parametrize(
    "shares, expected",
    [
        ((0.9, 0.1, 0), [9, 1, 0]),
        ((1, 0, 0), [10, 0, 0]),
        ((0.8, 0, 0.2), [7, 0, 3]),
        ((0.5, 0.25, 0.25), [4, 2, 4]),
        ((0, 0, 1), [0, 0, 10]),
        ((0.85, 0.15, 0), [8, 2, 0]),
    ],
)
def test_shares(shares, expected):
    assert counts(log_of([10] * 3).split(shares=shares)).tolist() == [expected] * 3


@given(st.lists(st.integers(0, 60), min_size=1, max_size=20), st.data())
def test_no_share_is_no_part(lengths, data):
    train = data.draw(st.floats(0, 1))
    shares = data.draw(st.permutations([train, 1 - train, 0.0]))
    splits = counts(log_of(lengths).split(shares=shares))
    assert (splits.sum(1) == lengths).all()
    divided = np.array(lengths) >= 3
    for part in range(3):
        if shares[part] == 0:
            assert (splits[divided, part] == 0).all(), (shares, part)


def test_leave_last_out():
    time = np.array([5, 9, 7, 3, 1, 1, 4, 4, 4, 2, 1])
    log = log_of([4, 1, 2, 3, 1], time=time).split("leave-last-out")
    assert log.part.tolist() == [0, 2, 1, 0, 0, 0, 0, 1, 2, 0, 0]
    assert log.divided == "leave-last-out"
    description = log.describe()
    assert description["users_without_test"] == description["users_without_val"] == 3


def test_time():
    log = random_log(users=100)
    splits = log.split("time", shares=(0.7, 0.2, 0.1))
    t = [log.time[splits.part == part] for part in range(3)]
    assert t[0].max() < t[1].min() <= t[1].max() < t[2].min()
    # Whole ties go to the later part.
    assert 0.6 < len(t[0]) / log.num_interactions <= 0.7
    assert splits.divided == "time 0.7/0.2/0.1"
    assert log.split("time", shares=(0.8, 0.2, 0)).count(2) == 0
    assert log.split("time", shares=(0.8, 0, 0.2)).count(1) == 0


def test_time_of_floats_and_without_an_end():
    log = log_of([4], time=np.array([0.5, 2.5, 1.5, 3.5]))
    assert log.split("time", shares=(0.5, 0.25, 0.25)).part.tolist() == [0, 1, 0, 2]
    assert log.split("time", shares=(1, 0, 0)).part.tolist() == [0] * 4


def test_given_parts():
    log = log_of([3])
    for parts in ([0, 1, 2], ["train", "valid", "test"], np.array([0.0, 1.0, 2.0])):
        assert log.split(parts).part.tolist() == [0, 1, 2]
    assert log.split(["Training", "dev", "VALIDATION"]).part.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"by": "random"},
            "by must be one of user-random, leave-last-out, time.*'random'",
        ),
        ({"by": "time"}, "needs times, and this log has none; read it with time="),
        ({"by": "leave-last-out"}, "needs times, and this log has none"),
        ({"by": [0, 1]}, r"one for each of 3 interactions.* got shape \[2\]"),
        ({"by": [0, 1, 3]}, "parts must be 0, 1, 2 or one of train.*got 3"),
        ({"by": [0, 1, -1]}, "got -1; leave interactions out with log.select"),
        ({"by": ["train", "test", "tset"]}, "got 'tset'"),
        ({"by": ["train", "test", None]}, "got 'None'"),
        ({"shares": (0.8, 0.1)}, "with sum 1; got"),
        ({"shares": (0.8, 0.1, 0.2)}, "with sum 1; got"),
        ({"shares": (1.2, -0.1, -0.1)}, "with sum 1; got"),
        ({"shares": (float("nan"), 0.5, 0.5)}, "with sum 1; got"),
    ],
)
def test_splits_that_are_none(options, message):
    with pytest.raises(ValueError, match=message):
        log_of([3]).split(**options)


def test_one_moment_cannot_be_cut():
    with pytest.raises(ValueError, match="leaves nothing to train on"):
        log_of([3], time=np.zeros(3, np.int64)).split("time")


@pytest.mark.data("recsys/ml-1m_official/ml1m_split.parquet")
def test_of_each_user_as_many_as_in_the_authors_file():
    from multidd.recsys.data.benchmarks import load

    log = load("ml-1m")
    assert (counts(log.split(seed=9)) == counts(log)).all()
    assert (log.split(seed=9).part != log.part).any()
