"""Seconds of a step on one GPU beside the CPU's: `multidd bench gpu`.

Runs are cut short by time, so that all lines together end in the minutes given; what a
run prepares, such as its experts, is not counted.
"""

import os
import pathlib
import shlex
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from multidd import modality
from multidd.arguments import check_device
from multidd.engine.options import RunOptions
from multidd.engine.progress import announce
from multidd.evaluation.lines import PublishedLines, with_name
from multidd.evaluation.results import CoreShare, MeasuredLine, Results
from multidd.evaluation.table import markdown
from multidd.learning.precision import Precision
from multidd.storage.files import check_writable, write_text

__all__ = ["COLUMNS", "Clock", "GpuLine", "measure", "page", "seconds_a_step"]

NAME = "gpu"
"""Of the file of results."""

COLUMNS = ("line", "device", "precision", "s a step", "CPU s a step", "gain", "MiB")
"""Of the table; `MiB` is the most memory of the device that the run took."""

MAX_STEPS, SMALL_STEPS = 100, 4
"""Steps of a run at most; of a small one."""

WARM_STEPS = 2
"""Steps at the start that are not counted, where there are more."""

SHARE = 0.7
"""Of the minutes, for steps; the rest prepares."""

_READING = """\
Seconds of a step are the median after two steps. Images are generated: their shape and
number are those of CIFAR-10, and what they show costs no time. The CPU computes in
float32, on the threads that the run takes. Gain is the CPU's seconds of a step over the
device's."""


class Clock:
    """A callback that notes when each step has ended on the device.

    Args:
        device: whose work is waited for.

    Example:
        >>> clock = Clock("cpu")
        >>> clock.on_start(None)
        >>> clock.on_step(None)
        >>> len(clock.seconds)
        1
    """

    def __init__(self, device: str) -> None:
        self.device, self.times = torch.device(device), list[float]()

    def on_start(self, run: Any) -> None:
        """The time before the first step."""
        self._note()

    def on_step(self, run: Any) -> None:
        """The time after a step."""
        self._note()

    def on_end(self, run: Any) -> None:
        """Nothing more."""

    @property
    def seconds(self) -> list[float]:
        """Of each step."""
        pairs = zip(self.times[:-1], self.times[1:], strict=True)
        return [after - before for before, after in pairs]

    def _note(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.times.append(time.perf_counter())


@dataclass(frozen=True)
class GpuLine:
    """A method whose steps are timed.

    Attributes:
        name: of the line.
        run: takes whether to be small, and `steps`, `device`, `progress` and `run` as
            methods do.
        precisions: in which it is measured on a GPU.
    """

    name: str
    run: Callable[..., Any]
    precisions: tuple[Precision, ...] = ("float32", "tf32", "bf16")


def seconds_a_step(
    line: GpuLine, device: str, precision: Precision, limit: float, small: bool = False
) -> float:
    """The median of a run's steps.

    Args:
        line: what is timed.
        device: where.
        precision: of its passes.
        limit: seconds after which it ends.
        small: on few small images.
    """
    clock = Clock(device)
    options = RunOptions(timeout=limit, callbacks=[clock], precision=precision)
    steps = SMALL_STEPS if small else MAX_STEPS
    line.run(small, steps=steps, device=device, progress=False, run=options)
    each = clock.seconds
    return statistics.median(each[min(WARM_STEPS, len(each) - 1) :])


def measure(
    *,
    device: str = "auto",
    minutes: float = 10.0,
    only: str | None = None,
    out: pathlib.Path | None = None,
) -> list[dict[str, str]]:
    """Time the lines whose name contains `only`, and write the table to `out`.

    Args:
        device: a GPU; on the CPU the lines are small, so that the command can be tried.
        minutes: for all lines together, nearly.
        only: part of the names; None measures all.
        out: a JSON file, in which lines take the place of older ones, written after
            each line, with a Markdown file of the table beside it.

    Returns:
        The rows measured now.

    Raises:
        ValueError: no GPU is here and none was named; no line has such a name.
    """
    place = check_device(device)
    if device == "auto" and place == "cpu":
        raise ValueError(
            "there is no GPU here to measure; give device='cpu' to try the lines on "
            "few small images"
        )
    if not minutes > 0:
        raise ValueError(f"minutes must be above 0, got {minutes}")
    published = [modality.parts(name).published for name in modality.names()]
    lines = [line for one in published for line in PublishedLines.of(one).gpu]
    chosen = with_name([(line.name, line) for line in lines], only)
    results = Results(NAME)
    if out is not None:
        check_writable(out.parent)
        results = Results.read(out, NAME)
    cells = sum(1 + len(line.precisions) for line in chosen)
    measured = []
    for line in chosen:
        share = CoreShare()
        command = f"multidd bench gpu --only {shlex.quote(line.name)}"
        for row in _rows(line, place, SHARE * 60 * minutes / cells):
            announce("  ".join(row.values()), shown=True, event="line", line=line.name)
            name = f"{row['line']}: {row['device']} {row['precision']}"
            results = results.with_line(name, MeasuredLine.now(row, command, share))
            measured.append(row)
        if out is not None:
            results.write(out)
            write_text(out.with_suffix(".md"), f"# One GPU\n\n{page(out)}")
    return measured


def _rows(line: GpuLine, device: str, limit: float) -> Iterator[dict[str, str]]:
    """A row for each precision, the CPU beside it."""
    small = device == "cpu"
    on_cpu = seconds_a_step(line, "cpu", "float32", limit, small)
    for precision in _taken(line.precisions, device):
        if torch.device(device).type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        seconds = seconds_a_step(line, device, precision, limit, small)
        yield {
            "line": line.name,
            "device": _name(device),
            "precision": precision,
            "s a step": f"{seconds:.4f}",
            "CPU s a step": f"{on_cpu:.4f}",
            "gain": f"{on_cpu / seconds:.1f} x",
            "MiB": _peak(device),
        }


def _taken(precisions: Sequence[Precision], device: str) -> list[Precision]:
    """Those that the device has."""
    return [one for one in precisions if one != "tf32" or device != "cpu"]


def _name(device: str) -> str:
    is_cuda = torch.device(device).type == "cuda"
    return torch.cuda.get_device_name(device) if is_cuda else f"{device}, small"


def _peak(device: str) -> str:
    if torch.device(device).type != "cuda":
        return ""
    return f"{torch.cuda.max_memory_allocated(device) / 2**20:,.0f}"


def page(path: str | os.PathLike[str]) -> str:
    """The measured lines of a file as Markdown, and the machines.

    Args:
        path: a file that `multidd bench gpu --out` wrote.
    """
    results = Results.read(path, NAME)
    machines = dict.fromkeys(line.machine for line in results.lines.values())
    return "\n\n".join([markdown(results.table(COLUMNS)), _READING, *machines]) + "\n"
