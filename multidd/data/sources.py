"""Places of datasets: below MULTIDD_DATA, in the package, saved, on the hub."""

import hashlib
import importlib.resources
import os
import pathlib
import socket
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, cast

from multidd.data.listing import list_files
from multidd.errors import (
    CorruptFileError,
    MultiddError,
    StorageError,
    first_line,
    require,
)
from multidd.storage.atomic import naming, user_path
from multidd.storage.limits import check_regular, load_json, open_regular

SAVED = ("dataset_dict.json", "state.json")  # either marks what datasets saved
HUB_TIMEOUT = 3.0  # seconds that the hub has to answer


def below_root(paths: Sequence[str]) -> pathlib.Path | None:
    """The first of these files and folders that is there below `MULTIDD_DATA`.

    Example:
        >>> below_root(["nowhere/at/all"]) is None
        True
    """
    root = os.environ.get("MULTIDD_DATA")
    places = [pathlib.Path(root) / path for path in paths] if root else []
    return next((place for place in places if place.exists()), None)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, or of the names and contents of all files of a folder.

    Hidden files are left out and links followed, as by readers (`list_files`). Only
    regular files are opened.

    Args:
        path: of the file or folder.

    Raises:
        StorageError: it cannot be read, or is neither a file nor a folder.

    Example:
        >>> sha256_of(bundled("cora.npz"))[:12] == sha256_of(bundled("cora.npz"))[:12]
        True
    """
    path = user_path(path)
    with naming(path, "read"):
        if path.is_file():
            with open_regular(path) as file:
                return hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
        if not path.is_dir():
            raise StorageError(f"cannot read {path}: neither a file nor a folder")
        total = hashlib.sha256()
        for file_path in list_files(path).files:
            parts = file_path.relative_to(path).parts
            total.update("/".join(parts).encode("utf-8", "surrogateescape"))
            total.update(b"\0" + bytes.fromhex(sha256_of(file_path)))
        return total.hexdigest()


def bundled(name: str) -> pathlib.Path:
    """A file or folder of a small real dataset that ships with the library.

    Example:
        >>> bundled("cora.npz").is_file()
        True
    """
    return pathlib.Path(str(importlib.resources.files("multidd"))) / "samples" / name


def not_here(name: str, holds: str, sample: str) -> MultiddError:
    """The error for a benchmark whose files are not below `MULTIDD_DATA`.

    Args:
        name: of the benchmark.
        holds: what the folder should hold.
        sample: of the same modality, which ships with the library.

    Example:
        >>> str(not_here("sst2", "text/sst2", "sample:sms"))
        "sst2 is not here: MULTIDD_DATA is ...; set it to a folder that holds text/..."
    """
    root = os.environ.get("MULTIDD_DATA")
    state = f"is {root!r}" if root else "is not set"
    return MultiddError(
        f"{name} is not here: MULTIDD_DATA {state}; set it to a folder that holds "
        f"{holds}, or use {sample!r}, which ships with the library"
    )


def is_saved(folder: pathlib.Path) -> bool:
    """Whether `save_to_disk` of the datasets library made this folder.

    Example:
        >>> is_saved(pathlib.Path("nowhere"))
        False
    """
    return any((folder / name).is_file() for name in SAVED)


def load_saved(folder: pathlib.Path) -> Any:
    """What `save_to_disk` of the datasets library wrote, a dataset or its splits.

    Only regular files in the folder itself are opened, whatever its notes name.

    Args:
        folder: for which `is_saved`.

    Raises:
        CorruptFileError: it holds no such dataset, or names files elsewhere.
        StorageError: a pipe, a device or a folder stands in the place of a file.
    """
    if (folder / SAVED[0]).is_file():
        splits = _entry(folder / SAVED[0], "splits")
        for name in splits:
            _check_saved(folder / _plain(folder / SAVED[0], name))
    else:
        _check_saved(folder)
    try:
        return require("datasets").load_from_disk(str(folder))
    except Exception as error:  # of several libraries, without a common base
        raise CorruptFileError(
            f"{folder} cannot be read as a saved dataset: {type(error).__name__}: "
            f"{first_line(error)}; use another copy, or save it again"
        ) from error


def _check_saved(folder: pathlib.Path) -> None:
    state = folder / SAVED[1]
    check_regular(folder / "dataset_info.json")
    for entry in _entry(state, "_data_files"):
        name = entry.get("filename") if isinstance(entry, dict) else entry
        check_regular(folder / _plain(state, name))


def _entry(path: pathlib.Path, key: str) -> list[Any]:
    """A list in a note of the datasets library."""
    note = load_json(path)
    entry = note.get(key) if isinstance(note, dict) else None
    if not isinstance(entry, list):
        raise CorruptFileError(
            f"{path} is damaged: it has no list {key!r}; use another copy, or save the "
            "dataset again"
        )
    return entry


def _plain(path: pathlib.Path, name: Any) -> str:
    """The name of a file or folder beside a note; of anything else a refusal."""
    is_text = isinstance(name, str) and name not in ("", ".", "..")
    if not is_text or {"/", "\\", ":", "\0"} & set(name):
        raise CorruptFileError(
            f"{path} names {name!r:.80}; only files in the folder itself are read: "
            "save the dataset again with save_to_disk"
        )
    return str(name)


def part_of(splits: Mapping[str, Any], names: Sequence[str]) -> Any | None:
    """The first of these splits that is there, in any letters, or None.

    Example:
        >>> part_of({"train": 1, "valid": 2}, ("validation", "valid"))
        2
    """
    small = {name.lower(): name for name in splits} | {name: name for name in splits}
    return next((splits[small[name]] for name in names if name in small), None)


def several_splits(splits: Mapping[str, Any], noun: str = "data") -> str:
    """What to say of a dict of splits where one of them is needed.

    Args:
        splits: name -> split.
        noun: what the message calls them.

    Example:
        >>> several_splits({"test": 1})
        "data holds the splits ['test']; pass one of them, such as data['test']"
    """
    if not splits:
        return f"{noun} holds no splits; pass a dataset"
    name = "train" if "train" in splits else min(splits)
    return (
        f"{noun} holds the splits {sorted(splits)}; pass one of them, such as "
        f"data[{name!r}]"
    )


def check_no_stream(data: Any) -> None:
    """Refuse a dataset of the datasets library whose rows come one after another.

    Example:
        >>> check_no_stream([1, 2])
    """
    kind = type(data)
    if kind.__name__ == "IterableDataset" and kind.__module__.startswith("datasets."):
        raise TypeError(
            "data is a stream of unknown length; keep some of it with sketch(data), "
            "load it without streaming=True, or take part: "
            "datasets.Dataset.from_list(list(data.take(1000)))"
        )


def is_hub_id(name: str) -> bool:
    """Whether a name reads as owner/name.

    Example:
        >>> [is_hub_id(name) for name in ("someone/pets", "pets", "./pets", "a/b/c")]
        [True, False, False, False]
    """
    parts = name.split("/")
    return len(parts) == 2 and all(parts) and name[0] not in "./~"


def from_hub(name: str, hub: str, *, instead: str) -> Any:
    """All splits of a dataset of the Hugging Face hub.

    Args:
        name: what the caller was asked for.
        hub: its id, owner/name.
        instead: what else the caller takes, for the message.

    Returns:
        A `datasets.DatasetDict`.

    Raises:
        MultiddError: the hub cannot be reached, or has no such dataset. Without a
            network this comes at once, where the library would try again for long.
    """
    try:
        check_hub()
        return require("datasets").load_dataset(hub)
    except Exception as error:  # of several libraries, without a common base
        raise MultiddError(
            f"{name} is not under MULTIDD_DATA ({os.environ.get('MULTIDD_DATA')}) and "
            f"downloading {hub} from the Hugging Face hub failed "
            f"({type(error).__name__}: {first_line(error)}); set MULTIDD_DATA to a "
            f"folder that holds it, {instead}"
        ) from error


def check_hub() -> None:
    """Refuse to go on where the hub cannot be reached.

    With `HF_HUB_OFFLINE=1` nothing is asked: what the hub's own cache holds is read.

    Raises:
        ConnectionError: no connection within three seconds.
    """
    constants = require("huggingface_hub.constants")
    url = urllib.parse.urlsplit(constants.ENDPOINT)
    if constants.HF_HUB_OFFLINE or urllib.request.getproxies():
        return  # a proxy reaches what this machine itself cannot
    port = url.port or (80 if url.scheme == "http" else 443)
    try:
        socket.create_connection((url.hostname or "", port), HUB_TIMEOUT).close()
    except OSError as error:
        raise ConnectionError(
            f"no connection to {url.hostname}: {error}; with HF_HUB_OFFLINE=1 what was "
            "downloaded before is read"
        ) from error
