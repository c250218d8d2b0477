"""Measured lines of a benchmark in a file, each with where it was measured.

A benchmark of hours is measured a few lines at a time, maybe on other days: a line that
is measured again takes the place of the one of the same name, all others stay.
"""

import datetime
import json
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import torch

from multidd._version import __version__
from multidd.storage.atomic import write_text
from multidd.storage.fields import Maybe, Number, Record, Text
from multidd.storage.limits import load_json
from multidd.storage.schema import refuse

__all__ = [
    "CoreShare",
    "MeasuredLine",
    "Results",
    "commit",
    "machine",
    "tables_by_data",
    "today",
]

BUSY = 0.1
"""Share of the cores that others may take before the seconds of a line say so."""

_LINE = Record(
    {
        "cells": Record(others=Text()),
        "command": Text(),
        "commit": Text(max_length=80),
        "day": Text(pattern=r"\d{4}-\d\d-\d\d"),
        "machine": Text(),
        "busy": Maybe(Number(0, 1)),
    }
)
_FILE = Record({"lines": Record(others=_LINE), "modality": Text()})


@dataclass(frozen=True)
class MeasuredLine:
    """One line of a table, and where it was measured.

    Attributes:
        cells: column -> text.
        command: that measures it again.
        commit: of the library, with "+" where it had changes of its own.
        day: when, as YYYY-MM-DD.
        machine: cores, threads and versions.
        busy: share of the cores that other processes took meanwhile; None where nobody
            looked.
    """

    cells: Mapping[str, str]
    command: str
    commit: str
    day: str
    machine: str
    busy: float | None = None

    @classmethod
    def now(cls, cells: Mapping[str, str], command: str, share: "CoreShare") -> Self:
        """A line that was measured just now, on this machine.

        Args:
            cells: column -> text.
            command: that measures it again.
            share: from the start of the measuring on.
        """
        where = commit(), today(), machine(), share.of_others()
        return cls(cells, command, *where)

    @property
    def where(self) -> str:
        """Commit and day, and whether the seconds were a busy machine's."""
        busy = "" if self.busy is None or self.busy <= BUSY else ", busy machine"
        return f"{self.commit}, {self.day}{busy}"


@dataclass(frozen=True)
class Results:
    """Lines by name.

    Attributes:
        modality: name of it.
        lines: name -> what was measured.

    Example:
        >>> cells, command = {"line": "a 1"}, "multidd bench x"
        >>> line = MeasuredLine(cells, command, "c0", "2026-01-01", "2 cores")
        >>> Results("x").with_line("a 1", line).table(["line"])
        [['line', 'measured'], ['a 1', 'c0, 2026-01-01']]
    """

    modality: str
    lines: Mapping[str, MeasuredLine] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | os.PathLike[str], modality: str) -> Self:
        """The lines of a file; none where there is no such file.

        Raises:
            SchemaError: the file holds something else, or lines of another modality.
        """
        if not pathlib.Path(path).exists():
            return cls(modality)
        record = load_json(path)
        refuse(path, _FILE.fault(record, ""))
        if record["modality"] != modality:
            raise ValueError(
                f"{path} holds lines of {record['modality']!r}, not of {modality!r}; "
                "name another file"
            )
        lines = {name: MeasuredLine(**line) for name, line in record["lines"].items()}
        return cls(modality, lines)

    def with_line(self, name: str, line: MeasuredLine) -> Self:
        """The same with this line, which takes the place of an older one."""
        return type(self)(self.modality, {**self.lines, name: line})

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file, whole or not at all."""
        record: dict[str, Any] = {
            "modality": self.modality,
            "lines": {name: asdict(line) for name, line in self.lines.items()},
        }
        write_text(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")

    def ordered(self, names: Sequence[str]) -> Self:
        """The lines of these names that there are, in this order."""
        lines = {name: self.lines[name] for name in names if name in self.lines}
        return type(self)(self.modality, lines)

    def table(self, head: Sequence[str]) -> list[list[str]]:
        """A row for each line; the last column says where it was measured."""
        rows = [
            [*(line.cells.get(key, "") for key in head), line.where]
            for line in self.lines.values()
        ]
        return [[*head, "measured"], *rows]


def tables_by_data(
    results: Results,
    columns: Sequence[str],
    table: Callable[[Sequence[Sequence[str]]], str],
) -> str:
    """A table for each data set and budget, then where they were measured.

    Args:
        results: lines whose names begin with data and budget, and go on with what their
            cell `"method"` says.
        columns: of the tables; those that are empty in one are left out of it.
        table: rows of cells, the head first, to text.

    Example:
        >>> line = MeasuredLine({"method": "dm"}, "x", "c0", "2026-01-01", "2 cores")
        >>> results = Results("x").with_line("images a 1 dm", line)
        >>> print(tables_by_data(results, ["method", "more"], str).splitlines()[0])
        **images a 1**
    """
    groups: dict[str, dict[str, MeasuredLine]] = {}
    for name, line in results.lines.items():
        title = name.partition(f" {line.cells['method']}")[0]
        groups.setdefault(title, {})[name] = line
    texts = []
    for title, members in groups.items():
        cells = replace(results, lines=members).table(columns)
        used = [i for i, _ in enumerate(cells[0]) if any(row[i] for row in cells[1:])]
        texts.append(f"**{title}**")
        texts.append(table([[row[i] for i in used] for row in cells]))
    texts += dict.fromkeys(line.machine for line in results.lines.values())
    return "\n\n".join(texts) + "\n"


class CoreShare:
    """The share of the cores that other processes take, from its start on.

    Example:
        >>> 0 <= CoreShare().of_others() <= 1
        True
    """

    def __init__(self) -> None:
        self._start = self._seconds()

    def of_others(self) -> float:
        """Between 0 and 1."""
        wall, busy, here = (
            end - start for end, start in zip(self._seconds(), self._start, strict=True)
        )
        available = max(wall * (os.cpu_count() or 1), 1e-9)
        return round(min(max((busy - here) / available, 0.0), 1.0), 3)

    @staticmethod
    def _seconds() -> tuple[float, float, float]:
        """Of the clock, of all processes, of this one and of its ended children."""
        import psutil

        times, own_times = psutil.cpu_times(), os.times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        # Linux counts the time of guests in that of users too.
        guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        return time.perf_counter(), sum(times) - guests - idle, sum(own_times[:4])


def commit() -> str:
    """The commit of the library, with "+" where it was changed; else its version.

    Example:
        >>> commit() != ""
        True
    """
    folder = pathlib.Path(__file__).resolve().parents[1]

    def git(*words: str) -> str:
        return subprocess.check_output(
            ["git", "-C", str(folder), *words], text=True, stderr=subprocess.DEVNULL
        ).strip()

    try:
        git("ls-files", "--error-unmatch", "_version.py")
        name = git("rev-parse", "--short=8", "HEAD")
        top = git("rev-parse", "--show-toplevel")
        changed = git(
            "-C", top, "status", "--porcelain", "-uno", "multidd", "modalities"
        )
    except (OSError, subprocess.CalledProcessError):
        return f"version {__version__}"
    return name + ("+" if changed else "")


def today() -> str:
    """The day, as YYYY-MM-DD.

    Example:
        >>> len(today())
        10
    """
    return datetime.date.today().isoformat()


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
