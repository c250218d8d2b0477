r"""Labels in closed form: the best ones that given points can carry.

Axes: n real records; m points, each a center of the kernel; c classes.
"""

import torch
from torch import Tensor

from multidd.kernels.ridge import factored

__all__ = ["normal_system", "resolve"]

_ROWS = 4096  # of `cross` in double precision at a time

_JITTER = 1e-10
"""Times the mean of the diagonal: points that are nearly alike leave the system
without full rank, and equal ones always do."""


def resolve(
    ss: Tensor,
    cross: Tensor,
    targets: Tensor,
    ridge: float,
    *,
    weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Labels of m points with which kernel ridge regression predicts best.

    With weights W that sum to one, $\bar k$ the mean of the diagonal of $K_{SS}$:

    $$\alpha = (K_{SX} W K_{XS} + \lambda \bar k K_{SS})^{-1} K_{SX} W T, \qquad
      Y = (K_{SS} + \lambda \bar k I)\, \alpha$$

    minimizes $\operatorname{tr} (T - K_{XS} \alpha)^\top W (T - K_{XS} \alpha)
    + \lambda \bar k \operatorname{tr} \alpha^\top K_{SS} \alpha$ over all labels Y of
    the points, where $\alpha$ is what `ridge_solve(ss, Y, ridge)` gives for them.

    Args:
        ss: `[m, m]`, kernel of the points.
        cross: `[n, m]`, kernel of the records with the points.
        targets: `[n, c]`, T.
        ridge: $\lambda$, above 0, relative to the mean of the diagonal.
        weights: `[n]`, how much each record counts; equal where None.

    Returns:
        Dual coefficients `[m, c]` and labels `[m, c]`, in the type of `ss`; solved in
        double precision. No gradient flows.

    Raises:
        SolveError: the system is not positive definite even with jitter.
        ValueError: shapes that do not fit, or a ridge that is not above 0.

    Warns:
        NumericalWarning: more than the usual jitter was needed; names it.

    Example:
        >>> dual, labels = resolve(torch.eye(2), torch.eye(2), torch.eye(2), 0.5)
        >>> dual.round(decimals=3).tolist(), labels.round(decimals=3).tolist()
        ([[0.5, 0.0], [0.0, 0.5]], [[0.75, 0.0], [0.0, 0.75]])

    Reference:
        Quiñonero-Candela, Rasmussen, "A Unifying View of Sparse Approximate Gaussian
        Process Regression", JMLR 2005 (subset of regressors).
    """
    _check(ss, cross, targets, ridge, weights)
    whole = ss.detach().double()
    products = torch.zeros_like(whole)
    wanted = whole.new_zeros(len(ss), targets.shape[1])
    mass = _mass(cross, weights)
    for start in range(0, len(cross), _ROWS):
        part = slice(start, start + _ROWS)
        band = cross[part].detach().double()
        weighted = (mass[part, None] * band).mT
        products += weighted @ band
        wanted += weighted @ targets[part].detach().double()
    system = normal_system(whole, products, ridge)
    dual = torch.cholesky_solve(wanted, factored(system))
    amount = ridge * whole.diagonal().mean()
    return dual.to(ss.dtype), (whole @ dual + amount * dual).to(ss.dtype)


def normal_system(ss: Tensor, products: Tensor, ridge: float) -> Tensor:
    r"""$K_{SX} W K_{XS} + \lambda \bar k K_{SS}$, with the least of jitter.

    Args:
        ss: `[m, m]`, kernel of the points, in double precision.
        products: `[m, m]`, $K_{SX} W K_{XS}$.
        ridge: $\lambda$.

    Returns:
        `[m, m]`, positive definite but for rounding.

    Example:
        >>> eye = torch.eye(1).double()
        >>> round(normal_system(eye, eye, 0.5).item(), 6)
        1.5
    """
    system = products + ridge * ss.diagonal().mean() * ss
    system.diagonal().add_(_JITTER * system.diagonal().mean())
    return system


def _mass(cross: Tensor, weights: Tensor | None) -> Tensor:
    """Weights that sum to one."""
    if weights is None:
        weights = cross.new_ones(len(cross))
    mass = weights.detach().double()
    return mass / mass.sum()


def _check(
    ss: Tensor, cross: Tensor, targets: Tensor, ridge: float, weights: Tensor | None
) -> None:
    m, n = ss.shape[-1], len(cross)
    if ss.shape != (m, m) or cross.shape != (n, m) or n == 0 or m == 0:
        raise ValueError(
            "ss must be [m, m] and cross [n, m], both with rows, got "
            f"{list(ss.shape)} and {list(cross.shape)}"
        )
    if targets.dim() != 2 or len(targets) != n:
        raise ValueError(f"targets must be [{n}, c], got {list(targets.shape)}")
    if not 0 < ridge < float("inf"):
        raise ValueError(f"ridge must be a number above 0, got {ridge!r}")
    if weights is None:
        return
    if weights.shape != (n,) or not bool((weights >= 0).all() and weights.sum() > 0):
        raise ValueError(f"weights must be {n} numbers from 0, some above it")
