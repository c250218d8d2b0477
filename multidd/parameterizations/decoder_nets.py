"""Small decoder networks that are stored with a synthetic set."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.learning.optim import Adam
from multidd.protocols import Draw, Params
from multidd.storage.schema import Forms, TensorField

__all__ = [
    "DecoderFit",
    "DecoderNet",
    "check_factor",
    "split_records",
    "run_decoder",
    "downsample",
]

MAX_LAYERS = 16
"""Layers of a decoder in a file: each doubles an image, and no side is 2**16 long."""


@dataclass(frozen=True)
class DecoderNet:
    """Sizes of a decoder of codes: convolutional for images, an MLP for vectors.

    Attributes:
        channels: of a code; its length, for vectors.
        width: channels, or units, inside.
        factor: how much smaller than an image a code is along each side: 2, 4, 8 ...;
            vectors have none.

    Example:
        >>> DecoderNet(channels=4, width=8, factor=4).code((1, 28, 28))
        (4, 7, 7)
    """

    channels: int = 4
    width: int = 8
    factor: int = 4

    def __post_init__(self) -> None:
        if min(self.channels, self.width) < 1:
            raise ValueError(
                f"channels and width must be 1 or more, got {self.channels} and "
                f"{self.width}"
            )
        if self.factor < 1 or self.factor & (self.factor - 1):
            raise ValueError(f"factor must be a power of two, got {self.factor}")

    def code(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Shape of a code of such records.

        Raises:
            ValueError: records that this decoder does not make.
        """
        if _vector(shape):
            return (self.channels,)
        if self.factor < 2:
            raise ValueError("a decoder of images needs a factor of 2 or more")
        check_factor(shape, self.factor)
        return (self.channels, shape[1] // self.factor, shape[2] // self.factor)

    def shapes(self, shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
        """Shape of each weight of a decoder of such records."""
        self.code(shape)
        if _vector(shape):
            sizes, kernel = [self.channels, self.width, shape[0]], []
        else:
            doublings = self.factor.bit_length() - 1
            sizes = [self.channels, *(self.width,) * doublings, shape[0]]
            kernel = [3, 3]
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(len(sizes) - 1):
            shapes[f"{layer}.weight"] = (sizes[layer + 1], sizes[layer], *kernel)
            shapes[f"{layer}.bias"] = (sizes[layer + 1],)
        return shapes


def net_fields(
    prefix: str, shape: Sequence[int], forms: Forms, beside: tuple[int, ...] = ()
) -> tuple[tuple[int | str, ...], dict[str, TensorField]]:
    """What a file must hold of a decoder with as many layers as it has.

    Args:
        prefix: of the names of its weights.
        shape: of a decoded record.
        forms: type and shape of the tensors of the file.
        beside: leading sizes, of decoders side by side.

    Returns:
        Shape of a code, and the field of each weight.

    Example:
        >>> code, fields = net_fields("g/", (1, 8, 8), {})
        >>> code, str(fields["g/0.weight"])
        (('channels', 4, 4), 'torch.float32 [width1, channels, 3, 3]')
    """
    layers = 2
    while layers < MAX_LAYERS and f"{prefix}{layers}.weight" in forms:
        layers += 1
    vector = _vector(shape)
    kernel = () if vector else (3, 3)
    sizes: list[int | str] = ["channels", *(f"width{i}" for i in range(1, layers))]
    sizes.append(shape[0])
    fields = {}
    for layer in range(layers):
        inside, outside = sizes[layer], sizes[layer + 1]
        weight = TensorField((*beside, outside, inside, *kernel))
        fields[f"{prefix}{layer}.weight"] = weight
        fields[f"{prefix}{layer}.bias"] = TensorField((*beside, outside))
    sides = [side >> (layers - 1) for side in shape[1:]]
    return ("channels", *sides), fields


def shrunken(shape: Sequence[int], factor: int) -> tuple[int, ...]:
    """Height and width of an image that is so much smaller; of a vector nothing."""
    return tuple(side // factor for side in shape[1:])


def factor_fault(decoder: Mapping[str, Any], shape: Sequence[int]) -> str | None:
    """What is wrong with a factor on a card, for records of a shape."""
    try:
        check_factor(shape, decoder["factor"])
    except ValueError as error:
        return f"card.decoder.factor is {decoder['factor']}: {error}"
    return None


def run_decoder(weights: Params, codes: Tensor) -> Tensor:
    """Codes through a decoder: SiLU, and a doubling of images, between layers.

    Args:
        weights: `0.weight`, `0.bias`, `1.weight`, ...
        codes: `[b, channels]`, or `[b, channels, h, w]`.

    Returns:
        `[b, d]`, or `[b, ch, h f, w f]`.

    Example:
        >>> shapes = DecoderNet(4, 8, 4).shapes((1, 28, 28))
        >>> weights = {name: torch.ones(shape) for name, shape in shapes.items()}
        >>> run_decoder(weights, torch.ones(2, 4, 7, 7)).shape
        torch.Size([2, 1, 28, 28])
    """
    x = codes
    for layer in range(len(weights) // 2):
        weight, bias = weights[f"{layer}.weight"], weights[f"{layer}.bias"]
        x = F.silu(x) if layer else x
        if weight.dim() == 4:
            x = upsample(x, 2) if layer else x
            x = F.conv2d(x, weight, bias, padding=1)
        else:
            x = F.linear(x, weight, bias)
    return x


def random_weights(
    shapes: dict[str, tuple[int, ...]], count: int, rng: torch.Generator, like: Tensor
) -> Params:
    """Random weights of `count` decoders side by side.

    Variance 2 over fan-in inside, 1 over fan-in last; biases are zero.
    """
    weights: Params = {}
    last = list(shapes)[-2]
    for name, shape in shapes.items():
        weight = like.new_zeros(count, *shape)
        if not name.endswith("bias"):
            gain = 1 if name == last else 2
            deviation = math.sqrt(gain / math.prod(shape[1:]))
            weight.normal_(std=deviation, generator=rng)
        weights[name] = weight
    return weights


@dataclass(frozen=True)
class DecoderFit:
    """Fit of decoded records to real ones before the run.

    Attributes:
        steps: of Adam on the mean squared error; 0 leaves the random start.
        lr: its rate.

    Example:
        >>> DecoderFit(steps=100).lr
        0.02
    """

    steps: int = 200
    lr: float = 0.02

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"steps must be 0 or more, got {self.steps}")

    def __call__(
        self, params: Params, decode: Callable[[Params], Tensor], goal: Tensor
    ) -> Params:
        """The tensors after the fit; those given stay as they are."""
        adam, last = Adam(lr=self.lr, cosine=max(self.steps, 1)), dict(params)
        moments = {name: adam.init(tensor) for name, tensor in last.items()}
        for _ in range(self.steps):
            leaves = {n: t.detach().requires_grad_() for n, t in last.items()}
            loss = (decode(leaves) - goal).square().mean()
            slopes = torch.autograd.grad(loss, list(leaves.values()))
            for (name, tensor), slope in zip(last.items(), slopes, strict=True):
                last[name], moments[name] = adam.step(tensor, slope, moments[name])
        return last


def upsample(x: Tensor, factor: int) -> Tensor:
    """`[b, ch, h f, w f]`, bilinear."""
    if factor == 1:
        return x
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def downsample(x: Tensor, factor: int) -> Tensor:
    """`[b, ch, h / f, w / f]`, smoothed.

    Example:
        >>> downsample(torch.ones(1, 1, 4, 4), 2).shape
        torch.Size([1, 1, 2, 2])
    """
    if factor == 1:
        return x
    size = (x.shape[2] // factor, x.shape[3] // factor)
    return F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)


def check_factor(shape: Sequence[int], factor: int) -> None:
    """Refuse a factor by which such records cannot be shrunken.

    Raises:
        ValueError: says which can be used.
    """
    if factor == 1:
        return
    if len(shape) != 3:
        raise ValueError(
            f"factor={factor} needs images [channels, height, width], the records are "
            f"{list(shape)}; take factor=1"
        )
    common = math.gcd(shape[1], shape[2])
    if common % factor:
        fitting = [f for f in range(1, common + 1) if common % f == 0]
        raise ValueError(
            f"factor={factor} does not divide images of {shape[1]} x {shape[2]}; "
            f"these do: {', '.join(map(str, fitting))}"
        )


def split_records(params: Params, form: object) -> tuple[Tensor, Draw]:
    """`x` of a start, and the rest of it.

    Raises:
        ValueError: the base stores `x` in another form.
    """
    rest = dict(params)
    if "x" not in rest:
        raise ValueError(
            f"{type(form).__name__} goes around records as they are, such as Free or "
            f"Labels(Free); the base stores {', '.join(params)}"
        )
    return rest.pop("x"), rest


def _vector(shape: Sequence[int]) -> bool:
    if len(shape) not in (1, 3):
        raise ValueError(
            "decoders make vectors [d] and images [channels, height, width], not "
            f"records of {list(shape)}"
        )
    return len(shape) == 1
