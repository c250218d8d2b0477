"""`from_arrays`: images that others distilled, as a summary."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multidd.arguments import public_function
from multidd.data.array_files import (
    array_by_name,
    is_path,
    numbers,
    origin_of,
    read_arrays,
)
from multidd.data.external_labels import external_labels, facts_of
from multidd.engine.card import external_card
from multidd.images.data.images import Images, as_images
from multidd.images.data.preprocessing import Preprocessing
from multidd.images.data.readers import read
from multidd.images.summary.summary import ImageSummary, check_tensors

__all__ = ["from_arrays"]

X_NAMES, Y_NAMES = ("x", "images", "data"), ("y", "labels", "targets", "y_soft")
"""Names of the arrays of a file, the first that is there."""

READ_ELSEWHERE = ("", ".gz")
"""Endings of folders and idx files, which the readers of real images know."""


@public_function
def from_arrays(
    x: Any,
    y: Any = None,
    *,
    source: Any,
    mean: Any = None,
    std: Any = None,
    labels: str | None = None,
    method: str = "external",
    origin: str = "",
) -> ImageSummary:
    """A summary of images that others distilled, to be judged as ours.

    Raw pixels are uint8 in 0..255, or floats in 0..1. Floats that were normalized need
    the `mean` and `std` they were normalized with: real images are then seen alike.

    Args:
        x: `[m, ch, h, w]` or `[m, h, w, ch]`, or `[m, h, w]` of gray images; or an .npz
            or .safetensors file of arrays named x and y (images and labels), a
            `datasets.Dataset`, a torch `Dataset`, or a folder of images.
        y: `[m]` labels as the real data have them, or `[m, c]` soft labels; those of
            the file or dataset unless given.
        source: the real training images, as `as_images` takes them; or what
            `Images.describe()` says of them.
        mean: `[ch]` of the normalization; of raw pixels that of the real images unless
            given.
        std: `[ch]`.
        labels: `"soft"` or `"centered"`, for y `[m, c]`; told by the sums of its rows
            unless given.
        method: what reports call it.
        origin: where it came from, for the card; the name of the file or the type of
            the arrays unless given.

    Returns:
        An `ImageSummary` that can be evaluated, printed and saved.

    Raises:
        TypeError, ValueError: shapes, ranges or labels that do not fit the real images;
            a file of another kind, of a pickle with the way to convert it.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> x = np.zeros((2, 28, 28), np.uint8)
        >>> from_arrays(x, [3, 8], source=train, method="mine").to_tensors()[1]
        tensor([3, 8])
    """
    facts, real = _source(source)
    place = origin_of(x, origin)
    x, y = _read(x, y)
    pixels, raw = _pixels(x, tuple(facts["shape"]), mean is not None)
    preprocessing = _preprocessing(mean, std, pixels.shape[1], real if raw else None)
    if raw:
        pixels = preprocessing.apply(pixels)
    targets = external_labels(
        y,
        facts["labels"],
        len(pixels),
        names=facts.get("names"),
        kind=labels,
        noun="image",
    )
    check_tensors(pixels, targets.hard, facts)
    card = external_card(place, facts, method=method, labels=targets.kind)
    return ImageSummary.of({"x": pixels} | targets.tensors, card, preprocessing)


def _source(source: Any) -> tuple[dict[str, Any], Images | None]:
    """What is known of the real images, and they themselves where they were given."""
    if not isinstance(source, Mapping):
        images = as_images(source)
        return images.describe() | {"names": list(images.classes)}, images
    needed = ("images", "classes", "shape", "labels")
    how = "the real training images, or what Images.describe() says of them"
    return facts_of(source, needed, how), None


def _read(x: Any, y: Any) -> tuple[Any, Any]:
    """Images and labels of a file, a dataset or arrays."""
    if is_path(x) and not _is_read_elsewhere(x):
        arrays = read_arrays(x)
        label = pathlib.Path(x).name
        labels = array_by_name(arrays, Y_NAMES, label) if y is None else y
        return array_by_name(arrays, X_NAMES, label), labels
    is_dataset = hasattr(x, "cast_column") or isinstance(x, torch.utils.data.Dataset)
    if is_path(x) or is_dataset:
        raw = read(x)
        return raw.x, raw.y if y is None else y
    if y is None:
        raise ValueError(
            "x is an array and y is missing; give the label of each image, or soft "
            "labels [m, c]"
        )
    return x, y


def _is_read_elsewhere(path: str | os.PathLike[str]) -> bool:
    place = pathlib.Path(path)
    return place.is_dir() or place.suffix in READ_ELSEWHERE or "idx" in place.name


def _pixels(x: Any, shape: tuple[int, ...], normalized: bool) -> tuple[Tensor, bool]:
    """`[m, ch, h, w]` float32, and whether they are raw: in 0..1, not normalized."""
    array = numbers("x", x)
    channels, height, width = shape
    form = tuple(array.shape[1:])
    if form == (height, width, channels) and form != shape:
        array = array.permute(0, 3, 1, 2)
    elif form == (height, width) and channels == 1:
        array = array[:, None]
    elif form != shape:
        raise ValueError(
            f"x must be [m, {channels}, {height}, {width}] or [m, {height}, {width}, "
            f"{channels}], as the real images are; got {list(array.shape)}: resize it, "
            "or give other source="
        )
    if array.dtype == torch.bool:
        return array.float(), True
    if not array.is_floating_point():
        low, high = int(array.min()), int(array.max())
        if low < 0 or high > 255:
            raise ValueError(
                f"whole-number pixels must lie in 0..255; got {low}..{high}"
            )
        if high == 1:
            raise ValueError(
                "whole-number pixels are 0..255, and these are 0 and 1, nearly black; "
                "give booleans, floats in 0..1, or multiply them by 255"
            )
        return array.float() / 255, True
    pixels = array.float()
    if not bool(torch.isfinite(pixels).all()):
        raise ValueError("x holds NaN or infinite pixels; drop these images")
    if normalized:
        return pixels, False
    least, most = float(pixels.min()), float(pixels.max())
    if least < 0 or most > 1:
        raise ValueError(
            f"float pixels must lie in 0..1; got {least:.4g}..{most:.4g}: if they were "
            "normalized, give the mean= and std= of that"
        )
    return pixels, True


def _preprocessing(
    mean: Any, std: Any, channels: int, real: Images | None
) -> Preprocessing:
    """The given one, that of the real images, or none."""
    if (mean is None) != (std is None):
        raise ValueError("mean and std go together; give both or neither")
    if mean is None:
        if real is not None:
            return Preprocessing.fit(real)
        return Preprocessing(torch.zeros(channels), torch.ones(channels))
    parts = [
        torch.as_tensor(np.asarray(part, dtype=np.float32)).reshape(-1)
        for part in (mean, std)
    ]
    for name, part in zip(("mean", "std"), parts, strict=True):
        if len(part) != channels or not bool(torch.isfinite(part).all()):
            raise ValueError(
                f"{name} must be {channels} numbers, one for each channel; got "
                f"{part.tolist()}"
            )
    if not bool((parts[1] > 0).all()):
        raise ValueError(f"std must be above 0; got {parts[1].tolist()}")
    return Preprocessing(*parts)
