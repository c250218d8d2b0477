"""`multidd bench paper`: settings of papers against defaults, in equal seconds.

Each line makes a set with the default settings, and one with `preset="paper"` that is
stopped after as many seconds. Both are judged by the modality's first protocol, or that
of the line, and by its plain trainings, beside what either starts from and random
records of the size.
"""

import os
import pathlib
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from multidd import modality
from multidd.engine.presets import presets_of
from multidd.engine.recipe import call
from multidd.evaluation.line_measuring import measure_lines, recorded_lines
from multidd.evaluation.lines import Line
from multidd.evaluation.plain import PlainEvaluator
from multidd.evaluation.results import tables_by_data
from multidd.evaluation.table import aligned, markdown, spread
from multidd.evaluation.whole_data import fit_scores

__all__ = ["COLUMNS", "NAME", "lines", "main", "page"]

NAME = "paper"
"""Of the file: it holds lines of all modalities."""

SETS = ("default", "paper", "random", "start", "paper's start")
"""What is judged, in the order of the table."""

COLUMNS = (
    "method",
    *(f"{name} %" for name in SETS),
    *(f"{name}, plain %" for name in SETS[:3]),
    "steps",
    "paper's steps",
    "seconds",
)


def lines() -> Iterator[tuple[str, Line]]:
    """The lines of every modality that lists some, with its name.

    Example:
        >>> sorted({kind for kind, line in lines()})
        ['graph', 'images', 'recsys', 'text']
    """
    for entry, parts in modality.with_parts():
        for line in getattr(parts.published, "PAPER_LINES", ()):
            yield entry.name, line


def main(
    *, only: str | None = None, seeds: int = 2, out: pathlib.Path | None = None
) -> list[dict[str, str]]:
    """Measure the lines whose name contains `only`, print them, write them.

    Args:
        only: part of the names, such as `"graph"` or `"sample:fashion 1 dm"`; None
            measures all.
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
    print("\n" + tables_by_data(results, COLUMNS, lambda rows: aligned(rows, None, ())))
    return measured


def page(path: str | os.PathLike[str]) -> str:
    """The measured lines of a file as Markdown, a table for each data set and budget.

    Args:
        path: a file that `multidd bench paper --out` wrote.

    Raises:
        ValueError: a line that the command does not have.
    """
    return tables_by_data(recorded_lines(NAME, lines(), path), COLUMNS, markdown)


def _measured(kind: str, line: Line, seeds: int) -> dict[str, str]:
    """The cells of a line, in a process of its own."""
    parts = modality.parts(kind)
    train, exam = parts.load_for_evaluation(line.data, seed=0)
    method = parts.methods[line.method]
    presets = presets_of(method)
    assert presets is not None
    steps = presets.settings(line.method, train, line.budget).get("steps")
    evaluator = parts.evaluators[kind](**exam)
    sets: dict[str, list[Any]] = {name: [] for name in SETS}
    seconds = []
    for seed in range(seeds):
        request = {**line.budget, **line.options, "seed": seed, "progress": False}
        of_paper = {**request, "preset": "paper"}
        of_paper.pop("steps", None)  # those of a line are the default's
        default = call(method, train, **request)
        # What is prepared is looked at by no clock: it is on top for both.
        limit = max(default.card.seconds, 0.1)
        paper = call(method, train, **of_paper, timeout=limit)
        evaluator.check(default)
        beside = evaluator.row("random", default, seed)
        starts = [
            call(method, train, **{**one, "steps": 0}) for one in (request, of_paper)
        ]
        each = (default, paper, beside, *starts)
        for name, one in zip(SETS, each, strict=True):
            sets[name].append(one)
        seconds.append(default.card.seconds)
    model = (line.models or evaluator.models)[0]
    protocol = evaluator.protocols[line.protocol or next(iter(evaluator.protocols))]
    options = ", ".join(f"{key}={value}" for key, value in line.options.items())
    cells = {"method": f"{line.method} ({options})" if options else line.method}
    for name, ones in sets.items():
        scores = [
            fit_scores(evaluator, one, model, protocol, seed, cache=False)[0]
            for seed, one in enumerate(ones)
        ]
        values = [score[evaluator.metric] for score in scores]
        cells[f"{name} %"] = spread(values, evaluator.digits)
    for name in SETS[:3]:
        plain = _plain_means(evaluator, sets[name])
        cells[f"{name}, plain %"] = spread(plain, evaluator.digits) if plain else ""
    taken = statistics.fmean(one.card.steps for one in sets["paper"])
    cells["steps"] = f"{sets['default'][0].card.steps:,}"
    cells["paper's steps"] = f"{taken:,.0f}" + (f" of {steps:,}" if steps else "")
    cells["seconds"] = f"{statistics.fmean(seconds):.1f}"
    return {name: cells[name] for name in COLUMNS}


def _plain_means(evaluator: PlainEvaluator, summaries: Sequence[Any]) -> list[float]:
    """Of each set the mean score of the plain trainings that can take it."""
    means = []
    for seed, summary in enumerate(summaries):
        scores = [evaluator.fit_plain(summary, name, seed) for name in evaluator.plain]
        known = [score for score in scores if score is not None]
        if known:
            means.append(statistics.fmean(known))
    return means
