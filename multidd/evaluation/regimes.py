"""Label regimes: hard classes, fixed soft labels, a teacher that labels each view.

Soft labels hide that random records do as well. Here the summary and the rows of its
size get the same labels, from the same teacher, under the same number of updates, and
the scores of the field are taken from these rows. Which labels decide IOR is chosen on
held-out data.
"""

import math
import statistics
import typing
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, runtime_checkable

from multidd.evaluation.field_scores import FieldScores
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.teacher import Teacher
from multidd.protocols import Evaluator

__all__ = [
    "LABEL_REGIMES",
    "RegimeEvaluator",
    "RegimeReport",
    "RegimeRow",
    "RegimeScore",
    "STORED",
    "regimes_to_dict",
    "with_hard_labels",
    "with_labels_of",
    "with_soft_labels",
]

LABEL_REGIMES = {
    "HL": "hard classes",
    "SL": "fixed soft labels of the teacher",
    "SL+KD": "the teacher labels each augmented view",
}
"""Label regimes by name: what every set is trained with."""

STORED = "stored"
"""The regime of a summary with its own soft labels, as it stores them."""

OWN_LABELS = ", own labels"
"""Ends the name of the row of a summary with its own soft labels."""

SOFT = ("y_soft", "y_views", "view_seeds")
"""Tensors of a summary that are soft labels, or belong to them."""


class RegimeScore(typing.NamedTuple):
    """What one training under a regime reached.

    Attributes:
        test: score on test data.
        held_out: score on held-out data, by which regimes are chosen; where there are
            none 0, and the first regime is taken.
        note: what else is to be said of the labels.
    """

    test: float
    held_out: float
    note: str = ""


@runtime_checkable
class RegimeEvaluator(Evaluator, typing.Protocol):
    """An evaluator that trains under label regimes."""

    @property
    def regime_rows(self) -> Sequence[str]:
        """Rows beside that only label regimes have."""

    def teacher(self, protocol: Protocol, cache: bool) -> Teacher | None:
        """The teacher under a protocol; None where there are no labels to teach."""

    def regime_note(self, regime: str, summary: Any, model: str) -> str:
        """Why a set cannot be trained under a regime; empty where it can."""

    def has_soft_labels(self, summary: Any) -> bool:
        """Whether a summary has soft labels of its own."""

    def fit_regime(
        self,
        summary: Any,
        regime: str,
        model: str,
        protocol: Protocol,
        seed: int,
        teacher: Teacher | None,
    ) -> RegimeScore:
        """Train a model on a set under a regime; `STORED` takes labels as stored."""

    def updates(self, summary: Any, model: str, protocol: Protocol) -> int:
        """Updates of a training on a set; 0 of what is solved at once."""


def with_hard_labels(summary: Any) -> Any:
    """A summary with the class of each record alone.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> summary = multidd.images.random(train, ipc=1)
        >>> with_hard_labels(summary).digest() == summary.digest()
        True
    """
    tensors = {name: t for name, t in summary.tensors.items() if name not in SOFT}
    card = replace(summary.card, labels="hard")
    return replace(summary, tensors=tensors, card=card)


def with_soft_labels(summary: Any, probabilities: Any) -> Any:
    """A summary with these soft labels in the place of its own.

    Args:
        summary: with classes `y`.
        probabilities: `[m, c]`, of each record that models run on.

    Example:
        >>> import multidd, torch
        >>> train, test = multidd.samples.fashion()
        >>> summary = multidd.images.random(train, ipc=1)
        >>> with_soft_labels(summary, torch.full((10, 10), 0.1)).card.labels
        'soft'
    """
    hard = with_hard_labels(summary)
    tensors = {**hard.tensors, "y_soft": probabilities.float().cpu()}
    return replace(hard, tensors=tensors, card=replace(hard.card, labels="soft"))


def with_labels_of(regime: str, summary: Any, probabilities: Any = None) -> Any:
    """A summary with the labels that models see under a regime.

    Args:
        regime: a key of `LABEL_REGIMES`, or `STORED`.
        summary: with classes `y`.
        probabilities: `[m, c]` of the teacher, where the regime is SL; without them
            labels are hard.
    """
    if probabilities is not None:
        return with_soft_labels(summary, probabilities)
    return summary if regime == STORED else with_hard_labels(summary)


@dataclass(frozen=True)
class RegimeRow:
    """One set under one label regime, with one model.

    Attributes:
        regime: a key of `LABEL_REGIMES`.
        row: name of the set: a selection, the method, or the method with its own
            labels.
        model: what was trained.
        values: test score of each training; empty where it cannot be trained so.
        held_out: scores on held-out data.
        updates: of each training.
        note: why it cannot, or whose labels these are.

    Example:
        >>> RegimeRow("HL", "random", "gcn", (0.5, 0.75)).mean
        0.625
    """

    regime: str
    row: str
    model: str
    values: tuple[float, ...] = ()
    held_out: tuple[float, ...] = ()
    updates: int = 0
    note: str = ""

    @property
    def mean(self) -> float:
        """Mean test score; NaN where there is none."""
        return statistics.fmean(self.values) if self.values else math.nan

    def to_dict(self) -> dict[str, Any]:
        """The row as plain values, for JSON."""
        values = list(self.values)
        return {
            "regime": self.regime,
            "row": self.row,
            "model": self.model,
            "values": values,
            "mean": self.mean if values else None,
            "sd": statistics.stdev(values) if len(values) > 1 else 0.0,
            "worst": min(values, default=None),
            "updates": self.updates,
            "note": self.note,
        }


@dataclass(frozen=True)
class RegimeReport:
    """Sets under the label regimes, and the scores of the field.

    Attributes:
        rows: of each regime, set and model.
        scores: of each model.
        teacher: what it is, in a few words; empty where there was none.
        teacher_seconds: that its training took; None where there was none.
    """

    rows: tuple[RegimeRow, ...]
    scores: tuple[FieldScores, ...]
    teacher: str = ""
    teacher_seconds: float | None = None

    def row(self, regime: str, name: str, model: str) -> RegimeRow:
        """The row of a regime, a set and a model.

        Raises:
            KeyError: no such row.
        """
        for row in self.rows:
            if (row.regime, row.row, row.model) == (regime, name, model):
                return row
        raise KeyError(f"no row {regime}/{name}/{model} under the label regimes")


def regimes_to_dict(report: RegimeReport | None) -> dict[str, Any]:
    """Rows, scores and teacher as plain values, for JSON.

    Example:
        >>> regimes_to_dict(None)
        {'regimes': None, 'scores': None, 'teacher': None}
    """
    if report is None:
        return {"regimes": None, "scores": None, "teacher": None}
    return {
        "regimes": [row.to_dict() for row in report.rows],
        "scores": [score.to_dict() for score in report.scores],
        "teacher": report.teacher or None,
    }
