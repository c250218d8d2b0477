"""A PyG `Data`, checked and made simple: what the rest of this folder works on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from multidd.settings import tensor_digest


@dataclass(frozen=True, eq=False)
class Graph:
    """An undirected graph without self-loops or duplicate edges.

    Attributes:
        x: `[n, d]` float32.
        y: `[n]` integers; entries outside the masks may be anything.
        adjacency: `[n, n]` scipy CSR, symmetric, zero diagonal, weights as given or 1.
        train, val, test: `[n]` boolean masks; val and test may be all False.
        num_classes: c.
    """

    x: Tensor
    y: Tensor
    adjacency: sp.csr_array
    train: Tensor
    val: Tensor
    test: Tensor
    num_classes: int

    @property
    def num_nodes(self) -> int:
        """n."""
        return len(self.x)

    def describe(self) -> dict[str, Any]:
        """Sizes and digests: which data this is."""
        a = self.adjacency
        return {
            "nodes": self.num_nodes,
            "edges": int(a.nnz),
            "features": self.x.shape[1],
            "classes": self.num_classes,
            "train": int(self.train.sum()),
            "x": tensor_digest(self.x),
            "y": tensor_digest(self.y),
            "adjacency": tensor_digest(
                torch.sparse_coo_tensor(*_entries(a), check_invariants=True)
            ),
            "masks": tensor_digest(torch.stack([self.train, self.val, self.test])),
        }

    def subgraph(self, nodes: Tensor) -> "Graph":
        """The graph induced by `nodes` (indices), in their order."""
        at = nodes.cpu().numpy()
        kept = sp.csr_array(self.adjacency[at][:, at])
        masks = (self.train[nodes], self.val[nodes], self.test[nodes])
        return Graph(self.x[nodes], self.y[nodes], kept, *masks, self.num_classes)


def _entries(a: sp.csr_array) -> tuple[Tensor, Tensor, tuple[int, int]]:
    coo = a.tocoo()
    where = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
    return where, torch.from_numpy(coo.data), a.shape


def as_graph(data: Any) -> Graph:
    """Check a PyG `Data` and bring it into the form of `Graph`; `data` is not changed.

    Integer, half and double features become float32. Directed edges are made
    undirected (the larger weight where both directions differ), duplicate edges are
    merged (their weights add up), self-loops are dropped (normalization adds one to
    every node), isolated nodes stay and see themselves only.

    Args:
        data: with `x`, `edge_index` (or `adj_t`), `y` and `train_mask`; `val_mask`,
            `test_mask` and `edge_weight` are taken where present.

    Returns:
        A `Graph`.

    Raises:
        TypeError: not a PyG `Data`.
        ValueError: something is missing, out of range or not finite; says where.

    Example:
        >>> import multidd
        >>> as_graph(multidd.samples.cora()).adjacency.nnz
        10556
    """
    if isinstance(data, Graph):
        return data
    if not hasattr(data, "edge_index") or not hasattr(data, "keys"):
        raise TypeError(
            "data must be a torch_geometric.data.Data of one graph, got "
            f"{type(data).__name__}; for a dataset of one graph pass dataset[0]"
        )
    x = _features(data)
    n = len(x)
    train, val, test = (_mask(data, name, n) for name in ("train", "val", "test"))
    y, c = _labels(data, train, n)
    return Graph(x, y, _adjacency(data, n), train, val, test, c)


def _tensor(value: Any) -> Any:
    """NumPy arrays as tensors; the rest as it is."""
    return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value


def _features(data: Any) -> Tensor:
    x = _tensor(data.x)
    if x is None:
        raise ValueError(
            "data.x is missing; give nodes features, such as one-hot degrees "
            "(torch_geometric.transforms.OneHotDegree)"
        )
    x = (x.to_dense() if x.layout != torch.strided else x).detach().cpu()
    if x.dim() != 2 or not x.numel():
        raise ValueError(f"data.x must be [nodes, features], got {list(x.shape)}")
    if x.is_complex() or x.dtype == torch.bool:
        x = x.real if x.is_complex() else x
    given, x = x, x.to(torch.float32).contiguous()
    bad = (~torch.isfinite(x)).nonzero()
    if len(bad):
        row, column = bad[0].tolist()
        raise ValueError(
            f"data.x has {len(bad)} entries that are NaN, infinite or too large for "
            f"float32, the first at row {row}, column {column} "
            f"({given[row, column].item()}); clean or drop them first"
        )
    return x


def _mask(data: Any, name: str, n: int) -> Tensor:
    mask = _tensor(getattr(data, f"{name}_mask", None))
    if mask is None:
        if name == "train":
            raise ValueError(
                "data.train_mask is missing; make one, for example with "
                "torch_geometric.transforms.RandomNodeSplit, or load the data with "
                "multidd.graph.load"
            )
        return torch.zeros(n, dtype=torch.bool)
    mask = mask.detach().cpu()
    if mask.dim() == 2:
        raise ValueError(
            f"data.{name}_mask holds {mask.shape[1]} splits; choose one, for example "
            f"data.{name}_mask = data.{name}_mask[:, 0]"
        )
    if mask.shape != (n,) or mask.dtype != torch.bool:
        raise ValueError(
            f"data.{name}_mask must be {n} booleans, got {mask.dtype} of shape "
            f"{list(mask.shape)}"
        )
    if name == "train" and not mask.any():
        raise ValueError("data.train_mask is empty; mark the nodes to learn from")
    return mask.clone()


def _labels(data: Any, train: Tensor, n: int) -> tuple[Tensor, int]:
    y = _tensor(getattr(data, "y", None))
    if y is None:
        raise ValueError("data.y is missing; node classification needs labels")
    y = y.detach().cpu()
    y = y[:, 0] if y.dim() == 2 and y.shape[1] == 1 else y
    if y.dim() != 1 or len(y) != n or y.is_floating_point():
        raise ValueError(
            f"data.y must be {n} integers (one class for each node), got {y.dtype} of "
            f"shape {list(y.shape)}; multi-label and regression targets are not "
            "supported"
        )
    y = y.to(torch.int64).clone()
    if int(y[train].min()) < 0:
        node = int((train & (y < 0)).nonzero()[0])
        raise ValueError(f"training node {node} has label {int(y[node])}; want 0..c-1")
    c = int(y.max()) + 1
    missing = (torch.bincount(y[train], minlength=c) == 0).nonzero().flatten().tolist()
    if missing:
        raise ValueError(
            f"classes {missing} have no training nodes (labels run 0..{c - 1}); mark "
            "some in data.train_mask, or relabel the data without these classes"
        )
    if c < 2:
        raise ValueError("all nodes have one class; there is nothing to classify")
    return y, c


def _adjacency(data: Any, n: int) -> sp.csr_array:
    edges, weight = _edges(data)
    if edges.dim() != 2 or edges.shape[0] != 2 or edges.is_floating_point():
        raise ValueError(
            f"data.edge_index must be integers [2, edges], got {edges.dtype} of shape "
            f"{list(edges.shape)}"
        )
    edges = edges.to(torch.int64)
    outside = ((edges < 0) | (edges >= n)).any(0).nonzero()
    if len(outside):
        at = int(outside[0])
        raise ValueError(
            f"edge {at} of data.edge_index joins nodes {edges[:, at].tolist()}, but "
            f"there are {n} nodes (0..{n - 1}); {len(outside)} such edges"
        )
    values = np.ones(edges.shape[1]) if weight is None else _weights(weight, edges)
    a = sp.coo_array((values, (edges[0].numpy(), edges[1].numpy())), shape=(n, n))
    a = sp.csr_array(a)
    if weight is None:
        a.data[:] = 1.0  # duplicates were summed
    a = sp.csr_array(a.maximum(a.T))
    a.setdiag(0.0)
    a.eliminate_zeros()
    a.sort_indices()
    return a.astype(np.float32)


def _edges(data: Any) -> tuple[Tensor, Tensor | None]:
    """`[2, e]` and weights, from `edge_index` or from the transposed `adj_t`."""
    edges, flipped = _tensor(data.edge_index), False
    if edges is None and getattr(data, "adj_t", None) is not None:
        edges, flipped = data.adj_t, True
        if hasattr(edges, "to_torch_sparse_coo_tensor"):  # torch_sparse's own class
            edges = edges.to_torch_sparse_coo_tensor()
    if edges is None:
        raise ValueError("data.edge_index is missing; it may be empty, [2, 0]")
    if edges.layout != torch.strided:
        entries = edges.detach().cpu().to_sparse_coo().coalesce()
        where = entries.indices()
        return where.flip(0) if flipped else where, entries.values()
    weight = _tensor(getattr(data, "edge_weight", None))
    return edges.detach().cpu(), None if weight is None else weight.detach().cpu()


def _weights(weight: Tensor, edges: Tensor) -> np.ndarray:
    weight = weight.flatten().to(torch.float64)
    if len(weight) != edges.shape[1]:
        raise ValueError(
            f"data.edge_weight has {len(weight)} entries for {edges.shape[1]} edges"
        )
    bad = (~torch.isfinite(weight) | (weight < 0)).nonzero()
    if len(bad):
        at = int(bad[0])
        raise ValueError(
            f"data.edge_weight has {len(bad)} negative or non-finite entries, the "
            f"first at edge {at} ({weight[at].item()}); weights must be 0 or more"
        )
    return weight.numpy()
