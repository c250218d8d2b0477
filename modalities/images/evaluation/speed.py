"""The lines of `multidd bench gpu`: methods on images of the size of CIFAR-10."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from multidd.engine.recipe import call
from multidd.evaluation.gpu_benchmark import GpuLine
from multidd.images.methods.registry import METHODS
from multidd.learning.experts import Experts, Trainer

__all__ = ["GPU", "generated"]

CIFAR_10 = (50_000, 3, 32, 10)
"""Images, channels, side and classes."""

SMALL = (60, 1, 8, 3)

NARROW = {"width": 4, "batch_size": 6}
"""Options of small runs."""


@cache
def generated(
    count: int, channels: int, side: int, classes: int
) -> tuple[np.ndarray, list[int]]:
    """Random images `[n, h, w, ch]` and labels: what they show costs no time.

    Args:
        count: n.
        channels: ch.
        side: h and w.
        classes: c; each has as many.

    Example:
        >>> generated(*SMALL)[0].shape
        (60, 8, 8, 1)
    """
    shape = (count, side, side, channels)
    x = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return x, [i % classes for i in range(count)]


def _timed(method: str, options: dict[str, Any], small: bool, **run: Any) -> Any:
    data = generated(*(SMALL if small else CIFAR_10))
    budget = options | {"ipc": 1} if small else options
    return call(METHODS[method], data, **budget | (NARROW if small else {}) | run)


def _line(method: str, ipc: int, *precisions: Any, **options: Any) -> GpuLine:
    run: Callable[..., Any] = partial(_timed, method, {"ipc": ipc, **options})
    name = f"CIFAR-10's size, {ipc} of each class, {method}"
    return GpuLine(name, run, precisions or GpuLine.precisions)


EXPERTS = Experts(Trainer(epochs=2, steps=10), count=1)
"""One, trained for a moment: how good it is changes no time."""

FOLLOWED: dict[str, Any] = {"experts": EXPERTS, "start_epochs": (0, 1)}
FOLLOWED |= {"expert_epochs": 1, "syn_steps": 30}

GPU = (
    _line("dm", 1),
    _line("dm", 10),
    _line("dm", 50),
    _line("dsa", 10),
    _line("idc", 10),
    _line("ncfm", 10),
    _line("mtt", 10, **FOLLOWED),
    _line("frepo", 10, "float32"),
)
"""In the order of the table."""
