"""`multidd bench graph`: measured numbers beside published ones."""

import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

import torch

import multidd
from multidd.graph.models import MODELS
from multidd.report import aligned, markdown
from multidd.storage import check_writable, write_text


@dataclass(frozen=True)
class Line:
    """One line of the table: a method on a graph, judged by one or more models.

    Attributes:
        data: name of the graph.
        nodes: synthetic nodes; None for whole data.
        method: name of the method.
        published: what its authors report, or who else did.
        options: settings other than the defaults.
        models: models whose mean is taken.
    """

    data: str
    nodes: int | None
    method: str
    published: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ("gcn",)

    @property
    def name(self) -> str:
        """What the table and `--only` call it."""
        told = ", ".join(f"{key}={value}" for key, value in self.options.items())
        models = (
            "" if self.models == ("gcn",) else f", mean of {len(self.models)} models"
        )
        size = "all" if self.nodes is None else self.nodes
        return f"{self.data} {size} {self.method}{f' ({told})' if told else ''}{models}"


START = {"steps": 0}

LINES = (
    Line("cora", None, "whole", "81.2 ± 0.2"),
    Line("cora", 70, "random", "72.8 ± 1.1"),
    Line("cora", 70, "herding", "73.4 ± 1.0"),
    Line("cora", 70, "kcenter", "73.2 ± 1.2"),
    Line("cora", 70, "kmeans"),
    Line("cora", 70, "gcond_x", options=START),
    Line("cora", 70, "gcond_x", "75.7 ± 0.9"),
    Line("cora", 70, "gcond", "80.1 ± 0.6"),
    Line("cora", 70, "gcond", options={"labels": "train"}),
    Line("cora", 70, "doscond", "80.4 ± 1.8"),
    Line("cora", 70, "gcdm"),
    Line("cora", 70, "dm_x"),
    Line("cora", 70, "condense", "81.7 ± 0.5 (SFGC), 81.8 ± 0.1 (CTRL)"),
    Line("cora", 35, "gcond_x", options=START),
    Line("cora", 35, "gcond_x", "75.9 ± 1.2"),
    Line("cora", 35, "gcond", "79.8 ± 1.3"),
    Line("cora", 35, "condense", "80.1 ± 0.4 (SFGC), 81.9 ± 0.1 (CTRL)"),
    Line("cora", 140, "gcond_x", options=START),
    Line("cora", 140, "gcond_x", "76.0 ± 0.9"),
    Line("cora", 140, "gcond", "79.3 ± 0.3"),
    Line("cora", 140, "condense", "81.6 ± 0.8 (SFGC), 81.8 ± 0.1 (CTRL)"),
    Line("citeseer", None, "whole", "71.7 ± 0.1"),
    Line("citeseer", 60, "random", "64.2 ± 1.7"),
    Line("citeseer", 60, "kmeans"),
    Line("citeseer", 60, "gcond_x", options=START),
    Line("citeseer", 60, "gcond_x"),
    Line("citeseer", 60, "gcond", "70.6 ± 0.9"),
    Line("citeseer", 60, "condense", "72.4 ± 0.5 (SFGC), 73.5 ± 0.1 (CTRL)"),
    Line("amazon-photo", None, "whole", "about 90 (users)"),
    Line("amazon-photo", 76, "random", "66 to 72 (users)"),
    Line("amazon-photo", 76, "kmeans"),
    Line("amazon-photo", 76, "gcond_x", options=START),
    Line("amazon-photo", 76, "gcond_x"),
    Line("amazon-photo", 76, "gcond", "24 (users, official code)"),
    Line("amazon-photo", 76, "condense"),
    Line("cora", None, "whole", models=MODELS),
    Line("cora", 70, "gcond_x", models=MODELS),
    Line("cora", 70, "gcond", "76.0 (35 nodes)", models=MODELS),
    Line("cora", 70, "condense", models=MODELS),
)

HEAD = [
    "line",
    "published",
    "test accuracy %",
    "worst seed",
    "runs",
    "seconds",
    "peak MB",
]


def main(
    only: str | None, seeds: int, trainings: int, out: pathlib.Path | None
) -> None:
    """Measure the lines whose name contains `only`, print them, and write `out`."""
    if out is not None:
        check_writable(out.parent)
    lines = [line for line in LINES if only is None or only in line.name]
    if not lines:
        names = "\n".join(line.name for line in LINES)
        raise ValueError(f"no line has {only!r} in its name; there are\n{names}")
    cells = [HEAD]
    for line in lines:
        cells.append(_measured(line, seeds, trainings))
        print("  ".join(cells[-1]), file=sys.stderr, flush=True)
        if out is not None:
            write_text(out, f"{markdown(cells)}\n\n{_machine()}\n")
    print(f"\n{aligned(cells)}\n\n{_machine()}")


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
    found = [
        float(subprocess.check_output([sys.executable, "-c", code]))
        for _ in range(runs)
    ]
    return statistics.median(found)


def _measured(line: Line, seeds: int, trainings: int) -> list[str]:
    """Mean and deviation over all trainings, and the worst condensation seed."""
    by_seed, costs = [], []
    for seed, made, cost in _made(line, seeds):
        data = multidd.graph.load(line.data, seed=seed)
        by_seed.append(_scores(line, made, data, trainings))
        costs.append(cost)
    found = [100 * value for values in by_seed for value in values]
    means = [100 * statistics.fmean(values) for values in by_seed]
    spread = statistics.stdev(found) if len(found) > 1 else 0.0
    seconds = [cost["seconds"] for cost in costs if cost]
    return [
        line.name,
        line.published,
        f"{statistics.fmean(found):.1f} ± {spread:.1f}",
        f"{min(means):.1f}",
        f"{len(by_seed)} x {trainings}",
        f"{statistics.median(seconds):.1f}" if seconds else "",
        f"{max(cost['peak'] for cost in costs):.0f}" if seconds else "",
    ]


def _scores(line: Line, made: Any, data: Any, trainings: int) -> list[float]:
    """For each training the mean over the line's models."""
    if made is None:  # whole data: the row beside any summary
        made = multidd.graph.random(data, per_class=1)
    rows = ["whole"] if line.method == "whole" else []
    report = multidd.evaluate(
        made, data, models=line.models, seeds=trainings, rows=rows, progress=False
    )
    name = line.method
    each = [report.row(model, name).values["accuracy"] for model in line.models]
    return [statistics.fmean(values) for values in zip(*each, strict=True)]


def _made(line: Line, seeds: int) -> Iterator[tuple[int, Any, dict[str, float]]]:
    """Summaries by seed, condensed in a fresh process that tells its peak memory."""
    if line.nodes is None:
        # Whole data differs by seed only where the split does.
        split = multidd.graph.load(line.data, seed=1).train_mask
        public = bool((multidd.graph.load(line.data, seed=0).train_mask == split).all())
        yield from ((seed, None, {}) for seed in range(1 if public else seeds))
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh,
    ):
        for seed in range(seeds):
            path = f"{folder}/{seed}.safetensors"
            cost = fresh.submit(_condense, line, seed, path).result()
            yield seed, multidd.load(path), cost


def _condense(line: Line, seed: int, path: str) -> dict[str, float]:
    import sklearn.cluster  # noqa: F401  (loading it is not condensing)
    import sklearn.linear_model  # noqa: F401

    data = multidd.graph.load(line.data, seed=seed)
    method: Any = multidd.graph.METHODS[line.method]
    started = time.perf_counter()
    made = method(data, nodes=line.nodes, seed=seed, **line.options)
    seconds = time.perf_counter() - started
    made.save(path)
    return {"seconds": seconds, "peak": _peak_megabytes()}


def _peak_megabytes() -> float:
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def _machine() -> str:
    return (
        f"Seconds and peak memory are of condensing alone. {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} torch threads, {platform.machine()}, Python "
        f"{platform.python_version()}, torch {torch.__version__}. "
        f"`import multidd`: {1000 * import_seconds():.0f} ms."
    )
