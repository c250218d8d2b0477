"""Coverage and diversity: how much of the real data has a synthetic record near."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from multidd.evaluation.audit.distances import mean_distance, nearest, neighbour_radii

__all__ = ["Coverage", "coverage", "coverage_of", "neighbours"]

MIN_NEIGHBOURS = 5
"""The number that density and coverage are published with."""

_INSIDE, _SAME = 1 - 1e-9, 1e-7
"""Factors by which rounding may not decide: of a radius, and of a record's length."""


@dataclass(frozen=True)
class Coverage:
    """Coverage and diversity of a set, beside those of random real records.

    Attributes:
        space: what distances are measured in.
        records: real records that are to be covered.
        k: neighbours that fix the radius of each.
        covered: share of the real records with a synthetic one within their radius.
        random_covered: the same of as many random training records.
        diversity: mean distance between two synthetic records.
        random_diversity: between two of the random training records.
    """

    space: str
    records: int
    k: int
    covered: float
    random_covered: float
    diversity: float
    random_diversity: float

    @property
    def sentence(self) -> str:
        """The numbers in words."""
        return (
            f"{100 * self.covered:.0f} % of {self.records:,} held-out records have a "
            f"synthetic one nearer than their neighbour {self.k}, and "
            f"{100 * self.random_covered:.0f} % one of as many random training "
            f"records; two synthetic records are {self.diversity:.3g} apart, two of "
            f"those {self.random_diversity:.3g} (means; {self.space})."
        )

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain values, for JSON."""
        return {
            "space": self.space,
            "records": self.records,
            "k": self.k,
            "covered": self.covered,
            "random_covered": self.random_covered,
            "diversity": self.diversity,
            "random_diversity": self.random_diversity,
            "sentence": self.sentence,
        }


def neighbours(records: int, synthetic: int) -> int:
    r"""k by the rule $\max(5, \lceil n / m \rceil)$, at most n - 1.

    A synthetic record stands for n / m real ones: with this k about 63 %
    ($1 - e^{-1}$) would be covered by m records drawn like the real ones.

    Args:
        records: n, to be covered.
        synthetic: m.

    Example:
        >>> neighbours(1000, 10), neighbours(1000, 500), neighbours(4, 1)
        (100, 5, 3)
    """
    return min(records - 1, max(MIN_NEIGHBOURS, math.ceil(records / synthetic)))


def coverage(real: Tensor, synthetic: Tensor, k: int) -> float:
    r"""Share of real records with a synthetic one within their radius.

    $$\frac{1}{n} \sum_i 1\big[\min_j \lVert x_i - z_j \rVert < r_k(x_i)\big]$$

    with $r_k(x)$ the distance of x to its k-th nearest real neighbour. A copy covers
    its original here, even where the original stands so often that its radius is zero;
    the published code then says it does not.

    Args:
        real: `[n, d]`.
        synthetic: `[m, d]`.
        k: neighbours.

    Raises:
        ValueError: k is not in 1..n-1.

    Reference:
        Naeem, Oh, Uh, Choi, Yoo, "Reliable Fidelity and Diversity Metrics for
        Generative Models", ICML 2020.

    Example:
        >>> import torch
        >>> real = torch.tensor([[0.0], [1.0], [3.0], [9.0]])
        >>> coverage(real, torch.tensor([[1.5]]), k=1)
        0.5
    """
    distances, radii = nearest(real, synthetic), neighbour_radii(real, k)
    copied = distances <= _SAME * real.double().norm(dim=1)
    return float(((distances < _INSIDE * radii) | copied).double().mean())


def coverage_of(
    real: Tensor, synthetic: Tensor, random: Tensor, space: str
) -> Coverage:
    """Coverage and diversity of a set, with random records beside.

    Args:
        real: `[n, d]`, held out.
        synthetic: `[m, d]`.
        random: `[m', d]`, random training records; m' is m where there are so many.
        space: what distances are measured in.

    Example:
        >>> import torch
        >>> real = torch.arange(8.0)[:, None]
        >>> coverage_of(real, real[:2], real[::4], "numbers").covered
        0.5
    """
    k = neighbours(len(real), len(synthetic))
    return Coverage(
        space,
        len(real),
        k,
        coverage(real, synthetic, k),
        coverage(real, random, k),
        mean_distance(synthetic),
        mean_distance(random),
    )
