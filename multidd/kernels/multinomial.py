"""Multinomial cross-entropy of a kernel's predictions, without holding them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from multidd.kernels import SparseRows

__all__ = ["SparseTargets", "multinomial"]

BLOCK_BYTES = 2**25
"""Predictions held at a time: small enough to stay near the processor.

In bfloat16 the products would take a third of their time, and cost three points of
HR@10: dual coefficients of nearly parallel rows are large and cancel."""


@dataclass(frozen=True, eq=False)
class SparseTargets:
    """What a learner should predict: few of many items for each record.

    Attributes:
        rows: `[b, c]`, how often each item is to be predicted.
        weights: `[b]`, how much each record counts.
        hidden: `[b, c]`, items that take no part in a record's prediction, such as
            those that it was made from; none where None.
    """

    rows: SparseRows
    weights: Tensor
    hidden: SparseRows | None = None


def multinomial(kernel: Tensor, dual: Tensor, targets: SparseTargets) -> Tensor:
    r"""Mean weighted cross-entropy of the predictions $P = K \alpha$.

    $$\frac{1}{b} \sum_u w_u \sum_i - y_{ui}
      \log \frac{e^{P_{ui}}}{\sum_j e^{P_{uj}}}$$

    Predictions are made in blocks of rows, and the gradient with them: three products
    of matrices, and memory that does not grow with b.

    Args:
        kernel: `[b, m]`, K.
        dual: `[m, c]`, $\alpha$.
        targets: y, w, and the items that are left out of the sums over j.

    Returns:
        A scalar, differentiable once in both.

    Example:
        >>> import scipy.sparse as sp
        >>> rows = SparseRows.of(sp.csr_array([[0.0, 1.0]]))
        >>> targets = SparseTargets(rows, torch.ones(1))
        >>> loss = multinomial(torch.zeros(1, 1), torch.zeros(1, 2), targets)
        >>> round(loss.item(), 4)
        0.6931
    """
    loss = _Multinomial.apply(kernel, dual, targets)
    assert isinstance(loss, Tensor)
    return loss


class _Multinomial(torch.autograd.Function):
    """The loss and, in the same pass, its gradients."""

    @staticmethod
    def forward(
        ctx: Any, kernel: Tensor, dual: Tensor, targets: SparseTargets
    ) -> Tensor:
        needed = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        by_kernel = torch.empty_like(kernel)
        by_dual = dual.new_zeros(dual.shape[::-1])  # transposed: its product is faster
        total = kernel.new_zeros((), dtype=torch.float64)
        size = max(1, BLOCK_BYTES // (dual.shape[1] * dual.element_size()))
        # To make it anew for each block would take as long as to fill it.
        buffer = kernel.new_empty(min(size, len(kernel)), dual.shape[1])
        for start in range(0, len(kernel), size):
            part = slice(start, start + size)
            rows = kernel[part]
            scores = torch.mm(rows, dual.detach(), out=buffer[: len(rows)])
            # Scores become gradients, but for a factor on each row that is cheaper to
            # put on the small matrices.
            loss, factor = _cross_entropy(scores, targets, part)
            total += loss
            if needed:
                torch.mm(scores, dual.mT, out=by_kernel[part]).mul_(factor)
                torch.addmm(by_dual, scores.mT, factor * rows, out=by_dual)
        count = max(1, len(kernel))
        ctx.save_for_backward(by_kernel.div_(count), by_dual.mT.div(count))
        return (total / count).to(kernel.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        by_kernel, by_dual = ctx.saved_tensors
        return gradient * by_kernel, gradient * by_dual, None


def _cross_entropy(
    scores: Tensor, targets: SparseTargets, part: slice
) -> tuple[Tensor, Tensor]:
    """Summed weighted loss of some records; their scores are overwritten by its
    gradient over a factor `[b, 1]`, which is returned."""
    rows, weights = targets.rows[part], targets.weights[part].to(scores.dtype)
    hidden = None if targets.hidden is None else targets.hidden[part]
    if hidden is not None:
        scores[hidden.rows, hidden.indices] = -torch.inf
    counts = rows.values.to(scores.dtype)
    reached = counts * scores[rows.rows, rows.indices]
    top = scores.amax(1, keepdim=True)
    mass = scores.sub_(top).exp_().sum(1, keepdim=True)
    total = rows.sums.to(scores.dtype)
    spread = (weights * total * (mass.log() + top)[:, 0]).sum(dtype=torch.float64)
    factor = (weights * total)[:, None] / mass
    each = weights[rows.rows] * counts
    # A record of weight zero has factor zero, and nothing to take off.
    taken = each / factor[rows.rows, 0].clamp(min=torch.finfo(scores.dtype).tiny)
    scores[rows.rows, rows.indices] -= taken
    return spread - (weights[rows.rows] * reached).sum(dtype=torch.float64), factor
