"""Tables of a report in LaTeX, with the rules of the package booktabs."""

import re
from collections.abc import Sequence

from multidd.html import NUMBER

__all__ = ["escape_latex", "latex_table"]

ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",  # stands in every font; \textquotedbl needs those of T1
    "±": r"$\pm$",
    "…": r"\ldots{}",
    "\n": " ",
}
"""Letter -> what stands for it in text; all others stand as they are."""

_SPECIAL = re.compile("|".join(map(re.escape, ESCAPES)))


def escape_latex(text: str) -> str:
    r"""A text as LaTeX prints it, whatever letters it has.

    Args:
        text: of a cell or a caption.

    Example:
        >>> print(escape_latex("50 % of {a_b}"))
        50 \% of \{a\_b\}
    """
    # One pass: what stands for a backslash has braces of its own.
    return _SPECIAL.sub(lambda match: ESCAPES[match[0]], text)


def latex_table(
    cells: Sequence[Sequence[str]],
    caption: str,
    label: str,
    notes: Sequence[str] = (),
) -> str:
    r"""A table with its caption; needs `\usepackage{booktabs}`.

    Args:
        cells: of equal lines, the first line a head.
        caption: text.
        label: what `\ref` names it by, letters and digits.
        notes: sentences below the table.

    Raises:
        ValueError: a label of other letters.

    Example:
        >>> print(latex_table([["row", "%"], ["dm", "81.0"]], "Scores", "scores"))
        \begin{table}
        \caption{Scores}
        \label{tab:scores}
        \begin{tabular}{lr}
        \toprule
        row & \% \\
        \midrule
        dm & 81.0 \\
        \bottomrule
        \end{tabular}
        \end{table}
    """
    if not re.fullmatch(r"[\w-]+", label, re.ASCII):
        raise ValueError(f"a label has letters, digits, _ and -, got {label!r}")
    head, *rows = cells
    columns = "".join(_column([row[i] for row in rows]) for i in range(len(head)))
    lines = [_line(head), r"\midrule", *map(_line, rows)]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{escape_latex(caption)}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par\small {escape_latex(note)}" for note in notes),
            r"\end{table}",
        ]
    )


def _line(cells: Sequence[str]) -> str:
    text = " & ".join(map(escape_latex, cells))
    # A line that begins with a bracket would be read as an argument of the one before.
    return (f"{{}}{text}" if text.startswith("[") else text) + r" \\"


def _column(cells: Sequence[str]) -> str:
    filled = [cell for cell in cells if cell.strip()]
    numeric = bool(filled) and all(NUMBER.fullmatch(cell) for cell in filled)
    return "r" if numeric else "l"
