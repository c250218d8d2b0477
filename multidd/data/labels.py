"""Labels of any kind as classes 0..c-1."""

from collections.abc import Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from multidd.data.cells import Value, check_nan_texts, is_missing, whole_limit


class RawLabelled(Protocol):
    """Labelled data as read, not validated yet."""

    @property
    def y(self) -> Any:
        """Labels of any kind."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Their names, where the source has them."""

    @property
    def values(self) -> tuple[Value, ...] | None:
        """The label value of each class, where the source has `classes`."""


def as_labels(
    y: Any, values: Sequence[Value] | None = None, *, noun: str = "record"
) -> tuple[Tensor, tuple[Value, ...]]:
    """Labels as classes 0..c-1, and the value that stands for each class.

    Args:
        y: `[n]` or `[n, 1]` integers (as floats too), booleans or texts.
        values: of the classes, in their order; None: those of `y`, sorted.
        noun: what messages call the thing that has a label.

    Returns:
        `[n]` int64, and the values.

    Raises:
        TypeError: neither numbers nor texts.
        ValueError: several axes, fractions, NaN, a missing label, or a value that is
            none of `values`.

    Example:
        >>> as_labels([7, 3, 7])
        (tensor([1, 0, 1]), (3, 7))
    """
    array = _whole(_flat(y, noun), noun)
    distinct, inverse = np.unique(array, return_inverse=True)
    order = tuple(distinct.tolist() if values is None else values)
    place = {value: label for label, value in enumerate(order)}
    unknown = [value for value in distinct.tolist() if value not in place]
    if unknown:
        first = int((array == unknown[0]).nonzero()[0][0])
        raise ValueError(
            f"labels hold {_few(unknown)} (first at {noun} {first}), which is none of "
            f"the {len(order)} classes {_few(order)}; drop these {noun}s or relabel "
            "them"
        )
    codes = np.array([place[value] for value in distinct.tolist()], dtype=np.int64)
    return torch.from_numpy(codes[inverse.reshape(-1)]), order


def class_labels(
    raw: RawLabelled, count: int, values: Sequence[Value] | None = None, *, noun: str
) -> tuple[Tensor, tuple[str, ...], tuple[Value, ...]]:
    """Labels as classes 0..c-1, with the name and the value of each class.

    Args:
        raw: labels, and perhaps names of classes.
        count: things that need a label each.
        values: of the classes, as another set has them; a class may then be empty.
        noun: what messages call the thing that has a label.

    Returns:
        `[n]` int64, names and values.

    Raises:
        TypeError, ValueError: as of `as_labels`; another number of labels, or a class
            without records.
    """
    labels, order = as_labels(
        raw.y, raw.values if values is None else values, noun=noun
    )
    if len(labels) != count:
        raise ValueError(
            f"{count} {noun}s have {len(labels)} labels; there must be one for each "
            f"{noun}"
        )
    names = dict(zip(raw.values or (), raw.classes or (), strict=True))
    classes = tuple(str(names.get(value, value)) for value in order)
    if values is None:
        check_classes(labels, classes, noun=noun)
    return labels, classes, order


def check_labels(
    labels: Tensor, n: int, classes: Sequence[str], values: Sequence[Value]
) -> None:
    """Refuse labels that are not one of `0..c-1` for each of n records.

    Args:
        labels: `[n]` int64.
        n: records.
        classes: name of each class.
        values: label value of each class.

    Raises:
        ValueError: another shape, type or range; says which.

    Example:
        >>> check_labels(torch.tensor([0, 2]), 2, ["a", "b"], [0, 1])
        Traceback (most recent call last):
        ...
        ValueError: labels must be 0..1, got 0..2
    """
    c = len(classes)
    if labels.dtype != torch.int64 or labels.shape != (n,):
        raise ValueError(
            f"labels must be int64 [{n}], got {labels.dtype} {list(labels.shape)}"
        )
    if n and not 0 <= int(labels.min()) <= int(labels.max()) < c:
        low, high = int(labels.min()), int(labels.max())
        raise ValueError(f"labels must be 0..{c - 1}, got {low}..{high}")
    if len(values) != c:
        raise ValueError(f"{c} classes need {c} values, got {len(values)}")


def check_classes(labels: Tensor, classes: Sequence[str], *, noun: str) -> None:
    """Refuse a class without records, and a set of one class only.

    Example:
        >>> check_classes(torch.zeros(3).long(), ["ham"], noun="text")
        Traceback (most recent call last):
        ...
        ValueError: all texts have one class ('ham'); there is nothing to classify
    """
    counts = torch.bincount(labels, minlength=len(classes))
    absent = [classes[i] for i in (counts == 0).nonzero().flatten().tolist()]
    if absent:
        shown = ", ".join(repr(name) for name in absent[:10])
        raise ValueError(
            f"{len(absent)} of {len(classes)} classes have no {noun}s: {shown}; add "
            "some, or relabel the data without them"
        )
    if len(classes) < 2:
        raise ValueError(
            f"all {noun}s have one class ({classes[0]!r}); there is nothing to classify"
        )


def number_array(y: Any, *, name: str, noun: str) -> np.ndarray:
    """Labels that are numbers of any type, with NaN where one is missing.

    Args:
        y: tensor, array, list or series of numbers, of any shape.
        name: what messages call `y`.
        noun: what messages call the thing that has a label.

    Raises:
        ValueError: texts, complex numbers or other things.

    Example:
        >>> number_array([2, None, 0], name="y", noun="node")
        array([ 2., nan,  0.])
    """
    if isinstance(y, Tensor):
        y = y.detach().cpu()
        y = y.to_dense() if y.layout != torch.strided else y
        y = y.float() if y.dtype == torch.bfloat16 else y
    try:
        array = np.asarray(y)
    except ValueError:  # lists of several lengths
        raise ValueError(
            f"{name} holds lists of several lengths; give numbers"
        ) from None
    if array.dtype == np.dtype(object) and array.ndim:
        cells = [np.nan if is_missing(cell) else cell for cell in array.flat]
        if all(isinstance(cell, (int, float, np.number)) for cell in cells):
            array = np.array(cells, dtype=np.float64).reshape(array.shape)
    if array.dtype.kind not in "biuf":
        texts = any(isinstance(cell, str | bytes) for cell in array.flat)
        held = (
            "texts" if texts else type(y).__name__ if not array.ndim else _kinds(array)
        )
        raise ValueError(
            f"{name} holds {held}; number the classes of the {noun}s 0..c-1, for "
            "example y = np.unique(names, return_inverse=True)[1]"
        )
    return array


def class_numbers(array: np.ndarray, *, noun: str) -> Tensor | None:
    """Numbers of classes as int64, negative where a label is missing (-1 for NaN).

    Args:
        array: `[n]` numbers of any type.
        noun: what messages call the thing that has a label.

    Returns:
        `[n]` int64, or None where there are fractions.

    Raises:
        ValueError: a number that no int64 can hold; says where.

    Example:
        >>> class_numbers(np.array([2.0, np.nan, -5.0]), noun="node")
        tensor([ 2, -1, -5])
    """
    if array.dtype.kind == "f":
        filled = np.where(np.isnan(array), -1, array.astype(np.float64))
    else:
        filled = array.astype(np.int64) if array.dtype.kind == "b" else array
    large = (filled >= 2**63) | (filled < -(2**63))
    if large.any():
        at = int(large.nonzero()[0][0])
        raise ValueError(f"{noun} {at} has label {filled[at]}, which is no class")
    numbers = filled.astype(np.int64)
    return torch.from_numpy(numbers) if bool((numbers == filled).all()) else None


def count_classes(
    numbers: Tensor, learned: Tensor, *, noun: str, learned_noun: str, advice: str
) -> int:
    """How many classes there are, 0..c-1, each with something to learn from.

    It takes memory for the labels that are there, whatever their size.

    Args:
        numbers: `[n]` int64, negative where a label is missing.
        learned: `[n]`, which are learned from.
        noun: what messages call the thing that has a label.
        learned_noun: what they call those that are learned from, several of them.
        advice: what to do where a class has none.

    Raises:
        ValueError: none is labelled, or a class has none to learn from; names some and
            where the largest label is.

    Example:
        >>> y = torch.tensor([0, 1, 1, -1])
        >>> words = {"noun": "node", "learned_noun": "nodes", "advice": "add some"}
        >>> count_classes(y, y >= 0, **words)
        2
    """
    learned = learned & (numbers >= 0)
    present = set(numbers[learned].unique().tolist())
    if not present:
        raise ValueError(f"no {noun} has a label: all are below zero or missing")
    top = int(numbers.max())
    absent = (label for label in range(top + 1) if label not in present)
    missing = list(islice(absent, 10))
    if missing:
        more = ", ..." if next(absent, None) is not None else ""
        raise ValueError(
            f"classes [{', '.join(map(str, missing))}{more}] have no {learned_noun} "
            f"(labels run 0..{top}); label {top} is first at {noun} "
            f"{int((numbers == top).nonzero()[0])}; {advice}"
        )
    return top + 1


def mapped(values: Sequence[Value]) -> str:
    """What to say of labels that were not 0..c-1.

    Example:
        >>> mapped((3, 7))
        "labels are not 0..1 and were mapped: 3 -> 0, 7 -> 1; describe()['labels'] ..."
    """
    shown = ", ".join(f"{value!r} -> {i}" for i, value in enumerate(values[:10]))
    more = ", ..." if len(values) > 10 else ""
    return (
        f"labels are not 0..{len(values) - 1} and were mapped: {shown}{more}; "
        "describe()['labels'] keeps them"
    )


def _few(values: Sequence[Any]) -> str:
    shown = ", ".join(repr(value) for value in values[:10])
    return f"[{shown}{', ...' if len(values) > 10 else ''}]"


def _flat(y: Any, noun: str) -> np.ndarray:
    try:
        array = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
    except ValueError:  # lists of several lengths
        raise ValueError(
            f"labels must be [n], one class for each {noun}; got lists of labels"
        ) from None
    if array.dtype.kind == "U" and not isinstance(y, np.ndarray):
        array = np.array(list(y), dtype=object)  # numpy made texts of numbers too
    check_nan_texts(array, "labels")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(
            f"labels must be [n], one class for each {noun}, got shape "
            f"{list(array.shape)}; for one-hot labels pass y.argmax(1)"
        )
    if array.dtype.kind in "OU":
        _check_holes(array, noun)
    return _typed(array) if array.dtype == np.dtype(object) else array


def _check_holes(y: np.ndarray, noun: str) -> None:
    holes = [i for i, v in enumerate(y) if is_missing(v) or _is_blank(v)]
    if holes:
        raise ValueError(
            f"{len(holes)} labels are missing, the first at {noun} {holes[0]} "
            f"({y.tolist()[holes[0]]!r}); drop these {noun}s or label them"
        )


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()


def _typed(y: np.ndarray) -> np.ndarray:
    """Objects as texts or as numbers, where they are all of one kind."""
    for kind in (str, bool, int):
        if all(isinstance(value, kind) for value in y):
            return y.astype(kind)
    return y


def _whole(y: np.ndarray, noun: str) -> np.ndarray:
    if y.dtype.kind in "iuU":
        return y
    if y.dtype.kind == "b":
        return y.astype(np.int64)
    if y.dtype.kind != "f":
        raise TypeError(
            f"labels must be integers or texts, all of one kind; got {_kinds(y)}"
        )
    bad = (y != np.floor(y)) | ~(np.abs(y) < whole_limit(y.dtype))
    if bad.any():
        at = int(bad.nonzero()[0][0])
        raise ValueError(
            f"labels must be whole numbers; {int(bad.sum())} are not, the first at "
            f"{noun} {at} ({float(y[at])}); pass the class of each {noun}, as integers "
            f"or texts ({y.dtype} tells whole numbers apart below "
            f"{whole_limit(y.dtype)} only)"
        )
    return y.astype(np.int64)


def _kinds(y: np.ndarray) -> str:
    if y.dtype != np.dtype(object):
        return str(y.dtype)
    return ", ".join(sorted({type(value).__name__ for value in y}))
