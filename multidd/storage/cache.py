"""Cache of slow results, as JSON files that stay between runs.

In `MULTIDD_CACHE` where that is set, else in the user's cache folder; without a home
folder in one that goes with the process. A file that cannot be read counts as absent,
one that cannot be written is left out.
"""

import atexit
import functools
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
from typing import Any

from multidd.errors import StorageError
from multidd.storage.files import check_writable, write_text


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


def read_cached(kind: str, key: dict[str, Any]) -> dict[str, Any] | None:
    """The value stored under `key`, or None."""
    key = json.loads(json.dumps(key))  # as it reads after a file: tuples are lists
    try:
        entry = json.loads(_path(kind, key).read_text())
    except (OSError, ValueError):
        return None
    matches = isinstance(entry, dict) and entry.get("key") == key
    return entry.get("value") if matches else None


def write_cached(kind: str, key: dict[str, Any], value: dict[str, Any]) -> None:
    """Store `value` under `key`."""
    path = _path(kind, key)
    try:
        check_writable(path.parent)
        write_text(path, json.dumps({"key": key, "value": value}))
    except StorageError:
        return  # a cache that cannot be written only costs time


def _path(kind: str, key: dict[str, Any]) -> pathlib.Path:
    text = json.dumps(key, sort_keys=True).encode()
    return folder() / kind / f"{hashlib.sha256(text).hexdigest()[:24]}.json"
