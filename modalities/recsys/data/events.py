"""Events: rows of any source, some columns and some rows at a time."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

BATCH = 2**20
"""Rows read at a time."""

Columns: TypeAlias = Mapping[str, Any]  # name -> pyarrow.Array, all of one length


@dataclass(frozen=True)
class Events:
    """A source of events, opened and not read yet.

    Attributes:
        what: what errors call it.
        names: its columns.
        read: gives batches of the columns asked for.
        roles: role -> column, where the position of a column says what it holds.
        text: numbers are written as text, as in CSV.
        typed: names end in a type, as in `user_id:token`.
        dropped: what reading it leaves out, by reason.
        name: its own name, for reports.
    """

    what: str
    names: tuple[str, ...]
    read: Callable[[list[str]], Iterator[Columns]]
    roles: Mapping[str, str] = field(default_factory=dict)
    text: bool = False
    typed: bool = False
    dropped: Mapping[str, int] = field(default_factory=dict)
    name: str = ""


def columns_of(batch: Any, names: list[str]) -> Columns:
    """Columns of an Arrow batch or table, each as one array.

    Example:
        >>> import pyarrow
        >>> columns_of(pyarrow.table({"a": [1], "b": [2]}), ["b"])["b"].to_pylist()
        [2]
    """
    found = {name: batch.column(name) for name in names}
    chunked = hasattr(batch, "to_batches")  # a table
    return {n: c.combine_chunks() if chunked else c for n, c in found.items()}
