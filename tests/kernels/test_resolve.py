"""Labels in closed form against a direct solution, and that none are better."""

import pytest
import torch
from torch import Tensor

from multidd import seeds
from multidd.kernels import RBF, Linear, resolve, ridge_solve

RIDGE = 1e-3


def problem(n: int = 40, m: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Kernels of m points among n records, and targets of three classes."""
    x = torch.randn(n, 5, generator=seeds.at(0, "x"), dtype=torch.float64)
    y = torch.eye(3, dtype=torch.float64)[x[:, :3].argmax(1)]
    return RBF(0.1)(x[:m]), RBF(0.1)(x, x[:m]), y


def cost(ss: Tensor, cross: Tensor, targets: Tensor, dual: Tensor) -> float:
    """What is minimized, with equal weights."""
    gap = (targets - cross @ dual).square().sum() / len(cross)
    return float(gap + RIDGE * ss.diagonal().mean() * (dual * (ss @ dual)).sum())


def test_by_hand() -> None:
    """One point, two records: (5/2 + 1/2) a = (1 + 2 * 3) / 2, Y = (1 + 1/2) a."""
    ss, cross = torch.ones(1, 1), torch.tensor([[1.0], [2.0]])
    dual, labels = resolve(ss, cross, torch.tensor([[1.0], [3.0]]), 0.5)
    assert dual.item() == pytest.approx(7 / 6)
    assert labels.item() == pytest.approx(7 / 4)


def test_equals_least_squares() -> None:
    r"""The same minimum by rows under each other: records, and the root of K."""
    ss, cross, targets = problem()
    dual, labels = resolve(ss, cross, targets, RIDGE)
    root = torch.linalg.cholesky(ss).mT * RIDGE**0.5
    tall = torch.cat([cross / len(cross) ** 0.5, root])
    goal = torch.cat([targets / len(cross) ** 0.5, targets.new_zeros(len(ss), 3)])
    expected = torch.linalg.lstsq(tall, goal).solution
    torch.testing.assert_close(dual, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(labels, ss @ dual + RIDGE * dual)


@pytest.mark.parametrize("scale", [1.0, 7.0])
def test_a_regression_on_the_labels_has_these_coefficients(scale: float) -> None:
    """Also where the ridge is relative to a diagonal that is not one."""
    ss, cross, targets = problem()
    dual, labels = resolve(scale * ss, scale * cross, targets, RIDGE)
    torch.testing.assert_close(ridge_solve(scale * ss, labels, RIDGE), dual)


def test_no_other_labels_are_better() -> None:
    ss, cross, targets = problem()
    dual, labels = resolve(ss, cross, targets, RIDGE)
    least = cost(ss, cross, targets, dual)
    noise = torch.randn(20, *labels.shape, generator=seeds.at(0, "n")).double()
    others = [targets[:6], labels * 0.9, *(labels + 0.1 * noise)]
    for other in others:
        assert cost(ss, cross, targets, ridge_solve(ss, other, RIDGE)) > least


def test_weights_are_repeated_records() -> None:
    ss, cross, targets = problem()
    times = torch.arange(len(cross)) % 3
    doubled = [part.repeat_interleave(times, 0) for part in (cross, targets)]
    expected = resolve(ss, *doubled, RIDGE)
    for weights in (times.double(), 5 * times):
        solution = resolve(ss, cross, targets, RIDGE, weights=weights)
        torch.testing.assert_close(solution, expected)


def test_more_records_than_a_block() -> None:
    ss, cross, targets = problem()
    many = [part.repeat(200, 1) for part in (cross, targets)]
    torch.testing.assert_close(
        resolve(ss, *many, RIDGE), resolve(ss, cross, targets, RIDGE)
    )


def test_points_that_are_equal() -> None:
    """A system without full rank: the predictions are those without the repeat."""
    ss, cross, targets = problem()
    twice = torch.tensor([0, 1, 2, 3, 4, 5, 5, 5])
    dual, labels = resolve(ss[twice][:, twice], cross[:, twice], targets, RIDGE)
    once, _ = resolve(ss, cross, targets, RIDGE)
    assert torch.isfinite(labels).all()
    torch.testing.assert_close(cross[:, twice] @ dual, cross @ once, atol=1e-5, rtol=0)


def test_single_precision_is_solved_in_double() -> None:
    ss, cross, targets = problem()
    solution = resolve(ss.float(), cross.float(), targets.float(), RIDGE)
    assert all(part.dtype == torch.float32 for part in solution)
    expected = resolve(ss, cross, targets, RIDGE)
    torch.testing.assert_close(solution[1].double(), expected[1], rtol=1e-3, atol=1e-3)


def test_more_features_than_points_of_a_linear_kernel() -> None:
    """A kernel of low rank: eight points in a plane."""
    x = torch.randn(30, 2, generator=seeds.at(0, "p"), dtype=torch.float64)
    targets = torch.stack([x[:, 0], 1 - x[:, 1]], 1)
    kernel = Linear(1.0)
    dual, _ = resolve(kernel(x[:8]), kernel(x, x[:8]), targets, 1e-8)
    torch.testing.assert_close(kernel(x, x[:8]) @ dual, targets, atol=1e-4, rtol=0)


@pytest.mark.parametrize("ridge", [0.0, -1.0, float("nan")])
def test_ridges_that_are_refused(ridge: float) -> None:
    with pytest.raises(ValueError, match="ridge"):
        resolve(*problem(), ridge)


def test_shapes_that_are_refused() -> None:
    ss, cross, targets = problem()
    with pytest.raises(ValueError, match="cross"):
        resolve(ss, cross.mT, targets, RIDGE)
    with pytest.raises(ValueError, match="targets"):
        resolve(ss, cross, targets[1:], RIDGE)
    for weights in (torch.ones(3), torch.zeros(40), -torch.ones(40)):
        with pytest.raises(ValueError, match="weights"):
            resolve(ss, cross, targets, RIDGE, weights=weights)
