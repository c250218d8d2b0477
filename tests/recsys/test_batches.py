"""`UserTask`: real users at a step, each with something to predict."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from multidd.recsys.data.log import InteractionLog
from multidd.recsys.tasks import user_task as module
from multidd.recsys.tasks.user_batch import Histories
from multidd.recsys.tasks.user_task import UserTask
from tests.recsys.users import ITEMS
from tests.recsys.worlds import rng


def picked(x, rows):
    """The row of x that each of some rows is."""
    equal = (rows[:, None] == x).all(2)
    assert (equal.sum(1) >= 1).all()
    return equal.float().argmax(1)


# --- real users at a step -------------------------------------------------------------


def test_rows_are_training_histories(log, known):
    task = UserTask(log)
    assert torch.equal(task.rows.dense(), known)
    assert task.num_items == ITEMS and task.num_classes == 1
    extra = csr_array(np.eye(ITEMS, dtype=np.float32)[:3] * 0.5)
    more = replace(task, extra=extra).rows.dense()
    assert torch.equal(more, torch.cat([known, torch.from_numpy(extra.toarray())]))


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_all_from_all(log, known, balance):
    task = UserTask(log, batch_size=None, holdout=0.0, balance=balance)
    batch = task.batch(rng())
    assert torch.equal(batch.seen.dense(), known)
    assert torch.equal(batch.targets.rows.dense(), known)
    assert batch.targets.hidden is None
    torch.testing.assert_close(batch.targets.weights, known.sum(1) ** -balance)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_every_interaction_is_on_one_side(log, known, share):
    task = UserTask(log, batch_size=None, holdout=share)
    expected = 0.0
    for seed in range(20):
        batch = task.batch(rng(seed))
        seen, goal = batch.seen.dense(), batch.targets.rows.dense()
        assert torch.equal(seen + goal, known)
        assert not (seen * goal).any()
        assert torch.equal(batch.targets.hidden.dense(), seen)
        expected += float(goal.sum() / known.sum()) / 20
    assert expected == pytest.approx(share, abs=0.02)


def test_sides_are_drawn_for_each_interaction(log, known):
    """Not so many of each user: the halves vary as coins do."""
    task = UserTask(log, batch_size=None, holdout=0.5)
    drawn = torch.stack([task.batch(rng(s)).seen.dense() for s in range(300)])
    each = drawn.mean(0)[known > 0]
    assert each.min() > 0.35 and each.max() < 0.65
    spread = drawn.sum(2).var(0)
    ratio = spread / (known.sum(1) / 4)
    assert ratio.mean() == pytest.approx(1.0, abs=0.1)


def test_balance_by_hand():
    log = InteractionLog.from_csr(csr_array([[1, 1, 1, 1, 1], [0, 0, 0, 0, 1]]))
    task = UserTask(log, batch_size=None, holdout=0.6, balance=0.5)
    seen = set()
    for seed in range(40):
        aims = task.batch(rng(seed)).targets
        for count, weight in zip(aims.rows.counts, aims.weights, strict=True):
            assert float(weight) == pytest.approx(max(1, int(count)) ** -0.5)
            seen.add(int(count))
    assert {0, 1, 2, 3, 4} <= seen  # users of whom nothing is left count too


def test_the_generator_decides(log):
    task = UserTask(log, batch_size=20)
    one, same, other = (task.batch(rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(one.seen.dense(), same.seen.dense())
    assert torch.equal(one.targets.rows.dense(), same.targets.rows.dense())
    assert not torch.equal(one.seen.dense(), other.seen.dense())


@pytest.fixture(scope="module")
def distinct():
    """Forty users, no two alike."""
    bits = np.arange(1, 41)[:, None] >> np.arange(6) & 1
    return InteractionLog.from_csr(csr_array(bits.astype(np.float32)))


@pytest.mark.parametrize("size", [1, 7, 39, 40, 1000])
def test_users_of_a_batch(distinct, size):
    task = UserTask(distinct, batch_size=size, holdout=0.0)
    seen, x = set(), task.rows.dense()
    for seed in range(60):
        result = picked(x, task.batch(rng(seed)).seen.dense()).tolist()
        assert len(result) == len(set(result)) == min(size, 40)
        seen |= set(result)
    assert len(seen) > 25


def test_users_of_many_come_again(distinct, monkeypatch):
    monkeypatch.setattr(module, "MANY_USERS", 39)
    task = UserTask(distinct, batch_size=30, holdout=0.0)
    x, counts = task.rows.dense(), torch.zeros(40)
    for seed in range(200):
        result = picked(x, task.batch(rng(seed)).seen.dense())
        assert len(result) == 30 > len(result.unique())
        counts += torch.bincount(result, minlength=40)
    assert counts.min() > 100 and counts.max() < 200  # 150 each


def test_a_batch_that_is_held(log):
    task = UserTask(log, batch_size=5)
    batch = task.batch(rng())
    held = task.with_fixed_batch(batch)
    assert held.batch(rng(7)) is batch and task.held is None


@pytest.mark.parametrize("holdout", [0.0, 0.5])
def test_some_users_of_a_batch(log, holdout):
    task = UserTask(log, batch_size=None, holdout=holdout)
    batch, rows = task.batch(rng()), torch.tensor([4, 0, 4, 58])
    some = task.take(batch, rows)
    assert len(some) == 4
    assert torch.equal(some.seen.dense(), batch.seen.dense()[rows])
    aims, all_aims = some.targets, batch.targets
    assert torch.equal(aims.rows.dense(), all_aims.rows.dense()[rows])
    assert torch.equal(aims.weights, all_aims.weights[rows])
    if holdout:
        assert torch.equal(aims.hidden.dense(), all_aims.hidden.dense()[rows])
    other_batch = task.synthetic({"x": torch.rand(5, ITEMS, generator=rng())})
    part = task.take(other_batch, rows[1:3])
    assert torch.equal(part.seen, other_batch.seen[rows[1:3]]) and part.targets is None
    classes = task.classes(some)
    assert classes.mass.tolist() == [4.0] and task.view(rng())(some) is some


def test_inputs_and_targets(log):
    task = UserTask(log, batch_size=None)
    real = task.batch(rng())
    assert task.inputs(real) is real.seen and task.targets(real) is real.targets
    x = torch.rand(5, ITEMS, generator=rng())
    batch = task.synthetic({"x": x})
    assert task.inputs(batch) is x and task.targets(batch) is x
    bare = Histories(real.seen)
    assert torch.equal(task.targets(bare), real.seen.dense())
