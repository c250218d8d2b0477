"""Which nodes stand on the real side of a match."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.graph.data.graph import Graph
from multidd.protocols import Picks

EMPHASIS = 2.0
"""Weight of a teacher's probabilities beside features of length one in a selection."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Which nodes stand on the real side.

    Attributes:
        nodes: `[r]` indices.
        labels: `[r]` the class of each.
        weights: `[r]` how much each counts within its class.
        beliefs: `[r, c]` a teacher's probabilities, where there is one: selections
            compare nodes by these too.
    """

    nodes: Tensor
    labels: Tensor
    weights: Tensor
    beliefs: Tensor | None = None


def seen(graph: Graph, inductive: bool) -> Graph:
    """The graph that a method sees: all of it, or its training part."""
    return graph.subgraph(graph.train.nonzero().flatten()) if inductive else graph


def training_rows(graph: Graph) -> Rows:
    """The training nodes, with weight one."""
    nodes = graph.train.nonzero().flatten()
    return Rows(nodes, graph.y[nodes], torch.ones(len(nodes)))


def taught_rows(graph: Graph, probabilities: Tensor) -> Rows:
    """All nodes in their likeliest class; training nodes keep their own."""
    confidence, labels = probabilities.max(1)
    labels = torch.where(graph.train, graph.y, labels)
    confidence = torch.where(graph.train, 1.0, confidence)
    known = F.one_hot(labels, graph.num_classes).float()
    beliefs = torch.where(graph.train[:, None], known, probabilities)
    return Rows(torch.arange(graph.num_nodes), labels, confidence, beliefs)


def edges_between(
    picks: Picks, nodes: Tensor, adjacency: sp.csr_array, operator: sp.csr_array
) -> Tensor:
    """`[m, m]`, edges between records; between means the mass of edges from one's
    records to the other's, relative to the mass within each.

    Args:
        picks: m records, or means of records.
        nodes: the node behind each record.
        adjacency: of the graph.
        operator: the adjacency with self-loops, normalized.
    """
    if picks.real:
        at = nodes[picks.indices.cpu()].numpy()
        return torch.from_numpy(adjacency[at][:, at].toarray())
    rows, columns = picks.weights.coalesce().indices().cpu().numpy()
    size = (len(picks.labels), adjacency.shape[0])
    ones = np.ones(len(rows), np.float32)
    member = sp.csr_array((ones, (rows, nodes.numpy()[columns])), shape=size)
    mass = (member @ operator @ member.T).toarray()
    within = np.sqrt(np.clip(mass.diagonal(), 1e-6, None))
    between = np.clip(mass / within[:, None] / within, 0.0, 1.0)
    np.fill_diagonal(between, 0.0)
    return torch.from_numpy(between)
