"""Kernel ridge regression as a predictor: nothing is trained."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from multidd.kernels import predict, ridge_solve

__all__ = ["KERNEL_BLOCK", "kernel_predictor", "predicted_classes"]

KERNEL_BLOCK = 2048
"""Records whose kernel with the training records is computed at a time."""


def kernel_predictor(
    kernel_ss: Tensor,
    targets: Tensor,
    ridge: float,
    kernel_with: Callable[[Any], Tensor],
) -> Callable[[Any], Tensor]:
    r"""$f(t) = K_{ts} (K_{ss} + \lambda \bar k I)^{-1} Y$, solved once.

    Args:
        kernel_ss: `[m, m]`, of the training records.
        targets: `[m, c]`, centered.
        ridge: $\lambda$, relative to the mean of the diagonal.
        kernel_with: gives the kernel `[b, m]` of records with the training records.

    Returns:
        A function of records that gives scores `[b, c]`.

    Example:
        >>> x = torch.eye(2)
        >>> predictor = kernel_predictor(x @ x.T, x - 0.5, 1e-6, lambda t: t @ x.T)
        >>> predictor(x).argmax(1).tolist()
        [0, 1]
    """
    dual = ridge_solve(kernel_ss, targets.to(kernel_ss.dtype), ridge)
    return lambda records: predict(kernel_with(records), dual)


def predicted_classes(
    scores: Callable[[Tensor], Tensor], count: int, size: int = KERNEL_BLOCK
) -> Tensor:
    """`[..., n]`, the likeliest class of each record, computed in parts.

    Args:
        scores: gives scores `[..., b, c]` of some rows.
        count: n.
        size: rows of a part.

    Example:
        >>> predicted_classes(lambda rows: torch.eye(3)[rows], 3, size=2).tolist()
        [0, 1, 2]
    """
    with torch.no_grad():
        parts = [scores(rows).argmax(-1) for rows in torch.arange(count).split(size)]
    return torch.cat(parts, -1)
