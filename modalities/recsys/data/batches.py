"""Batches of events, checked: what `read_log` and sketches do with each of them.

Without torch, so that processes which only read events are small.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from multidd.data.cells import as_bools
from multidd.data.table_source import Columns
from multidd.recsys.data.columns import OUT, EventSource, as_parts, as_ratings, as_times
from multidd.recsys.data.id_encoder import as_ids

VALUES = {"rating": as_ratings, "time": as_times, "split": as_parts}
"""Role of a column beside the ids -> what reads and checks it."""


@dataclass(frozen=True, eq=False)
class EventBatch:
    """Some events, and which of them count.

    Attributes:
        users: `[n]` Arrow array of ids; null where one is missing.
        items: `[n]` the same.
        values: role (`rating`, `time`, `split`) -> `[n]`.
        mask: `[n]` bool: those that nothing leaves out.
    """

    users: Any
    items: Any
    values: Mapping[str, np.ndarray]
    mask: np.ndarray


class BatchReader:
    """Checks batches of a source one after another, and counts what is left out.

    Args:
        events: the source.
        columns: role -> column; see `choose_columns`.
        min_rating: events of a lower rating are left out; None: none is.

    Attributes:
        dropped: reason -> rows that are left out so far.
        rows_read: rows so far, those left out too.

    Example:
        >>> from multidd.recsys.data.sources import open_events
        >>> events = open_events([("ann", 7), (None, 9)])
        >>> reader = BatchReader(events, {"user": "user", "item": "item"})
        >>> [reader.read(b).mask.tolist() for b in events.arrow(["user", "item"])]
        [[True, False]]
        >>> dict(reader.dropped)
        {'missing ids': 1}
    """

    def __init__(
        self,
        events: EventSource,
        columns: Mapping[str, str],
        min_rating: float | None = None,
    ) -> None:
        self.events, self.columns, self.min_rating = events, columns, min_rating
        self.dropped: Counter[str] = Counter(events.dropped)
        self.rows_read = events.dropped.get("stored zeros", 0)

    def label(self, role: str) -> str:
        """What errors call a column."""
        return f"column {self.columns[role]!r} of {self.events.label}"

    def read(self, batch: Columns) -> EventBatch:
        """One batch: every value of it is checked, those left out as well."""
        text = self.events.numbers_as_text
        users, items = (
            as_ids(batch[self.columns[role]], self.label(role), text)
            for role in ("user", "item")
        )
        values = {
            role: VALUES[role](batch[column], self.label(role), self.rows_read)
            for role, column in self.columns.items()
            if role in VALUES
        }
        mask = self._usable(users, items, values)
        self.rows_read += len(mask)
        return EventBatch(users, items, values, mask)

    def _usable(self, users: Any, items: Any, values: Columns) -> np.ndarray:
        """`[n]` bool: rows that no test leaves out; counts the others by reason."""
        mask = np.ones(len(users), bool)
        tests = {}
        if users.null_count or items.null_count:
            present = [as_bools(ids.is_valid()) for ids in (users, items)]
            tests["missing ids"] = present[0] & present[1]
        if "split" in values:
            tests["in no part"] = values["split"] != OUT
        if self.min_rating is not None:
            tests["below min_rating"] = values["rating"] >= self.min_rating
        for reason, passed in tests.items():
            self.dropped[reason] += int((mask & ~passed).sum())
            mask &= passed
        return mask
