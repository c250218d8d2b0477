"""Formulas as MathML: browsers draw it, and no script or font is fetched for it."""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

SIZES = re.compile(r"\\[bB]igg?[lrm]?(?![a-zA-Z])")
"""Of brackets: MathML stretches them by itself."""


def _mathml(node: nodes.Element, *, as_block: bool) -> str:
    text = str(tex2mathml(SIZES.sub("", node.astext()), as_block=as_block))
    # A bar with an exponent would be drawn as small as that.
    return re.sub(r"<mo[^>]*>(?=‖)", '<mo stretchy="false">', text)


def inline(translator: Any, node: nodes.Element) -> None:
    """A formula within a line."""
    translator.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def block(translator: Any, node: nodes.Element) -> None:
    """A formula on lines of its own."""
    formula = _mathml(node, as_block=True)
    translator.body.append(f'<div class="formula">{formula}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Name the renderer for `html_math_renderer`."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
