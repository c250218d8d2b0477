"""Kernels of vectors: Gaussian, linear, and of features."""

import math
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Linear", "RBF", "conjugate_kernel", "random_feature_kernel"]


@dataclass(frozen=True)
class RBF:
    r"""Gaussian kernel, called with two sets of rows.

    $k(a, b) = \exp(-\gamma \lVert a - b \rVert^2)$

    Attributes:
        gamma: $\gamma$, above 0; 1 suits rows of unit length.

    Example:
        >>> import torch
        >>> [round(value, 4) for value in RBF()(torch.eye(2))[0].tolist()]
        [1.0, 0.1353]
    """

    gamma: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.gamma < math.inf:
            raise ValueError(f"gamma must be a number above 0, got {self.gamma!r}")

    def __call__(self, a: Tensor, b: Tensor | None = None) -> Tensor:
        """`[n, m]`, of rows of a with rows of b; without b, of a with itself.

        Raises:
            TypeError: inputs that are not floating point, or of two types.
            ValueError: inputs that are not `[n, d]` and `[m, d]`.
        """
        _check(a, b)
        products = a @ (a if b is None else b).mT
        if b is None:  # from the same product, so that equal rows are exactly so
            ours = theirs = products.diagonal()
        else:
            ours, theirs = a.square().sum(1), b.square().sum(1)
        gap = ours[:, None] + theirs - 2 * products
        return gap.clamp(min=0).mul(-self.gamma).exp()


@dataclass(frozen=True)
class Linear:
    r"""Linear kernel, called with two sets of rows.

    $k(a, b) = a^\top b + o$

    Attributes:
        offset: o, 0 or more: the variance of a bias.

    Example:
        >>> import torch
        >>> Linear(offset=0.5)(torch.eye(2)).tolist()
        [[1.5, 0.5], [0.5, 1.5]]
    """

    offset: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.offset < math.inf:
            raise ValueError(f"offset must be a number from 0, got {self.offset!r}")

    def __call__(self, a: Tensor, b: Tensor | None = None) -> Tensor:
        """`[n, m]`, of rows of a with rows of b; without b, of a with itself.

        Raises:
            TypeError: inputs that are not floating point, or of two types.
            ValueError: inputs that are not `[n, d]` and `[m, d]`.
        """
        _check(a, b)
        return a @ (a if b is None else b).mT + self.offset


def _check(a: Tensor, b: Tensor | None) -> None:
    for name, x in (("a", a), ("b", a if b is None else b)):
        if not x.is_floating_point():
            raise TypeError(f"{name} must be floating point, got {x.dtype}: convert it")
        if x.dim() != 2 or x.shape[1] != a.shape[-1]:
            raise ValueError(
                f"kernels of vectors take [n, d] and [m, d], got {name} "
                f"{list(x.shape)} where a is {list(a.shape)}"
            )
        if x.dtype != a.dtype:
            raise TypeError(f"a and b must have one type, got {a.dtype} and {x.dtype}")


def conjugate_kernel(a: Tensor, b: Tensor | None = None) -> Tensor:
    r"""Conjugate kernel: of features in front of a trained last layer.

    $\phi(a)\,\phi(b)^\top$

    Args:
        a: features `[..., n, D]`.
        b: features `[..., m, D]`; without it, of a with itself.

    Returns:
        `[..., n, m]`, one matrix for each network.

    Example:
        >>> import torch
        >>> conjugate_kernel(torch.ones(2, 3)).tolist()
        [[3.0, 3.0], [3.0, 3.0]]

    Reference:
        Zhou, Nezhadarya, Ba, "Dataset Distillation using Neural Feature Regression",
        NeurIPS 2022.
    """
    return a @ (a if b is None else b).mT


def random_feature_kernel(
    a: Tensor,
    b: Tensor | None = None,
    *,
    weight_variance: float = 2.0,
    bias_variance: float = 0.01,
) -> Tensor:
    r"""Random-feature estimate of the NNGP kernel.

    $\sigma_w^2 \Phi(a)\Phi(b)^\top / D + \sigma_b^2$

    Args:
        a: features of k random networks, `[k, n, D]`, or of one, `[n, D]`.
        b: the same with m inputs; without it, of a with itself.
        weight_variance, bias_variance: of the last layer, which is never drawn.

    Returns:
        `[n, m]`: the mean over networks, which is the kernel of all features in a row.

    Example:
        >>> import torch
        >>> round(random_feature_kernel(torch.ones(8, 1, 4)).item(), 4)
        2.01

    Reference:
        Loo, Hasani, Amini, Rus, "Efficient Dataset Distillation using Random Feature
        Approximation", NeurIPS 2022.
    """
    kernel = conjugate_kernel(a, b) * (weight_variance / a.shape[-1]) + bias_variance
    return kernel.mean(0) if kernel.dim() == 3 else kernel
