"""Synthetic users that are nearly alike: their angles need double precision."""

import torch
from scipy.sparse import csr_array

from multidd import seeds
from multidd.kernels import InfiniteKernel, SparseRows
from multidd.learning.kernel_sources import Infinite
from multidd.recsys.data.log import InteractionLog
from multidd.recsys.tasks.user_task import UserTask


def grams(spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The kernel of twenty rows of 5,000 items as the objective has it, and exactly."""
    rng = seeds.at(0, "rows")
    x = 0.04 * (spread * torch.randn(20, 5000, generator=rng)).exp()
    real = csr_array((torch.rand(3, 5000, generator=rng) < 0.01).float().numpy())
    task = UserTask(InteractionLog.from_csr(real))
    batch = task.with_fixed_batch(task.batch(rng))
    result, _ = Infinite(1).grams(task, {}, task.synthetic({"x": x}), batch.batch(rng))
    return result.double(), InfiniteKernel(1)(x.double())


def test_angles_of_nearly_parallel_rows() -> None:
    """Single precision alone is a thousand times as far off."""
    result, exact = grams(0.001)
    torch.testing.assert_close(result, exact, rtol=1e-9, atol=0)


def test_rows_apart_are_compared_in_single_precision() -> None:
    result, exact = grams(0.5)
    assert not torch.equal(result, exact)
    torch.testing.assert_close(result, exact, rtol=1e-5, atol=0)


def test_the_same_rows_sparse_or_dense() -> None:
    """One kernel, by products or by rows."""
    x = torch.rand(4, 30, generator=seeds.at(1, "x")).double()
    rows = SparseRows.of(csr_array(x.numpy()), torch.float64)
    expected = InfiniteKernel(1)(x, x.flip(0))
    gram = Infinite(1).of_sparse(rows, x.flip(0))
    torch.testing.assert_close(gram, expected, rtol=1e-12, atol=0)
