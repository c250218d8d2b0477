"""Passes through networks compiled by `torch.compile`, for a run only.

Compiled code is differentiated once: what differentiates twice, such as the matching of
gradients or of trajectories, runs as it is.
"""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call

from multidd.protocols import Params

__all__ = ["check_compiler", "compiling", "functional_layers", "takes_compiling"]

BACKEND = "inductor"
"""Of `torch.compile`."""

COMPILERS = ("g++", "clang++", "cl")
"""Of C++, for the CPU; code for a GPU is Triton's."""

_IS_ON: ContextVar[bool] = ContextVar("compiling", default=False)

_compiled = WeakKeyDictionary[nn.Module, Callable[..., list[Tensor]]]()
"""Module -> its compiled pass; each thread has modules of its own."""


def takes_compiling(objective: Any, task: Any) -> bool:
    """Whether a run differentiates its networks once, and the task can compile them.

    An objective says so by `differentiates_once = True`, a task by `compiles = True`.

    Example:
        >>> takes_compiling(object(), object())
        False
    """
    once = getattr(objective, "differentiates_once", False)
    return once and getattr(task, "compiles", False)


def check_compiler(device: str) -> None:
    """Refuse to compile where nothing compiles.

    Args:
        device: where the compiled code is to run.

    Raises:
        ValueError: no compiler of C++, or no Triton for a GPU.

    Example:
        >>> check_compiler("cuda") if importlib.util.find_spec("triton") else None
    """
    if torch.device(device).type == "cpu":
        names = [*filter(None, [os.environ.get("CXX")]), *COMPILERS]
        if not any(shutil.which(name) for name in names):
            raise ValueError(
                "compile=True needs a compiler of C++ on the CPU, and none of "
                f"{', '.join(names)} is found; install one, or leave compile out"
            )
    elif importlib.util.find_spec("triton") is None:
        raise ValueError(
            f"compile=True needs triton on {device!r}, which is not installed; install "
            "it, or leave compile out"
        )


@contextmanager
def compiling(is_on: bool) -> Iterator[None]:
    """Within the block passes are compiled, where that is asked for.

    Example:
        >>> with compiling(False):
        ...     _IS_ON.get()
        False
    """
    token = _IS_ON.set(is_on)
    try:
        yield
    finally:
        _IS_ON.reset(token)


def functional_layers(module: nn.Module, weights: Params, x: Tensor) -> list[Tensor]:
    """What each layer of a module gives under other weights.

    The pass is compiled within a run that says so.

    Args:
        module: takes `layers=True`.
        weights: by name.
        x: `[b, ...]`.

    Example:
        >>> class Net(nn.Linear):
        ...     def forward(self, x, layers):
        ...         return [super().forward(x)]
        >>> ones = {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}
        >>> functional_layers(Net(2, 1, device="meta"), ones, torch.ones(1, 2))
        [tensor([[2.]])]
    """
    if not _IS_ON.get():
        layers: list[Tensor] = functional_call(module, weights, (x,), {"layers": True})
        return layers
    if module not in _compiled:

        def run(weights: Params, x: Tensor) -> list[Tensor]:
            layers: list[Tensor] = functional_call(
                module, weights, (x,), {"layers": True}
            )
            return layers

        _compiled[module] = torch.compile(run, backend=BACKEND, dynamic=False)
    return _compiled[module](weights, x)
