"""Events: rows of any source, some columns and some rows at a time."""

from collections.abc import Callable, Iterable, Iterator, Mapping
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


def guarded(
    batches: Iterable[Any], fault: Callable[[Exception], Exception]
) -> Iterator[Any]:
    """The same batches; what pyarrow raises on the way is raised as `fault` makes it.

    Example:
        >>> list(guarded([1, 2], lambda error: ValueError(error)))
        [1, 2]
    """
    found = iter(batches)
    while True:
        try:
            batch = attempt(lambda: next(found), fault)
        except StopIteration:
            return
        yield batch


def attempt(call: Callable[[], Any], fault: Callable[[Exception], Exception]) -> Any:
    """What `call` returns; what pyarrow raises is raised as `fault` makes it.

    Example:
        >>> attempt(lambda: 3, lambda error: ValueError(error))
        3
    """
    import pyarrow

    try:
        return call()
    except (OSError, pyarrow.ArrowException) as error:
        raise fault(error) from error


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


def first_line(error: Exception, most: int = 200) -> str:
    """What an error says, cut to a line.

    Example:
        >>> first_line(ValueError("no\\nmore"))
        'no'
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if len(lines[0]) <= most else lines[0][:most] + " ..."
