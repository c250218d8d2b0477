"""Nearness: distances of synthetic records to training and to held-out records."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multidd.evaluation.audit.distances import nearest, neighbour_radii

__all__ = ["Nearness", "nearness_of", "share_interval"]

COPY = 0.01
"""Of the median distance between real neighbours: what is nearer is a copy."""

_SAME = 1e-6
"""Of that distance: what is nearer is rounding."""

LEVEL = 0.95


@dataclass(frozen=True)
class Nearness:
    """Distances of synthetic records to their nearest real ones.

    Attributes:
        space: what distances are measured in.
        records: training records, and as many held-out ones, that were looked at.
        to_training: median distance to the nearest training record.
        to_held_out: median distance to the nearest held-out record.
        nearer: share of synthetic records that are nearer to a training record; equal
            distances count half.
        interval: of that share, at 95 %.
        copies: share of synthetic records that are a training record, of all there are.
    """

    space: str
    records: int
    to_training: float
    to_held_out: float
    nearer: float
    interval: tuple[float, float]
    copies: float

    @property
    def sentence(self) -> str:
        """The numbers in words."""
        low, high = (f"{100 * end:.0f}" for end in self.interval)
        return (
            f"{100 * self.nearer:.0f} % of the synthetic records (95 %: {low} to "
            f"{high}) are nearer to one of {self.records:,} training records than to "
            f"one of as many held-out ones, 50 % where nothing is copied; "
            f"{100 * self.copies:.0f} % are copies of a training record (median "
            f"distances {self.to_training:.3g} and {self.to_held_out:.3g}; "
            f"{self.space})."
        )

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain values, for JSON."""
        return {
            "space": self.space,
            "records": self.records,
            "to_training": self.to_training,
            "to_held_out": self.to_held_out,
            "nearer": self.nearer,
            "interval": list(self.interval),
            "copies": self.copies,
            "sentence": self.sentence,
        }


def share_interval(count: float, total: int) -> tuple[float, float]:
    """Wilson's interval of a share at 95 %.

    Args:
        count: how many of them, halves rounded down.
        total: how many there are, 1 or more.

    Example:
        >>> low, high = share_interval(5, 10)
        >>> round(low, 3), round(high, 3)
        (0.237, 0.763)
    """
    from scipy.stats import binomtest

    ends = binomtest(int(count), total).proportion_ci(LEVEL, method="wilson")
    return float(ends.low), float(ends.high)


def nearness_of(
    synthetic: Tensor,
    training: Tensor,
    held_out: Tensor,
    space: str,
    all_training: Iterable[Tensor] | None = None,
) -> Nearness:
    """Distances of synthetic records to training records and to held-out ones.

    Args:
        synthetic: `[m, d]`.
        training: `[n, d]`.
        held_out: `[n, d]`; as many, for more records are nearer by number alone.
        space: what distances are measured in.
        all_training: chunks of all training records, where they are more; copies are
            looked for among these.

    Example:
        >>> import torch
        >>> training, held_out = torch.tensor([[0.0], [4.0]]), torch.tensor([[1.0], [7.0]])
        >>> nearness = nearness_of(training, training, held_out, "numbers")
        >>> nearness.nearer, nearness.copies, nearness.to_held_out
        (1.0, 1.0, 1.0)
    """  # noqa: E501
    spacing = neighbour_radii(held_out, 1).median()
    distances = [nearest(synthetic, real) for real in (training, held_out)]
    ours, theirs = (torch.where(d > _SAME * spacing, d, 0.0) for d in distances)
    nearer = float((ours < theirs).sum() + 0.5 * (ours == theirs).sum())
    every = ours if all_training is None else nearest(synthetic, all_training)
    copied = every <= COPY * spacing
    return Nearness(
        space,
        len(training),
        float(ours.median()),
        float(theirs.median()),
        nearer / len(synthetic),
        share_interval(nearer, len(synthetic)),
        float(copied.double().mean()),
    )
