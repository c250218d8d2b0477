"""Epsilon: how far the models of the whole data and of a summary are apart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

__all__ = ["Epsilon", "LossGap", "dkw_margin", "loss_gap", "upper_quantile"]

CONFIDENCE = 0.95

LEVELS = (0.5, 0.9, 0.99)
"""Quantiles that have a bound in a report, where there are records enough."""


@dataclass(frozen=True)
class LossGap:
    """Absolute differences of the losses of two models, over real records.

    Attributes:
        model: that is trained, on the whole data and on the summary.
        loss: what is compared.
        exact: both models are solved in closed form; else each seed trains a pair.
        largest: of each pair, over the records.
        percentile_99: of each pair.
        upper: level -> of each pair the bound of that quantile over all records drawn
            alike, None where there are too few records for one.
    """

    model: str
    loss: str
    exact: bool
    largest: tuple[float, ...]
    percentile_99: tuple[float, ...]
    upper: dict[float, tuple[float | None, ...]]


@dataclass(frozen=True)
class Epsilon:
    r"""The $\epsilon$ of a summary, for each model that was tried.

    A set S approximates T by $\epsilon$ where
    $\sup_x |\ell(\phi_{\theta^T}(x), y) - \ell(\phi_{\theta^S}(x), y)| \le \epsilon$.
    The supremum goes over all records and is not to be had; what is measured are its
    values on n held-out ones.

    Attributes:
        records: n.
        gaps: of each model.

    Reference:
        Sachdeva, McAuley, "Data Distillation: A Survey", TMLR 2023 (Definition 2).
    """

    records: int
    gaps: tuple[LossGap, ...]

    @property
    def covered(self) -> float:
        """Share of all records drawn alike that the largest gap holds for, at 95 %."""
        return max(0.0, 1 - dkw_margin(self.records))

    @property
    def sentence(self) -> str:
        """The first model's numbers, and what they prove."""
        gap = self.gaps[0]
        largest, most = max(gap.largest), max(gap.percentile_99)
        return (
            f"{gap.model}: the losses ({gap.loss}) of the models of whole data and of "
            f"the summary differ by {largest:.3g} at most and by {most:.3g} or less on "
            f"99 % of {self.records:,} held-out records. With 95 % confidence this "
            f"pair differs by {largest:.3g} or less on {100 * self.covered:.1f} % of "
            "all records drawn from the same distribution; nothing is proven of the "
            "largest difference over all records, of other models or of other seeds."
        )

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain values, for JSON."""
        return {
            "records": self.records,
            "confidence": CONFIDENCE,
            "covered": self.covered,
            "models": [
                {
                    "model": gap.model,
                    "loss": gap.loss,
                    "exact": gap.exact,
                    "largest": list(gap.largest),
                    "percentile_99": list(gap.percentile_99),
                    "upper": {str(level): list(v) for level, v in gap.upper.items()},
                }
                for gap in self.gaps
            ],
            "sentence": self.sentence,
        }


def dkw_margin(count: int, confidence: float = CONFIDENCE) -> float:
    r"""How far an empirical distribution is above the true one, at most.

    $$P\Big(\sup_t F_n(t) - F(t) > s\Big) \le e^{-2 n s^2}$$

    by Dvoretzky, Kiefer and Wolfowitz with Massart's constant 1, so that
    $s = \sqrt{\ln(1 / \delta) / (2 n)}$ holds with confidence $1 - \delta$.

    Args:
        count: n, records drawn independently.
        confidence: 0.5 or more: the one-sided inequality holds from there.

    Raises:
        ValueError: no records, or another confidence.

    Reference:
        Massart, "The Tight Constant in the Dvoretzky-Kiefer-Wolfowitz Inequality",
        Annals of Probability 1990.

    Example:
        >>> round(dkw_margin(1000), 4)
        0.0387
    """
    if count < 1 or not 0.5 <= confidence < 1:
        raise ValueError(
            "the bound needs one record or more and a confidence from 0.5 to below 1; "
            f"got {count} and {confidence}"
        )
    return math.sqrt(math.log(1 / (1 - confidence)) / (2 * count))


def upper_quantile(
    values: Any, level: float, confidence: float = CONFIDENCE
) -> float | None:
    r"""Upper bound of a quantile of the distribution that values were drawn from.

    The quantile of level p is at most $F_n^{-1}(p + s)$, with s of `dkw_margin`; all
    levels at once.

    Args:
        values: `[n]`.
        level: p, in 0..1.
        confidence: of the bound.

    Returns:
        The bound; None where $p + s > 1$, so that n values bound nothing there.

    Example:
        >>> upper_quantile(range(1, 101), 0.5), upper_quantile(range(1, 101), 0.99)
        (63.0, None)
    """
    array = np.asarray(values, dtype=np.float64)
    place = level + dkw_margin(len(array), confidence)
    return None if place > 1 else _quantile(array, place)


def loss_gap(
    model: str,
    loss: str,
    pairs: Sequence[tuple[Tensor, Tensor]],
    *,
    exact: bool,
) -> LossGap:
    """Differences of losses for each pair of models.

    Args:
        model: name of what was trained.
        loss: what is compared.
        pairs: losses `[n]` under the model of the whole data and under that of the
            summary, of the same records.
        exact: the models are solved, not trained.

    Example:
        >>> import torch
        >>> whole, few = torch.tensor([0.0, 1.0]), torch.tensor([0.5, 0.75])
        >>> loss_gap("ridge", "squared error", [(whole, few)], exact=True).largest
        (0.5,)
    """
    gaps = [(whole - few).abs().double().numpy() for whole, few in pairs]
    return LossGap(
        model,
        loss,
        exact,
        tuple(float(gap.max()) for gap in gaps),
        tuple(_quantile(gap, 0.99) for gap in gaps),
        {level: tuple(upper_quantile(gap, level) for gap in gaps) for level in LEVELS},
    )


def _quantile(values: np.ndarray, level: float) -> float:
    """The smallest value with a share of `level` of all at or below it."""
    return float(np.quantile(values, level, method="inverted_cdf"))
