"""Pictures of condensed graphs."""

import pathlib
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from multidd.errors import require
from multidd.graph.data.graph_set import GraphSet
from multidd.graph.data.set_reading import as_graph_set
from multidd.graph.summary.graph_set_summary import GraphSetSummary
from multidd.plotting import BLUE, GREY, ORANGE, categorical, save

ACROSS, DOWN = 5, 4
"""Graphs that are drawn of a class, and classes that are drawn."""


def plot_graphs(
    summary: GraphSetSummary,
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
    return figure if path is None else save(figure, path)


def _draw(axes: Axes, summary: GraphSetSummary, number: int) -> None:
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
