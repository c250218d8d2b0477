"""What a real and a synthetic graph are like, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch

from multidd.evaluation.table import aligned, markdown, terminal_width
from multidd.graph.data.graph import Graph, as_graph
from multidd.graph.models.propagation import normalized
from multidd.graph.models.spectrum import ends

if TYPE_CHECKING:
    from multidd.graph.summary.summary import GraphSummary

TOP = 3
"""Eigenvalues that are told."""


@dataclass(frozen=True, repr=False)
class Properties:
    """A table: one line for each property, one column for each graph.

    Attributes:
        columns: name of a graph to its properties; NaN where it has none.

    Example:
        >>> Properties({"real": {"nodes": 5}, "condense": {"nodes": 2}})["nodes"]
        {'real': 5, 'condense': 2}
    """

    columns: Mapping[str, Mapping[str, float]]

    def __getitem__(self, name: str) -> dict[str, float]:
        """One property of every graph."""
        return {graph: values[name] for graph, values in self.columns.items()}

    def to_markdown(self) -> str:
        """A Markdown table."""
        return markdown(self._cells())

    def __str__(self) -> str:
        return aligned(self._cells(), terminal_width())

    def __repr__(self) -> str:
        first = next(iter(self.columns.values()))
        return f"Properties({', '.join(self.columns)}; {len(first)} properties)"

    def _cells(self) -> list[list[str]]:
        lines = [["property", *self.columns]]
        for name in next(iter(self.columns.values())):
            lines.append([name, *(_formatted(v) for v in self[name].values())])
        return lines


def properties_of(summary: "GraphSummary", data: Any = None) -> Properties:
    """The `Properties` of a summary, and of the real graph where it is given.

    Edges count once for both directions. The degree is weighted; homophily is the share
    of edge weight between nodes of one class, and stands beside its value for edges
    drawn at random. The operator is $D^{-1/2} (A + I) D^{-1/2}$, whose first eigenvalue
    is 1: of its next ones, those near 1 tell of parts that are hardly joined. The
    radius is that of the Laplacian $I - D^{-1/2} A D^{-1/2}$, from 0 to 2.

    Args:
        summary: what was made.
        data: a PyG `Data`.
    """
    parts, columns = summary.tensors, {}
    if data is not None:
        graph = as_graph(data, multi_label=True)
        columns["real"] = _measured(graph.adjacency, graph.y.numpy(), graph.num_classes)
        columns["real"] |= {"features that are 0": _zeros(graph.x)}
        columns["real"] |= {"KiB": _size(graph) / 1024}
    size = (summary.num_nodes, summary.num_nodes)
    ends = tuple(parts["edge_index"].numpy())
    a = sp.csr_array((parts["edge_weight"].numpy(), ends), shape=size)
    condensed = _measured(a, parts["y"].numpy(), summary.num_classes)
    condensed |= {"features that are 0": _zeros(parts["x"])}
    columns[summary.card.method] = condensed | {"KiB": summary.num_bytes / 1024}
    return Properties(columns)


def _measured(a: sp.csr_array, y: np.ndarray, c: int) -> dict[str, float]:
    n, degree = a.shape[0], np.asarray(a.sum(axis=1)).ravel()
    known = y >= 0
    share = np.sort(np.bincount(y[known], minlength=c) / max(known.sum(), 1))
    values: dict[str, float] = {
        "nodes": n,
        "edges": a.nnz // 2,
        "density": a.nnz / max(n * (n - 1), 1),
        "mean degree": float(degree.mean()),
        "largest degree": float(degree.max()),
        "nodes without edges": float((np.diff(a.indptr) == 0).mean()),
        "homophily": _homophily(a, y),
        "homophily by chance": float((share**2).sum()) if a.nnz else float("nan"),
        "largest class": float(share[-1]),
        "smallest class": float(share[0]),
    }
    values |= {
        f"eigenvalue {i} of the operator": value
        for i, value in enumerate(_top(normalized(a), TOP + 1), 1)
        if i > 1
    }
    return values | {"radius of the Laplacian": _radius(a, degree)}


def _homophily(a: sp.csr_array, y: np.ndarray) -> float:
    """Share of edge weight between nodes of one class, both of them known."""
    within, total = 0.0, 0.0
    rows = max(2**22 * a.shape[0] // max(a.nnz, 1), 1)
    for start in range(0, a.shape[0], rows):
        ends = a.indptr[start : start + rows + 1]
        entries = slice(ends[0], ends[-1])
        left = np.repeat(y[start : start + rows], np.diff(ends))
        right, weight = y[a.indices[entries]], a.data[entries].astype(np.float64)
        weight = weight * ((left >= 0) & (right >= 0))
        within += float(weight[left == right].sum())
        total += float(weight.sum())
    return within / total if total else float("nan")


def _top(operator: sp.csr_array, count: int) -> list[float]:
    """The largest eigenvalues of a symmetric matrix, NaN where it has fewer."""
    known = min(count, operator.shape[0])
    eigenvalues = ends(operator, known, tolerance=1e-4)[0]
    return [float(v) for v in eigenvalues] + [float("nan")] * (count - known)


def _radius(a: sp.csr_array, degree: np.ndarray) -> float:
    if not a.nnz:
        return 0.0
    root = np.sqrt(degree, where=degree > 0, out=np.ones_like(degree))
    half = sp.diags_array((degree > 0) / root)
    laplacian = sp.diags_array((degree > 0).astype(degree.dtype)) - half @ a @ half
    return _top(sp.csr_array(laplacian), 1)[0]


def _zeros(x: torch.Tensor) -> float:
    return float((x == 0).float().mean())


def _size(graph: Graph) -> float:
    """Bytes of features, edges (both directions, int64 and weight) and labels."""
    a, n = graph.adjacency, graph.num_nodes
    weighted = 4 * bool(a.nnz) * bool((a.data != 1).any())
    return 4 * graph.x.numel() + a.nnz * (16 + weighted) + 8 * n


def _formatted(value: float) -> str:
    if value != value:
        return "-"
    if float(value).is_integer() and abs(value) >= 2:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
