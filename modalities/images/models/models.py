"""Image models by name, and fresh parameters for them from a passed generator."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from multidd.images.models.convnet import NORMS, ConvNet, Net
from multidd.images.models.networks import MLP, VGG11, AlexNet, LeNet, ResNet18, ViT

__all__ = ["MODELS", "build", "draw"]

CLASSES: dict[str, Callable[..., Net]] = {
    "convnet": ConvNet,
    "mlp": MLP,
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
        norm: `"instance"`, `"batch"`, `"layer"` or `"none"`; `mlp`, `lenet` and `vit`
            have no such layer, or their own.
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
    given = {"width": width, "depth": depth}
    settings: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
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
            made = torch.empty(like.shape, dtype=like.dtype, device=rng.device)
            _start(part, name, made, rng, None if init == "default" else bias)
            drawn[f"{path}.{name}" if path else name] = made
    return drawn


def _start(
    part: nn.Module, name: str, made: Tensor, rng: torch.Generator, bias: float | None
) -> None:
    """Fill one parameter; `bias` is None for PyTorch's own distributions."""
    if isinstance(part, nn.Linear | nn.Conv2d):
        fan_in = part.weight[0].numel()
        if bias is None:
            bound = 1 / math.sqrt(fan_in)
            made.uniform_(-bound, bound, generator=rng)
        else:
            sd = math.sqrt(2 / fan_in) if name == "weight" else bias
            made.normal_(0.0, sd, generator=rng)
    elif isinstance(part, nn.GroupNorm | nn.LayerNorm | nn.BatchNorm2d):
        made.fill_(1.0 if name == "weight" else 0.0)
    else:
        made.normal_(0.0, 0.02, generator=rng)


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
    least = {"vgg11": 32, "lenet": 12, "alexnet": 8}.get(name, 1)
    least = 28 if name == "vgg11" and tuple(shape) == (1, 28, 28) else least
    if min(shape[1:]) < least:
        raise ValueError(
            f"{name} takes images of {least} x {least} pixels or more; got {shape}"
        )
    if classes < 1:
        raise ValueError(f"classes must be 1 or more; got {classes}")
