"""Sketches of logs that are larger than memory: a uniform sample of whole users."""

import json
import os
import pathlib
import time as clock
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from multidd.arguments import public_function
from multidd.recsys.data.columns import choose_columns
from multidd.recsys.data.id_encoder import numbers_of, to_numpy
from multidd.recsys.data.log import InteractionLog
from multidd.recsys.data.log_sketch import LogSketch
from multidd.recsys.data.readers import Rows, core, no_events, used
from multidd.recsys.data.shard_reader import (
    Request,
    open_events_of,
    read_shards,
)
from multidd.recsys.data.sources import DELIMITERS, SKETCH_NOTE
from multidd.sketches.hashing import seed_key
from multidd.sketches.merging import sketched
from multidd.sketches.shards import shards_of
from multidd.storage.atomic import replacing

__all__ = ["sketch", "write_log"]

SUFFIXES = (*DELIMITERS, ".gz")

ROLES = {"split": "part"}
"""Role of a column -> what rows call it, where that is another word."""


@public_function
def sketch(
    paths: Any,
    users: int = 200_000,
    seed: int = 0,
    *,
    user: str | None = None,
    item: str | None = None,
    rating: str | None = None,
    time: str | None = None,
    split: str | None = None,
    min_rating: float | None = None,
    min_user: int | None = None,
    min_item: int | None = None,
    executor: Executor | None = None,
) -> InteractionLog:
    """A uniform sample of the users of a log of any size, each with all events.

    The users whose ids have the smallest hashes (of id and seed alone) are kept: one
    pass, no shuffle, memory that does not grow with the log, and the same log for any
    cut of the rows into files, any order of these and any executor. A log of no more
    users comes back whole, as `read_log` reads it.

    Of a pair of user and item that comes again the latest event stays; of equal times,
    or without times, that of the highest rating. Counts of items are those of events,
    repeated ones too.

    Args:
        paths: .parquet, .csv, .tsv (also .gz) or .inter files, folders of them, a
            folder that `save_to_disk` wrote, a `datasets.Dataset` or `IterableDataset`,
            a frame or an Arrow table; or a list of these.
        users: K, users that are kept at most.
        seed: of the hashes: another one keeps other users.
        user, item, rating, time, split: columns, as of `read_log`; the same in all
            shards.
        min_rating: leave rows of a lower rating out.
        min_user: leave users with fewer items out of those that are kept, so that the
            log has fewer than K of them: still a uniform sample of such users.
        min_item: leave items out that have fewer events in all data. First items leave,
            then users; where all users are kept, in turn until none does, by the users
            of an item, as `read_log` does.
        executor: reads and merges shards in parallel; any `concurrent.futures.Executor`
            will do. None: this process.

    Returns:
        The log. `log.sketch` says what was seen: `events`, `users` (`users_exact` tells
        whether that is their number or an estimate of it from the K-th hash), `items`,
        `kept_users`, `unmet_items` (no kept user has them, so they are not in the log)
        and the share of events that they have, `shards`, `seconds`; with `min_user` and
        `min_item` these, and how many users of the sample and items of all data they
        leave out: `users_below`, `items_below`. `log.item_events` has, for each item of
        the log, its events in all data.

    Raises:
        ValueError: a shard without the columns, or with ids of another type than those
            before, and says which file; nothing is left.
        FileNotFoundError: no such file.
        CorruptFileError: a damaged file; says which row group.
        MultiddError: a worker of the executor was killed.

    Example:
        >>> import pandas
        >>> events = pandas.DataFrame({"user": [1, 1, 2, 3], "item": [7, 8, 7, 9]})
        >>> log = sketch(events, users=2)
        >>> log.num_users, log.sketch["events"], log.sketch["users_exact"]
        (2, 4, False)
    """
    if users < 1:
        raise ValueError(f"users must be at least 1; got {users}; take 200,000")
    if min_rating is not None and (rating is None or not np.isfinite(min_rating)):
        raise ValueError(
            f"min_rating must be a finite number and needs rating='the column of "
            f"ratings'; got min_rating={min_rating!r}, rating={rating!r}"
        )
    started = clock.perf_counter()
    shards = shards_of(paths, SUFFIXES, None)
    asked = dict(user=user, item=item, rating=rating, time=time, split=split)
    first = open_events_of(shards[0])
    columns = choose_columns(first, asked)
    request = Request(users, seed_key(seed), asked, columns, min_rating)
    state = sketched(partial(read_shards, request=request), shards, executor)
    if not len(state.items):
        raise no_events("the log", state.facts.rows, state.facts.dropped)
    seconds = round(clock.perf_counter() - started, 3)
    facts = {"seed": seed, "shards": state.facts.shards, "seconds": seconds}
    limits = _Limits(min_user, min_item)
    return _log(state, columns, _name_of(paths), facts, limits)


def _name_of(paths: Any) -> str:
    """That of a file or folder, as `read_log` has it."""
    if isinstance(paths, list | tuple) and len(paths) == 1:
        (paths,) = paths
    if not isinstance(paths, str | os.PathLike):
        return ""
    path = pathlib.Path(paths)
    stem = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return path.name if path.is_dir() else stem.stem


@dataclass(frozen=True)
class _Limits:
    """Below which users and items leave a log; None of no limit."""

    min_user: int | None
    min_item: int | None

    def applied(
        self, rows: Rows, item_events: np.ndarray, is_whole: bool
    ) -> tuple[Rows, np.ndarray, Counter[str]]:
        """What stays of the events of some users.

        Args:
            rows: their events, sorted, one of each pair.
            item_events: `[I]`, events of each item in all data.
            is_whole: the users are all there are.

        Returns:
            The rows, `[I]` whether an item stays, and how many rows, users and items
            left for which reason.
        """
        everywhere = np.ones(len(item_events), bool)
        if is_whole:
            rows, dropped = core(rows, self.min_user, self.min_item)
            if dropped["items below min_item"]:
                everywhere[:] = False
                everywhere[rows.item] = True
            return rows, everywhere, dropped
        dropped = Counter()
        if self.min_item is not None:
            # Counts of events are exact; which users have an item is not known of all.
            everywhere = item_events >= self.min_item
            stays = everywhere[rows.item]
            dropped["below min_item"] = int((~stays).sum())
            dropped["items below min_item"] = int((~everywhere).sum())
            rows = rows.take(stays)
        if self.min_user is not None and len(rows.user):
            rows, of_users = core(rows, self.min_user)
            dropped.update(of_users)
        return rows, everywhere, dropped

    def facts(self, users: int, items: int) -> dict[str, int]:
        """For the record of a sketch, where there are limits.

        Args:
            users: that left.
            items: that left.
        """
        limits = {"min_user": self.min_user, "min_item": self.min_item}
        known = {name: limit for name, limit in limits.items() if limit is not None}
        return known | {"users_below": users, "items_below": items} if known else {}


def _log(
    state: LogSketch,
    columns: Mapping[str, str],
    name: str,
    facts: Mapping[str, Any],
    limits: _Limits,
) -> InteractionLog:
    """The sketch as a log, its users in the order of their ids."""
    int_users, uint_users, int_items, uint_items = state.facts.numeric
    user_ids, order = _in_order(state.users, int_users or uint_users)
    all_items, item_order = _in_order(state.item_ids, int_items or uint_items)
    rank = np.empty(len(item_order), np.int32)
    rank[item_order] = np.arange(len(item_order), dtype=np.int32)
    # As text they stood in another order than as numbers.
    row = np.empty(len(order), np.int64)
    row[order] = np.arange(len(order))
    users = np.repeat(row, state.sizes)
    items = rank[state.items]
    item_events = state.item_events[item_order]
    parts = {ROLES.get(role, role): of for role, of in state.values.items()}
    rows = Rows(users, items, **parts).take(np.lexsort((items, users)))
    count, is_exact = state.num_users
    events = state.facts.events
    dropped = Counter(state.facts.dropped)
    dropped["duplicates"] = int(state.read.sum()) - len(items)
    dropped["events of other users"] = events - int(state.read.sum())
    rows, stays, below = limits.applied(rows, item_events, not state.facts.is_cut)
    dropped.update(below)
    if not len(rows.user):
        raise no_events("the log", state.facts.rows, dropped)
    user, user_ids = used(rows.user, user_ids)
    item, item_ids = used(rows.item, all_items)
    met = np.isin(np.arange(len(all_items)), rows.item)
    unmet = stays & ~met
    sizes = np.bincount(user)
    return InteractionLog(
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        item,
        user_ids,
        item_ids,
        part=rows.part,
        rating=rows.rating,
        time=rows.time,
        dropped={why: number for why, number in dropped.items() if number},
        columns=dict(columns),
        name=name,
        divided=f"column {columns['split']}" if "split" in columns else "",
        item_events=item_events[met],
        sketch={
            "events": events,
            "users": count,
            "users_exact": is_exact,
            "kept_users": len(user_ids),
            "items": len(all_items),
            "unmet_items": int(unmet.sum()),
            "unmet_events": round(float(item_events[unmet].sum()) / events, 6),
            **limits.facts(len(order) - len(user_ids), int((~stays).sum())),
            **facts,
        },
    )


def _in_order(ids: Any, is_numeric: bool) -> tuple[np.ndarray, np.ndarray]:
    """Ids as `read_log` has them, ascending, and the place of each before."""
    import pyarrow.compute

    table = numbers_of(ids) if is_numeric else ids
    order = pyarrow.compute.sort_indices(table)
    return to_numpy(table.take(order)), order.to_numpy()


def write_log(log: InteractionLog, path: pathlib.Path) -> None:
    """Write a log as one parquet file, which `read_log` and `load` read again.

    Its columns are user_id, item_id and, where the log has them, rating, time and
    split. What a sketch has seen is kept beside the columns, but for the counts of
    items. The file is written aside and renamed.

    Args:
        log: not changed.
        path: of the file; its folder must be there.

    Raises:
        ValueError: another suffix than .parquet.
        StorageError: it cannot be written.

    Example:
        >>> from multidd.recsys.data.readers import read_log
        >>> log = read_log([("ann", 7), ("bob", 9)])
        >>> write_log(log, pathlib.Path("log.parquet"))
        >>> read_log("log.parquet").fingerprint == log.fingerprint
        True
    """
    import pyarrow
    import pyarrow.parquet

    if path.suffix.lower() != ".parquet":
        raise ValueError(f"a log is written as a .parquet file; got {path}")
    columns = {"user_id": log.user_ids[log.rows], "item_id": log.item_ids[log.items]}
    values = {"rating": log.rating, "time": log.time, "split": log.part}
    columns |= {name: of for name, of in values.items() if of is not None}
    table = pyarrow.table({n: pyarrow.array(values) for n, values in columns.items()})
    if log.sketch:
        notes = {SKETCH_NOTE: json.dumps(dict(log.sketch)).encode()}
        table = table.replace_schema_metadata(notes)
    with replacing(path) as file:
        pyarrow.parquet.write_table(table, file)
