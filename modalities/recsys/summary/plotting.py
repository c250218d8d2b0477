"""Pictures of synthetic users, and of quality against their number."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from scipy.sparse import csr_array, diags_array

from multidd.plotting import BLUE, GREY, ORANGE, categorical, finished
from multidd.recsys.data.ids import require_same_items
from multidd.recsys.summary.binarize import lengths, method_label, sharpened

if TYPE_CHECKING:
    from multidd.recsys.data.log import InteractionLog
    from multidd.recsys.summary.summary import RecsysSummary

Points: TypeAlias = Mapping[str, Sequence[tuple[int, float, float]]]
"""Row name -> (users, mean, standard deviation) of each of its points."""

MARKERS = "osD^vPX*"

# The palette's yellow is lost on white; a brown stands for it.
COLORS = (*(categorical(n) for n in (5, 0, 2, 3, 1, 4, 7)), "#8C564B")


def draw_summary(
    summary: "RecsysSummary",
    path: str | pathlib.Path | None = None,
    data: "InteractionLog | None" = None,
) -> Figure:
    """Popularity of items, lengths of histories, and the matrix.

    Args:
        summary: what to draw.
        path: a PNG, PDF or SVG to write; None only returns the figure.
        data: the log it was made from, to stand beside.

    Returns:
        The figure, of three panels.

    Raises:
        ValueError: a log with other items.
    """
    real = None
    if data is not None:
        require_same_items(summary.item_ids, data.item_ids)
        real = data.train
    # Drawn at a temperature of ten, all items of a row look alike.
    shown = sharpened(summary)
    matrix = shown.to_csr()
    popularity = diags_array(shown.weight.astype(np.float64)) @ matrix
    synthetic = np.asarray(popularity.sum(axis=0))
    ranked = synthetic if real is None else np.asarray(real.sum(axis=0))
    order = np.argsort(-ranked, kind="stable")
    layout = ConstrainedLayoutEngine(w_pad=0.12)
    figure = Figure(figsize=(14.5, 4.6), layout=layout)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.15))
    _draw_popularity(left, synthetic[order], None if real is None else ranked[order])
    _draw_lengths(middle, matrix, real, summary.binary)
    _draw_matrix(right, figure, matrix[:, order], summary.binary, real is not None)
    remark = "" if shown is summary else " (here sharpened to temperature one)"
    figure.suptitle(_title(summary) + remark)
    return finished(figure, path)


def _title(summary: "RecsysSummary") -> str:
    source = summary.card.source
    users, train = source["users"], source["train"]
    return (
        f"{method_label(summary.card)}: {summary.num_users:,} users for {users:,}, "
        f"{summary.nnz:,} numbers for {train:,} training interactions"
    )


def _legend(axes: Axes) -> None:
    """Below the panel, where it hides nothing."""
    axes.legend(
        fontsize=9, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.15)
    )


def _draw_popularity(
    axes: Axes, synthetic: np.ndarray, real: np.ndarray | None
) -> None:
    """Shares of the interactions, item by item in the order of popularity."""
    rank = np.arange(1, len(synthetic) + 1)
    share = synthetic / synthetic.sum()
    there = share > 0
    if real is not None:
        counts = real / real.sum()
        axes.plot(rank[real > 0], counts[real > 0], color=BLUE, lw=2.2, label="real")
    axes.scatter(
        rank[there], share[there], s=7, color=ORANGE, alpha=0.35, linewidths=0, zorder=2
    )
    gone = int((~there).sum())
    label = f"synthetic (dots: items{f'; {gone:,} in no row' if gone else ''})"
    axes.plot(*_smooth(share), color=ORANGE, lw=2.2, label=label, zorder=3)
    axes.set(
        title="Popularity of items",
        xlabel=f"popularity rank in the {'rows' if real is None else 'log'}",
        ylabel="share of all interactions",
        xscale="log",
        yscale="log",
    )
    axes.xaxis.set_major_formatter("{x:,.0f}")
    _legend(axes)


def _smooth(share: np.ndarray, bins: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Mean share over ever wider spans of ranks; zeros count, empty spans do not."""
    last = len(share) + 1
    edges = np.unique(np.geomspace(1, last, bins + 1).round().astype(np.int64))
    starts, ends = edges[:-1], edges[1:]
    mean = np.add.reduceat(share, starts - 1) / (ends - starts)
    middle = np.sqrt(starts * (ends - 1.0))
    return middle[mean > 0], mean[mean > 0]


def _draw_lengths(
    axes: Axes, matrix: csr_array, real: csr_array | None, binary: bool
) -> None:
    """Share of users whose history is at most so long."""
    synthetic = "synthetic" if binary else "synthetic, effective length (Σx)² / Σx²"
    lines = [(synthetic, lengths(matrix), ORANGE)]
    if real is not None:
        lines.insert(0, ("real", lengths(real), BLUE))
    for name, size, color in lines:
        size = np.sort(size[size > 0])
        share = np.arange(1, len(size) + 1) / len(size)
        label = f"{name}; median {np.median(size):,.0f}"
        steps = np.concatenate([size[:1], size]), np.concatenate([[0], share])
        axes.step(*steps, where="post", color=color, lw=2.2, label=label)
    axes.set(
        title="Length of histories",
        xlabel="interactions of a user",
        ylabel="share of users with at most so many",
        xscale="log",
        ylim=(0, 1.02),
    )
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    _legend(axes)


def _draw_matrix(
    axes: Axes, figure: Figure, matrix: csr_array, binary: bool, ranked: bool
) -> None:
    """The rows as a picture, items by popularity, neighbours averaged."""
    rows, items = matrix.shape
    cells = _average(_average(matrix, 480).T, 240).T.toarray()
    # A few items are in every row; a square root keeps the others visible.
    top = float(np.quantile(cells[cells > 0], 0.995))
    image = axes.imshow(
        cells,
        cmap="Blues",
        aspect="auto",
        interpolation="nearest",
        extent=(0.5, items + 0.5, rows + 0.5, 0.5),
        norm=PowerNorm(0.5, vmin=0, vmax=top),
    )
    axes.set(
        title="Rows of the matrix",
        xlabel=f"popularity rank in the {'log' if ranked else 'rows'}",
        ylabel="synthetic user",
    )
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    averaged = cells.shape != matrix.shape
    entry = "share of items in the history" if binary else "mean entry"
    label = entry if averaged else "entry"
    extend = "max" if cells.max() > top else "neither"
    figure.colorbar(image, ax=axes, label=label, extend=extend)


def _average(matrix: csr_array, max_columns: int) -> csr_array:
    """Columns averaged over spans of neighbours: at most `max_columns` remain."""
    columns = matrix.shape[1]
    if columns <= max_columns:
        return csr_array(matrix)
    span = np.arange(columns) * max_columns // columns
    each = 1 / np.bincount(span)
    shape = (columns, max_columns)
    spread = csr_array((each[span], (np.arange(columns), span)), shape=shape)
    return csr_array(matrix @ spread)


def plot_curve(
    points: Points,
    path: str | pathlib.Path | None = None,
    *,
    whole: float | None = None,
    metric: str = "HR@10",
) -> Figure:
    """Quality against the number of users, a line for each row.

    Args:
        points: of each row its users (log axis), mean and standard deviation.
        path: a PNG, PDF or SVG to write; None only returns the figure.
        whole: what the whole log reaches; a dashed line.
        metric: name of the vertical axis.

    Returns:
        The figure.

    Raises:
        ValueError: no points, users below 1, or a mean that is not finite.

    Example:
        >>> points = {"distill_cf": [(10, 22.7, 0.4), (50, 28.1, 0.2)]}
        >>> plot_curve(points, "curve.png", whole=31.9).axes[0].get_xscale()
        'log'
    """
    _check_points(points)
    figure = Figure(figsize=(8.6, 4.8), layout="constrained")
    axes = figure.subplots()
    # The legend lists the lines as they end, the best on top.
    ending = sorted(points, key=lambda name: -max(points[name])[1])
    for place, name in enumerate(points):
        _draw_row(axes, place, name, points[name])
    if whole is not None:
        axes.axhline(whole, color=GREY, ls="--", lw=1.5, label=f"whole log: {whole:g}")
    handles, names = axes.get_legend_handles_labels()
    handle_of = dict(zip(names, handles, strict=True))
    listed = [*(n for n in handle_of if n not in points), *ending]
    axes.legend(
        [handle_of[name] for name in listed],
        listed,
        frameon=False,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
    )
    _mark_users(axes, points, metric)
    return finished(figure, path)


def _draw_row(
    axes: Axes, place: int, name: str, row: Sequence[tuple[int, float, float]]
) -> None:
    users, mean, spread = np.array(sorted(row), dtype=np.float64).T
    axes.errorbar(
        users,
        mean,
        yerr=spread,
        label=name,
        color=COLORS[place % len(COLORS)],
        marker=MARKERS[place % len(MARKERS)],
        ls="-" if place < len(COLORS) else ":",
        ms=5.5,
        lw=1.8,
        capsize=3,
    )


def _mark_users(axes: Axes, points: Points, metric: str) -> None:
    users = sorted({users for row in points.values() for users, _, _ in row})
    axes.set(xscale="log", xlabel="users in the training set", ylabel=metric)
    if len(users) <= 10:
        axes.set_xticks(users, [f"{count:,}" for count in users])
        axes.minorticks_off()
    axes.grid(axis="y", color=GREY, alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)


def _check_points(points: Points) -> None:
    if not points or not all(len(row) for row in points.values()):
        raise ValueError("points must hold at least one row, and a point in each")
    for name, row in points.items():
        for users, mean, spread in row:
            if users < 1 or not np.isfinite(mean) or spread < 0:
                raise ValueError(
                    f"a point of {name!r} is {(users, mean, spread)}; users must be 1 "
                    "or more, the mean finite, the standard deviation 0 or more"
                )
