"""`multidd bench plain`: what sets give to models that a stranger trains.

Each line makes a set a few times, trains the modality's plain models on it, on random
records of its size and on whole data, and tells the share of the gain: how far the set
goes from random records to whole data.
"""

import os
import pathlib
import statistics
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from multidd import modality
from multidd.evaluation.line_measuring import measure_lines, recorded_lines
from multidd.evaluation.lines import Line
from multidd.evaluation.plain import PlainEvaluator, PlainReport, PlainScores
from multidd.evaluation.results import (
    Results,
    tables_by_data,
)
from multidd.evaluation.table import aligned, markdown, spread
from multidd.evaluation.whole_data import plain_score, plain_whole_score
from multidd.modality import DISTILL

__all__ = ["NAME", "lines", "main", "page"]

NAME = "plain"
"""Of the file: it holds lines of all modalities."""


def lines() -> Iterator[tuple[str, Line]]:
    """The lines of every modality that lists some, with its name.

    Example:
        >>> sorted({kind for kind, line in lines()})
        ['images']
    """
    for entry, parts in modality.with_parts():
        for line in getattr(parts.published, "PLAIN_LINES", ()):
            yield entry.name, line


def main(
    *, only: str | None = None, seeds: int = 3, out: pathlib.Path | None = None
) -> list[dict[str, str]]:
    """Measure the lines whose name contains `only`, print them, write them.

    Args:
        only: part of the names, such as `"images fashion-mnist 10 dm"`; None measures
            all.
        seeds: makings of each line, each trained on once with its seed.
        out: a JSON file, in which lines take the place of older ones, written after
            each line; the docs make their tables of it.

    Returns:
        The lines measured now, by column.

    Raises:
        ValueError: no line has such a name; says which there are.
    """
    measured, results = measure_lines(
        NAME, lines(), _measured, {"seeds": seeds}, only, out
    )
    columns = _columns(results)
    print("\n" + tables_by_data(results, columns, lambda rows: aligned(rows, None, ())))
    return measured


def page(path: str | os.PathLike[str]) -> str:
    """The measured lines of a file as Markdown, a table for each data set and budget.

    Args:
        path: a file that `multidd bench plain --out` wrote.

    Returns:
        Markdown; of a file without lines how they are measured.

    Raises:
        ValueError: a line that the command does not have.
    """
    results = recorded_lines(NAME, lines(), path)
    if not results.lines:
        return (
            "Nothing was measured yet: `multidd bench plain --out plain.json` does.\n"
        )
    return tables_by_data(results, _columns(results), markdown)


def _measured(kind: str, line: Line, seeds: int) -> dict[str, str]:
    """The cells of a line, in a process of its own.

    A line of `DISTILL` is the modality's `distill` without a method.
    """
    parts = modality.parts(kind)
    train, exam = parts.load_for_evaluation(line.data, seed=0)
    face = import_module(modality.entry(kind).face)
    method = None if line.method == DISTILL else line.method
    summaries = [
        face.distill(train, **line.budget, method=method, seed=seed, **line.options)
        for seed in range(seeds)
    ]
    evaluator = parts.evaluators[kind](**exam)
    evaluator.check(summaries[0])
    seconds = statistics.fmean(one.card.seconds for one in summaries)
    report = _report(evaluator, summaries)
    return {**_cells(line, report), "seconds": f"{seconds:.0f}"}


def _report(evaluator: PlainEvaluator, summaries: list[Any]) -> PlainReport:
    """Every plain training on each summary, on random records, and on whole data."""
    scores = []
    for name, about in evaluator.plain.items():
        ours, random = [], []
        for seed, summary in enumerate(summaries):
            drawn = evaluator.row("random", summary, seed)
            ours.append(plain_score(evaluator, summary, name, seed))
            random.append(plain_score(evaluator, drawn, name, seed))
        whole = plain_whole_score(evaluator, name, 0, cache=True)
        scores.append(PlainScores(name, about, tuple(ours), tuple(random), (whole,)))
    return PlainReport(tuple(scores), evaluator.metric, evaluator.digits)


def _cells(line: Line, report: PlainReport) -> dict[str, str]:
    """What the trainings reached, by column; scores and shares are per cent."""
    named = line.name.partition(f" {line.method}")[2].strip()
    cells = {"method": f"{line.method} {named}".strip()}
    for one in report.scores:
        cells[f"{one.training} %"] = spread(one.summary, report.digits)
    worst = report.worst

    def mean(which: str) -> float:
        return statistics.fmean(
            statistics.fmean(getattr(one, which)) for one in report.scores
        )

    cells["mean %"] = f"{100 * mean('summary'):.{report.digits}f}"
    cells["share %"] = f"{100 * report.share:.0f}"
    if worst is not None:
        cells["worst share %"] = f"{100 * worst.share:.0f} ({worst.training})"
    for column, which in (("random %", "random"), ("whole %", "whole")):
        cells[column] = f"{100 * mean(which):.{report.digits}f}"
    return cells


def _columns(results: Results) -> list[str]:
    """Those of all lines, in their first order."""
    return list(
        dict.fromkeys(key for one in results.lines.values() for key in one.cells)
    )
