"""A method's run on a device, looked at after each step.

The device is the pretend one, or that of `MULTIDD_TEST_DEVICE`, such as `cuda`.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from multidd.engine.callbacks import Every
from tests.device.pretend import NAME, Pretend
from tests.methods.cases import Case

DEVICE = os.environ.get("MULTIDD_TEST_DEVICE", NAME)
IS_PRETEND = DEVICE == NAME


@contextmanager
def watched(strict: bool = True) -> Iterator[Pretend | None]:
    """What is inside may use the device; one that is there needs no watching."""
    if not IS_PRETEND:
        yield None
        return
    with Pretend(strict) as seen:
        yield seen


@dataclass
class Walk:
    """What was seen of a run.

    Attributes:
        summary: what it gave.
        strays: names of tensors of numbers that lay on the processor.
        costs: of the last step: what happened there -> how often.
        lines: the same by lines of the library.
    """

    summary: Any = None
    strays: set[str] = field(default_factory=set)
    costs: dict[str, int] = field(default_factory=dict)
    lines: dict[str, Counter[str]] = field(default_factory=dict)


def walk(run: Callable[..., Any], **options: Any) -> Walk:
    """Run a method of three steps on the device.

    Args:
        run: takes `device` and `callbacks`.
        **options: further ones.
    """
    result, before = Walk(), {}

    with watched() as seen:

        def look(run: Any) -> None:
            trees = {"params": run.params, "moments": run.moments, "state": run.state}
            result.strays |= set(strays(trees))
            if seen is None:
                return
            now = {kind: Counter(counter) for kind, counter in seen.counts.items()}
            result.lines = {k: now[k] - before.get(k, Counter()) for k in now}
            result.costs = {k: counter.total() for k, counter in result.lines.items()}
            result.costs["operations"] = seen.operations - before.get("operations", 0)
            before.update(now | {"operations": seen.operations})

        result.summary = run(device=DEVICE, callbacks=[Every(1, look)], **options)
    return result


def strays(tree: Any, name: str = "") -> Iterator[str]:
    """Names of the tensors of numbers with dimensions that lie on the processor.

    Places and counts are whole numbers, which the processor reads.
    """
    if isinstance(tree, Tensor):
        if tree.dim() and tree.is_floating_point() and tree.device.type == "cpu":
            yield name
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from strays(value, f"{name}.{key}" if name else str(key))
    elif isinstance(tree, list | tuple):
        for number, value in enumerate(tree):
            yield from strays(value, f"{name}[{number}]")


def walked(case: Case, **options: Any) -> Walk:
    """The walk of a case."""
    torch.manual_seed(0)  # nothing may depend on it
    return walk(case.run, **options)
