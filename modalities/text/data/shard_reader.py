"""Shards of labelled texts read into a sketch, a batch at a time.

Without torch, which a worker need not load.
"""

import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from multidd.data.cells import Value
from multidd.data.table_source import TableSource, as_list
from multidd.sketches.bottom import BottomK
from multidd.sketches.labelled import LabelledSketch, class_values
from multidd.sketches.merging import merged
from multidd.sketches.shards import Shard, open_shard
from multidd.text.data.files import open_json_lines, open_path
from multidd.text.data.tables import (
    NAN_CELLS,
    TextColumns,
    check_columns,
    strings,
)

SUFFIXES = (".csv", ".tsv", ".jsonl")
BATCH_ROWS = 2**13  # texts may be long
LENGTH_BYTES = 8  # of the first text of a pair, before it


@dataclass(frozen=True)
class Request:
    """What a sketch is asked to hold.

    Attributes:
        keep: texts of each class.
        key: of the seed.
        columns: which hold texts and labels.
    """

    keep: int
    key: int
    columns: TextColumns


def read_shards(shards: Sequence[Shard], request: Request) -> LabelledSketch:
    """The sketch of some shards; runs on workers.

    Args:
        shards: at least one.
        request: the same for all.

    Raises:
        ValueError: a shard without the columns, empty texts or missing labels; says
            which shard and row.
        TypeError: texts that are no strings.

    Example:
        >>> import pyarrow
        >>> from multidd.sketches.shards import TableShard
        >>> table = pyarrow.table({"text": ["good", "bad"], "label": [1, 0]})
        >>> request = Request(5, 0, TextColumns())
        >>> read_shards([TableShard(table, "mine")], request).records.counts
        {0: 1, 1: 1}
    """
    return merged([_read(shard, request) for shard in shards])


def _read(shard: Shard, request: Request) -> LabelledSketch:
    table = open_shard(shard, _open_file, BATCH_ROWS)
    check_columns(table, request.columns)
    label = request.columns.label or ""
    records = BottomK(request.keep, request.key)
    is_text = False
    for values, texts in _batches(table, request.columns):
        is_text |= isinstance(values[0], str)
        records.add(zip(values, texts, strict=True))
    classes, is_cells = table.classes.get(label), table.numbers_as_text
    return LabelledSketch(records, table.label, classes, is_text, is_cells)


def _open_file(path: pathlib.Path) -> TableSource:
    if path.suffix.lower() == ".jsonl":
        return open_json_lines(path)
    opened = open_path(path)
    assert opened is not None  # a file is all training
    return opened


def _batches(
    table: TableSource, columns: TextColumns
) -> Iterator[tuple[list[Value], list[bytes]]]:
    """Labels and records of each batch that has rows, checked."""
    start = 0
    roles = columns.roles()
    for batch in table.read(list(roles.values())):
        values = {
            role: as_list(batch[name], f"column {name!r} of {table.label}")
            for role, name in roles.items()
        }
        names = {role: f"{name!r} of {table.label}" for role, name in roles.items()}
        labels = values["label"]
        if not labels:
            continue
        if table.numbers_as_text:
            labels = [None if cell in NAN_CELLS else cell for cell in labels]
        parts = [
            strings(values[role], f"texts in {names[role]}", start)
            for role in ("text", "pair")
            if role in roles
        ]
        label_name = f"column {names['label']}"
        yield (
            class_values(labels, label_name, start),
            [as_record(*of_row) for of_row in zip(*parts, strict=True)],
        )
        start += len(labels)


def as_record(text: str, pair: str | None = None) -> bytes:
    """A text, or a pair of texts, as the bytes that are hashed and kept.

    Example:
        >>> as_record("so"), as_record("so", "what")
        (b'so', b'\\x02\\x00\\x00\\x00\\x00\\x00\\x00\\x00sowhat')
    """
    first = text.encode()
    if pair is None:
        return first
    return len(first).to_bytes(LENGTH_BYTES, "little") + first + pair.encode()


def of_record(record: bytes, is_pair: bool) -> tuple[str, str | None]:
    """The text, or the two texts, of a record.

    Example:
        >>> of_record(as_record("so", "what"), True)
        ('so', 'what')
    """
    if not is_pair:
        return record.decode(), None
    size = int.from_bytes(record[:LENGTH_BYTES], "little")
    rest = record[LENGTH_BYTES:]
    return rest[:size].decode(), rest[size:].decode()
