"""What children do in tests under load, and a disk that is full at one write."""

import builtins
import errno
import io
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch

import multidd
from multidd.cli import main
from multidd.objectives import DistributionMatching
from multidd.storage import cache, files
from multidd.summary import DataSummary
from tests.toy import FAST, Toy, distill, free

STORED = Path(__file__).parents[1] / "golden" / "stored"

SUMMARIES = ("graph-kmeans", "graph-condense")
"""Two that differ, of which each writer has one."""

KEY = {"data": "a", "seed": 0}


def command(*words: object) -> tuple[int, str, str]:
    """A command of the command line in this process: exit code and what it prints."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["multidd", *map(str, words)]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main.main()
    except SystemExit as left:
        return int(left.code or 0), out.getvalue(), err.getvalue()
    finally:
        sys.argv = before
    raise AssertionError("the command line always leaves")


def run(folder: Path | None = None, *, steps: int = 8, every: int = 50) -> DataSummary:
    """A short run that draws at each step and has moments to keep."""
    place = None if folder is None else str(folder)
    options = {"steps": steps, "checkpoint": place, "checkpoint_every": every}
    task, objective = Toy(batch_size=4), DistributionMatching()
    summary: DataSummary = distill(task, objective, free(), optimizer=FAST, **options)
    return summary


# --- children -----------------------------------------------------------------


def save_often(name: str, path: Path, times: int, ready: Any) -> None:
    """Save one summary over and over."""
    summary = multidd.load(STORED / name)
    ready.wait()
    for _ in range(times):
        summary.save(path)


def run_once(folder: Path, threads: int, ready: Any, results: Any) -> None:
    """One run with checkpoints; its digest, or the name of its error."""
    torch.set_num_threads(threads)
    ready.wait()
    try:
        results.put(run(folder).digest())
    except multidd.errors.MultiddError as error:
        results.put(f"{type(error).__name__}: {error}")


def command_once(words: list[str], ready: Any, results: Any) -> None:
    """One command."""
    ready.wait()
    results.put(command(*words))


def write_often(folder: Path, done: Any) -> None:
    """Write two kinds of cache files until told to stop; each holds one number."""
    os.environ["MULTIDD_CACHE"] = str(folder)
    number = 0
    while not done.is_set():
        number += 1
        cache.write_cached("whole", KEY, {"one": number, "two": 2 * number})
        x = torch.full((200, 16), float(number))
        files.write(folder / "features", {"x": x}, {"cut": number}, kind="features")


def read_often(folder: Path, times: int, results: Any) -> None:
    """Read them; how many reads gave a value, or what was wrong."""
    os.environ["MULTIDD_CACHE"] = str(folder)
    count = 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(times):
                value = cache.read_cached("whole", KEY)
                assert value is None or value["two"] == 2 * value["one"], value
                count += value is not None
                if (folder / "features").exists():
                    tensors, info = files.read(folder / "features", kind="features")
                    assert bool((tensors["x"] == info["cut"]).all()), info
                    count += 1
    except BaseException as error:
        results.put(f"{type(error).__name__}: {error}")
        return
    results.put(count)


def save_in_turns(path: Path, said: Any) -> None:
    """Save two summaries in turns until killed."""
    _as_a_shell_would()
    summaries = [multidd.load(STORED / name) for name in SUMMARIES]
    said.send("ready")
    while True:
        for summary in summaries:
            summary.save(path)


def run_to_the_end(folder: Path, threads: int, steps: int, said: Any) -> None:
    """A run with a checkpoint at every step."""
    _as_a_shell_would()
    torch.set_num_threads(threads)
    said.send("ready")
    run(folder, steps=steps, every=1)


def command_to_the_end(words: list[str], said: Any) -> None:
    """A command, whose exit code is the child's."""
    _as_a_shell_would()
    said.send("ready")
    os._exit(command(*words)[0])


def _as_a_shell_would() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # its traceback is no news
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


# --- a full disk --------------------------------------------------------------


class FullDisk:
    """Counts what asks for room on a disk, and refuses one request.

    Attributes:
        number: of the request that is refused, from 1.
        count: requests so far.
    """

    def __init__(self, number: int) -> None:
        self.number, self.count = number, 0

    def ask(self) -> None:
        """One request."""
        self.count += 1
        if self.count == self.number:
            raise OSError(errno.ENOSPC, "No space left on device")

    @contextmanager
    def patched(self) -> Iterator[None]:
        """Opening to write, writing, flushing, renaming and making folders ask."""
        real_open = builtins.open

        def opening(file: Any, mode: str = "r", *more: Any, **options: Any) -> Any:
            if not set(mode) & set("wxa+"):
                return real_open(file, mode, *more, **options)
            self.ask()
            return _Writing(real_open(file, mode, *more, **options), self)

        def asking(function: Any) -> Any:
            def called(*arguments: Any, **options: Any) -> Any:
                self.ask()
                return function(*arguments, **options)

            return called

        def os_open(path: Any, flags: int, *more: Any, **options: Any) -> int:
            if flags & os.O_CREAT:
                self.ask()
            return before["open"](path, flags, *more, **options)

        names = ("fsync", "replace", "rename", "mkdir", "write", "open")
        before = {name: getattr(os, name) for name in names}
        try:
            builtins.open = io.open = opening  # type: ignore[assignment]
            for name in names[:-1]:
                setattr(os, name, asking(before[name]))
            os.open = os_open
            yield
        finally:
            builtins.open = io.open = real_open
            for name, function in before.items():
                setattr(os, name, function)


class _Writing:
    """An open file that asks for room."""

    def __init__(self, file: Any, disk: FullDisk) -> None:
        self.file, self.disk = file, disk

    def __enter__(self) -> "_Writing":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def write(self, content: Any) -> Any:
        self.disk.ask()
        return self.file.write(content)

    def writelines(self, parts: Any) -> None:
        for part in parts:
            self.write(part)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)
