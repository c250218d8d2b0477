"""Pieces of HTML for notebooks: a box, a table, pictures, a drawn graph, a curve.

Everything is escaped and stands alone: no scripts, no style sheets, nothing that is
fetched. Text and lines take the colour of what is around, so that light and dark pages
show them alike.
"""

import base64
import html as escaping
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = [
    "box",
    "curve",
    "details",
    "drawing",
    "facts",
    "in_turn",
    "note",
    "pictures",
    "table",
]

MAX_CHARS = 160
"""Of a cell, at most; the rest is an ellipsis."""

NUMBER = re.compile(r"\s*<?[-+]?\d[\d,]*\.?\d*(e[-+]?\d+)?( ± [\d.]+)?( \(.*\))?\s*")
"""What a cell of numbers looks like: 81.0 ± 0.3, 1,024, 0.9 (1 seed)."""

_CELL = "padding:2px 10px;text-align:{side};vertical-align:top;border:0;"
_HEAD = _CELL + "border-bottom:1px solid currentColor;font-weight:600;"
_TABLE = (
    "border-collapse:collapse;margin:4px 0;font-size:0.92em;color:inherit;"
    "background:transparent;"
)
_BOX = (
    "border:1px solid rgba(127,127,127,0.45);border-radius:6px;padding:8px 12px;"
    "margin:4px 0;max-width:60em;overflow-x:auto;color:inherit;"
)
_FIGURE = "display:inline-block;margin:2px 6px 2px 0;text-align:center;"
_CAPTION = (
    "font-size:0.8em;opacity:0.8;max-width:7em;overflow:hidden;white-space:nowrap;"
    "text-overflow:ellipsis;"
)


def escaped(value: Any, max_chars: int = MAX_CHARS) -> str:
    """A value as text of a page, cut to some characters.

    Example:
        >>> escaped("<b>"), escaped("abcd", 3)
        ('&lt;b&gt;', 'ab…')
    """
    text = str(value)
    if len(text) > max_chars:
        text = text[: max_chars - 1] + "…"
    return escaping.escape(text)


def box(title: str, *parts: str) -> str:
    """A frame with a title and parts, which are HTML already; empty ones are left out.

    Args:
        title: text.
        *parts: HTML.

    Example:
        >>> box("a < b", table([["head"], ["x"]])).count("&lt;")
        1
    """
    head = (
        f'<div style="font-weight:600;margin-bottom:4px;">{escaped(title, 300)}</div>'
    )
    inside = "".join(part for part in parts if part)
    return f'<div class="multidd" style="{_BOX}">{head}{inside}</div>'


def table(cells: Sequence[Sequence[Any]], max_rows: int | None = None) -> str:
    """A table whose first line is a head; what reads as a number stands on the right.

    Args:
        cells: text, or what is written as text.
        max_rows: lines that are shown; a note says how many more there are.

    Example:
        >>> table([["row", "%"], ["<i>", "81.0"]]).count("text-align:right")
        2
    """
    head, *lines = [[str(cell) for cell in line] for line in cells]
    shown = lines if max_rows is None else lines[:max_rows]
    sides = [_side([line[i] for line in shown]) for i in range(len(head))]
    rows = [_row('th scope="col"', _HEAD, head, sides)]
    rows += [_row("td", _CELL, line, sides) for line in shown]
    more = len(lines) - len(shown)
    note = _note(f"{more:,} more rows") if more else ""
    return f'<table style="{_TABLE}">{"".join(rows)}</table>{note}'


def facts(values: Mapping[str, Any]) -> str:
    """Names and values in one line that wraps; values that are None are left out.

    Example:
        >>> facts({"method": "dm", "seed": None})
        '<div ...><span ...><b>method</b> dm</span></div>'
    """
    spans = "".join(
        f'<span style="margin-right:1.2em;white-space:nowrap;"><b>{escaped(name)}</b> '
        f"{escaped(value)}</span>"
        for name, value in values.items()
        if value is not None
    )
    return f'<div style="font-size:0.92em;white-space:normal;">{spans}</div>'


def details(title: str, inside: str) -> str:
    """What opens on a click.

    Example:
        >>> details("card", "x")
        '<details ...><summary ...>card</summary>x</details>'
    """
    return (
        '<details style="margin-top:4px;font-size:0.92em;">'
        f'<summary style="cursor:pointer;">{escaped(title)}</summary>{inside}</details>'
    )


def note(text: str) -> str:
    """A line of small text.

    Example:
        >>> note("a & b")
        '<div ...>a &amp; b</div>'
    """
    return _note(escaping.escape(text))


def pictures(
    images: Sequence[np.ndarray], captions: Sequence[str], side: int = 56
) -> str:
    """Small pictures in a row that wraps, each with a caption below.

    Args:
        images: `[h, w]` grey or `[h, w, 3]`, uint8.
        captions: one for each.
        side: pixels of the longer side on the page.

    Example:
        >>> pictures([np.zeros((2, 2), np.uint8)], ["cat"]).count("data:image/png")
        1
    """
    figures = []
    for image, caption in zip(images, captions, strict=True):
        height, width = image.shape[:2]
        scale = side / max(height, width)
        size = f"width:{width * scale:.0f}px;height:{height * scale:.0f}px;"
        figures.append(
            f'<div style="{_FIGURE}"><img alt="{escaped(caption, 60)}" '
            f'src="data:image/png;base64,{_png(image)}" '
            f'style="{size}image-rendering:pixelated;display:block;margin:0 auto;">'
            f'<div style="{_CAPTION}">{escaped(caption, 60)}</div></div>'
        )
    return f'<div style="white-space:normal;">{"".join(figures)}</div>'


def in_turn(labels: np.ndarray, max_count: int) -> np.ndarray:
    """Rows of a first look: of each class in turn, then put in order of the classes.

    Args:
        labels: `[n]`, the class of each row.
        max_count: rows at most.

    Example:
        >>> in_turn(np.array([1, 0, 0, 0, 1]), 3).tolist()
        [1, 2, 0]
    """
    order = np.argsort(labels, kind="stable")
    _, first, counts = np.unique(labels[order], return_index=True, return_counts=True)
    rank = np.empty(len(labels), dtype=int)
    rank[order] = np.arange(len(labels)) - np.repeat(first, counts)
    chosen = np.lexsort((labels, rank))[:max_count]
    return chosen[np.lexsort((rank[chosen], labels[chosen]))]


def drawing(
    places: np.ndarray,
    edges: np.ndarray,
    colors: Sequence[str],
    size: tuple[int, int] = (320, 200),
) -> str:
    """A drawn graph.

    Args:
        places: `[n, 2]`, anywhere.
        edges: `[e, 2]`, numbers of nodes.
        colors: of each node.
        size: width and height in pixels.

    Example:
        >>> drawing(np.eye(2), np.array([[0, 1]]), ["#000", "#fff"]).count("<circle")
        2
    """
    width, height = size
    low, high = places.min(axis=0), places.max(axis=0)
    unit = (places - low) / np.where(high > low, high - low, 1.0)
    at = 8 + unit * (np.array([width, height]) - 16.0)
    lines = "".join(
        f'<line x1="{at[i, 0]:.1f}" y1="{at[i, 1]:.1f}" x2="{at[j, 0]:.1f}" '
        f'y2="{at[j, 1]:.1f}"/>'
        for i, j in edges
    )
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{escaped(color)}"/>'
        for (x, y), color in zip(at, colors, strict=True)
    )
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'role="img" style="margin:2px 8px 2px 0;">'
        f'<g stroke="currentColor" stroke-opacity="0.35">{lines}</g>'
        f'<g stroke="currentColor" stroke-opacity="0.5">{dots}</g></svg>'
    )


def curve(
    values: Sequence[float], label: str = "", size: tuple[int, int] = (220, 48)
) -> str:
    """A line through finite values, and its first and last one.

    Args:
        values: two or more; others give nothing.
        label: what they are.
        size: width and height in pixels.

    Example:
        >>> curve([2.0, 1.0], "loss").count("<polyline"), curve([1.0])
        (1, '')
    """
    y = np.asarray(values, dtype=float)
    places = np.flatnonzero(np.isfinite(y))
    if len(places) < 2:
        return ""
    places = places[np.unique(np.linspace(0, len(places) - 1, 200).astype(int))]
    width, height = size
    y = y[places]
    span = y.max() - y.min() or 1.0
    across = 2 + (places - places[0]) / (places[-1] - places[0]) * (width - 4)
    down = height - 3 - (y - y.min()) / span * (height - 6)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, down, strict=True))
    text = f"{label} {y[0]:.4g} to {y[-1]:.4g}".strip()
    return (
        f'<div style="font-size:0.85em;"><svg width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" style="vertical-align:middle;">'
        f'<polyline points="{points}" fill="none" stroke="currentColor" '
        f'stroke-width="1.3"/></svg> {escaped(text)}</div>'
    )


def _row(tag: str, style: str, line: Sequence[str], sides: Sequence[str]) -> str:
    cells = (
        f'<{tag} style="{style.format(side=side)}">{escaped(cell)}</{tag.split()[0]}>'
        for cell, side in zip(line, sides, strict=True)
    )
    # A notebook would stripe and right-align rows by a style sheet of its own.
    return f'<tr style="background:transparent;">{"".join(cells)}</tr>'


def _side(column: Sequence[str]) -> str:
    """Where the cells of a column stand."""
    filled = [cell for cell in column if cell.strip()]
    numeric = bool(filled) and all(NUMBER.fullmatch(cell) for cell in filled)
    return "right" if numeric else "left"


def _note(text: str) -> str:
    return f'<div style="font-size:0.85em;opacity:0.8;">{text}</div>'


def _png(image: np.ndarray) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode("ascii")
