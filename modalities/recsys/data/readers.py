"""Read an interaction log from any source of events, a batch at a time."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from multidd.arguments import public_function
from multidd.data.table_source import Columns
from multidd.recsys.data.batches import VALUES, BatchReader
from multidd.recsys.data.columns import EventSource, choose_columns, final_names
from multidd.recsys.data.id_encoder import IdColumn
from multidd.recsys.data.log import COUNTED, InteractionLog
from multidd.recsys.data.sources import open_events


@public_function
def read_log(
    source: Any,
    user: str | None = None,
    item: str | None = None,
    rating: str | None = None,
    time: str | None = None,
    split: str | None = None,
    *,
    min_rating: float | None = None,
    min_user: int | None = None,
    min_item: int | None = None,
    name: str = "",
) -> InteractionLog:
    """Read an interaction log from a table of events.

    Only the columns named are read, a million rows at a time: memory grows with the
    different ids and four bytes for each id of a row, never with users x items. Users
    and items come in the order of their ids, so the order of rows does not matter.

    What is left out is counted in `dropped`: rows with `"missing ids"`; `"in no part"`;
    `"below min_rating"`; `"duplicates"` (of a pair of user and item the latest row
    stays, without times the last one); `"below min_user"` and `"below min_item"`. These
    and the interactions of the log add up to the rows read. Reasons that begin with
    `users` or `items` count those that are left out with their rows.

    Args:
        source: path of a .parquet, .csv, .tsv (also .gz) or RecBole .inter file, or of
            a folder of parquet files; an Arrow table, dataset, reader, or iterable of
            record batches; a pandas or polars frame; an HF `datasets.Dataset`; a list
            of dicts; rows of (user, item[, rating[, time]]); a scipy sparse matrix,
            users x items.
        user: its column of users; None looks for a common name such as user_id.
        item: its column of items; None looks for a common name such as item_id.
        rating: its column of ratings; None reads none.
        time: its column of times, numbers or datetimes (which become microseconds
            since 1970); None reads none.
        split: its column of parts: 0, 1, 2 or `"train"`, `"val"`, `"test"`; rows with
            a negative number or nothing are left out. None: all of it is training.
        min_rating: leave rows of a lower rating out.
        min_user: leave users of fewer items out,
        min_item: and items of fewer users, until all have as many.
        name: what reports call it; None: the name of the file.

    Returns:
        The log. Ids are int64 (uint64 where one needs it) or text; ids of a text file
        are numbers where all of them are.

    Raises:
        ValueError: a column is missing; ratings are no numbers, negative or NaN;
            nothing is left. Says which column and row.
        TypeError: a source of another kind.
        FileNotFoundError: no such file.
        CorruptFileError: a damaged file; says which row group.

    Example:
        >>> read_log([("ann", 7, 5), ("ann", 9, 2), ("bob", 7, 4)], min_rating=3)
        InteractionLog(users=2, items=1, interactions=2, density=100 %, dropped=1)
    """
    if min_rating is not None and not np.isfinite(min_rating):
        raise ValueError(f"min_rating must be a finite number; got {min_rating!r}")
    events = open_events(source)
    asked = dict(user=user, item=item, rating=rating, time=time, split=split)
    columns = choose_columns(events, asked)
    if min_rating is not None and "rating" not in columns:
        raise ValueError(
            f"min_rating={min_rating:g} needs rating='the column of ratings'; the "
            f"columns of {events.label} are {', '.join(events.names)}"
        )
    gatherer = _Gatherer(events, columns, min_rating)
    for batch in events.arrow(list(columns.values())):
        gatherer.add(batch)
    return gatherer.log(
        final_names(events, asked), min_user, min_item, name or events.name
    )


class _Gatherer:
    """Events as they come, batch after batch, without what is left out of each."""

    def __init__(
        self, events: EventSource, columns: Mapping[str, str], min_rating: float | None
    ) -> None:
        self.events = events
        self.reader = BatchReader(events, columns, min_rating)
        self.users = IdColumn(self.reader.label("user"), events.numbers_as_text)
        self.items = IdColumn(self.reader.label("item"), events.numbers_as_text)
        self.values: dict[str, list[np.ndarray]] = {
            role: [] for role in VALUES if role in columns
        }
        self.dropped = self.reader.dropped
        self.rows_used = 0

    def add(self, columns: Columns) -> None:
        """One batch."""
        batch = self.reader.read(columns)
        self.users.add(batch.users, batch.mask)
        self.items.add(batch.items, batch.mask)
        for role, of_role in batch.values.items():
            self.values[role].append(of_role[batch.mask])
        self.rows_used += int(batch.mask.sum())

    def log(
        self,
        names: Mapping[str, str],
        min_user: int | None,
        min_item: int | None,
        name: str,
    ) -> InteractionLog:
        """The log of all batches."""
        if self.rows_used == 0:
            raise self._empty()
        (user_ids, user), (item_ids, item) = self.users.finish(), self.items.finish()
        rest = {role: np.concatenate(parts) for role, parts in self.values.items()}
        self.values.clear()
        part = rest.pop("split", None)
        rows, duplicates = without_duplicates(Rows(user, item, part=part, **rest))
        del user, item, part, rest
        self.dropped["duplicates"] += duplicates
        rows, dropped = core(rows, min_user, min_item)
        self.dropped.update(dropped)
        if not len(rows.user):
            raise self._empty()
        before = {"users": len(user_ids), "items": len(item_ids)}
        user, user_ids = used(rows.user, user_ids)
        item, item_ids = used(rows.item, item_ids)
        self._count_bare("users", "items", before["users"] - len(user_ids))
        self._count_bare("items", "users", before["items"] - len(item_ids))
        indptr = np.concatenate([[0], np.cumsum(np.bincount(user))]).astype(np.int64)
        return InteractionLog(
            indptr,
            item,
            user_ids,
            item_ids,
            part=rows.part,
            rating=rows.rating,
            time=rows.time,
            dropped={why: count for why, count in self.dropped.items() if count},
            columns=dict(names),
            name=name,
            divided=f"column {names['split']}" if "split" in names else "",
            sketch=self.events.sketch,
        )

    def _count_bare(self, side: str, other: str, absent: int) -> None:
        """Users that no row is left of, unless the reason is known already."""
        below = self.dropped[f"{side} below min_{side[:-1]}"]
        self.dropped[f"{side} without {other}"] += absent - below

    def _empty(self) -> ValueError:
        return no_events(self.events.label, self.reader.rows_read, self.dropped)


def no_events(label: str, rows: int, dropped: Mapping[str, int]) -> ValueError:
    """The error for a source of which nothing is left.

    Args:
        label: of the source.
        rows: that were read.
        dropped: reason -> rows that were left out.

    Example:
        >>> str(no_events("log.csv", 3, {"missing ids": 3}))
        'no interactions are left of the 3 rows of log.csv; left out were 3 missing ...'
    """
    if not rows:
        return ValueError(f"{label} holds no events: it has no rows; read another")
    reasons = counts_in_words(
        {why: n for why, n in dropped.items() if why.split()[0] not in COUNTED}
    )
    return ValueError(
        f"no interactions are left of the {rows:,} rows of {label}; left out were "
        f"{reasons}; loosen what leaves them out"
    )


@dataclass(frozen=True, eq=False)
class Rows:
    """Events as arrays: numbers of user and item, and what else is known of each.

    Attributes:
        user: `[n]` int32.
        item: `[n]` int32.
        rating, time, part: `[n]`, or None.
    """

    user: np.ndarray
    item: np.ndarray
    rating: np.ndarray | None = None
    time: np.ndarray | None = None
    part: np.ndarray | None = None

    def take(self, which: np.ndarray) -> "Rows":
        """Some of the rows, by places or a mask."""

        def of(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[which]

        return Rows(
            self.user[which],
            self.item[which],
            of(self.rating),
            of(self.time),
            of(self.part),
        )


def without_duplicates(rows: Rows) -> tuple[Rows, int]:
    """Rows sorted by user and item, one of each pair: the latest, or else the last.

    Args:
        rows: in the order in which they were read.

    Returns:
        The rows, and how many are left out.

    Example:
        >>> user, item = np.array([1, 0, 1]), np.array([2, 2, 2])
        >>> rows = Rows(user, item, time=np.array([9, 5, 8]))
        >>> rows, duplicates = without_duplicates(rows)
        >>> rows.user, rows.time, duplicates
        (array([0, 1]), array([5, 9]), 1)
    """
    pair = rows.user.astype(np.int64) * (int(rows.item.max()) + 1) + rows.item
    if not (pair[1:] > pair[:-1]).all():
        if rows.time is None:
            order = np.argsort(pair, kind="stable")
        else:
            order = np.lexsort((rows.time, pair))  # stable, too
        pair = pair[order]
        last = order[np.append(pair[1:] != pair[:-1], True)]
        return rows.take(last), len(pair) - len(last)
    return rows, 0


def core(
    rows: Rows, min_user: int | None = None, min_item: int | None = None
) -> tuple[Rows, Counter[str]]:
    """Rows of users and items that keep enough of each other.

    Users below `min_user` and items below `min_item` leave in turn until none does:
    what stays is the same whoever begins.

    Args:
        rows: without duplicates.
        min_user: least number of items of a user.
        min_item: least number of users of an item.

    Returns:
        The rows that stay, and how many rows, users and items left for which reason.

    Example:
        >>> rows = Rows(np.array([0, 0, 1]), np.array([0, 1, 1]))
        >>> rows, dropped = core(rows, min_user=2)
        >>> rows.user, dict(dropped)
        (array([0, 0]), {'below min_user': 1, 'users below min_user': 1})
    """
    limits: dict[str, int] = {}
    for side, minimum in (("user", min_user), ("item", min_item)):
        if minimum is not None and minimum > 1:
            limits[side] = minimum
    dropped: Counter[str] = Counter()
    while True:
        before = len(rows.user)
        for side, minimum in limits.items():
            rows = _drop(rows, side, minimum, dropped)
        if len(rows.user) == before:
            return rows, dropped


def _drop(rows: Rows, side: str, minimum: int, dropped: Counter[str]) -> Rows:
    codes = getattr(rows, side)
    counts = np.bincount(codes)
    low = counts < minimum
    leaving = low[codes]
    if not leaving.any():
        return rows
    dropped[f"below min_{side}"] += int(leaving.sum())
    dropped[f"{side}s below min_{side}"] += int((low & (counts > 0)).sum())
    return rows.take(~leaving)


def used(codes: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and ids without the ids that no row has; their order stays.

    Example:
        >>> used(np.array([2, 0], np.int32), np.array([7, 8, 9]))
        (array([1, 0], dtype=int32), array([7, 9]))
    """
    seen = np.zeros(len(ids), bool)
    seen[codes] = True
    if seen.all():
        return codes, ids
    place = np.cumsum(seen, dtype=np.int32) - np.int32(1)
    return place[codes], ids[seen]


def counts_in_words(counts: Mapping[str, int]) -> str:
    """Counts of rows by reason, the largest first.

    Example:
        >>> counts_in_words({"duplicates": 2, "missing ids": 1000})
        '1,000 missing ids, 2 duplicates'
    """
    ordered = Counter(counts).most_common()
    return ", ".join(f"{count:,} {reason}" for reason, count in ordered)
