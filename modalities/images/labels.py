"""Labels of any kind as 0..c-1."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

Value = int | str


def as_labels(
    y: Any, values: Sequence[Value] | None = None
) -> tuple[Tensor, tuple[Value, ...]]:
    """Labels as classes 0..c-1, and the value that stands for each class.

    Args:
        y: `[n]` or `[n, 1]` integers (as floats too), booleans or texts.
        values: of the classes, in their order; those found, sorted, unless given.

    Returns:
        `[n]` int64, and the values.

    Raises:
        TypeError: neither numbers nor texts.
        ValueError: several axes, fractions, NaN, or a value that is none of `values`.

    Example:
        >>> as_labels([7, 3, 7])
        (tensor([1, 0, 1]), (3, 7))
    """
    array = _whole(_flat(y))
    found, inverse = np.unique(array, return_inverse=True)
    kept = tuple(found.tolist() if values is None else values)
    place = {value: label for label, value in enumerate(kept)}
    unknown = [value for value in found.tolist() if value not in place]
    if unknown:
        first = int((array == unknown[0]).nonzero()[0][0])
        raise ValueError(
            f"labels hold {_few(unknown)} (first at image {first}), which is none of "
            f"the {len(kept)} classes {_few(kept)}; drop these images or relabel them"
        )
    codes = np.array([place[value] for value in found.tolist()], dtype=np.int64)
    return torch.from_numpy(codes[inverse.reshape(-1)]), kept


def _few(values: Sequence[Any]) -> str:
    shown = ", ".join(repr(value) for value in values[:10])
    return f"[{shown}{', ...' if len(values) > 10 else ''}]"


def _flat(y: Any) -> np.ndarray:
    array = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
    if array.dtype == np.dtype(object) and all(isinstance(v, str) for v in array.flat):
        array = array.astype(str)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(
            f"labels must be [n], one class for each image, got shape "
            f"{list(array.shape)}; for one-hot labels pass y.argmax(1)"
        )
    return array


def _whole(y: np.ndarray) -> np.ndarray:
    if y.dtype.kind in "iuU":
        return y
    if y.dtype.kind == "b":
        return y.astype(np.int64)
    if y.dtype.kind != "f":
        raise TypeError(f"labels must be integers or texts, got {y.dtype}")
    bad = (y != np.floor(y)) | ~np.isfinite(y)
    if bad.any():
        at = int(bad.nonzero()[0][0])
        raise ValueError(
            f"labels must be whole numbers; {int(bad.sum())} are not, the first at "
            f"image {at} ({float(y[at])}); pass the class of each image"
        )
    return y.astype(np.int64)
