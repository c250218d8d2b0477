"""What differentiating a learner's way takes, told before it is taken."""

import os
import pathlib
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from multidd import seeds
from multidd.learning.functional import moving, tensors
from multidd.learning.inner_loop import Inner, Memory, Way
from multidd.protocols import Batch, Params, Task

__all__ = ["Need", "available", "check_room", "need", "spelled"]

CHEAPER: tuple[Memory, ...] = ("exact", "checkpointed", "stored", "first_order")
"""Kinds of memory, from the dearest to the cheapest."""


@dataclass(frozen=True)
class Need:
    """What a way takes, in bytes.

    Attributes:
        step: what the graph of one step holds.
        state: weights and moments.

    Example:
        >>> Need(step=1000, state=10).of(Inner(9, memory="checkpointed"))
        3030
    """

    step: int
    state: int

    def of(self, inner: Inner) -> int:
        """Bytes of all that is held at a time on the way back."""
        states = -(-inner.steps // inner.segment)
        if inner.memory in ("exact", "truncated"):
            states = 0  # they are part of the graph
        elif inner.memory == "first_order":
            states = 1
        return inner.segment * self.step + states * self.state

    def fits(self, inner: Inner, room: int) -> int:
        """The most steps, up to those of `inner`, that fit into `room` bytes."""
        low, high = 0, inner.steps
        while low < high:
            middle = (low + high + 1) // 2
            fewer = replace(inner, steps=middle, **_window(inner, middle))
            low, high = (middle, high) if self.of(fewer) <= room else (low, middle - 1)
        return low


def need(
    task: Task[Any],
    weights: Params,
    synthetic: Batch,
    inner: Inner,
    rng: torch.Generator,
    rate: Tensor | None = None,
) -> Need:
    """Measure one step of a learner: the tensors that its graph keeps.

    Args:
        task, weights, synthetic, inner, rng, rate: as for `multidd.learning.train`.

    Returns:
        A `Need`; each storage counts once, weights and records do not.

    Example:
        >>> from types import SimpleNamespace
        >>> from multidd.protocols import by_class
        >>> task = SimpleNamespace(
        ...     linear_features=lambda batch: None,
        ...     view=lambda rng: lambda batch: batch,
        ...     classes=lambda batch: by_class(torch.zeros(1, dtype=torch.int64), 1),
        ...     losses=lambda weights, batch: 0.5 * (weights["w"] - batch["x"]) ** 2,
        ... )
        >>> x, start = torch.ones(1, requires_grad=True), {"w": torch.zeros(1, 1)}
        >>> need(task, start, {"x": x}, Inner(2), seeds.at(0, "need")).state
        8
    """
    way = Way(task, synthetic, inner, seeds.child(rng), rng.device)
    leaves = {n: w.detach().clone().requires_grad_() for n, w in weights.items()}
    state = way.begin(leaves)
    given = [*leaves.values(), *tensors(synthetic)]
    outside = {_place(tensor) for tensor in given}
    held: dict[int, Tensor] = {}  # alive, so that no place is used twice

    def keep(tensor: Tensor) -> Tensor:
        if _place(tensor) not in outside:
            held.setdefault(_place(tensor), tensor)
        return tensor

    with (
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        after, _ = way.run(state, range(1), synthetic, rate, graph=True)
    step = sum(tensor.untyped_storage().nbytes() for tensor in held.values())
    moments = [t for part in state[1].values() for t in part.values()]
    size = sum(t.numel() * t.element_size() for t in [*after.values(), *moments])
    return Need(step, size)


def check_room(
    task: Task[Any],
    weights: Params,
    synthetic: Batch,
    inner: Inner,
    rng: torch.Generator,
    rate: Tensor | None = None,
    room: int | None = None,
) -> None:
    """Refuse a way that does not fit into memory, before any of it is taken.

    Args:
        task, weights, synthetic, inner, rng, rate: as for `multidd.learning.train`.
        room: bytes at hand; None asks the machine.

    Raises:
        ValueError: says how much it takes, and what would fit.
    """
    room = available(rng.device) if room is None else room
    if room is None or not moving(synthetic):
        return
    found = need(task, weights, synthetic, inner, rng, rate)
    takes = found.of(inner)
    if takes <= room:
        return
    steps = found.fits(inner, room)
    ways = [f"memory={m!r} takes {spelled(found.of(w))}" for m, w in _cheaper(inner)]
    raise ValueError(
        f"{inner.steps} steps with memory={inner.memory!r} take about {spelled(takes)} "
        f"({spelled(found.step)} a step), and {spelled(room)} are free; "
        + "; ".join([f"steps={steps} would fit" if steps else "no step fits", *ways])
    )


def available(device: torch.device | str = "cpu") -> int | None:
    """Bytes of memory at hand on a device; None where the system does not tell.

    Example:
        >>> available() is None or available() > 0
        True
    """
    if torch.device(device).type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        own = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + own)
    found = [size for size in (_system(), _group()) if size is not None]
    return min(found) if found else None


def _system() -> int | None:
    try:
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
        told = dict(line.split(":", 1) for line in lines)
        return int(told["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _group() -> int | None:
    """What a container leaves free; files that can be dropped count as free."""
    base = pathlib.Path("/sys/fs/cgroup")
    try:
        limit = int((base / "memory.max").read_text())
        used = int((base / "memory.current").read_text())
        lines = (base / "memory.stat").read_text().splitlines()
        told = dict(line.split() for line in lines)
        return limit - used + int(told.get("inactive_file", 0))
    except (OSError, ValueError):
        return None


def _cheaper(inner: Inner) -> list[tuple[Memory, Inner]]:
    kinds = CHEAPER[CHEAPER.index(inner.memory) + 1 :] if inner.window is None else ()
    found = []
    for kind in kinds:
        try:
            found.append((kind, replace(inner, memory=kind)))
        except ValueError:
            continue  # first_order is for SGD
    return found


def _window(inner: Inner, steps: int) -> dict[str, Any]:
    return {} if inner.window is None else {"window": min(inner.window, steps)}


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def spelled(count: int) -> str:
    """A number of bytes as people say it.

    Example:
        >>> spelled(2_500_000)
        '2.5 MB'
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"
