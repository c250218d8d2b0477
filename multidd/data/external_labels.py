"""Labels of records that others made: classes of the real data, or soft labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multidd.data.labels import as_labels

__all__ = ["KINDS", "ExternalLabels", "external_labels"]

KINDS = ("hard", "soft", "centered")
"""Of labels: classes, numbers for each class, or the same with rows of mean zero."""

_NEAR_ZERO = 1e-3
_NEAR_ONE = 0.02  # rounding to two digits, or to half precision, of many classes


@dataclass(frozen=True, eq=False)
class ExternalLabels:
    """Labels of m records.

    Attributes:
        hard: `[m]` classes 0..c-1; of soft labels the likeliest.
        soft: `[m, c]` float32, or None.
        kind: one of `KINDS`.
    """

    hard: Tensor
    soft: Tensor | None
    kind: str

    @property
    def tensors(self) -> dict[str, Tensor]:
        """`y`, and `y_soft` where labels are soft."""
        soft = {} if self.soft is None else {"y_soft": self.soft}
        return {"y": self.hard} | soft


def external_labels(
    y: Any,
    values: Sequence[int | str],
    count: int,
    *,
    names: Sequence[str] | None = None,
    kind: str | None = None,
    noun: str = "record",
) -> ExternalLabels:
    """Classes of the real data, or soft labels, of records that others made.

    Args:
        y: `[m]` labels as the real data have them, or names of classes; or `[m, c]`
            numbers for each class.
        values: c labels of the real data, in the order of the classes.
        count: m.
        names: of the classes.
        kind: of labels `[m, c]`: `"soft"` or `"centered"`; told by the sums of the rows
            unless given.
        noun: what messages call the thing that has a label.

    Raises:
        TypeError, ValueError: labels of none of these forms, of an unknown class, not
            finite, or not one for each record.

    Example:
        >>> external_labels(["b", "a"], ("a", "b"), 2).hard
        tensor([1, 0])
        >>> external_labels([[0.9, 0.1], [0.4, 0.6]], (0, 1), 2).kind
        'soft'
    """
    try:
        array = y.detach().cpu() if isinstance(y, Tensor) else np.asarray(y)
    except ValueError:  # rows of several lengths
        raise ValueError(
            f"soft labels must be [m, {len(values)}]; got rows of several lengths"
        ) from None
    if array.ndim and len(array) != count:
        raise ValueError(
            f"{count} {noun}s have {len(array)} labels; give one for each {noun}"
        )
    if kind not in (None, *KINDS):
        raise ValueError(f"labels must be one of {', '.join(KINDS)}; got {kind!r}")
    if array.ndim == 2 and array.shape[1] == 1:
        y = array = array[:, 0]
    if array.ndim != 2:
        if kind not in (None, "hard"):
            raise ValueError(
                f"labels={kind!r} needs y [m, {len(values)}], a number for each class; "
                f"got {list(array.shape)}"
            )
        return ExternalLabels(_classes(y, values, names, noun), None, "hard")
    return _soft(array, len(values), kind)


def _classes(
    y: Any, values: Sequence[int | str], names: Sequence[str] | None, noun: str
) -> Tensor:
    cells = set(y) if isinstance(y, list | tuple | np.ndarray) else set()
    by_name = names is not None and cells and cells <= set(names)
    return as_labels(y, names if by_name and names else values, noun=noun)[0]


def _soft(array: Any, classes: int, kind: str | None) -> ExternalLabels:
    if not isinstance(array, Tensor) and array.dtype.kind not in "biuf":
        raise TypeError(f"soft labels must be numbers; got {array.dtype}")
    soft = torch.as_tensor(array).float()
    if soft.shape[1] != classes or not bool(torch.isfinite(soft).all()):
        raise ValueError(
            f"soft labels must be finite [m, {classes}], a number for each class of "
            f"the real data; got {list(soft.shape)}"
        )
    if kind == "hard":
        return ExternalLabels(soft.argmax(1), None, "hard")
    if kind is None:
        sums = soft.sum(1)
        centered = bool((sums.abs() < _NEAR_ZERO).all())
        if not centered and not _probabilities(soft, sums):
            raise ValueError(
                f"rows of y sum to {float(sums.min()):.3g} to {float(sums.max()):.3g} "
                f"with numbers from {float(soft.min()):.3g} on: neither probabilities "
                "nor centered; give the softmax of scores, or say labels='soft' where "
                "a loss is to take the numbers as they stand"
            )
        kind = "centered" if centered else "soft"
    return ExternalLabels(soft.argmax(1), soft, kind)


def _probabilities(soft: Tensor, sums: Tensor) -> bool:
    near_one = (sums - 1).abs() < _NEAR_ONE
    return bool(near_one.all()) and bool((soft >= -_NEAR_ZERO).all())


def facts_of(
    source: Mapping[str, Any], names: Sequence[str], how: str
) -> dict[str, Any]:
    """What a caller says of the real data, where nothing that is needed is missing.

    Args:
        source: by name.
        names: that are needed.
        how: what to give instead, for the message.

    Example:
        >>> facts_of({"nodes": 9}, ("nodes", "classes"), "the real graph")
        Traceback (most recent call last):
        ...
        ValueError: source lacks classes; give the real graph
    """
    missing = [name for name in names if name not in source]
    if missing:
        raise ValueError(f"source lacks {', '.join(missing)}; give {how}")
    return dict(source)
