"""Costs of a summary: seconds of making, bytes of its parts, when making has paid."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multidd.parameterizations.decoding import is_shared
from multidd.summary import DataSummary

__all__ = ["Costs", "break_even_trainings", "bytes_by_part", "costs_of", "whole_parts"]

LABELS = ("y", "y_soft", "y_views", "view_seeds")
"""Tensors of a summary that are labels."""

WHOLE_STAGES = ("teacher", "experts", "training")
"""Stages of a making that train on whole data."""


def bytes_by_part(summary: DataSummary) -> dict[str, int]:
    """Bytes of records, labels and decoders, and of all, as a summary stores them.

    Decoders are what all stored records share: bases, networks. Structure and weights
    of records belong to the records.

    Args:
        summary: of any modality.

    Returns:
        `records`, `labels` and `decoders`, which sum to `total`, the bytes of the
        summary.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> bytes_by_part(multidd.images.random(train, ipc=1))
        {'records': 31360, 'labels': 80, 'decoders': 0, 'total': 31440}
    """
    decoder, packing = summary.card.decoder, summary.packing
    parts = {"records": 0, "labels": 0, "decoders": 0}
    for name, tensor in summary.tensors.items():
        if not summary.counts(name):  # it belongs to the data
            continue
        part = "labels" if name in LABELS else "records"
        if decoder and is_shared(decoder, name):
            part = "decoders"
        size = tensor.numel() * tensor.element_size()
        parts[part] += size if packing is None else packing.tensors[name].num_bytes
    return {**parts, "total": sum(parts.values())}


def whole_parts(summary: DataSummary) -> list[str]:
    """What of a making was trained on whole data: a teacher, experts.

    Example:
        >>> import multidd
        >>> whole_parts(multidd.graph.kmeans(multidd.samples.cora(), per_class=1))
        []
    """
    settings, stages = summary.card.settings, summary.card.stages
    parts = [name for name in ("teacher", "experts") if settings.get(name)]
    taught = (
        settings.get("teacher_steps"),
        settings.get("supervision") == "teacher",
        str(settings.get("labels", "")).startswith("teacher"),
    )
    parts += ["teacher"] * any(taught)
    parts += [name for name in WHOLE_STAGES if name in stages]
    return list(dict.fromkeys(parts))


def break_even_trainings(
    making: float, whole: float | None, summary: float
) -> float | None:
    """After how many trainings the seconds of making have come back.

    $$\\frac{t_\\text{making}}{t_\\text{whole} - t_\\text{summary}}$$

    Args:
        making: seconds of making.
        whole: seconds of one training on whole data; None where nobody looked.
        summary: seconds of one training on the summary.

    Returns:
        The number; None where a training on the summary is no shorter, so that it never
        pays, or where nobody looked.

    Example:
        >>> break_even_trainings(60.0, 25.0, 5.0)
        3.0
        >>> break_even_trainings(60.0, 5.0, 5.0) is None
        True
    """
    if whole is None or not whole > summary:
        return None
    return making / (whole - summary)


@dataclass(frozen=True)
class Costs:
    """What a summary costs to make and to store, and when that has paid.

    Attributes:
        seconds: of making, the mean of several summaries.
        peak_bytes: most memory of making; None where nobody looked.
        needs: what of the making was trained on whole data.
        teacher_seconds: of trainings on whole data that the making or the soft labels
            of the regimes needed; None where there was none that is known.
        num_bytes: of records, labels and decoders, and in total.
        updates: of one training on the summary; None where nobody knows.
        whole_seconds: of one training on whole data; None where no row is of them.
        break_even_trainings: see `break_even_trainings`.
    """

    seconds: float
    peak_bytes: int | None
    needs: tuple[str, ...]
    teacher_seconds: float | None
    num_bytes: Mapping[str, int]
    updates: int | None
    whole_seconds: float | None
    break_even_trainings: float | None

    def to_dict(self) -> dict[str, Any]:
        """The costs as plain values, for JSON."""
        return {
            "seconds": self.seconds,
            "peak_bytes": self.peak_bytes,
            "needs": list(self.needs),
            "teacher_seconds": self.teacher_seconds,
            "bytes": dict(self.num_bytes),
            "updates": self.updates,
            "whole_seconds": self.whole_seconds,
            "break_even_trainings": self.break_even_trainings,
        }

    @property
    def sentence(self) -> str:
        """Seconds, bytes and break-even in one line.

        Example:
            >>> parts = {"records": 900, "labels": 100, "decoders": 0, "total": 1000}
            >>> print(Costs(2.0, None, (), None, parts, 400, 9.0, 0.4).sentence)
            Making took 2.0 s and pays from the first training on; 1,000 bytes: ...
        """
        count, pays = self.break_even_trainings, ""
        if count is not None and count > 1:
            pays = f" and pays after {math.ceil(count):,} trainings"
        elif count is not None:
            pays = " and pays from the first training on"
        elif self.whole_seconds is not None:
            pays = " and does not pay in seconds of training"
        parts = [
            f"{name} {self.num_bytes[name]:,}"
            for name in ("records", "labels", "decoders")
            if self.num_bytes[name]
        ]
        needs = f" It needed {' and '.join(self.needs)} on whole data."
        return (
            f"Making took {self.seconds:.1f} s{pays}; "
            f"{self.num_bytes['total']:,} bytes: {', '.join(parts)}."
            f"{needs if self.needs else ''}"
        )


def costs_of(
    summaries: Sequence[DataSummary],
    *,
    updates: int | None,
    whole_seconds: float | None,
    training_seconds: float,
    label_seconds: float | None,
    peak_bytes: int | None = None,
) -> Costs:
    """The costs of summaries of one method.

    Args:
        summaries: one or several; the first one's bytes are told.
        updates: of one training on the summary.
        whole_seconds: of one training on whole data; None where nobody looked.
        training_seconds: of one training on the summary.
        label_seconds: of a teacher that labelled it for the regimes; None without.
        peak_bytes: most memory of making, where somebody looked.

    Example:
        >>> import multidd
        >>> summary = multidd.graph.kmeans(multidd.samples.cora(), per_class=1)
        >>> times = {"training_seconds": 1.0, "label_seconds": None}
        >>> costs_of([summary], updates=600, whole_seconds=None, **times).needs
        ()
    """
    first = summaries[0]
    seconds = sum(one.card.seconds for one in summaries) / len(summaries)
    stages = [first.card.stages[n] for n in WHOLE_STAGES if n in first.card.stages]
    stages += [] if label_seconds is None else [label_seconds]
    return Costs(
        seconds,
        peak_bytes,
        tuple(whole_parts(first)),
        sum(stages) if stages else None,
        bytes_by_part(first),
        updates,
        whole_seconds,
        break_even_trainings(seconds, whole_seconds, training_seconds),
    )
