"""Label regimes of nodes and of graphs: a GCN as teacher, dropped edges as views."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from multidd import seeds
from multidd.graph.data.graph_set import GraphSet
from multidd.graph.models.graph_networks import LAYERS, SetInputs
from multidd.graph.models.networks import Inputs
from multidd.graph.models.training import GraphTrainingSet, NodeTrainingSet
from multidd.graph.models.wl_refinement import Levels

__all__ = [
    "probabilities_of",
    "taught_graph_views",
    "taught_views",
    "view_of",
    "view_of_graphs",
]

DROPPED_EDGES, MASKED_FEATURES, MASKED_NODES = 0.2, 0.2, 0.2
"""Shares of edges and of features that a view lacks, and of nodes of a set of graphs
whose features it lacks."""


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
    edges = _with_dropped_edges(adjacency, rng)
    seen = (torch.rand(x.shape[1], generator=rng) >= MASKED_FEATURES).to(x.dtype)
    return Inputs(x * seen, edges)


def view_of_graphs(graphs: GraphSet, rng: torch.Generator) -> GraphSet:
    """Graphs without some edges, and without the features of some nodes, drawn anew.

    Args:
        graphs: a set.
        rng: draws, on the CPU.

    Example:
        >>> from torch_geometric.data import Data
        >>> from multidd.graph.data.graph_set import as_graph_set
        >>> from multidd.seeds import at
        >>> edges = torch.tensor([[0, 1], [1, 0]])
        >>> pair = [Data(torch.eye(2), edges, y=label) for label in (0, 1)]
        >>> len(view_of_graphs(as_graph_set(pair), at(0, "view")))
        2

    Reference:
        You, Chen, Sui, Chen, Wang, Shen, "Graph Contrastive Learning with
        Augmentations", NeurIPS 2020.
    """
    edges = _with_dropped_edges(graphs.adjacency, rng)
    seen = torch.rand(len(graphs.x), 1, generator=rng) >= MASKED_NODES
    return replace(graphs, x=graphs.x * seen, adjacency=edges)


def _with_dropped_edges(adjacency: sp.csr_array, rng: torch.Generator) -> sp.csr_array:
    """A symmetric adjacency without some of its edges, each gone both ways."""
    upper = sp.coo_array(sp.triu(adjacency, 1))
    stays = torch.rand(upper.nnz, generator=rng).numpy() >= DROPPED_EDGES
    ends = upper.row[stays], upper.col[stays]
    half = sp.csr_array((upper.data[stays], ends), shape=adjacency.shape)
    return sp.csr_array(half + half.T)


def probabilities_of(
    net: nn.Module, inputs: Inputs | SetInputs, multi_label: bool = False
) -> Tensor:
    """`[n, c]` of a network for nodes of a graph or graphs of a set, no gradients.

    Args:
        net: gives logits.
        inputs: the graph, or the set.
        multi_label: probabilities are of each label by itself.

    Example:
        >>> from multidd.graph.models.networks import build
        >>> net = build("mlp", 3, 2, torch.Generator())
        >>> inputs = Inputs(torch.eye(3), sp.csr_array((3, 3)))
        >>> probabilities_of(net, inputs).sum(1).round(decimals=4).tolist()
        [1.0, 1.0, 1.0]
    """
    with torch.no_grad():
        logits: Tensor = net(inputs)
    return logits.sigmoid() if multi_label else logits.softmax(1)


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


def taught_graph_views(
    graphs: GraphSet, label: Callable[[SetInputs], Tensor]
) -> GraphTrainingSet:
    """Graphs to train on, in every update as another view that a teacher labels.

    Args:
        graphs: a condensed set.
        label: graphs to probabilities `[b, c]`.
    """

    def draw(some: GraphSet, rng: torch.Generator) -> tuple[SetInputs, Tensor]:
        seen = view_of_graphs(some, seeds.host(rng))
        view = SetInputs(Levels(seen, LAYERS, rng.device))
        return view, label(view)

    return GraphTrainingSet(graphs, graphs.y, draw_view=draw)
