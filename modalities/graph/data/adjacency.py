"""The adjacency of a graph from its edges, in bounded memory."""

import hashlib
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

CHUNK = 2**22
"""Entries looked at together, where more would only take memory."""


def adjacency_of(edges: Tensor, weight: Tensor | None, n: int) -> sp.csr_array:
    """The undirected adjacency of an edge list, its columns in order.

    Both directions of an edge count once (the larger weight where they differ),
    duplicate edges are merged (their weights add up), self-loops are dropped.

    Args:
        edges: `[2, e]` integers.
        weight: `[e]`, or None for ones.
        n: nodes.

    Returns:
        `[n, n]` float32 CSR.

    Raises:
        ValueError: edges of another form or outside 0..n-1, or bad weights.

    Example:
        >>> adjacency_of(torch.tensor([[0, 1, 1], [1, 0, 1]]), None, 2).toarray()
        array([[0., 1.],
               [1., 0.]], dtype=float32)
    """
    if edges.dim() != 2 or edges.shape[0] != 2 or edges.is_floating_point():
        raise ValueError(
            f"data.edge_index must be integers [2, edges], got {edges.dtype} of shape "
            f"{list(edges.shape)}"
        )
    if edges.numel() and (int(edges.min()) < 0 or int(edges.max()) >= n):
        outside = ((edges < 0) | (edges >= n)).any(0).nonzero()
        at = int(outside[0])
        raise ValueError(
            f"edge {at} of data.edge_index joins nodes {edges[:, at].tolist()}, but "
            f"there are {n} nodes (0..{n - 1}); {len(outside)} such edges"
        )
    a = _plain(edges, n) if weight is None else _weighted(edges, weight, n)
    a.sort_indices()
    return a


def _plain(edges: Tensor, n: int) -> sp.csr_array:
    """Of edges without weights: half of it is built and mirrored."""
    low, high = np.empty((2, edges.shape[1]), _index(n))
    for start in range(0, edges.shape[1], CHUNK):
        span = slice(start, start + CHUNK)
        ends = edges[:, span].numpy()
        np.minimum(ends[0], ends[1], out=low[span], casting="unsafe")
        np.maximum(ends[0], ends[1], out=high[span], casting="unsafe")
    loops = low == high
    if loops.any():
        low, high = low[~loops], high[~loops]
    half = sp.csr_array((np.ones(len(low), bool), (low, high)), shape=(n, n))
    del low, high, loops
    half.data = np.ones(half.nnz, np.float32)
    return sp.csr_array(half + half.T)


def _weighted(edges: Tensor, weight: Tensor, n: int) -> sp.csr_array:
    ends = edges.numpy().astype(_index(n), copy=False)
    a = sp.csr_array((_weights(weight, edges), (ends[0], ends[1])), shape=(n, n))
    a = sp.csr_array(a.maximum(a.T))
    a.setdiag(0.0)
    a.eliminate_zeros()
    return a.astype(np.float32)


def _index(n: int) -> type[np.integer[Any]]:
    return np.int32 if n < 2**31 else np.int64


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


def adjacency_digest(a: sp.csr_array) -> str:
    """`multidd.settings.tensor_digest` of the same matrix as a sparse tensor, without
    making that tensor.

    Example:
        >>> from multidd.settings import tensor_digest
        >>> a = adjacency_of(torch.tensor([[0, 1], [1, 2]]), None, 3)
        >>> same = torch.from_numpy(a.toarray()).to_sparse_coo()
        >>> adjacency_digest(a) == tensor_digest(same)
        True
    """
    if not a.has_sorted_indices:
        a = a.sorted_indices()
    dtype = torch.from_numpy(a.data[:0]).dtype
    sha = hashlib.sha256(f"{dtype} {list(a.shape)}".encode())
    rows = max(CHUNK * a.shape[0] // max(a.nnz, 1), 1)
    for start in range(0, a.shape[0], rows):
        ends = a.indptr[start : start + rows + 1]
        where = np.arange(start, start + len(ends) - 1, dtype=np.int64)
        sha.update(np.repeat(where, np.diff(ends)).data)
    for start in range(0, a.nnz, CHUNK):
        sha.update(a.indices[start : start + CHUNK].astype(np.int64).data)
    sha.update(np.ascontiguousarray(a.data).data)
    return sha.hexdigest()[:16]
