"""The kernel predictor of a summary: ridge regression on features."""

from collections.abc import Callable, Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from multidd.evaluation.kernel_predictor import kernel_predictor, predicted_classes
from multidd.kernels import RBF, InfiniteKernel, Linear
from multidd.learning.kernel_sources import Infinite, Kernel, Plain

__all__ = ["DEFAULT", "answers", "kernel_model", "kernel_of", "source_of"]

DEFAULT: dict[str, Any] = {"kind": "rbf", "gamma": 1.0, "ridge": 1e-6}
"""The kernel of summaries that say none."""

Gram = Callable[..., Tensor]

KERNELS: dict[str, Callable[[Mapping[str, Any]], Gram]] = {
    "rbf": lambda settings: RBF(settings.get("gamma", 1.0)),
    "linear": lambda settings: Linear(settings.get("offset", 1.0)),
    "infinite": lambda settings: InfiniteKernel(settings.get("depth", 1)),
}


def kernel_of(settings: Mapping[str, Any]) -> Gram:
    """The kernel that settings name: two sets of rows to `[na, nb]`.

    Args:
        settings: `kind` is `"rbf"` with `gamma`, `"linear"` with `offset`, or
            `"infinite"` (the neural tangent kernel of a wide network) with `depth`.

    Raises:
        ValueError: no such kind.

    Example:
        >>> import torch
        >>> kernel_of({"kind": "linear", "offset": 0.0})(torch.eye(2)).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    kind = settings.get("kind", "rbf")
    if kind not in KERNELS:
        raise ValueError(f"kernel must be one of {', '.join(KERNELS)}; got {kind!r}")
    return KERNELS[kind](settings)


def source_of(settings: Mapping[str, Any]) -> Kernel:
    """The same kernel as an objective takes it.

    Example:
        >>> source_of(DEFAULT)
        Plain(kernel=RBF(gamma=1.0))
    """
    kernel = kernel_of(settings)
    if isinstance(kernel, RBF | Linear):
        return Plain(kernel)
    return Infinite(settings.get("depth", 1))


def kernel_model(
    x: Tensor, targets: Tensor, settings: Mapping[str, Any]
) -> Callable[[Tensor], Tensor]:
    r"""$f(t) = K_{ts} (K_{ss} + \lambda \bar k I)^{-1} Y$, fitted once.

    Args:
        x: `[m, d]`, features of the synthetic texts.
        targets: `[m, c]`, their labels; rows are centered first.
        settings: as of `kernel_of`, and `ridge`, relative to the mean of the diagonal.

    Returns:
        A function of features `[b, d]` that gives scores `[b, c]`.

    Example:
        >>> import torch
        >>> scores = kernel_model(torch.eye(2), torch.eye(2), DEFAULT)(torch.eye(2))
        >>> scores.argmax(1).tolist()
        [0, 1]
    """
    kernel = kernel_of(settings)
    centered = targets - targets.mean(1, keepdim=True)
    ridge = settings.get("ridge", DEFAULT["ridge"])
    return kernel_predictor(kernel(x), centered, ridge, lambda rows: kernel(rows, x))


def answers(model: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`[n]`, the likeliest class of each row of features, on the CPU.

    Example:
        >>> import torch
        >>> answers(lambda rows: rows, torch.eye(2)).tolist()
        [0, 1]
    """
    return predicted_classes(lambda rows: model(x[rows]), len(x)).cpu()


def one_hot(y: Tensor, classes: int) -> Tensor:
    """`[m, c]` float32.

    Example:
        >>> import torch
        >>> one_hot(torch.tensor([1]), 2).tolist()
        [[0.0, 1.0]]
    """
    return F.one_hot(y, classes).float()
