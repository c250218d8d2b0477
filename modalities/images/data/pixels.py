"""Pixels in any of the usual layouts, checked and brought into one."""

from collections.abc import Callable, Iterable, Sequence, Sized
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multidd import html

CHANNELS = (1, 3)
ROUNDING = 1e-6  # resizing in float32 leaves 0..1 by about this much
MAX_THUMBNAILS = 30  # pictures of a first look in a notebook


def as_pixels(x: Any) -> Tensor:
    """Images as one tensor `[n, channels, h, w]`, uint8 in 0..255 or float32 in 0..1.

    Args:
        x: array or tensor `[n, h, w]`, `[n, ch, h, w]` or `[n, h, w, ch]` with 1 or 3
            channels, or a list of images; integers in 0..255, floats in 0..1, booleans.

    Returns:
        The tensor; it shares memory with `x` where nothing had to change.

    Raises:
        TypeError: not numbers.
        ValueError: a shape, a range or a value that images do not have.

    Example:
        >>> as_pixels(np.zeros((5, 8, 8, 3), np.uint8)).shape
        torch.Size([5, 3, 8, 8])
    """
    if isinstance(x, list | tuple) or getattr(x, "dtype", None) == np.dtype(object):
        return stack(x, len(x))
    return _finished(_channels_first(_array(x)))


def stack(
    images: Iterable[Any],
    count: int,
    name: Callable[[int], str] = "image {}".format,
) -> Tensor:
    """Single images as one tensor; grayscale ones become RGB where both occur.

    Args:
        images: `count` arrays, tensors or PIL images, of one size.
        count: how many.
        name: of the image at a position, for messages.

    Returns:
        `[n, ch, h, w]`, as of `as_pixels`.

    Raises:
        ValueError: images of several sizes or types; names two.

    Example:
        >>> stack([np.zeros((8, 8)), np.zeros((8, 8, 3))], 2).shape
        torch.Size([2, 3, 8, 8])
    """
    out = np.empty((0, 0, 0, 0))
    for i, image in enumerate(images):
        one = _single(image, name(i))
        if i == 0:
            out = np.empty((count, *one.shape), one.dtype)
        _same(out, one, name, i)
        if one.shape[2] > out.shape[3]:  # all before were gray
            out = np.repeat(out, one.shape[2], axis=3)
        out[i] = one
    if not count:
        raise ValueError("there are no images; at least one of each class is needed")
    return _finished(np.moveaxis(out, 3, 1))


def _same(out: np.ndarray, one: np.ndarray, name: Callable[[int], str], i: int) -> None:
    if one.shape[:2] != out.shape[1:3]:
        first, other = out.shape[1:3], one.shape[:2]
        raise ValueError(
            f"images have several sizes: {name(0)} is {first[0]} x {first[1]}, "
            f"{name(i)} is {other[0]} x {other[1]} (height x width); resize them to one"
        )
    if one.dtype != out.dtype:
        raise ValueError(
            f"images have several types: {name(0)} is {out.dtype}, {name(i)} is "
            f"{one.dtype}; make all of them uint8"
        )


def _array(x: Any) -> np.ndarray:
    if isinstance(x, Tensor):
        x = x.detach().cpu()
        x = x.float() if x.dtype == torch.bfloat16 else x
        return x.numpy()
    array = np.asarray(x)
    if array.dtype.kind not in "buif":
        raise TypeError(
            f"images must be numbers, got {type(x).__name__} of {array.dtype}; pass "
            "uint8 in 0..255 or floats in 0..1"
        )
    return array


def _channels_first(x: np.ndarray) -> np.ndarray:
    """`[n, ch, h, w]`: the channel axis has size 1 or 3 and is the second or last."""
    if x.ndim == 3:
        x = x[:, None]
    if x.ndim != 4:
        raise ValueError(
            "images must be [n, h, w], [n, channels, h, w] or [n, h, w, channels], got "
            f"shape {list(x.shape)}; reshape them, for example x.reshape(-1, 28, 28)"
        )
    if not x.size:
        raise ValueError(f"there are no pixels: images have shape {list(x.shape)}")
    return np.moveaxis(x, _channel_axis(x.shape, (1, 3), "images"), 1)


def _channel_axis(shape: tuple[int, ...], axes: tuple[int, int], noun: str) -> int:
    fits = [axis for axis in axes if shape[axis] in CHANNELS]
    if not fits:
        raise ValueError(
            f"the channel axis must be the first or last of an image and of size 1 or "
            f"3; {noun} of shape {list(shape)} have neither; drop an alpha channel, or "
            "repeat gray ones"
        )
    if len(fits) == 2:
        raise ValueError(
            f"{noun} of shape {list(shape)}: both the first and the last axis of an "
            "image could be its channels; pass multidd.images.Images(x, labels, ...) "
            "with x of [n, channels, h, w], or gray images as [n, h, w]"
        )
    return fits[0]


def _single(image: Any, name: str) -> np.ndarray:
    """`[h, w, ch]` of one image."""
    if hasattr(image, "getbands"):  # PIL's
        image = _flat(image, name)
    one = _array(image)
    if one.ndim == 2:
        return one[:, :, None]
    if one.ndim != 3 or not one.size:
        raise ValueError(
            f"{name} has shape {list(one.shape)}; an image is [h, w], [channels, h, w] "
            "or [h, w, channels]"
        )
    return np.moveaxis(one, _channel_axis(one.shape, (0, 2), name), 2)


def _flat(image: Any, name: str) -> Any:
    """A PIL image in one of the two modes."""
    if image.mode.startswith(("I", "F")):
        raise ValueError(
            f"{name} has PIL mode {image.mode!r}, more than 8 bits; convert it to 'L' "
            "or 'RGB' first, as only you know its range"
        )
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _finished(x: np.ndarray) -> Tensor:
    kind = x.dtype.kind
    if kind == "b":
        x = x.astype(np.uint8) * np.uint8(255)
    elif kind == "f":
        x = _fractions(x)
    elif x.dtype != np.uint8:
        low, high = int(x.min()), int(x.max())
        if low < 0 or high > 255:
            raise ValueError(
                f"integer images must lie in 0..255, got {low}..{high}; pass the raw "
                "pixels"
            )
        x = x.astype(np.uint8)
    return torch.from_numpy(np.require(x, requirements=["C", "W"]))


def _fractions(x: np.ndarray) -> np.ndarray:
    low, high = float(x.min()), float(x.max())
    if not np.isfinite([low, high]).all():
        _refuse_nan(x)
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise ValueError(
            f"float images must lie in 0..1, got {low:.4g}..{high:.4g}; hand raw "
            "pixels (0..1, or uint8 in 0..255): normalization is computed here and "
            "travels in the summary"
        )
    x = x.astype(np.float32, copy=False)
    return x if low >= 0 and high <= 1 else x.clip(0, 1)


def _refuse_nan(x: np.ndarray) -> None:
    bad = (~np.isfinite(x)).reshape(len(x), -1).sum(1)
    rows = bad.nonzero()[0]
    shown = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
    raise ValueError(
        f"{len(rows)} of {len(x)} images hold NaN or infinite pixels: image {shown} "
        f"({int(bad[rows[0]])} of the {x[0].size} values of image {rows[0]}); clean or "
        "drop them first"
    )


def length(data: Sized, noun: str) -> int:
    """`len(data)`, or a message that says what has none."""
    try:
        return len(data)
    except TypeError as error:
        kind = type(data).__name__
        raise TypeError(f"{noun} must have a length; {kind} has none") from error


def thumbnails(pixels: torch.Tensor, labels: torch.Tensor, names: Sequence[str]) -> str:
    """Small pictures as HTML, of each class in turn, named by it.

    Args:
        pixels: `[n, ch, h, w]` in 0..1, or uint8; of other numbers of channels than
            three the first is shown.
        labels: `[n]`.
        names: of the classes.

    Example:
        >>> thumbnails(torch.zeros(2, 1, 4, 4), torch.arange(2), "ab").count("<img")
        2
    """
    rows = html.in_turn(labels.numpy(), MAX_THUMBNAILS)
    shown = pixels[torch.from_numpy(rows)]
    if shown.dtype != torch.uint8:
        shown = (255 * shown.clamp(0, 1)).round().to(torch.uint8)
    arrays = shown.permute(0, 2, 3, 1).cpu().numpy()
    if arrays.shape[3] != 3:
        arrays = arrays[..., 0]
    return html.pictures(list(arrays), [names[int(labels[row])] for row in rows])
