"""Cache of benchmark graphs: what was read from raw files, as safetensors.

A file is named by the SHA-256 of the raw files, which it also holds; it is checked like
a raw file, and made again where it does not fit. A cache that cannot be written costs
time only.
"""

import hashlib
import json
import pathlib
from collections.abc import Callable

from torch import Tensor

from multidd.errors import StorageError, first_line, warn_caller
from multidd.graph.data.raw_files import RawFolder
from multidd.graph.data.raw_formats import check_tensors
from multidd.storage import cache, files

__all__ = ["KIND", "cached"]

KIND = "graph-cache"
"""Kind of these files, as `multidd.storage.files.read` checks it."""

FORMAT = 1
"""Of the tensors in a file; a reader that gives others takes the next number."""


def cached(
    name: str, raw: RawFolder, read: Callable[[RawFolder], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """The tensors of a benchmark, from the cache or else from its raw files.

    Args:
        name: of the benchmark.
        raw: its raw files.
        read: makes tensors of them.

    Raises:
        CorruptFileError: a raw file is damaged.
    """
    info = {"name": name, "format": FORMAT, "raw": dict(sorted(raw.digests.items()))}
    key = hashlib.sha256(json.dumps(info, sort_keys=True).encode()).hexdigest()
    path = cache.folder() / "read" / f"{name}-{key[:24]}.safetensors"
    tensors = _stored(path, info)
    if tensors is None:
        tensors = read(raw)
        _store(path, tensors, info)
    return tensors


def _stored(path: pathlib.Path, info: dict[str, object]) -> dict[str, Tensor] | None:
    """The tensors of a cache file, or None where there is none or it does not fit."""
    try:
        tensors, of_file = files.read(path, kind=KIND, allow_nonfinite=True)
        fault = check_tensors(tensors)
        fault = "it is of other raw files" if of_file != info else fault
    except FileNotFoundError:
        return None
    except StorageError as error:
        fault = first_line(error)
    if fault is None:
        return tensors
    warn_caller(
        f"the cache file {path} does not fit ({fault}); the raw files are read again, "
        "and it is written anew"
    )
    return None


def _store(
    path: pathlib.Path, tensors: dict[str, Tensor], info: dict[str, object]
) -> None:
    try:
        files.check_writable(path.parent)
        files.write(path, tensors, info, kind=KIND, allow_nonfinite=True)
    except StorageError:
        return  # a cache that cannot be written only costs time
