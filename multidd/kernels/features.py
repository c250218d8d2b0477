r"""Kernels of finite networks' features: random features and the conjugate kernel.

Axes: n, m inputs; D features; any leading axes are networks.
"""

from torch import Tensor

__all__ = ["conjugate_kernel", "random_feature_kernel"]


def conjugate_kernel(a: Tensor, b: Tensor | None = None) -> Tensor:
    r"""$\phi(a)\,\phi(b)^\top$, for features in front of a trained last layer.

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
    r"""$\sigma_w^2 \Phi(a)\Phi(b)^\top / D + \sigma_b^2$: an estimate of the NNGP.

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
    found = conjugate_kernel(a, b) * (weight_variance / a.shape[-1]) + bias_variance
    return found.mean(0) if found.dim() == 3 else found
