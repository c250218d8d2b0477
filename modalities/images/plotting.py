"""Pictures of distilled images."""

import pathlib
from typing import TYPE_CHECKING

import torch
from matplotlib.figure import Figure
from torch import Tensor

from multidd.plotting import save

if TYPE_CHECKING:
    from multidd.images.summary import ImageSummary


def draw_grid(
    summary: "ImageSummary", path: str | pathlib.Path | None, most: int
) -> Figure:
    """One row for each class, named by it; see `ImageSummary.grid`."""
    if most < 1:
        raise ValueError(f"most must be 1 or more, got {most}")
    pictures = summary.pictures()
    repeats = len(pictures) // len(summary.tensors["y"])
    labels = summary.tensors["y"].repeat_interleave(repeats)
    rows = [
        (labels == c).nonzero().flatten()[:most] for c in range(summary.num_classes)
    ]
    columns = max(max(len(row) for row in rows), 1)
    # One tall class each would make a strip: few images stand side by side in blocks.
    blocks = max(1, min(10 // (columns + 1), summary.num_classes))
    lines = -(-summary.num_classes // blocks)
    wide = blocks * (columns + 0.9) + 0.3
    figure = Figure(figsize=(max(wide, 6.0), lines * 1.25 + 0.7), layout="constrained")
    axes = figure.subplots(lines, blocks * columns, squeeze=False)
    for panel in axes.flat:
        panel.set_axis_off()
    for label, row in enumerate(rows):
        block, line = divmod(label, lines)
        for place, index in enumerate(row.tolist()):
            panel = axes[line][block * columns + place]
            panel.imshow(_shown(pictures[index]), cmap="gray", vmin=0, vmax=1)
            if place == 0:
                panel.set_title(summary.classes[label], fontsize=9, loc="left")
    stored = len(summary.tensors["y"])
    figure.suptitle(
        f"{summary.card.method}: {stored} stored images for "
        f"{summary.card.source['images']:,}, {summary.num_bytes / 1024:.0f} KiB",
        fontsize=11,
    )
    return figure if path is None else save(figure, path)


def _shown(image: Tensor) -> torch.Tensor:
    """`[h, w]` of a gray image, `[h, w, 3]` of a colored one."""
    return image[0] if len(image) == 1 else image.permute(1, 2, 0)
