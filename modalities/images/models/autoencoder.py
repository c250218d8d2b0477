"""A small autoencoder of images, for those who have no generator of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd import seeds
from multidd.images.data.images import Images
from multidd.learning.optim import Adam
from multidd.numerics import flush_denormals
from multidd.parameterizations.decoder_nets import random_weights
from multidd.protocols import Params
from multidd.settings import describe

__all__ = ["Autoencoder", "Coder"]

Sizes: TypeAlias = tuple[tuple[int, int], ...]

SEEN = 128
"""Images at a step of the fit."""


class ImageSource(Protocol):
    """Training images, and batches of them as networks see them."""

    @property
    def images(self) -> Images:
        """The images before normalization."""

    @property
    def device(self) -> torch.device | str:
        """Where batches are."""

    def normalized(self, rows: Tensor) -> Tensor:
        """`[b, ch, h, w]`, the images of the given rows."""


@dataclass(frozen=True, eq=False)
class Coder:
    """Convolutions with SiLU between; images are pooled after, or blown up before one.

    Attributes:
        weights: `0.weight`, `0.bias`, ...
        sizes: `(h, w)` after each layer.

    Example:
        >>> weights = {"0.weight": torch.ones(2, 1, 3, 3), "0.bias": torch.zeros(2)}
        >>> Coder(weights, ((4, 4),))(torch.ones(1, 1, 8, 8)).shape
        torch.Size([1, 2, 4, 4])
    """

    weights: Params
    sizes: Sizes

    def __call__(self, x: Tensor) -> Tensor:
        """`[b, ch, h, w]` to `[b, ch', h', w']`."""
        for layer, size in enumerate(self.sizes):
            weight = self.weights[f"{layer}.weight"].to(x)
            x = F.silu(x) if layer else x
            if size[0] > x.shape[2]:
                x = F.interpolate(x, size, mode="bilinear", align_corners=False)
            x = F.conv2d(x, weight, self.weights[f"{layer}.bias"].to(x), padding=1)
            x = F.adaptive_avg_pool2d(x, size) if size[0] < x.shape[2] else x
        return x

    def describe(self) -> dict[str, Any]:
        """Sizes, and a fingerprint of the weights."""
        return {
            "kind": "Coder",
            "sizes": [list(size) for size in self.sizes],
            "weights": describe(self.weights),
        }


@dataclass(frozen=True)
class Autoencoder:
    """Settings of an encoder and a decoder that are fitted to real images.

    Attributes:
        channels: of a latent, a quarter of an image along each side.
        width: channels inside.
        steps: of Adam on the mean squared error, 128 images each.
        lr: its rate.

    Example:
        >>> Autoencoder(channels=8).width
        16
    """

    channels: int = 4
    width: int = 16
    steps: int = 200
    lr: float = 3e-3

    def __post_init__(self) -> None:
        if min(self.channels, self.width, self.steps) < 1:
            raise ValueError(
                "channels, width and steps must be 1 or more, got "
                f"{self.channels}, {self.width} and {self.steps}"
            )

    def latent(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """Shape of the latent of an image `(ch, h, w)`.

        Example:
            >>> Autoencoder().latent((1, 28, 28))
            (4, 7, 7)
        """
        return self.channels, -(-shape[1] // 4), -(-shape[2] // 4)

    def fit(self, source: "ImageSource", seed: int) -> tuple[Coder, Coder]:
        """Encoder and decoder of normalized training images.

        Args:
            source: whose images, such as a `multidd.images.tasks.image_task.ImageTask`.
            seed: of the start and the batches.

        Returns:
            Encoder and decoder.

        Example:
            >>> import multidd
            >>> from multidd.images.tasks.image_task import ImageTask
            >>> train, test = multidd.samples.fashion()
            >>> few = Autoencoder(width=2, steps=1)
            >>> encoder, decoder = few.fit(ImageTask.of(train), 0)
            >>> x = torch.zeros(2, 1, 28, 28)
            >>> encoder(x).shape, decoder(encoder(x)).shape
            (torch.Size([2, 4, 7, 7]), torch.Size([2, 1, 28, 28]))
        """
        rng = seeds.at(seed, "autoencoder", device=source.device)
        shape, w = source.images.shape, self.width
        _, height, width = shape
        whole, code = (height, width), self.latent(shape)[1:]
        half = -(-height // 2), -(-width // 2)
        sizes = (half, code, code), (code, half, whole)
        paths = (shape[0], w, 2 * w, self.channels), (self.channels, 2 * w, w, shape[0])
        weights: Params = {}
        like = torch.empty(0, device=source.device)
        for side, path in zip("ed", paths, strict=True):
            shapes: dict[str, tuple[int, ...]] = {}
            for i in range(3):
                shapes[f"{i}.weight"] = (path[i + 1], path[i], 3, 3)
                shapes[f"{i}.bias"] = (path[i + 1],)
            coder_weights = random_weights(shapes, 1, rng, like)
            weights |= {f"{side}{name}": t[0] for name, t in coder_weights.items()}
        with flush_denormals():
            weights = self._fitted(source, weights, sizes, rng)
        return _coder(weights, "e", sizes[0]), _coder(weights, "d", sizes[1])

    def _fitted(
        self,
        source: "ImageSource",
        weights: Params,
        sizes: tuple[Sizes, Sizes],
        rng: torch.Generator,
    ) -> Params:
        adam, n = Adam(lr=self.lr, cosine=self.steps), len(source.images)
        moments = {name: adam.init(w) for name, w in weights.items()}
        for _ in range(self.steps):
            rows = torch.randint(n, (min(n, SEEN),), generator=rng, device=rng.device)
            x = source.normalized(rows.cpu())
            leaves = {name: w.detach().requires_grad_() for name, w in weights.items()}
            encoder = _coder(leaves, "e", sizes[0])
            decoder = _coder(leaves, "d", sizes[1])
            loss = (decoder(encoder(x)) - x).square().mean()
            slopes = torch.autograd.grad(loss, list(leaves.values()))
            for (name, w), slope in zip(weights.items(), slopes, strict=True):
                weights[name], moments[name] = adam.step(w, slope, moments[name])
        return {name: w.detach() for name, w in weights.items()}


def _coder(weights: Params, side: str, sizes: Sizes) -> Coder:
    coder_weights = {n[1:]: w for n, w in weights.items() if n.startswith(side)}
    return Coder(coder_weights, sizes)
