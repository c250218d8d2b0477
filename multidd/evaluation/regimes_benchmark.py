"""Label regimes of many methods beside each other: `multidd bench regimes`.

A modality lists its `REGIMES` in its `published` numbers: lines of its shipped sample
at small budgets. Each line is made several times in a fresh process, which tells its
peak memory, and judged by `multidd.evaluate` under hard labels, soft labels and a
teacher, beside random records and the selections of its size.
"""

import os
import pathlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from multidd import modality
from multidd.engine.recipe import call
from multidd.evaluation.benchmark import peak_megabytes
from multidd.evaluation.line_measuring import measure_lines, recorded_lines
from multidd.evaluation.lines import Line
from multidd.evaluation.regime_plan import RegimePlan
from multidd.evaluation.regimes import LABEL_REGIMES, RegimeReport
from multidd.evaluation.results import (
    Results,
    tables_by_data,
)
from multidd.evaluation.table import aligned, markdown, spread
from multidd.evaluation.whole_data import whole_scores

__all__ = ["COLUMNS", "main", "not_above_random", "page"]

COLUMNS = (
    "method",
    *(f"{name} %" for name in LABEL_REGIMES),
    "own labels %",
    "labels",
    "IOR",
    "p",
    "HLR",
    "LRS",
    "best row",
    "KiB",
    "seconds",
    "peak MB",
)
"""Of the table; scores are per cent, IOR and HLR fractions."""

ROWS = ("random", "herding", "kcenter", "kmeans")
"""What stands beside each line, where a modality has it."""

RESULTS = "regimes"
"""Names the file's modality: it holds lines of all."""


def lines() -> Iterator[tuple[str, Line]]:
    """The lines of every modality that lists some, with its name.

    Example:
        >>> sorted({kind for kind, line in lines()})
        ['graph', 'images', 'recsys', 'text']
    """
    for entry, parts in modality.with_parts():
        for line in getattr(parts.published, "REGIMES", ()):
            yield entry.name, line


def main(
    *,
    only: str | None = None,
    seeds: int = 3,
    trainings: int = 1,
    out: pathlib.Path | None = None,
) -> list[dict[str, str]]:
    """Measure the lines whose name contains `only`, print them, write them.

    Args:
        only: part of the names, such as `"graph"` or `"images sample:fashion 1 dm"`;
            None measures all.
        seeds: makings of each line.
        trainings: of each set. Rows beside are drawn as often as the larger of both,
            and trained with their own seed.
        out: a JSON file, in which lines take the place of older ones, written after
            each line; the docs make their tables of it.

    Returns:
        The lines measured now, by column.

    Raises:
        ValueError: no line has such a name; says which there are.
    """
    measured, results = measure_lines(
        RESULTS, lines(), _measured, {"seeds": seeds, "trainings": trainings}, only, out
    )
    print(
        "\n" + tables_by_data(results, COLUMNS, lambda cells: aligned(cells, None, ()))
    )
    return measured


def page(path: str | os.PathLike[str]) -> str:
    """The measured lines of a file as Markdown, a table for each data set.

    Args:
        path: a file that `multidd bench regimes --out` wrote.

    Raises:
        ValueError: a line that the command does not have.
    """
    return tables_by_data(recorded_lines(RESULTS, lines(), path), COLUMNS, markdown)


def not_above_random(path: str | os.PathLike[str]) -> str:
    """Methods that gain nothing over random records with the same labels, as a list.

    Args:
        path: a file that `multidd bench regimes --out` wrote.

    Returns:
        Markdown: of each such method what to use instead, the best row of its size
        under the same labels, and where a gain is not shown.
    """
    results = Results.read(path, RESULTS)
    none: list[str] = []
    unsure: list[str] = []
    for name, line in results.lines.items():
        verdict = _verdict(name, line.cells)
        if verdict is not None:
            (none if float(line.cells["IOR"]) <= 0 else unsure).append(verdict)
    parts = [
        "Not above random records with the same labels:",
        "\n".join(none) or "- none of those measured.",
        "Above them in the mean, which the number of makings does not yet show "
        "(p of 0.05 or more):",
        "\n".join(unsure) or "- none of those measured.",
    ]
    return "\n\n".join(parts) + "\n"


def _verdict(name: str, cells: Mapping[str, str]) -> str | None:
    """A line of the list; None for a method that is above random records."""
    if not cells["IOR"]:
        return None
    ior, p_value = float(cells["IOR"]), cells["p"]
    if ior > 0 and p_value and float(p_value) < 0.05:
        return None
    best = cells["best row"]
    instead = f"instead: {best}" if best else "nothing of its size is better"
    chance = f", p = {p_value}" if p_value else ""
    chance = chance.replace("= 0.000", "< 0.001")
    return f"- `{name}`: IOR {ior:+.3f} ({cells['labels']}{chance}); {instead}."


def _measured(kind: str, line: Line, seeds: int, trainings: int) -> dict[str, str]:
    """The cells of a line, in a process of its own."""
    parts = modality.parts(kind)
    train, exam = parts.load_for_evaluation(line.data, seed=0)
    method = parts.methods[line.method]
    summaries = [
        call(method, train, **line.budget, seed=seed, **line.options)
        for seed in range(seeds)
    ]
    peak = peak_megabytes()
    evaluator = parts.evaluators[kind](**exam)
    evaluator.check(summaries[0])
    names = list(evaluator.protocols)
    protocol = evaluator.protocols[line.protocol or names[0]]
    numbers = list(range(trainings))

    @cache
    def baseline(name: str, seed: int) -> Any:
        return evaluator.row(name, summaries[0], seed)

    plan = RegimePlan(
        evaluator,
        summaries,
        line.models or evaluator.models[:1],
        [name for name in ROWS if name in evaluator.rows],
        baseline,
        lambda model: whole_scores(evaluator, model, protocol, numbers[:1]),
        protocol,
        numbers,
        tuple(LABEL_REGIMES),
        draws=range(max(seeds, trainings)),
    )
    report = plan.report(lambda **training: None)
    seconds = statistics.fmean(one.card.seconds for one in summaries)
    costs = {
        "KiB": f"{summaries[0].num_bytes / 1024:,.0f}",
        "seconds": f"{seconds:.1f}",
        "peak MB": f"{peak:.0f}",
    }
    return {**_cells(line.method, report, evaluator.digits), **costs}


def _cells(method: str, report: RegimeReport, digits: int) -> dict[str, str]:
    """What the regimes say, by column."""
    rows, scores = report.rows, report.scores[0]
    of_method = {row.regime: row for row in rows if row.row == method}
    stored = [row for row in rows if row.row.endswith(", own labels")]
    beside = [
        row
        for row in rows
        if row.regime == scores.labels
        and row.values
        and row.row != method
        and row not in stored
    ]
    best = max(beside, key=lambda row: row.mean, default=None)
    ours = of_method[scores.labels].mean if scores.labels else 0.0
    better = best is not None and best.mean >= ours

    def text(values: Sequence[float]) -> str:
        return spread(values, digits) if values else "cannot"

    def fraction(value: float | None, sign: str = "") -> str:
        return "" if value is None else f"{value:{sign}.3f}"

    named = ""
    if best is not None and better:
        named = (
            f"{best.row} {100 * best.mean:.{digits}f} against {100 * ours:.{digits}f}"
        )
    values = (
        method,
        *(text(of_method[name].values) for name in LABEL_REGIMES),
        text(stored[0].values) if stored else "",
        scores.labels,
        fraction(scores.ior, "+"),
        fraction(scores.p_value),
        fraction(scores.hlr),
        fraction(scores.lrs),
        named,
    )
    return dict(zip(COLUMNS, values, strict=False))
