"""Scores of the field, HLR, IOR, LRS and ARS, by their formulas and in fractions.

The field's toolkit feeds percentages into the exponentials of LRS and ARS, where a
difference of one point counts as much as all of the scale; fractions are what the
formulas are written for.
"""

import math
from dataclasses import dataclass
from typing import Any

__all__ = [
    "FieldScores",
    "augmentation_robust_score",
    "hard_label_recovery",
    "improvement_over_random",
    "label_robust_score",
]

WEIGHT = 0.5
"""w of LRS and g of ARS."""


def hard_label_recovery(whole_hard: float, summary_hard: float) -> float:
    r"""HLR: what hard labels on a summary lose to hard labels on whole data.

    $$\mathrm{acc}(\text{real, hard}) - \mathrm{acc}(\text{syn, hard})$$

    Args:
        whole_hard: accuracy of whole data, in 0..1.
        summary_hard: of the summary with hard labels, in 0..1.

    Example:
        >>> hard_label_recovery(0.75, 0.5)
        0.25
    """
    return whole_hard - summary_hard


def improvement_over_random(summary: float, random: float) -> float:
    r"""IOR: what a summary adds to random records that have the same labels.

    $$\mathrm{acc}(\text{syn, any}) - \mathrm{acc}(\text{random, the same labels})$$

    Args:
        summary: accuracy of the summary, in 0..1.
        random: of as many random records, labelled and trained alike, in 0..1.

    Example:
        >>> improvement_over_random(0.75, 0.5)
        0.25
    """
    return summary - random


def label_robust_score(ior: float, hlr: float, weight: float = WEIGHT) -> float:
    r"""LRS: 1 where a summary gains all and loses nothing to hard labels, 0 at worst.

    $$\frac{e^a - e^{-1}}{e - e^{-1}}, \qquad a = w\,\mathrm{IOR} - (1-w)\,
    \mathrm{HLR}$$

    Args:
        ior: improvement over random, in -1..1.
        hlr: hard label recovery, in -1..1.
        weight: w.

    Example:
        >>> label_robust_score(1.0, -1.0), label_robust_score(-1.0, 1.0)
        (1.0, 0.0)
        >>> round(label_robust_score(0.2, 0.4), 4)
        0.2285
    """
    return _scaled(weight * ior - (1 - weight) * hlr)


def augmentation_robust_score(
    augmented: float, plain: float, weight: float = WEIGHT
) -> float:
    r"""ARS: how much of the gain over random stays without augmentation.

    $$\frac{e^b - e^{-1}}{e - e^{-1}}, \qquad b = g\,(\mathrm{acc_{syn,aug}} -
    \mathrm{acc_{rnd,aug}}) + (1-g)\,(\mathrm{acc_{syn}} - \mathrm{acc_{rnd}})$$

    Args:
        augmented: the gain over random records where training augments, in -1..1.
        plain: the same where it does not, in -1..1.
        weight: g.

    Example:
        >>> round(augmentation_robust_score(0.3, 0.1), 4)
        0.3631
    """
    return _scaled(weight * augmented + (1 - weight) * plain)


def _scaled(exponent: float) -> float:
    """From -1..1 to 0..1."""
    return (math.exp(exponent) - math.exp(-1)) / (math.e - math.exp(-1))


@dataclass(frozen=True)
class FieldScores:
    """The scores of a summary under one model, in fractions.

    Attributes:
        model: what was trained.
        labels: of the regime that IOR and ARS are of: where the summary is best on
            held-out data.
        hlr: hard label recovery; None where a side has no hard labels.
        ior: improvement over random; None where a side cannot have the labels.
        lrs: label robust score, of both.
        ars: augmentation robust score; None where the protocol augments nothing.
        interval: of `ior` at 95 %, over pairs; None of a single one.
        p_value: of `ior`; None of a single pair.
        pairs: independent pairs that `ior` is the mean of.

    Example:
        >>> scores = FieldScores("gcn", "SL", 0.1, 0.2, 0.45, None, None, None, 1)
        >>> scores.to_dict()["ior"]
        0.2
    """

    model: str
    labels: str
    hlr: float | None
    ior: float | None
    lrs: float | None
    ars: float | None
    interval: tuple[float, float] | None
    p_value: float | None
    pairs: int

    def to_dict(self) -> dict[str, Any]:
        """The scores as plain values, for JSON."""
        return {
            "model": self.model,
            "labels": self.labels,
            "hlr": self.hlr,
            "ior": self.ior,
            "lrs": self.lrs,
            "ars": self.ars,
            "interval": None if self.interval is None else list(self.interval),
            "p_value": self.p_value,
            "pairs": self.pairs,
        }
