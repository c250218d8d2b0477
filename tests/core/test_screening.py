"""Herding and k-center through a screen pick what a search through all picks."""

import pytest
import torch
from torch import Tensor

import multidd
from multidd import seeds
from multidd.protocols import Records
from multidd.recsys.methods.selection import embedding
from multidd.selection import Herding, KCenter
from multidd.selection.screening import Screen


def herded(x: Tensor, mass: Tensor, count: int) -> list[int]:
    """Herding by the whole gap of every record, in the rounding of the records."""
    goal, total = mass @ x / mass.sum(), torch.zeros_like(x[0])
    free, chosen = torch.ones(len(x), dtype=torch.bool), []
    for size in range(1, count + 1):
        gap = ((total + x) / size - goal).square().sum(1)
        best = int(gap.masked_fill(~free, torch.inf).argmin())
        free[best] = False
        total = total + x[best]
        chosen.append(best)
    return chosen


def spread(x: Tensor, mass: Tensor, count: int) -> list[int]:
    """Greedy k-center by the distances of all records to each center."""
    chosen = [int((x - mass @ x / mass.sum()).square().sum(1).argmin())]
    near = (x - x[chosen[0]]).square().sum(1)
    for _ in range(count - 1):
        near[chosen[-1]] = -1.0
        chosen.append(int(near.argmax()))
        near = torch.minimum(near, (x - x[chosen[-1]]).square().sum(1))
    return chosen


def normal(rows: int, width: int) -> Tensor:
    return torch.randn(rows, width, generator=seeds.at(0, f"{rows}x{width}"))


SETS = {
    "one number": lambda: normal(400, 1),
    "narrow": lambda: normal(700, 5),
    "wide": lambda: normal(300, 400),
    "far from zero": lambda: normal(400, 60) + 30,
    "ties": lambda: (normal(600, 12) > 0.8).float(),
    "small whole numbers": lambda: normal(600, 4).round(),
    "all equal": lambda: torch.ones(60, 7),
    "all zero": lambda: torch.zeros(60, 7),
    "each its own": lambda: torch.eye(90),
    "double": lambda: normal(300, 40).double(),
    "half": lambda: normal(200, 40).half(),
    "nearly nothing": lambda: normal(200, 20) * 1e-22,
    "beyond squares": lambda: normal(200, 20) * 1e19,
    "long rows": lambda: normal(6, 40_000),
    "pictures": lambda: multidd.samples.fashion().train.x[:500].flatten(1) / 255,
    "bags of words": lambda: multidd.samples.cora().x[:400],
    "users": lambda: embedding(multidd.samples.movietweetings())[:400],
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("weighted", [False, True])
def test_picks_are_those_of_a_search_through_all(name: str, weighted: bool) -> None:
    x = SETS[name]()
    mass = torch.ones(len(x), dtype=x.dtype)
    if weighted:
        mass = 1 + torch.arange(len(x)).remainder(3).to(x.dtype)
    count = min(60, len(x))
    records = Records(x, torch.zeros(len(x)).long(), 1, mass)
    for selection, search in ((Herding(), herded), (KCenter(), spread)):
        picks = selection.pick(records, (count,), torch.Generator())
        assert picks.indices.tolist() == search(x, mass, count)


@pytest.mark.parametrize("name", ["wide", "far from zero", "bags of words", "half"])
def test_the_error_is_a_bound_and_small(name: str) -> None:
    """Small enough, too, that few records of many are compared exactly."""
    x = SETS[name]()
    screen = Screen(x)
    for row in range(5):
        squared, error = screen.distances(x[row])
        exact = (x.double() - x[row].double()).square().sum(1)
        by_formula = (x - x[row]).square().sum(1)
        for true in (exact, by_formula.double()):
            assert float((squared.double() - true).abs().max()) <= error
        if x.dtype == torch.float32:
            assert error < 1e-3 * (2 * screen.radius) ** 2


def test_squares_that_overflow_bound_nothing() -> None:
    _, error = Screen(torch.full((3, 2), 1e30)).distances(torch.zeros(2))
    assert error == float("inf")
