"""`Images`, checked and made simple: what the rest of this folder works on."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from multidd import seeds
from multidd.errors import MultiddWarning
from multidd.images.budget import apportion
from multidd.images.labels import Value, as_labels
from multidd.images.reading import Found, read
from multidd.settings import tensor_digest

# Datasets whose images keep their class when mirrored; digits and letters do not.
MIRRORED = ("fashion-mnist", "cifar10", "cifar100", "tiny-imagenet")


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
    """

    x: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    values: tuple[Value, ...]
    name: str = ""
    mirror: bool = False

    def __post_init__(self) -> None:
        n, c = len(self.x), len(self.classes)
        if self.x.dim() != 4 or self.x.dtype not in (torch.uint8, torch.float32):
            raise ValueError(
                "x must be [n, channels, h, w] of uint8 or float32, got "
                f"{list(self.x.shape)} of {self.x.dtype}; multidd.images.as_images "
                "takes other forms"
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != (n,):
            raise ValueError(
                f"labels must be int64 [{n}], got {self.labels.dtype} "
                f"{list(self.labels.shape)}"
            )
        if n and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < c:
            low, high = int(self.labels.min()), int(self.labels.max())
            raise ValueError(f"labels must be 0..{c - 1}, got {low}..{high}")
        if len(self.values) != c:
            raise ValueError(f"{c} classes need {c} values, got {len(self.values)}")

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.shape))
        named = f"{self.name}, " if self.name else ""
        return f"Images({named}{len(self)} of {size}, {self.num_classes} classes)"

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
        x = self.x if rows is None else self.x[rows]
        return x.float().div_(255) if x.dtype == torch.uint8 else x

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
        sizes, total = self.counts.tolist(), _held_out(share_or_count, len(self))
        most = [max(size - 1, 0) for size in sizes]
        if total > sum(most):
            raise ValueError(
                f"{share_or_count} holds out {total} of {len(self)} images, but each "
                f"class keeps one; at most {sum(most)}"
            )
        taken = apportion(total, sizes, most, least=0)
        held = take(self, taken, seeds.at(seed, "split"))
        chosen = torch.zeros(len(self), dtype=torch.bool)
        chosen[held] = True
        return self.subset((~chosen).nonzero().flatten()), self.subset(held)

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
        }

    @cached_property
    def _digest(self) -> str:
        return f"{tensor_digest(self.x)}{tensor_digest(self.labels)}"


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
    found = read(data)
    return make(found, values=values)


def make(found: Found, *, values: Sequence[Value] | None = None) -> Images:
    """`Images` of what a reader found, its labels checked against its pixels.

    Example:
        >>> make(Found(torch.zeros(2, 1, 4, 4), [0, 1]))
        Images(2 of 1 x 4 x 4, 2 classes)
    """
    known = values if values is not None else found.values
    labels, kept = as_labels(found.y, known)
    if len(labels) != len(found.x):
        raise ValueError(
            f"{len(found.x)} images have {len(labels)} labels; there must be one for "
            "each image"
        )
    names = dict(zip(found.values or (), found.classes or (), strict=True))
    classes = tuple(str(names.get(value, value)) for value in kept)
    if values is None:
        _check_classes(labels, classes)
    if known is None and kept != tuple(range(len(kept))):
        warnings.warn(_mapped(kept), MultiddWarning, stacklevel=3)
    name = found.name.replace("_", "-")
    return Images(found.x, labels, classes, kept, name, name in MIRRORED)


def take(images: Images, counts: Sequence[int], rng: torch.Generator) -> Tensor:
    """Rows of `counts[i]` images of class i, drawn without replacement, sorted.

    Example:
        >>> images = as_images((torch.zeros(4, 8, 8), [0, 1, 1, 0]))
        >>> len(take(images, [1, 2], seeds.at(0, "take")))
        3
    """
    order = torch.randperm(len(images), generator=rng)
    labels = images.labels[order]
    rows = [order[labels == i][:count] for i, count in enumerate(counts)]
    return torch.cat(rows).sort().values


def _mapped(values: Sequence[Value]) -> str:
    shown = ", ".join(f"{value!r} -> {i}" for i, value in enumerate(values[:10]))
    more = ", ..." if len(values) > 10 else ""
    return (
        f"labels are not 0..{len(values) - 1} and were mapped: {shown}{more}; "
        "describe()['labels'] keeps them"
    )


def _check_classes(labels: Tensor, classes: Sequence[str]) -> None:
    counts = torch.bincount(labels, minlength=len(classes))
    missing = [classes[i] for i in (counts == 0).nonzero().flatten().tolist()]
    if missing:
        shown = ", ".join(repr(name) for name in missing[:10])
        raise ValueError(
            f"{len(missing)} of {len(classes)} classes have no images: {shown}; add "
            "some, or relabel the data without them"
        )
    if len(classes) < 2:
        raise ValueError(
            f"all images have one class ({classes[0]!r}); there is nothing to classify"
        )


def _held_out(share_or_count: float | int, n: int) -> int:
    wanted = share_or_count
    whole = isinstance(wanted, int) and not isinstance(wanted, bool) and wanted >= 1
    if not whole and not (isinstance(wanted, float) and 0 < wanted < 1):
        raise ValueError(
            f"hold out a share between 0 and 1 or a whole number, got {wanted!r}"
        )
    total = int(wanted) if whole else round(wanted * n)
    if not total:
        raise ValueError(f"{wanted} of {n} images is none; hold out a larger share")
    return total


def _relabeled(images: Images, values: Sequence[Value] | None) -> Images:
    if values is None or tuple(values) == images.values:
        return images
    given = [images.values[i] for i in images.labels.tolist()]
    found = Found(images.x, given, images.classes, images.values, images.name)
    return replace(make(found, values=values), mirror=images.mirror)
