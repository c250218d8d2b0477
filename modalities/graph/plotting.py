"""Pictures of a condensed graph."""

import pathlib

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch_geometric.data import Data

from multidd.errors import require
from multidd.graph.graph import as_graph
from multidd.graph.summary import GraphSummary
from multidd.plotting import BLUE, GREY, ORANGE, categorical, save


def plot_graph(
    summary: GraphSummary,
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
    figure = Figure(figsize=(13.5, 4.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.15, 1, 1))
    _draw_nodes(left, summary)
    _draw_adjacency(middle, figure, summary)
    _draw_properties(right, summary, data)
    figure.suptitle(
        f"{summary.card.method}: {summary.num_nodes} nodes for "
        f"{summary.card.source['nodes']:,}, {summary.num_edges} edges"
    )
    return figure if path is None else save(figure, path)


def _draw_nodes(axes: Axes, summary: GraphSummary) -> None:
    """Spring layout: of the edges, or of nearest neighbours where there are none."""
    networkx = require("networkx")
    weights = summary.adjacency.numpy()
    drawn, title = weights, "Nodes and edges"
    if not weights.any():
        drawn, title = (
            _neighbours(summary.tensors["x"]),
            "Nodes (no edges; by likeness)",
        )
    graph = networkx.from_numpy_array(drawn)
    places = networkx.spring_layout(graph, seed=0, iterations=100)
    at = np.array([places[i] for i in range(len(drawn))])
    for i, j in np.argwhere(np.triu(weights, 1) > 0):
        share = weights[i, j] / weights.max()
        axes.plot(*at[[i, j]].T, color=GREY, alpha=0.15 + 0.6 * share, lw=0.8, zorder=1)
    y = summary.tensors["y"].numpy()
    for label in range(summary.num_classes):
        own = y == label
        color = categorical(label)
        axes.scatter(
            at[own, 0],
            at[own, 1],
            s=46,
            color=color,
            edgecolor="white",
            label=label,
            zorder=2,
        )
    axes.legend(title="class", fontsize=7, title_fontsize=7, ncols=2, frameon=False)
    axes.set(title=title, xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _neighbours(x: Tensor, k: int = 3) -> np.ndarray:
    unit = torch.nn.functional.normalize(x)
    likeness = (unit @ unit.T).fill_diagonal_(0)
    near = likeness.topk(min(k, len(x) - 1), dim=1).indices
    edges = torch.zeros_like(likeness).scatter_(1, near, 1.0)
    return torch.maximum(edges, edges.T).numpy()


def _draw_adjacency(axes: Axes, figure: Figure, summary: GraphSummary) -> None:
    order = summary.tensors["y"].argsort(stable=True)
    shown = summary.adjacency[order][:, order].numpy()
    image = axes.imshow(shown, cmap="Blues", vmin=0, vmax=max(float(shown.max()), 1e-9))
    figure.colorbar(image, ax=axes, shrink=0.8, label="edge weight")
    axes.set(title="Adjacency, by class", xlabel="node", ylabel="node")
    if not shown.any():
        middle = (len(shown) - 1) / 2
        axes.text(middle, middle, "structure-free:\nno edges", ha="center", va="center")


def _draw_properties(axes: Axes, summary: GraphSummary, data: Data | None) -> None:
    weights, y = summary.adjacency.numpy(), summary.tensors["y"].numpy()
    rows = [("condensed", weights.sum(1), _homophily(weights, y), ORANGE)]
    if data is not None:
        graph = as_graph(data)
        degrees = np.asarray(graph.adjacency.sum(axis=1)).ravel()
        coo = graph.adjacency.tocoo()
        labels = graph.y.numpy()
        same = float((labels[coo.row] == labels[coo.col]).mean()) if coo.nnz else np.nan
        rows.insert(0, ("real", degrees, same, BLUE))
    for name, degrees, homophily, color in rows:
        told = "no edges" if np.isnan(homophily) else f"homophily {homophily:.2f}"
        label = f"{name}: mean degree {degrees.mean():.2f}, {told}"
        ranked = np.sort(degrees)[::-1]
        share = (np.arange(len(ranked)) + 1) / len(ranked)
        axes.plot(share, np.maximum(ranked, 1e-3), color=color, lw=2, label=label)
    axes.set(
        title="Weighted degree",
        xlabel="share of nodes, highest degree first",
        ylabel="degree",
        yscale="log",
    )
    axes.legend(
        fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 0.02)
    )


def _homophily(weights: np.ndarray, y: np.ndarray) -> float:
    """Share of edge weight between nodes of one class; NaN without edges."""
    total = weights.sum()
    return float((weights * (y[:, None] == y)).sum() / total) if total else float("nan")
