"""`ALS`: factors of users and items, by alternating least squares."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from multidd.recsys.models.base import Model, Scorer, backed, checked, popularity

_BLOCK = 4_000_000  # gathered numbers in memory at once


@dataclass(frozen=True)
class ALS(Model):
    r"""Matrix factorization of implicit feedback.

    $$\min_{U, V} \sum_u w_u \Big( \sum_i (1 + \alpha x_{ui}) (x_{ui} - u_u \cdot v_i)^2
    + \lambda \|u_u\|^2 \Big) + \lambda \sum_i \|v_i\|^2$$

    $w_u$ weighs rows. Factors of any history are the closed-form minimum for it, so new
    users need no training.

    Args:
        factors: length of a factor.
        ridge: $\lambda$, above 0.
        confidence: $\alpha$, 0 or more.
        sweeps: alternations.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> rows = csr_array([[1, 1, 0], [1, 1, 0], [0, 0, 1]])
        >>> scores = ALS(factors=2, ridge=0.1).fit(rows).scores(csr_array([[1, 0, 0]]))
        >>> bool(scores[0, 1] > scores[0, 2])
        True

    Reference:
        Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback
        Datasets", ICDM 2008.
    """

    factors: int = 64
    ridge: float = 50.0
    confidence: float = 10.0
    sweeps: int = 10

    def __post_init__(self) -> None:
        whole = min(self.factors, self.sweeps) >= 1
        if not (whole and self.ridge > 0 and self.confidence >= 0):
            raise ValueError(
                "factors and sweeps must be 1 or more, ridge above 0 and confidence 0 "
                f"or more; got {self}"
            )

    @property
    def grid(self) -> tuple[Self, ...]:
        """Confidence 2 to 30, and 1 to 6 times as much ridge: they balance."""
        return tuple(
            replace(self, ridge=times * confidence, confidence=confidence)
            for confidence in (2.0, 10.0, 30.0)
            for times in (1.0, 3.0, 6.0)
        )

    def train(
        self, rows: csr_array, weight: NDArray | None, rng: torch.Generator
    ) -> Scorer:
        """Alternate, from small random item factors."""
        matrix, weights = checked(rows, weight)
        # A row's weight multiplies its whole loss: the factor of a user is the same.
        columns, each = csr_array(matrix.T), torch.from_numpy(weights).to(rng.device)
        shape = (matrix.shape[1], self.factors)
        items = torch.randn(*shape, generator=rng, device=rng.device) * 0.01
        for _ in range(self.sweeps):
            users = self._solve(matrix, items)
            items = self._solve(columns, users, each)

        def score(histories: csr_array) -> Tensor:
            return self._solve(csr_array(histories), items) @ items.T

        return backed(score, popularity(matrix, weights))

    def _solve(
        self, rows: csr_array, other: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        """`[b, f]`: factors of rows `[b, n]`, given the others' `[n, f]`."""
        scaled = other if weight is None else other * weight[:, None]
        shared = other.T @ scaled
        shared.diagonal().add_(self.ridge)
        factors = other.new_zeros(rows.shape[0], self.factors)
        lengths = np.diff(rows.indptr)
        order = np.argsort(lengths, kind="stable")
        start = int(np.count_nonzero(lengths == 0))  # theirs are zero
        while start < len(order):
            # Rows of about the same length side by side, so that few places are empty.
            stop = start + max(1, _BLOCK // (self.factors * int(lengths[order[start]])))
            block = order[start:stop]
            longest = int(lengths[block[-1]])
            block = block[: max(1, _BLOCK // (self.factors * longest))]
            where, values = (part.to(other.device) for part in _padded(rows, block))
            near = other[where]
            pull = values if weight is None else values * weight[where]
            left = near.mT @ (near * (self.confidence * pull)[..., None]) + shared
            right = near.mT @ (pull * (1 + self.confidence * values))[..., None]
            solved = torch.linalg.solve_ex(left, right).result[..., 0]
            factors[torch.from_numpy(block).to(other.device)] = solved
            start += len(block)
        return factors


def _padded(rows: csr_array, block: NDArray) -> tuple[Tensor, Tensor]:
    """Columns and values `[b, longest]` of some rows; zeros behind the end of a row."""
    starts, stops = rows.indptr[block], rows.indptr[block + 1]
    place = np.arange(int((stops - starts).max()))
    inner = place < (stops - starts)[:, None]
    entry = np.where(inner, starts[:, None] + place, 0)
    where = torch.from_numpy(rows.indices[entry].astype(np.int64))
    values = np.where(inner, rows.data[entry], 0).astype(np.float32)
    return where, torch.from_numpy(values)
