"""Matching pursuit against brute force: every set solved anew."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from multidd import seeds
from multidd.kernels import RBF, Linear, ridge_solve
from multidd.protocols import Records
from multidd.pursuit import Pursuit
from multidd.pursuit_losses import Column, Hard, Loss, Soft
from multidd.selection import Random
from tests.toy import iris

COUNTS = (2, 3, 2)
SETTINGS = [
    Pursuit(),
    Pursuit(hard=0.0),
    Pursuit(RBF(0.2), ridge=1e-2, hard=3.0, hard_ridge=1.0),
    Pursuit(Linear(), ridge=1e-3),
]
every = pytest.mark.parametrize("chooser", SETTINGS, ids=str)


def records(weights: Tensor | None = None) -> Records:
    x, y, _, _ = iris()
    return Records(x, y, 3, weights)


def chosen(
    chooser: Pursuit, of: Records | None = None, counts: Sequence[int] = COUNTS
) -> list[int]:
    found = chooser.choose(of or records(), counts, seeds.at(0, "pick"))
    return found.tolist()  # type: ignore[no-any-return]


def loss(
    chooser: Pursuit, of: Records, rows: Sequence[int], pool: Records | None = None
) -> float:
    """The loss of rows of a pool, by two regressions that are solved from nothing."""
    x, pool, kernel = of.features, pool or of, chooser.kernel
    points = pool.features[list(rows)]
    targets, theirs = (F.one_hot(r.labels, 3).to(x.dtype) - 1 / 3 for r in (of, pool))
    mass = torch.ones(len(x)) if of.weights is None else of.weights
    mass = (mass / mass.sum()).to(x.dtype)[:, None]
    ss, cross = kernel(points), kernel(x, points)
    scale = float(kernel(pool.features).diagonal().mean())
    amount, weighted = chooser.ridge * scale, (mass * cross).mT
    dual = torch.linalg.solve(weighted @ cross + amount * ss, weighted @ targets)
    soft = (mass * (targets - cross @ dual).square()).sum()
    soft = soft + amount * (dual * (ss @ dual)).sum()
    own = ridge_solve(
        ss, theirs[list(rows)], chooser.hard_ridge * scale, relative=False
    )
    hard = (mass * (targets - cross @ own).square()).sum()
    return float(soft + chooser.hard * hard)


def greedy(
    chooser: Pursuit, of: Records, counts: Sequence[int], pool: Records | None = None
) -> list[int]:
    """Each set tried, one record more at a time."""
    rows: list[int] = []
    labels = (pool or of).labels
    for _ in range(sum(counts)):
        have = labels[rows].bincount(minlength=3)
        free = [
            row
            for row, label in enumerate(labels.tolist())
            if row not in rows and have[label] < counts[label]
        ]
        rows.append(min(free, key=lambda row: loss(chooser, of, [*rows, row], pool)))
    return rows


# --- the losses -------------------------------------------------------------------


def losses() -> list[tuple[Loss, Callable[[list[int]], float]]]:
    """Both, with the same by direct solutions, on kernels of random points."""
    rng = seeds.at(0, "points")
    x = torch.randn(10, 3, generator=rng, dtype=torch.float64)
    z = torch.randn(30, 3, generator=rng, dtype=torch.float64)
    targets = torch.randn(30, 2, generator=rng, dtype=torch.float64) / 5
    own = torch.randn(10, 2, generator=rng, dtype=torch.float64)
    gram, reach = RBF(0.3)(x), RBF(0.3)(x, z) / 5

    def soft(rows: list[int]) -> float:
        within, across = gram[rows][:, rows], reach[rows]
        dual = torch.linalg.solve(across @ across.mT + 0.01 * within, across @ targets)
        gap = (targets - across.mT @ dual).square().sum()
        return float(gap + 0.01 * (dual * (within @ dual)).sum())

    def hard(rows: list[int]) -> float:
        system = gram[rows][:, rows] + 0.1 * torch.eye(len(rows)).double()
        gap = targets - reach[rows].mT @ torch.linalg.solve(system, own[rows])
        return float(gap.square().sum())

    diagonal = gram.diagonal()
    return [
        (Soft(reach, targets, diagonal, 0.01), soft),
        (Hard(reach, targets, diagonal, own, 0.1), hard),
    ]


def columns() -> list[Column]:
    rng = seeds.at(0, "points")
    x = torch.randn(10, 3, generator=rng, dtype=torch.float64)
    z = torch.randn(30, 3, generator=rng, dtype=torch.float64)
    gram, reach = RBF(0.3)(x), RBF(0.3)(x, z) / 5
    return [Column(row, gram[row], reach @ reach[row]) for row in range(10)]


@pytest.mark.parametrize("which", [0, 1], ids=["soft", "hard"])
def test_updates_of_rank_one_are_solutions_from_nothing(which: int) -> None:
    """Points come and go; all gains and all swaps are those of solved systems."""
    (found, wanted), rows = losses()[which], []
    for step in (3, 7, 1, -1, 5, -3, 2, 9, -2, 0):  # below zero: a place to drop
        if step >= 0:
            found.add(columns()[step])
            rows.append(step)
        else:
            found.drop(-step - 1)
            del rows[-step - 1]
        assert found.cost == pytest.approx(wanted(rows), abs=1e-9)
        others = [row for row in range(10) if row not in rows]
        after = [wanted([*rows, row]) for row in others]
        gains = found.gains()[others]
        assert (found.cost - gains).tolist() == pytest.approx(after, abs=1e-9)
        for place in range(len(rows)):
            less = rows[:place] + rows[place + 1 :]
            swapped = [wanted([*less, row]) for row in others]
            costs = found.swapped(place, torch.tensor(others)).tolist()
            assert costs == pytest.approx(swapped, abs=1e-9)


# --- picks ------------------------------------------------------------------------


@every
def test_greedy_equals_brute_force(chooser: Pursuit) -> None:
    once = replace(chooser, swaps=0)
    wanted = greedy(once, records(), COUNTS)
    assert sorted(chosen(once)) == sorted(wanted)


def test_greedy_with_weights_equals_brute_force() -> None:
    weights = 1 + torch.arange(28.0).double() % 5
    chooser = Pursuit(RBF(0.3), ridge=1e-3, swaps=0)
    wanted = greedy(chooser, records(weights), COUNTS)
    assert sorted(chosen(chooser, records(weights))) == sorted(wanted)
    assert sorted(wanted) != sorted(greedy(chooser, records(), COUNTS))


@every
def test_swaps_never_raise_the_loss(chooser: Pursuit) -> None:
    of = records()
    costs = [
        loss(chooser, of, chosen(replace(chooser, swaps=swaps))) for swaps in (0, 1, 3)
    ]
    assert costs[1] <= costs[0] + 1e-9 and costs[2] <= costs[1] + 1e-9


def test_swaps_end_where_no_single_one_helps() -> None:
    chooser = Pursuit(RBF(0.3), ridge=1e-3, swaps=50)
    of, rows = records(), chosen(Pursuit(RBF(0.3), ridge=1e-3, swaps=50))
    least = loss(chooser, of, rows)
    for place, row in product(range(len(rows)), range(28)):
        if row in rows or of.labels[row] != of.labels[rows[place]]:
            continue
        other = [*rows[:place], row, *rows[place + 1 :]]
        assert loss(chooser, of, other) > least - 1e-7


@every
@pytest.mark.parametrize("counts", [(1, 1, 1), (4, 2, 3), (13, 9, 6)])
def test_counts_and_no_repeats(chooser: Pursuit, counts: Any) -> None:
    rows = chosen(chooser, counts=counts)
    assert len(set(rows)) == sum(counts)
    labels = records().labels[rows]
    assert labels.tolist() == sorted(labels.tolist())
    assert labels.bincount(minlength=3).tolist() == list(counts)


def test_pick_is_choose_as_a_selection() -> None:
    picks = Pursuit().pick(records(), COUNTS, seeds.at(0, "pick"))
    assert picks.indices.tolist() == chosen(Pursuit())
    assert picks.labels.tolist() == [0, 0, 1, 1, 1, 2, 2]


def test_picks_predict_better_than_random_ones() -> None:
    chooser, of = Pursuit(hard=0.0), records()
    ours = loss(chooser, of, chosen(chooser))
    for seed in range(5):
        rows = Random().pick(of, COUNTS, seeds.at(seed, "r")).indices.tolist()
        assert loss(chooser, of, rows) > ours


def test_excluded_rows_are_never_picked() -> None:
    first = chosen(Pursuit())
    again = chosen(Pursuit(exclude=tuple(first)))
    assert not set(first) & set(again)
    assert sorted(again) == sorted(chosen(Pursuit(exclude=(*first, *first))))


def test_same_seed_same_picks() -> None:
    for chooser in (Pursuit(), Pursuit(blend=0.5), Pursuit(most=12)):
        assert chosen(chooser) == chosen(chooser)


def test_order_of_records_does_not_matter() -> None:
    of = records()
    order = torch.randperm(28, generator=seeds.at(0, "order"))
    shuffled = Records(of.features[order], of.labels[order], 3)
    assert sorted(order[chosen(Pursuit(), shuffled)].tolist()) == sorted(
        chosen(Pursuit(), of)
    )


def test_one_of_each_cluster() -> None:
    """Two heaps in each class, two picks: one of each heap, near its middle."""
    rng = seeds.at(0, "heaps")
    centers = torch.tensor([[0.0, 0], [4, 0], [0, 9], [4, 9]])
    x = centers.repeat_interleave(9, 0) + 0.3 * torch.randn(36, 2, generator=rng)
    of = Records(x, torch.tensor([0, 1]).repeat_interleave(18), 2)
    found = Pursuit(blend=0.7).choose(of, (2, 2), seeds.at(0, "pick"))
    assert sorted((found // 9).tolist()) == [0, 1, 2, 3]
    for row in found.tolist():
        heap = x[row // 9 * 9 : row // 9 * 9 + 9]
        gaps = (heap - heap.mean(0)).square().sum(1)
        assert gaps[row % 9] <= gaps.sort().values[2]


def test_a_sample_has_what_counts_ask_for() -> None:
    rows = chosen(Pursuit(most=9), counts=(5, 5, 5))
    assert records().labels[rows].bincount().tolist() == [5, 5, 5]


@pytest.mark.parametrize("kind", ["all", "half"])
@every
def test_equal_records(chooser: Pursuit, kind: str) -> None:
    """Kernels without full rank: picks are still different records."""
    x, y, _, _ = iris()
    same = torch.ones(len(x), dtype=torch.bool) if kind == "all" else x[:, 0] > 0
    of = Records(torch.where(same[:, None], torch.ones_like(x), x), y, 3)
    for given in (of, Records(of.features.float(), y, 3)):
        assert len(set(chosen(chooser, given, (5, 5, 5)))) == 15


# --- proposals and labels -----------------------------------------------------------


def test_proposals_are_scored_by_the_same_loss() -> None:
    """Greedy picks among both are those of brute force; some are proposals."""
    of, (_, _, x, y) = records(), iris()
    more = Records(x[::6], y[::6], 3)
    both = Records(torch.cat([of.features, x[::6]]), torch.cat([of.labels, y[::6]]), 3)
    chooser = Pursuit(RBF(0.1), swaps=0)
    found = chooser.choose(of, COUNTS, seeds.at(0, "pick"), more)
    assert sorted(found.tolist()) == sorted(greedy(chooser, of, COUNTS, both))
    assert 0 < int((found >= 28).sum()) < len(found)
    assert both.labels[found].tolist() == [0, 0, 1, 1, 1, 2, 2]


def test_proposals_that_are_of_no_use_change_nothing() -> None:
    far = Records(torch.full((3, 4), 100.0).double(), torch.arange(3), 3)
    chooser = Pursuit(RBF(0.1))
    found = chooser.choose(records(), COUNTS, seeds.at(0, "pick"), far)
    assert found.tolist() == chosen(chooser)


def test_all_records_excluded_leaves_proposals() -> None:
    more = Records(records().features[:14] + 0.1, records().labels[:14], 3)
    chooser = Pursuit(exclude=tuple(range(28)))
    found = chooser.choose(records(), (1, 1, 1), seeds.at(0, "pick"), more)
    assert bool((found >= 28).all())


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
        ({"swaps": -1}, "swaps"),
        ({"most": 0}, "most"),
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
