"""Charts as SVG for pages and notebooks: dots, lines, a heat map, a scatter.

Every chart is an image with a title and a description, stands alone, and takes the
colour of its text from what is around it. Its other colours have a contrast of three or
more on white and on nearly black; series differ by their marks too.
"""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["COLORS", "Dot", "dots", "heat", "lines", "scatter"]

COLORS = ("#0072B2", "#D55E00", "#00875F", "#B0559B", "#99702C", "#7A7A7A")
"""Of series, in order; then they repeat with other marks."""

WIDTH = 360
"""Units across: about as many pixels on a telephone, a quarter more on a desk."""

LETTER = 6.4
"""Units of an average letter."""

MAX_LABEL = 22
"""Letters of a label; the rest is an ellipsis, and the title of the label has all."""

TOP, ROW, AXIS = 8, 20, 34
"""Units above the first row, of a row, and below the last one."""


@dataclass(frozen=True)
class Dot:
    """A mark of one series: a mean and its deviation.

    Attributes:
        series: its name.
        mean: where it stands.
        sd: half the length of its bar; none where 0.
    """

    series: str
    mean: float
    sd: float = 0.0


def dots(
    title: str,
    description: str,
    rows: Sequence[tuple[str, Sequence[Dot]]],
    label: str = "",
) -> str:
    """A line for each row, on which marks stand at their means.

    Args:
        title: what a screen reader says first.
        description: the chart in words.
        rows: name and marks of each.
        label: of the axis.

    Returns:
        SVG; empty without a finite mean.

    Example:
        >>> drawn = dots("Scores", "", [("a < b", [Dot("HL", 0.5, 0.1)])])
        >>> drawn.count('class="mark"'), "a &lt; b" in drawn
        (1, True)
    """
    rows = [(n, [d for d in marks if math.isfinite(d.mean)]) for n, marks in rows]
    every = [dot for _, marks in rows for dot in marks]
    if not every:
        return ""
    series = list(dict.fromkeys(dot.series for dot in every))
    ends = [e for dot in every for e in (dot.mean - dot.sd, dot.mean + dot.sd)]
    left = _margin([name for name, _ in rows])
    axis = _Axis(min(ends), max(ends), left, WIDTH - 14)
    key, top = _key(series)
    # Marks of several series stand below each other, so that none hides another.
    step = 7 if len(series) > 1 else 0
    height = ROW + step * (len(series) - 1)
    bottom = top + height * len(rows)
    parts = [key, _grid(axis, top, bottom, label)]
    for number, (name, marks) in enumerate(rows):
        y = top + height * (number + 0.5)
        parts.append(_text(name, left - 8, y + 3.5, "end"))
        for dot in marks:
            place = series.index(dot.series)
            at = y + step * (place - (len(series) - 1) / 2)
            said = f"{name}, {dot.series}: {dot.mean:.4g}"
            said += f" ± {dot.sd:.2g}" if dot.sd else ""
            low, high = axis.at(dot.mean - dot.sd), axis.at(dot.mean + dot.sd)
            bar = _line(low, at, high, at, COLORS[place % len(COLORS)], 1.6)
            parts.append(bar if dot.sd else "")
            parts.append(_mark(place, axis.at(dot.mean), at, said))
    return _chart(title, description, bottom + AXIS, parts)


def lines(
    title: str,
    description: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    labels: tuple[str, str] = ("", ""),
) -> str:
    """A line for each series through its points, over an axis of powers.

    Args:
        title: what a screen reader says first.
        description: the chart in words.
        series: name -> `(x, y)` of its points; x is above 0.
        labels: of both axes.

    Returns:
        SVG; empty without a point.

    Example:
        >>> lines("Curve", "", {"dm": [(1, 50.0), (10, 60.0)]}).count("<polyline")
        1
    """
    return _plane(title, description, series, labels, joined=True)


def scatter(
    title: str,
    description: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    labels: tuple[str, str] = ("", ""),
) -> str:
    """Points of each series, over an axis of powers.

    Args:
        title: what a screen reader says first.
        description: the chart in words.
        series: name -> `(x, y)` of its points; x is above 0.
        labels: of both axes.

    Returns:
        SVG; empty without a point.

    Example:
        >>> scatter("Bytes", "", {"dm": [(31.0, 50.0)]}).count('class="mark"')
        1
    """
    return _plane(title, description, series, labels, joined=False)


def heat(
    title: str,
    description: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
) -> str:
    """A cell for each row and column, the darker the higher, with its number.

    Args:
        title: what a screen reader says first.
        description: the chart in words.
        rows: their names.
        columns: their names.
        values: `[rows][columns]`; None leaves a cell empty.

    Returns:
        SVG; empty without a value.

    Example:
        >>> heat("Transfer", "", ["dm"], ["mlp", "cnn"], [[40.0, None]]).count("<rect")
        1
    """
    finite = [v for line in values for v in line if v is not None and math.isfinite(v)]
    if not finite:
        return ""
    low, span = min(finite), (max(finite) - min(finite)) or 1.0
    left = _margin(rows)
    wide = (WIDTH - left - 6) / len(columns)
    # Names that are wider than their column stand upright.
    letters = min(MAX_LABEL, max(map(len, columns)))
    upright = LETTER * letters > wide - 4
    top = TOP + (LETTER * letters + 6 if upright else 16)
    parts = []
    for place, name in enumerate(columns):
        x = left + wide * (place + 0.5)
        turn = f' transform="rotate(-90 {x + 4:.1f} {top - 6:.1f})"' if upright else ""
        at = x + 4 if upright else x
        anchor = "start" if upright else "middle"
        parts.append(_text(name, at, top - 6, anchor, more=turn))
    for number, (name, line) in enumerate(zip(rows, values, strict=True)):
        y = top + 26 * number
        parts.append(_text(name, left - 8, y + 17, "end"))
        for place, value in enumerate(line):
            if value is None or not math.isfinite(value):
                continue
            x = left + wide * place
            shade = 0.08 + 0.47 * (value - low) / span
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{wide - 2:.1f}" height="24" '
                f'rx="2" fill="{COLORS[0]}" fill-opacity="{shade:.2f}"></rect>'
            )
            parts.append(_text(f"{value:.1f}", x + wide / 2 - 1, y + 16, "middle"))
    return _chart(title, description, top + 26 * len(rows) + 4, parts)


# --- pieces -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Axis:
    """Values between two ends, and where they stand."""

    low: float
    high: float
    start: float
    end: float
    powers: bool = False

    def __post_init__(self) -> None:
        low, high = self.low, self.high
        if self.powers:
            low, high = math.log10(low), math.log10(high)
        room = 0.06 * (high - low) or max(abs(high) * 0.05, 0.05)
        object.__setattr__(self, "low", low - room)
        object.__setattr__(self, "high", high + room)

    def at(self, value: float) -> float:
        """Where a value stands."""
        value = math.log10(value) if self.powers else value
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values between the ends, about as many as asked for."""
        if self.powers:
            between = [10.0**p * m for p in range(-3, 16) for m in (1, 2, 5)]
            inside = [v for v in between if self.low <= math.log10(v) <= self.high]
            return inside[:: max(1, math.ceil(len(inside) / count))]
        rough = (self.high - self.low) / count
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
        first = math.ceil(self.low / step)
        last = math.floor(self.high / step)
        return [step * number for number in range(first, last + 1)]


def _plane(
    title: str,
    description: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    labels: tuple[str, str],
    joined: bool,
) -> str:
    points = {
        name: sorted(p for p in some if p[0] > 0 and all(map(math.isfinite, p)))
        for name, some in series.items()
    }
    every = [point for some in points.values() for point in some]
    if not every:
        return ""
    names = list(points)
    key, top = _key(names)
    top += 14  # the label of the upright axis stands above it
    bottom = top + 170
    ys = [y for _, y in every]
    upright = _Axis(min(ys), max(ys), bottom, top)
    left = 12 + LETTER * max(len(f"{tick:g}") for tick in upright.ticks())
    xs = [x for x, _ in every]
    across = _Axis(min(xs), max(xs), left, WIDTH - 14, powers=True)
    parts = [key, _grid(across, top, bottom, labels[0])]
    parts.append(_text(labels[1], left, top - 6, "start"))
    for tick in upright.ticks():
        y = upright.at(tick)
        parts.append(_line(left, y, WIDTH - 14, y, "currentColor", 1, 0.15))
        parts.append(_text(f"{tick:g}", left - 6, y + 3.5, "end"))
    for place, (name, some) in enumerate(points.items()):
        color = COLORS[place % len(COLORS)]
        at = [(across.at(x), upright.at(y)) for x, y in some]
        if joined and len(at) > 1:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{color}" '
                'stroke-width="1.6"></polyline>'
            )
        for (x, y), (budget, value) in zip(at, some, strict=True):
            parts.append(_mark(place, x, y, f"{name}: {value:.4g} at {budget:g}"))
    return _chart(title, description, bottom + AXIS, parts)


def _margin(names: Sequence[str]) -> float:
    """Units that the longest name of a row takes, and some around it."""
    return 14 + LETTER * max(4, min(MAX_LABEL, max(map(len, names))))


def _chart(title: str, description: str, height: float, parts: Sequence[str]) -> str:
    says = f"<title>{html.escape(title)}</title>"
    says += f"<desc>{html.escape(description)}</desc>" if description else ""
    return (
        f'<svg role="img" viewBox="0 0 {WIDTH} {height:.0f}" '
        'style="width:100%;max-width:460px;height:auto;display:block;" '
        f'font-size="11" fill="currentColor">{says}{"".join(parts)}</svg>'
    )


def _grid(axis: _Axis, top: float, bottom: float, label: str) -> str:
    """Lines at round values of the level axis, their numbers, and its label."""
    parts = []
    for tick in axis.ticks():
        x = axis.at(tick)
        parts.append(_line(x, top, x, bottom, "currentColor", 1, 0.15))
        parts.append(_text(f"{round(tick, 10):g}", x, bottom + 13, "middle"))
    middle = (axis.start + axis.end) / 2
    return "".join([*parts, _text(label, middle, bottom + 28, "middle")])


def _key(series: Sequence[str]) -> tuple[str, float]:
    """Marks with the names of their series, and where the chart begins below them."""
    if len(series) < 2:
        return "", TOP
    parts, x, y = [], 8.0, TOP + 4.0
    for place, name in enumerate(series):
        size = 22 + LETTER * min(len(name), MAX_LABEL)
        if x > 8 and x + size > WIDTH:
            x, y = 8.0, y + 16
        parts += [_mark(place, x + 4, y, ""), _text(name, x + 12, y + 3.5, "start")]
        x += size
    return "".join(parts), y + 12


def _mark(place: int, x: float, y: float, said: str) -> str:
    """The mark of a series; what it says stands where a pointer rests on it."""
    shape = (place + place // len(COLORS)) % 4
    size = 4.0
    if shape == 0:
        form = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}"'
    else:
        corners = {
            1: ((-1, -1), (1, -1), (1, 1), (-1, 1)),
            2: ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
            3: ((0, -1.2), (1.2, 1), (-1.2, 1)),
        }[shape]
        points = " ".join(
            f"{x + size * 0.9 * a:.1f},{y + size * 0.9 * b:.1f}" for a, b in corners
        )
        form = f'<polygon points="{points}"'
    kind = ' class="mark"' if said else ""
    title = f"<title>{html.escape(said)}</title>" if said else ""
    tag = form[1:].split()[0]
    return f'{form}{kind} fill="{COLORS[place % len(COLORS)]}">{title}</{tag}>'


def _line(
    x1: float,
    y1: float,
    x2: float,
    y2: float,
    color: str,
    width: float,
    opacity: float = 1,
) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{color}" stroke-width="{width}" stroke-opacity="{opacity}"/>'
    )


def _text(words: str, x: float, y: float, anchor: str, more: str = "") -> str:
    if not words:
        return ""
    cut = words if len(words) <= MAX_LABEL else words[: MAX_LABEL - 1] + "…"
    # A label of an axis is longer than a name, and has the room.
    cut = words if anchor == "middle" and not more else cut
    title = f"<title>{html.escape(words)}</title>" if cut != words else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>'
        f"{html.escape(cut)}{title}</text>"
    )
