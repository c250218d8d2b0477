"""What workers cost: processor time and peak memory, told by the workers.

Without torch, as a worker that loads it would measure that.
"""

import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass

__all__ = ["WorkerCosts", "peak_megabytes", "worker_costs"]

PAUSE = 0.02  # seconds that a question takes, so that a free worker takes the next
MAX_ROUNDS = 50


@dataclass(frozen=True, order=True)
class WorkerCosts:
    """What one process has taken since it began.

    Attributes:
        process: its number.
        seconds: of a processor, of all its threads.
        megabytes: resident at the peak.
    """

    process: int
    seconds: float
    megabytes: float


def peak_megabytes() -> float:
    """Peak resident memory of this process, in megabytes.

    Example:
        >>> peak_megabytes() > 1
        True
    """
    if sys.platform == "win32":  # resource is of Unix
        import psutil

        return float(psutil.Process().memory_info().peak_wset / 1e6)
    with suppress(OSError):
        # What getrusage tells of a process begins with its parent's memory.
        status = open("/proc/self/status", encoding="ascii", errors="replace")
        with status:
            lines = dict(line.split(":", 1) for line in status if ":" in line)
        if "VmHWM" in lines:
            return int(lines["VmHWM"].split()[0]) * 1024 / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def worker_costs(executor: Executor, workers: int) -> Sequence[WorkerCosts]:
    """What each worker of an executor has taken so far.

    Args:
        executor: of processes.
        workers: how many it has.

    Returns:
        Of each worker that answered.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> with ThreadPoolExecutor(1) as executor:
        ...     (costs,) = worker_costs(executor, 1)
        >>> costs.process == os.getpid()
        True
    """
    costs: dict[int, WorkerCosts] = {}
    for _ in range(MAX_ROUNDS):
        jobs = [executor.submit(_own_costs) for _ in range(workers)]
        costs |= {job.result().process: job.result() for job in jobs}
        if len(costs) == workers:
            break
    return sorted(costs.values())


def _own_costs() -> WorkerCosts:
    time.sleep(PAUSE)
    return WorkerCosts(os.getpid(), time.process_time(), peak_megabytes())
