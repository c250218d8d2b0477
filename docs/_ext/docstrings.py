"""Docstrings, which are plain Markdown, as the reStructuredText that autodoc reads."""

import importlib
import re
from functools import cache
from typing import Any

from sphinx.application import Sphinx

CODE = re.compile(r"(``.+?``|(?<![\w:`])`[^`]+`)", re.S)
MATH = re.compile(r"\$([^$]+)\$")


@cache
def public_names() -> frozenset[str]:
    """Every name that has a page."""
    from api_pages import PACKAGES, names

    packages = {path: importlib.import_module(path) for path in PACKAGES}
    paths = {f"{path}.{name}" for path, p in packages.items() for name in names(p)}
    return frozenset(paths | set(PACKAGES))


def _code(text: str, package: str) -> str:
    """`name` as a link where it is public, else as code."""
    name = re.sub(r"\s+", " ", text.strip("`"))
    for path in (name, f"{package}.{name}"):
        if path in public_names():
            return f":py:obj:`{name} <{path}>`"
    return f"``{name}``"


def to_rst(text: str, package: str) -> str:
    """Code between single backticks and formulas between dollars, in Sphinx's way."""
    pieces = CODE.split(text)
    for i, piece in enumerate(pieces):
        if i % 2 and not piece.startswith("``"):
            pieces[i] = _code(piece, package)
        elif not i % 2:
            parts = MATH.split(piece)
            # A pipe in text is no substitution.
            parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
            parts[1::2] = [f":math:`{' '.join(p.split())}`" for p in parts[1::2]]
            pieces[i] = "".join(parts)
    return "".join(pieces)


def _display(paragraph: str) -> str:
    """A formula of its own, `$$...$$`, and what follows it."""
    indent = " " * (len(paragraph) - len(paragraph.lstrip()))
    formula, _, rest = paragraph.strip()[2:].partition("$$")
    formula = " ".join(formula.split())
    rest = rest.strip()
    after = f"\n\n{indent}{rest}" if rest.strip(".,;") else ""
    return f"{indent}.. math::\n\n{indent}   {formula}{after}"


def _table(paragraph: str, package: str) -> str:
    """A table of pipes as a table of lists."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for line in paragraph.strip().splitlines():
        # A pipe within a formula or code is no border.
        cells = [cell.strip() for cell in re.split(r" \| ", line.strip()[1:-1])]
        if all(set(cell) <= set("-:|") for cell in cells):
            continue
        cells = [to_rst(cell, package) for cell in cells]
        lines += [f"   {'-' if i else '* -'} {c}" for i, c in enumerate(cells)]
    indent = " " * (len(paragraph) - len(paragraph.lstrip()))
    # The dash of a later cell stands below the first one's.
    return "\n".join(indent + line.replace("   - ", "     - ", 1) for line in lines)


def paragraph_to_rst(paragraph: str, package: str) -> str:
    """One paragraph; examples stay as they are."""
    text = paragraph.strip()
    if not text or ">>>" in text:
        return paragraph
    if text.startswith("$$"):
        return _display(to_rst(paragraph, package) if "`" in paragraph else paragraph)
    if text.startswith("|"):
        return _table(paragraph, package)
    return to_rst(paragraph, package)


def process(
    app: Sphinx, what: str, path: str, value: Any, options: Any, lines: list[str]
) -> None:
    """The lines of a docstring; those of examples stay as they are."""
    package = ".".join(path.split(".")[:2])
    paragraphs = re.split(r"(\n[ \t]*\n)", "\n".join(lines))
    converted = [paragraph_to_rst(p, package) for p in paragraphs]
    lines[:] = "".join(converted).split("\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Before napoleon, which makes sections of the result."""
    app.connect("autodoc-process-docstring", process, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
