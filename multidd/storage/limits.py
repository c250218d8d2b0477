"""Limits of what a file may take, and the one way in which files are opened.

A checksum says that a file is as it was written, not that whoever wrote it meant well.
So nothing that a file claims is believed before it was held against a limit.
"""

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, BinaryIO

from multidd.errors import CorruptFileError, StorageError
from multidd.storage.atomic import PathLike, naming

__all__ = [
    "VARIABLE",
    "Limits",
    "json_fault",
    "load_json",
    "open_regular",
    "parse_json",
    "read_regular",
]

VARIABLE = "MULTIDD_LIMITS"
"""Environment variable with limits that are not the defaults, as `name=number,...`."""


@dataclass(frozen=True)
class Limits:
    """What reading a file may take; a file that needs more is refused.

    Attributes:
        file_bytes: of the file.
        header_bytes: of the JSON in front of the tensors, and of a file of JSON.
        json_depth: of lists and dicts inside each other.
        json_items: entries of all lists and dicts together.
        decoded_bytes: of the records that a factorized set becomes.

    Example:
        >>> Limits(json_depth=8).json_items
        4000000
    """

    file_bytes: int = 2**36
    header_bytes: int = 100_000_000  # the bound of safetensors itself
    json_depth: int = 64
    json_items: int = 4_000_000
    decoded_bytes: int = 2**34

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"the limit {one.name} must be a whole number of 1 or more; got "
                    f"{value!r}"
                )

    @classmethod
    def current(cls) -> "Limits":
        """The defaults, or what the environment says in `MULTIDD_LIMITS`.

        Raises:
            ValueError: the variable names no limit, or no number.

        Example:
            >>> Limits.current().json_depth
            64
        """
        text = os.environ.get(VARIABLE, "")
        known = [one.name for one in fields(cls)]
        changed = {}
        for part in filter(None, map(str.strip, text.split(","))):
            name, _, number = part.partition("=")
            if name.strip() not in known or not number.strip().isdecimal():
                raise ValueError(
                    f"{VARIABLE}={text!r} must be like 'json_depth=100', with names "
                    f"out of {', '.join(known)}; {part!r} is not"
                )
            changed[name.strip()] = int(number)
        return replace(cls(), **changed)


def advice(name: str) -> str:
    """How to raise a limit, for the end of a message."""
    return (
        f"if the file is what you expect, raise the limit: Limits({name}=...) or the "
        f"environment variable {VARIABLE}={name}=..."
    )


# --- opening ------------------------------------------------------------------

_SHAPES = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_regular(path: PathLike) -> None:
    """Refuse what is not a regular file; a pipe would wait for ever.

    Raises:
        FileNotFoundError: there is no such file.
        StorageError: it is a folder, a pipe, a socket or a device.
    """
    path = Path(path)
    try:
        with naming(path, "read"):
            _refuse(path, os.stat(path).st_mode)
    except StorageError as error:
        if not isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            raise
        raise FileNotFoundError(
            f"there is no file {path}; check the path, and that the run wrote it"
        ) from None


@contextmanager
def open_regular(path: PathLike) -> Iterator[BinaryIO]:
    """Open a regular file to read its bytes; whatever else stands there is refused.

    Raises:
        FileNotFoundError: there is no such file.
        StorageError: it is a folder, a pipe, a socket or a device, or cannot be read.

    Example:
        >>> import tempfile
        >>> try:
        ...     with open_regular(tempfile.mkdtemp()):
        ...         pass
        ... except StorageError as error:
        ...     print(str(error).split(": ")[1].split(";")[0])
        not a file but a folder
    """
    path = Path(path)
    check_regular(path)  # before opening, which does something to some devices
    opening = (-1, None, None, None, True, _without_waiting)
    with naming(path, "read"), open(path, "rb", *opening) as file:
        _refuse(path, os.fstat(file.fileno()).st_mode)  # another may stand there now
        yield file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _refuse(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        shape = _SHAPES.get(stat.S_IFMT(mode), "something else")
        raise StorageError(
            f"cannot read {path}: not a file but {shape}; give a file's path"
        )


def read_regular(path: PathLike, max_bytes: int | None = None) -> bytes:
    """All bytes of a regular file.

    Args:
        path: the file.
        max_bytes: a larger one is refused before it is read; `header_bytes` of the
            limits unless given.

    Raises:
        FileNotFoundError, StorageError: as `open_regular`; or it is larger.
    """
    most = Limits.current().header_bytes if max_bytes is None else max_bytes
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise StorageError(
                f"cannot read {path}: it takes {size} bytes, more than {most}; "
                + advice("header_bytes")
            )
        return file.read(size)


# --- JSON ---------------------------------------------------------------------

_TEXT = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKET = re.compile(r"[^\[\]{}]+")


_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"(\s*:)?|[\[\]{}]', re.DOTALL)


def json_fault(text: str, limits: Limits) -> str | None:
    """What of a text of JSON is above the limits, seen without parsing it."""
    bare = _TEXT.sub("", text)
    brackets = _NO_BRACKET.sub("", bare)
    items = bare.count(",") + len(brackets) // 2
    if items > limits.json_items:
        return f"its JSON has {items} items, more than {limits.json_items}; " + advice(
            "json_items"
        )
    depth = deepest = 0
    for bracket in brackets:
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    if deepest > limits.json_depth:
        return (
            f"its JSON is nested {deepest} deep in {_nested_key(text, limits)}, more "
            f"than {limits.json_depth}; " + advice("json_depth")
        )
    return None


def _nested_key(text: str, limits: Limits) -> str:
    """The last key in front of where a text of JSON is too deep."""
    depth, key = 0, "a list"
    for token in _TOKEN.finditer(text):
        if token[1] is not None:
            key = token[0][:80]
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > limits.json_depth:
            break
    return key.rstrip(": ")


def parse_json(text: str, limits: Limits | None = None) -> Any:
    """The value of a text of JSON within the limits.

    Raises:
        ValueError: it is above a limit, or no JSON.

    Example:
        >>> parse_json("[1, [2]]")
        [1, [2]]
    """
    fault = json_fault(text, limits or Limits.current())
    if fault:
        raise ValueError(fault)
    return json.loads(text)


def load_json(path: PathLike, limits: Limits | None = None) -> Any:
    """The value in a file of JSON, which a schema is to look at.

    Raises:
        FileNotFoundError: there is no such file.
        CorruptFileError: it is no JSON, or above the limits.
        StorageError: it is no regular file, too large, or cannot be read.
    """
    limits = limits or Limits.current()
    content = read_regular(path, limits.header_bytes)
    try:
        return parse_json(content.decode(), limits)
    except ValueError as error:
        raise CorruptFileError(
            f"{path} is damaged ({error}); use another copy, or make it again"
        ) from None
