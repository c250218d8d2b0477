"""Settings chosen on validation data."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from multidd.recsys.models.base import Model
from multidd.recsys.models.ease import EASE, RIDGES
from multidd.recsys.models.metrics import measure
from multidd.recsys.models.stepwise import CAP_FACTOR, Stepwise, Training
from multidd.recsys.models.tuning import best, tune
from tests.recsys.worlds import ML100K, held_out, ml100k, rng, two_tastes


@dataclass(frozen=True)
class Fixed(Model):
    """Ranks one item first, whatever it is trained on; remembers who asked."""

    first: int = 0

    @property
    def grid(self):
        return tuple(replace(self, first=first) for first in range(4))

    def train(self, rows, weight, generator):
        scores = torch.zeros(rows.shape[1])
        scores[self.first] = 1.0
        return lambda histories: scores.expand(histories.shape[0], -1)


def test_the_best_member_wins_and_all_values_are_told():
    target = csr_array(np.eye(4)[[2, 2, 1, 2]])
    best, values = tune(
        Fixed(), csr_array(np.eye(4)), None, csr_array((4, 4)), target,
        metric="hr@1", rng=rng(),
    )  # fmt: skip
    assert best == Fixed(2)
    assert [values[Fixed(i)] for i in range(4)] == [0.0, 0.25, 0.75, 0.0]


def test_users_without_a_target_do_not_count():
    target = csr_array(np.vstack([np.eye(4)[:1], np.zeros((9, 4))]))
    best, values = tune(
        Fixed(), csr_array(np.eye(4)), None, csr_array((10, 4)), target,
        metric="hr@1", users=1, rng=rng(),
    )  # fmt: skip
    assert best == Fixed(0) and values[best] == 1.0


def test_the_sample_is_seeded():
    target = csr_array(np.eye(4)[np.arange(40) % 4])

    def values(seed):
        return tune(
            Fixed(), csr_array(np.eye(4)), None, csr_array((40, 4)), target,
            metric="hr@1", users=10, rng=rng(seed),
        )[1]  # fmt: skip

    assert values(0) == values(0) != values(1)
    assert sum(values(0).values()) == pytest.approx(1.0)  # ten users, one item each


def test_values_are_those_of_the_members():
    rows = two_tastes()
    known, target = held_out(two_tastes(seed=5))
    best, values = tune(EASE(), rows, None, known, target, metric="ndcg@5", rng=rng())
    assert [member.ridge for member in values] == list(RIDGES)
    assert values[best] == max(values.values())
    alone = measure(best.fit(rows).scorer, known, target, "ndcg@5")
    assert values[best] == pytest.approx(alone)


def test_refusals():
    rows, known = csr_array(np.eye(4)), csr_array((2, 4))
    with pytest.raises(ValueError, match="none of the 0 users has a target"):
        tune(Fixed(), rows, None, known, csr_array((2, 4)), rng=rng())
    with pytest.raises(ValueError, match="4 and 5 items"):
        tune(Fixed(), rows, None, csr_array((2, 5)), csr_array((2, 5)), rng=rng())
    with pytest.raises(ValueError, match="users=0"):
        tune(Fixed(), rows, None, known, known, users=0, rng=rng())


@pytest.mark.data(ML100K)
def test_movielens_100k_takes_a_ridge_of_500(data_root):
    train, val, _ = ml100k(data_root)
    best, values = tune(EASE(), train, None, train, val, users=500, rng=rng())
    assert best.ridge in (200.0, 500.0, 1000.0)
    assert values[best] > 0.68


# --- whole data -----------------------------------------------------------------------


@dataclass(frozen=True)
class Late(Stepwise):
    """Ranks the item of everybody first from some update until another."""

    updates: int = 8
    right_from: int = 0
    right_until: int = 10**9

    def begin(self, rows, weight, generator):
        return _Run(self, rows, weight, generator)


class _Run(Training):
    def __init__(self, model, *arguments):
        super().__init__(*arguments)
        self.model, self.weight = model, torch.zeros(1, requires_grad=True)
        self.optimizer = torch.optim.SGD([self.weight], lr=1.0)

    def loss(self):
        return self.weight.sum()

    def scorer(self):
        model, done = self.model, self.done
        right = model.right_from <= done < model.right_until
        order = [3.0, 2.0, 1.0, 0.0] if right else [0.0, 1.0, 2.0, 3.0]
        return lambda rows: torch.tensor(order).expand(rows.shape[0], -1)


@pytest.mark.parametrize(
    ("model", "updates", "looks"),
    [
        (Late(right_from=3), 3, 3 + 8),
        (Late(right_from=8), 8, 8 + 8),
        (Late(right_from=10), 1, 1 + 8),  # as many as `updates` have not raised it
        (Late(updates=16, right_from=14, right_until=40), 14, 7 + 8),
    ],
)
def test_whole_data_are_trained_on_until_the_value_stops_rising(model, updates, looks):
    one = csr_array(np.eye(4)[:1])
    options = {"metric": "hr@1", "rng": rng(), "whole": True}
    tuned = best(model, one, None, csr_array((1, 4)), one, **options)
    assert tuned.model.updates == updates and len(tuned.values) == looks
    assert not tuned.capped
    options |= {"rng": rng(), "whole": False}
    tuned = best(model, one, None, csr_array((1, 4)), one, **options)
    assert len(tuned.values) == 8 and not tuned.capped


def test_what_still_rises_at_the_cap_is_told(monkeypatch):
    values = iter(np.linspace(0, 1, 8 * CAP_FACTOR))
    name = "multidd.recsys.models.tuning.measure"
    monkeypatch.setattr(name, lambda *_, **__: next(values))
    one = csr_array(np.eye(4)[:1])
    tuned = best(Late(), one, None, csr_array((1, 4)), one, rng=rng(), whole=True)
    assert tuned.capped and tuned.model.updates == 8 * CAP_FACTOR
