"""Kernel ridge regression: by hand, gradients, jitter, a path of ridges."""

import warnings

import pytest
import torch
from torch import Tensor

from multidd.kernels import (
    NumericalWarning,
    SolveError,
    predict,
    ridge_path,
    ridge_solve,
)


def positive(seed: int, m: int, *lead: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(*lead, m, m + 2, generator=rng, dtype=torch.float64)
    return x @ x.mT


def targets(seed: int, m: int, c: int = 3) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(m, c, generator=rng, dtype=torch.float64)


def test_two_points_by_hand() -> None:
    """K + I = [[3, 1], [1, 3]], whose inverse is [[3, -1], [-1, 3]] / 8."""
    kernel = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    dual = ridge_solve(kernel, torch.tensor([[1.0], [-1.0]]), 0.5)
    torch.testing.assert_close(dual, torch.tensor([[0.5], [-0.5]]))
    assert predict(torch.tensor([[2.0, 1.0]]), dual).item() == pytest.approx(0.5)


def test_plain_ridge_is_not_scaled() -> None:
    kernel = 4 * torch.eye(2)
    dual = ridge_solve(kernel, torch.ones(2, 1), 1.0, relative=False)
    torch.testing.assert_close(dual, torch.full((2, 1), 0.2))


def test_no_ridge_interpolates() -> None:
    kernel, expected = positive(0, 5), targets(1, 5)
    torch.testing.assert_close(
        predict(kernel, ridge_solve(kernel, expected, 0)), expected
    )


def test_gradients_are_exact() -> None:
    x, y = positive(0, 4), targets(1, 4)
    ridge = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def solve(x: Tensor, y: Tensor, ridge: Tensor) -> Tensor:
        return ridge_solve(x + x.mT, y, ridge)

    leaves = (x.requires_grad_(), y.requires_grad_(), ridge)
    assert torch.autograd.gradcheck(solve, leaves)


def test_leading_axes_are_solved_each() -> None:
    kernels, expected = positive(0, 4, 3), targets(1, 4)
    solution = ridge_solve(kernels, expected, 0.1)
    for k in range(3):
        torch.testing.assert_close(solution[k], ridge_solve(kernels[k], expected, 0.1))


def test_single_precision_in_and_out_double_inside() -> None:
    """A kernel whose condition number single precision cannot solve."""
    kernel = torch.ones(3, 3) + 1e-5 * torch.diag(torch.tensor([1.0, 2.0, 3.0]))
    expected = torch.tensor([[1.0], [0.0], [-1.0]])
    solution = ridge_solve(kernel, expected, 0.0)
    exact = torch.linalg.solve(kernel.double(), expected.double())
    assert solution.dtype == torch.float32
    torch.testing.assert_close(solution.double(), exact, rtol=1e-6, atol=0)


@pytest.mark.parametrize("double", [True, False])
def test_jitter_warns_and_names_its_amount(double: bool) -> None:
    kernel = torch.ones(3, 3) - 1e-3 * torch.eye(3)
    with pytest.warns(NumericalWarning, match=r"jitter 1\.19\de-03") as caught:
        solution = ridge_solve(kernel, torch.ones(3, 1), 0.0, double=double)
    assert caught[0].filename == __file__
    assert bool(torch.isfinite(solution).all())


def test_jitter_reaches_only_the_matrix_that_needs_it() -> None:
    sound = positive(0, 3)
    kernels = torch.stack([sound, torch.ones(3, 3, dtype=torch.float64)])
    expected = targets(1, 3)
    kernels[1] -= 1e-9 * torch.eye(3, dtype=torch.float64)
    with pytest.warns(NumericalWarning):
        solution = ridge_solve(kernels, expected, 0.0)
    torch.testing.assert_close(solution[0], ridge_solve(sound, expected, 0.0))


def test_a_sound_kernel_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ridge_solve(positive(0, 5).float(), targets(1, 5).float(), 1e-6)


def test_hopeless_and_non_finite_kernels() -> None:
    with pytest.raises(SolveError, match="larger ridge"):
        ridge_solve(-torch.eye(2), torch.ones(2, 1), 0.0)
    kernel = torch.tensor([[1.0, torch.nan], [torch.nan, 1.0]], requires_grad=True)
    assert bool(torch.isnan(ridge_solve(kernel, torch.ones(2, 1), 0.1)).all())


@pytest.mark.parametrize("relative", [True, False])
def test_a_path_equals_each_solve(relative: bool) -> None:
    kernel, expected, grid = positive(0, 6), targets(1, 6), [1e-3, 0.1, 10.0]
    path = ridge_path(kernel, expected, grid, relative=relative)
    for ridge, result in zip(grid, path, strict=True):
        one = ridge_solve(kernel, expected, ridge, relative=relative)
        torch.testing.assert_close(result, one)
    assert predict(kernel[:2], path).shape == (3, 2, 3)


@pytest.mark.parametrize(
    ("kernel", "expected", "ridge", "word"),
    [
        (torch.ones(2, 3), torch.ones(2, 1), 0.1, "square"),
        (torch.eye(2), torch.ones(3, 1), 0.1, r"\[2, c\]"),
        (torch.eye(2), torch.ones(2), 0.1, r"\[2, c\]"),
        (torch.eye(2), torch.ones(2, 1), -0.1, "ridge"),
        (torch.eye(2), torch.ones(2, 1), float("nan"), "ridge"),
    ],
)
def test_bad_input_is_named(
    kernel: Tensor, expected: Tensor, ridge: float, word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        ridge_solve(kernel, expected, ridge)
    if ridge < 0:
        with pytest.raises(ValueError, match="above 0"):
            ridge_path(kernel, expected, [ridge])
