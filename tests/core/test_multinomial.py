"""The loss of histories: by hand, against autograd on dense matrices, in blocks."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor

from multidd.kernels import SparseRows
from multidd.kernels import multinomial as module
from multidd.kernels.multinomial import SparseTargets, multinomial

RNG = np.random.default_rng(0)
ITEMS = 9


def sparse(share: float, rows: int = 6, seed: int = 0) -> tuple[SparseRows, Tensor]:
    rng = np.random.default_rng(seed)
    dense = (rng.random((rows, ITEMS)) < share) * rng.integers(1, 3, (rows, ITEMS))
    result = SparseRows.of(sp.csr_array(dense.astype(float)), torch.float64)
    return result, torch.from_numpy(dense.astype(float))


def case(hide: bool) -> tuple[Tensor, Tensor, SparseTargets, Tensor, Tensor]:
    """Kernel, dual, targets, and the dense targets and mask."""
    rng = torch.Generator().manual_seed(0)
    kernel = torch.randn(6, 4, generator=rng).double()
    dual = torch.randn(4, ITEMS, generator=rng).double()
    rows, expected = sparse(0.4)
    hidden, mask = sparse(0.3, seed=1)
    mask = (mask > 0) & (expected == 0) if hide else torch.zeros(6, ITEMS).bool()
    hidden = SparseRows.of(sp.csr_array(mask.double().numpy()), torch.float64)
    weights = torch.rand(6, generator=rng).double()
    return kernel, dual, SparseTargets(rows, weights, hidden), expected, mask


def reference(kernel: Tensor, dual: Tensor, weights: Tensor, expected: Tensor, mask):
    scores = (kernel @ dual).masked_fill(mask, -torch.inf)
    logs = scores.log_softmax(1).masked_fill(expected == 0, 0.0)
    return -(weights[:, None] * expected * logs).sum() / len(kernel)


def test_by_hand() -> None:
    """Scores 0 and log 3: chances 1/4 and 3/4; twice the first, weight a half."""
    rows = SparseRows.of(sp.csr_array([[2.0, 0.0]]))
    targets = SparseTargets(rows, torch.tensor([0.5]))
    loss = multinomial(torch.ones(1, 1), torch.tensor([[0.0, math.log(3)]]), targets)
    assert loss.item() == pytest.approx(math.log(4))


@pytest.mark.parametrize("hide", [False, True])
@pytest.mark.parametrize("size", [1, 4, 2**25])
def test_equals_autograd(hide: bool, size: int, monkeypatch) -> None:
    """Value and both gradients, whatever the blocks."""
    monkeypatch.setattr(module, "BLOCK_BYTES", 8 * ITEMS * size)
    kernel, dual, targets, expected, mask = case(hide)
    assert bool(mask.any()) == hide
    leaves = kernel.requires_grad_(), dual.requires_grad_()
    result = multinomial(*leaves, targets)
    goal = reference(*leaves, targets.weights, expected, mask)
    torch.testing.assert_close(result, goal)
    for ours, theirs in zip(
        torch.autograd.grad(3 * result, leaves),
        torch.autograd.grad(3 * goal, leaves),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_gradcheck() -> None:
    kernel, dual, targets, _, _ = case(True)
    leaves = kernel.requires_grad_(), dual.requires_grad_()
    assert torch.autograd.gradcheck(lambda k, d: multinomial(k, d, targets), leaves)


def test_records_without_targets_cost_nothing() -> None:
    kernel, dual, _, _, _ = case(False)
    rows = SparseRows.of(sp.csr_array((6, ITEMS)), torch.float64)
    leaf = kernel.requires_grad_()
    loss = multinomial(leaf, dual, SparseTargets(rows, torch.ones(6)))
    assert loss.item() == 0
    assert not torch.autograd.grad(loss, leaf)[0].any()


def test_large_scores_do_not_overflow() -> None:
    kernel, dual, targets, _, _ = case(False)
    loss = multinomial(1e4 * kernel.float(), dual.float(), targets)
    assert bool(torch.isfinite(loss)) and loss > 0
