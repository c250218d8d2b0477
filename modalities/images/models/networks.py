"""Other architectures for images of 28 to 64 pixels."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multidd.images.models.convnet import NORMS, ConvNet, Net, norm_layer

__all__ = [
    "AlexNet",
    "CNN",
    "LeNet",
    "MLP",
    "MODELS",
    "ResNet18",
    "VGG11",
    "ViT",
    "build",
    "draw",
]


def _pad(shape: Sequence[int], usual: int) -> int:
    """Padding of a first convolution: 28 x 28 in one channel becomes 32 x 32."""
    return usual + 2 if tuple(shape) == (1, 28, 28) else usual


class MLP(Net):
    """Linear layers with ReLU between.

    Args:
        shape: `(channels, height, width)` of the images.
        classes: c.
        width: of the hidden layers.
        depth: hidden layers.
    """

    def __init__(
        self, shape: Sequence[int], classes: int, width: int = 128, depth: int = 2
    ) -> None:
        pixels = shape[0] * shape[1] * shape[2]
        sizes = [pixels] + [width] * depth
        blocks = [
            nn.Sequential(nn.Flatten(), nn.Linear(sizes[i], sizes[i + 1]), nn.ReLU())
            for i in range(depth)
        ]
        super().__init__(blocks, shape, classes)


class CNN(Net):
    """Two convolutions with ReLU and max pooling, without norms: what tutorials have.

    Args:
        shape: `(channels, height, width)` of the images.
        classes: c.
        width: channels of the first convolution; the second has twice as many.
    """

    def __init__(self, shape: Sequence[int], classes: int, width: int = 32) -> None:
        sizes = (shape[0], width, 2 * width)
        blocks = [
            nn.Sequential(
                nn.Conv2d(sizes[i], sizes[i + 1], 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2, ceil_mode=True),
            )
            for i in range(2)
        ]
        super().__init__(blocks, shape, classes)


class LeNet(Net):
    """LeNet-5 with ReLU and max pooling; `width` is that of the first convolution.

    Reference:
        LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document
        Recognition", Proceedings of the IEEE 1998.
    """

    def __init__(self, shape: Sequence[int], classes: int, width: int = 6) -> None:
        second, pad = width * 8 // 3, 2 if min(shape[1:]) < 32 else 0
        rest = [((s + 2 * pad - 4) // 2 - 4) // 2 for s in shape[1:]]
        pool = nn.MaxPool2d(2)
        blocks = [
            nn.Sequential(nn.Conv2d(shape[0], width, 5, padding=pad), nn.ReLU(), pool),
            nn.Sequential(nn.Conv2d(width, second, 5), nn.ReLU(), pool),
            nn.Sequential(
                nn.Flatten(),
                nn.Linear(second * rest[0] * rest[1], 20 * width),
                nn.ReLU(),
            ),
            nn.Sequential(nn.Linear(20 * width, 14 * width), nn.ReLU()),
        ]
        super().__init__(blocks, shape, classes)


class AlexNet(Net):
    """Five convolutions in the manner of AlexNet, for small images; one linear layer.

    Reference:
        Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional
        Neural Networks", NeurIPS 2012.
    """

    def __init__(
        self,
        shape: Sequence[int],
        classes: int,
        width: int = 128,
        norm: str = "instance",
        running: bool = False,
    ) -> None:
        sizes = [shape[0], *(width * k // 4 for k in (4, 6, 8, 6, 6))]
        kernels, pools = (5, 5, 3, 3, 3), (True, True, False, False, True)
        blocks = []
        for i, (kernel, pool) in enumerate(zip(kernels, pools, strict=True)):
            pad = _pad(shape, 2) if i == 0 else kernel // 2
            parts: list[nn.Module] = [
                nn.Conv2d(sizes[i], sizes[i + 1], kernel, padding=pad),
                norm_layer(norm, sizes[i + 1], running),
                nn.ReLU(),
            ]
            blocks.append(nn.Sequential(*parts, *([nn.MaxPool2d(2)] if pool else [])))
        super().__init__(blocks, shape, classes)


class VGG11(Net):
    """Eight convolutions in the manner of VGG-11, for small images; one linear layer.

    Reference:
        Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
        Recognition", ICLR 2015.
    """

    def __init__(
        self,
        shape: Sequence[int],
        classes: int,
        width: int = 64,
        norm: str = "instance",
        running: bool = False,
    ) -> None:
        stages, into = ((1,), (2,), (4, 4), (8, 8), (8, 8)), shape[0]
        blocks: list[nn.Module] = []
        for stage in stages:
            parts: list[nn.Module] = []
            for times in stage:
                pad = 1 if blocks or parts else _pad(shape, 1)
                out = width * times
                parts += [nn.Conv2d(into, out, 3, padding=pad)]
                parts += [norm_layer(norm, out, running), nn.ReLU()]
                into = out
            blocks.append(nn.Sequential(*parts, nn.MaxPool2d(2)))
        super().__init__(blocks, shape, classes)


class Residual(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(
        self, into: int, out: int, stride: int, norm: str, running: bool
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(norm_layer(norm, out, running) for _ in range(2))
        self.around = nn.Sequential()
        if stride > 1 or into != out:
            around = nn.Conv2d(into, out, 1, stride, bias=False)
            self.around = nn.Sequential(around, norm_layer(norm, out, running))

    def forward(self, x: Tensor) -> Tensor:
        """Maps, at half the size if the stride is 2."""
        inner = self.norms[0](self.first(x)).relu()
        return (self.norms[1](self.second(inner)) + self.around(x)).relu()


class ResNet18(Net):
    """ResNet-18 whose first convolution keeps the size, as is usual on small images.

    Reference:
        He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016.
    """

    def __init__(
        self,
        shape: Sequence[int],
        classes: int,
        width: int = 64,
        norm: str = "instance",
        running: bool = False,
    ) -> None:
        start = nn.Conv2d(shape[0], width, 3, 1, 1, bias=False)
        first = nn.Sequential(start, norm_layer(norm, width, running), nn.ReLU())
        blocks: list[nn.Module] = [first]
        into = width
        for times in (1, 2, 4, 8):
            stride, out = (1 if times == 1 else 2), width * times
            pair = [(into, out, stride), (out, out, 1)]
            blocks.append(nn.Sequential(*(Residual(*p, norm, running) for p in pair)))
            into = out
        super().__init__([*blocks, nn.AdaptiveAvgPool2d(1)], shape, classes)


class Patches(nn.Module):
    """Images cut into patches, each a vector, with a learned place."""

    def __init__(self, shape: Sequence[int], width: int) -> None:
        super().__init__()
        self.size = 4 if min(shape[1:]) < 48 else 8
        self.missing = [-s % self.size for s in shape[1:]]
        self.conv = nn.Conv2d(shape[0], width, self.size, self.size)
        rows, columns = (-(-s // self.size) for s in shape[1:])
        self.place = nn.Parameter(torch.empty(rows * columns, width))

    def forward(self, x: Tensor) -> Tensor:
        """`[b, patches, width]`."""
        x = F.pad(x, (0, self.missing[1], 0, self.missing[0]))
        return self.conv(x).flatten(2).mT + self.place


class Attention(nn.Module):
    """Attention among patches, then a layer for each patch; norms before both."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """`[b, patches, width]`."""
        q, k, v = self.qkv(self.norms[0](x)).unflatten(2, (3, self.heads, -1)).unbind(2)
        # Written out, not scaled_dot_product_attention: that has no second derivative.
        score = torch.einsum("bqhd,bkhd->bhqk", q, k) / q.shape[-1] ** 0.5
        mixed = torch.einsum("bhqk,bkhd->bqhd", score.softmax(-1), v)
        x = x + self.out(mixed.flatten(2))
        return x + self.down(F.gelu(self.up(self.norms[1](x))))


class Pooled(nn.Module):
    """The mean over patches, normalized."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """`[b, width]`."""
        return self.norm(x).mean(1)


class ViT(Net):
    """A small vision transformer: patches of 4 (8 from 48 pixels on), four heads.

    Args:
        shape: `(channels, height, width)` of the images.
        classes: c.
        width: of the vectors; a multiple of 4.
        depth: layers of attention.

    Raises:
        ValueError: a width that four heads cannot share.

    Reference:
        Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image
        Recognition at Scale", ICLR 2021.
    """

    def __init__(
        self, shape: Sequence[int], classes: int, width: int = 96, depth: int = 4
    ) -> None:
        if width % 4:
            raise ValueError(f"width must be a multiple of 4, the heads; got {width}")
        layers = [Attention(width, 4) for _ in range(depth)]
        blocks = [Patches(shape, width), *layers, Pooled(width)]
        super().__init__(blocks, shape, classes)


CLASSES: dict[str, Callable[..., Net]] = {
    "convnet": ConvNet,
    "mlp": MLP,
    "cnn": CNN,
    "lenet": LeNet,
    "alexnet": AlexNet,
    "vgg11": VGG11,
    "resnet18": ResNet18,
    "vit": ViT,
}
MODELS = tuple(CLASSES)


def build(
    name: str,
    shape: Sequence[int],
    classes: int,
    rng: torch.Generator,
    *,
    width: int | Sequence[int] | None = None,
    depth: int | None = None,
    norm: str = "instance",
    running: bool = False,
) -> Net:
    """A model by name with random weights, on the generator's device.

    `model(x)` gives logits `[b, c]`; `model(x, layers=True)` gives the flattened
    features `[b, h]` of each block and the logits last.

    Args:
        name: one of `MODELS`.
        shape: `(channels, height, width)` of the images.
        classes: c.
        rng: draws the weights.
        width: channels, or units, of the model's first layer (ConvNet: of every block,
            or of each); the model's own unless given.
        depth: blocks of `convnet`, hidden layers of `mlp`, layers of `vit`.
        norm: `"instance"`, `"batch"`, `"layer"` or `"none"`; `mlp`, `cnn`, `lenet` and
            `vit` have no such layer, or their own.
        running: batch norm keeps running statistics; see `norm_layer`.

    Raises:
        ValueError: no such model or norm; images it cannot take; a depth that is fixed.

    Example:
        >>> from multidd.seeds import at
        >>> net = build("mlp", (1, 28, 28), 10, at(0, "net"), width=64)
        >>> net(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 10])
    """
    _check(name, shape, classes, norm)
    sizes = {"width": width, "depth": depth}
    settings: dict[str, Any] = {k: v for k, v in sizes.items() if v is not None}
    known = inspect.signature(CLASSES[name]).parameters
    if "norm" in known:
        settings |= {"norm": norm, "running": running}
    if "depth" in settings and "depth" not in known:
        raise ValueError(f"the depth of {name} is fixed; leave depth out")
    # Nothing is initialized on the meta device, so the global generator stays as it is.
    with torch.device("meta"):
        net = CLASSES[name](shape, classes, **settings)
    return _fill(net, rng)


def draw(
    module: nn.Module,
    rng: torch.Generator,
    *,
    init: str = "default",
    bias: float = 0.0,
) -> dict[str, Tensor]:
    r"""Fresh parameters for a module, which stays as it is.

    `"default"` is what PyTorch gives: weights and biases of linear layers and
    convolutions uniform in $\pm 1/\sqrt{\text{fan in}}$. `"gaussian"` draws weights
    from $N(0, 2/\text{fan in})$ and biases from $N(0, \text{bias}^2)$. Norms start at
    one and zero, places of a `vit` at $N(0, 0.02^2)$, in both.

    Args:
        module: any module; a model that lies on the meta device will do.
        rng: draws, on its own device.
        init: `"default"` or `"gaussian"`.
        bias: standard deviation of the biases, if Gaussian.

    Returns:
        Name to tensor, for `torch.func.functional_call(module, drawn, (x,))`.

    Raises:
        ValueError: no such init.

    Example:
        >>> from multidd.seeds import at
        >>> drawn = draw(nn.Linear(4, 2, device="meta"), at(0, "draw"))
        >>> sorted(drawn), bool((drawn["weight"].abs() <= 0.5).all())
        (['bias', 'weight'], True)
    """
    if init not in ("default", "gaussian"):
        raise ValueError(f"init must be 'default' or 'gaussian'; got {init!r}")
    drawn = {}
    for path, part in module.named_modules():
        for name, like in part.named_parameters(recurse=False):
            tensor = torch.empty(like.shape, dtype=like.dtype, device=rng.device)
            _start(part, name, tensor, rng, None if init == "default" else bias)
            drawn[f"{path}.{name}" if path else name] = tensor
    return drawn


def _start(
    part: nn.Module, name: str, tensor: Tensor, rng: torch.Generator, bias: float | None
) -> None:
    """Fill one parameter; `bias` is None for PyTorch's own distributions."""
    if isinstance(part, nn.Linear | nn.Conv2d):
        fan_in = part.weight[0].numel()
        if bias is None:
            bound = 1 / math.sqrt(fan_in)
            tensor.uniform_(-bound, bound, generator=rng)
        else:
            sd = math.sqrt(2 / fan_in) if name == "weight" else bias
            tensor.normal_(0.0, sd, generator=rng)
    elif isinstance(part, nn.GroupNorm | nn.LayerNorm | nn.BatchNorm2d):
        tensor.fill_(1.0 if name == "weight" else 0.0)
    else:
        tensor.normal_(0.0, 0.02, generator=rng)


def _fill(net: Net, rng: torch.Generator) -> Net:
    """A model from the meta device, with drawn parameters and fresh statistics."""
    drawn = draw(net, rng)
    net.to_empty(device=rng.device)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.copy_(drawn[name])
    return net


def _check(name: str, shape: Sequence[int], classes: int, norm: str) -> None:
    if name not in CLASSES:
        raise ValueError(f"model must be one of {', '.join(MODELS)}; got {name!r}")
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}; got {norm!r}")
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(
            f"shape must be (channels, height, width), each 1 or more; got {shape}"
        )
    # What the poolings of a model leave at least one pixel of.
    min_size = {"vgg11": 32, "lenet": 12, "alexnet": 8}.get(name, 1)
    min_size = 28 if name == "vgg11" and tuple(shape) == (1, 28, 28) else min_size
    if min(shape[1:]) < min_size:
        raise ValueError(
            f"{name} takes images of {min_size} x {min_size} pixels or more; "
            f"got {shape}"
        )
    if classes < 1:
        raise ValueError(f"classes must be 1 or more; got {classes}")
