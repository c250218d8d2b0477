"""Tables as text and as Markdown; on a terminal they keep to its width."""

import re
import shutil
import statistics
import sys
import textwrap
from collections.abc import Sequence

__all__ = [
    "aligned",
    "folded",
    "folded_facts",
    "markdown",
    "spread",
    "terminal_width",
]

GAP = 2
"""Spaces between two columns."""

FOLD_WIDTH = 20
"""Characters of a column below which others are left out rather than it is folded."""

MIN_WIDTH = 4
"""Characters of the narrowest column."""


def terminal_width() -> int | None:
    """Columns of the terminal; None where standard output is a file or a pipe.

    Example:
        >>> terminal_width() is None or terminal_width() > 0
        True
    """
    if not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def markdown(cells: Sequence[Sequence[str]]) -> str:
    """Cells as a Markdown table, the first line a head.

    Example:
        >>> print(markdown([["a"], ["x"]]))
        | a |
        | --- |
        | x |
    """
    lines = [cells[0], ["---"] * len(cells[0]), *cells[1:]]
    return "\n".join("| " + " | ".join(map(_plain, line)) + " |" for line in lines)


_TAG = re.compile(r"<(?=[A-Za-z/!?])")


def _plain(cell: str) -> str:
    """A cell that is no markup: names come from data.

    Example:
        >>> _plain("a|b <script>")
        'a\\\\|b &lt;script>'
    """
    return _TAG.sub("&lt;", cell.replace("|", "\\|").replace("\n", " "))


def aligned(
    cells: Sequence[Sequence[str]],
    width: int | None = None,
    drop: Sequence[str] = (),
) -> str:
    """Cells as text in columns, the first line a head.

    Too wide a table leaves out columns, in the order of `drop`, and names them below;
    what is still too wide folds the text of its widest columns.

    Args:
        cells: lines of equal length.
        width: characters that a line may have; None has no limit.
        drop: heads of columns that may be left out, the least important first.

    Example:
        >>> print(aligned([["a", "b"], ["long", "x"]]))
        a     b
        ----  -
        long  x
        >>> print(aligned([["a", "b"], ["long", "x"]], width=5, drop=["b"]))
        a
        ----
        long
        Left out at 5 columns: b.
    """
    columns = list(range(len(cells[0])))
    widths = [max(len(line[i]) for line in cells) for i in columns]
    left_out = []
    if width is not None:
        for head in drop:
            least = [min(widths[i], FOLD_WIDTH) for i in columns]
            if _total(least) <= width or head not in cells[0]:
                continue
            columns.remove(cells[0].index(head))
            left_out.append(head)
        widths = _narrowed(widths, columns, width)
    rule = ["-" * size for size in widths]
    lines = [
        text
        for line in (cells[0], rule, *cells[1:])
        for text in _line([line[i] for i in columns], [widths[i] for i in columns])
    ]
    if left_out:
        lines.append(
            folded(f"Left out at {width} columns: {', '.join(left_out)}.", width)
        )
    return "\n".join(lines)


def folded(text: str, width: int | None = None, indent: str = "") -> str:
    """Lines of a text, each folded to the width; as they are without one.

    Example:
        >>> print(folded("one two three", width=8))
        one two
        three
    """
    if width is None:
        return textwrap.indent(text, indent)
    return "\n".join(
        textwrap.fill(
            line, max(width, 20), initial_indent=indent, subsequent_indent=indent
        )
        for line in text.splitlines()
    )


def folded_facts(name: str, facts: Sequence[str], width: int | None = None) -> str:
    """What an object is, as `Name(fact, fact)`, folded between facts to the width.

    Args:
        name: of its class.
        facts: such as `users=3`; a longer one than a line has a line of its own.
        width: None does not fold.

    Example:
        >>> print(folded_facts("Log", ["users=3", "items=4", "density=0.5 %"], 20))
        Log(users=3,
            items=4,
            density=0.5 %)
    """
    indent, lines = " " * (len(name) + 1), [f"{name}("]
    for place, fact in enumerate(facts):
        text = fact + ("," if place < len(facts) - 1 else ")")
        joined = lines[-1] + (text if place == 0 else f" {text}")
        if place and width is not None and len(joined) > width:
            lines.append(indent + text)
        else:
            lines[-1] = joined
    return "\n".join(lines)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _narrowed(widths: Sequence[int], columns: Sequence[int], width: int) -> list[int]:
    """Widths that fit: the widest gives way first."""
    narrow = list(widths)
    while _total([narrow[i] for i in columns]) > width:
        widest = max(columns, key=lambda i: narrow[i])
        if narrow[widest] <= MIN_WIDTH:
            break
        narrow[widest] -= 1
    return narrow


def _line(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    """A line of a table as lines of text: folded cells stand below each other."""
    parts = [
        textwrap.wrap(cell, size) if len(cell) > size else [cell]
        for cell, size in zip(cells, widths, strict=True)
    ]
    rows = max(map(len, parts))
    return [
        (" " * GAP)
        .join(
            (part[row] if row < len(part) else "").ljust(size)
            for part, size in zip(parts, widths, strict=True)
        )
        .rstrip()
        for row in range(rows)
    ]


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean and standard deviation of shares, in per cent.

    Example:
        >>> spread([0.5, 0.52])
        '51.0 ± 1.4'
        >>> spread([0.5])
        '50.0 (1 seed)'
    """
    mean = 100 * statistics.fmean(values)
    if len(values) == 1:
        return f"{mean:.{digits}f} (1 seed)"
    sd = 100 * statistics.stdev(values)
    return f"{mean:.{digits}f} ± {sd:.{digits}f}"
