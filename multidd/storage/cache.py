"""Cache of slow results, as JSON files that stay between runs.

In `MULTIDD_CACHE` where that is set, else in the user's cache folder. A file that
cannot be read counts as absent, one that cannot be written is left out.
"""

import hashlib
import json
import os
import pathlib
from typing import Any

from multidd.errors import StorageError
from multidd.storage.files import check_writable, write_text


def folder() -> pathlib.Path:
    """Where the cache lies.

    Example:
        >>> folder().name
        'multidd'
    """
    named = os.environ.get("MULTIDD_CACHE")
    if named:
        return pathlib.Path(named) / "multidd"
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "multidd"


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
