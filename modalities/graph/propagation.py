r"""Propagation, once: $\hat A = D^{-1/2} (A + I) D^{-1/2}$ and its products."""

import warnings
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor


def normalized(adjacency: sp.csr_array) -> sp.csr_array:
    r"""$D^{-1/2} (A + I) D^{-1/2}$ of a sparse adjacency.

    Example:
        >>> normalized(sp.csr_array(np.ones((2, 2)) - np.eye(2))).toarray().tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """
    looped = sp.csr_array(adjacency + sp.eye_array(adjacency.shape[0], format="csr"))
    scale = sp.diags_array(1.0 / np.sqrt(looped.sum(axis=1)))
    return sp.csr_array(scale @ looped @ scale).astype(np.float32)


def normalized_dense(adjacency: Tensor) -> Tensor:
    r"""$D^{-1/2} (A + I) D^{-1/2}$ of a dense adjacency, differentiable.

    Example:
        >>> normalized_dense(1 - torch.eye(2)).mul(2).round().tolist()
        [[1.0, 1.0], [1.0, 1.0]]
    """
    eye = torch.eye(len(adjacency), dtype=adjacency.dtype, device=adjacency.device)
    scale = (adjacency.sum(1) + 1).rsqrt()
    return scale[:, None] * (adjacency + eye) * scale[None]


def propagate(adjacency: sp.csr_array, x: Tensor, hops: int) -> Tensor:
    r"""$\hat A^k X$, dense; sparse products while the features are sparse.

    Args:
        adjacency: of the graph, without self-loops.
        x: `[n, d]`.
        hops: k, 0 or more.

    Returns:
        `[n, d]`.
    """
    operator = normalized(adjacency)
    features: Any = x.numpy()
    if np.count_nonzero(features) < 0.1 * features.size:
        features = sp.csr_array(features)
    for _ in range(hops):
        features = operator @ features
    dense = features.toarray() if sp.issparse(features) else features
    return torch.from_numpy(np.ascontiguousarray(dense, dtype=np.float32))


class Sparse:
    """A constant sparse matrix, `operator @ dense`, differentiable in the dense side.

    Holds its transpose too, so that the backward pass is a product of the same kind.
    """

    def __init__(self, matrix: sp.csr_array, device: torch.device | str = "cpu"):
        self.shape = matrix.shape
        self.matrix = matrix
        self.forward = _csr(matrix, device)
        self.transposed = _csr(sp.csr_array(matrix.T), device)

    def __matmul__(self, dense: Tensor) -> Tensor:
        return _Product.apply(dense, self)


Operator: TypeAlias = Tensor | Sparse


def operator(matrix: sp.csr_array, device: torch.device | str = "cpu") -> Operator:
    """`matrix` as what is faster to multiply with: sparse, or dense when it is full.

    Example:
        >>> type(operator(sp.csr_array(np.eye(64)))).__name__
        'Sparse'
    """
    matrix = sp.csr_array(matrix)
    size = matrix.shape[0] * matrix.shape[1]
    if matrix.nnz > 0.1 * size:
        return torch.from_numpy(matrix.toarray().astype(np.float32)).to(device)
    return Sparse(matrix, device)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dense: Tensor, sparse: Sparse) -> Tensor:
        ctx.sparse = sparse
        return sparse.forward @ dense

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.sparse.transposed @ grad.contiguous(), None


def _csr(matrix: sp.csr_array, device: torch.device | str) -> Tensor:
    matrix.sort_indices()
    parts = (matrix.indptr, matrix.indices)
    rows, columns = (torch.from_numpy(p.astype(np.int64)) for p in parts)
    values = torch.from_numpy(matrix.data.astype(np.float32))
    shape = tuple(matrix.shape)
    with warnings.catch_warnings():
        # PyTorch calls the whole layout a beta once in every process.
        warnings.filterwarnings("ignore", "Sparse CSR tensor support")
        warnings.filterwarnings("ignore", "Sparse invariant checks")
        made = torch.sparse_csr_tensor(rows, columns, values, shape)
    return made.to(device)
