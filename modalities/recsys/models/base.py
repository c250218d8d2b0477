"""What every model of this package has in common, and how its rows are checked."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from multidd import seeds

if TYPE_CHECKING:
    from multidd.recsys.data.log import InteractionLog
    from multidd.recsys.models.recommender import Recommender
    from multidd.recsys.summary.summary import RecsysSummary

__all__ = ["Data", "Model", "Scorer", "backed", "checked", "popularity"]

Scorer: TypeAlias = Callable[[csr_array], Tensor]
"""Histories `[b, I]`, of any users, to float32 scores `[b, I]`: not masked, finite."""

Data: TypeAlias = "InteractionLog | RecsysSummary | csr_array"


class Model(ABC):
    """Settings of a model. Subclasses are frozen dataclasses that hold nothing else.

    Example:
        >>> from multidd.recsys.popularity import PopRec
        >>> PopRec().fit(csr_array([[1, 0], [1, 1]])).recommend_history([0], k=1)
        [1]
    """

    @property
    def grid(self) -> tuple[Self, ...]:
        """Settings to choose from on validation data; these alone unless overridden."""
        return (self,)

    @abstractmethod
    def train(
        self, rows: csr_array, weight: NDArray | None, rng: torch.Generator
    ) -> Scorer:
        """Train on histories.

        Args:
            rows: `[m, I]`, 0/1 or fractional, none negative.
            weight: `[m]`, how much each row counts; all alike where None.
            rng: draws whatever is random.

        Returns:
            The scorer of any histories.
        """

    def train_grid(
        self, rows: csr_array, weight: NDArray | None, seed: int
    ) -> Iterator[tuple[Self, Scorer]]:
        """Every member of `grid` with its scorer, one after another.

        Models whose settings share work override this; each scorer is what `train` of
        that member makes with a fresh generator of `seed`.
        """
        for member in self.grid:
            yield member, member.train(rows, weight, seeds.at(seed, "train"))

    def fit(self, data: Data, seed: int = 0) -> "Recommender":
        """Train on a log's training part, a summary or a matrix: see `fit`."""
        from multidd.recsys.models.recommender import fit

        return fit(self, data, seed=seed)


def checked(
    rows: csr_array, weight: NDArray | None
) -> tuple[csr_array, NDArray[np.float32]]:
    """Rows and weights as models take them: float32, without stored zeros.

    Args:
        rows: `[m, I]`.
        weight: `[m]`, or None for ones.

    Returns:
        New rows `[m, I]` and weights `[m]`.

    Raises:
        ValueError: no rows, no items, numbers that are negative or not finite, or not
            one weight for each row.

    Example:
        >>> checked(csr_array([[1, 0]]), None)[1].tolist()
        [1.0]
    """
    m, items = rows.shape
    found = csr_array(rows, dtype=np.float32, copy=True)
    found.sum_duplicates()
    found.eliminate_zeros()
    given = np.ones(m) if weight is None else np.asarray(weight)
    for name, values in ("rows", found.data), ("weights", given):
        if not np.isfinite(values).all() or (values < 0).any():
            raise ValueError(f"{name} must be finite and 0 or more, to train on them")
    if not found.nnz or given.shape != (m,) or not given.any():
        raise ValueError(
            f"training needs interactions and one weight for each row, not all zero; "
            f"got {m} rows of {items} items with {found.nnz} interactions and weights "
            f"{list(given.shape)}"
        )
    return found, given.astype(np.float32)


def popularity(rows: csr_array, weight: NDArray) -> NDArray[np.float32]:
    """`[I]`, the share of the weight of all rows that has each item.

    Example:
        >>> popularity(csr_array([[1, 0], [1, 1]]), np.ones(2)).tolist()
        [1.0, 0.5]
    """
    total = math.fsum(weight.tolist())
    return np.asarray(rows.T @ (weight / total), dtype=np.float32)


def backed(scorer: Scorer, prior: NDArray[np.float32]) -> Scorer:
    """The same scorer, with what is popular for histories that tell nothing.

    Args:
        scorer: histories to scores.
        prior: `[I]` popularity; a history tells nothing where it is zero on all of it.

    Returns:
        The scorer.

    Example:
        >>> scorer = backed(lambda rows: torch.zeros(rows.shape), np.float32([1, 2]))
        >>> scorer(csr_array([[0, 0], [1, 0]])).tolist()
        [[1.0, 2.0], [0.0, 0.0]]
    """
    seen, shown = (prior > 0).astype(np.float32), torch.from_numpy(prior)

    def score(histories: csr_array) -> Tensor:
        found = scorer(histories)
        blank = np.flatnonzero(histories @ seen == 0)
        if not len(blank):
            return found
        return found.index_copy(
            0, torch.from_numpy(blank), shown.expand(len(blank), -1).to(found)
        )

    return score
