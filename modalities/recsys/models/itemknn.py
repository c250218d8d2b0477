"""`ItemKNN`: items that the same users have."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array, diags_array, vstack
from torch import Tensor

from multidd.kernels import SparseRows
from multidd.recsys.models.base import Model, Scorer, backed, checked, popularity

_BLOCK = 16_000_000  # similarities in memory at once


@dataclass(frozen=True)
class ItemKNN(Model):
    r"""The similarity of an item to those of a history, over its nearest neighbours.

    $$S_{ij} = \frac{\langle x_i, x_j \rangle}{\|x_i\| \|x_j\| + h}, \qquad
    \mathrm{score}(C)_j = \sum_{i \in N_k(j)} C_i S_{ij}$$

    with $x_i$ the column of item i, rows counting by their weights.

    Args:
        neighbours: k, similar items kept for each item.
        shrink: h, 0 or more: trust similarities of few users less.

    Raises:
        ValueError: fewer than one neighbour, or a negative shrink.

    Example:
        >>> rows = csr_array([[1, 1, 0], [1, 1, 0], [0, 1, 1]])
        >>> model = ItemKNN(neighbours=1, shrink=0.0).fit(rows)
        >>> model.scores(csr_array([[1, 0, 0]])).numpy().round(3)
        array([[0.   , 0.816, 0.   ]], dtype=float32)

    Reference:
        Deshpande and Karypis, "Item-Based Top-N Recommendation Algorithms", ACM TOIS
        2004.
    """

    neighbours: int = 100
    shrink: float = 10.0

    def __post_init__(self) -> None:
        if self.neighbours < 1 or not self.shrink >= 0:
            raise ValueError(
                "neighbours must be 1 or more and shrink 0 or more; got "
                f"{self.neighbours} and {self.shrink}"
            )

    @property
    def grid(self) -> tuple[Self, ...]:
        """Neighbours 20 to 500, shrink 0 to 100."""
        return tuple(
            replace(self, neighbours=neighbours, shrink=shrink)
            for neighbours in (20, 50, 100, 200, 500)
            for shrink in (0.0, 10.0, 100.0)
        )

    def train(
        self, rows: csr_array, weight: NDArray | None, rng: torch.Generator
    ) -> Scorer:
        """Count and sort; nothing is drawn."""
        matrix, weights = checked(rows, weight)
        scaled = csc_array(diags_array(np.sqrt(weights)) @ matrix)
        device = rng.device
        similar = self._similar(scaled, device)
        if device.type != "cpu":
            each = SparseRows.of(similar).to(device)

            def score_there(histories: csr_array) -> Tensor:
                known = torch.from_numpy(histories.astype(np.float32).toarray())
                return each.transposed_times(known.T.to(device)).T

            return backed(score_there, popularity(matrix, weights))

        def score(histories: csr_array) -> Tensor:
            known = histories.astype(np.float32)
            return torch.from_numpy((known @ similar).toarray())

        return backed(score, popularity(matrix, weights))

    def _similar(self, rows: csc_array, device: torch.device) -> csr_array:
        """`[I, I]`, S with the nearest neighbours of each column."""
        items = rows.shape[1]
        norms = np.sqrt(rows.multiply(rows).sum(axis=0)).astype(np.float32)
        step = max(1, _BLOCK // items)
        parts = [
            self._block(rows, norms, slice(start, start + step), device)
            for start in range(0, items, step)
        ]
        return csr_array(vstack(parts).T)

    def _block(
        self, rows: csc_array, norms: NDArray, block: slice, device: torch.device
    ) -> csr_array:
        """`[b, I]`, the nearest neighbours of some items, a row for each."""
        products = np.asarray((rows[:, block].T @ rows).toarray(), dtype=np.float32)
        count, items = products.shape
        below = norms[block, None] * norms + self.shrink
        products /= np.where(below > 0, below, 1.0)
        products[np.arange(count), np.arange(items)[block]] = 0.0
        # Products of sparse columns stay with SciPy; the sorting is most of the work.
        near = torch.from_numpy(products).to(device)
        best = near.topk(min(self.neighbours, items), dim=1)
        columns, values = (part.cpu().numpy() for part in (best.indices, best.values))
        each = np.repeat(np.arange(count), columns.shape[1])
        pairs = each, columns.ravel()
        nearest = csr_array((values.ravel(), pairs), shape=(count, items))
        nearest.eliminate_zeros()
        return nearest
