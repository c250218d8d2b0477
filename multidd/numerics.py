"""Scoped numerical settings, and choices that rounding does not make."""

import math
import os
import pathlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "distances_to",
    "first_nearest",
    "flush_denormals",
    "flushes_denormals",
    "num_threads",
    "one_thread_for",
    "small_training",
    "usable_cores",
]

SMALL_ENTRIES = 2**24
"""Entries of an array below which threads of BLAS cost more than they bring."""

CPU_SHARE = pathlib.Path("/sys/fs/cgroup/cpu.max")
"""Where Linux tells a container's share: microseconds of all cores, and of how many; or
the word `max`."""


def flushes_denormals() -> bool:
    """Whether this thread treats numbers below 1e-38 as zero.

    Example:
        >>> flushes_denormals()
        False
    """
    tiny = torch.tensor([1e-40])
    return bool((tiny * 1.0 == 0).all())


@contextmanager
def flush_denormals() -> Iterator[None]:
    """Treat denormal floats as zero in this thread, and only inside the block.

    Weights that only decay end in denormals, on which a CPU is up to 30 times slower
    while no result changes.

    Example:
        >>> with flush_denormals():
        ...     flushes_denormals()
        True
        >>> flushes_denormals()
        False
    """
    before = flushes_denormals()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@contextmanager
def num_threads(count: int) -> Iterator[None]:
    """Threads of torch, only inside the block.

    Args:
        count: 1 or more.

    Example:
        >>> with num_threads(1):
        ...     torch.get_num_threads()
        1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_one_thread: list[Any] = [0, None]  # blocks that are open, and what ends the limit
_one_thread_lock = threading.Lock()


@contextmanager
def one_thread_for(entries: int) -> Iterator[None]:
    """One thread of BLAS and OpenMP inside the block, where arrays are small.

    Solvers call BLAS thousands of times on a few rows; its threads spin in between and
    take ten times the processor time, on a busy machine ten times the wall time too.

    Args:
        entries: of the largest array; above 16 million the threads stay.

    Example:
        >>> with one_thread_for(1000):
        ...     torch.get_num_threads()
        1
    """
    if entries > SMALL_ENTRIES:
        yield
        return
    from threadpoolctl import threadpool_limits

    # The limit is of the process: the last block that ends, in any thread, lifts it.
    with _one_thread_lock:
        _one_thread[0] += 1
        if _one_thread[0] == 1:
            _one_thread[1] = threadpool_limits(1)
    try:
        yield
    finally:
        with _one_thread_lock:
            _one_thread[0] -= 1
            if not _one_thread[0]:
                _one_thread[1].restore_original_limits()


def usable_cores() -> int:
    """Cores that this process may use: of those it is bound to, a container's share.

    Example:
        >>> usable_cores() >= 1
        True
    """
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        cores = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):
        quota, period = CPU_SHARE.read_text().split()
        cores = min(cores, math.ceil(int(quota) / int(period)))
    return max(cores, 1)


@contextmanager
def small_training() -> Iterator[None]:
    """One thread that flushes denormals: for training small models many times.

    Threads gain nothing on matrices this small, flushing reaches only the thread that
    asks for it, and one thread gives the same bits on any number of cores.

    Example:
        >>> with small_training():
        ...     torch.get_num_threads()
        1
    """
    with num_threads(1), flush_denormals():
        yield


def distances_to(centers: Tensor, x: Tensor) -> Tensor:
    """`[k, n]`, distances of the rows of `x`, exact near zero too.

    Example:
        >>> distances_to(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
        tensor([[5.]])
    """
    return torch.cdist(centers, x, compute_mode="donot_use_mm_for_euclid_dist")


def first_nearest(apart: Tensor, x: Tensor) -> Tensor:
    """Place of the least of each row; of those equal up to rounding the first.

    Both members of a cluster of two are equally far from its center, so that without
    this the processor's rounding would choose.

    Args:
        apart: `[..., n]`, distances of the rows of `x`.
        x: `[n, d]`, whose size says how large the rounding is.

    Example:
        >>> x = torch.tensor([[1.0], [3.0]])
        >>> first_nearest(torch.tensor([1.0000001, 1.0]), x)
        tensor(0)
    """
    slack = 16 * torch.finfo(apart.dtype).eps * x.norm(dim=1).max()
    return (apart <= apart.amin(-1, keepdim=True) + slack).int().argmax(-1)
