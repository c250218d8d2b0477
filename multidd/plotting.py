"""Colours of all pictures, and writing a figure."""

import io
import pathlib
from typing import Any

from multidd.storage.atomic import output_path
from multidd.storage.files import check_writable, write_bytes

__all__ = ["BLUE", "GREY", "ORANGE", "categorical", "finished", "plain_text", "save"]

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#777777"

# Okabe and Ito's palette, told apart by colour-blind readers too; then it repeats.
_PALETTE = (
    BLUE,
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    ORANGE,
    "#F0E442",
    "#000000",
)


def categorical(number: int) -> str:
    """Colour of class `number`.

    Example:
        >>> categorical(0) == categorical(8)
        True
    """
    return _PALETTE[number % len(_PALETTE)]


def plain_text(figure: Any) -> None:
    """Make the texts of a figure stand as they are, dollar signs too.

    Names of classes, texts and methods are no formulas. Numbers at the axes stay what
    Matplotlib makes of them, such as powers of ten.

    Args:
        figure: a `matplotlib.figure.Figure`, all drawn.

    Example:
        >>> from matplotlib.figure import Figure
        >>> figure = Figure()
        >>> title = figure.suptitle("under $5_{ or $6")
        >>> plain_text(figure)
        >>> title.get_parse_math()
        False
    """
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter, FuncFormatter

    numbers = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            # These write names that were set; the others write numbers.
            named = isinstance(
                axis.get_major_formatter(), FixedFormatter | FuncFormatter
            )
            if not named:
                numbers |= set(axis.findobj(Text)) - {axis.label}
    for text in set(figure.findobj(Text)) - numbers:
        text.set_parse_math(False)
        text.set_usetex(False)


def finished(figure: Any, path: str | pathlib.Path | None = None) -> Any:
    """A drawn figure whose texts stand as they are, written where a path is given.

    Every picture of the library goes through here.

    Args:
        figure: a `matplotlib.figure.Figure`.
        path: as of `save`, or None.

    Returns:
        The figure.

    Example:
        >>> from matplotlib.figure import Figure
        >>> len(finished(Figure()).axes)
        0
    """
    plain_text(figure)
    return figure if path is None else save(figure, path)


def save(figure: Any, path: str | pathlib.Path) -> Any:
    """Write a figure as PNG, PDF or SVG, by the name's ending.

    Args:
        figure: a `matplotlib.figure.Figure`.
        path: where to.

    Returns:
        The figure.

    Raises:
        ValueError: another ending.
        StorageError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> from matplotlib.figure import Figure
        >>> drawn = save(Figure(), tempfile.mkdtemp() + "/empty.png")
    """
    path = output_path(path)
    kind = path.suffix.lower().lstrip(".")
    if kind not in ("png", "pdf", "svg"):
        raise ValueError(f"a picture is .png, .pdf or .svg; got {path.name!r}")
    check_writable(path.parent)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=130)
    write_bytes(path, buffer.getvalue())
    return figure
