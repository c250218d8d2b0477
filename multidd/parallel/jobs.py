"""`mapped`: one function over many jobs, in this process or by any executor.

An executor is any `concurrent.futures.Executor`: threads, processes, joblib's loky,
Dask's `client.get_executor()`, or Ray by `ray_executor`. Whoever gives results back,
they come in the order of the jobs, and what a killed worker leaves behind is done by
the next call.
"""

import concurrent.futures
import pathlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any, TypeVar

from multidd.errors import MultiddError, WorkerLostError, first_line, warn_caller
from multidd.parallel.results import ResultFolder
from multidd.parallel.worker import (
    Packet,
    Reply,
    WorkerTraceback,
    hold,
    packed,
    perform,
    perform_packed,
    release,
    unpacked,
)

__all__ = ["mapped"]

J = TypeVar("J")

LOST = ("KilledWorker", "CancelledError", "WorkerCrashedError", "NodeDiedError")
"""Errors of other libraries that say that a worker is gone, by their names."""

_NONE_BEGAN = (
    '; where none begins at all, let a script work under `if __name__ == "__main__":`, '
    "and write what a notebook defines into a module, or take joblib's loky"
)


def mapped(
    function: Callable[..., Any],
    jobs: Iterable[J],
    executor: Executor | None = None,
    *,
    folder: str | pathlib.Path | None = None,
    names: Sequence[str] | None = None,
    shared: Any = None,
    on_result: Callable[[int, Any], None] | None = None,
) -> list[Any]:
    r"""Results of a function for each job, in the order of the jobs.

    $$r_i = f(j_i), \qquad 1 \le i \le n$$

    Args:
        function: is called with one job; with `shared` and one job where that is given.
            Processes need one that stands in a module, no lambda.
        jobs: what it is called with; an executor of processes pickles each.
        executor: any `concurrent.futures.Executor`; None works in this process, one job
            after the other.
        folder: where results are kept as they come, as data; the same call takes them
            from there and does the rest. It is made where needed. Results are then
            numbers, texts, tensors, arrays, and lists, tuples and dicts of them.
        names: of the jobs, for messages and in `folder`; all differ. Numbers unless
            given.
        shared: what all jobs need, such as data; each worker gets it once.
        on_result: is called in this process with number and result of each job, as
            they end, and first for those that were kept; for progress.

    Returns:
        `[n]`.

    Raises:
        ValueError: names that do not fit the jobs.
        WorkerLostError: a worker was killed; says what is kept, and where.
        MultiddError: jobs or results cannot be sent to another process.
        Exception: the first job's that failed, with its name as a note. Beside an
            executor it is raised once all others have ended.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> with ThreadPoolExecutor(2) as executor:
        ...     mapped(abs, [-3, 2, -1], executor)
        [3, 2, 1]
    """
    each = list(jobs)
    labels = _labels(names, len(each))
    store = None if folder is None else ResultFolder(folder, function, each, labels)
    gatherer = _Gatherer(function, each, labels, shared, store, on_result)
    if on_result is not None:
        for number, result in sorted(gatherer.results.items()):
            on_result(number, result)
    if executor is None:
        gatherer.work()
    else:
        gatherer.gather(executor)
    return [gatherer.results[number] for number in range(len(each))]


def _labels(names: Sequence[str] | None, count: int) -> list[str]:
    """The names of the jobs, or their numbers."""
    labels = [str(i) for i in range(count)] if names is None else list(names)
    twice = [name for name, times in Counter(labels).items() if times > 1]
    if len(labels) != count or twice:
        what = f"{twice[0]!r} twice" if twice else f"{len(labels)} names"
        raise ValueError(
            f"names must be one for each of the {count} jobs, and differ; got {what}"
        )
    return labels


class _Gatherer:
    """The state of one call of `mapped`."""

    def __init__(
        self,
        function: Callable[..., Any],
        jobs: Sequence[Any],
        labels: Sequence[str],
        shared: Any,
        store: ResultFolder | None,
        on_result: Callable[[int, Any], None] | None,
    ) -> None:
        self.function, self.jobs, self.labels = function, jobs, labels
        self.shared, self.store, self.on_result = shared, store, on_result
        self.results: dict[int, Any] = {} if store is None else store.read()
        self.errors: dict[int, BaseException] = {}  # of jobs
        self.faults: dict[int, BaseException] = {}  # of the executor
        self.replies = 0
        self.warnings: dict[tuple[type[Warning], str], list[int]] = {}

    @property
    def missing(self) -> list[int]:
        """Numbers of the jobs without a result."""
        return [n for n in range(len(self.jobs)) if n not in self.results]

    def work(self) -> None:
        """Do the jobs in this process, in order."""
        ahead = () if self.shared is None else (self.shared,)
        for number in self.missing:
            try:
                result = self.function(*ahead, self.jobs[number])
            except BaseException as error:
                error.add_note(f"in job {self.labels[number]!r}")
                raise
            self._take(number, result)

    def gather(self, executor: Executor) -> None:
        """Do the jobs by an executor."""
        key = None if self.shared is None else hold(self.shared)
        pump = _Pump(executor, self._packet, key)
        try:
            for number in self.missing:
                pump.submit(number)
            for number, outcome in pump.outcomes():
                if not isinstance(outcome, Reply):
                    self.faults[number] = outcome
                    continue
                self.replies += 1
                self._note_warnings(number, outcome)
                if outcome.error is None:
                    self._take(number, outcome.result)
                    continue
                if not isinstance(outcome.error, Exception):  # Ctrl-C reached a worker
                    raise outcome.error
                self.errors[number] = outcome.error
                if outcome.traceback:
                    outcome.error.__cause__ = WorkerTraceback(outcome.traceback)
        except BaseException as error:
            pump.cancel()  # what runs ends; what waits does not begin
            if self.store is not None:
                error.add_note(self._standing())
            raise
        finally:
            release(key)
            self._warn()
        # What a job says comes before what became of its worker.
        for number, raised in sorted(self.errors.items()):
            raised.add_note(f"in job {self.labels[number]!r}")
            raise raised
        for number, fault in sorted(self.faults.items()):
            raise self._explained(number, fault) from fault

    def _packet(self, number: int, key: str | None, carries: bool) -> Packet:
        value = self.shared if carries else None
        return Packet(self.function, self.jobs[number], key, carries, value)

    def _take(self, number: int, result: Any) -> None:
        if self.store is not None:
            self.store.write(number, result)
        self.results[number] = result
        if self.on_result is not None:
            self.on_result(number, result)

    def _note_warnings(self, number: int, reply: Reply) -> None:
        for category, text in reply.warnings:
            self.warnings.setdefault((category, text), []).append(number)

    def _warn(self) -> None:
        """Warn here of what workers warned of, each once."""
        for (category, text), numbers in self.warnings.items():
            # A process tells a warning of one place once, so others may have it too.
            first = self.labels[min(numbers)]
            warn_caller(f"{text} (first in job {first!r})", category)

    def _standing(self) -> str:
        """How many results stand, and where."""
        count, total = len(self.results), len(self.jobs)
        if self.store is None:
            return f"none of the {total} results is kept, for there is no folder="
        return f"{count} of {total} results stand in {self.store.path}"

    def _explained(self, number: int, error: BaseException) -> BaseException:
        """A fault of the executor in one sentence."""
        label, kind = self.labels[number], type(error).__name__
        if _is_lost(error):
            begun = "" if self.replies else _NONE_BEGAN
            return WorkerLostError(
                f"a worker ended before its job did ({kind}, {label}): "
                f"{self._standing()}. The same call with a new executor does "
                f"{'the rest' if self.store else 'all'}; where memory was short, give "
                f"it fewer workers{begun}"
            )
        text = first_line(error)
        if "pickle" in f"{kind} {text}".lower():
            return MultiddError(
                f"job {label!r} cannot be sent to another process: {text}; write "
                "functions and classes of your own in a module that workers can import "
                "(no lambda, none inside a function), or leave executor out"
            )
        return MultiddError(
            f"the executor gave no result of job {label!r}: {kind}: {text}; see that "
            "its workers run, and have multidd and your modules"
        )


class _Pump:
    """Submits packets, and brings what is shared once to each worker that lacks it.

    The first packet carries the shared value along. A worker that has not seen it sends
    its jobs back at once; they wait here, and one of them takes the value along for
    each such worker. An executor tells nobody which worker is next, so that one may
    reach a worker that has the value already: it does its job there, and another goes.
    """

    def __init__(
        self,
        executor: Executor,
        packet: Callable[[int, str | None, bool], Packet],
        key: str | None,
    ) -> None:
        self.executor, self.key, self.packet = executor, key, packet
        self.waiting: dict[Future[Any], int] = {}
        self.came_back: list[int] = []  # jobs, in the order in which they did
        self.lacking: set[str] = set()  # workers that have not seen the value
        self.holders: set[str] = set()  # workers that have done a job with it
        self.carriers: set[int] = set()  # jobs on their way with the value
        self.carried = key is None
        self.misses = 0  # carriers that reached a worker which had the value
        self.lost: dict[int, BaseException] = {}

    def submit(self, number: int) -> None:
        """Submit a job; the first one carries what is shared."""
        self._send(number, carries=not self.carried)
        self.carried = True

    def _send(self, number: int, carries: bool = False) -> None:
        packet = self.packet(number, self.key, carries)
        try:
            future: Future[Any]
            if isinstance(self.executor, ProcessPoolExecutor):
                future = self.executor.submit(perform_packed, packed(packet))
            else:
                future = self.executor.submit(perform, packet)
        except Exception as error:  # it is broken, or the packet cannot be sent
            self.lost[number] = error
            return
        self.waiting[future] = number
        if carries:
            self.carriers.add(number)

    def outcomes(self) -> Iterable[tuple[int, Reply | BaseException]]:
        """Number and reply of each job as it ends, or the fault of the executor."""
        while self.waiting:
            done, _ = concurrent.futures.wait(
                self.waiting, return_when=concurrent.futures.FIRST_COMPLETED
            )
            replies = [(self.waiting.pop(one), _outcome(one)) for one in done]
            ended = []
            for number, reply in replies:
                if isinstance(reply, Reply) and reply.lacks_shared:
                    self.came_back.append(number)
                    self.lacking.add(reply.worker)
                    continue
                if isinstance(reply, Reply):
                    is_served = reply.worker in self.holders
                    self.misses += number in self.carriers and is_served
                    self.holders.add(reply.worker)
                    self.lacking.discard(reply.worker)
                self.carriers.discard(number)
                ended.append((number, reply))
            self._send_back(len(ended))
            yield from ended
        yield from self.lost.items()

    def _send_back(self, ended: int) -> None:
        """Send what came back once more, as far as that is of use.

        Args:
            ended: jobs that have just been done; their workers have nothing to do now.
        """
        # While a worker lacks the value it would send all of them back again.
        count = ended if self.lacking else len(self.came_back)
        # Who deals jobs out in turn may deal all carriers to one worker: after a miss
        # the order is another.
        is_first = self.misses % 2 == 0
        if is_first:
            self._send_carriers()
        for _ in range(min(count, len(self.came_back))):
            self._send(self.came_back.pop(0))
        if not is_first:
            self._send_carriers()

    def _send_carriers(self) -> None:
        """One for each worker that lacks the value."""
        while self.came_back and len(self.carriers) < len(self.lacking):
            self._send(self.came_back.pop(0), carries=True)

    def cancel(self) -> None:
        """Take back what has not begun."""
        for future in self.waiting:
            future.cancel()


def _outcome(future: Future[Any]) -> Reply | BaseException:
    try:
        reply = future.result()
        outcome: Reply = unpacked(reply) if isinstance(reply, bytes) else reply
        return outcome
    except concurrent.futures.CancelledError as error:
        return error
    except Exception as error:
        return error


def _is_lost(error: BaseException) -> bool:
    """Whether an error says that a worker is gone."""
    names = {one.__name__ for one in type(error).__mro__}
    return "BrokenExecutor" in names or bool(names & set(LOST))
