"""A set of graphs, side by side: what graph classification works on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset

from multidd import seeds
from multidd.graph.data.adjacency import adjacency_digest
from multidd.settings import tensor_digest

__all__ = ["Form", "GraphSet", "is_set", "listed", "split_graphs"]


@dataclass(frozen=True)
class Form:
    """What all parts of a dataset share, so that a model of one runs on the others.

    Attributes:
        features: d.
        classes: c.
        degrees: largest degree with an indicator of its own, where features are made
            of degrees (larger ones share it); None where graphs have features.
    """

    features: int
    classes: int
    degrees: int | None = None


@dataclass(frozen=True, eq=False)
class GraphSet:
    """n undirected graphs, side by side as one graph of all their nodes.

    Attributes:
        x: `[nodes of all, d]` float32.
        adjacency: block-diagonal scipy CSR of zeros and ones, symmetric, zero diagonal.
        sizes: `[n]`, nodes of each graph, one at least.
        y: `[n]` integers.
        form: features and classes.
    """

    x: Tensor
    adjacency: sp.csr_array
    sizes: Tensor
    y: Tensor
    form: Form

    def __len__(self) -> int:
        """n."""
        return len(self.y)

    @property
    def counts(self) -> list[int]:
        """Graphs of each class."""
        return torch.bincount(self.y, minlength=self.form.classes).tolist()

    @property
    def density(self) -> float:
        """Mean over graphs of the share of node pairs with an edge."""
        first = self.sizes.cumsum(0) - self.sizes
        each = torch.from_numpy(np.diff(self.adjacency.indptr)).double()
        totals = torch.cat([each.new_zeros(1), each.cumsum(0)])
        edges = totals[first + self.sizes] - totals[first]
        return float((edges / self.sizes.double().square()).mean())

    def take(self, graphs: Tensor) -> "GraphSet":
        """Some of the graphs (indices), in their order."""
        last = self.sizes.cumsum(0)
        ends = zip((last - self.sizes)[graphs], last[graphs], strict=True)
        parts = [torch.arange(int(a), int(b)) for a, b in ends]
        nodes = torch.cat([torch.zeros(0, dtype=torch.int64), *parts])
        at = nodes.numpy()
        kept = sp.csr_array(self.adjacency[at][:, at])
        sizes, y = self.sizes[graphs], self.y[graphs]
        return GraphSet(self.x[nodes], kept, sizes, y, self.form)

    def padded(self) -> tuple[Tensor, Tensor]:
        """`x` `[n, p, d]` and adjacency `[n, p, p]`, p nodes of the largest graph."""
        n, p = len(self), int(self.sizes.max())
        graph = torch.arange(n).repeat_interleave(self.sizes)
        place = torch.arange(len(graph)) - (self.sizes.cumsum(0) - self.sizes)[graph]
        x, adjacency = torch.zeros(n, p, self.x.shape[1]), torch.zeros(n, p, p)
        x[graph, place] = self.x
        rows, columns = (torch.from_numpy(i).long() for i in self.adjacency.nonzero())
        adjacency[graph[rows], place[rows], place[columns]] = 1.0
        return x, adjacency

    def describe(self) -> dict[str, Any]:
        """Sizes and digests: which data this is, and how its features were made."""
        return {
            "graphs": len(self),
            "nodes": len(self.x),
            "edges": int(self.adjacency.nnz),
            "features": self.form.features,
            "classes": self.form.classes,
            "degrees": self.form.degrees,
            "x": tensor_digest(self.x),
            "y": tensor_digest(self.y),
            "sizes": tensor_digest(self.sizes),
            "adjacency": adjacency_digest(self.adjacency),
        }


def is_set(data: Any) -> bool:
    """Whether methods take `data` for a set of graphs: several, or none.

    A list or dataset of one graph is more likely that graph by mistake.

    Example:
        >>> is_set([Data(), Data()]), is_set([Data()]), is_set(Data())
        (True, False, False)
    """
    if isinstance(data, GraphSet):
        return True
    return isinstance(data, list | tuple | Dataset) and len(data) != 1


def split_graphs(
    dataset: Any, *, val: float = 0.1, test: float = 0.1, seed: int = 0
) -> tuple[list[Data], list[Data], list[Data]]:
    """Graphs to train on, to choose by and to test on, drawn at random.

    Args:
        dataset: a PyG dataset or a list of `Data`.
        val: share of the graphs to choose by.
        test: share of the graphs to test on; shares are rounded up.
        seed: of the draw.

    Returns:
        Three lists of the dataset's graphs.

    Raises:
        ValueError: shares that leave nothing to train on.

    Example:
        >>> train, val, test = split_graphs([Data() for _ in range(25)])
        >>> len(train), len(val), len(test)
        (19, 3, 3)
    """
    graphs = listed(dataset)
    n = len(graphs)
    held = [int(np.ceil(share * n - 1e-9)) for share in (test, val)]
    if min(val, test) < 0 or sum(held) >= n:
        raise ValueError(
            f"val={val} and test={test} of {n} graphs are {held[1]} and {held[0]}; "
            "leave some to train on"
        )
    order = torch.randperm(n, generator=seeds.at(seed, "split")).tolist()
    drawn = [graphs[i] for i in order]
    first, second = held[0], sum(held)
    return drawn[second:], drawn[first:second], drawn[:first]


def listed(dataset: Any) -> list[Data]:
    """The graphs of a dataset.

    Raises:
        TypeError: not a sequence of `Data`.
        ValueError: it is empty.

    Example:
        >>> len(listed((Data(), Data())))
        2
    """
    if isinstance(dataset, Data) or not isinstance(dataset, list | tuple | Dataset):
        raise TypeError(
            "a set of graphs is a PyG dataset or a list of torch_geometric.data.Data, "
            f"got {type(dataset).__name__}"
        )
    graphs = list(dataset)
    for i, graph in enumerate(graphs):
        if not isinstance(graph, Data):
            raise TypeError(f"graph {i} is a {type(graph).__name__}, not a PyG Data")
    if not graphs:
        raise ValueError("the set has no graphs; give two of two classes at least")
    return graphs
