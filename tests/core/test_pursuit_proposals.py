"""Proposals, labels and refusals of pursuit."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from multidd import seeds
from multidd.kernels import RBF, ridge_solve
from multidd.protocols import Records
from multidd.selection.pursuit import Pursuit
from tests.pursuits import COUNTS, chosen, every, greedy, records
from tests.toy import iris

# --- proposals and labels -----------------------------------------------------------


def test_proposals_are_scored_by_the_same_loss() -> None:
    """Greedy picks among both are those of brute force; some are proposals."""
    of, (_, _, x, y) = records(), iris()
    more = Records(x[::6], y[::6], 3)
    both = Records(torch.cat([of.features, x[::6]]), torch.cat([of.labels, y[::6]]), 3)
    chooser = Pursuit(RBF(0.1), swaps=0)
    picks = chooser.choose(of, COUNTS, seeds.at(0, "pick"), more)
    assert sorted(picks.tolist()) == sorted(greedy(chooser, of, COUNTS, both))
    assert 0 < int((picks >= 28).sum()) < len(picks)
    assert both.labels[picks].tolist() == [0, 0, 1, 1, 1, 2, 2]


def test_proposals_that_are_of_no_use_change_nothing() -> None:
    far = Records(torch.full((3, 4), 100.0).double(), torch.arange(3), 3)
    chooser = Pursuit(RBF(0.1))
    picks = chooser.choose(records(), COUNTS, seeds.at(0, "pick"), far)
    assert picks.tolist() == chosen(chooser)


def test_all_records_excluded_leaves_proposals() -> None:
    more = Records(records().features[:14] + 0.1, records().labels[:14], 3)
    chooser = Pursuit(exclude=tuple(range(28)))
    picks = chooser.choose(records(), (1, 1, 1), seeds.at(0, "pick"), more)
    assert bool((picks >= 28).all())


@every
def test_labels_in_closed_form_never_cost_more(chooser: Pursuit) -> None:
    of, targets = records(), F.one_hot(records().labels, 3).double() - 1 / 3
    rows = torch.tensor(chosen(chooser))
    points = of.features[rows]
    ss, cross = chooser.kernel(points), chooser.kernel(of.features, points)

    def cost(labels: Tensor) -> float:
        dual = ridge_solve(ss, labels, chooser.ridge)
        gap = (targets - cross @ dual).square().sum() / len(targets)
        amount = chooser.ridge * ss.diagonal().mean()
        return float(gap + amount * (dual * (ss @ dual)).sum())

    soft = chooser.labels(of, rows)
    assert cost(soft) < cost(targets[rows])
    assert soft.sum(1).abs().max() < 1e-6
    assert torch.equal(soft, chooser.labels(of, points))


# --- refusals -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ridge": 0.0}, "ridge"),
        ({"hard_ridge": -1.0}, "hard_ridge"),
        ({"hard": -1.0}, "hard"),
        ({"hard": float("nan")}, "hard"),
        ({"blend": 1.0}, "blend"),
        ({"balance": 1.5}, r"balance must be in \[0, 1\], got 1.5"),
        ({"swaps": -1}, "swaps"),
        ({"max_candidates": 0}, "max_candidates"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pursuit(**settings)


def test_rows_and_counts_that_are_refused() -> None:
    of, rng = records(), seeds.at(0, "pick")
    with pytest.raises(ValueError, match="28"):
        Pursuit(exclude=(28,)).choose(of, COUNTS, rng)
    with pytest.raises(ValueError, match="class 2 has 6"):
        Pursuit().choose(of, (1, 1, 7), rng)
    gone = tuple((of.labels == 2).nonzero().flatten().tolist())
    with pytest.raises(ValueError, match="class 2 has 0"):
        Pursuit(exclude=gone).choose(of, COUNTS, rng)
    with pytest.raises(ValueError, match="proposals"):
        wide = Records(torch.zeros(1, 9), torch.zeros(1).long(), 3)
        Pursuit().choose(of, COUNTS, rng, wide)
