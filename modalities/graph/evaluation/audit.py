"""The space in which condensed graphs are audited: features propagated twice."""

from functools import partial

import torch
from torch import Tensor

from multidd.evaluation.audit.labelled import (
    Answer,
    LabelledSpace,
    Learner,
    Records,
    centered_targets,
    mlp,
)
from multidd.graph.models.kernel_predictor import RIDGES, propagated
from multidd.graph.models.networks import Inputs
from multidd.kernels import InfiniteKernel, predict, ridge_path

__all__ = ["node_space"]

SPACE = "features propagated twice"

MAX_WHOLE_NODES = 2000
"""Training nodes, at most, that the kernel predictor takes, evenly spaced."""

DEPTH = 2
"""Hidden layers of the kernel's network, as in GC-SNTK."""


def node_space(
    summary: tuple[Inputs, Tensor],
    train: tuple[Inputs, Tensor, Tensor],
    val: tuple[Inputs, Tensor, Tensor],
    test: tuple[Inputs, Tensor, Tensor],
    classes: int,
    seed: int = 0,
    device: str = "cpu",
) -> LabelledSpace:
    """Nodes by their propagated features, the kernel predictor of GC-SNTK and an MLP.

    Where test nodes are in the graph that methods see, their features were seen too,
    and only labels are held out.

    Args:
        summary: the condensed graph, and labels `[m]` or `[m, c]` of its nodes.
        train: a graph, its training nodes `[b]`, and their classes `[b]`.
        val: validation nodes, which choose the ridge and where training stops.
        test: held-out nodes.
        classes: c.
        seed: of what is drawn.
        device: where learners are trained.

    Raises:
        ValueError: too few nodes.

    Example:
        >>> import scipy.sparse as sp
        >>> inputs = Inputs(torch.eye(12), sp.csr_array((12, 12)))
        >>> y, few = torch.arange(12) % 2, Inputs(torch.eye(12)[:2], sp.csr_array((2, 2)))
        >>> rows = torch.arange(4), torch.arange(4, 8), torch.arange(8, 12)
        >>> parts = [(inputs, nodes, y[nodes]) for nodes in rows]
        >>> node_space((few, y[:2]), *parts, 2).held_out.shape
        torch.Size([2, 12])
    """  # noqa: E501
    graph, y = summary
    records = _records(graph, torch.arange(len(y)), y)
    real, chosen_on, held_out = (_records(*part) for part in (train, val, test))
    learners = {
        "kernel": Learner(
            partial(_regressed, classes, chosen_on),
            "squared error",
            max_rows=MAX_WHOLE_NODES,
        ),
        "mlp": mlp(classes, real, chosen_on),
    }
    parts = (records, real, held_out)
    return LabelledSpace(SPACE, classes, *parts, learners, seed, device)


def _records(inputs: Inputs, nodes: Tensor, y: Tensor) -> Records:
    nodes = nodes.cpu()
    return Records(lambda rows: propagated(inputs, nodes[rows]).cpu(), y.cpu())


def _regressed(classes: int, val: Records, records: Records, seed: int) -> Answer:
    """Kernel regression with the ridge that is best on validation nodes."""
    kernel, x = InfiniteKernel(DEPTH), records.x
    val = val.to(x.device)
    scale = x.square().mean().sqrt().clamp(min=1e-12)  # entries of mean square one
    x = x / scale
    duals = ridge_path(kernel(x), centered_targets(records.y, classes), RIDGES)

    def scores(rows: Tensor, dual: Tensor) -> Tensor:
        return predict(kernel(rows / scale, x), dual)  # ([ridges,] b, c)

    right = (scores(val.x, duals).argmax(-1) == val.y).float().mean(1)
    best = duals[int(right.argmax())]
    return lambda rows: scores(rows, best)
