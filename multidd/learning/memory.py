"""Memory needed to backpropagate through inner-loop training, estimated first."""

import os
import pathlib
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from multidd import seeds
from multidd.learning.functional import tensors, tensors_with_grad
from multidd.learning.inner_loop import Backprop, InnerLoop, InnerLoopRun
from multidd.protocols import Batch, Params, Task

__all__ = [
    "MemoryEstimate",
    "available_memory",
    "check_memory",
    "estimate_memory",
    "format_bytes",
]

BY_MEMORY: tuple[Backprop, ...] = ("exact", "checkpointed", "stored", "first_order")
"""Ways to backpropagate, from the one that takes most memory to the least."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that backpropagation through an inner loop takes.

    Attributes:
        step: bytes that the graph of one step holds.
        state: bytes of weights and moments.

    Example:
        >>> inner = InnerLoop(9, backprop="checkpointed")
        >>> MemoryEstimate(step=1000, state=10).total(inner)
        3030
    """

    step: int
    state: int

    def total(self, inner: InnerLoop) -> int:
        """Bytes held at a time in the backward pass."""
        states = -(-inner.steps // inner.segment)
        if inner.backprop in ("exact", "truncated"):
            states = 0  # they are part of the graph
        elif inner.backprop == "first_order":
            states = 1
        return inner.segment * self.step + states * self.state

    def max_steps(self, inner: InnerLoop, max_memory: int) -> int:
        """The most steps, up to those of `inner`, that fit into so many bytes."""
        low, high = 0, inner.steps
        while low < high:
            middle = (low + high + 1) // 2
            shorter = replace(inner, steps=middle, **_window(inner, middle))
            fits = self.total(shorter) <= max_memory
            low, high = (middle, high) if fits else (low, middle - 1)
        return low


def estimate_memory(
    task: Task[Any],
    weights: Params,
    synthetic: Batch,
    inner: InnerLoop,
    rng: torch.Generator,
    rate: Tensor | None = None,
) -> MemoryEstimate:
    """Measure one inner-loop step: the tensors that its graph holds.

    Args:
        task, weights, synthetic, inner, rng, rate: as for `multidd.learning.train`.

    Returns:
        A `MemoryEstimate`; each storage counts once, weights and records do not.

    Example:
        >>> from types import SimpleNamespace
        >>> from multidd.classes import by_class
        >>> task = SimpleNamespace(
        ...     linear_features=lambda batch: None,
        ...     view=lambda rng: lambda batch: batch,
        ...     classes=lambda batch: by_class(torch.zeros(1, dtype=torch.int64), 1),
        ...     losses=lambda weights, batch: 0.5 * (weights["w"] - batch["x"]) ** 2,
        ... )
        >>> x, start = torch.ones(1, requires_grad=True), {"w": torch.zeros(1, 1)}
        >>> rng = seeds.at(0, "need")
        >>> estimate_memory(task, start, {"x": x}, InnerLoop(2), rng).state
        8
    """
    loop = InnerLoopRun(task, synthetic, inner, seeds.child(rng), rng.device)
    leaves = {n: w.detach().clone().requires_grad_() for n, w in weights.items()}
    state = loop.begin(leaves)
    inputs = {_address(t) for t in [*leaves.values(), *tensors(synthetic)]}
    saved: dict[int, Tensor] = {}  # alive, so that no address is used twice

    def record(tensor: Tensor) -> Tensor:
        if _address(tensor) not in inputs:
            saved.setdefault(_address(tensor), tensor)
        return tensor

    with (
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor),
    ):
        after, _ = loop.run(state, range(1), synthetic, rate, graph=True)
    step = sum(tensor.untyped_storage().nbytes() for tensor in saved.values())
    moments = [t for part in state[1].values() for t in part.values()]
    size = sum(t.numel() * t.element_size() for t in [*after.values(), *moments])
    return MemoryEstimate(step, size)


def check_memory(
    task: Task[Any],
    weights: Params,
    synthetic: Batch,
    inner: InnerLoop,
    rng: torch.Generator,
    rate: Tensor | None = None,
    max_memory: int | None = None,
) -> None:
    """Refuse an inner loop that does not fit into memory, before it runs.

    Args:
        task, weights, synthetic, inner, rng, rate: as for `multidd.learning.train`.
        max_memory: bytes that may be used; None asks the machine.

    Raises:
        ValueError: says how much it takes, and what would fit.
    """
    limit = available_memory(rng.device) if max_memory is None else max_memory
    if limit is None or not tensors_with_grad(synthetic):
        return
    estimate = estimate_memory(task, weights, synthetic, inner, rng, rate)
    total = estimate.total(inner)
    if total <= limit:
        return
    steps = estimate.max_steps(inner, limit)
    advice = [f"steps={steps} would fit" if steps else "no step fits"]
    for backprop, cheaper in _cheaper(inner):
        size = format_bytes(estimate.total(cheaper))
        advice.append(f"backprop={backprop!r} takes {size}")
    raise ValueError(
        f"{inner.steps} steps with backprop={inner.backprop!r} take about "
        f"{format_bytes(total)} ({format_bytes(estimate.step)} a step), and "
        f"{format_bytes(limit)} are free; {'; '.join(advice)}"
    )


def available_memory(device: torch.device | str = "cpu") -> int | None:
    """Free bytes of memory of a device; None where the system does not say.

    Example:
        >>> available_memory() is None or available_memory() > 0
        True
    """
    if torch.device(device).type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device)
        return int(free + cached - torch.cuda.memory_allocated(device))
    sizes = (_system(), _cgroup(), _address_space())
    limits = [size for size in sizes if size is not None]
    return min(limits) if limits else None


def _system() -> int | None:
    try:
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
        meminfo = dict(line.split(":", 1) for line in lines)
        return int(meminfo["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _cgroup() -> int | None:
    """What a container leaves free; files that can be dropped count as free."""
    base = pathlib.Path("/sys/fs/cgroup")
    try:
        limit = int((base / "memory.max").read_text())
        used = int((base / "memory.current").read_text())
        lines = (base / "memory.stat").read_text().splitlines()
        stat = dict(line.split() for line in lines)
        return limit - used + int(stat.get("inactive_file", 0))
    except (OSError, ValueError):
        return None


def _address_space() -> int | None:
    """What a limit of this process leaves free (`ulimit -v`); None without one."""
    try:
        import resource  # not on Windows

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit == resource.RLIM_INFINITY:
            return None
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
        return max(limit - pages * resource.getpagesize(), 0)
    except (ImportError, OSError, ValueError):
        return None


def _cheaper(inner: InnerLoop) -> list[tuple[Backprop, InnerLoop]]:
    """The same loop by each way to backpropagate that takes less memory."""
    loops: list[tuple[Backprop, InnerLoop]] = []
    if inner.window is not None:
        return loops
    for backprop in BY_MEMORY[BY_MEMORY.index(inner.backprop) + 1 :]:
        try:
            loops.append((backprop, replace(inner, backprop=backprop)))
        except ValueError:
            continue  # first_order is for SGD
    return loops


def _window(inner: InnerLoop, steps: int) -> dict[str, Any]:
    return {} if inner.window is None else {"window": min(inner.window, steps)}


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def format_bytes(count: int) -> str:
    """A number of bytes with its unit.

    Example:
        >>> format_bytes(2_500_000)
        '2.5 MB'
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"
