"""Gaussian and linear kernels against their formulas and scikit-learn."""

from typing import Any

import pytest
import torch
from sklearn.metrics.pairwise import linear_kernel, rbf_kernel
from torch import Tensor

from multidd import seeds
from multidd.kernels import RBF, Linear
from multidd.learning.kernel_sources import Plain

KERNELS: list[Any] = [RBF(0.3), RBF(), Linear(), Linear(0.0)]


def rows(n: int, name: str, d: int = 4) -> Tensor:
    return torch.randn(n, d, generator=seeds.at(0, name), dtype=torch.float64)


@pytest.mark.parametrize("gamma", [0.1, 2.0])
def test_rbf_equals_sklearn(gamma: float) -> None:
    a, b = rows(5, "a"), rows(3, "b")
    torch.testing.assert_close(
        RBF(gamma)(a, b), torch.from_numpy(rbf_kernel(a, b, gamma))
    )


def test_linear_equals_sklearn() -> None:
    a, b = rows(5, "a"), rows(3, "b")
    expected = torch.from_numpy(linear_kernel(a, b)) + 0.25
    torch.testing.assert_close(Linear(0.25)(a, b), expected)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_of_one_set_is_that_of_it_twice(kernel: Any) -> None:
    a = rows(6, "a")
    torch.testing.assert_close(kernel(a), kernel(a, a.clone()))
    torch.testing.assert_close(kernel(a), kernel(a).mT)


def test_a_row_is_exactly_like_itself() -> None:
    """Also in single precision, far from the origin."""
    result = RBF()(100 * rows(4, "a").float())
    assert result.diagonal().tolist() == [1.0] * 4


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_gradients(kernel: Any) -> None:
    a, b = rows(3, "a", 2).requires_grad_(), rows(2, "b", 2).requires_grad_()
    assert torch.autograd.gradcheck(kernel, (a, b))
    assert torch.autograd.gradcheck(kernel, (a,))


def test_gradient_at_equal_rows_is_that_of_the_formula() -> None:
    """The distance has its least value there: no slope, and nothing undefined."""
    a = rows(2, "a")[[0, 0]].requires_grad_()
    RBF()(a).sum().backward()
    assert a.grad is not None
    assert a.grad.abs().max() < 1e-12


def test_images_are_flattened_by_the_source() -> None:
    a = rows(3, "a", 8)
    assert torch.equal(Plain(RBF()).of(a.view(3, 2, 2, 2)), RBF()(a))
    assert torch.equal(Plain(Linear()).of(a.view(3, 2, 4), a), Linear()(a, a))


@pytest.mark.parametrize("gamma", [0.0, -1.0, float("nan"), float("inf")])
def test_gammas_that_are_refused(gamma: float) -> None:
    with pytest.raises(ValueError, match="gamma"):
        RBF(gamma)


@pytest.mark.parametrize("offset", [-1.0, float("nan"), float("inf")])
def test_offsets_that_are_refused(offset: float) -> None:
    with pytest.raises(ValueError, match="offset"):
        Linear(offset)


@pytest.mark.parametrize("kernel", [RBF(), Linear()], ids=str)
def test_inputs_that_are_refused(kernel: Any) -> None:
    a = rows(3, "a")
    with pytest.raises(ValueError, match=r"\[3, 3\]"):
        kernel(a, a[:, :3])
    with pytest.raises(ValueError, match=r"\[3\]"):
        kernel(a[:, 0])
    with pytest.raises(TypeError, match="int64"):
        kernel(a.long())
    with pytest.raises(TypeError, match="one type"):
        kernel(a, a.float())
