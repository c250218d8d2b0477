"""The page of a report: one HTML file that needs no other, and no network.

All that is data is escaped; the only script is the page's own, which its policy names
by its hash, so that no other runs.
"""

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from multidd.evaluation.charts import Dot, dots, heat, lines, scatter
from multidd.evaluation.sections import (
    Section,
    class_scores,
    plain_cells,
    row_cells,
    sections,
    transfer_rows,
)
from multidd.html import NUMBER

__all__ = ["charts_of", "page"]

MAX_CLASSES = 30
"""Rows of the chart by class: those with the lowest scores."""

Document = Mapping[str, Any]


def page(document: Document, preview: str = "", card: str = "") -> str:
    """The whole page.

    Args:
        document: the plain form of a report, as of `Report.to_document()`.
        preview: a first look at the records, as HTML of `multidd.html`.
        card: the card, the same.

    Example:
        >>> summary = {"repr": "<b>", "method": "dm", "card": {"versions": {}}}
        >>> text = page({"method": "dm", "headline": "", "summary": summary})
        >>> text.startswith("<!doctype html>"), "<b>" in text
        (True, False)
    """
    style, script = _asset("page.css"), _asset("page.js")
    summary = document.get("summary") or {}
    title = _title(document)
    parts = _parts(document, preview, card)
    listed = "".join(
        f'<li><a href="#{name}">{html.escape(title)}</a></li>'
        for name, title, _ in parts
    )
    headline = document.get("headline") or "Nothing was trained on it yet."
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_policy(script)}">
<meta name="generator" content="multidd {html.escape(str(document.get("multidd")))}">
<title>{html.escape(title)}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the report</a>
<header>
<div>
<h1>{html.escape(title)}</h1>
<p class="quiet">{html.escape(str(summary.get("repr") or ""))}</p>
</div>
<button id="theme" type="button" aria-pressed="false" hidden>Dark colours</button>
</header>
<p class="headline"><strong>{html.escape(str(headline))}</strong></p>
{_notes(document.get("notes") or ())}
<nav aria-label="Sections"><ul>{listed}</ul></nav>
<main id="main">
{"".join(_section(*part) for part in parts)}
</main>
<footer><p>Made by multidd {html.escape(str(document.get("multidd")))}. This file needs
no network.</p></footer>
<p id="status" class="hidden" role="status"></p>
<script>
{script}</script>
</body>
</html>
"""


def _title(document: Document) -> str:
    comparison = document.get("comparison")
    if document.get("method") or not comparison:
        return f"Report of {document.get('method')}"
    return f"Comparison of {', '.join(comparison['names'])}"


@cache
def _asset(name: str) -> str:
    file = resources.files("multidd.evaluation").joinpath(name)
    return file.read_text(encoding="utf-8")


def _policy(script: str) -> str:
    """What the page may load: its own script, styles and pictures inside it."""
    digest = hashlib.sha256(f"\n{script}".encode()).digest()
    code = base64.b64encode(digest).decode("ascii")
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{code}'; base-uri 'none'; form-action 'none'"
    )


# --- sections -------------------------------------------------------------------------


def _parts(document: Document, preview: str, card: str) -> list[tuple[str, str, str]]:
    """Name, title and HTML of each section."""
    charts = charts_of(document)
    names = [
        document.get("method"),
        *(document.get("comparison") or {}).get("names", ()),
    ]
    parts = []
    if plain := plain_cells(document):
        about = "Models that the library did not distill with, trained as a stranger "
        about += "would. The share is what the summary adds to random records, of what "
        about += "whole data add to them."
        body = _paragraph(about) + _pair(charts.get("plain", ""), _table(plain, ""))
        parts.append(("plain", "Plain trainings", body))
    if document.get("rows"):
        table = _table(row_cells(document), document.get("footer") or "", names)
        parts.append(("rows", "Scores", _pair(charts.get("rows", ""), table)))
    for one in sections(document):
        parts.append((one.name, one.title, _body(one, charts, names)))
    if preview:
        shown = f'<div class="set">{preview}</div>'
        order = 1 if parts and parts[0][0] == "plain" else 0
        parts.insert(order, ("set", "The set", shown))
    if card:
        parts.append(("card", "Data card", f'<div class="card">{card}</div>'))
    if repeat := _repeat(document):
        parts.append(("repeat", "How to repeat it", repeat))
    return parts


def _section(name: str, title: str, body: str) -> str:
    return (
        f'<section id="{name}" aria-labelledby="{name}-title">'
        f'<h2 id="{name}-title">{html.escape(title)}</h2>{body}</section>\n'
    )


def _body(section: Section, charts: Mapping[str, str], names: Sequence[Any]) -> str:
    paragraphs = "".join(map(_paragraph, section.notes))
    table = _table(section.cells, "", names) if section.cells else ""
    return paragraphs + _pair(charts.get(section.name, ""), table)


def _pair(charts: str, table: str) -> str:
    """Charts beside their table, or above it where there is no room."""
    return f'<div class="pair">{charts}{table}</div>' if charts else table


def _repeat(document: Document) -> str:
    """Commands, or what stands on the card; and versions."""
    summary = document.get("summary") or {}
    card = summary.get("card") or {}
    parts = []
    if commands := document.get("commands"):
        parts.append(f"<pre>{html.escape(chr(10).join(commands))}</pre>")
    elif card:
        steps = f", {card['steps']:,} steps" if card.get("steps") else ""
        text = f"Method {card.get('method')} with seed {card.get('seed')}{steps} and "
        parts.append(_paragraph(f"{text}the settings of the data card."))
    if protocol := document.get("protocol"):
        settings = ", ".join(f"{name}={value!r}" for name, value in protocol.items())
        parts.append(_paragraph("The training of every row:"))
        parts.append(f"<pre>multidd.Protocol({html.escape(settings)})</pre>")
    if versions := card.get("versions"):
        cells = [["package", "version"], *([n, v] for n, v in versions.items())]
        parts.append(_paragraph("Versions that it was made with:"))
        parts.append(_table(cells, ""))
    return "".join(parts)


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return f'<ul class="notes">{items}</ul>'


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _table(
    cells: Sequence[Sequence[str]], caption: str, names: Sequence[Any] = ()
) -> str:
    """A table that sorts; rows of these names, the summaries', stand out."""
    head, *rows = cells
    numeric = [_is_numeric([row[i] for row in rows]) for i in range(len(head))]
    kinds = [' class="number"' if is_number else "" for is_number in numeric]
    heads = "".join(
        f'<th scope="col"{kind}>{html.escape(cell)}</th>'
        for cell, kind in zip(head, kinds, strict=True)
    )
    lines = []
    for row in rows:
        emphasis = ' class="own"' if row[0] in names else ""
        line = []
        for place, (cell, kind) in enumerate(zip(row, kinds, strict=True)):
            kind = kind or (' class="long"' if len(cell) > 40 else "")
            tag = 'th scope="row"' if place == 0 else "td"
            line.append(f"<{tag}{kind}>{html.escape(cell)}</{tag.split()[0]}>")
        lines.append(f"<tr{emphasis}>{''.join(line)}</tr>")
    says = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    label = html.escape(caption or f"Table by {head[0]}", quote=True)
    sorts = ' class="sorts"' if len(rows) > 1 else ""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">'
        f"<table{sorts}>{says}<thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _is_numeric(column: Sequence[str]) -> bool:
    filled = [cell for cell in column if cell.strip() and cell not in ("all", "cannot")]
    return bool(filled) and all(NUMBER.fullmatch(cell) for cell in filled)


# --- charts ---------------------------------------------------------------------------


def charts_of(document: Document) -> dict[str, str]:
    """Section -> its charts as HTML, of the parts that are there.

    Args:
        document: the plain form of a report.

    Example:
        >>> charts_of({"metric": "accuracy", "rows": [], "transfer": None})
        {}
    """
    charts = {
        "plain": [_plain_chart(document)],
        "rows": [_rows_chart(document), _bytes_chart(document)],
        "comparison": _comparison_charts(document),
        "regimes": _regime_charts(document),
        "transfer": [_transfer_chart(document)],
        "per_class": _class_charts(document),
        "curve": [_curve_chart(document)],
    }
    framed = {}
    for name, some in charts.items():
        figures = "".join(
            f"<figure><figcaption>{html.escape(title)}</figcaption>{svg}</figure>"
            for title, svg in some
            if svg
        )
        if figures:
            framed[name] = figures
    return framed


Chart = tuple[str, str]
"""A title and SVG, which is empty where there is nothing to draw."""


def _dot(series: str, values: Sequence[float]) -> Dot:
    """The mean and the deviation of scores, in per cent."""
    mean = sum(values) / len(values)
    spread = sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1)
    return Dot(series, 100 * mean, 100 * spread**0.5)


def _plain_chart(document: Document) -> Chart:
    plain = document.get("plain") or {"trainings": ()}
    rows = [
        (
            one["training"],
            [_dot(n, one[n]) for n in ("random", "summary", "whole") if one[n]],
        )
        for one in plain["trainings"]
    ]
    title = f"Plain trainings: {document.get('metric')} % by what was trained on"
    described = "A row for each training; marks for random records, the summary and "
    label = f"{document.get('metric')} %"
    return title, dots(title, f"{described}whole data.", rows, label)


def _rows_chart(document: Document) -> Chart:
    metric = document.get("metric")
    rows: dict[str, list[Dot]] = {}
    for row in document.get("rows") or ():
        rows.setdefault(row["row"], []).append(
            _dot(row["model"], row["values"][metric])
        )
    title = f"Test {metric} % by training set"
    described = (
        "A row for each training set; a mark for each model, bars of one deviation."
    )
    return title, dots(title, described, list(rows.items()), f"{metric} %")


def _bytes_chart(document: Document) -> Chart:
    metric, points = document.get("metric"), dict[str, list[tuple[float, float]]]()
    for row in document.get("rows") or ():
        if row["bytes"]:
            place = (row["bytes"] / 1024, 100 * row["mean"])
            points.setdefault(row["row"], []).append(place)
    title = f"Test {metric} % against KiB"
    described = "A mark for each training set and model. Whole data are not drawn."
    return title, _by_size(title, described, points, f"{metric} %")


def _by_size(
    title: str,
    described: str,
    points: Mapping[str, Sequence[tuple[float, float]]],
    label: str,
) -> str:
    """Scores against KiB; nothing where all are of one size."""
    sizes = {size for some in points.values() for size, _ in some}
    labels = ("KiB", label)
    return scatter(title, described, points, labels) if len(sizes) > 1 else ""


def _comparison_charts(document: Document) -> list[Chart]:
    comparison = document.get("comparison")
    if not comparison:
        return []
    metric, rows = comparison["metric"], dict[str, list[Dot]]()
    points: dict[str, list[tuple[float, float]]] = {}
    for row in comparison["rows"]:
        rows.setdefault(row["row"], []).append(_dot(row["model"], row["values"]))
        if row["bytes"]:
            mean = _dot("", row["values"]).mean
            points.setdefault(row["row"], []).append((row["bytes"] / 1024, mean))
    titles = f"Test {metric} % by summary and row", f"Test {metric} % against KiB"
    described = "A row for each training set; a mark for each model."
    by_row = dots(titles[0], described, list(rows.items()), f"{metric} %")
    described = "A mark for each training set and model. Whole data are not drawn."
    by_size = _by_size(titles[1], described, points, f"{metric} %")
    return [(titles[0], by_row), (titles[1], by_size)]


def _regime_charts(document: Document) -> list[Chart]:
    metric, by_model = document.get("metric"), dict[str, dict[str, list[Dot]]]()
    for one in document.get("regimes") or ():
        if one["values"]:
            rows = by_model.setdefault(one["model"], {})
            rows.setdefault(one["row"], []).append(_dot(one["regime"], one["values"]))
    charts = []
    for model, rows in by_model.items():
        title = f"Test {metric} % by label regime, {model}"
        described = "A row for each training set; a mark for each regime of labels."
        svg = dots(title, described, list(rows.items()), f"{metric} %")
        charts.append((title, svg))
    return charts


def _transfer_chart(document: Document) -> Chart:
    transfer = document.get("transfer")
    if not transfer:
        return "", ""
    title = f"Transfer: {document.get('metric')} % by model"
    values = [
        [None if value is None else 100 * value for value in line]
        for line in transfer["matrix"]
    ]
    described = f"The worst model is {transfer['worst']}."
    models = transfer["models"]
    return title, heat(title, described, transfer_rows(document), models, values)


def _class_charts(document: Document) -> list[Chart]:
    scores = class_scores(document)
    means: dict[str, list[float]] = {}
    for classes in scores.values():
        for name, value in classes.items():
            means.setdefault(name, []).append(value)
    lowest = sorted(means, key=lambda name: sum(means[name]) / len(means[name]))
    shown = lowest[:MAX_CLASSES]
    rows = [
        (name, [Dot(m, 100 * one[name]) for m, one in scores.items() if name in one])
        for name in shown
    ]
    left_out = len(lowest) - len(shown)
    title = f"Test {document.get('metric')} % by class, the lowest first"
    title += f" ({left_out} more in the table)" if left_out else ""
    described = "A row for each class; a mark for each model trained on the summary."
    return [(title, dots(title, described, rows, f"{document.get('metric')} %"))]


def _curve_chart(document: Document) -> Chart:
    curve = document.get("curve")
    if not curve:
        return "", ""
    series: dict[str, list[tuple[float, float]]] = {}
    for point in curve["points"]:
        if point["budget"] is not None:
            place = (point["budget"], _dot("", point["values"]).mean)
            series.setdefault(point["method"], []).append(place)
    title = f"Test {curve['metric']} % against {curve['budget']}, {curve['model']}"
    labels = (curve["budget"], f"{curve['metric']} %")
    return title, lines(title, "A line for each method.", series, labels)
