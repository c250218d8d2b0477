"""Paired differences of scores: mean, interval and p-value."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Difference", "mean_interval", "paired_difference"]

LEVEL = 0.95
"""Of every interval."""


@dataclass(frozen=True)
class Difference:
    """The mean difference of two rows that were trained with the same seeds.

    Attributes:
        mean: of the differences.
        interval: of the mean at `LEVEL`, by Student's t; None of a single pair.
        p_value: two-sided, of a paired t-test; None of a single pair.
        pairs: how many.
    """

    mean: float
    interval: tuple[float, float] | None
    p_value: float | None
    pairs: int

    @property
    def is_better(self) -> bool | None:
        """Whether the first row is above the second; None where that is unknown.

        A single pair decides nothing, a small one neither: p must be below 0.05.
        """
        if self.p_value is None:
            return None
        return self.mean > 0 and self.p_value < 1 - LEVEL

    def described(self, digits: int = 1) -> str:
        """In per cent points.

        Example:
            >>> paired_difference([0.8, 0.82, 0.81], [0.7, 0.71, 0.72]).described()
            '+10.0 (95 %: 7.5 to 12.5; p = 0.003, paired t, 3 pairs)'
        """
        mean = f"{100 * self.mean:+.{digits}f}"
        if self.interval is None or self.p_value is None:
            return f"{mean} (one pair: no interval)"
        low, high = (f"{100 * end:.{digits}f}" for end in self.interval)
        p_value = "p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.3f}"
        return (
            f"{mean} (95 %: {low} to {high}; {p_value}, paired t, {self.pairs} pairs)"
        )


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    r"""Interval of the mean of independent values at 95 %, by Student's t.

    $$\bar v \pm t_{0.975, n-1}\, s / \sqrt{n}$$

    Args:
        values: `[n]`.

    Returns:
        Its ends; None of fewer than two values.

    Example:
        >>> low, high = mean_interval([1.0, 2.0, 3.0])
        >>> round(low, 2), round(high, 2)
        (-0.48, 4.48)
    """
    if len(values) < 2:
        return None
    from scipy.stats import t

    mean, n = statistics.fmean(values), len(values)
    half = (
        float(t.ppf((1 + LEVEL) / 2, n - 1)) * statistics.stdev(values) / math.sqrt(n)
    )
    return mean - half, mean + half


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """The difference of two rows, seed by seed.

    Args:
        first: `[s]` scores.
        second: `[s]` scores of the same seeds.

    Raises:
        ValueError: not as many, or none.

    Example:
        >>> difference = paired_difference([0.8, 0.8], [0.7, 0.7])
        >>> round(difference.mean, 2), difference.is_better
        (0.1, True)
        >>> paired_difference([0.8], [0.7]).is_better is None
        True
    """
    if len(first) != len(second) or not first:
        raise ValueError(
            f"a paired difference needs as many scores of both, one at least; got "
            f"{len(first)} and {len(second)}"
        )
    differences = [a - b for a, b in zip(first, second, strict=True)]
    mean, interval = statistics.fmean(differences), mean_interval(differences)
    if interval is None:
        return Difference(mean, None, None, 1)
    spread = statistics.stdev(differences)
    if spread < 1e-12:  # the same difference every time: nothing is left to chance
        return Difference(mean, interval, float(abs(mean) < 1e-12), len(differences))
    from scipy.stats import ttest_1samp

    p_value = float(ttest_1samp(differences, 0.0).pvalue)
    return Difference(mean, interval, p_value, len(differences))
