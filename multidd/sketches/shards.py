"""Shards: parts of data that one worker after another can open and read.

A shard is sent to workers, so it is a name or a view and holds no rows of its own where
the data lie in files.
"""

import os
import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from multidd.data.cells import class_names
from multidd.data.listing import SPARK_HIDDEN, list_files, part_words, suffix_counts
from multidd.data.sources import is_saved, load_saved, part_of, several_splits
from multidd.data.table_source import (
    Columns,
    TableSource,
    attempt,
    columns_of,
    damaged,
    guarded,
    open_table,
)
from multidd.storage.limits import check_regular

__all__ = [
    "FileShard",
    "ParquetShard",
    "Shard",
    "TableShard",
    "open_shard",
    "shards_of",
]

PARQUET = (".parquet", ".pq")
SHARD_ROWS = 2**22  # a larger file is read by several workers
BATCH_ROWS = 2**18  # decoded at a time: a worker's memory does not grow with the file
READ_BYTES = 2**20  # of a column that is read ahead


@dataclass(frozen=True)
class ParquetShard:
    """Row groups of a parquet file.

    Attributes:
        path: of the file.
        groups: numbers of row groups.
    """

    path: pathlib.Path
    groups: tuple[int, ...]


@dataclass(frozen=True)
class FileShard:
    """A file of another form.

    Attributes:
        path: of the file.
    """

    path: pathlib.Path


@dataclass(frozen=True, eq=False)
class TableShard:
    """A part of a dataset or a stream, or a whole table.

    Attributes:
        data: what `open_table` opens, or a stream of the datasets library.
        label: what errors call it.
    """

    data: Any
    label: str


Shard: TypeAlias = ParquetShard | FileShard | TableShard


def shards_of(
    data: Any, suffixes: Collection[str], parts: Mapping[str, Sequence[str]] | None
) -> list[Shard]:
    """Shards of files, folders, datasets, streams or tables, in the order given.

    Args:
        data: the path of a file or folder; a `datasets.Dataset` or `IterableDataset`; a
            frame or an Arrow table; or a list of such things.
        suffixes: of the files that are read, beside parquet.
        parts: part -> words for it, where a folder may hold files of several parts: the
            training part alone is read. None: all files are.

    Raises:
        FileNotFoundError: a path of nothing.
        ValueError: a folder without such files, or an empty list.
        TypeError: a thing of another kind; rows of triples or dicts.

    Example:
        >>> import pyarrow, pyarrow.parquet
        >>> table = pyarrow.table({"user": [1, 2, 3], "item": [4, 5, 6]})
        >>> pyarrow.parquet.write_table(table, "log.parquet", row_group_size=2)
        >>> shards_of("log.parquet", (), None)[0].groups
        (0, 1)
    """
    if isinstance(data, list | tuple):
        if not data:
            raise ValueError("there is nothing to sketch: an empty list was given")
        return [shard for one in data for shard in _shards(one, suffixes, parts)]
    return _shards(data, suffixes, parts)


def _shards(
    data: Any, suffixes: Collection[str], parts: Mapping[str, Sequence[str]] | None
) -> list[Shard]:
    if isinstance(data, str | os.PathLike):
        return _of_path(pathlib.Path(data).expanduser(), suffixes, parts)
    library = type(data).__module__.split(".")[0]
    if library == "datasets" and isinstance(data, Mapping):
        raise TypeError(several_splits(data))
    if library == "datasets" and hasattr(data, "shard"):
        return _of_hf(data, "the dataset")
    if not isinstance(data, list | tuple | Mapping) and open_table(data) is not None:
        return [TableShard(data, "the table")]
    raise TypeError(
        "what is sketched must be paths, datasets, streams or tables, or a list of "
        f"these; got {type(data).__name__}; rows in memory need no sketch"
    )


def _of_path(
    path: pathlib.Path,
    suffixes: Collection[str],
    parts: Mapping[str, Sequence[str]] | None,
) -> list[Shard]:
    if not path.exists():
        raise FileNotFoundError(
            f"there is no file or folder {path}; give the path of data ("
            f"{', '.join([*PARQUET, *suffixes])}, or a folder of such files)"
        )
    if not path.is_dir():
        return _of_file(path, suffixes)
    if is_saved(path):
        return _of_saved(path, parts)
    listing = list_files(path, SPARK_HIDDEN)
    # The same data may lie there as CSV too: parquet goes first.
    files = listing.of_suffix(PARQUET) or listing.of_suffix(suffixes)
    if not files:
        raise ValueError(
            f"{path} holds no {', '.join([*PARQUET, *suffixes])} file; its files are "
            f"{suffix_counts(listing.files) or 'none'}; give another folder, or files"
        )
    read = files if parts is None else _training(path, files, parts)
    forms = PARQUET if files[0].suffix.lower() in PARQUET else suffixes
    listing.warn(read, f"{', '.join(forms)} files{' to train on' if parts else ''}")
    return [shard for file in read for shard in _of_file(file, suffixes)]


def _training(
    folder: pathlib.Path,
    files: Sequence[pathlib.Path],
    parts: Mapping[str, Sequence[str]],
) -> list[pathlib.Path]:
    """Files of the training part; all of them where no name stands for a part."""
    names = {file: _names(folder, file) for file in files}
    words = part_words({name for of_file in names.values() for name in of_file}, parts)
    if not words:
        return list(files)
    train = set(parts["train"])
    return [
        file
        for file, of_file in names.items()
        if {words[name] for name in of_file if name in words} & train
    ] or _no_training(folder, words)


def _names(folder: pathlib.Path, file: pathlib.Path) -> tuple[str, ...]:
    return file.relative_to(folder).with_suffix("").parts


def _no_training(folder: pathlib.Path, words: Mapping[str, str]) -> list[pathlib.Path]:
    raise ValueError(
        f"{folder} holds the parts {', '.join(sorted(words))} and none to train on; "
        "give the files themselves"
    )


def _of_file(path: pathlib.Path, suffixes: Collection[str]) -> list[Shard]:
    check_regular(path)  # a pipe would wait for ever, a device has no end
    suffix = path.suffix.lower()
    if suffix in PARQUET:
        return _of_parquet(path)
    if suffix not in suffixes:
        raise ValueError(
            f"{path} is none of {', '.join([*PARQUET, *suffixes])}; for other files "
            "pass what reads them, such as a datasets.Dataset or an Arrow table"
        )
    return [FileShard(path)]


def _of_parquet(path: pathlib.Path) -> list[Shard]:
    """Row groups by and by, so that a large file is many shards."""
    import pyarrow.parquet

    fault = damaged(f"{path} cannot be opened as parquet")
    footer = attempt(lambda: pyarrow.parquet.read_metadata(path), fault)
    shards: list[Shard] = []
    groups: list[int] = []
    rows = 0
    for group in range(footer.num_row_groups):
        groups.append(group)
        rows += footer.row_group(group).num_rows
        if rows >= SHARD_ROWS:
            shards.append(ParquetShard(path, tuple(groups)))
            groups, rows = [], 0
    # A file without rows is opened all the same: its columns are checked.
    if groups or not shards:
        shards.append(ParquetShard(path, tuple(groups)))
    return shards


def _of_saved(
    folder: pathlib.Path, parts: Mapping[str, Sequence[str]] | None
) -> list[Shard]:
    """What `save_to_disk` wrote: Arrow files, of which each worker maps its rows."""
    data = load_saved(folder)
    if isinstance(data, Mapping):
        train = part_of(data, (parts or {"train": ("train",)})["train"])
        if train is None:
            raise ValueError(f"{folder} has no training split; it has {sorted(data)}")
        data = train
    return _of_hf(data, str(folder))


def _of_hf(data: Any, label: str) -> list[Shard]:
    if hasattr(data, "num_rows"):
        count = -(-data.num_rows // SHARD_ROWS) or 1
        pieces = [data.shard(count, at, contiguous=True) for at in range(count)]
    else:
        # Until lately the datasets library called them n_shards.
        count = getattr(data, "num_shards", None) or data.n_shards
        pieces = [data.shard(num_shards=count, index=at) for at in range(count)]
    if count == 1:
        return [TableShard(data, label)]
    return [
        TableShard(piece, f"shard {at} of {count} of {label}")
        for at, piece in enumerate(pieces)
    ]


# --- opened ---------------------------------------------------------------------------


def open_shard(
    shard: Shard,
    open_file: Callable[[pathlib.Path], TableSource],
    batch_rows: int | None = None,
) -> TableSource:
    """A shard as a source of columns, read in batches of bounded memory.

    Args:
        shard: of `shards_of`.
        open_file: opens a file that is no parquet.
        batch_rows: of a batch at most; None: as many as short rows allow.

    Raises:
        CorruptFileError: a damaged file; says which row group.

    Example:
        >>> import pyarrow
        >>> table = pyarrow.table({"user": [1], "item": [2]})
        >>> open_shard(TableShard(table, "mine"), open_file=None).names
        ('user', 'item')
    """
    rows = BATCH_ROWS if batch_rows is None else batch_rows
    if isinstance(shard, ParquetShard):
        return _open_groups(shard, rows)
    if isinstance(shard, FileShard):
        return open_file(shard.path)
    if type(shard.data).__module__.split(".")[0] != "datasets":
        opened = open_table(shard.data)
        assert opened is not None  # `shards_of` has opened it
        return opened
    if hasattr(shard.data, "num_rows"):
        return _open_dataset(shard.data, shard.label, rows)
    return _open_stream(shard.data, shard.label, rows)


def _open_groups(shard: ParquetShard, rows: int) -> TableSource:
    import pyarrow
    import pyarrow.parquet

    path = shard.path
    fault = damaged(f"{path} cannot be opened as parquet")
    schema = attempt(lambda: pyarrow.parquet.read_schema(path), fault)
    keys = {k: v for k, v in _partition_keys(path).items() if k not in schema.names}

    def read(names: list[str]) -> Iterator[Columns]:
        stored = [name for name in names if name not in keys]
        options: dict[str, Any] = {
            "page_checksum_verification": True,
            "buffer_size": READ_BYTES,
            "pre_buffer": False,
        }
        with attempt(
            lambda: pyarrow.parquet.ParquetFile(path, **options), fault
        ) as file:
            for group in shard.groups:
                place = f"row group {group} of {file.num_row_groups} (from 0)"
                broken = damaged(f"{path} is damaged: {place} cannot be read")
                # One thread: the workers are the threads.
                batches = file.iter_batches(rows, [group], stored, use_threads=False)
                for batch in guarded(batches, broken):
                    columns = dict(columns_of(batch, stored))
                    columns |= {
                        name: pyarrow.repeat(keys[name], len(batch))
                        for name in names
                        if name in keys
                    }
                    yield columns

    names = (*schema.names, *keys)
    return TableSource(str(path), names, read, class_names(schema), path.stem)


def _partition_keys(path: pathlib.Path) -> dict[str, Any]:
    """Columns that folders stand for, such as day=3, as Spark and Hive write them."""
    pairs = [name.partition("=") for name in path.parts[:-1] if "=" in name]
    return {
        key: int(value) if value.lstrip("-").isdecimal() else value
        for key, _, value in pairs
    }


def _open_dataset(data: Any, label: str, rows: int) -> TableSource:
    """Rows of a `datasets.Dataset`, which maps its files; nothing is decoded."""

    def read(names: list[str]) -> Iterator[Columns]:
        arrow = data.select_columns(names).with_format("arrow")
        return (columns_of(batch, names) for batch in arrow.iter(batch_size=rows))

    name = data.info.dataset_name or ""
    return TableSource(label, tuple(data.column_names), read, _classes(data), name)


def _open_stream(data: Any, label: str, rows: int) -> TableSource:
    """A stream of the datasets library; one of unknown columns tells by its first row.

    Its rows are read once from the beginning, whoever has read of it before.
    """
    for name, feature in dict(data.features or {}).items():
        if type(feature).__name__ == "Image":
            data = data.cast_column(name, type(feature)(decode=False))
    names = data.column_names
    if names is None:
        first = next(iter(data.take(1)), None)
        names = [] if first is None else list(first)

    def read(chosen: list[str]) -> Iterator[Columns]:
        for batch in data.iter(batch_size=rows):
            yield {name: batch[name] for name in chosen}

    return TableSource(label, tuple(names), read, _classes(data))


def _classes(data: Any) -> dict[str, tuple[str, ...]]:
    """Column -> names of its classes, of a dataset or a stream."""
    return {
        name: tuple(feature.names)
        for name, feature in (data.features or {}).items()
        if type(feature).__name__ == "ClassLabel"
    }
