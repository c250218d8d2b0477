r"""Eigenvectors of $\hat A = D^{-1/2} (A + I) D^{-1/2}$ or a symmetric matrix.

Axis letters: `k` eigenvectors, `n` nodes, `d` features.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from multidd.graph.data.graph import Graph
from multidd.graph.models.propagation import normalized, scales

__all__ = ["Eigenbasis", "eigenbasis", "ends"]

DENSE = 200
"""Rows up to which a matrix is solved whole."""


@dataclass(frozen=True, eq=False)
class Eigenbasis:
    r"""Some eigenvectors u of a graph, and its features along them.

    Attributes:
        values: `[k]`, $\lambda$; the largest, which belong to smooth vectors, first.
        components: `[k, d]`, $X^\top u / \sqrt{n}$ of each, with n nodes in u.
        rest: mean of the eigenvalues that are left out.
        low: how many of the last values are from the lower end.
    """

    values: Tensor
    components: Tensor
    rest: float
    low: int

    def to(self, device: str) -> "Eigenbasis":
        """The same on another device."""
        values, components = self.values.to(device), self.components.to(device)
        return replace(self, values=values, components=components)


def eigenbasis(graph: Graph, x: Tensor, count: int, smooth: float) -> Eigenbasis:
    """Eigenvectors from both ends of the spectrum of a graph's largest part.

    A part is a set of nodes that edges connect. The largest eigenvalue of every part is
    one, so that of a graph of many parts the eigenvectors would tell the parts only,
    and those of one part are the same, up to their sign, at every call.

    Args:
        graph: with edges.
        x: `[n, d]`, features of its nodes.
        count: eigenvectors; as many as the largest part has nodes where it has fewer.
        smooth: share of them that has the largest eigenvalues; the others have the
            smallest ones.

    Returns:
        The `Eigenbasis`.

    Raises:
        ValueError: the solver does not come to an end.

    Example:
        >>> from multidd.graph.data.graph import as_graph
        >>> import multidd
        >>> graph = as_graph(multidd.samples.cora())
        >>> eigenbasis(graph, graph.x, 3, 1.0).values.round(decimals=3)
        tensor([1.0000, 0.9960, 0.9940])
    """
    part = _largest(graph.adjacency)
    count = min(count, len(part))
    high = max(round(smooth * count), 1)
    operator = normalized(sp.csr_array(graph.adjacency[part][:, part]))
    values, vectors = ends(operator, high, count - high)
    trace = float((scales(graph.adjacency).astype(np.float64) ** 2).sum())
    rest = (trace - float(values.sum())) / max(graph.num_nodes - count, 1)
    projection = vectors.T @ x[torch.from_numpy(part)].numpy() / len(part) ** 0.5
    components = torch.from_numpy(projection.astype(np.float32))
    known = torch.from_numpy(values).float()
    return Eigenbasis(known, components, rest, count - high)


def _largest(adjacency: sp.csr_array) -> np.ndarray:
    """The nodes of the largest connected part; the first of equals."""
    labels = connected_components(adjacency, directed=False)[1]
    return np.flatnonzero(labels == np.bincount(labels).argmax())


def ends(
    matrix: sp.csr_array, high: int, low: int = 0, tolerance: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """The largest and the smallest eigenvalues of a symmetric matrix.

    Args:
        matrix: `[n, n]`.
        high: how many of the largest.
        low: how many of the smallest; with `high` at most n.
        tolerance: relative error of the eigenvalues; 0 is machine precision.

    Returns:
        Values `[k]` and vectors `[n, k]`, both float64, the largest values first.

    Raises:
        ValueError: the solver does not come to an end.

    Example:
        >>> ends(sp.csr_array(np.diag([1.0, 3.0, 2.0])), 1, 1)[0].tolist()
        [3.0, 1.0]
    """
    n = matrix.shape[0]
    if n <= max(DENSE, 2 * (high + low)):
        values, vectors = np.linalg.eigh(matrix.toarray().astype(np.float64))
        chosen = [*range(n - 1, n - 1 - high, -1), *range(low - 1, -1, -1)]
        return values[chosen], vectors[:, chosen]
    if not matrix.nnz:  # which the solver takes for a breakdown
        return np.zeros(high + low), np.eye(n, high + low)
    parts = [_solved(matrix, high, "LA", tolerance)] if high else []
    parts += [_solved(matrix, low, "SA", tolerance)] if low else []
    values, vectors = (np.concatenate(both, -1) for both in zip(*parts, strict=True))
    return values, vectors


def _solved(
    matrix: sp.csr_array, count: int, which: str, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    from scipy.sparse.linalg import ArpackError, eigsh  # loads slowly

    n = matrix.shape[0]
    # A start of our own: the solver's is drawn anew at every call.
    start = np.sin(np.arange(1.0, n + 1.0)) + 0.5
    matrix = matrix.astype(np.float64)
    try:
        values, vectors = eigsh(matrix, k=count, which=which, v0=start, tol=tolerance)
    except ArpackError as error:
        raise ValueError(
            f"{count} eigenvectors of a matrix of {n} rows were not found ({error}); "
            "ask for fewer"
        ) from error
    order = values.argsort()[::-1]
    return values[order], vectors[:, order]
