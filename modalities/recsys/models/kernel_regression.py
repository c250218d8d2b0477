"""Systems of kernel regression on users: exact, or on centers (Nyström)."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cho_solve
from scipy.sparse import csr_array
from torch import Tensor

from multidd.kernels import NumericalWarning, SolveError, SparseRows
from multidd.kernels.ridge import normal_system

__all__ = ["Factored", "factor", "nystrom"]

_DIGITS = 1e-2
"""Relative error of a solution from which on a warning is due."""


class Factored(Protocol):
    """A regression that was solved, or nearly."""

    @property
    def added(self) -> Tensor | None:
        """`[m]`, what the ridge added to the diagonal of the kernel: predictions of the
        centers are their targets minus so many times the coefficients. None of a
        regression on some of the rows."""

    def dual(self) -> Tensor:
        """`[m, I]`, coefficients of the centers, in single precision."""

    def predict(self, kernel: Tensor) -> Tensor:
        """`[b, I]`, of histories with this kernel `[b, m]` to the centers."""


@dataclass(frozen=True, eq=False)
class _Exact:
    """A Cholesky factor; targets are the rows themselves."""

    lower: Tensor
    targets: Tensor
    sparse: csr_array
    added: Tensor
    """`[m]`, what the ridge added to the diagonal."""

    def dual(self) -> Tensor:
        return self._solved(self.targets)

    def predict(self, kernel: Tensor) -> Tensor:
        """Solved for few histories instead of for all items: the smaller system."""
        if len(kernel) >= self.targets.shape[1]:
            return kernel @ self.dual()
        weights = self._solved(kernel.mT)
        if self.sparse.nnz > 0.2 * self.targets.numel():
            return weights.mT @ self.targets
        return self._sparse.transposed_times(weights).mT.contiguous()

    @cached_property
    def _sparse(self) -> SparseRows:
        sparse = SparseRows.of(self.sparse, self.targets.dtype)
        return sparse.to(self.targets.device)

    def _solved(self, targets: Tensor) -> Tensor:
        """By SciPy, whose solves are a third faster than torch's where processors are
        not Intel's, and no slower where they are; on another device by torch."""
        if self.lower.device.type != "cpu":
            aims = targets.to(self.lower.dtype)
            return torch.cholesky_solve(aims, self.lower).to(targets.dtype)
        upper = self.lower.numpy().T  # column-major, as LAPACK has it: no copy
        right = targets.to(self.lower.dtype).numpy()
        solution = cho_solve((upper, False), right, check_finite=False)
        return torch.from_numpy(np.ascontiguousarray(solution)).to(targets.dtype)


@dataclass(frozen=True, eq=False)
class _Solved:
    coefficients: Tensor
    added: None = None

    def dual(self) -> Tensor:
        return self.coefficients

    def predict(self, kernel: Tensor) -> Tensor:
        return kernel @ self.coefficients


def factor(
    gram: Tensor,
    mass: NDArray[np.float64],
    targets: Tensor,
    ridge: float,
    sparse: csr_array,
) -> Factored:
    r"""Factor $K + \lambda \bar k\, W^{-1}$ once.

    Args:
        gram: `[m, m]`, K; its precision is that of the solve.
        mass: `[m]`, the diagonal of W, above 0.
        targets: `[m, I]`.
        ridge: $\lambda$.
        sparse: the targets, sparse.

    Returns:
        The regression.

    Raises:
        SolveError: the system is not positive definite in this precision.

    Warns:
        NumericalWarning: rounding may reach the second digit; names the condition.

    Example:
        >>> eye = torch.eye(2)
        >>> factors = factor(eye, np.ones(2), eye, 1.0, csr_array(np.eye(2)))
        >>> factors.dual().round(decimals=3).tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """
    weight = torch.from_numpy(mass).to(gram)
    mean = (gram.diagonal() * weight).sum() / weight.sum()
    system = gram.clone()
    added = ridge * mean / weight
    system.diagonal().add_(added)
    lower, failed = torch.linalg.cholesky_ex(system)
    _judge(system, lower, bool(failed), ridge)
    return _Exact(lower, targets, sparse, added.to(targets.dtype))


def nystrom(
    gram: Tensor,
    blocks: Iterable[tuple[Tensor, csr_array, Tensor]],
    ridge: float,
    items: int,
) -> Factored:
    r"""Kernel regression of all rows on centers (Nyström), summed block by block.

    $(K_{mX} W K_{Xm} + \lambda \bar k K_{mm})^{-1} K_{mX} W X$.

    Args:
        gram: `[m, m]`, of the centers.
        blocks: kernel `[b, m]` to the centers, targets `[b, I]`, weights `[b]`.
        ridge: $\lambda$.
        items: I.

    Returns:
        The regression.

    Raises:
        SolveError: the system is not positive definite.

    Example:
        >>> eye = torch.eye(2)
        >>> block = (eye, csr_array(np.eye(2, dtype=np.float32)), torch.ones(2))
        >>> nystrom(eye, [block], 1.0, 2).dual().round(decimals=3).tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """
    system = torch.zeros_like(gram, dtype=torch.float64)
    sums = system.new_zeros(len(gram), items)
    for kernel, targets, mass in blocks:
        weighted = mass[:, None] * kernel
        system += kernel.double().mT @ weighted.double()
        sparse = SparseRows.of(targets).to(gram.device)
        sums += sparse.transposed_times(weighted).mT
    system = normal_system(gram.double(), system, ridge)
    lower, failed = torch.linalg.cholesky_ex(system)
    _judge(system, lower, bool(failed), ridge)
    return _Solved(torch.cholesky_solve(sums, lower).float())


def _judge(system: Tensor, lower: Tensor, failed: bool, ridge: float) -> None:
    if failed:
        raise SolveError(
            f"the kernel of {len(system)} users with ridge {ridge:g} is not positive "
            f"definite in {system.dtype}; give a larger ridge, or double=True"
        )
    # The largest eigenvalue of a kernel is about its largest row sum; the smallest one
    # of the system is not below the smallest squared pivot by much.
    pivots = lower.diagonal().square()
    condition = float(system.sum(1).max() / pivots.min())
    lost = condition * torch.finfo(system.dtype).eps
    if lost > _DIGITS:
        warnings.warn(
            f"the system of {len(system)} users has a condition of about "
            f"{condition:.1e} in {system.dtype} with ridge {ridge:g}: solutions may be "
            f"wrong by {100 * min(lost, 1):.0f} %; give a larger ridge, or double=True",
            NumericalWarning,
            stacklevel=5,
        )
