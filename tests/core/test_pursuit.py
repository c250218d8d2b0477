"""Matching pursuit against brute force: every set solved anew."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch

from multidd import seeds
from multidd.kernels import RBF
from multidd.protocols import Records
from multidd.selection.basic import Random
from multidd.selection.pursuit import Pursuit
from multidd.selection.pursuit_losses import (
    CandidateColumn,
    HardLabelLoss,
    PursuitLoss,
    SoftLabelLoss,
)
from tests.pursuits import COUNTS, chosen, every, greedy, loss, records
from tests.toy import iris

# --- the losses -------------------------------------------------------------------


def losses() -> list[tuple[PursuitLoss, Callable[[list[int]], float]]]:
    """Both, with the same by direct solutions, on kernels of random points."""
    rng = seeds.at(0, "points")
    x = torch.randn(10, 3, generator=rng, dtype=torch.float64)
    z = torch.randn(30, 3, generator=rng, dtype=torch.float64)
    targets = torch.randn(30, 2, generator=rng, dtype=torch.float64) / 5
    noise = torch.randn(10, 2, generator=rng, dtype=torch.float64)
    gram, reach = RBF(0.3)(x), RBF(0.3)(x, z) / 5

    def soft(rows: list[int]) -> float:
        within, across = gram[rows][:, rows], reach[rows]
        dual = torch.linalg.solve(across @ across.mT + 0.01 * within, across @ targets)
        gap = (targets - across.mT @ dual).square().sum()
        return float(gap + 0.01 * (dual * (within @ dual)).sum())

    def hard(rows: list[int]) -> float:
        system = gram[rows][:, rows] + 0.1 * torch.eye(len(rows)).double()
        gap = targets - reach[rows].mT @ torch.linalg.solve(system, noise[rows])
        return float(gap.square().sum())

    diagonal = gram.diagonal()
    return [
        (SoftLabelLoss(reach, targets, diagonal, 0.01), soft),
        (HardLabelLoss(reach, targets, diagonal, noise, 0.1), hard),
    ]


def columns() -> list[CandidateColumn]:
    rng = seeds.at(0, "points")
    x = torch.randn(10, 3, generator=rng, dtype=torch.float64)
    z = torch.randn(30, 3, generator=rng, dtype=torch.float64)
    gram, reach = RBF(0.3)(x), RBF(0.3)(x, z) / 5
    return [CandidateColumn(row, gram[row], reach @ reach[row]) for row in range(10)]


@pytest.mark.parametrize("which", [0, 1], ids=["soft", "hard"])
def test_updates_of_rank_one_are_solutions_from_nothing(which: int) -> None:
    """Points come and go; all gains and all swaps are those of solved systems."""
    (result, expected), rows = losses()[which], []
    for step in (3, 7, 1, -1, 5, -3, 2, 9, -2, 0):  # below zero: a place to drop
        if step >= 0:
            result.add(columns()[step])
            rows.append(step)
        else:
            result.drop(-step - 1)
            del rows[-step - 1]
        assert result.cost == pytest.approx(expected(rows), abs=1e-9)
        others = [row for row in range(10) if row not in rows]
        after = [expected([*rows, row]) for row in others]
        gains = result.gains()[others]
        assert (result.cost - gains).tolist() == pytest.approx(after, abs=1e-9)
        for place in range(len(rows)):
            less = rows[:place] + rows[place + 1 :]
            swapped = [expected([*less, row]) for row in others]
            costs = result.swapped(place, torch.tensor(others)).tolist()
            assert costs == pytest.approx(swapped, abs=1e-9)


# --- picks ------------------------------------------------------------------------


@every
def test_greedy_equals_brute_force(chooser: Pursuit) -> None:
    once = replace(chooser, swaps=0)
    expected = greedy(once, records(), COUNTS)
    assert sorted(chosen(once)) == sorted(expected)


def test_greedy_with_weights_equals_brute_force() -> None:
    weights = 1 + torch.arange(28.0).double() % 5
    chooser = Pursuit(RBF(0.3), ridge=1e-3, swaps=0)
    expected = greedy(chooser, records(weights), COUNTS)
    assert sorted(chosen(chooser, records(weights))) == sorted(expected)
    assert sorted(expected) != sorted(greedy(chooser, records(), COUNTS))


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
    for chooser in (Pursuit(), Pursuit(blend=0.5), Pursuit(max_candidates=12)):
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
    picks = Pursuit(blend=0.7).choose(of, (2, 2), seeds.at(0, "pick"))
    assert sorted((picks // 9).tolist()) == [0, 1, 2, 3]
    for row in picks.tolist():
        heap = x[row // 9 * 9 : row // 9 * 9 + 9]
        gaps = (heap - heap.mean(0)).square().sum(1)
        assert gaps[row % 9] <= gaps.sort().values[2]


def test_a_sample_has_what_counts_ask_for() -> None:
    rows = chosen(Pursuit(max_candidates=9), counts=(5, 5, 5))
    assert records().labels[rows].bincount().tolist() == [5, 5, 5]


@pytest.mark.parametrize("kind", ["all", "half"])
@every
def test_equal_records(chooser: Pursuit, kind: str) -> None:
    """Kernels without full rank: picks are still different records."""
    x, y, _, _ = iris()
    same = torch.ones(len(x), dtype=torch.bool) if kind == "all" else x[:, 0] > 0
    of = Records(torch.where(same[:, None], torch.ones_like(x), x), y, 3)
    for inputs in (of, Records(of.features.float(), y, 3)):
        assert len(set(chosen(chooser, inputs, (5, 5, 5)))) == 15


@pytest.mark.parametrize("balance", [0.5, 1.0])
def test_balance_counts_records_by_the_size_of_their_class(balance: float) -> None:
    some = records()
    keep = torch.cat(
        [
            (some.labels == 0).nonzero().flatten()[:3],
            (some.labels != 0).nonzero().flatten(),
        ]
    )
    uneven = Records(some.features[keep], some.labels[keep], some.num_classes)
    sizes = uneven.labels.bincount().to(uneven.features.dtype)
    weighted = replace(uneven, weights=(sizes**-balance)[uneven.labels])
    counts = [1] * some.num_classes
    result, same = (
        method.pick(inputs, counts, seeds.at(0, "pick"))
        for method, inputs in (
            (Pursuit(balance=balance), uneven),
            (Pursuit(), weighted),
        )
    )
    assert torch.equal(result.indices, same.indices)
    assert (result.labels == same.labels).all()
