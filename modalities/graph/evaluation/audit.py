"""The spaces in which condensed graphs are audited: propagated features."""

from collections.abc import Callable
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
    signed_targets,
)
from multidd.graph.data.graph_set import GraphSet
from multidd.graph.models.kernel_predictor import RIDGES, propagated
from multidd.graph.models.linear_teacher import micro_f1
from multidd.graph.models.networks import Inputs
from multidd.graph.models.propagated_features import pooled_hops
from multidd.kernels import InfiniteKernel, predict, ridge_path

__all__ = ["graph_set_space", "node_space"]

SPACE = "features propagated twice"

GRAPH_SET_SPACE = "means of features before, after one and after two propagations"

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
    multi_label: bool = False,
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
        multi_label: labels are `[b, c]` of 0 and 1, those of the summary shares.
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
    parts = records, real, held_out
    return _space(SPACE, classes, parts, chosen_on, seed, device, multi_label)


def graph_set_space(
    summary: GraphSet,
    train: GraphSet,
    val: GraphSet,
    test: GraphSet,
    seed: int = 0,
    device: str = "cpu",
) -> LabelledSpace:
    """Graphs of a set by the means of their propagated features.

    The learners are those of nodes: regression with the kernel of GC-SNTK, and an MLP.

    Args:
        summary: the condensed graphs.
        train: training graphs.
        val: graphs which choose the ridge and where training stops.
        test: held-out graphs.
        seed: of what is drawn.
        device: where learners are trained.

    Raises:
        ValueError: too few graphs.

    Example:
        >>> from torch_geometric.data import Data
        >>> from multidd.graph.data.graph_set import as_graph_set
        >>> edges = torch.tensor([[0, 1], [1, 0]])
        >>> graphs = as_graph_set([Data(torch.eye(2) + i, edges, y=i % 2) for i in range(8)])
        >>> graph_set_space(graphs, graphs, graphs, graphs).members.shape
        torch.Size([4, 6])
    """  # noqa: E501
    records, real, chosen_on, held_out = (
        _graph_records(part) for part in (summary, train, val, test)
    )
    parts = records, real, held_out
    return _space(GRAPH_SET_SPACE, train.form.classes, parts, chosen_on, seed, device)


def _space(
    name: str,
    classes: int,
    parts: tuple[Records, Records, Records],
    chosen_on: Records,
    seed: int,
    device: str,
    multi_label: bool = False,
) -> LabelledSpace:
    """A summary's records, training and held-out ones, with both learners."""
    records, real, held_out = parts
    regressed = partial(_regressed, classes, chosen_on, multi_label)
    score = micro_f1 if multi_label else None
    learners = {
        "kernel": Learner(regressed, "squared error", max_rows=MAX_WHOLE_NODES),
        "mlp": mlp(classes, real, chosen_on, score),
    }
    targets = _targets_of(multi_label)
    return LabelledSpace(
        name, classes, *parts, learners, seed, targets=targets, device=device
    )


def _records(inputs: Inputs, nodes: Tensor, y: Tensor) -> Records:
    nodes = nodes.cpu()
    return Records(lambda rows: propagated(inputs, nodes[rows]).cpu(), y.cpu())


def _graph_records(graphs: GraphSet) -> Records:
    means = pooled_hops(graphs)
    return Records(lambda rows: means[rows], graphs.y)


def _targets_of(multi_label: bool) -> Callable[[Tensor, int], Tensor]:
    return signed_targets if multi_label else centered_targets


def _regressed(
    classes: int, val: Records, multi_label: bool, records: Records, seed: int
) -> Answer:
    """Kernel regression with the ridge that is best on validation records."""
    kernel, x = InfiniteKernel(DEPTH), records.x
    val = val.to(x.device)
    scale = x.square().mean().sqrt().clamp(min=1e-12)  # entries of mean square one
    x = x / scale
    targets = _targets_of(multi_label)(records.y, classes)
    duals = ridge_path(kernel(x), targets, RIDGES)

    def scores(rows: Tensor, dual: Tensor) -> Tensor:
        return predict(kernel(rows / scale, x), dual)  # ([ridges,] b, c)

    of_ridges = scores(val.x, duals)  # (ridges, b, c)
    if multi_label:
        right = torch.tensor([micro_f1(one > 0, val.y > 0.5) for one in of_ridges])
    else:
        right = (of_ridges.argmax(-1) == val.y).float().mean(1)
    best = duals[int(right.argmax())]
    return lambda rows: scores(rows, best)
