r"""Covariances of pixels under 3 x 3 convolutions with zero padding.

Axes: n, m images; h, w pixels. `flat` holds each pixel against the same pixel of the
other image, `[n, m, h, w]`, which is all that a flattened readout needs; `pairs` holds
all pairs of pixels, `[n, m, h, w, h, w]`, for global average pooling.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class _DiagonalWindow(torch.autograd.Function):
    """Sum over the 3 x 3 shifts that move both pixels alike; it is its own adjoint."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return _along(_along(x, -4, -2), -3, -1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _DiagonalWindow.apply(grad)


def _along(x: Tensor, first: int, second: int) -> Tensor:
    """x plus x moved by one pixel, either way, along two axes at once."""
    size = x.shape[first] - 1
    early, late = (
        lambda t: t.narrow(first, 0, size).narrow(second, 0, size),
        lambda t: t.narrow(first, 1, size).narrow(second, 1, size),
    )
    out = x.clone()
    late(out).add_(early(x))
    early(out).add_(late(x))
    return out


def window(x: Tensor) -> Tensor:
    """Mean over a 3 x 3 window padded with zeros, `[n, h, w]` or `[n, m, h, w]`.

    Example:
        >>> window(torch.full((1, 1, 1, 1), 9.0)).item()
        1.0
    """
    return F.avg_pool2d(x, 3, stride=1, padding=1)


def window_pairs(x: Tensor) -> Tensor:
    """The same for all pairs of pixels, `[n, m, h, w, h, w]`.

    Example:
        >>> window_pairs(torch.full((1,) * 6, 9.0)).item()
        1.0
    """
    return _DiagonalWindow.apply(x) / 9


def flat(a: Tensor, b: Tensor) -> Tensor:
    """Mean over channels of the products of equal pixels: `[n, m, h, w]`.

    Example:
        >>> flat(torch.ones(2, 3, 4, 4), torch.ones(1, 3, 4, 4)).shape
        torch.Size([2, 1, 4, 4])
    """
    if a.shape[1] == 1:
        return a * b[:, 0]
    return torch.einsum("nchw,mchw->nmhw", a, b) / a.shape[1]


def pairs(a: Tensor, b: Tensor) -> Tensor:
    """Mean over channels of the products of all pixels: `[n, m, h, w, h, w]`.

    Example:
        >>> pairs(torch.ones(2, 3, 4, 4), torch.ones(1, 3, 4, 4)).shape
        torch.Size([2, 1, 4, 4, 4, 4])
    """
    return torch.einsum("nchw,mcij->nmhwij", a, b) / a.shape[1]
