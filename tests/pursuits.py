"""Records, choices and losses by brute force, for the tests of pursuit."""

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from multidd import seeds
from multidd.kernels import RBF, Linear, ridge_solve
from multidd.protocols import Records
from multidd.selection.pursuit import Pursuit
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
    picks = chooser.choose(of or records(), counts, seeds.at(0, "pick"))
    return picks.tolist()  # type: ignore[no-any-return]


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
    solution = ridge_solve(
        ss, theirs[list(rows)], chooser.hard_ridge * scale, relative=False
    )
    hard = (mass * (targets - cross @ solution).square()).sum()
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
