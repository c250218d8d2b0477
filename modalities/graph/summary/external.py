"""`from_arrays`: a graph that others condensed, as a summary."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from multidd.arguments import public_function
from multidd.data.array_files import (
    array_by_name,
    is_path,
    numbers,
    origin_of,
    read_arrays,
)
from multidd.data.external_labels import external_labels, facts_of
from multidd.engine.card import external_card
from multidd.graph.data.adjacency import adjacency_of
from multidd.graph.data.graph import as_graph
from multidd.graph.summary.summary import GraphSummary

__all__ = ["from_arrays"]

X_NAMES, Y_NAMES = ("x", "feat", "features"), ("y", "labels", "label", "y_soft")
EDGE_NAMES, ADJACENCY_NAMES = ("edge_index",), ("adjacency", "adj")
"""Names of the arrays of a file, the first that is there."""


@public_function
def from_arrays(
    x: Any,
    y: Any = None,
    *,
    source: Any,
    edge_index: Any = None,
    edge_weight: Any = None,
    adjacency: Any = None,
    method: str = "external",
    origin: str = "",
) -> GraphSummary:
    """A summary of a graph that others condensed, to be judged as ours.

    Edges count both ways, and self-loops are left out: a summary's models add them.

    Args:
        x: features `[m, d]` in the space of the real graph; or a PyG `Data` with `x`,
            `y` and its edges; or an .npz or .safetensors file of arrays named x, y, and
            edge_index (with edge_weight) or adjacency.
        y: `[m]` classes 0..c-1, or `[m, c]` soft labels; where nodes have several
            labels `[m, c]` shares of each, from 0 to 1. Those of the `Data` or file
            unless given.
        source: the real graph, as methods take it; or at least how many `nodes`,
            training nodes (`train`) and `classes` it has.
        edge_index: `[2, e]`.
        edge_weight: `[e]`, above 0; ones unless given.
        adjacency: `[m, m]`, dense or sparse, in the place of `edge_index`; neither is a
            set of nodes without edges.
        method: what reports call it.
        origin: where it came from, for the card; the name of the file or the type of
            the arrays unless given.

    Returns:
        A `GraphSummary` that can be evaluated, printed and saved.

    Raises:
        TypeError, ValueError: shapes, edges or labels that do not fit each other or the
            real graph; a file of another kind, of a pickle with the way to convert it.

    Example:
        >>> import multidd
        >>> cora = multidd.samples.cora()
        >>> summary = from_arrays(cora.x[:7], torch.arange(7), source=cora)
        >>> summary.num_nodes, summary.num_edges, summary.card.method
        (7, 0, 'external')
    """
    facts, multi_label = _source(source)
    place = origin_of(x, origin)
    parts = {"x": x, "y": y, "edge_index": edge_index, "edge_weight": edge_weight}
    parts = _read(parts | {"adjacency": adjacency})
    features = _features(parts["x"], facts.get("features"))
    if parts["y"] is None:
        raise ValueError(
            "y is missing; give the class of each node, or soft labels [m, c]"
        )
    m = len(features)
    targets = external_labels(
        parts["y"],
        range(facts["classes"]),
        m,
        noun="node",
        kind="soft" if multi_label and np.ndim(parts["y"]) == 2 else None,
    )
    if multi_label:
        _check_shares(targets.soft)
    edges = adjacency_of(*_edges(parts, m), m).tocoo()
    tensors = {"x": features} | targets.tensors
    tensors["edge_index"] = torch.from_numpy(
        np.stack([edges.row, edges.col]).astype(np.int64)
    )
    tensors["edge_weight"] = torch.from_numpy(edges.data.astype(np.float32))
    settings = {"several": True} if multi_label else {}
    kind = "hard" if targets.soft is None else "soft"
    card = external_card(place, facts, method=method, labels=kind, settings=settings)
    return GraphSummary(tensors, card)


def _check_shares(soft: Tensor | None) -> None:
    """Refuse labels that are no shares, where nodes have several."""
    if soft is None or bool(((soft < 0) | (soft > 1)).any()):
        got = "classes" if soft is None else f"{float(soft.min()):.3g} to "
        got += "" if soft is None else f"{float(soft.max()):.3g}"
        raise ValueError(
            "nodes of the real graph have several labels: y must be [m, c], the share "
            f"of each label from 0 to 1; got {got}"
        )


def _source(source: Any) -> tuple[dict[str, Any], bool]:
    """What is known of the real graph, and whether its nodes have several labels."""
    if isinstance(source, Mapping) and not hasattr(source, "edge_index"):
        how = "the real graph, or these sizes of it"
        return facts_of(source, ("nodes", "train", "classes"), how), False
    graph = as_graph(source, multi_label=True)
    return graph.describe(), graph.multi_label is not None


def _read(parts: dict[str, Any]) -> dict[str, Any]:
    """The parts of a `Data` or of a file, those that were given before them."""
    x = parts["x"]
    if is_path(x):
        arrays, label = read_arrays(x), pathlib.Path(x).name
        inside = {
            "x": array_by_name(arrays, X_NAMES, label),
            "y": array_by_name(arrays, Y_NAMES, label, required=False),
            "edge_index": array_by_name(arrays, EDGE_NAMES, label, required=False),
            "adjacency": array_by_name(arrays, ADJACENCY_NAMES, label, required=False),
            "edge_weight": arrays.get("edge_weight"),
        }
    elif hasattr(x, "edge_index") and hasattr(x, "keys"):
        inside = {name: getattr(x, name, None) for name in parts}
        soft = getattr(x, "y_soft", None)
        inside |= {} if soft is None else {"y": soft}
        if inside["adjacency"] is None and getattr(x, "adj_t", None) is not None:
            inside["adjacency"] = x.adj_t
    else:
        return parts
    others = {n: part for n, part in parts.items() if part is not None and n != "x"}
    return inside | others


def _features(x: Any, width: int | None) -> Tensor:
    if sp.issparse(x):
        x = x.toarray()
    if x is None:
        raise ValueError("the nodes have no features x; give them, [m, d]")
    features = numbers("x", x)
    if features.layout != torch.strided:
        features = features.to_dense()
    if features.dim() != 2 or not features.numel():
        raise ValueError(
            f"x must be [m, d], features of each node; got {list(features.shape)}"
        )
    if width is not None and features.shape[1] != width:
        raise ValueError(
            f"nodes have {features.shape[1]} features, the real graph has {width}; "
            "give other source=, or the features before they were reduced"
        )
    features = features.float().clone()
    if not bool(torch.isfinite(features).all()):
        raise ValueError("x holds NaN or infinite features; drop these nodes")
    return features


def _edges(parts: Mapping[str, Any], m: int) -> tuple[Tensor, Tensor | None]:
    """`[2, e]`, and weights `[e]` or None."""
    edges, matrix, weight = (
        parts[name] for name in ("edge_index", "adjacency", "edge_weight")
    )
    if edges is not None and matrix is not None:
        raise ValueError("give edge_index or adjacency, not both")
    if matrix is None:
        if edges is None:
            if weight is not None:
                raise ValueError("edge_weight has no edges: give edge_index too")
            return torch.zeros(2, 0, dtype=torch.int64), None
        if weight is not None:
            weight = numbers("edge_weight", weight).float()
        edges = numbers("edge_index", edges)
        return (edges if edges.numel() else edges.long().reshape(2, 0)), weight
    if hasattr(matrix, "to_torch_sparse_coo_tensor"):  # torch_sparse's own class
        matrix = matrix.to_torch_sparse_coo_tensor()
    if isinstance(matrix, Tensor):
        dense = matrix.detach().cpu().to_dense().numpy()
    else:
        dense = matrix if sp.issparse(matrix) else np.asarray(matrix)
    if dense.ndim != 2 or dense.shape != (m, m):
        raise ValueError(
            f"adjacency must be [{m}, {m}], a row for each node; got "
            f"{list(dense.shape)}"
        )
    entries = sp.coo_array(dense)
    where = np.stack([entries.row, entries.col]).astype(np.int64)
    return torch.from_numpy(where), torch.from_numpy(entries.data.astype(np.float32))
