"""Labelled images of one size, validated: the input of every image method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from multidd import html
from multidd.arguments import public_function
from multidd.data.labels import Value, check_labels, class_labels, mapped
from multidd.data.splitting import hold_out
from multidd.errors import warn_caller
from multidd.images.data.pixels import thumbnails
from multidd.images.data.readers import RawImages, read
from multidd.settings import tensor_digest
from multidd.sketches.labelled import described_facts

# Datasets whose images keep their class when mirrored; digits and letters do not.
MIRRORED = ("fashion-mnist", "cifar10", "cifar100", "tiny-imagenet")


def as_pixels(x: Tensor) -> Tensor:
    """Images as they are stored, bytes or numbers, as float32 in 0..1.

    Example:
        >>> as_pixels(torch.tensor([255], dtype=torch.uint8))
        tensor([1.])
    """
    return x.float().div_(255) if x.dtype == torch.uint8 else x


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """Labelled images of one size.

    Attributes:
        x: `[n, ch, h, w]`, uint8 in 0..255 or float32 in 0..1.
        labels: `[n]` int64, `0..c-1`.
        classes: name of each class.
        values: the label values as given, in the order of the classes.
        name: of the dataset; empty where unknown.
        mirror: whether a mirrored image keeps its class.
        sketch: what was seen, where the images are a sketch; see
            `multidd.images.sketch`.
    """

    x: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    values: tuple[Value, ...]
    name: str = ""
    mirror: bool = False
    sketch: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.x.dim() != 4 or self.x.dtype not in (torch.uint8, torch.float32):
            raise ValueError(
                "x must be [n, channels, h, w] of uint8 or float32, got "
                f"{list(self.x.shape)} of {self.x.dtype}; multidd.images.as_images "
                "takes other forms"
            )
        check_labels(self.labels, len(self.x), self.classes, self.values)

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.shape))
        named = f"{self.name}, " if self.name else ""
        return f"Images({named}{len(self)} of {size}, {self.num_classes} classes)"

    def _repr_html_(self) -> str:
        """The images as notebooks show them."""
        return html.box(repr(self), thumbnails(self.x, self.labels, self.classes))

    @property
    def num_classes(self) -> int:
        """c."""
        return len(self.classes)

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(ch, h, w)` of an image."""
        channels, height, width = self.x.shape[1:]
        return channels, height, width

    @property
    def counts(self) -> Tensor:
        """`[c]`, images of each class."""
        return torch.bincount(self.labels, minlength=self.num_classes)

    def pixels(self, rows: Tensor | None = None) -> Tensor:
        """`[b, ch, h, w]` float32 in 0..1, of the given rows or of all."""
        return as_pixels(self.x if rows is None else self.x[rows])

    def subset(self, rows: Tensor) -> "Images":
        """The images of the given rows, in their order; classes stay as they are."""
        return replace(self, x=self.x[rows], labels=self.labels[rows])

    def split(
        self, share_or_count: float | int, seed: int = 0
    ) -> tuple["Images", "Images"]:
        """Part of each class held out, in proportion, at random.

        Args:
            share_or_count: below one the share held out, else the number of images.
            seed: of the draw.

        Returns:
            The rest and the held out images, both in their first order.

        Raises:
            ValueError: nothing would be held out, or nothing left of a class.
        """
        rest, held = hold_out(
            self.labels, self.num_classes, share_or_count, seed, noun="image"
        )
        return self.subset(rest), self.subset(held)

    def describe(self) -> dict[str, Any]:
        """Sizes, labels and a fingerprint of the content: which images these are."""
        return {
            "name": self.name,
            "images": len(self),
            "classes": self.num_classes,
            "shape": list(self.shape),
            "labels": list(self.values),
            "counts": self.counts.tolist(),
            "sha256": self._digest,
            **described_facts(self.sketch),
        }

    @cached_property
    def _digest(self) -> str:
        return f"{tensor_digest(self.x)}{tensor_digest(self.labels)}"


@public_function
def as_images(data: Any, *, values: Sequence[Value] | None = None) -> Images:
    """Check labelled images of any kind and bring them into the form of `Images`.

    Labels that are not 0..c-1 are mapped to it in sorted order, and said. The channel
    axis is the one of size 1 or 3 that is the first or last of an image.

    Args:
        data: `Images`; a pair `(x, y)` of arrays, tensors or lists; an HF
            `datasets.Dataset` with an image and a class column; a torch `Dataset` of
            `(image, label)`; the path of an .npz file, of idx files or their folder,
            or of an image folder with one sub-folder for each class.
        values: of the classes, as another set has them (`train.values` for a test
            set); a class may then be without images.

    Returns:
        The `Images`; `data` is not changed, memory is shared where it can be.

    Raises:
        TypeError: none of these kinds.
        ValueError: wrong shapes, ranges, NaN pixels, an unknown label, a class without
            images, or a broken file; says where.

    Example:
        >>> x = torch.zeros(4, 8, 8, 3, dtype=torch.uint8)
        >>> as_images((x, [0, 1, 1, 0]))
        Images(4 of 3 x 8 x 8, 2 classes)
    """
    if isinstance(data, Images):
        return _relabeled(data, values)
    return make(read(data), values=values)


def make(raw: RawImages, *, values: Sequence[Value] | None = None) -> Images:
    """`Images` of what was read, its labels checked against its pixels.

    Example:
        >>> make(RawImages(torch.zeros(2, 1, 4, 4), [0, 1]))
        Images(2 of 1 x 4 x 4, 2 classes)
    """
    count = len(raw.x)
    labels, classes, label_values = class_labels(raw, count, values, noun="image")
    is_new = values is None and raw.values is None
    if is_new and label_values != tuple(range(len(label_values))):
        warn_caller(mapped(label_values))
    name = raw.name.replace("_", "-")
    return Images(raw.x, labels, classes, label_values, name, name in MIRRORED)


def _relabeled(images: Images, values: Sequence[Value] | None) -> Images:
    if values is None or tuple(values) == images.values:
        return images
    y = [images.values[i] for i in images.labels.tolist()]
    raw = RawImages(images.x, y, images.classes, images.values, images.name)
    return replace(make(raw, values=values), mirror=images.mirror)
