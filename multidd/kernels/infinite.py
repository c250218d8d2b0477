"""Kernels of infinitely wide ReLU networks in closed form."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from multidd.arguments import is_whole
from multidd.kernels import infinite_layers
from multidd.kernels.gram import gram
from multidd.kernels.infinite_layers import deviation, relu

Architecture: TypeAlias = Literal["fc", "conv", "conv_gap"]
Kind: TypeAlias = Literal["ntk", "nngp"]

__all__ = ["InfiniteKernel", "infinite_kernel"]


def _identity(x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True)
class InfiniteKernel:
    """The kernel as an object: its settings, called with the two sets of inputs.

    Attributes:
        depth: hidden layers, at least 1.
        architecture: see `infinite_kernel`.
        kind: `"ntk"` or `"nngp"`.
        weight_variance: of the weights, times fan-in.
        bias_variance: of the biases.
        block_bytes: what one block of the computation may hold at a time.

    Example:
        >>> InfiniteKernel(depth=1)(torch.eye(3)).shape
        torch.Size([3, 3])
    """

    depth: int
    architecture: Architecture = "fc"
    kind: Kind = "ntk"
    weight_variance: float = 2.0
    bias_variance: float = 0.01
    block_bytes: int = 2**30

    def __post_init__(self) -> None:
        if not is_whole(self.depth) or self.depth < 1:
            raise ValueError(f"depth must be a whole number from 1, got {self.depth!r}")
        for name, kinds in (("architecture", Architecture), ("kind", Kind)):
            if (value := getattr(self, name)) not in get_args(kinds):
                raise ValueError(f"{name} must be one of {get_args(kinds)}: {value!r}")
        if not self.weight_variance > 0 or not self.bias_variance >= 0:
            raise ValueError(
                "weight_variance must be above 0 and bias_variance at least 0, got "
                f"{self.weight_variance!r} and {self.bias_variance!r}"
            )
        if self.block_bytes < 1:
            raise ValueError(f"block_bytes must be at least 1, got {self.block_bytes}")

    def __call__(self, a: Tensor, b: Tensor | None = None) -> Tensor:
        """Kernel between rows of a and rows of b, `[n, m]`; without b, of a."""
        b = None if b is a else b
        _check(a, b, self.architecture)
        if self.architecture == "fc":
            a, b = a.flatten(1), None if b is None else b.flatten(1)
        learned = a.requires_grad or (b is not None and b.requires_grad)
        size = self._bytes_per_pair(a, learned and torch.is_grad_enabled())
        return gram(self._block, a, b, pairs=max(1, self.block_bytes // size))

    def _bytes_per_pair(self, a: Tensor, learned: bool) -> int:
        pixels = 1 if self.architecture == "fc" else a.shape[2] * a.shape[3]
        numbers = pixels**2 if self.architecture == "conv_gap" else pixels
        # Arrays alive at a time, measured; a backward pass needs those of each layer.
        arrays = 8 + (20 * self.depth if learned else 0)
        return arrays * a.element_size() * numbers

    def of_products(self, products: Tensor, a: Tensor, b: Tensor, width: int) -> Tensor:
        """The kernel of rows that are known by their products, such as sparse ones.

        Args:
            products: `[n, m]`, inner products.
            a: `[n]`, squared lengths of the rows.
            b: `[m]`, those of the columns.
            width: d, entries of a row.

        Returns:
            `[n, m]`, differentiable in all three.

        Raises:
            ValueError: a convolutional kernel, which sees more than products.

        Example:
            >>> kernel, x = InfiniteKernel(depth=1), torch.eye(2)
            >>> gram = kernel.of_products(x @ x.T, torch.ones(2), torch.ones(2), 2)
            >>> torch.equal(gram, kernel(x))
            True
        """
        if self.architecture != "fc":
            raise ValueError(f"products do not tell a {self.architecture!r} kernel")
        scale, bias = self.weight_variance / width, self.bias_variance
        covariance, qa, qb = (part * scale + bias for part in (products, a, b))
        return self._through(covariance, qa, qb)

    def _block(self, a: Tensor, b: Tensor | None) -> Tensor:
        start = _SPACES[self.architecture].start
        return self._through(*start(a, b, self.weight_variance, self.bias_variance))

    def _through(self, covariance: Tensor, qa: Tensor, qb: Tensor) -> Tensor:
        """From what goes into the first ReLU to what comes out of the last layer."""
        space = _SPACES[self.architecture]
        weight, bias = self.weight_variance, self.bias_variance
        tangent = covariance if self.kind == "ntk" else None
        for layer in range(1, self.depth + 1):
            sides = space.sides(deviation(qa), deviation(qb))
            last = layer == self.depth
            mix = space.readout if last else space.mix
            covariance, tangent = relu(covariance, tangent, *sides, weight)
            if tangent is not None:
                tangent = mix(covariance + tangent) + bias
            if not last:
                covariance = mix(covariance) + bias
                qa, qb = (space.mix_one(q) * (weight / 2) + bias for q in (qa, qb))
        return mix(covariance) + bias if tangent is None else tangent


def infinite_kernel(
    a: Tensor,
    b: Tensor | None = None,
    *,
    depth: int,
    architecture: Architecture = "fc",
    kind: Kind = "ntk",
    weight_variance: float = 2.0,
    bias_variance: float = 0.01,
    block_bytes: int = 2**30,
) -> Tensor:
    r"""Kernel of an infinitely wide ReLU network, in closed form.

    With $\Sigma$ the covariance of the inputs of a layer, $q$ its diagonal and
    $\kappa_1, \kappa_0$ the arc-cosine kernels of the correlation,

    $$\Sigma' = \tfrac{\sigma_w^2}{2} \sqrt{q q'} \kappa_1 + \sigma_b^2, \qquad
      \Theta' = \Sigma' + \tfrac{\sigma_w^2}{2} \kappa_0 \Theta,$$

    averaged over a 3 x 3 window of pixels in front of a convolution and over all
    pixels in front of the last layer. Weights in the NTK parameterization. At equal
    rows the angle is exactly zero and its gradient, which has no limit, left out.

    Args:
        a: `[n, d]`, or images `[n, ch, h, w]`, which `"fc"` flattens.
        b: the same with m rows; without it, the kernel of a with itself.
        depth: hidden layers, or 3 x 3 convolutions padded with zeros to the same
            size, each followed by a ReLU; a last dense layer comes on top.
        architecture: `"fc"`; `"conv"`: flattened before the last layer; `"conv_gap"`:
            averaged over all pixels there.
        kind: `"ntk"`, all layers trained; `"nngp"`, the last layer only.
        weight_variance, bias_variance: $\sigma_w^2$ and $\sigma_b^2$.
        block_bytes: memory that a block of the computation may hold. Where one block
            is not enough, a backward pass computes each again.

    Returns:
        `[n, m]`, differentiable in a and in b.

    Raises:
        TypeError: inputs that are not floating point, or of two types.
        ValueError: shapes that do not fit, or an unknown setting.

    Example:
        >>> x = torch.tensor([[3.0, 4.0]])
        >>> round(infinite_kernel(x, depth=1, bias_variance=0.0).item(), 4)
        50.0

    Reference:
        Jacot, Gabriel, Hongler, "Neural Tangent Kernel: Convergence and
        Generalization in Neural Networks", NeurIPS 2018; Arora et al., "On Exact
        Computation with an Infinitely Wide Neural Net", NeurIPS 2019.
    """
    kernel = InfiniteKernel(depth, architecture, kind, weight_variance, bias_variance)
    return replace(kernel, block_bytes=block_bytes)(a, b)


def _check(a: Tensor, b: Tensor | None, architecture: str) -> None:
    for name, x in (("a", a), ("b", b)):
        if x is None:
            continue
        if not x.is_floating_point():
            raise TypeError(f"{name} must be floating point, got {x.dtype}: convert it")
        dims = (2, 4) if architecture == "fc" else (4,)
        if x.dim() not in dims:
            shapes = "[n, ch, h, w]" if 2 not in dims else "[n, d] or [n, ch, h, w]"
            raise ValueError(
                f"{architecture!r} takes inputs {shapes}, got {name} {list(x.shape)}"
            )
    if b is not None and a.shape[1:] != b.shape[1:]:
        raise ValueError(
            f"a and b must agree but for the number of rows, got {list(a.shape)} "
            f"and {list(b.shape)}"
        )
    if b is not None and a.dtype != b.dtype:
        raise TypeError(f"a and b must have one type, got {a.dtype} and {b.dtype}")


# --- what an architecture does to covariances -----------------------------------


@dataclass(frozen=True)
class _Space:
    """Which pairs of positions a covariance holds, and how layers mix them.

    Attributes:
        start: covariance and both variances in front of the first ReLU.
        sides: deviations of the two sides, shaped to give a product for each pair.
        mix, mix_one: what a convolution does to a covariance and to a variance.
        readout: what the last layer does to a covariance.
    """

    start: Callable[[Tensor, Tensor | None, float, float], tuple[Tensor, ...]]
    sides: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    mix: Callable[[Tensor], Tensor]
    mix_one: Callable[[Tensor], Tensor]
    readout: Callable[[Tensor], Tensor]


def _start_fc(
    a: Tensor, b: Tensor | None, weight: float, bias: float
) -> tuple[Tensor, ...]:
    scale = weight / a.shape[1]
    shift = a.new_full((), bias)
    covariance = torch.addmm(shift, a, (a if b is None else b).mT, alpha=scale)
    if b is None:  # from the same product, so that equal rows come out equal
        return covariance, *2 * (covariance.diagonal(),)
    # One pass without the product of the same size that a sum of squares makes.
    norms = (torch.linalg.vector_norm(x, dim=1) for x in (a, b))
    qa, qb = (norm.square() * scale + bias for norm in norms)
    return covariance, qa, qb


def _start_conv(
    cover: Callable[[Tensor, Tensor], Tensor], mix: Callable[[Tensor], Tensor]
) -> Callable[[Tensor, Tensor | None, float, float], tuple[Tensor, ...]]:
    def start(
        a: Tensor, b: Tensor | None, weight: float, bias: float
    ) -> tuple[Tensor, ...]:
        b = a if b is None else b
        qa, qb = (
            infinite_layers.window(x.square().mean(1)) * weight + bias for x in (a, b)
        )
        return mix(cover(a, b)) * weight + bias, qa, qb

    return start


_SPACES = {
    "fc": _Space(
        start=_start_fc,
        sides=lambda a, b: (a[:, None], b),
        mix=_identity,
        mix_one=_identity,
        readout=_identity,
    ),
    "conv": _Space(
        start=_start_conv(infinite_layers.flat, infinite_layers.window),
        sides=lambda a, b: (a[:, None], b),
        mix=infinite_layers.window,
        mix_one=infinite_layers.window,
        readout=lambda x: x.mean((-2, -1)),
    ),
    "conv_gap": _Space(
        start=_start_conv(infinite_layers.pairs, infinite_layers.window_pairs),
        sides=lambda a, b: (a[:, None, :, :, None, None], b[:, None, None]),
        mix=infinite_layers.window_pairs,
        mix_one=infinite_layers.window,
        readout=lambda x: x.mean((-4, -3, -2, -1)),
    ),
}
