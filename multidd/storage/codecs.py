"""Codecs of tensors: what becomes of numbers that are stored in a few bits each.

Every codec but the exact one has a small table of levels for each group of numbers,
such as a row, and a number is stored as the place of its level. Levels come from a few
numbers in the file by sums and products alone, so that every machine decodes the same
bits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

__all__ = ["CODECS", "Codec", "Levels", "cheaper_symbols", "exact_levels"]

Array: TypeAlias = "np.ndarray[Any, Any]"

ROUNDS = 50
"""Of Lloyd's algorithm in one dimension; it stops when nothing moves."""
SPANS = 2.0 ** np.arange(-4, 4.76, 0.25)
"""Octaves between the largest and the least level of a row that are tried."""


@dataclass(frozen=True)
class Codec:
    """How a tensor is to be coded.

    Attributes:
        kind: `"exact"`, or one of `CODECS`.
        axes: of the tensor; each place along them has a table of its own. None has one
            for all.
        min_bits: fewer are not taken.
        coarse: kind with 2 bits, where that is another.

    Example:
        >>> Codec("fitted", min_bits=4).bits(2)
        4
        >>> Codec("log", (0,), coarse="fitted").kind_of(2, signed=False)
        'fitted'
    """

    kind: str = "exact"
    axes: tuple[int, ...] = ()
    min_bits: int = 2
    coarse: str = ""

    def kind_of(self, bits: int, *, signed: bool) -> str:
        """The kind for numbers of so many bits.

        Args:
            bits: of a number.
            signed: some are below zero, of which there are no ratios.
        """
        kind = self.coarse if self.coarse and bits == 2 else self.kind
        return "fitted" if signed and kind in ("log", "ratio") else kind

    def bits(self, bits: int) -> int:
        """Bits of a number where so many are asked for."""
        return max(bits, self.min_bits)


@dataclass(frozen=True)
class Levels:
    """A kind of codec with levels.

    Attributes:
        fit: values `[groups, n]` and bits -> the table `[groups, k]` that is stored.
        expand: a table and bits -> levels `[groups, 2 ** bits]`, rising.
        width: k, by the bits.
        ends: levels -> where the numbers of one end and those of the next begin.
    """

    fit: Callable[[Array, int], Array]
    expand: Callable[[Array, int], Array]
    width: Callable[[int], int]
    ends: Callable[[Array], Array]

    def symbols(self, values: Array, levels: Array) -> Array:
        """`[groups, n]` uint8, the place of the level of each number."""
        places = [
            np.searchsorted(end, row, side="left")
            for end, row in zip(self.ends(levels), values, strict=True)
        ]
        return np.stack(places).astype(np.uint8)


def _middles(levels: Array) -> Array:
    return (levels[:, :-1] + levels[:, 1:]) / 2


def _ratio_middles(levels: Array) -> Array:
    """By ratio; what is below half of the least level is nearer to zero."""
    ends = np.sqrt(levels[:, :-1] * levels[:, 1:])
    ends[:, 0] = np.where(levels[:, 0] > 0, ends[:, 0], levels[:, 1] / 2)
    return ends


def _nonzero_middles(levels: Array) -> Array:
    """By ratio; nothing but zero is zero."""
    ends = _ratio_middles(levels)
    ends[:, 0] = np.where(levels[:, 0] > 0, ends[:, 0], 0.0)
    return ends


# --- evenly spaced ------------------------------------------------------------


def _fit_linear(values: Array, bits: int) -> Array:
    """`[groups, 2]`, the least level and the step."""
    low, high = values.min(1), values.max(1)
    return np.stack([low, (high - low) / (2**bits - 1)], axis=1)


def _expand_linear(table: Array, bits: int) -> Array:
    steps = np.arange(2**bits, dtype=np.float64)
    return table[:, :1] + table[:, 1:] * steps


# --- evenly spaced ratios, and maybe zero -------------------------------------


def _fit_log(values: Array, bits: int) -> Array:
    return _fit_ratios(values, bits, _ratio_middles)


def _fit_ratio(values: Array, bits: int) -> Array:
    return _fit_ratios(values, bits, _nonzero_middles)


def _fit_ratios(values: Array, bits: int, ends_of: Callable[[Array], Array]) -> Array:
    """`[groups, 3]`, the largest level, the ratio of one to the next, and whether the
    least level is zero (0.0) or goes on by that ratio (1.0).

    Of the spans that are tried the one with the least squared error is taken; a row
    that holds a zero has a level for it.
    """
    top = values.max(1)
    table = np.stack([top, np.ones_like(top), np.zeros_like(top)], axis=1)
    ratios = (2.0 ** (-SPANS / (2**bits - 2))).astype(np.float32)
    for group in top.nonzero()[0]:
        ordered = np.sort(values[group])
        through = (0.0, 1.0) if ordered[0] > 0 else (0.0,)
        tries = np.array([(top[group], r, last) for last in through for r in ratios])
        levels = _expand_ratios(tries, bits)  # (tries, 2 ** bits)
        inner = np.searchsorted(ordered, ends_of(levels), side="right")
        edges = np.pad(inner, ((0, 0), (1, 1)))
        edges[:, -1] = len(ordered)
        sums = np.concatenate([[0.0], np.cumsum(ordered)])
        # The sum of (x - level)^2, but for that of x^2, which all spans share.
        errors = levels**2 * np.diff(edges) - 2 * levels * np.diff(sums[edges])
        table[group] = tries[int(errors.sum(1).argmin())]
    return table


def _expand_ratios(table: Array, bits: int) -> Array:
    factors = np.repeat(table[:, 1:2], 2**bits, axis=1)
    factors[:, 0] = table[:, 0]
    factors[:, -1] *= table[:, 2]
    # One product after another: a power may differ between machines.
    return np.multiply.accumulate(factors, axis=1)[:, ::-1]


# --- fitted to the numbers ----------------------------------------------------


def _fit_fitted(values: Array, bits: int) -> Array:
    """`[groups, 2 ** bits]`, k-means of the numbers (Lloyd's quantizer).

    A level is zero where a number is: what is not there stays so.
    """
    return np.stack([_lloyd(np.sort(row), 2**bits) for row in values])


def _lloyd(ordered: Array, count: int) -> Array:
    """`[count]`, means of runs of sorted numbers, each number in the nearest run."""
    total = np.concatenate([[0.0], np.cumsum(ordered)])
    zero = bool((ordered == 0).any())
    spread = np.linspace(ordered[0], ordered[-1], count)
    middle = np.quantile(ordered, (np.arange(count) + 0.5) / count)
    levels = (spread + middle) / 2  # between the tails and the bulk
    for _ in range(ROUNDS):
        if zero:
            levels[np.abs(levels).argmin()] = 0.0
        ends = np.searchsorted(ordered, (levels[:-1] + levels[1:]) / 2)
        ends = np.concatenate([[0], ends, [len(ordered)]])
        sizes = np.diff(ends)
        means = np.diff(total[ends]) / np.maximum(sizes, 1)
        moved = np.sort(np.where(sizes > 0, means, levels))
        if zero:
            moved[np.abs(moved).argmin()] = 0.0
        if np.array_equal(moved, levels):
            break
        levels = moved
    return levels


def _as_stored(table: Array, bits: int) -> Array:
    return table.astype(np.float64)


# --- rounding by rate ---------------------------------------------------------

TURNS = 4
"""Of costs by symbols and symbols by costs."""


def cheaper_symbols(values: Array, levels: Array, symbols: Array, rate: float) -> Array:
    r"""Symbols that take fewer bits where the next level is hardly worse.

    Each number takes the level of least $(x - l)^2 + \lambda \sigma^2 b(l)$ among the
    nearest and its two neighbours, where $b(l)$ are the bits of the level by how often
    it is taken in its group, and $\sigma^2$ is the variance of the group. What is zero
    keeps its level, and nothing becomes zero that was not nearest to it.

    Args:
        values: `[groups, n]`.
        levels: `[groups, 2 ** bits]`, rising.
        symbols: `[groups, n]` uint8, the nearest levels.
        rate: $\lambda$, squared error that a bit is worth, in variances.

    Example:
        >>> values = np.array([[1.0, 1.1, 1.2, 1.0, 2.04, 2.1, 2.6]])
        >>> nearest = np.array([[0, 0, 0, 0, 1, 1, 2]], np.uint8)
        >>> cheaper_symbols(values, np.array([[1.0, 2.0, 3.0]]), nearest, 1.0).tolist()
        [[0, 0, 0, 0, 1, 1, 1]]
    """
    chosen = symbols.copy()
    last = levels.shape[1] - 1
    for group, (row, ends, nearest) in enumerate(
        zip(values, levels, symbols.astype(np.intp), strict=True)
    ):
        worth = rate * row.var()
        options = np.stack([nearest, nearest - 1, nearest + 1]).clip(0, last)
        errors = (row - ends[options]) ** 2  # (3, n)
        errors[1:][(ends[options[1:]] == 0) | (row == 0)] = np.inf
        taken = nearest
        for _ in range(TURNS):
            counts = np.bincount(taken, minlength=last + 1)
            bits = np.log2(len(row)) - np.log2(np.maximum(counts, 0.5))
            best = (errors + worth * bits[options]).argmin(0)
            taken = np.take_along_axis(options, best[None], 0)[0]
        chosen[group] = taken
    return chosen


CODECS: dict[str, Levels] = {
    "linear": Levels(_fit_linear, _expand_linear, lambda bits: 2, _middles),
    "log": Levels(_fit_log, _expand_ratios, lambda bits: 3, _ratio_middles),
    "ratio": Levels(_fit_ratio, _expand_ratios, lambda bits: 3, _nonzero_middles),
    "fitted": Levels(_fit_fitted, _as_stored, lambda bits: 2**bits, _middles),
}
"""Kinds of codecs with levels."""


def exact_levels(raw: Array, max_count: int) -> tuple[Array, Array] | None:
    """The different bit patterns of a tensor and their places, where they are few.

    Args:
        raw: unsigned whole numbers, the bit patterns.
        max_count: more are too many.

    Example:
        >>> exact_levels(np.array([7, 3, 7], np.uint32), 2)
        (array([3, 7], dtype=uint32), array([1, 0, 1], dtype=uint8))
    """
    if np.unique(raw[:10_000]).size > max_count:
        return None
    levels, places = np.unique(raw, return_inverse=True)
    if levels.size > max_count:
        return None
    return levels, places.reshape(-1).astype(np.uint8)
