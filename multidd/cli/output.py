"""What commands print: text for people, one JSON object for programs.

Exit codes, of every command:

    0    done
    1    failed: a fault of the library, or `doctor` met something broken
    2    wrong use: options, data, files or settings; one sentence says what
    130  interrupted (Ctrl-C); 143 on SIGTERM. A run's state was saved first.
"""

import json
import logging
import math
import pathlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from typing import Annotated, Any

import typer

from multidd.storage.fields import json_value

__all__ = ["OUTPUT", "Json", "LogJson", "Quiet", "estimates", "json_log", "write"]

LOG_SECONDS = 1.0
"""Between two steps in the log of a run folder, at least."""

OUTPUT = "Output"
"""The group of these options in help pages."""

Json = Annotated[
    bool,
    typer.Option(
        "--json", help="One JSON object instead of text.", rich_help_panel=OUTPUT
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", help="No progress bar.", rich_help_panel=OUTPUT)
]
LogJson = Annotated[
    str | None,
    typer.Option(
        "--log-json",
        metavar="FILE",
        help="One line of JSON for each event of progress, added to this file; - for "
        "standard error.",
        rich_help_panel=OUTPUT,
    ),
]


def write(result: Mapping[str, Any], text: Any, as_json: bool) -> None:
    """Print a result: the object as JSON, or the text.

    Args:
        result: what programs read.
        text: what people read.
        as_json: which of them.

    Example:
        >>> write({"path": pathlib.PurePosixPath("runs/x")}, "done", as_json=True)
        {"path": "runs/x"}
    """
    if as_json:
        typer.echo(json.dumps(json_value(result), ensure_ascii=False, allow_nan=False))
    else:
        typer.echo(text)


class _Lines(logging.Handler):
    """Writes the `progress` of each record as a line of JSON.

    Args:
        stream: where to.
        is_own: of a run folder: a step is left out that follows another within a
            second, and a disk that takes no more ends the log, not the run.
    """

    def __init__(self, stream: Any, is_own: bool = False) -> None:
        super().__init__(logging.DEBUG)
        self._stream, self._is_own, self._last = stream, is_own, -math.inf

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        facts = getattr(record, "progress", None)
        if facts is None or (self._is_own and self._is_soon(record, facts)):
            return
        line = json.dumps({"time": round(record.created, 3)} | json_value(facts))
        try:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        except OSError:
            if not self._is_own:
                raise

    def _is_soon(self, record: logging.LogRecord, facts: Mapping[str, Any]) -> bool:
        """Whether it is a step right after another, and not the last one."""
        is_last = facts.get("step") == facts.get("steps")
        if facts.get("event") != "step" or is_last:
            return False
        if record.created - self._last < LOG_SECONDS:
            return True
        self._last = record.created
        return False


@contextmanager
def json_log(target: str | None, is_own: bool = False) -> Iterator[None]:
    """Progress inside the block as lines of JSON.

    Args:
        target: a file, to whose end they are written; `"-"` is standard error; None
            writes nothing.
        is_own: it is the log of a run folder: fewer steps, and no error of the disk.
    """
    if target is None:
        yield
        return
    from multidd.engine.progress import LOGGER
    from multidd.storage.atomic import naming, user_path

    path = user_path(target)
    if target == "-":
        stream: Any = sys.stderr
    else:
        with naming(path, "write"):
            path.parent.mkdir(parents=True, exist_ok=True)
            stream = path.open("a", encoding="utf-8")
    handler, level = _Lines(stream, is_own), LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)
        if target != "-":
            # What a full disk did not take is tried again on closing.
            with suppress(OSError) if is_own else nullcontext():
                stream.close()


class _Estimates(logging.Handler):
    """Prints how long a run will take on standard error, above its bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        from multidd.engine.progress import print_above_bars

        if getattr(record, "progress", {}).get("event") == "estimate":
            print_above_bars(record.getMessage())


@contextmanager
def estimates(quiet: bool = False) -> Iterator[None]:
    """What runs inside the block say of the time that they will take is printed.

    Args:
        quiet: print nothing.
    """
    from multidd.engine.progress import LOGGER

    if quiet:
        yield
        return
    handler, level = _Estimates(logging.INFO), LOGGER.level
    LOGGER.addHandler(handler)
    if not LOGGER.isEnabledFor(logging.INFO):
        LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)


def as_paths(paths: Mapping[str, pathlib.Path]) -> dict[str, str]:
    """Paths as text, those that are there.

    Example:
        >>> as_paths({"report": pathlib.Path("/not/there")})
        {}
    """
    return {name: str(path) for name, path in paths.items() if path.exists()}
