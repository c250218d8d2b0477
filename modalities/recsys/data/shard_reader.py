"""Shards of a log read into a sketch, in memory that does not grow with the log.

Without torch, which a worker need not load.
"""

import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multidd.data.cells import as_arrow, as_numbers
from multidd.data.table_source import TableSource
from multidd.recsys.data.batches import VALUES, BatchReader
from multidd.recsys.data.columns import EventSource, choose_columns
from multidd.recsys.data.id_tables import IdCounts, in_one_type, mixed_kinds
from multidd.recsys.data.log_sketch import (
    LogSketch,
    RawEvents,
    SketchFacts,
    sketch_of,
)
from multidd.sketches.hashing import hash_ids
from multidd.sketches.shards import Shard, open_shard

IDS = ("user", "item")

PENDING = 2**17  # events that are gathered before they are put into the sketch
PENDING_SHARE = 4  # or one for so many that it holds already: each is sorted seldom


@dataclass(frozen=True)
class Request:
    """What a sketch is asked to hold.

    Attributes:
        keep: users.
        key: of the seed.
        asked: role -> column as it was asked for, or None.
        columns: role -> column of the first shard, which all must have.
        min_rating: events of a lower rating are left out; None: none is.
    """

    keep: int
    key: int
    asked: Mapping[str, str | None]
    columns: Mapping[str, str]
    min_rating: float | None = None


def read_shards(shards: Sequence[Shard], request: Request) -> LogSketch:
    """The sketch of some shards; runs on workers.

    Args:
        shards: at least one.
        request: the same for all.

    Raises:
        ValueError: a shard with other columns, or with values that do not fit; says
            which.
        CorruptFileError: a damaged file.

    Example:
        >>> import pyarrow
        >>> from multidd.sketches.shards import TableShard
        >>> table = pyarrow.table({"user": [1, 1, 2], "item": [5, 6, 5]})
        >>> names = {"user": "user", "item": "item"}
        >>> request = Request(10, 0, {}, names)
        >>> read_shards([TableShard(table, "mine")], request).num_users
        (2, True)
    """
    builder: _Builder | None = None
    for shard in shards:
        events = open_events_of(shard)
        columns = shard_columns(events, request)
        if builder is None:
            labels = [f"column {columns[r]!r} of {events.label}" for r in IDS]
            builder = _Builder(request, (labels[0], labels[1]))
        builder.read(events, columns)
    assert builder is not None
    return builder.finish()


def open_events_of(shard: Shard) -> EventSource:
    """A shard, opened as a source of events."""
    return _as_events(open_shard(shard, _open_file))


def _open_file(path: pathlib.Path) -> TableSource:
    from multidd.recsys.data import sources  # loads scipy, which CSV alone needs

    return sources.of_path(path)


def _as_events(table: TableSource) -> EventSource:
    if isinstance(table, EventSource):
        return table
    text = table.numbers_as_text
    return EventSource(table.label, table.names, table.read, numbers_as_text=text)


def shard_columns(events: EventSource, request: Request) -> dict[str, str]:
    """The columns of a shard, which must be those of the first one.

    Raises:
        ValueError: it lacks one, or other columns would be read.
    """
    columns = choose_columns(events, {**request.asked, **request.columns})
    guessed = choose_columns(events, request.asked)
    for role, name in guessed.items():
        if name != request.columns.get(role, name):
            raise ValueError(
                f"{events.label} has the {role}s in {name!r}, and another shard in "
                f"{request.columns[role]!r}; name the right column with {role}="
            )
    return columns


class _Builder:
    """The sketch of what was read so far, and events that are not in it yet."""

    def __init__(self, request: Request, labels: tuple[str, str]) -> None:
        self.request, self.labels = request, labels
        self.facts = SketchFacts()
        self.counts = IdCounts(labels[1])
        self.pending: list[RawEvents] = []
        self.num_pending = 0
        self.sketch: LogSketch | None = None
        self.kinds: dict[str, tuple[bool, str]] = {}

    def read(self, events: EventSource, columns: Mapping[str, str]) -> None:
        """All batches of one shard."""
        reader = BatchReader(events, columns, self.request.min_rating)
        numeric: tuple[bool, ...] = (True,) * 4
        used = 0
        for batch in events.arrow(list(columns.values())):
            of_batch = reader.read(batch)
            self._check_kind("user", of_batch.users, reader.label("user"))
            self._check_kind("item", of_batch.items, reader.label("item"))
            used += int(of_batch.mask.sum())
            users = hash_ids(of_batch.users, self.request.key)
            of_users = (users.fits_int, users.fits_uint)
            numeric = tuple(map(min, numeric, of_users + _numeric(of_batch.items)))
            self._take(of_batch, users.values)
        facts = SketchFacts(reader.rows_read, used, dict(reader.dropped), 1, numeric)
        self.facts += facts

    def _check_kind(self, role: str, ids: Any, label: str) -> None:
        """Refuse text where a shard before has numbers, and the other way round."""
        import pyarrow

        if len(ids) == ids.null_count:
            return
        is_text = pyarrow.types.is_large_string(ids.type)
        before, other = self.kinds.setdefault(role, (is_text, label))
        if before != is_text:
            raise mixed_kinds(*((label, other) if is_text else (other, label)))

    def _take(self, batch: Any, hashes: np.ndarray) -> None:
        items = batch.items
        self.counts.add(items if batch.mask.all() else _chosen(items, batch.mask))
        limit = 2**64 - 1 if self.sketch is None else self.sketch.limit
        mask = batch.mask & (hashes <= np.uint64(limit))
        count = int(mask.sum())
        if not count:
            return
        values = {role: of[mask] for role, of in batch.values.items()}
        users = _chosen(batch.users, mask)
        self.pending.append(RawEvents(users, _chosen(items, mask), values))
        self.num_pending += count
        size = 0 if self.sketch is None else len(self.sketch.items)
        if self.num_pending > max(PENDING, size // PENDING_SHARE):
            self._flush()

    def _flush(self) -> None:
        request = self.request
        if self.pending:
            events = _one(self.pending, self.labels)
            self.pending, self.num_pending = [], 0
            part = sketch_of(events, request.keep, request.key, self.labels)
            del events
            self.sketch = part if self.sketch is None else self.sketch.merge(part)

    def finish(self) -> LogSketch:
        """The sketch of all that was read."""
        self._flush()
        ids, counts = self.counts.finish()
        sketch = self.sketch or self._empty(ids.type)
        # The counts are of more items than the users that are kept have.
        counted = replace(
            self._empty(ids.type), item_ids=ids, item_events=counts, facts=self.facts
        )
        return sketch.merge(counted)

    def _empty(self, kind: Any) -> LogSketch:
        import pyarrow

        nothing = np.zeros(0, np.int64)
        roles = [role for role in VALUES if role in self.request.columns]
        kinds = {"rating": np.float32, "time": np.int64, "split": np.int8}
        return LogSketch(
            self.request.keep,
            self.request.key,
            self.labels,
            pyarrow.nulls(0, kind),
            nothing.astype(np.uint64),
            nothing,
            nothing,
            nothing.astype(np.int32),
            {role: np.zeros(0, kinds[role]) for role in roles},
            pyarrow.nulls(0, kind),
            nothing,
            SketchFacts(),
        )


def _chosen(ids: Any, mask: np.ndarray) -> Any:
    import pyarrow

    if pyarrow.types.is_large_string(ids.type) or ids.null_count:
        return ids.take(as_arrow(np.flatnonzero(mask)))
    return as_arrow(as_numbers(ids)[mask])


def _numeric(items: Any) -> tuple[bool, bool]:
    """Whether ids of items are numbers that int64 holds, and those of uint64."""
    import pyarrow

    if pyarrow.types.is_large_string(items.type):
        hashes = hash_ids(items, 0)
        return hashes.fits_int, hashes.fits_uint
    is_int = pyarrow.types.is_int64(items.type)
    return is_int, not is_int


def _one(parts: Sequence[RawEvents], labels: tuple[str, str]) -> RawEvents:
    import pyarrow

    columns = []
    for name, label in zip(("users", "items"), labels, strict=True):
        arrays = in_one_type([getattr(part, name) for part in parts], label)
        columns.append(pyarrow.concat_arrays(arrays))
    roles = parts[0].values
    values = {r: np.concatenate([part.values[r] for part in parts]) for r in roles}
    return RawEvents(columns[0], columns[1], values)
