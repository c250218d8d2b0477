"""Differentiable augmentation of images, drawn once and applied to any batch.

A draw picks one operation and its parameters. The `View` it gives is a function of
images: the same one on a real and on a synthetic batch is what "siamese" means. The
operations and their ranges are those of differentiable siamese augmentation; scale
draws its two axes apart, and every parameter comes from the generator passed in.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.seeds import host

__all__ = [
    "Augmentation",
    "OPERATIONS",
    "View",
    "parse",
    "random_crops",
    "through_tile",
]


RANGES: dict[str, dict[str, tuple[float, float]]] = {
    "color": {"brightness": (-0.5, 0.5), "saturation": (0, 2), "contrast": (0.5, 1.5)},
    "crop": {"down": (0, 1), "right": (0, 1)},
    "cutout": {"row": (0, 1), "column": (0, 1), "side": (0.5, 0.5)},
    "flip": {"turn": (0, 1)},
    "scale": {"across": (1 / 1.2, 1.2), "along": (1 / 1.2, 1.2)},
    "rotate": {"degrees": (-15, 15)},
}
"""What is drawn for each operation, uniform between two ends."""

OPERATIONS = tuple(RANGES)
MARGIN = 0.125
"""How far a crop moves an image at most, as a share of its side."""


@dataclass(frozen=True, eq=False)
class View:
    """One operation with its parameters: a function of images.

    Attributes:
        operation: one of `OPERATIONS`, or `"none"`.
        parameters: name to `[count]`, one entry for each parameter set. They do not
            depend on the size of the images. `"color"` adds `brightness`, then scales
            by `saturation` about the mean over channels and by `contrast` about the
            mean over the image. `"crop"` moves by up to an eighth, evenly over
            `down` and `right` in 0..1, 0.5 being no move, zeros coming in. `"cutout"`
            puts zeros in a box of `side` times the image's around `row`, `column`.
            `"flip"` mirrors where `turn` is below one half. `"scale"` and `"rotate"`
            resample linearly, zeros outside.

    Example:
        >>> turn = View("flip", {"turn": torch.zeros(1)})
        >>> turn(torch.tensor([[[[1.0, 2.0]]]])).tolist()
        [[[[2.0, 1.0]]]]
    """

    operation: str
    parameters: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return max((len(p) for p in self.parameters.values()), default=1)

    def __call__(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """The images as this view shows them; differentiable in them.

        Args:
            x: `[b, channels, height, width]`.
            index: `[b]`, which parameter set each image takes; None where there is
                one set for all, or one for each image.

        Returns:
            `[b, channels, height, width]`.

        Raises:
            ValueError: neither one set nor one for each image, and no index.
        """
        if self.operation == "none":
            return x
        if index is None and len(self) not in (1, len(x)):
            raise ValueError(
                f"{len(x)} images need {len(x)} parameter sets, or one, or an index "
                f"that says which each takes; this view has {len(self)} sets"
            )
        parts = {name: p.to(x.device) for name, p in self.parameters.items()}
        if index is not None and len(self) > 1:
            parts = {name: p[index] for name, p in parts.items()}
        return APPLY[self.operation](x, **parts)


@dataclass(frozen=True)
class Augmentation:
    """Differentiable augmentation; each draw applies one of its operations.

    Attributes:
        operations: names out of `OPERATIONS`; none means that images stay as they are.

    Raises:
        ValueError: an unknown operation, or one named twice.

    Reference:
        Zhao, Bilen, "Dataset Condensation with Differentiable Siamese Augmentation",
        ICML 2021.

    Example:
        >>> from multidd.seeds import at
        >>> view = Augmentation(("crop", "flip")).draw(at(0, "view"))
        >>> real, synthetic = torch.ones(5, 1, 8, 8), torch.ones(2, 1, 8, 8)
        >>> view(real).shape, view(synthetic).shape
        (torch.Size([5, 1, 8, 8]), torch.Size([2, 1, 8, 8]))
    """

    operations: tuple[str, ...] = OPERATIONS

    def __post_init__(self) -> None:
        for name in self.operations:
            if name not in OPERATIONS:
                known = ", ".join(OPERATIONS)
                raise ValueError(f"operations are {known}; got {name!r}")
        if len(set(self.operations)) < len(self.operations):
            raise ValueError(f"name each operation once; got {self.operations}")

    def __str__(self) -> str:
        return "_".join(self.operations)

    def without(self, *names: str) -> "Augmentation":
        """The same, less some: `without("flip")` where mirroring changes the class.

        Example:
            >>> str(Augmentation().without("flip"))
            'color_crop_cutout_scale_rotate'
        """
        return Augmentation(tuple(n for n in self.operations if n not in names))

    def draw(self, rng: torch.Generator, count: int = 1) -> View:
        """One operation, each as likely, and `count` sets of its parameters.

        Args:
            rng: draws both, on its own device.
            count: parameter sets: 1 for a whole batch, or one for each class or image.

        Raises:
            ValueError: a count below 1.
        """
        if count < 1:
            raise ValueError(f"count must be 1 or more; got {count}")
        if not self.operations:
            return View("none")
        which = int(torch.randint(len(self.operations), (1,), generator=host(rng)))
        operation = self.operations[which]
        drawn = {}
        for name, (low, high) in RANGES[operation].items():
            share = torch.rand(count, generator=rng, device=rng.device)
            drawn[name] = low + (high - low) * share
        return View(operation, drawn)


def parse(text: str) -> Augmentation:
    """Operations joined by underscores, in the field's notation.

    Args:
        text: such as `"color_crop_flip"`; `""` or `"none"` for none.

    Raises:
        ValueError: an unknown operation, or one named twice.

    Example:
        >>> parse("color_crop").operations
        ('color', 'crop')
    """
    return Augmentation(() if text in ("", "none") else tuple(text.split("_")))


def _wide(parameter: Tensor, x: Tensor) -> Tensor:
    """`[n]` as `[n, 1, 1, 1]`, in the precision of the images."""
    return parameter.to(x.dtype)[:, None, None, None]


def _color(
    x: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor
) -> Tensor:
    x = x + _wide(brightness, x)
    mean = x.mean(1, keepdim=True)
    x = mean + _wide(saturation, x) * (x - mean)
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + _wide(contrast, x) * (x - mean)


def _crop(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    far = [int(side * MARGIN + 0.5) for side in x.shape[2:]]
    moves = [
        (share * (2 * max_shift + 1)).long().clamp(max=2 * max_shift) - max_shift
        for share, max_shift in zip((down, right), far, strict=True)
    ]
    if len(down) == 1:
        return _move(x, int(moves[0]), int(moves[1]))
    for axis, move in zip((2, 3), moves, strict=True):
        x = _slide(x, axis, move)
    return x


def _move(x: Tensor, down: int, right: int) -> Tensor:
    """All images by the same way: negative padding cuts."""
    return F.pad(x, (right, -right, down, -down))


def _slide(x: Tensor, axis: int, move: Tensor) -> Tensor:
    """Each image by its own way along an axis."""
    side = x.shape[axis]
    source = torch.arange(side, device=x.device) - move[:, None]  # [b, side]
    inside = ((source >= 0) & (source < side)).to(x.dtype)
    shape = [len(x), 1, 1, 1]
    shape[axis] = side
    index = source.clamp(0, side - 1).view(shape).expand_as(x)
    return x.gather(axis, index) * inside.view(shape)


def _cutout(x: Tensor, row: Tensor, column: Tensor, side: Tensor) -> Tensor:
    keep = None
    for axis, share in ((2, row), (3, column)):
        length = x.shape[axis]
        box = (side * length + 0.5).long()
        # The center may lie on the far edge too where the box has no middle pixel.
        places = length + 1 - box % 2
        first = (share * places).long().clamp(max=length) - box // 2
        at = torch.arange(length, device=x.device)
        hit = (at >= first[:, None]) & (at < (first + box)[:, None])
        shape = [len(share), 1, 1, 1]
        shape[axis] = length
        keep = hit.view(shape) if keep is None else keep & hit.view(shape)
    return x * (~keep).to(x.dtype)  # type: ignore[operator]


def _flip(x: Tensor, turn: Tensor) -> Tensor:
    return torch.where(_wide(turn, x) < 0.5, x.flip(3), x)


def _scale(x: Tensor, across: Tensor, along: Tensor) -> Tensor:
    zero = torch.zeros_like(across)
    return _resample(x, [across, zero, zero, along])


def _rotate(x: Tensor, degrees: Tensor) -> Tensor:
    angle = degrees.double() * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    long = x.shape[2] / x.shape[3]  # or an oblong image would be sheared
    return _resample(x, [cos, -sin * long, sin / long, cos])


def _resample(x: Tensor, matrix: list[Tensor]) -> Tensor:
    """Where each pixel comes from: a 2 x 2 matrix, row by row, on (x, y) in -1..1."""
    entries = torch.stack(matrix, -1).view(-1, 2, 2).to(x.dtype)
    theta = F.pad(entries, (0, 1)).expand(len(x), 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


APPLY: dict[str, Callable[..., Tensor]] = {
    "color": _color,
    "crop": _crop,
    "cutout": _cutout,
    "flip": _flip,
    "scale": _scale,
    "rotate": _rotate,
}


def random_crops(
    x: Tensor, count: int, area: tuple[float, float], rng: torch.Generator
) -> Tensor:
    """`count` crops of each image, of its own proportions, blown up to its size.

    Args:
        x: `[n, ch, h, w]`.
        count: crops of each.
        area: shares of the area, least and most, drawn evenly between.
        rng: draws, on its own device.

    Returns:
        `[n, count, ch, h, w]`.

    Raises:
        ValueError: shares that are not in 0..1, or no crops.

    Example:
        >>> from multidd.seeds import at
        >>> random_crops(torch.ones(2, 1, 4, 4), 3, (0.5, 1.0), at(0, "crop")).shape
        torch.Size([2, 3, 1, 4, 4])
    """
    low, high = area
    if not 0 < low <= high <= 1:
        raise ValueError(f"area must be two shares, 0 < low <= high <= 1, got {area}")
    if count < 1:
        raise ValueError(f"crops must be 1 or more, got {count}")
    n = len(x) * count
    drawn = torch.rand(3, n, generator=rng, device=rng.device).to(x)
    side = (low + (high - low) * drawn[0]).sqrt()
    centers = (2 * drawn[1:] - 1) * (1 - side)
    theta = x.new_zeros(n, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = side
    theta[:, :, 2] = centers.T
    repeated = x.repeat_interleave(count, dim=0)
    grid = F.affine_grid(theta, list(repeated.shape), align_corners=False)
    # Half a pixel beyond the edge, where a crop of the whole may look, is the edge.
    cut = F.grid_sample(repeated, grid, padding_mode="border", align_corners=False)
    return cut.unflatten(0, (len(x), count))


def through_tile(x: Tensor, factor: int) -> Tensor:
    """`[n, ch, h, w]` images as they come back from a tile of 1 / `factor` the side.

    Example:
        >>> through_tile(torch.arange(4.0).view(1, 1, 2, 2), 2).flatten().tolist()
        [1.5, 1.5, 1.5, 1.5]
    """
    if factor == 1:
        return x
    height, width = x.shape[2:]
    small = (max(1, height // factor), max(1, width // factor))
    tile = F.interpolate(x, small, mode="bilinear", align_corners=False, antialias=True)
    return F.interpolate(tile, (height, width), mode="bilinear", align_corners=False)
