"""Pictures of distilled images."""

import pathlib
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from torch import Tensor

from multidd.images.data.images import as_images
from multidd.parameterizations import decoding
from multidd.plotting import finished

if TYPE_CHECKING:
    from multidd.images.summary.summary import ImageSummary


def draw_grid(
    summary: "ImageSummary",
    path: str | pathlib.Path | None,
    data: Any,
    max_per_class: int,
) -> Figure:
    """One row for each class, named by it; see `ImageSummary.grid`."""
    if max_per_class < 1:
        raise ValueError(f"max_per_class must be 1 or more, got {max_per_class}")
    rows = _rows(summary, data, max_per_class)
    columns = max(len(row) for row in rows)
    # A few images of each class would make a strip: rows stand side by side in blocks.
    blocks = max(1, min(12 // (columns + 1), len(rows)))
    lines = -(-len(rows) // blocks)
    wide = blocks * (columns + 0.4) + 0.3
    figure = Figure(figsize=(max(wide, 6.0), lines * 1.3 + 0.7), layout="constrained")
    axes = figure.subplots(lines, blocks * columns, squeeze=False)
    for panel in axes.flat:
        panel.set_axis_off()
    for label, row in enumerate(rows):
        block, line = divmod(label, lines)
        for place, image in enumerate(row):
            panel = axes[line][block * columns + place]
            panel.imshow(_shown(image), cmap="gray", vmin=0, vmax=1)
            if place == 0:
                panel.set_title(summary.classes[label], fontsize=9, loc="left")
    noun = decoding.item_name(summary.card.decoder)
    title = f"{summary.card.method}: {len(summary.tensors['y'])} stored {noun} for "
    title += f"{summary.card.source['images']:,}, {summary.num_bytes / 1024:.0f} KiB"
    title += "; a real one in front" if data is not None else ""
    figure.suptitle(title, fontsize=11)
    return finished(figure, path)


def _rows(summary: "ImageSummary", data: Any, max_per_class: int) -> list[list[Tensor]]:
    """The images of each class, a real one first where there are real ones."""
    pictures = summary.pictures()
    repeats = len(pictures) // len(summary.tensors["y"])
    labels = summary.tensors["y"].repeat_interleave(repeats)
    rows = [
        list(pictures[labels == c][:max_per_class]) for c in range(summary.num_classes)
    ]
    if data is None:
        return rows
    real = as_images(data, values=summary.card.source["labels"])
    if real.shape != summary.shape:
        raise ValueError(
            f"the summary was made from images of {list(summary.shape)}, data has "
            f"images of {list(real.shape)}"
        )
    firsts = [(real.labels == c).nonzero().flatten()[:1] for c in range(len(rows))]
    return [[*real.pixels(f), *row] for f, row in zip(firsts, rows, strict=True)]


def _shown(image: Tensor) -> Any:
    """`[h, w]` of a gray image, `[h, w, 3]` of a colored one."""
    return image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).numpy()
