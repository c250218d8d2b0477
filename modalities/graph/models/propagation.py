r"""Propagation, once: $\hat A = D^{-1/2} (A + I) D^{-1/2}$ and its products."""

import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from multidd.graph.data.adjacency import CHUNK

LARGE = 2**25
"""Entries of a matrix above which nothing of its size is made twice."""


def normalized(adjacency: sp.csr_array) -> sp.csr_array:
    r"""$D^{-1/2} (A + I) D^{-1/2}$ of a sparse adjacency.

    Example:
        >>> normalized(sp.csr_array(np.ones((2, 2)) - np.eye(2))).toarray().tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """
    n = adjacency.shape[0]
    eye = sp.eye_array(n, format="csr", dtype=adjacency.dtype)
    if adjacency.nnz <= LARGE:
        looped = sp.csr_array(adjacency + sp.eye_array(n, format="csr"))
        scale = sp.diags_array(1.0 / np.sqrt(looped.sum(axis=1)))
        return sp.csr_array(scale @ looped @ scale).astype(np.float32)
    operator, size = sp.csr_array(adjacency + eye), scales(adjacency)
    for start in range(0, n, CHUNK // 16):  # in place: it is as large as the graph
        ends = operator.indptr[start : start + CHUNK // 16 + 1]
        entries = slice(ends[0], ends[-1])
        rows = np.repeat(size[start : start + CHUNK // 16], np.diff(ends))
        operator.data[entries] *= rows * size[operator.indices[entries]]
    return operator


def scales(adjacency: sp.csr_array) -> np.ndarray:
    r"""`[n]` float32, $(D + I)^{-1/2}$.

    Example:
        >>> scales(sp.csr_array(np.ones((4, 4)) - np.eye(4))).tolist()
        [0.5, 0.5, 0.5, 0.5]
    """
    degree = np.asarray(adjacency.sum(axis=1)).ravel()
    return (1.0 / np.sqrt(degree + 1.0)).astype(np.float32)


def product(
    adjacency: sp.csr_array, scale: np.ndarray, x: np.ndarray, out: np.ndarray
) -> np.ndarray:
    r"""$\hat A X$ into `out`, some rows at a time; the operator is never made whole.

    Args:
        adjacency: `[n, n]`, without self-loops.
        scale: of `scales`.
        x: `[n, b]` float32.
        out: `[n, b]` float32, another array.

    Returns:
        `out`.

    Example:
        >>> a = sp.csr_array(np.ones((2, 2), np.float32) - np.eye(2, dtype=np.float32))
        >>> x = np.array([[1.0], [3.0]], np.float32)
        >>> product(a, scales(a), x, np.empty_like(x)).round(3).tolist()
        [[2.0], [2.0]]
    """
    n, where = adjacency.shape[0], adjacency.indptr
    rows = max(CHUNK * n // max(adjacency.nnz, 1), 1)
    for start in range(0, n, rows):
        stop = min(start + rows, n)
        entries = slice(where[start], where[stop])
        columns, ends = (
            adjacency.indices[entries],
            where[start : stop + 1] - where[start],
        )
        left = np.repeat(scale[start:stop], np.diff(ends))
        values = adjacency.data[entries] * scale[columns] * left
        part = sp.csr_array((values, columns, ends), shape=(stop - start, n))
        out[start:stop] = part @ x
        out[start:stop] += scale[start:stop, None] ** 2 * x[start:stop]
    return out


def normalized_dense(adjacency: Tensor) -> Tensor:
    r"""$D^{-1/2} (A + I) D^{-1/2}$ of a dense adjacency, differentiable.

    Args:
        adjacency: `[..., m, m]`, without self-loops: of one graph, or of several.

    Returns:
        The same shape.

    Example:
        >>> normalized_dense(1 - torch.eye(2)).mul(2).round().tolist()
        [[1.0, 1.0], [1.0, 1.0]]
    """
    m = adjacency.shape[-1]
    eye = torch.eye(m, dtype=adjacency.dtype, device=adjacency.device)
    scale = (adjacency.sum(-1) + 1).rsqrt()
    return scale[..., :, None] * (adjacency + eye) * scale[..., None, :]


def propagate(
    adjacency: sp.csr_array,
    x: Tensor,
    hops: int,
    operator: Callable[[], sp.csr_array] | None = None,
) -> Tensor:
    r"""$\hat A^k X$, dense; sparse products while the features are sparse.

    Args:
        adjacency: of the graph, without self-loops.
        x: `[n, d]`.
        hops: k, 0 or more.
        operator: gives $\hat A$, where it is kept; not asked for large graphs, whose
            operator is never made whole.

    Returns:
        `[n, d]`.
    """
    features: Any = x.numpy()
    if max(adjacency.nnz, features.size) > LARGE:
        return torch.from_numpy(_large(adjacency, features, hops))
    step = normalized(adjacency) if operator is None else operator()
    if np.count_nonzero(features) < 0.1 * features.size:
        features = sp.csr_array(features)
    for _ in range(hops):
        features = step @ features
    dense = features.toarray() if sp.issparse(features) else features
    return torch.from_numpy(np.ascontiguousarray(dense, dtype=np.float32))


class Propagation:
    r"""Propagation over one graph: $\hat A$ and $\hat A^k X$, each made once.

    Args:
        adjacency: of the graph, without self-loops.
        x: `[n, d]`.

    Example:
        >>> graph = Propagation(sp.csr_array(np.ones((2, 2)) - np.eye(2)), torch.eye(2))
        >>> graph.features(1).tolist(), graph.features(1) is graph.features(1)
        ([[0.5, 0.5], [0.5, 0.5]], True)
    """

    def __init__(self, adjacency: sp.csr_array, x: Tensor) -> None:
        self.adjacency, self.x = adjacency, x
        self._features: dict[int, Tensor] = {}

    @cached_property
    def operator(self) -> sp.csr_array:
        r"""$\hat A$."""
        return normalized(self.adjacency)

    def features(self, hops: int) -> Tensor:
        r"""`[n, d]`, $\hat A^k X$; not to be changed in place."""
        if hops not in self._features:
            self._features[hops] = propagate(
                self.adjacency, self.x, hops, lambda: self.operator
            )
        return self._features[hops]


def _large(adjacency: sp.csr_array, x: np.ndarray, hops: int) -> np.ndarray:
    """Dense products in parts, two arrays in turn."""
    scale = scales(adjacency)
    now, spare = x, None
    for _ in range(hops):
        out = np.empty_like(x) if spare is None else spare
        spare = None if now is x else now
        now = product(adjacency, scale, now, out)
    return now.copy() if now is x else now


class Sparse:
    """A constant sparse matrix, `operator @ dense`, differentiable in the dense side.

    The backward pass is a product of the same kind, with its transpose.
    """

    def __init__(self, matrix: sp.csr_array, device: torch.device | str = "cpu"):
        self.shape = matrix.shape
        self.matrix = matrix
        self.forward = _csr(matrix, device)
        self.device = device

    @cached_property
    def transposed(self) -> Tensor:
        """Made when the first gradient asks for it."""
        return _csr(sp.csr_array(self.matrix.T), self.device)

    def __matmul__(self, dense: Tensor) -> Tensor:
        return _Product.apply(dense, self)


Operator: TypeAlias = Tensor | Sparse


def operator(
    matrix: sp.csr_array | np.ndarray, device: torch.device | str = "cpu"
) -> Operator:
    """`matrix` as what is faster to multiply with: sparse, or dense when it is full.

    Example:
        >>> type(operator(sp.csr_array(np.eye(64)))).__name__
        'Sparse'
    """
    if isinstance(matrix, np.ndarray) and np.count_nonzero(matrix) > 0.1 * matrix.size:
        return torch.from_numpy(matrix.astype(np.float32, copy=False)).to(device)
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
        tensor = torch.sparse_csr_tensor(rows, columns, values, shape)
    return tensor.to(device)
