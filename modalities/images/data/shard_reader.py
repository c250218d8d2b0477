"""Shards of labelled images read into a sketch; nothing is decoded.

Without torch, which a worker need not load.
"""

import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from multidd.data.cells import Value
from multidd.data.table_source import TableSource, as_list, no_column
from multidd.sketches.bottom import BottomK
from multidd.sketches.hashing import hash_record
from multidd.sketches.labelled import LabelledSketch, class_values
from multidd.sketches.merging import merged
from multidd.sketches.shards import Shard, open_shard
from multidd.storage.limits import read_regular

IMAGE_NAMES = ("image", "img")
LABEL_NAMES = ("label", "labels", "fine_label")
BATCH_ROWS = 64  # pictures may be large
SHARD_FILES = 2**12
MAX_FILE_BYTES = 2**31

PATH, CONTENT = b"p", b"c"
"""First byte of a record: the name of a file follows, or what a file holds."""


@dataclass(frozen=True)
class FolderShard:
    """Some files of a folder with a sub-folder for each class.

    Attributes:
        folder: of the classes.
        files: path and class of each.
        classes: all of them.
    """

    folder: pathlib.Path
    files: tuple[tuple[pathlib.Path, str], ...]
    classes: tuple[str, ...]


AnyShard: TypeAlias = Shard | FolderShard


@dataclass(frozen=True)
class Request:
    """What a sketch is asked to hold.

    Attributes:
        keep: images of each class.
        key: of the seed.
        image: column of the images; None: a common name is looked for.
        label: column of the labels; None: the same.
    """

    keep: int
    key: int
    image: str | None = None
    label: str | None = None


def folder_shards(
    folder: pathlib.Path,
    files: Sequence[tuple[pathlib.Path, str]],
    classes: tuple[str, ...],
) -> list[FolderShard]:
    """Files of a folder as shards of a bounded number.

    Example:
        >>> files = [(pathlib.Path("pets/cat/1.png"), "cat")]
        >>> len(folder_shards(pathlib.Path("pets"), files, ("cat", "dog")))
        1
    """
    return [
        FolderShard(folder, tuple(files[start : start + SHARD_FILES]), classes)
        for start in range(0, len(files), SHARD_FILES)
    ]


def read_shards(shards: Sequence[AnyShard], request: Request) -> LabelledSketch:
    """The sketch of some shards; runs on workers.

    Args:
        shards: at least one.
        request: the same for all.

    Raises:
        ValueError: a shard without the columns, missing images or labels; says which
            shard and row.
        TypeError: images that are no bytes.

    Example:
        >>> path = pathlib.Path("pets/cat/1.png")
        >>> path.parent.mkdir(parents=True)
        >>> _ = path.write_bytes(b"...")
        >>> shard = FolderShard(pathlib.Path("pets"), ((path, "cat"),), ("cat",))
        >>> read_shards([shard], Request(5, 0)).records.counts
        {'cat': 1}
    """
    return merged([_read(shard, request) for shard in shards])


def _read(shard: AnyShard, request: Request) -> LabelledSketch:
    records = BottomK(request.keep, request.key)
    if isinstance(shard, FolderShard):
        for path, name in shard.files:
            content = read_regular(path, MAX_FILE_BYTES)
            digest = hash_record(content, request.key)
            records.put(name, PATH + os.fsencode(path), digest)
        return LabelledSketch(records, str(shard.folder), shard.classes, is_text=True)
    table = open_shard(shard, _refuse, BATCH_ROWS)
    image = _column(table, request.image, IMAGE_NAMES, "image")
    label = _column(table, request.label, LABEL_NAMES, "label")
    is_text = False
    for values, contents in _batches(table, image, label):
        is_text |= isinstance(values[0], str)
        for value, content in zip(values, contents, strict=True):
            records.put(value, CONTENT + content, hash_record(content, request.key))
    return LabelledSketch(records, table.label, table.classes.get(label), is_text)


def _refuse(path: pathlib.Path) -> TableSource:
    raise AssertionError(f"{path}: only parquet files are shards of images")


def _column(
    table: TableSource, name: str | None, common: Sequence[str], role: str
) -> str:
    names = [name] if name is not None else [n for n in common if n in table.names]
    if not names:
        raise ValueError(
            f"{table.label} has no column that is known to hold {role}s (such as "
            f"{', '.join(common)}); its columns are {', '.join(table.names)}; name the "
            f"one with {role}="
        )
    if names[0] not in table.names:
        raise no_column(table.label, names[0], role, table.names)
    return names[0]


def _batches(
    table: TableSource, image: str, label: str
) -> Iterator[tuple[list[Value], list[bytes]]]:
    """Labels and contents of each batch that has rows, checked."""
    start = 0
    image_name = f"column {image!r} of {table.label}"
    label_name = f"column {label!r} of {table.label}"
    for batch in table.read([image, label]):
        labels = as_list(batch[label], label_name)
        if not labels:
            continue
        cells = as_list(batch[image], image_name)
        yield (
            class_values(labels, label_name, start),
            [_content(cell, image_name, row) for row, cell in enumerate(cells, start)],
        )
        start += len(labels)


def _content(cell: Any, name: str, row: int) -> bytes:
    """The bytes of a picture's file: themselves, in a struct, or behind a path."""
    if isinstance(cell, Mapping):
        content, path = cell.get("bytes"), cell.get("path")
        if content is None and path is not None:
            return read_regular(pathlib.Path(path), MAX_FILE_BYTES)
        cell = content
    if cell is None:
        raise ValueError(f"{name} lacks an image in row {row} (from 0); drop the row")
    if not isinstance(cell, bytes):
        raise TypeError(
            f"{name} must hold the bytes of image files, such as PNG; row {row} (from "
            f"0) holds {type(cell).__name__}; cast it with "
            "data.cast_column(name, datasets.Image(decode=False))"
        )
    return cell
