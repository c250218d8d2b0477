"""A sketch: a map over shards, and a merge in whatever order.

The merge is associative and commutative, so that any cut of the rows, any order of the
shards and any executor give the same sketch.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import reduce
from typing import Any, Protocol, Self, TypeVar

__all__ = ["Sketch", "merged", "sketched"]

JOBS_PER_WORKER = 4  # of reading: each hands over one sketch of all its shards
MAX_JOBS = 64  # where an executor does not tell how many workers it has
FAN_IN = 4  # sketches that one job merges


class Sketch(Protocol):
    """What a sketch has to have: a merge, the same in any order."""

    def merge(self, other: Self) -> Self:
        """The sketch of the rows of both."""


S = TypeVar("S", bound=Sketch)
Job = TypeVar("Job")


def sketched(
    read: Callable[[Sequence[Job]], S],
    shards: Sequence[Job],
    executor: Executor | None = None,
) -> S:
    """The sketch of all shards, read and merged on the workers.

    Args:
        read: gives the sketch of some shards; it is sent to the workers.
        shards: at least one; what a shard is, `read` knows.
        executor: of threads, of processes or of machines; None: this process.

    Raises:
        ValueError: no shards.
        MultiddError: a worker ended before its work did.

    Example:
        >>> from multidd.sketches import BottomK
        >>> def read(shards):
        ...     sketch = BottomK(keep=2, key=0)
        ...     for shard in shards:
        ...         sketch = sketch.add([("word", word.encode()) for word in shard])
        ...     return sketch
        >>> sketched(read, [["a", "b"], ["c", "a"]]).counts
        {'word': 4}
    """
    if not shards:
        raise ValueError("there are no shards to sketch; give at least one")
    if executor is None:
        return read(shards)
    # Few and large: a job that has read much knows which records cannot be kept.
    workers = getattr(executor, "_max_workers", None)
    jobs = JOBS_PER_WORKER * workers if isinstance(workers, int) else MAX_JOBS
    count = min(len(shards), jobs)
    groups = [shards[start::count] for start in range(count)]
    return merged(_jobs(read, groups, executor), executor)


def merged(parts: Sequence[S], executor: Executor | None = None) -> S:
    """All sketches merged, in a tree on the workers.

    Args:
        parts: at least one.
        executor: as of `sketched`.

    Example:
        >>> from multidd.sketches import BottomK
        >>> one = BottomK(keep=2, key=0).add([("x", b"a")])
        >>> merged([one, one, one]).counts
        {'x': 3}
    """
    if not parts:
        raise ValueError("there are no sketches to merge; give at least one")
    level = list(parts)
    while len(level) > 1:
        size = len(level) if executor is None else FAN_IN
        groups = [level[start : start + size] for start in range(0, len(level), size)]
        del level
        level = _jobs(_merge, groups, executor)
    return level[0]


def _merge(parts: Sequence[Any]) -> Any:
    return reduce(lambda one, other: one.merge(other), parts)


def _jobs(
    function: Callable[[Job], Any], jobs: Sequence[Job], executor: Executor | None
) -> list[Any]:
    # It loads torch, which the workers of a sketch do without.
    from multidd.parallel.jobs import mapped

    return mapped(function, jobs, executor)
