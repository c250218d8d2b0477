"""Label regimes of nodes: a GCN as teacher, dropped edges and words as views."""

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from multidd import seeds
from multidd.graph.models.networks import Inputs
from multidd.graph.models.training import NodeTrainingSet

__all__ = ["node_probabilities", "taught_views", "view_of"]

DROPPED_EDGES, MASKED_FEATURES = 0.2, 0.2
"""Shares of edges and of features that a view lacks."""


def view_of(
    x: Tensor,
    adjacency: sp.csr_array,
    rng: torch.Generator,
    device: str | torch.device = "cpu",
) -> Inputs:
    """A graph without some of its edges and features, drawn anew.

    Args:
        x: `[n, d]`.
        adjacency: `[n, n]`, symmetric, zero diagonal; an edge goes both ways or none.
        rng: draws, on the CPU.
        device: where the view lies.

    Example:
        >>> from multidd.seeds import at
        >>> pair = sp.csr_array(np.array([[0.0, 1.0], [1.0, 0.0]]))
        >>> view_of(torch.eye(2), pair, at(0, "view")).num_nodes
        2

    Reference:
        You, Chen, Sui, Chen, Wang, Shen, "Graph Contrastive Learning with
        Augmentations", NeurIPS 2020.
    """
    upper = sp.coo_array(sp.triu(adjacency, 1))
    stays = torch.rand(upper.nnz, generator=rng).numpy() >= DROPPED_EDGES
    ends = upper.row[stays], upper.col[stays]
    half = sp.csr_array((upper.data[stays], ends), shape=adjacency.shape)
    seen = (torch.rand(x.shape[1], generator=rng) >= MASKED_FEATURES).to(x.dtype)
    return Inputs(x * seen, sp.csr_array(half + half.T), device)


def node_probabilities(net: nn.Module, inputs: Inputs) -> Tensor:
    """`[n, c]` of a network for all nodes of a graph, without gradients.

    Example:
        >>> from multidd.graph.models.networks import build
        >>> net = build("mlp", 3, 2, torch.Generator())
        >>> inputs = Inputs(torch.eye(3), sp.csr_array((3, 3)))
        >>> node_probabilities(net, inputs).sum(1).round(decimals=4).tolist()
        [1.0, 1.0, 1.0]
    """
    with torch.no_grad():
        probabilities: Tensor = net(inputs).softmax(1)
    return probabilities


def taught_views(
    records: NodeTrainingSet, x: Tensor, label: Callable[[Inputs], Tensor]
) -> NodeTrainingSet:
    """The same nodes, in every update as another view that a teacher labels.

    Args:
        records: of a condensed graph.
        x: `[m, d]`, its features.
        label: a graph to probabilities `[m, c]`.
    """
    adjacency = sp.csr_array(records.inputs.adjacency, dtype=np.float32)

    def draw(rng: torch.Generator) -> tuple[Inputs, Tensor]:
        view = view_of(x, adjacency, seeds.host(rng), records.inputs.device)
        return view, label(view)[records.rows]

    return NodeTrainingSet(
        records.inputs, records.targets, rows=records.rows, draw_view=draw
    )
