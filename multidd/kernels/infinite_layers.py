r"""Layers of infinitely wide networks: arc-cosine kernels and convolutions."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_PI = torch.pi


class _ArcCosine(torch.autograd.Function):
    """Correlation -> both kernels; the angle is exactly zero where rows are equal.

    The derivative of degree 1 is degree 0, whose own is 1 / (pi sin): that has no
    limit at equal rows and is left out there. It is an output, for second derivatives.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(rho: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rho = rho.clamp(-1, 1)
        squared = 1 - rho * rho
        # Rounding alone leaves this much between the correlation of equal rows and 1.
        parallel = squared < 16 * torch.finfo(rho.dtype).eps
        sine = squared.masked_fill_(parallel, 0).sqrt_()
        first = torch.acos(rho).mul_(-1 / _PI).add_(1)  # (pi - angle) / pi
        first = torch.where(parallel, (rho > 0).to(rho.dtype), first)
        second = torch.addcmul(sine / _PI, first, rho)
        slope = sine.mul_(_PI).reciprocal_().masked_fill_(parallel, 0)
        return second, first, slope

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        _, first, slope = output
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(inputs[0], first, slope)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Tensor | None:
        rho, first, slope = ctx.saved_tensors
        by_second, by_first, by_slope = grads
        terms = []
        if by_second is not None:
            terms.append(by_second * first)
        if by_first is not None:
            terms.append(by_first * slope)
        if by_slope is not None:  # in second derivatives only
            terms.append(by_slope * slope**3 * rho * _PI**2)
        return sum(terms[1:], terms[0]) if terms else None


def arc_cosine(rho: Tensor) -> tuple[Tensor, Tensor]:
    r"""Arc-cosine kernels of degree 1 and 0 at a correlation.

    With $\theta = \arccos\rho$: $\kappa_1 = (\sin\theta + (\pi - \theta)\rho) / \pi$
    and $\kappa_0 = (\pi - \theta) / \pi$.

    Args:
        rho: correlations, any shape; what rounding put outside -1 to 1 is cut off.

    Returns:
        $\kappa_1$ and $\kappa_0$, of the same shape. Where rows are equal up to
        rounding the angle is exactly zero and its gradient is left out.

    Example:
        >>> [kappa.item() for kappa in arc_cosine(torch.ones(1))]
        [1.0, 1.0]

    Reference:
        Cho, Saul, "Kernel Methods for Deep Learning", NeurIPS 2009.
    """
    second, first, _ = _ArcCosine.apply(rho)
    return second, first


def deviation(variance: Tensor) -> Tensor:
    """Square root with a finite gradient at zero.

    Example:
        >>> deviation(torch.tensor([4.0])).item()
        2.0
    """
    return variance.clamp(min=torch.finfo(variance.dtype).tiny ** 0.5).sqrt()


def relu(
    covariance: Tensor, tangent: Tensor | None, a: Tensor, b: Tensor, weight: float
) -> tuple[Tensor, Tensor | None]:
    r"""Covariance and tangent kernel behind a ReLU and random weights.

    $\sigma_w^2 E[\phi(u)\phi(v)] = \tfrac{\sigma_w^2}{2} \sqrt{q q'} \kappa_1(\rho)$
    and $\sigma_w^2 E[\phi'(u)\phi'(v)] = \tfrac{\sigma_w^2}{2} \kappa_0(\rho)$.

    Args:
        covariance: of the inputs of the ReLU.
        tangent: tangent kernel so far, of the same shape, or None to go without.
        a, b: standard deviations of the two sides, of shapes whose product has the
            shape of the covariance.
        weight: the variance of the weights behind the ReLU.

    Returns:
        The two, without the variance of the biases; the tangent is only the part
        that reaches through this layer.

    Example:
        >>> one = torch.ones(1, 1)
        >>> [value.item() for value in relu(one, one, one, one, 2.0)]
        [1.0, 1.0]
    """
    scale = a * b
    second, first = arc_cosine(covariance / scale)
    behind = (weight / 2) * scale * second
    return behind, None if tangent is None else (weight / 2) * first * tangent


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
