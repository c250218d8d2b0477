"""Transfer of summaries over models: the matrix, the mean, the worst."""

import statistics
from dataclasses import dataclass
from typing import Any

from multidd.summary import Card

__all__ = ["Transfer", "made_with"]


def made_with(card: Card) -> str:
    """The model that a summary was made with, where its card tells one.

    Example:
        >>> made_with(Card("dm", {"model": "convnet"}, 0, {}, {}))
        'dm (convnet), seed 0'
        >>> made_with(Card("kmeans", {}, 3, {}, {}))
        'kmeans, seed 3'
    """
    model = card.settings.get("model")
    if isinstance(model, dict):
        model = model.get("kind") or model.get("type") or model.get("model")
    named = f" ({model})" if isinstance(model, str) else ""
    return f"{card.method}{named}, seed {card.seed}"


@dataclass(frozen=True)
class Transfer:
    """Scores of summaries under several models.

    Attributes:
        models: names of the columns.
        rows: one for each summary: its method, the model it was made with, its seed.
        matrix: `[s][models]`, mean test score over trainings.

    Example:
        >>> transfer = Transfer(("gcn", "mlp"), ("kmeans, seed 0",), ((0.75, 0.5),))
        >>> transfer.mean, transfer.worst
        (0.625, 'mlp')
    """

    models: tuple[str, ...]
    rows: tuple[str, ...]
    matrix: tuple[tuple[float, ...], ...]

    @property
    def by_model(self) -> tuple[float, ...]:
        """Mean score under each model, over summaries."""
        return tuple(
            statistics.fmean(column) for column in zip(*self.matrix, strict=True)
        )

    @property
    def mean(self) -> float:
        """Mean score over models."""
        return statistics.fmean(self.by_model)

    @property
    def worst(self) -> str:
        """The model with the smallest score."""
        pairs = zip(self.by_model, self.models, strict=True)
        return min(pairs, key=lambda pair: pair[0])[1]

    def to_dict(self) -> dict[str, Any]:
        """The matrix and what it says as plain values, for JSON."""
        return {
            "models": list(self.models),
            "rows": list(self.rows),
            "mean": self.mean,
            "worst": self.worst,
            "matrix": [list(row) for row in self.matrix],
        }
