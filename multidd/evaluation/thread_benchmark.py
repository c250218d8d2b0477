"""Seconds of short runs by threads, alone and beside busy processes.

Each run is a process of its own, as torch reads how its threads wait when it is loaded.
"""

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from multidd.engine.progress import announce
from multidd.evaluation.results import machine
from multidd.evaluation.table import aligned, markdown, terminal_width
from multidd.numerics import usable_cores
from multidd.storage.files import check_writable, write_text

__all__ = ["RUNS", "WAYS", "Way", "as_text", "measure", "measured"]

BUSY_PROCESSES = 4

RUNS = {
    "graph gcond, 20 steps": (
        "multidd.graph.gcond(multidd.samples.cora(), nodes=70, steps=20, {run})"
    ),
    "images dm, 10 steps": (
        "multidd.images.dm(multidd.samples.fashion().train, ipc=1, steps=10, {run})"
    ),
    "recsys distill_cf, 10 steps": (
        "multidd.recsys.distill_cf(multidd.samples.movietweetings(), users=50, "
        "steps=10, {run})"
    ),
}
"""Name of a run -> the call, which `run` tells the number of threads."""

PROGRAM = """{before}
import json, sys, time
import multidd, torch
options = multidd.RunOptions(threads={threads})
started = time.perf_counter()
summary = {call}
seconds = time.perf_counter() - started
json.dump([seconds, summary.card.threads, summary.digest()[:8]], sys.stdout)
"""

LOOP = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
"""Computes until its parent ends, however that does."""


@dataclass(frozen=True)
class Way:
    """How the threads of a run are set.

    Attributes:
        threads: of the loop; 0 takes one for each core, None leaves the choice.
        torch_first: load torch before multidd, which tells it how threads wait.
    """

    threads: int | None
    torch_first: bool = False


WAYS = {
    "as by default": Way(None),
    "one thread": Way(1),
    "one for each core": Way(0),
    "one for each core, waiting as torch does": Way(0, torch_first=True),
}


def measured(call: str, way: Way) -> tuple[float, int, str]:
    """Seconds of a run in a fresh process, its threads, and eight digits of its bits.

    Args:
        call: of `RUNS`.
        way: how threads are set.
    """
    threads = usable_cores() if way.threads == 0 else way.threads
    program = PROGRAM.format(
        before="import torch" if way.torch_first else "",
        threads=threads,
        call=call.format(run="run=options, progress=False"),
    )
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMP_", "GOMP_"))
    }
    output = subprocess.check_output([sys.executable, "-c", program], env=environment)
    seconds, used, digest = json.loads(output)
    return float(seconds), int(used), str(digest)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that compute without end, inside the block."""
    processes = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(out: pathlib.Path | None = None) -> list[list[str]]:
    """Measure every run in every way, and write the table to `out`.

    Args:
        out: a Markdown file, written again after each run.

    Returns:
        The cells of the table, its head first.
    """
    if out is not None:
        check_writable(out.parent)
    beside = f"s beside {BUSY_PROCESSES} busy"
    cells = [["run", "threads", "used", "s alone", beside, "bits"]]
    for name, call in RUNS.items():
        for setting, way in WAYS.items():
            alone, used, digest = measured(call, way)
            with busy(BUSY_PROCESSES):
                loaded, _, again = measured(call, way)
            bits = digest if digest == again else f"{digest}, {again}"
            seconds = f"{alone:.1f}", f"{loaded:.1f}"
            cells.append([name, setting, str(used), *seconds, bits])
            announce("  ".join(cells[-1]), shown=True, event="line", line=name)
            if out is not None:
                write_text(out, f"{markdown(cells)}\n\n{machine()}\n")
    return cells


def as_text(cells: Sequence[Sequence[str]]) -> str:
    """The table as it is printed.

    Args:
        cells: of `measure`.
    """
    table = aligned(cells, terminal_width(), ("bits", "used"))
    return f"{table}\n\n{machine()}"
