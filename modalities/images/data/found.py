"""What every reader hands over."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

# Part of a dataset -> what files and folders call it, the first that is there.
PARTS = {
    "train": ("train", "training"),
    "test": ("test", "t10k", "testing", "val", "valid", "validation"),
}


@dataclass(frozen=True, eq=False)
class Found:
    """Labelled images as they were found.

    Attributes:
        x: `[n, ch, h, w]`, checked.
        y: labels of any kind, unchecked.
        classes: their names, where the source has them.
        values: the label value of each class, where the source has `classes`.
        name: of the dataset; empty where unknown.
    """

    x: Tensor
    y: Any
    classes: tuple[str, ...] | None = None
    values: tuple[int | str, ...] | None = None
    name: str = ""
