"""Cross-architecture heat map: rows of reports against the models trained on them."""

import pathlib
from collections.abc import Sequence
from typing import Any

from multidd.evaluation.report import Report
from multidd.plotting import finished

__all__ = ["heatmap"]


def heatmap(
    reports: Report | Sequence[Report],
    path: str | pathlib.Path | None = None,
    *,
    metric: str | None = None,
) -> Any:
    """Draw the mean scores of every training set (lines) under every model (columns).

    Args:
        reports: one, or several of the same data with other methods or models; the
            same line of two reports is taken from the last.
        path: a PNG, PDF or SVG to write; None only returns the figure.
        metric: what to draw; the one that decides unless given.

    Returns:
        The `matplotlib.figure.Figure`. The last column is the mean of a line, where
        it has every model.

    Raises:
        ValueError: no report, or reports of other data or another metric.

    Example:
        >>> from multidd.evaluation.report import Row
        >>> rows = (Row("gcond", "gcn", {"accuracy": (0.8,)}),)
        >>> drawn = heatmap(Report(rows, {"name": "gcond"}, {}, "gcond", "accuracy"))
        >>> [text.get_text() for text in drawn.axes[0].texts]
        ['80.0', '80.0']
    """
    from matplotlib.figure import Figure

    report_list = [reports] if isinstance(reports, Report) else list(reports)
    if not report_list:
        raise ValueError("no report was given")
    first = report_list[0]
    metric = first.metric if metric is None else metric
    for one in report_list[1:]:
        if (one.data, one.metric) != (first.data, first.metric):
            raise ValueError(
                f"the reports of {first.method} and {one.method} are of other data "
                "or another metric; draw one map for each"
            )
    scores = {
        (r.name, r.model): r.mean(metric) for one in report_list for r in one.rows
    }
    names = list(dict.fromkeys(name for name, _ in scores))
    models = list(dict.fromkeys(model for _, model in scores))
    cells = [[scores.get((name, model)) for model in models] for name in names]
    for line in cells:
        known = [value for value in line if value is not None]
        line.append(sum(known) / len(known) if len(known) == len(models) else None)
    size = (2.2 + 0.75 * (len(models) + 1), 1.3 + 0.38 * len(names))
    figure = Figure(figsize=size, layout="constrained")
    _draw(figure.subplots(), cells, names, [*models, "mean"])
    figure.suptitle(f"test {metric} %, by what was trained on and what was trained")
    return finished(figure, path)


def _draw(
    axes: Any, cells: list[list[float | None]], names: list[str], models: list[str]
) -> None:
    import numpy as np

    shown = 100 * np.array(cells, dtype=float)  # None is NaN
    low, high = np.nanmin(shown), np.nanmax(shown)
    axes.imshow(shown, cmap="Blues", aspect="auto", vmin=low - 0.2 * (high - low + 1))
    for i, line in enumerate(shown):
        for j, value in enumerate(line):
            dark = value > (low + high) / 2 + 0.1 * (high - low)
            text = "" if np.isnan(value) else f"{value:.1f}"
            color = "white" if dark else "black"
            if text:
                axes.text(j, i, text, ha="center", va="center", color=color, size=9)
    axes.axvline(len(models) - 1.5, color="white", lw=3)
    axes.set_xticks(range(len(models)), models, rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
