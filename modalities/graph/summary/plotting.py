"""Pictures of a condensed graph."""

import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch_geometric.data import Data

from multidd import html
from multidd.errors import require
from multidd.graph.data.graph import as_graph
from multidd.graph.data.graph_set import GraphSet, as_graph_set
from multidd.plotting import BLUE, GREY, ORANGE, categorical, finished

if TYPE_CHECKING:
    from multidd.graph.summary.graph_set_summary import GraphSetSummary
    from multidd.graph.summary.summary import GraphSummary


def plot_graph(
    summary: "GraphSummary",
    path: str | pathlib.Path | None = None,
    *,
    data: Data | None = None,
) -> Figure:
    """The condensed graph, its adjacency, and its degree and homophily.

    Args:
        summary: what to draw.
        path: a PNG, PDF or SVG to write; None only returns the figure.
        data: the real graph, to stand beside.

    Returns:
        The figure, of three panels.
    """
    figure = Figure(figsize=(13.5, 5.0), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.15, 1, 1))
    _draw_nodes(left, summary)
    _draw_adjacency(middle, figure, summary)
    _draw_properties(right, summary, data)
    figure.suptitle(
        f"{summary.card.method}: {summary.num_nodes} nodes for "
        f"{summary.card.source['nodes']:,}, {summary.num_edges} edges"
    )
    return finished(figure, path)


def sketch(summary: "GraphSummary", max_nodes: int = 200, max_edges: int = 600) -> str:
    """The graph as a small drawing of a notebook, by two principal axes of features.

    Args:
        summary: what to draw.
        max_nodes: of more, those that come first.
        max_edges: of more, the heaviest.
    """
    x = torch.nn.functional.normalize(summary.tensors["x"][:max_nodes].double())
    centered = x - x.mean(0)
    # Axes of the products of nodes: few nodes, many features. `[n, n]`
    vectors = torch.linalg.eigh(centered @ centered.T)[1][:, -2:]
    # By rank, or one node far away would press all others together.
    places = torch.zeros(len(x), 2)
    places[:, : vectors.shape[1]] = vectors.argsort(dim=0).argsort(dim=0).float()
    weights = summary.adjacency[:max_nodes, :max_nodes].triu(1)
    edges = weights.nonzero()
    heaviest = weights[edges[:, 0], edges[:, 1]].argsort(descending=True)[:max_edges]
    colors = [categorical(int(label)) for label in summary.tensors["y"][:max_nodes]]
    picture = html.drawing(places.numpy(), edges[heaviest].numpy(), colors)
    left_out = summary.num_nodes - len(x)
    return picture + (html.note(f"{left_out:,} more nodes") if left_out else "")


def sketch_graphs(summary: "GraphSetSummary", max_graphs: int = 8) -> str:
    """The first graphs as small drawings, by two smooth vectors of their spectrum.

    Args:
        summary: what to draw.
        max_graphs: how many.
    """
    drawings = []
    for graph in summary.to_pyg()[:max_graphs]:
        n = graph.num_nodes
        adjacency = torch.zeros(n, n, dtype=torch.float64)
        adjacency[graph.edge_index[0], graph.edge_index[1]] = 1.0
        laplacian = adjacency.sum(1).diag() - adjacency
        places = torch.zeros(n, 2, dtype=torch.float64)
        smooth = torch.linalg.eigh(laplacian)[1][:, 1:3]
        places[:, : smooth.shape[1]] = smooth
        edges, color = adjacency.triu(1).nonzero().numpy(), categorical(int(graph.y))
        drawings.append(html.drawing(places.numpy(), edges, [color] * n, (120, 90)))
    return "".join(drawings)


def _draw_nodes(axes: Axes, summary: "GraphSummary") -> None:
    """Spring layout of the edges and, weaker, of nearest neighbours: alike is near."""
    networkx = require("networkx")
    weights = summary.adjacency.numpy()
    drawn = weights + 0.2 * _neighbours(summary.tensors["x"])
    graph = networkx.from_numpy_array(drawn)
    places = networkx.spring_layout(graph, seed=0, iterations=100)
    at = np.array([places[i] for i in range(len(drawn))])
    for i, j in np.argwhere(np.triu(weights, 1) > 0):
        alpha = 0.1 + 0.7 * weights[i, j] / weights.max()
        axes.plot(at[[i, j], 0], at[[i, j], 1], color=GREY, alpha=alpha, lw=1, zorder=1)
    y = summary.tensors["y"].numpy()
    for label in range(summary.num_classes):
        x, z = at[y == label].T
        color = categorical(label)
        axes.scatter(x, z, s=46, color=color, edgecolor="white", label=label, zorder=2)
    _legend(axes, min(summary.num_classes, 8), title="class")
    axes.set(title="Nodes: alike is near", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _legend(axes: Axes, columns: int, title: str | None = None) -> None:
    """Below the panel, where it hides nothing."""
    axes.legend(
        title=title,
        fontsize=8,
        title_fontsize=8,
        ncols=columns,
        frameon=False,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16 if title is None else -0.02),
        columnspacing=0.8,
        handletextpad=0.3,
    )


def _neighbours(x: Tensor, k: int = 3) -> np.ndarray:
    unit = torch.nn.functional.normalize(x)
    likeness = (unit @ unit.T).fill_diagonal_(0)
    near = likeness.topk(min(k, len(x) - 1), dim=1).indices
    edges = torch.zeros_like(likeness).scatter_(1, near, 1.0)
    return torch.maximum(edges, edges.T).numpy()


def _draw_adjacency(axes: Axes, figure: Figure, summary: "GraphSummary") -> None:
    order = summary.tensors["y"].argsort(stable=True)
    shown = summary.adjacency[order][:, order].numpy()
    image = axes.imshow(shown, cmap="Blues", vmin=0, vmax=float(shown.max()) or 1.0)
    axes.set(title="Adjacency, nodes by class", xlabel="node", ylabel="node")
    if shown.any():
        figure.colorbar(image, ax=axes, shrink=0.8, label="edge weight")
        return
    middle = (len(shown) - 1) / 2
    axes.text(middle, middle, "structure-free:\nno edges", ha="center", va="center")


def _draw_properties(axes: Axes, summary: "GraphSummary", data: Data | None) -> None:
    weights, y = summary.adjacency.numpy(), summary.tensors["y"].numpy()
    rows = [("condensed", weights.sum(1), _homophily(weights, y), ORANGE)]
    if data is not None:
        graph = as_graph(data)
        degrees = np.asarray(graph.adjacency.sum(axis=1)).ravel()
        coo = graph.adjacency.tocoo()
        labels = graph.y.numpy()
        ends = labels[coo.row], labels[coo.col]
        known = (ends[0] >= 0) & (ends[1] >= 0)
        same = float((ends[0] == ends[1])[known].mean()) if known.any() else np.nan
        rows.insert(0, ("real", degrees, same, BLUE))
    for name, degrees, homophily, color in rows:
        note = "no edges" if np.isnan(homophily) else f"homophily {homophily:.2f}"
        label = f"{name}: mean degree {degrees.mean():.2f}, {note}"
        ranked = np.sort(degrees)[::-1]
        share = (np.arange(len(ranked)) + 1) / len(ranked)
        axes.plot(share, ranked, color=color, lw=2, label=label)
    axes.set(
        title="Weighted degree",
        xlabel="share of nodes, highest degree first",
        ylabel="degree",
    )
    axes.set_yscale("symlog", linthresh=0.01)
    axes.set_ylim(bottom=0)
    _legend(axes, 1)


def _homophily(weights: np.ndarray, y: np.ndarray) -> float:
    """Share of edge weight between nodes of one class; NaN without edges."""
    total = weights.sum()
    return float((weights * (y[:, None] == y)).sum() / total) if total else float("nan")


ACROSS, DOWN = 5, 4
"""Graphs that are drawn of a class, and classes that are drawn."""


def plot_graphs(
    summary: "GraphSetSummary",
    path: str | pathlib.Path | None = None,
    *,
    data: Any = None,
) -> Figure:
    """Some graphs of each class; nodes and mean degree of all, real ones beside.

    Args:
        summary: what to draw.
        path: a PNG, PDF or SVG to write; None only returns the figure.
        data: the real graphs, to stand beside.

    Returns:
        The figure: a row of graphs for each class, and below it two panels.
    """
    rows = min(summary.num_classes, DOWN)
    figure = Figure(figsize=(11.0, 2.2 * rows + 3.2), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(2.2 * rows, 3.2))
    above, below = parts
    panels = above.subplots(rows, ACROSS, squeeze=False)
    y = summary.tensors["y"].numpy()
    for label, line in enumerate(panels):
        members = np.flatnonzero(y == label)[:ACROSS]
        for place, axes in enumerate(line):
            axes.set_axis_off()
            if place < len(members):
                _draw(axes, summary, int(members[place]))
        line[0].set_title(f"class {label}", fontsize=9, loc="left")
    sets = [("condensed", summary.graphs, ORANGE)]
    if data is not None:
        sets.insert(0, ("real", as_graph_set(data, summary.form), BLUE))
    left, right = below.subplots(1, 2)
    for name, graphs, color in sets:
        sizes, degrees = _properties(graphs)
        _ranked(left, sizes, f"{name}: mean {sizes.mean():.1f}", color)
        _ranked(right, degrees, f"{name}: mean {degrees.mean():.2f}", color)
    left.set(title="Nodes", ylabel="nodes of a graph")
    right.set(title="Edges", ylabel="mean degree of a graph")
    figure.suptitle(
        f"{summary.card.method}: {len(summary)} graphs for "
        f"{summary.card.source['graphs']:,}"
    )
    return finished(figure, path)


def _draw(axes: Axes, summary: "GraphSetSummary", number: int) -> None:
    """Spring layout; a node's color is its largest feature."""
    networkx = require("networkx")
    parts = summary.tensors
    size = int(parts["sizes"][number])
    edges = parts["edges"][1:, parts["edges"][0] == number].T.tolist()
    graph = networkx.Graph()
    graph.add_nodes_from(range(size))
    graph.add_edges_from(edges)
    places = networkx.spring_layout(graph, seed=0, iterations=60)
    at = np.array([places[i] for i in range(size)])
    for i, j in graph.edges:
        axes.plot(at[[i, j], 0], at[[i, j], 1], color=GREY, lw=1, zorder=1)
    kinds = parts["x"][number, :size].argmax(1).tolist()
    colors = [categorical(kind % 8) for kind in kinds]
    axes.scatter(at[:, 0], at[:, 1], s=22, c=colors, edgecolor="white", zorder=2)
    axes.margins(0.15)


def _properties(graphs: GraphSet) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and mean degree of each graph."""
    sizes = graphs.sizes.numpy()
    graph = np.repeat(np.arange(len(sizes)), sizes)
    degrees = np.bincount(graph, np.diff(graphs.adjacency.indptr), len(sizes))
    return sizes, degrees / sizes


def _ranked(axes: Axes, values: np.ndarray, label: str, color: str) -> None:
    share = (np.arange(len(values)) + 1) / len(values)
    axes.plot(share, np.sort(values)[::-1], color=color, lw=2, marker=".", label=label)
    axes.set_xlabel("share of graphs, largest first")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8, frameon=False)
