"""Cache of slow results, as JSON files that stay between runs.

In `MULTIDD_CACHE` where that is set, else in the user's cache folder; without a home
folder in one that goes with the process. A file that does not fit is named in a warning
and counts as absent, one that cannot be written is left out.
"""

import atexit
import functools
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
import warnings
from typing import Any

from multidd.errors import MultiddWarning, StorageError
from multidd.storage.fields import Field, FreeJSON, Record
from multidd.storage.files import check_writable, write_text
from multidd.storage.limits import load_json
from multidd.storage.schema import refuse

ANY_VALUE = Record(others=FreeJSON())


def folder() -> pathlib.Path:
    """Where the cache lies.

    Example:
        >>> folder().name
        'multidd'
    """
    named = os.environ.get("MULTIDD_CACHE") or os.environ.get("XDG_CACHE_HOME")
    if named:
        return pathlib.Path(named) / "multidd"
    try:
        return pathlib.Path.home() / ".cache" / "multidd"
    except RuntimeError:  # no home folder, as in containers with any user
        return _of_this_process() / "multidd"


@functools.cache
def _of_this_process() -> pathlib.Path:
    """A folder that goes with the process."""
    folder = tempfile.mkdtemp(prefix="multidd-cache-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return pathlib.Path(folder)


def read_cached(
    kind: str, key: dict[str, Any], value: Field = ANY_VALUE
) -> dict[str, Any] | None:
    """The value stored under `key`, or None.

    Args:
        kind: of results.
        key: what decides the value.
        value: what a value must be. A file with another one is named in a
            `MultiddWarning`, and its value computed again.
    """
    key = json.loads(json.dumps(key))  # as it reads after a file: tuples are lists
    path = _path(kind, key)
    try:
        entry = load_json(path)
        refuse(path, Record({"key": ANY_VALUE, "value": value}).fault(entry, ""))
    except FileNotFoundError:
        return None
    except StorageError as error:
        warnings.warn(
            f"a cached result cannot be used and is computed again: {error}",
            MultiddWarning,
            stacklevel=3,
        )
        return None
    result: dict[str, Any] = entry["value"]
    return result if entry["key"] == key else None


def write_cached(kind: str, key: dict[str, Any], value: dict[str, Any]) -> None:
    """Store `value` under `key`, unless it holds NaN or infinity."""
    path = _path(kind, key)
    try:
        text = json.dumps({"key": key, "value": value}, allow_nan=False)
        check_writable(path.parent)
        write_text(path, text)
    except (StorageError, ValueError):
        return  # a cache that cannot be written only costs time


def _path(kind: str, key: dict[str, Any]) -> pathlib.Path:
    text = json.dumps(key, sort_keys=True).encode()
    return folder() / kind / f"{hashlib.sha256(text).hexdigest()[:24]}.json"
