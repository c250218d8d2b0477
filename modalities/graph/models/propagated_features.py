r"""$X$, $\hat A X$ and $\hat A^2 X$ of large graphs, in RAM or files, and of sets.

Axis letters: `n` nodes, `d` features, `b` rows of a part.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from multidd.graph.data.graph import Graph
from multidd.graph.data.graph_set import GraphSet
from multidd.graph.models.propagation import normalized, product, scales
from multidd.graph.models.wl_refinement import pooling
from multidd.storage import cache
from multidd.storage.files import check_writable


@dataclass(frozen=True, eq=False)
class Hops:
    r"""Features of all nodes before, after one and after two propagations.

    Attributes:
        x: `[n, d]`, X.
        once: $\hat A X$.
        twice: $\hat A^2 X$.
    """

    x: np.ndarray
    once: np.ndarray
    twice: np.ndarray

    def view(self, name: str, rows: Any) -> Tensor:
        """`[b, d]` of some rows: `"own"` X, `"once"` of one hop, or `"low"` the mean of
        one and two hops."""
        if name != "low":
            one = self.x if name == "own" else self.once
            return torch.from_numpy(np.ascontiguousarray(one[rows]))
        return torch.from_numpy((self.once[rows] + self.twice[rows]) / 2)

    def all(self, rows: Any) -> Tensor:
        """`[b, 3 d]` of some rows: X and both hops side by side."""
        parts = [self.x[rows], self.once[rows], self.twice[rows]]
        return torch.from_numpy(np.concatenate(parts, axis=1))


@contextmanager
def hops_of(graph: Graph, columns: int | None = None) -> Iterator[Hops]:
    """The `Hops` of a graph, for the block only.

    Args:
        graph: whose features are propagated.
        columns: None keeps all in RAM; a number keeps the hops in files of the cache's
            folder, propagated so many columns at a time, and removes them at the end.

    Example:
        >>> import multidd
        >>> from multidd.graph.data.graph import as_graph
        >>> with hops_of(as_graph(multidd.samples.cora()), columns=500) as hops:
        ...     hops.once.shape
        (2708, 1433)
    """
    x, a = graph.x.numpy(), graph.adjacency
    if columns is None:
        once, twice = np.empty_like(x), np.empty_like(x)
        _fill(a, x, once, twice, x.shape[1])
        yield Hops(x, once, twice)
        return
    base = cache.folder() / "hops"
    check_writable(base)
    home = tempfile.mkdtemp(dir=base)
    try:
        once, twice = (
            np.memmap(f"{home}/{name}", np.float32, "w+", shape=x.shape)
            for name in ("once", "twice")
        )
        _fill(a, x, once, twice, columns)
        yield Hops(x, once, twice)
    finally:
        once = twice = None  # type: ignore[assignment]  # lets the files go
        shutil.rmtree(home, ignore_errors=True)


def _fill(
    a: sp.csr_array, x: np.ndarray, once: np.ndarray, twice: np.ndarray, columns: int
) -> None:
    scale = scales(a)
    if columns >= x.shape[1]:
        product(a, scale, x, once)
        product(a, scale, once, twice)
        return
    for start in range(0, x.shape[1], columns):
        chunk = slice(start, start + columns)
        before = np.ascontiguousarray(x[:, chunk])
        after = product(a, scale, before, np.empty_like(before))
        once[:, chunk] = after
        twice[:, chunk] = product(a, scale, after, before)


def pooled_hops(graphs: GraphSet) -> Tensor:
    r"""Means over the nodes of each graph of $X$, $\hat A X$ and $\hat A^2 X$.

    $$[\,\bar X,\; \overline{\hat A X},\; \overline{\hat A^2 X}\,], \qquad
    \hat A = D^{-1/2} (A + I) D^{-1/2}$$

    Args:
        graphs: n graphs of d features.

    Returns:
        `[n, 3 d]` float32.

    Example:
        >>> from torch_geometric.data import Data
        >>> from multidd.graph.data.graph_set import as_graph_set
        >>> edges = torch.tensor([[0, 1], [1, 0]])
        >>> pair = [Data(torch.eye(2), edges, y=label) for label in (0, 1)]
        >>> pooled_hops(as_graph_set(pair)).shape
        torch.Size([2, 6])
    """
    step, pool = normalized(graphs.adjacency), pooling(graphs.sizes)
    hops = [graphs.x.numpy()]
    for _ in range(2):
        hops.append(step @ hops[-1])  # (nodes of all, d)
    means = np.concatenate([pool @ hop for hop in hops], axis=1)
    return torch.from_numpy(means.astype(np.float32))


SAMPLE = 2**16
"""Rows that are held at once in training and clustering."""
