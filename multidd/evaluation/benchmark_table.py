"""The table of `multidd bench`: its columns, models side by side, what it notes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from multidd.evaluation.lines import Line
from multidd.evaluation.table import aligned, folded, markdown, terminal_width

__all__ = ["Measured", "above_whole", "head", "matrix"]

DROP = ("s / step", "peak MB", "KiB", "worst seed", "runs", "published")
"""Columns that a narrow terminal goes without, the least important first."""


@dataclass(frozen=True)
class Measured:
    """What `multidd bench` prints.

    Attributes:
        lines: those that were measured.
        cells: of the table, its head first.
        machine: cores, threads and versions.

    Example:
        >>> from multidd.evaluation.lines import Line
        >>> cells = [head(["accuracy"]), ["cora 7 random", "60", "61.0", *"123456"]]
        >>> Measured((Line("cora", {"nodes": 7}, "random"),), cells, "").records()[0]
        {'line': 'cora 7 random', 'published': '60', 'test accuracy %': '61.0', ...
    """

    lines: Sequence[Line]
    cells: Sequence[Sequence[str]]
    machine: str

    def records(self) -> list[dict[str, str]]:
        """The lines as dicts, by the heads of the columns."""
        names = self.cells[0]
        return [dict(zip(names, row, strict=False)) for row in self.cells[1:]]

    @property
    def notes(self) -> list[str]:
        """What scores more than whole data."""
        return above_whole(self.lines, self.cells)

    def to_markdown(self) -> str:
        """The tables as Markdown, the machine below them."""
        tables = [markdown(table) for table in self._tables()]
        return "\n\n".join([*tables, *self.notes, self.machine]) + "\n"

    def __str__(self) -> str:
        width = terminal_width()
        tables = [aligned(table, width, DROP) for table in self._tables()]
        foot = [folded(text, width) for text in (*self.notes, self.machine)]
        return "\n\n".join([*tables, *foot])

    def _tables(self) -> list[Sequence[Sequence[str]]]:
        return [t for t in (self.cells, matrix(self.lines, self.cells)) if t]


def head(metrics: Sequence[str], sized: bool = False) -> list[str]:
    """Names of the columns; the worst seed is by the first metric.

    Example:
        >>> head(["accuracy"])[:4]
        ['line', 'published', 'test accuracy %', 'worst seed']
    """
    scores = [f"test {metric} %" for metric in metrics]
    cost = ["seconds", "s / step", "peak MB"]
    size = ["KiB"] if sized else []
    return ["line", "published", *scores, "worst seed", "runs", *size, *cost]


def matrix(lines: Sequence[Line], cells: Sequence[Sequence[str]]) -> list[list[str]]:
    """Scores by set and model, and the seconds of making the set.

    Args:
        lines: the lines measured, those of several models at once left out.
        cells: the table of them, its head first: the scores of the first metric are in
            its third column, the seconds in the one of that name.

    Returns:
        The head and one line for each set; nothing where no set has two models.

    Example:
        >>> from multidd.evaluation.lines import Line
        >>> both = [Line("cora", {"nodes": 7}, "gcond", models=(m,)) for m in "ab"]
        >>> rest = ["9", "1 x 1", "4.0", "", ""]
        >>> rows = [[line.name, "", score, *rest] for line, score in zip(both, "89")]
        >>> matrix(both, [head(["accuracy"]), *rows])
        [['line', 'a', 'b', 'seconds'], ['cora 7 gcond', '8', '9', '4.0']]
    """
    columns, place = list[str](), list(cells[0]).index("seconds") if cells else 0
    rows: dict[str, dict[str, str]] = {}
    for line, row in zip(lines, cells[1:], strict=False):
        if len(line.models) != 1:
            continue
        model = line.models[0]
        scores = rows.setdefault(replace(line, models=()).name, {})
        scores |= {model: row[2], "seconds": row[place]}
        columns += [] if model in columns else [model]
    if all(len(scores) < 3 for scores in rows.values()):
        return []
    named = [*columns, "seconds"]
    return [
        ["line", *named],
        *(
            [name, *(scores.get(column, "") for column in named)]
            for name, scores in rows.items()
        ),
    ]


def above_whole(lines: Sequence[Line], cells: Sequence[Sequence[str]]) -> list[str]:
    """A sentence for each line that scores more than whole data of the same training.

    Args:
        lines: the lines measured.
        cells: the table of them, its head first.

    Example:
        >>> from multidd.evaluation.lines import Line
        >>> lines = [Line("cora", {}, "whole"), Line("cora", {"nodes": 70}, "gcond")]
        >>> rows = [[line.name, "", score] for line, score in zip(lines, ("80", "82"))]
        >>> above_whole(lines, [head(["accuracy"]), *rows])
        ['Above whole data (80): cora 70 gcond 82.']
    """

    def training(line: Line) -> tuple[Any, ...]:
        return line.data, line.models, line.protocol, line.stage

    measured = list(zip(lines, cells[1:], strict=False))
    whole = {training(ln): row[2] for ln, row in measured if ln.method == "whole"}
    scores = [(ln, row[2], whole.get(training(ln))) for ln, row in measured]
    return [
        f"Above whole data ({ceiling}): {line.name} {score}."
        for line, score, ceiling in scores
        if ceiling and float(score.split()[0]) > float(ceiling.split()[0])
    ]
