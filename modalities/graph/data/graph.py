"""An undirected graph with features and labels, validated, from a PyG `Data`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from multidd.graph.data.adjacency import CHUNK, adjacency_digest, adjacency_of
from multidd.settings import tensor_digest

SUPPORTED = (
    "multidd.graph condenses for node classification: one class for each node (every "
    "method), or several labels, 0/1 of shape [nodes, labels] (condense)"
)


@dataclass(frozen=True, eq=False)
class Graph:
    """An undirected graph without self-loops or duplicate edges.

    Attributes:
        x: `[n, d]` float32.
        y: `[n]` integers; entries outside the masks may be anything.
        adjacency: `[n, n]` scipy CSR, symmetric, zero diagonal, weights as given or 1.
        train, val, test: `[n]` boolean masks; val and test may be all False.
        num_classes: c.
        multi_label: `[n, c]` of 0 and 1 where nodes have several labels; then y is
            zeros.
    """

    x: Tensor
    y: Tensor
    adjacency: sp.csr_array
    train: Tensor
    val: Tensor
    test: Tensor
    num_classes: int
    multi_label: Tensor | None = None

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
            "y": tensor_digest(
                self.y if self.multi_label is None else self.multi_label
            ),
            "adjacency": adjacency_digest(a),
            "masks": tensor_digest(torch.stack([self.train, self.val, self.test])),
        }

    def subgraph(self, nodes: Tensor) -> "Graph":
        """The graph induced by `nodes` (indices), in their order."""
        at = nodes.cpu().numpy()
        adjacency = sp.csr_array(self.adjacency[at][:, at])
        masks = (self.train[nodes], self.val[nodes], self.test[nodes])
        multi_label = None if self.multi_label is None else self.multi_label[nodes]
        x, y = self.x[nodes], self.y[nodes]
        return Graph(x, y, adjacency, *masks, self.num_classes, multi_label)


def as_graph(data: Any, multi_label: bool = False) -> Graph:
    """Check a PyG `Data` and bring it into the form of `Graph`; `data` is not changed.

    Integer, half and double features become float32. Directed edges are made
    undirected (the larger weight where both directions differ), duplicate edges are
    merged (their weights add up), self-loops are dropped (normalization adds one to
    every node), isolated nodes stay and see themselves only.

    Args:
        data: with `x`, `edge_index` (or `adj_t`), `y` and `train_mask`; `val_mask`,
            `test_mask` and `edge_weight` are taken where present.
        multi_label: take a 0/1 matrix `y` `[n, c]` too: several labels for a node.

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
        hint = "for a dataset of one graph pass dataset[0]"
        if hasattr(data, "node_types"):
            hint = "pass multidd.graph.homogeneous(data, node_type) of one type"
        raise TypeError(
            "data must be a torch_geometric.data.Data of one graph, got "
            f"{type(data).__name__}; {hint}"
        )
    x = checked_features(data)
    n = len(x)
    train, val, test = (_mask(data, name, n) for name in ("train", "val", "test"))
    y, c, labels = labels_of(data, train, n, multi_label)
    return Graph(x, y, checked_adjacency(data, n), train, val, test, c, labels)


def _tensor(value: Any) -> Any:
    """NumPy arrays as tensors; the rest as it is."""
    return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value


def checked_features(data: Any) -> Tensor:
    """`[n, d]` float32 of a `Data`, dense; refused where it is not finite numbers."""
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
    values, x = x, x.to(torch.float32).contiguous()
    if not _finite(x):
        bad = (~torch.isfinite(x)).nonzero()
        row, column = bad[0].tolist()
        raise ValueError(
            f"data.x has {len(bad)} entries that are NaN, infinite or too large for "
            f"float32, the first at row {row}, column {column} "
            f"({values[row, column].item()}); clean or drop them first"
        )
    return x


def _finite(x: Tensor) -> bool:
    """Whether all entries are, looked at in parts."""
    rows = max(CHUNK // x.shape[1], 1)
    return all(bool(torch.isfinite(part).all()) for part in x.split(rows))


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


def labels_of(
    data: Any, train: Tensor, n: int, multi_label: bool
) -> tuple[Tensor, int, Tensor | None]:
    """The classes of the nodes, how many, and the labels of nodes that have several.

    Args:
        data: with `y`.
        train: `[n]`, the training nodes.
        n: nodes.
        multi_label: whether a 0/1 matrix of labels is taken.

    Returns:
        `[n]` classes (zeros where nodes have several labels), c, and `[n, c]` or None.

    Raises:
        ValueError: no labels, or of a kind that is not supported; says which are.
    """
    y = _tensor(getattr(data, "y", None))
    if y is None:
        links = getattr(data, "edge_label_index", getattr(data, "edge_label", None))
        asked = "" if links is None else " (link prediction is not supported)"
        raise ValueError(
            f"data.y is missing; node classification needs labels{asked}. {SUPPORTED}"
        )
    y = y.detach().cpu()
    y = y[:, 0] if y.dim() == 2 and y.shape[1] == 1 else y
    matrix = y.dim() == 2 and len(y) == n and bool(((y == 0) | (y == 1)).all())
    if matrix and multi_label:
        return torch.zeros(n, dtype=torch.int64), y.shape[1], _several(y, train)
    if y.dim() != 1 or len(y) != n or y.is_floating_point():
        problem = "several labels for a node are not supported by this method"
        if not matrix:
            problem = "regression targets are not supported (bin them into classes)"
        raise ValueError(
            f"data.y must be {n} integers (one class for each node), got {y.dtype} of "
            f"shape {list(y.shape)}; {problem}. {SUPPORTED}"
        )
    y = y.to(torch.int64).clone()
    return y, _classes(y, train), None


def _classes(y: Tensor, train: Tensor) -> int:
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
    return c


def _several(y: Tensor, train: Tensor) -> Tensor:
    y = y.to(torch.float32).clone()
    same = (y[train] == y[train][:1]).all(0).nonzero().flatten().tolist()
    if len(same) == y.shape[1]:
        raise ValueError(
            "all training nodes have the same labels; there is nothing to classify"
        )
    return y


def checked_adjacency(data: Any, n: int) -> sp.csr_array:
    """The undirected adjacency of a `Data` of n nodes; see `adjacency_of`."""
    edges, weight = _edges(data)
    return adjacency_of(edges, weight, n)


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
