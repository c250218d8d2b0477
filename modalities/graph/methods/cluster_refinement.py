r"""Steps after which a regression on cluster means predicts as the teacher does.

Axis letters: `m` synthetic nodes, `n` nodes, `k` principal directions, `c` classes.
"""

import numpy as np
import torch
from torch import Tensor

from multidd import seeds
from multidd.kernels import InfiniteKernel, predict, ridge_solve
from multidd.numerics import flush_denormals

__all__ = ["refined"]

DIRECTIONS = 200
"""Principal directions in which nodes may move; all others stay as they are."""

RATE = 0.02
"""Of Adam, relative to the root mean square length of the nodes' rows."""

RIDGE = 0.5
"""Relative to the mean diagonal. A small one fits the teacher better, and networks
worse: the nodes then move far from what real ones look like."""

MAX_ROWS = 10_000
"""Nodes that the loss is a mean over; of more it sees a sample."""


def refined(x: Tensor, targets: Tensor, h: Tensor, p: Tensor, steps: int) -> Tensor:
    r"""Synthetic nodes after steps of Adam on the error of a regression on them.

    $$\min_X \frac1n \lVert K_{HX} (K_{XX} + \lambda I)^{-1} (Y - \tfrac1c) -
    (P - \tfrac1c) \rVert^2,$$

    with K the tangent kernel of an infinitely wide network of one hidden layer: what a
    two-layer GCN of this width, trained on X without edges, predicts of nodes whose
    features are propagated twice.

    Args:
        x: `[m, d]`, where they start.
        targets: `[m, c]`, Y.
        h: `[n, d]`, H, features propagated twice.
        p: `[n, c]`, P, the teacher's probabilities.
        steps: updates; 0 returns `x`.

    Returns:
        `[m, d]`, on the device of the tensors given.

    Example:
        >>> h, p = torch.eye(4), torch.eye(2).repeat(2, 1)
        >>> x = refined(h[:2], p[:2], h, p, steps=5)
        >>> bool(x[0, 2] > 0.05)
        True
    """
    if not steps:
        return x
    rng = seeds.at(0, "refinement")
    rows = torch.randperm(len(h), generator=rng)[:MAX_ROWS].sort().values.to(h.device)
    real, goal = h[rows], p[rows] - 1 / p.shape[1]
    length = real.square().sum(1).mean().sqrt().clamp(min=1e-12)
    axes = _directions(real, rng) / length  # (d, k)
    k = axes.shape[1]
    # Covariances of InfiniteKernel are products times 2 / k, plus that of the biases.
    unit = (k / 2) ** 0.5
    kernel = InfiniteKernel(depth=1, bias_variance=0.09)
    real, start = unit * (real @ axes), x @ axes
    shift = torch.zeros_like(start, requires_grad=True)
    adam = torch.optim.Adam([shift], lr=RATE)
    with flush_denormals(), torch.enable_grad():
        for _ in range(steps):
            moved = unit * (start + shift)
            dual = ridge_solve(kernel(moved), targets - 1 / p.shape[1], RIDGE)
            error = predict(kernel(real, moved), dual) - goal
            adam.zero_grad()
            error.square().sum(1).mean().backward()
            adam.step()
    return x + shift.detach() @ axes.T * length.square()


def _directions(h: Tensor, rng: torch.Generator) -> Tensor:
    """`[d, k]`, orthonormal."""
    from sklearn.utils.extmath import randomized_svd  # loads slowly

    k = min(DIRECTIONS, *h.shape)
    rows = h.cpu().numpy()  # by LAPACK, once
    axes = randomized_svd(rows, k, random_state=seeds.child(rng))[2]
    return torch.from_numpy(np.ascontiguousarray(axes.T)).float().to(h.device)
