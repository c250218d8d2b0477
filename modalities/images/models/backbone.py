"""The model that a method matches on, as settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from threading import get_ident
from typing import Any, Literal

import torch
from torch import Tensor

from multidd.images.models import fast_convnet
from multidd.images.models.convnet import Net
from multidd.images.models.networks import build, draw
from multidd.learning.compiling import functional_layers
from multidd.protocols import Params
from multidd.seeds import at
from multidd.settings import describe

__all__ = ["Backbone", "in_chunks"]

CHUNK = 32
"""Images in one pass without gradients: their maps stay in the cache of a CPU."""

CHUNK_GPU = 1024
"""The same on a GPU, which many small passes leave idle."""


def in_chunks(x: Tensor) -> Sequence[Tensor]:
    """Images `[b, ...]` in passes as large as their device likes them.

    Example:
        >>> [len(part) for part in in_chunks(torch.zeros(40, 1, 2, 2))]
        [32, 8]
    """
    return x.split(CHUNK if x.device.type == "cpu" else CHUNK_GPU)


@dataclass(frozen=True)
class Backbone:
    """An image model by name; weights are passed in, so many share one module.

    Attributes:
        name: one of `multidd.images.MODELS`.
        width: channels of a block, or of each block; the model's own unless given.
        depth: number of blocks; the model's own unless given.
        norm: `"instance"`, `"batch"`, `"layer"` or `"none"`.
        init: PyTorch's default, or Gaussian of variance 2 / fan-in.
        bias: standard deviation of Gaussian biases.

    Example:
        >>> Backbone(width=32).name
        'convnet'
    """

    name: str = "convnet"
    width: int | tuple[int, ...] | None = None
    depth: int | None = None
    norm: str = "instance"
    init: Literal["default", "gaussian"] = "default"
    bias: float = 0.0

    def check(self, shape: Sequence[int], classes: int) -> None:
        """Refuse settings that do not make a model for such images.

        Raises:
            ValueError: says what would fit.
        """
        _module(self, tuple(shape), classes)

    def card_settings(self, shape: Sequence[int], classes: int) -> dict[str, Any]:
        """What a card says of the network beside the method's own settings."""
        return {}

    def settings(self, shape: Sequence[int], classes: int) -> dict[str, Any]:
        """What a run goes on by, for such images."""
        described: dict[str, Any] = describe(self)
        return described

    def mixes_records(self, shape: Sequence[int], classes: int) -> bool:
        """Whether features of an image depend on the others of its batch."""
        return self.norm == "batch"

    def channels(self, shape: Sequence[int], classes: int) -> tuple[int, ...]:
        """Channels of each block: those of its maps, or all entries where it has none.

        Example:
            >>> Backbone(width=4).channels((1, 8, 8), 2)
            (4, 4, 4)
        """
        x, channels = torch.zeros(2, *shape), []
        with torch.no_grad():
            for block in _module(self, tuple(shape), classes).blocks:
                x = block(x)
                channels.append(x.shape[1] if x.dim() == 4 else x[0].numel())
        return tuple(channels)

    def weights(
        self, rng: torch.Generator, models: int, shape: Sequence[int], classes: int
    ) -> Params:
        """Fresh weights of `models` models, each `[k, ...]`."""
        module = _module(self, tuple(shape), classes)
        drawn = [
            draw(module, rng, init=self.init, bias=self.bias) for _ in range(models)
        ]
        return {name: torch.stack([one[name] for one in drawn]) for name in drawn[0]}

    def features(
        self, weights: Params, x: Tensor, classes: int, last: int | None = None
    ) -> list[Tensor]:
        """`[b, h]` of each block under one model, the logits last; without gradients
        in chunks."""
        # Batch norm mixes the images of a pass: chunks would change the values.
        if torch.is_grad_enabled() or self.norm == "batch":
            return self._layers(weights, x, classes, last)
        chunks = [self._layers(weights, part, classes, last) for part in in_chunks(x)]
        return [torch.cat(parts) for parts in zip(*chunks, strict=True)]

    def gradients(
        self, weights: Params, x: Tensor, targets: Tensor, mass: Tensor, loss: str
    ) -> Params | None:
        """Gradient of the weighted loss by hand, where there is such a way."""
        depth = sum(name.endswith(".conv.weight") for name in weights)
        if not fast_convnet.fits(self.name, self.norm, x, depth):
            return None
        return fast_convnet.gradients(weights, x, targets, mass, loss)

    def _layers(
        self, weights: Params, x: Tensor, classes: int, last: int | None
    ) -> list[Tensor]:
        module = _module(self, tuple(x.shape[1:]), classes)
        layers = functional_layers(module, weights, x)
        return layers if last is None else layers[-last:]


def _module(backbone: Backbone, shape: tuple[int, ...], classes: int) -> Net:
    """The module whose parameters are replaced at every call; each thread has its
    own, since they are replaced in place."""
    return _built(backbone, shape, classes, get_ident())


@cache
def _built(
    backbone: Backbone, shape: tuple[int, ...], classes: int, thread: int
) -> Net:
    return build(
        backbone.name,
        shape,
        classes,
        at(0, "template"),
        width=backbone.width,
        depth=backbone.depth,
        norm=backbone.norm,
    ).requires_grad_(False)
