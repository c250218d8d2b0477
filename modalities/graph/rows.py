"""Which nodes stand on the real side of a match."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.graph.graph import Graph

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
