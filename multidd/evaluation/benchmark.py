"""Measured numbers beside published ones: what every `multidd bench` shares.

A modality's entry gives its lines (`published.LINES`), and `load_for_evaluation`, which
hands a data set to its methods and to `multidd.evaluate`.
"""

import hashlib
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, fields
from multiprocessing import get_context
from typing import Any, Self

import torch

from multidd import modality
from multidd.engine.progress import announce
from multidd.engine.recipe import call
from multidd.errors import warn_once
from multidd.evaluation.benchmark_table import Measured, head
from multidd.evaluation.evaluate import evaluate
from multidd.evaluation.report import spread
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
    "peak_megabytes",
]


@dataclass(frozen=True)
class Line:
    """One line of a table: a method on a data set, judged by one or more models.

    Attributes:
        data: name of the data set.
        budget: the method's budget, such as `{"ipc": 10}`; empty for whole data.
        method: name of the method.
        published: what its authors report, or who else did.
        options: settings other than the defaults.
        models: models whose mean is taken; the modality's first one unless given.
        protocol: that they are trained by; the modality's first one unless given.
        stage: what is done with the set before it is judged, by its name in the
            modality's `STAGES`, such as `"words"` for texts.
        note: what else the name says.
    """

    data: str
    budget: Mapping[str, int]
    method: str
    published: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    protocol: str | None = None
    stage: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        """What the table and `--only` call it."""
        options = ", ".join(f"{key}={value}" for key, value in self.options.items())
        size = " ".join(str(value) for value in self.budget.values()) or "all"
        models = f", {self.models[0]}" if len(self.models) == 1 else ""
        if len(self.models) > 1:
            models = f", mean of {len(self.models)} models"
        named = f"{self.data} {size} {self.method}{f' ({options})' if options else ''}"
        more = "".join(f", {part}" for part in (self.stage, self.note) if part)
        return f"{named}{models}{more}"


@dataclass(frozen=True)
class PublishedLines:
    """The lines of a modality, and how they are measured.

    Attributes:
        lines: in the order of the table.
        smallest: budget of the summary beside which whole data are judged.
        same_split: whether a data set has one split for all seeds, by its name.
        beside: rows of an evaluation that are lines too, such as other methods' models.
        methods: further methods by name, of sets that others published.
        stages: what is done with a set before it is judged, by name: it gets the
            summary and the name of the data.
        timed: tell what training on whole data costs.
        sized: tell the bytes of each set.
        carded: take the seconds of the card, not those of the call.
    """

    lines: Sequence[Line]
    smallest: Mapping[str, int] = field(default_factory=dict)
    same_split: Callable[[str], bool] = lambda data: False
    beside: Sequence[str] = ()
    methods: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    stages: Mapping[str, Callable[[Any, str], Any]] = field(default_factory=dict)
    timed: bool = False
    sized: bool = False
    carded: bool = False

    @classmethod
    def of(cls, source: Any) -> Self:
        """What a module or object has under these names in capitals, else the default.

        Args:
            source: has `LINES`, and a function `same_split`.

        Example:
            >>> from multidd.images.evaluation import published
            >>> PublishedLines.of(published).sized
            True
        """
        names = {f.name: f.name.upper() for f in fields(cls)}
        names["same_split"] = "same_split"
        present = {name: key for name, key in names.items() if hasattr(source, key)}
        return cls(**{name: getattr(source, key) for name, key in present.items()})


def peak_megabytes() -> float:
    """The most memory that this process has held.

    Example:
        >>> peak_megabytes() > 1
        True
    """
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


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


def machine() -> str:
    """Cores, threads and versions.

    Example:
        >>> "cores" in machine()
        True
    """
    return (
        f"{os.cpu_count()} cores, {torch.get_num_threads()} torch threads, "
        f"{platform.machine()}, Python {platform.python_version()}, torch "
        f"{torch.__version__}."
    )


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
) -> Measured:
    """Measure the lines whose name contains `only`, and write the table to `out`.

    Where sets are judged by several models, a second table has these side by side.

    Args:
        kind: the modality.
        only: part of the names; None measures all.
        seeds: distillation seeds of each line.
        trainings: of each distilled set.
        out: a Markdown file, written again after each line.

    Returns:
        The table.

    Raises:
        ValueError: no line has such a name; says which there are.
    """
    if out is not None:
        check_writable(out.parent)
    every = _table(kind).lines
    lines = [line for line in every if only is None or only in line.name]
    if not lines:
        names = "\n".join(line.name for line in every)
        raise ValueError(f"no line has {only!r} in its name; there are\n{names}")
    cells = [head(_metrics(kind), _table(kind).sized)]
    measured = Measured(lines, cells, described())
    with tempfile.TemporaryDirectory() as folder:
        for line in lines:
            cells.append(_measured(kind, line, seeds, trainings, folder))
            announce("  ".join(cells[-1]), shown=True, event="line", line=line.name)
            if out is not None:
                write_text(out, measured.to_markdown())
    return measured


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
