"""An older summary beside a new log, over the items of both."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from multidd.parameterizations import Free, GumbelHistories
from multidd.recsys.data.log import InteractionLog
from multidd.recsys.methods.warm_start import FrozenRows, merged, replayed
from multidd.recsys.summary.summary import RecsysSummary
from multidd.recsys.tasks.user_task import UserTask
from multidd.seeds import at
from multidd.selection.basic import Random
from tests.recsys.logs import random_log, same, triples
from tests.recsys.worlds import two_tastes

SOURCE = {"users": 9, "train": 30}
TOP = 2**63


def summary(ids, seed=0):
    rows = np.random.default_rng(seed).random((4, len(ids)), dtype=np.float32)
    return RecsysSummary.from_csr(rows, source=SOURCE, method="mine", item_ids=ids)


def log_of(ids):
    """A log of 30 users with ratings, times and parts."""
    result = random_log(items=len(ids))
    return replace(result, item_ids=np.asarray(ids)).split(seed=1)


def uint(*values):
    return np.array(values, dtype=np.uint64)


IDS = {
    "numbers": (np.arange(10, 22), np.arange(5, 18)),
    "none shared": (np.arange(12), np.arange(100, 105)),
    "not sorted": (np.array([7, 3, 9, 1, 5]), np.array([6, 9, 2, 3])),
    "texts": (
        np.array(["b", "é", "a", "10", "9"], object),
        np.array(["c", "a", "9", "z"], object),
    ),
    # Floats cannot tell these apart.
    "hashes": (
        uint(TOP, TOP + 1, TOP + 2, 5),
        uint(TOP + 1, TOP + 3, 5, TOP + 4),
    ),
    "numbers, then hashes": (
        np.array([TOP - 1, TOP - 2, TOP - 3, 4]),
        uint(TOP + 1, TOP, TOP - 1, TOP - 2),
    ),
}


@pytest.mark.parametrize("turned", [False, True], ids=["", "turned"])
@pytest.mark.parametrize("kind", IDS)
def test_items_of_both(kind, turned):
    ours, theirs = IDS[kind][::-1] if turned else IDS[kind]
    log, older = log_of(theirs), summary(ours)
    before = log_of(theirs)
    wide, rows = merged(log, older)
    union = sorted({*ours.tolist(), *theirs.tolist()})
    assert wide.item_ids.tolist() == union
    assert triples(wide) == triples(log)
    assert (wide.user_ids == log.user_ids).all() and wide.divided == log.divided
    assert same(log, before)
    dense = rows.toarray()
    assert dense.shape == (4, len(union)) and dense.dtype == np.float32
    for item, column in zip(ours.tolist(), older.to_csr().toarray().T, strict=True):
        assert (dense[:, union.index(item)] == column).all()
    others = [union.index(item) for item in set(union) - set(ours.tolist())]
    assert not dense[:, others].any()
    assert rows.has_canonical_format


def test_the_same_items_change_nothing():
    log = log_of(np.arange(12))
    wide, rows = merged(log, summary(np.arange(12)))
    assert same(wide, log)
    assert (rows.toarray() == summary(np.arange(12)).to_csr().toarray()).all()


@pytest.mark.parametrize("length", [1, 3, 1000])
def test_replayed_rows_are_histories_of_real_length(length):
    """Ones at the largest entries, as many as a real user has."""
    ones = np.zeros((5, 1000), np.float32)
    ones[:4, :length] = 1  # the fifth user has nothing, and does not count
    log = InteractionLog.from_csr(csr_array(ones))
    rows = np.random.default_rng(0).random((6, 1000), dtype=np.float32) + 0.01
    result = replayed(csr_array(rows), log).toarray()
    assert set(np.unique(result)) <= {0, 1} and (result.sum(1) == length).all()
    least = np.where(result > 0, rows, 9).min(1)
    assert (np.where(result > 0, 0, rows).max(1) < least).all()


def test_kept_rows_are_in_front_of_every_draw():
    task = UserTask(InteractionLog.from_csr(two_tastes()))
    rows = torch.rand(2, 24, generator=at(0, "rows"))
    base = GumbelHistories(Free(Random(), (3,)))
    form = FrozenRows(base, rows)
    params = form.init(task, at(0, "start"))
    other_params = base.init(task, at(0, "start"))
    assert form.groups == base.groups
    assert {name: params[name] for name in other_params}.keys() == other_params.keys()
    for draw, plain in (
        (form.draw(params, at(1, "d"), 0), base.draw(other_params, at(1, "d"), 0)),
        (form.final(params, at(1, "f")), base.final(other_params, at(1, "f"))),
    ):
        assert torch.equal(draw["x"], torch.cat([rows, plain["x"]]))
        assert draw["y"].tolist() == [0] * 5
    assert repr(form).count("tensor") == 0


def test_what_does_not_go_together():
    log = log_of(np.arange(5))
    with pytest.raises(ValueError, match="'a', those of the log like .*one kind"):
        merged(log, summary(["a", "b"]))
    with pytest.raises(TypeError, match="must be a RecsysSummary, got csr_array"):
        merged(log, log.train)
    with pytest.raises(TypeError, match="must fit 64 bits"):
        merged(log_of(np.arange(5) - 2), summary(uint(TOP, TOP + 1)))
