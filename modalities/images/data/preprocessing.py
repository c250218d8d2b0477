"""Normalization and ZCA whitening of pixels, and the way back."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from multidd.images.data.images import Images

EPSILON = 0.1  # added to the eigenvalues of standardized pixels; the field's value
ZCA_IMAGES = 50_000
CHUNK = 4096
PREFIX = "preprocessing."


@dataclass(frozen=True, eq=False, repr=False)
class Preprocessing:
    """Standardization of each channel, then whitening of all pixels where fitted.

    Normalized pixels are $((x - mean)/std - center) W$ with
    $W = U (\\Lambda + 0.1)^{-1/2} U^T$ of the covariance $U \\Lambda U^T$.

    Attributes:
        mean: `[ch]`, of the training pixels in 0..1.
        std: `[ch]`.
        center: `[d]`, mean of the standardized images, where whitened.
        whitening: `[d, d]`, symmetric, where whitened.

    Reference:
        Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
        Nguyen, Chen, Lee, "Dataset Meta-Learning from Kernel Ridge-Regression",
        ICLR 2021 (regularized ZCA).
    """

    mean: Tensor
    std: Tensor
    center: Tensor | None = None
    whitening: Tensor | None = None

    def __repr__(self) -> str:
        zca = ", zca" if self.whitening is not None else ""
        return f"Preprocessing({len(self.mean)} channels{zca})"

    @classmethod
    def fit(cls, images: Images, zca: bool = False) -> "Preprocessing":
        """Statistics of training images; pass no others.

        Args:
            images: the training images.
            zca: whether to whiten too; fitted on 50,000 images at most, evenly spaced.

        Returns:
            The `Preprocessing`. A channel without variation is only centered.
        """
        mean, std = _statistics(images)
        plain = cls(mean, std)
        return replace(plain, **_whitening(images, plain)) if zca else plain

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "Preprocessing":
        """What `tensors()` gave; other entries are left alone.

        Raises:
            ValueError: no such tensors.
        """
        names = ("mean", "std", "center", "whitening")
        parts = {n: tensors[PREFIX + n] for n in names if PREFIX + n in tensors}
        if "mean" not in parts or "std" not in parts:
            raise ValueError(
                f"{PREFIX}mean and {PREFIX}std are missing; got {sorted(tensors)}"
            )
        return cls(**parts)

    def tensors(self) -> dict[str, Tensor]:
        """What a file keeps: `preprocessing.mean` and so on."""
        parts = {"mean": self.mean, "std": self.std}
        if self.center is not None and self.whitening is not None:
            parts |= {"center": self.center, "whitening": self.whitening}
        return {PREFIX + name: part for name, part in parts.items()}

    def to(self, device: torch.device | str) -> "Preprocessing":
        """The same on another device."""
        moved = {name: part.to(device) for name, part in self.tensors().items()}
        return Preprocessing.of(moved)

    def describe(self) -> dict[str, Any]:
        """The statistics of each channel, and whether pixels are whitened."""
        return {
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "zca": self.whitening is not None,
        }

    def apply(self, x: Tensor) -> Tensor:
        """Pixels in 0..1 to normalized ones; differentiable.

        Args:
            x: `[b, ch, h, w]`, floating point.

        Returns:
            `[b, ch, h, w]` of the same type, on the same device.

        Raises:
            ValueError: other channels, or another size than the whitening's.

        Example:
            >>> half = Preprocessing(torch.tensor([0.5]), torch.tensor([0.25]))
            >>> half.apply(torch.ones(1, 1, 2, 2)).unique().tolist()
            [2.0]
        """
        self._check(x)
        x = (x - self._along(self.mean, x)) / self._along(self.std, x)
        if self.center is None or self.whitening is None:
            return x
        flat = x.flatten(1) - self.center.to(x)
        return (flat @ self.whitening.to(x)).view_as(x)

    def invert(self, x: Tensor) -> Tensor:
        """Normalized pixels back to 0..1; not clamped.

        Args:
            x: `[b, ch, h, w]`, floating point.

        Returns:
            `[b, ch, h, w]` of the same type, on the same device.

        Raises:
            ValueError: as `apply`.

        Example:
            >>> half = Preprocessing(torch.tensor([0.5]), torch.tensor([0.25]))
            >>> half.invert(torch.full((1, 1, 2, 2), 2.0)).unique().tolist()
            [1.0]
        """
        self._check(x)
        if self.center is not None:
            flat = x.flatten(1) @ self._unwhitening.to(x)
            x = (flat + self.center.to(x)).view_as(x)
        return x * self._along(self.std, x) + self._along(self.mean, x)

    @cached_property
    def _unwhitening(self) -> Tensor:
        assert self.whitening is not None
        return torch.linalg.inv(self.whitening.double())

    @staticmethod
    def _along(values: Tensor, x: Tensor) -> Tensor:
        return values.to(x)[:, None, None]

    def _check(self, x: Tensor) -> None:
        if x.dim() != 4 or x.shape[1] != len(self.mean) or not x.is_floating_point():
            raise ValueError(
                f"pixels must be floating point [b, {len(self.mean)}, h, w], got "
                f"{x.dtype} {list(x.shape)}"
            )
        if self.center is not None and x[0].numel() != len(self.center):
            raise ValueError(
                f"these pixels are whitened for images of {len(self.center)} values; "
                f"{list(x.shape[1:])} has {x[0].numel()}; resize the images"
            )


def _chunks(images: Images, rows: Tensor | None = None) -> Iterator[Tensor]:
    rows = torch.arange(len(images)) if rows is None else rows
    for part in rows.split(CHUNK):
        yield images.pixels(part)


def _total(parts: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum(0)


def _statistics(images: Images) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, in two passes, summed in double precision."""
    size = len(images) * images.x[0, 0].numel()
    axes, double = (0, 2, 3), torch.float64
    mean = _total(x.sum(axes, dtype=double) for x in _chunks(images)) / size
    center = mean[:, None, None].float()
    squares = ((x - center).square_().sum(axes, dtype=double) for x in _chunks(images))
    std = (_total(squares) / size).sqrt().float()
    return mean.float(), torch.where(std < 1e-6, torch.ones_like(std), std)


def _whitening(images: Images, plain: Preprocessing) -> dict[str, Tensor]:
    n, d = len(images), images.x[0].numel()
    count = min(n, ZCA_IMAGES)
    rows = torch.arange(count) * n // count
    flat = (plain.apply(part).flatten(1) for part in _chunks(images, rows))
    center = _total(part.sum(0, dtype=torch.float64) for part in flat) / count
    covariance = torch.zeros(d, d, dtype=torch.float64)
    for part in _chunks(images, rows):
        apart = plain.apply(part).flatten(1) - center.float()
        covariance += apart.T @ apart
    values, vectors = torch.linalg.eigh(covariance / max(count - 1, 1))
    scale = (values.clamp(min=0) + EPSILON).rsqrt()
    whitening = (vectors * scale) @ vectors.T
    return {"center": center.float(), "whitening": whitening.float()}
