"""Colours of all pictures, and writing a figure."""

import io
import pathlib
from typing import Any

from multidd.storage.atomic import user_path
from multidd.storage.files import check_writable, write_bytes

__all__ = ["BLUE", "GREY", "ORANGE", "categorical", "save"]

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
    path = user_path(path)
    kind = path.suffix.lower().lstrip(".")
    if kind not in ("png", "pdf", "svg"):
        raise ValueError(f"a picture is .png, .pdf or .svg; got {path.name!r}")
    check_writable(path.parent)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=130)
    write_bytes(path, buffer.getvalue())
    return figure
