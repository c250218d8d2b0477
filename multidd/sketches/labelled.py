"""Sketches of labelled records: K of each class, and what their labels are."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from multidd.data.cells import Value, is_missing
from multidd.sketches.bottom import BottomK, SampledRecord

__all__ = [
    "LabelledSketch",
    "check_per_class",
    "class_values",
    "described_facts",
    "facts_of",
]

OF_THE_RUN = ("shards", "seconds")
"""Facts of how a sketch was read; two sketches of equal data may differ in them."""


@dataclass(frozen=True, eq=False)
class LabelledSketch:
    """A sketch of labelled records; `merge` gives that of more shards.

    Attributes:
        records: the sample of each class.
        source: what errors call the shards.
        classes: names of the classes by number, where the shards have them.
        is_text: labels are texts.
        is_cells: they are cells of text files, which may stand for numbers.
        shards: that were read.
    """

    records: BottomK
    source: str
    classes: tuple[str, ...] | None = None
    is_text: bool = False
    is_cells: bool = False
    shards: int = 1

    def merge(self, other: "LabelledSketch") -> "LabelledSketch":
        """The sketch of the shards of both; neither changes.

        Raises:
            ValueError: labels of other classes, or text in one and numbers in the
                other.
        """
        one, two = sorted((self, other), key=lambda part: part.source)
        first = one if one.records.counts else two
        is_cells = first.is_cells
        if one.records.counts and two.records.counts:
            _check_alike(one, two)
            is_cells = one.is_cells and two.is_cells
        return replace(
            first,
            is_cells=is_cells,
            records=one.records.merge(two.records),
            shards=one.shards + two.shards,
        )


def _check_alike(one: LabelledSketch, two: LabelledSketch) -> None:
    if one.is_text != two.is_text:
        text, numbers = (one, two) if one.is_text else (two, one)
        raise ValueError(
            f"labels of {text.source} are text and those of {numbers.source} numbers; "
            "make all of them text, or all of them numbers: labels in CSV are text to "
            "a sketch"
        )
    if one.classes != two.classes:
        raise ValueError(
            f"the classes of {one.source} are {one.classes}, those of {two.source} "
            f"{two.classes}; bring them to one order with cast_column"
        )


def check_per_class(per_class: int) -> None:
    """Refuse a sketch that would keep nothing.

    Example:
        >>> check_per_class(0)
        Traceback (most recent call last):
        ...
        ValueError: per_class must be at least 1; got 0; take 5,000
    """
    if per_class < 1:
        raise ValueError(f"per_class must be at least 1; got {per_class}; take 5,000")


def class_values(labels: Iterable[Any], source: str, start: int = 0) -> list[Value]:
    """Labels as whole numbers or texts, which are the same in every shard.

    Args:
        labels: whole numbers (as floats too), booleans or texts.
        source: what errors call the column.
        start: row of the first.

    Raises:
        ValueError: a missing label, or a number with a fraction; says in which row.
        TypeError: neither number nor text.

    Example:
        >>> class_values([1, True, 2.0, "spam"], "column 'label'")
        [1, 1, 2, 'spam']
    """
    return [_value(label, source, row) for row, label in enumerate(labels, start)]


def _value(label: Any, source: str, row: int) -> Value:
    if isinstance(label, str) and label.strip():
        return label
    if is_missing(label) or isinstance(label, str):
        raise ValueError(
            f"{source} lacks a label in row {row} (from 0); drop the row, or label it"
        )
    try:
        number = int(label)
    except (TypeError, ValueError):
        raise TypeError(
            f"{source} must hold whole numbers or texts; row {row} (from 0) holds "
            f"{type(label).__name__}"
        ) from None
    if number != label:
        raise ValueError(
            f"{source} must hold whole numbers or texts; row {row} (from 0) holds "
            f"{label!r}"
        )
    return number


def facts_of(
    sketch: LabelledSketch,
    sample: Sequence[SampledRecord],
    counts: Sequence[int],
    *,
    seed: int,
    started: float,
) -> dict[str, Any]:
    """What a sketch saw, for the record of the data.

    Args:
        sketch: of all shards.
        sample: its records.
        counts: records of each class in all data.
        seed: of the hashes.
        started: `time.perf_counter()` when it began.

    Returns:
        `records` in all data, `counts` of each class, `kept` and how many of these
        stand there `repeated`, `per_class`, `seed`, `shards`, `seconds`.

    Example:
        >>> records = BottomK(2, 0).add([(0, b"a"), (0, b"a"), (1, b"b")])
        >>> sketch = LabelledSketch(records, "mine")
        >>> sample = list(records.records())
        >>> facts_of(sketch, sample, [2, 1], seed=0, started=0.0)["repeated"]
        1
    """
    return {
        "records": sum(sketch.records.counts.values()),
        "counts": list(counts),
        "kept": len(sample),
        "repeated": sum(record.repeats > 1 for record in sample),
        "per_class": sketch.records.keep,
        "seed": seed,
        "shards": sketch.shards,
        "seconds": round(time.perf_counter() - started, 3),
    }


def described_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """`{"sketch": ...}` for `describe()`: facts of the data alone, or nothing.

    A run goes on only with the data it began with, and shards and seconds of a sketch
    are not of the data.

    Example:
        >>> described_facts({"events": 9, "seconds": 1.0}), described_facts({})
        ({'sketch': {'events': 9}}, {})
    """
    rest = {key: fact for key, fact in facts.items() if key not in OF_THE_RUN}
    return {"sketch": rest} if rest else {}
