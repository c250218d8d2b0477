"""Membership: how well one can tell by a summary which records it was made from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multidd import seeds
from multidd.evaluation.audit.nearness import share_interval

__all__ = ["Attack", "Membership", "attack", "difference_interval"]


@dataclass(frozen=True)
class Attack:
    """How well one attack tells training records from held-out ones.

    Attributes:
        advantage: share of training records that it takes for such, minus that of
            held-out ones: 1 where it is always right, 0 where it guesses.
        interval: of the advantage, at 95 %.
        auc: chance that a training record looks more like one than a held-out record.
    """

    advantage: float
    interval: tuple[float, float]
    auc: float

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain values, for JSON."""
        return {
            "advantage": self.advantage,
            "interval": list(self.interval),
            "auc": self.auc,
        }


@dataclass(frozen=True)
class Membership:
    """Attacks on a summary, and on three sets whose answers are known.

    Attributes:
        records: training records, and as many held-out ones.
        model: whose loss is attacked.
        space: what distances are measured in.
        loss: a low loss says training record.
        distance: a short distance to the nearest synthetic record says it.
        controls: `"half"` of the training records as the set, which shows what the
            attacks can see; `"random"`, as many of them as the summary has; and as many
            `"independent"` ones, which are no training records; each with both attacks.
    """

    records: int
    model: str
    space: str
    loss: Attack
    distance: Attack
    controls: Mapping[str, Mapping[str, Attack]]

    @property
    def sentence(self) -> str:
        """The advantages in words, beside those of the controls."""
        parts = [
            f"A membership attack gains {_points(self.loss)} by the loss of "
            f"{self.model} and {_points(self.distance)} by distance"
        ]
        for name, attacks in self.controls.items():
            beside = (attacks["loss"].advantage, attacks["distance"].advantage)
            texts = (str(round(100 * value)) for value in beside)
            parts.append(f"{_CONTROLS.get(name, name)} {' and '.join(texts)}")
        return (
            f"{'; '.join(parts)} (points of 100; {self.records:,} training records "
            "against as many held-out ones)."
        )

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain values, for JSON."""
        return {
            "records": self.records,
            "model": self.model,
            "space": self.space,
            "loss": self.loss.to_dict(),
            "distance": self.distance.to_dict(),
            "controls": {
                name: {kind: one.to_dict() for kind, one in attacks.items()}
                for name, attacks in self.controls.items()
            },
            "sentence": self.sentence,
        }


_CONTROLS = {
    "half": "half of the training records themselves",
    "random": "as many as the summary has",
    "independent": "as many that are none",
}
"""Name of a control -> how the sentence calls it."""


def _points(attack: Attack) -> str:
    low, high = (round(100 * end) for end in attack.interval)  # -0 is no number
    return f"{round(100 * attack.advantage)} (95 %: {low} to {high})"


def difference_interval(
    first: int, first_total: int, second: int, second_total: int
) -> tuple[float, float]:
    r"""Newcombe's interval of the difference of two shares, at 95 %.

    With Wilson's $(l_i, u_i)$ of the shares $p_i$ the ends are
    $p_1 - p_2 - \sqrt{(p_1 - l_1)^2 + (u_2 - p_2)^2}$ and
    $p_1 - p_2 + \sqrt{(u_1 - p_1)^2 + (p_2 - l_2)^2}$.

    Args:
        first, first_total: count and total of the first share.
        second, second_total: of the second.

    Reference:
        Newcombe, "Interval Estimation for the Difference Between Independent
        Proportions", Statistics in Medicine 1998 (method 10).

    Example:
        >>> low, high = difference_interval(56, 70, 48, 80)
        >>> round(low, 4), round(high, 4)
        (0.0524, 0.3339)
    """
    p, q = first / first_total, second / second_total
    low, high = share_interval(first, first_total)
    other_low, other_high = share_interval(second, second_total)
    below = math.hypot(p - low, other_high - q)
    above = math.hypot(high - p, q - other_low)
    return p - q - below, p - q + above


def attack(members: Tensor, others: Tensor, seed: int = 0) -> Attack:
    """Tell members from others by a score: a low one says member.

    The threshold is the one with the best advantage on a random half of the records;
    it is measured on the other half. The area under the curve is of all records.

    Args:
        members: `[n]` scores of training records, 2 or more.
        others: `[n]` scores of held-out records.
        seed: of the halves.

    Raises:
        ValueError: fewer than two of either.

    Example:
        >>> attack(torch.zeros(10), torch.ones(10)).advantage
        1.0
        >>> attack(torch.zeros(10), torch.zeros(10)).auc
        0.5
    """
    if min(len(members), len(others)) < 2:
        raise ValueError(
            "an attack needs two records or more of each kind, to choose a threshold "
            f"and to measure it; got {len(members)} and {len(others)}"
        )
    rng = seeds.at(seed, "audit/halves")
    (chosen_in, tested_in), (chosen_out, tested_out) = (
        _halves(scores, rng) for scores in (members, others)
    )
    thresholds = torch.cat([chosen_in, chosen_out]).unique()
    gains = _shares(chosen_in, thresholds) - _shares(chosen_out, thresholds)
    best = int(gains.argmax())
    # No threshold may be of use; then all are taken for held-out records.
    threshold = thresholds[best] if gains[best] > 0 else torch.tensor(-torch.inf)
    hits, alarms = (
        int((tested_in <= threshold).sum()),
        int((tested_out <= threshold).sum()),
    )
    return Attack(
        hits / len(tested_in) - alarms / len(tested_out),
        difference_interval(hits, len(tested_in), alarms, len(tested_out)),
        _auc(members, others),
    )


def _halves(scores: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    order = torch.randperm(len(scores), generator=rng)
    half = len(scores) // 2
    return scores[order[:half]].double(), scores[order[half:]].double()


def _shares(scores: Tensor, thresholds: Tensor) -> Tensor:
    """`[t]`, the share of scores at or below each threshold."""
    ordered = scores.sort().values
    return torch.searchsorted(ordered, thresholds, right=True) / len(scores)


def _auc(members: Tensor, others: Tensor) -> float:
    """Chance that a member's score is below that of another; equal ones count half."""
    from scipy.stats import mannwhitneyu

    larger = mannwhitneyu(others.numpy(), members.numpy()).statistic
    return float(larger) / (len(members) * len(others))
