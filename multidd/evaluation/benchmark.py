"""Measured numbers beside published ones: what every `multidd bench` shares.

A modality's entry gives its lines (`published.LINES`), and `load_for_evaluation`, which
hands a data set to its methods and to `multidd.evaluate`.
"""

import hashlib
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import current_process, get_context
from typing import Any

from multidd import modality
from multidd.engine.progress import announce
from multidd.engine.recipe import call
from multidd.errors import MultiddError, warn_once
from multidd.evaluation.benchmark_table import Measured, above_whole, head, matrix
from multidd.evaluation.evaluate import evaluate
from multidd.evaluation.lines import Line, PublishedLines, with_name
from multidd.evaluation.results import (
    CoreShare,
    MeasuredLine,
    Results,
    commit,
    machine,
    today,
)
from multidd.evaluation.table import markdown, spread
from multidd.parallel.jobs import mapped
from multidd.sketches.costs import peak_megabytes
from multidd.storage.files import check_writable, write_text
from multidd.storage.limits import load_json
from multidd.summary import load

__all__ = [
    "Line",
    "PublishedLines",
    "described",
    "import_seconds",
    "machine",
    "measure",
    "page",
    "peak_megabytes",
]


def import_seconds(runs: int = 5) -> float:
    """Median seconds that `import multidd` adds to starting Python.

    Example:
        >>> import_seconds(runs=1) < 5
        True
    """
    code = (
        "import time; t = time.perf_counter(); import multidd; "
        "print(time.perf_counter() - t)"
    )
    seconds = [
        float(subprocess.check_output([sys.executable, "-c", code]))
        for _ in range(runs)
    ]
    return statistics.median(seconds)


def described() -> str:
    """The machine and what runs on it, for the foot of a table.

    Example:
        >>> described().split(".")[0]
        'Seconds and peak memory are of distilling alone'
    """
    return (
        f"Seconds and peak memory are of distilling alone. {machine()} "
        f"`import multidd`: {1000 * import_seconds():.0f} ms."
    )


ENDS = (".safetensors", ".json")


def measure(
    kind: str,
    *,
    only: str | None,
    seeds: int,
    trainings: int,
    out: pathlib.Path | None,
    executor: Executor | None = None,
) -> Measured:
    """Measure the lines whose name contains `only`, and write the table to `out`.

    Where sets are judged by several models, a second table has these side by side.

    Args:
        kind: the modality.
        only: part of the names; None measures all.
        seeds: distillation seeds of each line.
        trainings: of each distilled set.
        out: written again after each line: a Markdown file of the lines measured now,
            or a `.json` file, in which they take the place of older ones.
        executor: any `concurrent.futures.Executor` whose workers may start processes of
            their own: each line is a job. Seconds are then those beside the others.

    Returns:
        The table.

    Raises:
        ValueError: no line has such a name; says which there are.
    """
    lines = with_name([(line.name, line) for line in _table(kind).lines], only)
    as_json = out is not None and out.suffix == ".json"
    if out is not None:
        check_writable(out.parent)
        if as_json:
            Results.read(out, kind)  # refused before hours of work
    columns = head(_metrics(kind), _table(kind).sized)
    rows: dict[int, list[str]] = {}

    def table() -> Measured:
        """Of the lines that were measured so far."""
        each = [lines[number] for number in sorted(rows)]
        cells = [columns, *(rows[number] for number in sorted(rows))]
        return Measured(each, cells, foot)

    def note(number: int, facts: Mapping[str, Any]) -> None:
        line, rows[number] = lines[number], facts["cells"]
        announce("  ".join(rows[number]), shown=True, event="line", line=line.name)
        if out is not None and as_json:
            recorded = MeasuredLine(
                dict(zip(columns, rows[number], strict=True)),
                _command(kind, line, seeds, trainings),
                commit(),
                today(),
                facts["machine"],
                facts["busy"],
            )
            Results.read(out, kind).with_line(line.name, recorded).write(out)
        elif out is not None:
            write_text(out, table().to_markdown())

    foot = described()
    with tempfile.TemporaryDirectory() as folder:
        # Summaries that several lines share lie there; workers would write at once.
        shared = _Runs(kind, seeds, trainings, folder if executor is None else None)
        names = [line.name for line in lines]
        mapped(_line, lines, executor, names=names, shared=shared, on_result=note)
    return table()


@dataclass(frozen=True)
class _Runs:
    """What all lines share."""

    kind: str
    seeds: int
    trainings: int
    folder: str | None


def _line(runs: _Runs, line: Line) -> dict[str, Any]:
    """Measure a line; also in another process."""
    if current_process().daemon:
        raise MultiddError(
            "a line is measured in fresh processes, and this worker may start none: "
            "give multidd.parallel.workers, or to Dask's the setting "
            "distributed.worker.daemon=False"
        )
    share = CoreShare()
    with tempfile.TemporaryDirectory() as fresh:
        folder = fresh if runs.folder is None else runs.folder
        cells = _measured(runs.kind, line, runs.seeds, runs.trainings, folder)
    return {"cells": cells, "busy": share.of_others(), "machine": machine()}


def _command(kind: str, line: Line, seeds: int, trainings: int) -> str:
    """What measures the line again, and maybe others whose names hold its name."""
    usual = modality.entry(kind).bench
    numbers = {"seeds": (seeds, usual and usual.runs)}
    numbers["trainings"] = (trainings, usual and usual.trainings)
    more = [f"--{key} {n}" for key, (n, default) in numbers.items() if n != default]
    return " ".join([f"multidd bench {kind} --only {shlex.quote(line.name)}", *more])


def page(kind: str, path: str | os.PathLike[str]) -> str:
    """The measured lines of a file as Markdown, in the order of the command's table.

    Each line says its commit and day, and whether other processes had taken cores;
    below stand what is above whole data, and the machines.

    Args:
        kind: the modality.
        path: a `.json` file that `multidd bench --out` wrote.

    Raises:
        ValueError: a line that the command does not have.
    """
    results, every = Results.read(path, kind), _table(kind).lines
    known = {line.name: line for line in every}
    others = [name for name in results.lines if name not in known]
    if others:
        raise ValueError(
            f"{path} has {others[0]!r}, which `multidd bench {kind}` does not have; "
            "take it out of the file, or name it as the command does"
        )
    results = results.ordered(list(known))
    lines = [known[name] for name in results.lines]
    cells = results.table(head(_metrics(kind), _table(kind).sized))
    used = [
        i for i, name in enumerate(cells[0]) if i < 3 or any(r[i] for r in cells[1:])
    ]
    main_table = [[row[i] for i in used] for row in cells]
    side = matrix(lines, [row[:-1] for row in cells])
    tables = [markdown(table) for table in (main_table, side) if table]
    machines = dict.fromkeys(line.machine for line in results.lines.values())
    return "\n\n".join([*tables, *above_whole(lines, cells), *machines]) + "\n"


def _metrics(kind: str) -> tuple[str, ...]:
    evaluator = modality.parts(kind).evaluators[kind]
    return (evaluator.metric, *evaluator.extra_metrics)


def _measured(
    kind: str, line: Line, seeds: int, trainings: int, folder: str
) -> list[str]:
    """Mean and deviation over all trainings, and the worst distillation seed."""
    metrics = _metrics(kind)
    digits = modality.parts(kind).evaluators[kind].digits
    by_seed, costs, sizes, form = [], [], [], ""
    for seed, summary, cost in _summaries(kind, line, seeds, folder):
        scores, row_cost = _scores(kind, line, summary, seed, trainings)
        by_seed.append(scores)
        sizes.append(row_cost.pop("bytes", None))
        form = row_cost.pop("form")
        costs.append(cost or row_cost)
    worst = min(
        100 * statistics.fmean(seed_scores[metrics[0]]) for seed_scores in by_seed
    )
    pooled = [
        [v for seed_scores in by_seed for v in seed_scores[metric]]
        for metric in metrics
    ]
    costs = [cost for cost in costs if cost]
    steps = max((cost["steps"] for cost in costs), default=0)
    middle = statistics.median(cost["seconds"] for cost in costs) if costs else 0.0
    return [
        f"{line.name}, {form}" if form else line.name,
        line.published,
        *(spread(values, digits) for values in pooled),
        f"{worst:.{digits}f}",
        f"{len(by_seed)} x {trainings}",
        *([_kibibytes(sizes)] if _table(kind).sized else []),
        f"{middle:.1f}" if costs else "",
        f"{middle / steps:.3g}" if steps else "",
        f"{max(cost['peak'] for cost in costs):.0f}" if costs else "",
    ]


def _scores(
    kind: str, line: Line, summary: Any, seed: int, trainings: int
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Of each metric, for each training the mean over the line's models; the bytes of
    the row; and what whole data costs, where the modality's table tells that, in a
    fresh process."""
    if summary is None and _table(kind).timed:
        with _process() as fresh:
            return fresh.submit(_judged, kind, line, summary, seed, trainings).result()
    scores, row_cost = _judged(kind, line, summary, seed, trainings)
    return scores, {key: row_cost[key] for key in ("bytes", "form")}


def _judged(
    kind: str, line: Line, summary: Any, seed: int, trainings: int
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    parts = modality.parts(kind)
    train, exam = parts.load_for_evaluation(line.data, seed=seed)
    if summary is None:  # whole data: the row beside any summary
        summary = call(parts.methods["random"], train, **_table(kind).smallest)
    beside = _beside(kind, line)
    numbers: Any = trainings
    if beside and line.budget:  # drawn by the number of the training
        numbers = [seed * trainings + i for i in range(trainings)]
    report = evaluate(
        summary,
        models=line.models or None,
        protocol=line.protocol,
        seeds=numbers,
        rows=beside,
        regimes=(),
        cache=not _table(kind).timed,
        progress=False,
        **exam,
    )
    models = line.models or (report.rows[-1].model,)
    scores = {
        metric: [
            statistics.fmean(values)
            for values in zip(
                *(report.row(model, line.method).values[metric] for model in models),
                strict=True,
            )
        ]
        for metric in _metrics(kind)
    }
    rows = [report.row(model, line.method) for model in models]
    row_cost = {
        "seconds": sum(row.training_seconds for row in rows),
        "steps": 0,
        "peak": peak_megabytes(),
        "bytes": rows[0].num_bytes,
        "form": rows[0].form,
    }
    return scores, row_cost


def _kibibytes(sizes: Sequence[int | None]) -> str:
    """The mean size; nothing where a row has none."""
    known = [size for size in sizes if size is not None]
    return f"{statistics.fmean(known) / 1024:,.0f}" if known else ""


def _table(kind: str) -> PublishedLines:
    return PublishedLines.of(modality.parts(kind).published)


def _beside(kind: str, line: Line) -> list[str]:
    """The line's method, where it is a row beside a summary and makes none itself."""
    rows = ("whole", *_table(kind).beside)
    return [line.method] if line.method in rows else []


def _summaries(
    kind: str, line: Line, seeds: int, folder: str
) -> Iterator[tuple[int, Any, dict[str, float]]]:
    """Summaries by seed, distilled in a fresh process that tells its peak memory; those
    that lie in the folder from an earlier line are taken from there."""
    if not line.budget:
        fixed = _table(kind).same_split(line.data)
        yield from ((seed, None, {}) for seed in range(1 if fixed else seeds))
        return
    key = repr((kind, line.data, line.budget, line.method, line.options))
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    with _process() as fresh:
        for seed in range(seeds):
            path, note = (pathlib.Path(folder) / f"{name}.{seed}{end}" for end in ENDS)
            if not note.is_file():
                cost = fresh.submit(_distill, kind, line, seed, str(path)).result()
                note.write_text(json.dumps(cost))
            yield seed, _staged(kind, line, load(path)), load_json(note)


def _process() -> ProcessPoolExecutor:
    """A fresh one, which says the same thing of many seeds once."""
    return ProcessPoolExecutor(1, get_context("spawn"), warn_once)


def _staged(kind: str, line: Line, summary: Any) -> Any:
    """The set as the line judges it."""
    return (
        _table(kind).stages[line.stage](summary, line.data) if line.stage else summary
    )


def _distill(kind: str, line: Line, seed: int, path: str) -> dict[str, float]:
    import sklearn.cluster  # noqa: F401  (loading it is not distilling)
    import sklearn.linear_model  # noqa: F401

    parts = modality.parts(kind)
    train, _ = parts.load_for_evaluation(line.data, seed=seed)
    started = time.perf_counter()
    method = "random" if _beside(kind, line) else line.method
    methods = {**parts.methods, **_table(kind).methods}
    summary = call(methods[method], train, **line.budget, seed=seed, **line.options)
    spent, steps = time.perf_counter() - started, summary.card.steps
    seconds = summary.card.seconds if _table(kind).carded else spent
    summary.save(path)
    return {"seconds": seconds, "steps": steps, "peak": peak_megabytes()}
