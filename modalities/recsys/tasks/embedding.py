"""Users as short vectors, in which selections compare them."""

import torch
from torch import Tensor

from multidd import seeds
from multidd.kernels import SparseRows

__all__ = ["embed"]


def embed(rows: SparseRows, width: int, *, rounds: int = 4) -> Tensor:
    """Truncated singular vectors of histories of length one, times singular values.

    Randomized, with a fixed seed: the same log gives the same vectors.

    Args:
        rows: `[n, I]`.
        width: numbers of a user.
        rounds: of subspace iteration.

    Returns:
        `[n, min(width, n, I)]`; inner products are about those of the histories scaled
        to length one.

    Reference:
        Halko, Martinsson, Tropp, "Finding Structure with Randomness", SIAM Review,
        2011.

    Example:
        >>> import scipy.sparse as sp
        >>> rows = SparseRows.of(sp.csr_array([[1.0, 0.0], [0.0, 2.0]]))
        >>> embed(rows, 2).square().sum(1).round().tolist()
        [1.0, 1.0]
    """
    n, items = rows.shape
    lengths = rows.squares.sqrt().clamp(min=1e-12)
    values = rows.values / lengths[rows.rows]
    unit = SparseRows(rows.indptr, rows.indices, values, items)
    size = min(width + 8, n, items)
    rng = seeds.at(0, "embedding")
    basis = torch.randn(items, size, generator=rng).to(values.device)
    for _ in range(rounds):
        basis = torch.linalg.qr(unit.transposed_times(unit.times(basis)))[0]
    found = unit.times(basis)
    left, scale, _ = torch.linalg.svd(found, full_matrices=False)
    return (left * scale)[:, : min(width, size)]
