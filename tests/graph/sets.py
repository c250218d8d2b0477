"""Small generated sets of graphs: rings and paths with a tail, told by their edges."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data


def ring(n: int) -> Tensor:
    """A ring of n nodes, each edge once."""
    nodes = torch.arange(n)
    return torch.stack([nodes, (nodes + 1) % n])


def star(n: int) -> Tensor:
    """A node in the middle of n - 1."""
    return torch.stack([torch.zeros(n - 1, dtype=torch.int64), torch.arange(1, n)])


def graphs(count: int = 12, features: int = 3, seed: int = 0) -> list[Data]:
    """So many of each class: rings (0) and stars (1) of four to eight nodes; the first
    feature tells a little, the others nothing."""
    rng = torch.Generator().manual_seed(seed)
    results = []
    for i in range(2 * count):
        n, y = 4 + i % 5, i % 2
        x = torch.randn(n, features, generator=rng)
        x[:, 0] += 2.0 * y
        edges = star(n) if y else ring(n)
        results.append(Data(x=x, edge_index=edges, y=torch.tensor([y])))
    return results


def bare(count: int = 12) -> list[Data]:
    """The same without features."""
    return [
        Data(edge_index=graph.edge_index, y=graph.y, num_nodes=graph.num_nodes)
        for graph in graphs(count)
    ]


def frozen(dataset: list[Data]) -> list[dict[str, Any]]:
    """Bytes of every tensor, to compare before and after."""
    return [
        {
            k: v.numpy().tobytes()
            for k, v in graph.to_dict().items()
            if hasattr(v, "numpy")
        }
        for graph in dataset
    ]
