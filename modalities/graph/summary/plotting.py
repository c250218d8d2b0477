"""Pictures of a condensed graph."""

import pathlib

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch_geometric.data import Data

from multidd.errors import require
from multidd.graph.data.graph import as_graph
from multidd.graph.summary.summary import GraphSummary
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
    figure = Figure(figsize=(13.5, 5.0), layout="constrained")
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


def _draw_adjacency(axes: Axes, figure: Figure, summary: GraphSummary) -> None:
    order = summary.tensors["y"].argsort(stable=True)
    shown = summary.adjacency[order][:, order].numpy()
    image = axes.imshow(shown, cmap="Blues", vmin=0, vmax=float(shown.max()) or 1.0)
    axes.set(title="Adjacency, nodes by class", xlabel="node", ylabel="node")
    if shown.any():
        figure.colorbar(image, ax=axes, shrink=0.8, label="edge weight")
        return
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
