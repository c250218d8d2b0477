"""The plain form of a report as text, Markdown, LaTeX, HTML, and files.

A document is what `report.json` holds (`multidd.evaluation.report_schema.REPORT`): of a
report, of several summaries compared, or of a summary that was not evaluated yet.
"""

import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from multidd import html
from multidd._version import __version__
from multidd.evaluation.latex import latex_table
from multidd.evaluation.page import charts_of, page
from multidd.evaluation.report_schema import FORMAT
from multidd.evaluation.sections import Section, plain_cells, row_cells, sections
from multidd.evaluation.table import aligned, folded, markdown
from multidd.storage.atomic import output_path
from multidd.storage.fields import json_value
from multidd.storage.files import check_writable, write_text
from multidd.summary import DataSummary

if TYPE_CHECKING:
    from multidd.evaluation.curve import Curve

__all__ = [
    "as_box",
    "as_latex",
    "as_markdown",
    "as_page",
    "as_text",
    "document_of",
    "write_forms",
]

Document = Mapping[str, Any]

PARTS = """plain regimes scores teacher significance transfer costs seeds audit
comparison""".split()
"""Parts that a report need not have; None stands where one is not there."""

PLAIN_DROP = ("whole", "random")

DROP = ("training s", "making s", "KiB", "runs", "size")
"""Columns that a narrow terminal goes without, the least important first."""

ASKED_FOR = ("comparison", "regimes", "scores", "audit")
"""Sections that the text has too: those that stand in no report unasked."""

MAX_BOX_ROWS = 60
"""Lines of a table in a notebook."""


def document_of(
    summary: DataSummary | None,
    report: Document | None = None,
    headline: str = "",
    commands: Sequence[str] = (),
    curve: "Curve | None" = None,
) -> dict[str, Any]:
    """A document: every key of `REPORT` is there.

    Args:
        summary: the one that it is about; None goes without.
        report: `Report.to_dict()`; None of a summary that was not evaluated yet.
        headline: the report in one sentence.
        commands: what makes it again.
        curve: scores against budgets that belong to it.

    Example:
        >>> document = document_of(None, {"method": "dm", "metric": "accuracy"})
        >>> document["method"], document["rows"], document["audit"]
        ('dm', [], None)
    """
    facts = None
    if summary is not None:
        facts = {
            "kind": summary.kind,
            "repr": repr(summary),
            "method": summary.card.method,
            "bytes": summary.num_bytes,
            "digest": summary.digest(),
            "card": asdict(summary.card),
        }
    empty: dict[str, Any] = {
        "method": None if summary is None else summary.card.method,
        "metric": None,
        "extra_metrics": [],
        "digits": 1,
        "rows": [],
        "protocol": None,
        "data": None,
        "footer": "",
        "notes": [],
        "facts": "",
        **dict.fromkeys(PARTS),
    }
    return {
        "format": FORMAT,
        "multidd": __version__,
        "headline": headline,
        "commands": list(commands),
        "summary": facts,
        **empty,
        **(report or {}),
        "curve": None if curve is None else curve.to_dict(),
    }


def as_markdown(document: Document) -> str:
    """Plain trainings first, then the table and its protocol, then the sections."""
    parts = []
    if plain := plain_cells(document):
        parts += [document["headline"], markdown(plain)]
    if document["rows"]:
        parts += [markdown(row_cells(document)), _foot(document)]
    for one in sections(document):
        parts += [f"### {one.title}", *one.notes]
        parts += [markdown(one.cells)] if one.cells else []
    return "\n\n".join(parts) + "\n"


def as_text(document: Document, width: int | None = None) -> str:
    """The tables as text, what plain trainings gain first, the protocol last.

    Args:
        document: of a report.
        width: characters of a line; None has no limit.
    """
    parts = []
    if plain := plain_cells(document):
        parts += [folded(document["headline"], width)]
        parts += [aligned(plain, width, PLAIN_DROP)]
    if document["rows"]:
        metrics = [f"{name} %" for name in reversed(document["extra_metrics"])]
        table = aligned(row_cells(document), width, [*DROP, *metrics])
        parts += [f"{table}\n{folded(_foot(document), width)}"]
    for one in sections(document):
        if one.name in ASKED_FOR:
            parts.append(_section_text(one, width))
    return "\n\n".join(parts)


def as_latex(document: Document) -> str:
    """Its tables one after the other."""
    tables = []
    if plain := plain_cells(document):
        tables.append(latex_table(plain, document["headline"], "plain"))
    if document["rows"]:
        notes = [document["footer"], *document["notes"]]
        tables.append(latex_table(row_cells(document), "Scores.", "rows", notes))
    for one in sections(document):
        if one.cells:
            title = f"{one.title}."
            tables.append(latex_table(one.cells, title, one.name, one.notes))
    return "\n\n".join(tables) + "\n"


def as_page(document: Document, summary: DataSummary | None = None) -> str:
    """The HTML page, with a first look at the summary and its card."""
    if summary is None:
        return page(document)
    return page(document, summary.preview(), summary.card.to_html())


def as_box(document: Document, title: str) -> str:
    """Tables and charts as notebooks show them; sections open on a click."""
    charts = charts_of(document)
    parts = []
    if plain := plain_cells(document):
        parts += [html.note(document["headline"]), html.table(plain)]
        parts += [html.details("chart", charts["plain"])] if "plain" in charts else []
    if document["rows"]:
        parts += [html.table(row_cells(document))]
        parts += [html.note(line) for line in _foot(document).splitlines()]
        parts += [html.details("charts", charts["rows"])] if "rows" in charts else []
    for one in sections(document):
        notes = "".join(map(html.note, one.notes))
        table = html.table(one.cells, MAX_BOX_ROWS) if one.cells else ""
        inside = notes + charts.get(one.name, "") + table
        parts.append(html.details(one.title, inside))
    return html.box(title, *parts)


def write_forms(
    path: str | pathlib.Path,
    document: Document,
    summary: DataSummary | None = None,
    text: str | None = None,
) -> pathlib.Path:
    """Write `report.html`, `report.md` and `report.json`, or one of them.

    Args:
        path: a folder, or a file that ends in .html, .md, .json or .tex.
        document: what is written.
        summary: that it is about, for the page.
        text: of the Markdown, where that has more than the document.

    Returns:
        The path of the page, or of the file.

    Raises:
        ValueError: another ending.
        StorageError: a file cannot be written; an older one stays whole.
    """
    forms: dict[str, Callable[[], str]] = {
        ".html": lambda: as_page(document, summary),
        ".md": lambda: as_markdown(document) if text is None else text,
        ".json": lambda: json.dumps(json_value(document), ensure_ascii=False) + "\n",
        ".tex": lambda: as_latex(document),
    }
    path = output_path(path)
    ending = path.suffix.lower()
    if ending in forms:
        check_writable(path.parent)
        write_text(path, forms[ending]())
        return path
    if ending[1:].isalpha() and not path.is_dir():
        raise ValueError(
            f"a report is written to a folder, or to a file that ends in "
            f"{', '.join(forms)}; got {path.name!r}"
        )
    check_writable(path)
    texts = {form: forms[form]() for form in (".md", ".json", ".html")}
    for form, content in texts.items():
        write_text(path / f"report{form}", content)
    return path / "report.html"


def _foot(document: Document) -> str:
    return "\n".join([document["footer"], *document["notes"]])


def _section_text(section: Section, width: int | None) -> str:
    notes = [folded(note, width) for note in section.notes]
    has_table = section.cells and section.name != "audit"  # its sentences say it
    table = [aligned(section.cells, width, DROP)] if has_table else []
    return "\n".join([section.title, *table, *notes])
