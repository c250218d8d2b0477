"""Optimizers step by step as torch.optim; clipping, floors and running means."""

from typing import Any

import pytest
import torch
from torch import Tensor

from multidd import seeds
from multidd.engine.callbacks import Every
from multidd.engine.schedules import Alternate, Always
from multidd.learning.optim import SGD, Adam, to_simplex
from multidd.objectives import DistributionMatching
from tests.toy import Toy, distill, free

PAIRS = {
    "adam": (Adam(lr=0.1), torch.optim.Adam, {"lr": 0.1}),
    "adam decay": (
        Adam(0.05, (0.5, 0.9), 1e-3, 0.2),
        torch.optim.Adam,
        {"lr": 0.05, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.2},
    ),
    "sgd": (SGD(lr=0.1), torch.optim.SGD, {"lr": 0.1}),
    "sgd momentum": (
        SGD(0.05, 0.9, 0.2),
        torch.optim.SGD,
        {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.2},
    ),
}


def slope(x: Tensor, step: int) -> Tensor:
    noise = torch.randn(x.shape, generator=seeds.at(0, "slope", step)).to(x)
    return 2 * (x - 1) + noise


@pytest.mark.parametrize("name", PAIRS)
def test_equals_torch(name: str) -> None:
    """Ten steps; no input is changed."""
    ours, kind, settings = PAIRS[name]
    x = torch.randn(3, 4, generator=seeds.at(0, "x")).double()
    leaf = torch.nn.Parameter(x.clone())
    theirs, moments = kind([leaf], **settings), ours.init(x)
    for step in range(10):
        gradient = slope(x, step)
        leaf.grad = slope(leaf.detach(), step)
        theirs.step()
        before = [t.clone() for t in (x, gradient, *moments.values())]
        after, state = ours.step(x, gradient, moments)
        leaves = (x, gradient, *moments.values())
        assert all(torch.equal(a, b) for a, b in zip(leaves, before, strict=True))
        torch.testing.assert_close(after, leaf.detach(), rtol=1e-12, atol=1e-12)
        assert not torch.equal(after, x) and set(state) == set(moments)
        x, moments = after, state


@pytest.mark.parametrize("rule", [Adam(0.5, minimum=0.2), SGD(5.0, minimum=0.2)])
def test_minimum(rule: Any) -> None:
    x, gradient = torch.tensor([0.3, 0.3]), torch.tensor([1.0, -1.0])
    after, _ = rule.step(x, gradient, rule.init(x))
    assert after[0] == torch.tensor(0.2) and after[1] > 0.5


@pytest.mark.parametrize("kind", [Adam, SGD])
def test_running_mean_is_what_a_run_gives(kind: Any) -> None:
    seen: list[Tensor] = []
    watch = Every(1, lambda state: seen.append(state.params["x"]))
    options: dict[str, Any] = {"steps": 5, "callbacks": [watch]}
    optimizer = kind(lr=0.05, ema=0.8)
    summary = distill(
        Toy(), DistributionMatching(), free(), optimizer=optimizer, **options
    )
    expected = free().init(Toy(), seeds.at(0, "start"))["x"]
    for x in seen:
        expected = 0.8 * expected + 0.2 * x
    assert len(seen) == 5 and not torch.equal(seen[-1], expected)
    torch.testing.assert_close(summary.tensors["x"], expected, rtol=1e-12, atol=1e-12)


class Linear:
    """A loss whose gradient is as given, in x and in the adjacency."""

    def __init__(self, x: Tensor, adjacency: Tensor) -> None:
        self.slopes = (x, adjacency)

    def init(self, task: Any, rng: Any) -> Any:
        return {}

    def loss(self, task: Any, state: Any, synthetic: Any, rng: Any) -> Tensor:
        parts = zip(self.slopes, synthetic, strict=True)
        return sum(((a * b).sum() for a, b in parts), torch.zeros(()))

    def advance(self, task: Any, state: Any, synthetic: Any, rng: Any) -> Any:
        return {}


class Plain(Toy):
    """Gives the tensors of a draw as they are."""

    def synthetic(self, draw: Any) -> Any:
        return [draw["x"], draw["adjacency"]]


@pytest.mark.parametrize("clip", [None, 0.5, 1e6])
def test_clip_bounds_the_norm_of_each_group(clip: float | None) -> None:
    """SGD of rate one moves a group by its clipped gradient, direction kept."""
    slopes = [torch.randn(6, n, generator=seeds.at(0, str(n))).double() for n in (4, 6)]
    slopes = [slopes[0], 100 * slopes[1]]
    form = free(learn=("x", "adjacency"))
    sgd = SGD(lr=1.0, clip=clip)
    summary = distill(Plain(), Linear(*slopes), form, steps=1, optimizer=sgd)
    first = form.init(Plain(), seeds.at(0, "start"))
    for name, gradient in zip(("x", "adjacency"), slopes, strict=True):
        move = first[name] - summary.tensors[name]
        norm = gradient.norm()
        factor = 1.0 if clip is None else min(1.0, clip / float(norm))
        assert clip != 0.5 or factor < 1
        torch.testing.assert_close(move, factor * gradient, rtol=1e-9, atol=1e-12)


def test_schedules() -> None:
    turns = Alternate((("a", 2), ("b", 1)))
    results = [(turns.moves("a", s), turns.moves("b", s)) for s in range(6)]
    assert results == [(True, False), (True, False), (False, True)] * 2
    assert all(turns.moves("other", s) for s in range(6))
    assert all(Always().moves("a", s) for s in range(3))


RATES = [
    (Adam(0.1, cosine=7), torch.optim.Adam),
    (SGD(0.1, cosine=7), torch.optim.SGD),
]


@pytest.mark.parametrize(("rule", "kind"), RATES)
def test_cosine_rates(rule: Any, kind: Any) -> None:
    """A rate along a cosine is torch's, and zero from its end on."""
    ours, theirs = torch.zeros(3).double(), torch.zeros(3).double()
    optimizer, moments = kind([theirs], lr=0.1), rule.init(ours)
    annealed = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 7)
    for step in range(7):
        ours, moments = rule.step(ours, slope(ours, step), moments)
        theirs.grad = slope(theirs, step)
        optimizer.step()
        annealed.step()
        torch.testing.assert_close(ours, theirs)
    still, _ = rule.step(ours, slope(ours, 7), moments)
    assert torch.equal(still, ours)


@pytest.mark.parametrize("rule", [rule for rule, _ in RATES])
def test_models_of_other_ages_have_other_rates(rule: Any) -> None:
    """Stacked models, each with its own count, move as they would alone."""
    pair = torch.zeros(2, 3)
    moments = {n: torch.stack([m, m]) for n, m in rule.init(pair[0]).items()}
    moments["count"] = torch.tensor([[0], [4]])
    moved, _ = rule.step(pair, torch.ones(2, 3), moments)
    for i, age in enumerate((0, 4)):
        alone = rule.init(pair[i]) | {"count": torch.tensor(age)}
        expected, _ = rule.step(pair[i], torch.ones(3), alone)
        torch.testing.assert_close(moved[i], expected)


def nearest_probabilities(row: torch.Tensor) -> torch.Tensor:
    """By bisection of the level that makes the rest sum to one."""
    low, high = row.min() - 1.0, row.max()
    for _ in range(80):
        level = (low + high) / 2
        over = (row - level).clamp(min=0).sum() > 1
        low, high = (level, high) if over else (low, level)
    return (row - low).clamp(min=0)


def test_simplex_is_the_nearest_point() -> None:
    rows = 2 * torch.randn(20, 7, generator=seeds.at(0, "rows"), dtype=torch.float64)
    result = to_simplex(rows)
    assert torch.allclose(result.sum(1), torch.ones(20, dtype=torch.float64))
    assert bool((result >= 0).all())
    expected = torch.stack([nearest_probabilities(row) for row in rows])
    assert torch.allclose(result, expected, atol=1e-12)
    assert torch.allclose(to_simplex(result), result, atol=1e-12)


@pytest.mark.parametrize("rule", [Adam(0.5, simplex=True), SGD(5.0, simplex=True)])
def test_steps_stay_on_the_simplex(rule: Any) -> None:
    rows = torch.eye(3)
    moved, _ = rule.step(rows, torch.tensor([[1.0, -1.0, 0.0]] * 3), rule.init(rows))
    assert torch.allclose(moved.sum(1), torch.ones(3)) and bool((moved >= 0).all())
    assert moved[0, 1] > 0 and moved[1, 1] == 1
