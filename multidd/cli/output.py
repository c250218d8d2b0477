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
from contextlib import contextmanager
from typing import Annotated, Any

import typer

__all__ = ["OUTPUT", "Json", "LogJson", "Quiet", "json_log", "write"]

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
        typer.echo(json.dumps(_plain(result), ensure_ascii=False, allow_nan=False))
    else:
        typer.echo(text)


def _plain(value: Any) -> Any:
    """A value that JSON has: what is not finite is null, as JSON has no word for it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return _plain(value.item()) if hasattr(value, "item") else str(value)


class _Lines(logging.Handler):
    """Writes the `progress` of each record as a line of JSON."""

    def __init__(self, stream: Any) -> None:
        super().__init__(logging.DEBUG)
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        facts = getattr(record, "progress", None)
        if facts is not None:
            line = json.dumps({"time": round(record.created, 3)} | _plain(facts))
            self._stream.write(f"{line}\n")
            self._stream.flush()


@contextmanager
def json_log(target: str | None) -> Iterator[None]:
    """Progress inside the block as lines of JSON.

    Args:
        target: a file, to whose end they are written; `"-"` is standard error; None
            writes nothing.
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
    handler, level = _Lines(stream), LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)
        if target != "-":
            stream.close()


def as_paths(paths: Mapping[str, pathlib.Path]) -> dict[str, str]:
    """Paths as text, those that are there.

    Example:
        >>> as_paths({"report": pathlib.Path("/not/there")})
        {}
    """
    return {name: str(path) for name, path in paths.items() if path.exists()}
