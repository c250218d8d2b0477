"""A graph of several node types as a graph of the nodes of one of them."""

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch_geometric.data import Data

from multidd.arguments import public_function
from multidd.graph.data.graph import as_tensor

BUSY = 100
"""Edges of a middle node above which it joins nobody: it would join everybody."""


@public_function
def homogeneous(data: Any, node_type: str) -> Data:
    """The nodes of one type of a `HeteroData`, as a graph of their own.

    Features are the type's own, and beside them, for every relation with another type
    that has features, the mean over a node's neighbours by it (zeros without any).
    Edges are the relations of the type with itself and the metapaths
    type - other - type: two nodes are joined by as many edges as they have neighbours
    of the other type in common, each counted as one over that neighbour's edges, so
    that a shared venue counts less than a shared author; neighbours with more than 100
    edges join nobody. Any method of this package takes the result.

    Args:
        data: a PyG `HeteroData`; `node_type` has `y` and `train_mask`.
        node_type: its nodes are kept.

    Returns:
        A `Data` with `x`, `edge_index`, `edge_weight`, `y` and the masks.

    Raises:
        TypeError: not a `HeteroData`.
        ValueError: no such type, no labels or masks, or no features at all.

    Example:
        >>> from torch_geometric.data import HeteroData
        >>> data = HeteroData()
        >>> data["paper"].x = torch.eye(2)
        >>> data["paper"].y = torch.tensor([0, 1])
        >>> data["paper"].train_mask = torch.tensor([True, True])
        >>> data["author"].x = torch.ones(1, 3)
        >>> both = torch.tensor([[0, 0], [0, 1]])
        >>> data["author", "writes", "paper"].edge_index = both
        >>> paper = homogeneous(data, "paper")
        >>> paper.x.shape, paper.num_edges
        (torch.Size([2, 5]), 2)
    """
    if not hasattr(data, "node_types"):
        raise TypeError(
            f"node_type is for a torch_geometric.data.HeteroData, got "
            f"{type(data).__name__}; leave node_type out"
        )
    if node_type not in data.node_types:
        known = ", ".join(data.node_types) or "none"
        raise ValueError(f"node_type must be one of {known}; got {node_type!r}")
    nodes = data[node_type]
    for name in ("y", "train_mask"):
        if getattr(nodes, name, None) is None:
            raise ValueError(
                f"data[{node_type!r}].{name} is missing; the type that is condensed "
                "needs labels and a training mask"
            )
    n = len(nodes.y)
    x = getattr(nodes, "x", None)
    parts = [] if x is None else [_dense(x, node_type)]
    joined = sp.csr_array((n, n), dtype=np.float32)
    for kind in data.edge_types:
        source, _, target = kind
        if node_type not in (source, target):
            continue
        if source == target:
            joined = joined + _matrix(_ends(data, kind), n, n)
            continue
        other = target if source == node_type else source
        ends = _ends(data, kind)
        ends = ends if source == node_type else ends.flip(0)
        theirs = getattr(data[other], "x", None)
        features = None if theirs is None else _dense(theirs, other)
        num_columns = int(ends[1].max()) + 1 if ends.numel() else 0
        reach = _matrix(ends, n, num_columns if features is None else len(features))
        if features is not None:
            parts.append(_mean(reach, features))
        joined = joined + _metapath(reach)
    if not parts:
        raise ValueError(
            f"neither {node_type!r} nor its neighbours have features (x); give the "
            "nodes some, such as one-hot degrees"
        )
    return _data(nodes, torch.cat(parts, dim=1), joined)


def _data(nodes: Any, x: Tensor, joined: sp.csr_array) -> Data:
    joined.setdiag(0.0)
    joined.eliminate_zeros()
    coo = joined.tocoo()
    edges = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
    weight = torch.from_numpy(coo.data.astype(np.float32))
    data = Data(x=x, edge_index=edges, edge_weight=weight, y=nodes.y)
    for name in ("train_mask", "val_mask", "test_mask"):
        if getattr(nodes, name, None) is not None:
            data[name] = nodes[name]
    return data


def _ends(data: Any, kind: tuple[str, str, str]) -> Tensor:
    """`[2, e]` edges of a type."""
    return as_tensor(data[kind].edge_index, f"data[{kind!r}].edge_index").detach().cpu()


def _dense(x: Any, node_type: str) -> Tensor:
    x = as_tensor(x, f"data[{node_type!r}].x")
    x = x.to_dense() if x.layout != torch.strided else x
    return x.detach().cpu().float()


def _matrix(edges: Tensor, rows: int, columns: int) -> sp.csr_array:
    """`[rows, columns]` of ones where there is an edge, however often."""
    first, second = edges.numpy()
    ones = np.ones(len(first), np.float32)
    matrix = sp.csr_array((ones, (first, second)), shape=(rows, columns))
    matrix.data[:] = 1.0
    return matrix


def _mean(reach: sp.csr_array, x: Tensor) -> Tensor:
    """`[n, d]`, mean features of the neighbours of each node."""
    degree = np.maximum(np.asarray(reach.sum(axis=1)), 1.0).astype(np.float32)
    return torch.from_numpy(reach @ x.numpy() / degree[:, None])


def _metapath(reach: sp.csr_array) -> sp.csr_array:
    r"""$B D^{-1} B^\top$ over the middle nodes that are not too busy."""
    degree = np.asarray(reach.sum(axis=0))
    weight = np.where(
        (degree > 1) & (degree <= BUSY), 1.0 / np.maximum(degree, 1.0), 0.0
    )
    half = sp.csr_array(reach @ sp.diags_array(weight.astype(np.float32)))
    half.eliminate_zeros()
    return sp.csr_array(half @ reach.T)
