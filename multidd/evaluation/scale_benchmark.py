"""What more workers gain: `multidd bench scale`.

A line is one piece of work done in several ways, such as by one process and by two.
Each way gives back what it computed, so the table says whether results are the same.
"""

import hashlib
import json
import os
import pathlib
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from multidd import modality
from multidd.engine.progress import announce
from multidd.evaluation import ranks_benchmark
from multidd.evaluation.lines import PublishedLines, with_name
from multidd.evaluation.results import CoreShare, MeasuredLine, Results
from multidd.evaluation.table import markdown
from multidd.storage.files import check_writable, write_text

__all__ = [
    "COLUMNS",
    "LINES",
    "NumbersLine",
    "ScaleLine",
    "cpu_seconds",
    "measure",
    "page",
]

NAME = "scale"
"""Of the file of results."""

COLUMNS = ("line", "way", "wall s", "CPU s", "gain", "result")
"""Of the table; `gain` is the wall time of the first way over that of this one, and
`result` eight digits of what came out, or what a line measured by itself."""


_READING = """\
Gain is the wall time of the first way of a line over that of this one; on a busy
machine it says what the others left, not what workers are worth. CPU seconds are those
of all processes of the way. Equal digits under result are equal results."""


@dataclass(frozen=True)
class ScaleLine:
    """One piece of work, done in several ways.

    Attributes:
        name: of the line.
        ways: a context that prepares the work; gives name -> what does it. What it
            returns must be JSON, and the same in all ways where they are to agree.

    Example:
        >>> from contextlib import contextmanager
        >>> @contextmanager
        ... def ways():
        ...     yield {"by sum": lambda: sum([1, 2]), "by hand": lambda: 3}
        >>> [row["result"] for row in ScaleLine("three", ways).rows()]
        ['4e074085', '4e074085']
    """

    name: str
    ways: Callable[[], Any]

    def rows(self) -> Iterator[dict[str, str]]:
        """Measure each way."""
        first = None
        with self.ways() as ways:
            for way, work in ways.items():
                cpu, started = cpu_seconds(), time.perf_counter()
                result = work()
                wall = time.perf_counter() - started
                first = wall if first is None else first
                text = json.dumps(result, sort_keys=True)
                yield {
                    "line": self.name,
                    "way": way,
                    "wall s": f"{wall:.1f}",
                    "CPU s": f"{cpu_seconds() - cpu:.1f}",
                    "gain": f"{first / wall:.2f} x",
                    "result": hashlib.sha256(text.encode()).hexdigest()[:8],
                }


@dataclass(frozen=True)
class NumbersLine:
    """One piece of work that measures itself.

    Attributes:
        name: of the line.
        numbers: does it, and gives what it measured by name.

    Example:
        >>> [row] = NumbersLine("a sketch", lambda: {"events": 20_000}).rows()
        >>> row["result"]
        'events 20,000'
    """

    name: str
    numbers: Callable[[], Mapping[str, Any]]

    def rows(self) -> Iterator[dict[str, str]]:
        """Measure it: a single row."""
        cpu, started = cpu_seconds(), time.perf_counter()
        numbers = self.numbers()
        wall = time.perf_counter() - started
        yield {
            "line": self.name,
            "way": "",
            "wall s": f"{wall:.1f}",
            "CPU s": f"{cpu_seconds() - cpu:.1f}",
            "gain": "",
            "result": ", ".join(f"{name} {_plain(n)}" for name, n in numbers.items()),
        }


def _plain(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def cpu_seconds() -> float:
    """Of this process, of its children that live, and of those that have ended.

    Example:
        >>> cpu_seconds() > 0
        True
    """
    import psutil

    total = sum(os.times()[:4])
    for child in psutil.Process().children(recursive=True):
        try:
            total += sum(child.cpu_times()[:2])
        except psutil.Error:  # it has ended meanwhile
            continue
    return total


def _of_ranks(measure: Callable[[], ranks_benchmark.RankLine]) -> dict[str, str]:
    return measure().cells()


LINES = (
    *(
        NumbersLine(name, partial(_of_ranks, line))
        for name, line in ranks_benchmark.LINES.items()
    ),
)
"""Every line of the core; those of a modality are the `SCALE` of its lines."""


def _lines() -> list[Any]:
    """Those of the core, and of each modality."""
    published = [modality.parts(name).published for name in modality.names()]
    of_modalities = [PublishedLines.of(one).scale for one in published]
    return [*LINES, *(line for lines in of_modalities for line in lines)]


def measure(
    *, only: str | None = None, out: pathlib.Path | None = None
) -> list[dict[str, str]]:
    """Measure the lines whose name contains `only`, and write the table to `out`.

    Args:
        only: part of the names; None measures all.
        out: a JSON file, in which lines take the place of older ones, written after
            each line, with a Markdown file of the table beside it.

    Returns:
        The rows measured now.

    Raises:
        ValueError: no line has such a name; says which there are.
    """
    chosen = with_name([(line.name, line) for line in _lines()], only)
    results = Results(NAME)
    if out is not None:
        check_writable(out.parent)
        results = Results.read(out, NAME)
    measured = []
    for line in chosen:
        share = CoreShare()
        rows = []
        for row in line.rows():
            rows.append(row)
            announce("  ".join(row.values()), shown=True, event="line", line=line.name)
        command = f"multidd bench scale --only {shlex.quote(line.name)}"
        for row in rows:
            name = f"{row['line']}: {row['way']}"
            results = results.with_line(name, MeasuredLine.now(row, command, share))
        measured += rows
        if out is not None:
            results.write(out)
            write_text(out.with_suffix(".md"), f"# Scale\n\n{page(out)}")
    return measured


def page(path: str | os.PathLike[str]) -> str:
    """The measured lines of a file as Markdown, and the machines.

    Args:
        path: a file that `multidd bench scale --out` wrote.
    """
    results = Results.read(path, NAME)
    machines = dict.fromkeys(line.machine for line in results.lines.values())
    return "\n\n".join([markdown(results.table(COLUMNS)), _READING, *machines]) + "\n"
