"""The greedy search and the swaps of matching pursuit, under a sum of losses."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from multidd.selection.pursuit_losses import CandidateColumn, PursuitLoss

__all__ = ["FALL", "Search"]

Gram: TypeAlias = Callable[[Tensor, Tensor], Tensor]

FALL = 1e-9
"""Of the loss, relative: a swap that lowers it by less is rounding."""


class Search:
    """Greedy picks and swaps under a sum of losses.

    Args:
        reach: `[N, n]`, kernel of candidates with records, each column times the root
            of the weight of its record.
        losses: the losses with their weights.
        features: `[N, d]`, of the candidates.
        kernel: of two sets of rows.
    """

    def __init__(
        self,
        reach: Tensor,
        losses: list[tuple[float, PursuitLoss]],
        features: Tensor,
        kernel: Gram,
    ) -> None:
        self.reach, self.losses = reach, losses
        self.features, self.kernel = features, kernel
        self.picks: list[int] = []

    @property
    def cost(self) -> float:
        """The loss of the picks."""
        return sum(weight * loss.cost for weight, loss in self.losses)

    def run(
        self,
        group: Tensor,
        room: Sequence[int],
        swaps: int,
        stopped: Callable[[], bool] | None = None,
    ) -> list[int]:
        """Pick one record after another, then swap.

        Args:
            group: `[N]` of each candidate, -1 for one that is never picked.
            room: picks of each group.
            swaps: rounds at most.
            stopped: asked before each swap; no more are tried once it says True.

        Returns:
            The picks, in the order in which they came in.
        """
        left, free = torch.tensor(room, device=group.device), group >= 0
        for _ in range(sum(room)):
            gains = torch.stack([w * loss.gains() for w, loss in self.losses]).sum(0)
            open_ = free & (left[group.clamp(min=0)] > 0)
            best = int(gains.masked_fill(~open_, -torch.inf).argmax())
            free[best] = False
            left[group[best]] -= 1
            self.add(best)
        for _ in range(swaps):
            changed = False
            for pick in list(self.picks):
                if stopped is not None and stopped():
                    return self.picks
                changed |= self._swap(pick, group, free)
            if not changed:
                break
        return self.picks

    def _swap(self, pick: int, group: Tensor, free: Tensor) -> bool:
        """Put the best candidate of its group in the place of a pick, if it is better.

        The new pick goes last: places are those of the losses.
        """
        rows = (free & (group == group[pick])).nonzero().flatten()
        if not len(rows):
            return False
        place, before = self.picks.index(pick), self.cost
        costs = torch.stack([w * loss.swapped(place, rows) for w, loss in self.losses])
        cost, best = costs.sum(0).min(0)
        if not float(cost) < before - FALL * abs(before):
            return False
        free[pick], free[rows[best]] = True, False
        for _, loss in self.losses:
            loss.drop(place)
        del self.picks[place]
        self.add(int(rows[best]))
        return True

    def add(self, row: int) -> None:
        """Pick a candidate, whatever it gains."""
        kernel = self.kernel(self.features, self.features[row : row + 1])[:, 0]
        product = self.reach @ self.reach[row]
        column = CandidateColumn(row, kernel.double(), product.double())
        for _, loss in self.losses:
            loss.add(column)
        self.picks.append(row)
