"""Squared distances by one product of a matrix and a vector, with their error.

A greedy selection looks at all records for each pick, and nearly all of them are far
from being picked. A cheap distance with a bound of its error says which; only the few
others are compared by the exact formula, so that picks, ties among them, are those of a
search through all.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["Screen"]

CHUNK_NUMBERS = 2**22
"""Numbers that are squared at once."""


@dataclass(frozen=True, eq=False)
class Screen:
    """Records whose squared distances to one point after another are asked for.

    Attributes:
        x: `[n, d]`, the records.

    Example:
        >>> screen = Screen(torch.tensor([[0.0, 1.0], [3.0, 4.0]]))
        >>> squared, error = screen.distances(torch.zeros(2))
        >>> squared.tolist(), error < 1e-3
        ([1.0, 25.0], True)
    """

    x: Tensor

    @cached_property
    def squares(self) -> Tensor:
        """`[n]`, the squared length of each record."""
        rows = max(CHUNK_NUMBERS // max(self.x.shape[1], 1), 1)
        parts = [part.square().sum(1) for part in self.x.split(rows)]
        return torch.cat(parts)

    @cached_property
    def radius(self) -> float:
        """The length of the longest record."""
        return float(self.squares.max()) ** 0.5

    def distances(self, point: Tensor, offset: float = 0.0) -> tuple[Tensor, float]:
        r"""Squared distances to a point, and how far these may be from the exact ones.

        $$\lVert x \rVert^2 - 2 x \cdot p + \lVert p \rVert^2$$

        The error is a bound for any order of the sums, in the rounding of the records'
        type, and covers that of the exact formula too.

        Args:
            point: `[d]`.
            offset: length of what the exact formula adds to and takes from a record
                beside the point.

        Returns:
            `[n]`, and the bound; infinite where squares are too large to be trusted.
        """
        length = float(point.norm())
        reach = self.radius + length
        rounding = torch.finfo(self.x.dtype)
        terms = 2 * self.x.shape[1] + 16
        error = rounding.eps * reach * (terms * reach + 8 * offset)
        error += terms * rounding.tiny  # squares that round to zero
        squared = self.squares - 2 * (self.x @ point) + length**2
        # Sums that overflow bound nothing; NaN compares as false.
        safe = reach**2 < rounding.max / 16
        return squared, error if safe else float("inf")
