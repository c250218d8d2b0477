"""In which numbers networks compute: float32, bfloat16 or TF32, for a run only.

What is learned, what is compared and what is solved stays in float32 or float64; only
the passes through networks (`network_pass`) may take less.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

__all__ = [
    "Precision",
    "check_precision",
    "computing_in",
    "is_lower",
    "network_pass",
    "single",
    "takes_lower_precision",
]

Precision: TypeAlias = Literal["float32", "tf32", "bf16"]

_LOWER: ContextVar[str | None] = ContextVar("lower precision", default=None)
"""Kind of the device whose passes are in bfloat16; None of none."""


def check_precision(precision: Any) -> Precision:
    """One of the names of `Precision`.

    Raises:
        ValueError: another.

    Example:
        >>> check_precision("bf16")
        'bf16'
    """
    if precision not in get_args(Precision):
        raise ValueError(
            f"precision must be one of {', '.join(get_args(Precision))}; got "
            f"{precision!r}"
        )
    checked: Precision = precision
    return checked


def takes_lower_precision(objective: Any, task: Any) -> bool:
    """Whether a run passes records through networks, and solves nothing by them.

    An objective and a task say so by `lower_precision = True`.

    Example:
        >>> from types import SimpleNamespace
        >>> network = SimpleNamespace(lower_precision=True)
        >>> takes_lower_precision(network, network)
        True
        >>> takes_lower_precision(SimpleNamespace(), network)
        False
    """
    parts = (objective, task)
    return all(getattr(part, "lower_precision", False) for part in parts)


@contextmanager
def computing_in(precision: Precision, device: str) -> Iterator[None]:
    """Passes through networks in this precision, within the block.

    On a GPU `"float32"` is exact: torch lets convolutions take TF32 unless told
    otherwise. Settings of torch are afterwards what they were.

    Args:
        precision: of the passes.
        device: where they run.

    Example:
        >>> with computing_in("bf16", "cpu"):
        ...     is_lower()
        True
        >>> is_lower()
        False
    """
    kind = torch.device(device).type
    # Those of GPUs alone: torch's setting for all devices changes bits on CPUs too.
    settings: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [setting.allow_tf32 for setting in settings]
    token = _LOWER.set(kind if precision == "bf16" else None)
    try:
        if kind != "cpu":
            for setting in settings:
                setting.allow_tf32 = precision == "tf32"
        yield
    finally:
        _LOWER.reset(token)
        if kind != "cpu":
            for setting, value in zip(settings, before, strict=True):
                setting.allow_tf32 = value


def is_lower() -> bool:
    """Whether passes through networks are in bfloat16 now."""
    return _LOWER.get() is not None


def network_pass(run: Any, *inputs: Any) -> Any:
    """What a network gives, in float32; computed in the precision of the run.

    Args:
        run: the pass: a function that gives a tensor, or a sequence of some.
        *inputs: of the function.

    Example:
        >>> with computing_in("bf16", "cpu"):
        ...     network_pass(lambda x: x @ x, torch.eye(2)).dtype
        torch.float32
    """
    kind = _LOWER.get()
    if kind is None:
        return run(*inputs)
    with torch.autocast(kind, dtype=torch.bfloat16):
        outputs = run(*inputs)
    if isinstance(outputs, Tensor):
        return single(outputs)
    return [single(output) for output in outputs]


def single(tensor: Tensor) -> Tensor:
    """A tensor of bfloat16 in float32; any other as it is.

    Example:
        >>> single(torch.zeros(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor
