"""Users at a step: real ones as sparse rows, synthetic ones as a dense matrix."""

from dataclasses import dataclass

import torch
from torch import Tensor

from multidd.kernels import SparseRows
from multidd.kernels.multinomial import SparseTargets

__all__ = ["Histories", "held_out", "taken"]


@dataclass(frozen=True, eq=False)
class Histories:
    """Histories that models see, and what they should predict from them.

    Attributes:
        seen: `[b, I]`: sparse of real users, dense of synthetic ones.
        targets: sparse of real users; None: the histories themselves.
    """

    seen: SparseRows | Tensor
    targets: SparseTargets | None = None

    def __len__(self) -> int:
        return len(self.seen)

    def to(self, device: str) -> "Histories":
        """The same on another device."""
        seen, aims = self.seen.to(device), self.targets
        if aims is None:
            return Histories(seen)
        hidden = aims.hidden
        if hidden is not None and hidden is self.seen:
            assert isinstance(seen, SparseRows)
            hidden = seen  # copied once
        elif hidden is not None:
            hidden = hidden.to(device)
        same = aims.rows is self.seen and isinstance(seen, SparseRows)
        rows = seen if same and isinstance(seen, SparseRows) else aims.rows.to(device)
        return Histories(seen, SparseTargets(rows, aims.weights.to(device), hidden))


def held_out(
    rows: SparseRows, share: float, balance: float, rng: torch.Generator
) -> Histories:
    r"""Real users who see part of their history and should predict the rest.

    Args:
        rows: `[b, I]`, whole histories.
        share: of the interactions that are taken out, each by chance; with 0 users see
            all and should predict all, as in the paper.
        balance: how much users of long histories are held back: a user of n targets
            counts $n^{-balance}$ for each.
        rng: draws what is taken out.

    Returns:
        The batch; what users see takes no part in their predictions.
    """
    if share == 0:
        return Histories(rows, SparseTargets(rows, _weights(rows, balance)))
    size = len(rows.indices)
    drawn = torch.rand(size, generator=rng, device=rng.device).to(rows.values.device)
    seen, hidden = (_masked(rows, drawn >= share), _masked(rows, drawn < share))
    return Histories(seen, SparseTargets(hidden, _weights(hidden, balance), seen))


def taken(rows: SparseRows, places: Tensor) -> SparseRows:
    """Some rows, in any order.

    Example:
        >>> import scipy.sparse as sp
        >>> rows = SparseRows.of(sp.csr_array([[0.0, 2.0], [1.0, 0.0]]))
        >>> taken(rows, torch.tensor([1, 0])).dense().tolist()
        [[1.0, 0.0], [0.0, 2.0]]
    """
    first = rows.indptr[places]
    counts = rows.indptr[places + 1] - first
    indptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    shift = (first - indptr[:-1]).repeat_interleave(counts)
    inside = shift + torch.arange(int(indptr[-1]), device=shift.device)
    return SparseRows(indptr, rows.indices[inside], rows.values[inside], rows.width)


def _masked(rows: SparseRows, mask: Tensor) -> SparseRows:
    before = torch.cat([mask.new_zeros(1, dtype=torch.int64), mask.cumsum(0)])
    return SparseRows(
        before[rows.indptr], rows.indices[mask], rows.values[mask], rows.width
    )


def _weights(targets: SparseRows, balance: float) -> Tensor:
    counts = targets.counts.clamp(min=1).to(targets.values.dtype)
    return counts.pow(-balance)
