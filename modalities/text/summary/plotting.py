"""Pictures of distilled texts: where they lie among real ones, and what they say."""

import pathlib
from typing import TYPE_CHECKING, Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from multidd.data.strings import line
from multidd.plotting import categorical, finished
from multidd.text.models.encoder import encoder_of

if TYPE_CHECKING:
    from multidd.text.summary.summary import TextSummary

__all__ = ["draw_summary", "plane"]

DOTS = 2000
"""Real texts that are drawn at most."""

LINES = 40
"""Texts that are listed at most."""

LETTERS = 80
"""Of a text that are listed."""


def draw_summary(
    summary: "TextSummary",
    path: str | pathlib.Path | None = None,
    data: Any = None,
    encoder: Any = None,
) -> Figure:
    """Features on two principal axes, numbered, and the texts.

    Args:
        summary: what to draw.
        path: a PNG, PDF or SVG to write; None only returns the figure.
        data: the real texts, to stand behind.
        encoder: the summary's, where the card does not tell where it is.

    Returns:
        The figure: the plane, and beside it the list, if there are texts.
    """
    x, real, labels = _features(summary, data, encoder)
    center, axes = plane(x if real is None else real)
    wide = (1.0,) if summary.texts is None else (1.0, 1.15)
    size = (7.0, 5.2) if summary.texts is None else (14.5, _height(len(summary)))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(wide), squeeze=False, width_ratios=wide)[0]
    if real is not None and labels is not None:
        rows = torch.linspace(0, len(real) - 1, min(DOTS, len(real))).long()
        _draw_real(panels[0], (real[rows] - center) @ axes, labels[rows])
    _draw_chosen(panels[0], (x - center) @ axes, summary)
    if summary.texts is not None:
        _list(panels[1], summary, summary.texts)
    noun = "texts" if summary.texts is not None else "embeddings"
    title = f"{summary.card.method}: {len(summary)} {noun} for "
    figure.suptitle(f"{title}{summary.card.source['texts']:,}", fontsize=11)
    return finished(figure, path)


def plane(x: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of rows, and the two directions in which they differ most.

    Args:
        x: `[n, d]`.

    Returns:
        The mean `[d]`, and `[d, 2]`: the largest entry of each direction is above zero.

    Example:
        >>> center, axes = plane(torch.tensor([[0.0, 1.0], [0.0, 5.0]]))
        >>> center.tolist(), axes[:, 0].tolist()
        ([0.0, 3.0], [0.0, 1.0])
    """
    center = x.mean(0)
    spread = (x - center).double()
    # Of d x d numbers, however many rows there are; eigenvalues ascend.
    axes = torch.linalg.eigh(spread.T @ spread).eigenvectors.flip(1)[:, :2]
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    return center, (axes * largest.sign()).to(x.dtype)


def _height(texts: int) -> float:
    """Inches: a line of the list takes a fifth of one."""
    return max(5.2, 0.2 * min(texts, LINES) + 1.2)


def _features(
    summary: "TextSummary", data: Any, encoder: Any
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Those of the summary, and with their labels those of the real texts.

    Token vectors stand for themselves by their mean: no encoder gave them.
    """
    from multidd.text.data.readers import as_texts
    from multidd.text.models.feature_cache import features

    x = summary.tensors["x"]
    if x.dim() == 3:
        mask = summary.tensors.get("mask", torch.ones(x.shape[:2]))[..., None]
        return (x * mask).sum(1) / mask.sum(1).clamp_min(1), None, None
    if data is None:
        return x, None, None
    texts = as_texts(data, values=tuple(summary.card.source["labels"]))
    return x, features(encoder_of(summary.card, encoder), texts), texts.labels


def _draw_real(axes: Axes, points: Tensor, labels: Tensor) -> None:
    colors = [categorical(label) for label in labels.tolist()]
    x, y = points.T.tolist()
    axes.scatter(x, y, s=7, c=colors, alpha=0.25, linewidths=0)


def _draw_chosen(axes: Axes, points: Tensor, summary: "TextSummary") -> None:
    y = summary.tensors["y"]
    for label, name in enumerate(summary.classes):
        across, up = points[y == label].T.tolist()
        label_text = _label(name)
        dots = axes.scatter(across, up, s=110, c=categorical(label), label=label_text)
        dots.set(edgecolors="black", linewidths=0.8)
    for number, place in enumerate(points.tolist(), start=1):
        axes.annotate(
            str(number), place, ha="center", va="center", fontsize=6.5, color="white"
        )
    axes.set(xlabel="first principal axis", ylabel="second principal axis")
    axes.legend(frameon=False, fontsize=9)


def _label(text: str) -> str:
    """A text in one line of bounded length."""
    return line(text, LETTERS)


def _list(axes: Axes, summary: "TextSummary", texts: tuple[str, ...]) -> None:
    """The texts by number, in the colour of their class."""
    axes.set_axis_off()
    shown = min(LINES, len(texts))
    for i in range(shown):
        entry = f"{i + 1}  {_label(texts[i])}"
        color = categorical(int(summary.tensors["y"][i]))
        place = (0.0, 1 - (i + 0.5) / (shown + 1))
        axes.text(*place, entry, color=color, fontsize=8.5, va="center")
    if shown < len(texts):
        entry = f"and {len(texts) - shown:,} more"
        axes.text(0.0, 0.5 / (shown + 1), entry, fontsize=8.5, va="center")
