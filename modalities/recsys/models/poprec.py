"""`PopRec`: the same items for everyone."""

from dataclasses import dataclass

import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from multidd.recsys.models.base import Model, Scorer, checked, popularity


@dataclass(frozen=True)
class PopRec(Model):
    """Popularity: the same most frequent items for every history.

    Example:
        >>> PopRec().fit(csr_array([[1, 0], [1, 1]])).scores(csr_array((1, 2))).tolist()
        [[1.0, 0.5]]
    """

    def train(
        self, rows: csr_array, weight: NDArray | None, rng: torch.Generator
    ) -> Scorer:
        """Count; nothing is drawn."""
        shown = torch.from_numpy(popularity(*checked(rows, weight))).to(rng.device)

        def score(histories: csr_array) -> Tensor:
            return shown.expand(histories.shape[0], -1)

        return score
