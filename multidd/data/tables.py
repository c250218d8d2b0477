"""Tables of any library: what is wrong with them, told in our words."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from multidd.errors import CorruptFileError, first_line


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


def damaged(told: str) -> Callable[[Exception], Exception]:
    """What `attempt` raises for a file that is not what it should be.

    Example:
        >>> str(damaged("x.parquet cannot be read")(OSError("no footer")))
        'x.parquet cannot be read: no footer; use another copy of the file, or ...'
    """
    return lambda error: CorruptFileError(
        f"{told}: {first_line(error)}; use another copy of the file, or write it again"
    )


def no_column(what: str, name: str, role: str, names: Sequence[str]) -> ValueError:
    """The error for a column that is not there: names those that are.

    Example:
        >>> str(no_column("the frame", "txt", "text", ["text", "label"]))
        "the frame has no column 'txt' (text); its columns are text, label; did you ..."
    """
    close = get_close_matches(name, names, 1, 0.6)
    return ValueError(
        f"{what} has no column {name!r} ({role}); its columns are {', '.join(names)}"
        f"{f'; did you mean {close[0]!r}?' if close else ''}"
    )
