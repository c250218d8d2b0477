"""Images that were distilled elsewhere, checked."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def check_tensors(x: Tensor, y: Tensor, source: Mapping[str, Any]) -> None:
    """Refuse images and labels that are not of the data in `source`.

    Raises:
        ValueError: says what does not fit.
    """
    missing = sorted({"images", "classes", "shape", "labels"} - set(source))
    if missing:
        raise ValueError(f"source lacks {', '.join(missing)}")
    if not len(x) or len(x) != len(y) or list(x.shape[1:]) != list(source["shape"]):
        raise ValueError(
            f"x must be [{len(y)}, {', '.join(map(str, source['shape']))}], one "
            f"image for each label and at least one; got {list(x.shape)}"
        )
    if not x.is_floating_point():
        raise ValueError(
            f"x must be floating point, in the space of preprocessing; got {x.dtype}"
        )
    classes = source["classes"]
    if y.dim() == 2 and y.is_floating_point() and y.shape[1] == classes:
        return
    if y.dim() != 1 or y.is_floating_point():
        raise ValueError(
            f"y must be whole numbers [m], or floats [m, {classes}]; got {y.dtype} "
            f"{list(y.shape)}"
        )
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= classes:
        raise ValueError(f"y must be 0..{classes - 1}, got {low}..{high}")
