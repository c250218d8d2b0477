"""Differences of scores: independent pairs, interval, p-value, a sentence.

The test is chosen by the number of pairs alone, before any score is seen: a paired
t-test below six, for with five pairs Wilcoxon's p-value cannot fall below 0.06, and
Wilcoxon's signed-rank test from six on, which does not need a normal distribution.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = [
    "Comparison",
    "Difference",
    "MIN_WILCOXON_PAIRS",
    "SeedSpread",
    "compared_with_best",
    "independent_pairs",
    "mean_interval",
    "paired_difference",
    "seed_spread",
]

LEVEL = 0.95
"""Of every interval."""

MIN_WILCOXON_PAIRS = 6
"""Pairs from which the test is Wilcoxon's."""

T_TEST, WILCOXON = "paired t", "wilcoxon"


@dataclass(frozen=True)
class Difference:
    """The mean difference of two rows over independent pairs.

    Attributes:
        mean: of the differences.
        interval: at `LEVEL`: by Student's t, of the mean; by Wilcoxon's test, of the
            median of means of two differences. None of a single pair.
        p_value: two-sided; None of a single pair, and of pairs that all say the same.
        pairs: how many.
        test: `"paired t"` or `"wilcoxon"`.
    """

    mean: float
    interval: tuple[float, float] | None
    p_value: float | None
    pairs: int
    test: str = T_TEST

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
            if self.pairs > 1:
                return f"{mean} (the same in all {self.pairs} pairs; no test)"
            return f"{mean} (one pair: no interval)"
        low, high = (f"{100 * end:.{digits}f}" for end in self.interval)
        p_value = "p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.3f}"
        test = "Wilcoxon" if self.test == WILCOXON else self.test
        return f"{mean} (95 %: {low} to {high}; {p_value}, {test}, {self.pairs} pairs)"


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
    """The difference of two rows, pair by pair.

    Args:
        first: `[s]` scores.
        second: `[s]` scores of the same seeds.

    Raises:
        ValueError: not as many, or none.

    Example:
        >>> difference = paired_difference([0.8, 0.801], [0.7, 0.7])
        >>> round(difference.mean, 2), difference.is_better
        (0.1, True)
        >>> paired_difference([0.8], [0.7]).is_better is None
        True
        >>> six = [0.81, 0.82, 0.83, 0.84, 0.85, 0.86]
        >>> paired_difference(six, [0.8] * 6).described()
        '+3.5 (95 %: 1.0 to 6.0; p = 0.031, Wilcoxon, 6 pairs)'
    """
    if len(first) != len(second) or not first:
        raise ValueError(
            f"a paired difference needs as many scores of both, one at least; got "
            f"{len(first)} and {len(second)}"
        )
    differences = [a - b for a, b in zip(first, second, strict=True)]
    mean, count = statistics.fmean(differences), len(differences)
    if count < 2:
        return Difference(mean, None, None, 1)
    by_t = count < MIN_WILCOXON_PAIRS
    test = T_TEST if by_t else WILCOXON
    if statistics.stdev(differences) < 1e-12:
        # Solved, not trained: seeds change nothing, so pairs say nothing of chance.
        return Difference(mean, None, None, count, test)
    interval = mean_interval(differences) if by_t else _median_interval(differences)
    p_value = _t_test(differences) if by_t else _signed_ranks(differences)
    return Difference(mean, interval, p_value, count, test)


def _t_test(differences: Sequence[float]) -> float:
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(differences, 0.0).pvalue)


def _signed_ranks(differences: Sequence[float]) -> float:
    """The exact p-value of Wilcoxon's test; of ties and zeros too, as Pratt has it."""
    from scipy.stats import rankdata

    rounded = [round(value, 12) for value in differences]  # ties are ties
    # Ranks of ties are halves: doubled, sums of ranks are whole numbers.
    doubled = [int(2 * rank) for rank in rankdata([abs(value) for value in rounded])]
    pairs = [(v, rank) for v, rank in zip(rounded, doubled, strict=True) if v]
    ways = _sign_choices([rank for _, rank in pairs])
    total = sum(rank for value, rank in pairs if value > 0)
    tail = min(sum(ways[: total + 1]), sum(ways[total:]))
    return min(1.0, 2 * tail / 2 ** len(pairs))


def _sign_choices(ranks: Sequence[int]) -> list[int]:
    """Sum of ranks -> number of choices of signs whose positive ranks have that sum."""
    ways = [1] + [0] * sum(ranks)
    for rank in ranks:
        for total in range(len(ways) - 1, rank - 1, -1):
            ways[total] += ways[total - rank]
    return ways


def _median_interval(differences: Sequence[float]) -> tuple[float, float]:
    """Interval of the median of means of two, by the signed-rank distribution."""
    n = len(differences)
    means = sorted(
        (differences[i] + differences[j]) / 2 for i in range(n) for j in range(i, n)
    )
    ways = _sign_choices(range(1, n + 1))
    below, cut = 0, 0
    while (below + ways[cut]) / 2**n <= (1 - LEVEL) / 2:
        below += ways[cut]
        cut += 1
    return means[cut - 1], means[-cut]


# --- several makings, several trainings -----------------------------------------


def independent_pairs(
    first: Sequence[Sequence[float]], second: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Scores as pairs of which no two share a summary.

    Of one summary pairs go by the seed of the training: what they say is of that set.
    Of several, trainings on one summary are no independent values: summaries and rows
    beside are put into as many groups as the fewer of them, and means of groups make
    the pairs.

    Args:
        first: `[s][t]`, scores of each summary with each training seed.
        second: `[t]`, of a row beside, which is made anew with each seed.

    Returns:
        Two lists of equal length.

    Example:
        >>> independent_pairs([[0.8, 0.6]], [0.5, 0.4])
        ([0.8, 0.6], [0.5, 0.4])
        >>> several = [[0.5, 0.75], [0.25, 0.5], [0.75, 1.0]]
        >>> independent_pairs(several, [0.25, 0.5])
        ([0.5, 0.875], [0.25, 0.5])
    """
    if len(first) == 1:
        return list(first[0]), list(second)
    means = [statistics.fmean(scores) for scores in first]
    count = min(len(means), len(second))
    return _group_means(means, count), _group_means(second, count)


def _group_means(values: Sequence[float], count: int) -> list[float]:
    """Means of `count` groups of neighbours, the first ones larger by one at most."""
    size, more = divmod(len(values), count)
    ends = [size * (i + 1) + min(i + 1, more) for i in range(count)]
    starts = [0, *ends[:-1]]
    return [statistics.fmean(values[a:b]) for a, b in zip(starts, ends, strict=True)]


@dataclass(frozen=True)
class SeedSpread:
    """How much of the spread of scores comes from making, how much from training.

    Attributes:
        making_sd: standard deviation over making seeds, without that of training.
        training_sd: over training seeds, on one set.
        making_seeds: summaries.
        training_seeds: trainings on each.

    Example:
        >>> seed_spread([[0.8, 0.8], [0.6, 0.6]]).to_dict()["training_sd"]
        0.0
    """

    making_sd: float
    training_sd: float
    making_seeds: int
    training_seeds: int

    def to_dict(self) -> dict[str, Any]:
        """The parts as plain values, for JSON."""
        return dict(vars(self))


def seed_spread(scores: Sequence[Sequence[float]]) -> SeedSpread | None:
    r"""Variance components of a balanced two-level design; None without two of each.

    $$\sigma_t^2 = \overline{s_i^2}, \qquad \sigma_m^2 = \max(0,\;
    \mathrm{var}(\bar a_i) - \sigma_t^2 / t)$$

    Args:
        scores: `[s][t]`, of each summary with each training seed.

    Example:
        >>> spread = seed_spread([[0.5, 0.7], [0.8, 1.0]])
        >>> round(spread.making_sd, 3), round(spread.training_sd, 3)
        (0.187, 0.141)
        >>> seed_spread([[0.5, 0.7]]) is None
        True
    """
    if len(scores) < 2 or len(scores[0]) < 2:
        return None
    within = statistics.fmean(statistics.variance(values) for values in scores)
    between = statistics.variance(statistics.fmean(values) for values in scores)
    making = max(0.0, between - within / len(scores[0]))
    return SeedSpread(math.sqrt(making), math.sqrt(within), len(scores), len(scores[0]))


# --- a method beside the best row -----------------------------------------------


class ScoredRow(Protocol):
    """A row of a report."""

    @property
    def name(self) -> str:
        """Whole, a selection, or the method."""

    @property
    def model(self) -> str:
        """What was trained."""

    @property
    def values(self) -> Mapping[str, Sequence[float]]:
        """Scores of each training, by metric."""


@dataclass(frozen=True)
class Comparison:
    """A method beside the best row of its size, under one model.

    Attributes:
        model: what was trained.
        best_row: name of the best row beside.
        difference: of the method's scores to that row's.
        digits: after the point, in the sentence.

    Example:
        >>> difference = paired_difference([0.8, 0.82], [0.8, 0.84])
        >>> print(Comparison("gcn", "kmeans", difference).sentence)
        No better than kmeans, gcn: -1.0 (95 %: -13.7 to 11.7; p = 0.500, paired t, ...
    """

    model: str
    best_row: str
    difference: Difference
    digits: int = 1

    @property
    def verdict(self) -> str:
        """The first words of the sentence."""
        if self.difference.mean <= 0:
            return "No better than"
        if self.difference.is_better is None:
            return "Beside"
        if self.difference.is_better:
            return "Better than"
        return "Not shown to be better than"

    @property
    def sentence(self) -> str:
        """What the difference says."""
        described = self.difference.described(self.digits)
        return f"{self.verdict} {self.best_row}, {self.model}: {described}."

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain values, for JSON."""
        interval = self.difference.interval
        return {
            "model": self.model,
            "best_row": self.best_row,
            "difference": self.difference.mean,
            "interval": None if interval is None else list(interval),
            "p_value": self.difference.p_value,
            "test": self.difference.test,
            "pairs": self.difference.pairs,
            "sentence": self.sentence,
        }


def compared_with_best(
    rows: Sequence[ScoredRow], method: str, metric: str, digits: int = 1
) -> list[Comparison]:
    """A method's row beside the best one of each model.

    Args:
        rows: of a report. Scores of several summaries follow each other, as many of
            each as a row beside has.
        method: name of the row of the summary.
        metric: that decides.
        digits: after the point.

    Returns:
        One for each model that has a row beside the summary's.
    """
    comparisons = []
    for summary in (row for row in rows if row.name == method):
        scores = summary.values[metric]
        beside = [
            row
            for row in rows
            if row.model == summary.model
            and row.name not in ("whole", method)
            and len(scores) % len(row.values[metric]) == 0
        ]
        if not beside:
            continue
        best = max(beside, key=lambda row: statistics.fmean(row.values[metric]))
        count = len(best.values[metric])
        of_each = [scores[i : i + count] for i in range(0, len(scores), count)]
        pairs = independent_pairs(of_each, best.values[metric])
        difference = paired_difference(*pairs)
        comparisons.append(Comparison(summary.model, best.name, difference, digits))
    return comparisons
