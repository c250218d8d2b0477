"""Sparse rows: products against dense ones, gradients, slices; kernels of products."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor

from multidd.kernels import InfiniteKernel, SparseRows, infinite_kernel

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "kernels.npz"


def matrix(seed: int = 0, shape: tuple[int, int] = (7, 11)) -> sp.csr_array:
    rng = np.random.default_rng(seed)
    dense = rng.random(shape) * (rng.random(shape) < 0.4)
    dense[2] = 0  # a row without entries
    return sp.csr_array(dense)


def rows(seed: int = 0) -> SparseRows:
    return SparseRows.of(matrix(seed), torch.float64)


def test_sizes_and_sums() -> None:
    result, dense = rows(), torch.from_numpy(matrix().toarray())
    assert len(result) == 7 and result.shape == (7, 11)
    assert torch.equal(result.dense(), dense)
    torch.testing.assert_close(result.sums, dense.sum(1))
    torch.testing.assert_close(result.squares, dense.square().sum(1))
    assert result.counts.tolist() == (dense > 0).sum(1).tolist()


def test_products_and_their_gradient() -> None:
    result, dense = rows(), torch.from_numpy(matrix().toarray())
    other = torch.from_numpy(np.random.default_rng(1).random((5, 11)))
    torch.testing.assert_close(result.inner(other), dense @ other.T)
    torch.testing.assert_close(result.times(other.T), dense @ other.T)
    tall = torch.rand(7, 3, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(result.transposed_times(tall), dense.T @ tall)
    assert torch.autograd.gradcheck(result.inner, other.requires_grad_())


@pytest.mark.parametrize(
    "part", [slice(None), slice(1, 4), slice(5, 99), slice(4, 4), slice(-3, None)]
)
def test_slices(part: slice) -> None:
    assert torch.equal(rows()[part].dense(), rows().dense()[part])


def test_slices_have_no_step() -> None:
    with pytest.raises(ValueError, match="step of 2"):
        rows()[::2]


def test_nothing_is_warned(recwarn: pytest.WarningsRecorder) -> None:
    """Torch calls its sparse tensors a beta: its users know, ours need not."""
    rows().inner(torch.eye(11).double())
    assert not recwarn.list


@pytest.mark.parametrize("kind", ["ntk", "nngp"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_golden_values(depth: int, kind: Any) -> None:
    """The kernel of sparse products equals the values of an independent code."""
    with np.load(GOLDEN, allow_pickle=False) as file:
        a, b = file["fc_a"], file["fc_b"]
        expected = torch.from_numpy(file[f"fc_d{depth}_ab_{kind}"])
    some, others = SparseRows.of(sp.csr_array(a), torch.float64), torch.from_numpy(b)
    lengths = others.square().sum(1)
    kernel = InfiniteKernel(depth, kind=kind)
    products = some.inner(others)
    gram = kernel.of_products(products, some.squares, lengths, a.shape[1])
    # Row 0 of both is the same: the other code loses digits there.
    exact = torch.ones_like(expected, dtype=torch.bool)
    exact[0, 0] = False
    torch.testing.assert_close(gram[exact], expected[exact], rtol=1e-12, atol=0)
    torch.testing.assert_close(gram, expected, rtol=1e-7, atol=0)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_kernel_of_products_is_the_kernel(depth: int) -> None:
    """Of whole numbers, as histories are; equal rows on the diagonal and off it."""
    rng = np.random.default_rng(0)
    dense = (rng.random((9, 40)) < 0.3).astype(float)
    dense[4] = dense[1]
    sparse = SparseRows.of(sp.csr_array(dense), torch.float64)
    x = torch.from_numpy(dense)
    kernel = InfiniteKernel(depth)
    gram = kernel.of_products(sparse.inner(x), sparse.squares, sparse.squares, 40)
    expected = infinite_kernel(x, depth=depth)
    torch.testing.assert_close(gram, expected, rtol=1e-12, atol=0)
    assert gram[4, 1] == gram[1, 1] == gram[4, 4]


def test_convolutions_see_more_than_products() -> None:
    with pytest.raises(ValueError, match="'conv'"):
        one = torch.ones(1, 1)
        InfiniteKernel(1, "conv").of_products(one, one[0], one[0], 4)


def test_gradient_of_the_kernel_of_products() -> None:
    sparse = rows(3)

    def kernel(x: Tensor) -> Tensor:
        lengths = x.square().sum(1)
        kind = InfiniteKernel(2)
        return kind.of_products(sparse.inner(x), sparse.squares, lengths, 11)

    x = torch.from_numpy(np.random.default_rng(4).random((4, 11))).requires_grad_()
    assert torch.autograd.gradcheck(kernel, x)
