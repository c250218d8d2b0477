"""A sketch of a log: all events of some users, and counts of all items.

Kept are the K users whose ids have the smallest hashes: a uniform sample of users, each
with the whole history. Letters: K users, n events that are kept, I items.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from multidd.data.cells import as_arrow, as_numbers
from multidd.recsys.data.id_tables import aligned, as_one_type, united
from multidd.sketches.hashing import hash_ids

ORDER = ("time", "rating", "split")
"""Of a pair of user and item that comes again the last in this order stays."""

BLOCK = 2**19  # events that are merged at a time


@dataclass(frozen=True)
class SketchFacts:
    """What a sketch saw, which adds up over its parts.

    Attributes:
        rows: that were read.
        events: of these, those that nothing left out.
        dropped: reason -> rows that were left out.
        shards: that were read.
        numeric: whether all ids of users are numbers that int64 holds, or text for
            such; the same of uint64; and both of items.
        is_cut: some users are not among those that are kept.
    """

    rows: int = 0
    events: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    shards: int = 0
    numeric: tuple[bool, ...] = (True,) * 4
    is_cut: bool = False

    def __add__(self, other: "SketchFacts") -> "SketchFacts":
        return SketchFacts(
            self.rows + other.rows,
            self.events + other.events,
            dict(Counter(self.dropped) + Counter(other.dropped)),
            self.shards + other.shards,
            tuple(map(min, self.numeric, other.numeric)),
            self.is_cut or other.is_cut,
        )


@dataclass(frozen=True, eq=False)
class LogSketch:
    """The sketch of some shards of a log; `merge` gives that of more of them.

    Attributes:
        keep: K.
        key: of the seed; see `multidd.sketches.seed_key`.
        labels: what errors call the columns of users and of items.
        users: `[u <= K]` Arrow array of ids, by their hash and then by the id.
        hashes: `[u]` uint64.
        read: `[u]` int64, events of each user that were read, repeated ones too.
        sizes: `[u]` int64, different items of each user.
        items: `[n]` int32 numbers of items, user after user, ascending within each.
        values: role -> `[n]`, of the roles `time`, `rating` and `split`.
        item_ids: `[I]` Arrow array, ascending: all items of the shards.
        item_events: `[I]` int64, events of each in the shards, of any user.
        facts: what was seen.
    """

    keep: int
    key: int
    labels: tuple[str, str]
    users: Any
    hashes: np.ndarray
    read: np.ndarray
    sizes: np.ndarray
    items: np.ndarray
    values: Mapping[str, np.ndarray]
    item_ids: Any
    item_events: np.ndarray
    facts: SketchFacts

    def merge(self, other: "LogSketch") -> "LogSketch":
        """The sketch of the shards of both: the same in any order.

        Raises:
            ValueError: ids that are text in one and numbers in the other.
        """
        names = (self.labels[0], other.labels[0]), (self.labels[1], other.labels[1])
        users = as_one_type(self.users, other.users, names[0])
        item_tables = as_one_type(self.item_ids, other.item_ids, names[1])
        item_ids, places = united(item_tables)
        order = _bottom(users, (self.hashes, other.hashes), self.keep)
        item_events = np.zeros(len(item_ids), np.int64)
        read = np.zeros(len(order.users), np.int64)
        runs = []
        for part, code, place in zip((self, other), order.codes, places, strict=True):
            item_events[place] += part.item_events
            # Users stand by their hash, so those that stay are the first ones.
            stay = int((code < self.keep).sum())
            read[code[:stay]] += part.read[:stay]
            runs.append(Run(part, code[:stay], place.astype(np.int32)))
        sizes, items, values = merged_events(runs, len(order.users), len(item_ids))
        facts = self.facts + other.facts
        return LogSketch(
            self.keep,
            self.key,
            min(self.labels, other.labels),
            order.users,
            order.hashes,
            read,
            sizes,
            items,
            values,
            item_ids,
            item_events,
            replace(facts, is_cut=facts.is_cut or order.is_cut),
        )

    @property
    def limit(self) -> int:
        """No user with a higher hash can be among those that are kept."""
        return 2**64 - 1 if len(self.users) < self.keep else int(self.hashes[-1])

    @property
    def num_users(self) -> tuple[int, bool]:
        """Users of all shards, and whether the number is exact.

        Of K hashes that are uniform in 0..1 the largest, h, tells of how many they are
        the smallest: (K - 1) / h, with a relative error of about 1 / sqrt(K - 2).
        """
        if not self.facts.is_cut:
            return len(self.users), True
        share = (int(self.hashes[-1]) + 1) / 2**64
        return max(self.keep + 1, round((self.keep - 1) / share)), False


@dataclass(frozen=True, eq=False)
class RawEvents:
    """Events as they were read.

    Attributes:
        users: `[n]` Arrow array of ids.
        items: `[n]` Arrow array of ids.
        values: role -> `[n]`.
    """

    users: Any
    items: Any
    values: Mapping[str, np.ndarray]


def sketch_of(
    events: RawEvents, keep: int, key: int, labels: tuple[str, str]
) -> LogSketch:
    """The sketch of events in memory, without counts of items.

    Args:
        events: in any order.
        keep: K.
        key: of the seed.
        labels: what errors call the columns of users and of items.

    Example:
        >>> import pyarrow
        >>> ids = pyarrow.array([5, 5, 9]), pyarrow.array([1, 2, 1])
        >>> sketch_of(RawEvents(*ids, {}), 10, 0, ("u", "i")).num_users
        (2, True)
    """
    encoded = events.users.dictionary_encode()
    codes, ids = as_numbers(encoded.indices), encoded.dictionary
    order = _bottom((ids,), (hash_ids(ids, key).values,), keep)
    (new,) = order.codes
    row = new[codes]
    stays = row < keep
    items = events.items.dictionary_encode()
    (item_ids, (place,)) = united((items.dictionary,))
    if not stays.all():
        row = row[stays]
        item = place[as_numbers(items.indices)[stays]]
        values = {role: of[stays] for role, of in events.values.items()}
    else:
        item, values = place[as_numbers(items.indices)], dict(events.values)
    count = len(order.users)
    read = np.bincount(row, minlength=count).astype(np.int64)
    pairs = row * len(item_ids) + item
    sizes, item, values = _events(pairs, values, count, len(item_ids))
    return LogSketch(
        keep,
        key,
        labels,
        order.users,
        order.hashes,
        read,
        sizes,
        item,
        values,
        item_ids,
        np.zeros(len(item_ids), np.int64),
        SketchFacts(is_cut=order.is_cut),
    )


@dataclass(frozen=True, eq=False)
class _Bottom:
    """The users of some tables with the smallest hashes.

    Attributes:
        users: `[u]` Arrow array of ids.
        hashes: `[u]` uint64.
        codes: for each table `[k]` int64, the place of each id; K and above for those
            that are left out.
        is_cut: some are.
    """

    users: Any
    hashes: np.ndarray
    codes: tuple[np.ndarray, ...]
    is_cut: bool


def _bottom(tables: Sequence[Any], hashes: Sequence[np.ndarray], keep: int) -> _Bottom:
    """By hash, and by the id itself where two have one hash."""
    import pyarrow

    ids = pyarrow.concat_arrays(list(tables))
    joined = np.concatenate(hashes)
    order = np.argsort(joined, kind="stable")
    sorted_hashes = joined[order]
    is_new = np.ones(len(order), bool)
    equal = np.flatnonzero(sorted_hashes[1:] == sorted_hashes[:-1]) + 1
    if len(equal):
        order = _by_id(ids, order, sorted_hashes, equal)
        is_new[equal] = aligned(ids, order[equal], order[equal - 1])
    number = np.cumsum(is_new) - 1
    place = np.empty(len(order), np.int64)
    place[order] = number
    first = order[is_new][:keep]
    bounds = np.cumsum([len(table) for table in tables])[:-1]
    return _Bottom(
        ids.take(as_arrow(first)),
        joined[first],
        tuple(np.split(place, bounds)),
        bool(len(order)) and int(number[-1]) >= keep,
    )


def _by_id(
    ids: Any, order: np.ndarray, hashes: np.ndarray, equal: np.ndarray
) -> np.ndarray:
    """The order with runs of one hash sorted by the id; most are one id twice."""
    differ = aligned(ids, order[equal], order[equal - 1])
    result = order
    for value in np.unique(hashes[equal[differ]]):
        low, high = np.searchsorted(hashes, [value, value], side="left")
        high = int(np.searchsorted(hashes, value, side="right"))
        run = order[low:high]
        names = [ids[int(at)].as_py() for at in run]
        result = result.copy() if result is order else result
        result[low:high] = run[sorted(range(len(run)), key=lambda at: names[at])]
    return result


@dataclass(frozen=True, eq=False)
class Run:
    """The events of one sketch for a merge.

    Attributes:
        part: the sketch.
        codes: `[s]` int64, ascending: the new places of its first users, which stay.
        items: `[I]` int32, the new number of each of its items.
    """

    part: LogSketch
    codes: np.ndarray
    items: np.ndarray


def merged_events(
    runs: Sequence[Run], users: int, items: int
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Events of all runs by user and item, one of each pair.

    A block of users after another, as keys and orders take many times the memory of
    the events themselves.

    Args:
        runs: of the parts.
        users: that stay.
        items: of all parts.

    Returns:
        `[users]` sizes, `[n]` int32 items, role -> `[n]` values.
    """
    total = np.zeros(users + 1, np.int64)
    ends = []
    for run in runs:
        sizes = run.part.sizes[: len(run.codes)]
        np.add.at(total, run.codes + 1, sizes)
        ends.append(np.concatenate([[0], np.cumsum(sizes)]))
    np.cumsum(total, out=total)
    out = _Output(int(total[-1]), runs)
    start = 0
    while start < users:
        stop = int(np.searchsorted(total, total[start] + BLOCK, side="right")) - 1
        stop = min(max(stop, start + 1), users)
        pairs, values = [], []
        for run, end in zip(runs, ends, strict=True):
            low, high = np.searchsorted(run.codes, [start, stop])
            rows = slice(end[low], end[high])
            row = np.repeat(run.codes[low:high] - start, np.diff(end[low : high + 1]))
            pairs.append(row * items + run.items[run.part.items[rows]])
            values.append({role: of[rows] for role, of in run.part.values.items()})
        joined = {r: np.concatenate([of[r] for of in values]) for r in values[0]}
        out.add(*_events(np.concatenate(pairs), joined, stop - start, items))
        start = stop
    return out.finish()


class _Output:
    """Arrays that blocks are written to, one after the other."""

    def __init__(self, size: int, runs: Sequence[Run]) -> None:
        roles = runs[0].part.values
        self.sizes: list[np.ndarray] = []
        self.items = np.empty(size, np.int32)
        self.values = {
            role: np.empty(
                size, np.result_type(*(run.part.values[role] for run in runs))
            )
            for role in roles
        }
        self.count = 0

    def add(
        self, sizes: np.ndarray, items: np.ndarray, values: Mapping[str, np.ndarray]
    ) -> None:
        rows = slice(self.count, self.count + len(items))
        self.sizes.append(sizes)
        self.items[rows] = items
        for role, of in values.items():
            self.values[role][rows] = of
        self.count += len(items)

    def finish(self) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        nothing = np.zeros(0, np.int64)
        sizes = np.concatenate([nothing, *self.sizes])
        # Not copied where no event came twice.
        values = {role: of[: self.count] for role, of in self.values.items()}
        return sizes, self.items[: self.count], values


def _events(
    pairs: np.ndarray, values: Mapping[str, np.ndarray], users: int, items: int
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Events by user and item, one of each pair: the last by `ORDER`.

    Args:
        pairs: `[m]` int64, `user * items + item`; sorted in place where there are no
            values.
        values: role -> `[m]`.
        users: how many.
        items: how many.

    Returns:
        `[users]` sizes, `[n]` int32 items, role -> `[n]` values.
    """
    results: dict[str, np.ndarray] = {}
    if values:
        # The keys of a sort, the first one last.
        keys = [values[role] for role in reversed(ORDER) if role in values]
        order = np.argsort(pairs, kind="stable")
        pairs = pairs[order]
        twice = pairs[1:] == pairs[:-1]
        if twice.any():
            rows = np.flatnonzero(np.append(twice, False) | np.append(False, twice))
            among = np.lexsort([key[order[rows]] for key in keys] + [pairs[rows]])
            order[rows] = order[rows[among]]
    else:
        pairs.sort(kind="stable")  # merges what is sorted already
        order = None
    last = np.append(pairs[1:] != pairs[:-1], True)[: len(pairs)]
    if not last.all():
        pairs = pairs[last]
        order = None if order is None else order[last]
    if order is not None:
        results = {role: of[order] for role, of in values.items()}
    starts = np.searchsorted(pairs, np.arange(users + 1) * items)
    sizes = np.diff(starts)
    base = np.repeat(np.arange(users) * items, sizes)
    return sizes, (pairs - base).astype(np.int32), results
