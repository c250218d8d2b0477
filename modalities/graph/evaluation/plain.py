"""Plain trainings of nodes: PyG's GCN, GraphSAGE, GAT and MLP on the full graph."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multidd import seeds
from multidd.evaluation.plain import plain_cross_entropy

__all__ = ["PLAIN", "PlainGraph", "network", "train_network"]

PLAIN = {
    "gcn": "PyG's GCN, Adam with weight decay, 200 epochs",
    "sage": "PyG's GraphSAGE, the same",
    "gat": "PyG's GAT, the same",
    "mlp": "an MLP on the features alone, the same",
}
"""What a stranger trains, by name."""

EPOCHS, RATE, WEIGHT_DECAY, WIDTH, DROPOUT = 200, 0.01, 5e-4, 64, 0.5


class _MLP(nn.Module):
    """Two layers, which look at no edge."""

    def __init__(self, num_features: int, width: int, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(num_features, width),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(width, num_classes),
        )

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Scores `[n, c]`."""
        scores: Tensor = self.layers(x)
        return scores


def network(name: str, num_features: int, num_classes: int) -> nn.Module:
    """A fresh network of two layers.

    Args:
        name: a key of `PLAIN`.
        num_features: d.
        num_classes: c.

    Example:
        >>> x, edges = torch.eye(3), torch.tensor([[0, 1], [1, 0]])
        >>> with torch.random.fork_rng():
        ...     network("sage", 3, 2)(x, edges).shape
        torch.Size([3, 2])
    """
    from torch_geometric.nn import models

    if name == "mlp":
        return _MLP(num_features, WIDTH, num_classes)
    make = {"gcn": models.GCN, "sage": models.GraphSAGE, "gat": models.GAT}[name]
    net: nn.Module = make(num_features, WIDTH, 2, num_classes, dropout=DROPOUT)
    return net


@dataclass(frozen=True)
class PlainGraph:
    """A graph as a plain network takes it.

    Attributes:
        x: `[n, d]`.
        edge_index: `[2, e]`, both directions of each edge.
        edge_weight: `[e]`, for GCN, the one that takes it; None of equal edges.
    """

    x: Tensor
    edge_index: Tensor
    edge_weight: Tensor | None = None

    @classmethod
    def of(cls, x: Tensor, adjacency: sp.csr_array) -> Self:
        """Of features and a scipy adjacency."""
        entries = adjacency.tocoo()
        ends = np.stack([entries.row, entries.col]).astype(np.int64)
        weight = torch.from_numpy(entries.data.astype(np.float32))
        return cls(x, torch.from_numpy(ends), weight)

    def to(self, device: str | torch.device) -> Self:
        """The same on another device."""
        weight = None if self.edge_weight is None else self.edge_weight.to(device)
        return type(self)(self.x.to(device), self.edge_index.to(device), weight)

    def through(self, net: nn.Module, name: str) -> Tensor:
        """Scores `[n, c]` of all nodes by the network of that name."""
        weight = (self.edge_weight,) if name == "gcn" else ()
        scores: Tensor = net(self.x, self.edge_index, *weight)
        return scores


def train_network(
    name: str,
    graph: PlainGraph,
    targets: Tensor,
    rows: Tensor,
    num_classes: int,
    seed: int,
    multi_label: bool = False,
) -> nn.Module:
    """Train on some nodes of a graph, all of it at once.

    Args:
        name: a key of `PLAIN`.
        graph: it, where the network is trained.
        targets: `[b]` classes, `[b, c]` probabilities, or shares of several labels.
        rows: `[b]`, the nodes that they are of.
        num_classes: c.
        seed: of weights and dropout. Global random states stay as they are.
        multi_label: nodes have several labels: cross entropy is of each of them.

    Returns:
        The network, in evaluation mode.

    Example:
        >>> graph, rows = PlainGraph.of(torch.eye(2), sp.csr_array((2, 2))), [0, 1]
        >>> rows = torch.tensor(rows)
        >>> net = train_network("gcn", graph, rows, rows, 2, seed=0)
        >>> graph.through(net, "gcn").argmax(1).tolist()
        [0, 1]
    """
    binary, device = F.binary_cross_entropy_with_logits, graph.x.device
    loss_of = binary if multi_label else plain_cross_entropy
    with seeds.global_state([device]), torch.enable_grad():
        torch.manual_seed(seed)
        net = network(name, graph.x.shape[1], num_classes).train().to(device)
        optimizer = torch.optim.Adam(
            net.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY
        )
        for _ in range(EPOCHS):
            optimizer.zero_grad()
            outputs = graph.through(net, name)[rows]
            loss_of(outputs, targets).backward()
            optimizer.step()
    return net.eval()
