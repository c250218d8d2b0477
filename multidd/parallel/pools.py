"""Pools of processes that share out the cores, and an executor of Ray.

Dask needs no code of ours: `distributed.Client(...).get_executor()` is an executor.
"""

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from multidd.arguments import whole_number
from multidd.errors import require
from multidd.numerics import usable_cores

__all__ = ["ray_executor", "threads_of_each", "workers"]

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What libraries of linear algebra read when they are loaded."""


def threads_of_each(count: int) -> int:
    r"""Threads of each of several workers: $\max(1, \lfloor c / n \rfloor)$ of c cores.

    Args:
        count: workers, n.

    Example:
        >>> threads_of_each(10**6)
        1
    """
    return max(1, usable_cores() // count)


@contextmanager
def workers(count: int, *, threads: int | None = None) -> Iterator[ProcessPoolExecutor]:
    """Processes of this machine, as an executor.

    They are started fresh (spawned), so a script that uses them does its work under
    `if __name__ == "__main__":`. They end with the block; an error in it, or Ctrl-C,
    ends them at once.

    Args:
        count: of the processes, 1 or more.
        threads: of torch and of linear algebra in each; as many as share the cores out
            (`threads_of_each`) unless given.

    Yields:
        A `concurrent.futures.ProcessPoolExecutor`.

    Raises:
        TypeError, ValueError: no whole number of 1 or more.

    Example:
        >>> from multidd.parallel import mapped
        >>> with workers(1) as executor:
        ...     mapped(abs, [-3, 2], executor)
        [3, 2]
    """
    count = _positive("workers", count)
    threads = threads_of_each(count) if threads is None else threads
    threads = _positive("threads", threads)
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(count, context, _begin, (threads,))
    try:
        yield executor
    except BaseException:
        # Before Python 3.14 an executor cannot be asked to end its processes.
        for process in list((executor._processes or {}).values()):
            process.terminate()
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    executor.shutdown()


def _positive(name: str, value: Any) -> int:
    number = whole_number(name, value)
    if number < 1:
        raise ValueError(f"{name} must be 1 or more, got {number}")
    return number


def _begin(threads: int) -> None:
    """What a worker does first."""
    # Ctrl-C reaches the whole group: workers then go without a word, and the process
    # that waits for them says what stands.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for name in THREAD_VARIABLES:
        os.environ[name] = str(threads)
    import torch
    from threadpoolctl import threadpool_limits

    # Said of every sparse matrix that comes with the data, once by each worker.
    warnings.filterwarnings("ignore", "Sparse (CSR tensor support|invariant checks)")
    torch.set_num_threads(threads)
    threadpool_limits(threads)  # of what was loaded before this


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for jobs for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def ray_executor(
    num_cpus: float = 1, num_gpus: float = 0, retries: int = 3
) -> "RayExecutor":
    """Ray as an executor: each job is a task, and runs again where its worker dies.

    Ray connects to the cluster that `ray.init` or `RAY_ADDRESS` names, or starts on
    this machine at the first job; the executor leaves it running. Needs
    `pip install multidd[ray]`.

    Args:
        num_cpus: cores that a job takes.
        num_gpus: devices that a job takes; a part of one lets several jobs share it.
        retries: how often a job begins again when its worker or its machine dies.

    Raises:
        MissingPackageError: Ray is not installed.
        ValueError: a number below 0.

    Example:
        >>> from multidd.errors import MissingPackageError
        >>> try:
        ...     executor = ray_executor(num_gpus=1)
        ... except MissingPackageError:
        ...     pass
    """
    return RayExecutor(num_cpus, num_gpus, retries)


class RayExecutor(Executor):
    """An executor whose jobs are tasks of Ray.

    Args:
        num_cpus: as of `ray_executor`.
        num_gpus: the same.
        retries: the same.
    """

    def __init__(self, num_cpus: float, num_gpus: float, retries: int) -> None:
        each = {"num_cpus": num_cpus, "num_gpus": num_gpus, "retries": retries}
        below = [f"{name} is {value}" for name, value in each.items() if value < 0]
        if below:
            raise ValueError(f"a job of Ray takes 0 or more; got {', '.join(below)}")
        self._ray: Any = require("ray")
        options = {"num_cpus": num_cpus, "num_gpus": num_gpus, "max_retries": retries}
        self._task = self._ray.remote(_called).options(**options)
        self._refs: dict[Future[Any], Any] = {}
        self._is_open = True

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        """One task.

        Raises:
            RuntimeError: the executor was shut down.
        """
        if not self._is_open:
            raise RuntimeError("cannot schedule new futures after shutdown")
        ref = self._task.remote(fn, args, kwargs)
        future: Future[Any] = ref.future()
        self._refs[future] = ref
        future.add_done_callback(lambda done: self._refs.pop(done, None))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more jobs; Ray itself goes on.

        Args:
            wait: until those that were submitted have ended.
            cancel_futures: take back those that have not.
        """
        self._is_open = False
        left = dict(self._refs)
        if cancel_futures:
            for ref in left.values():
                self._ray.cancel(ref)
        elif wait:
            for future in left:
                future.exception()


def _called(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Ray takes a function as it is declared, and not one that comes later."""
    return function(*args, **kwargs)
