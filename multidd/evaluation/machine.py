"""What a measurement tells of the machine."""

import os
import platform
import statistics
import subprocess
import sys

import torch

__all__ = ["described", "import_seconds", "peak_megabytes"]


def peak_megabytes() -> float:
    """The most memory that this process has held.

    Example:
        >>> peak_megabytes() > 1
        True
    """
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def import_seconds(runs: int = 5) -> float:
    """Median seconds that `import multidd` adds to starting Python.

    Example:
        >>> import_seconds(runs=1) < 5
        True
    """
    code = (
        "import time; t = time.perf_counter(); import multidd; "
        "print(time.perf_counter() - t)"
    )
    found = [
        float(subprocess.check_output([sys.executable, "-c", code]))
        for _ in range(runs)
    ]
    return statistics.median(found)


def described() -> str:
    """The machine and what runs on it, for the foot of a table.

    Example:
        >>> described().split(".")[0]
        'Seconds and peak memory are of distilling alone'
    """
    return (
        f"Seconds and peak memory are of distilling alone. {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} torch threads, {platform.machine()}, Python "
        f"{platform.python_version()}, torch {torch.__version__}. "
        f"`import multidd`: {1000 * import_seconds():.0f} ms."
    )
