r"""Kernel ridge regression in closed form."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from multidd.errors import MultiddError, NumericalWarning

__all__ = [
    "NumericalWarning",
    "SolveError",
    "normal_system",
    "predict",
    "resolve",
    "ridge_path",
    "ridge_solve",
]


_LARGEST_JITTER = 0.02  # times the mean of the diagonal; more would be another ridge


class SolveError(MultiddError, ArithmeticError):
    """A kernel matrix is so far from positive definite that jitter does not help."""


def ridge_solve(
    kernel_ss: Tensor,
    targets: Tensor,
    ridge: float | Tensor,
    *,
    double: bool = True,
    relative: bool = True,
) -> Tensor:
    r"""Dual coefficients of kernel ridge regression.

    $$\alpha = \Big(K + \lambda \frac{\operatorname{tr} K}{m} I\Big)^{-1} Y$$

    Args:
        kernel_ss: symmetric, `[..., m, m]`.
        targets: `[..., m, c]`.
        ridge: $\lambda$, 0 or more.
        double: solve in double precision; the result has the type of the kernel.
        relative: times the mean of the diagonal; otherwise $\lambda$ as it is.

    Returns:
        `[..., m, c]`, differentiable in kernel, targets and ridge. A kernel that holds
        NaN or infinity gives NaN: the loop that asked knows its step and stops.

    Raises:
        SolveError: not positive definite even with jitter.
        ValueError: shapes that do not fit, or a negative ridge.

    Warns:
        NumericalWarning: Cholesky failed; jitter on the diagonal, whose amount the
            warning names, made it work.

    Example:
        >>> ridge_solve(torch.eye(2), torch.tensor([[1.0], [2.0]]), 1.0).tolist()
        [[0.5], [1.0]]
    """
    _check(kernel_ss, targets, ridge)
    kind = torch.promote_types(kernel_ss.dtype, targets.dtype)
    inner = torch.float64 if double else kind
    kernel, right = kernel_ss.to(inner), targets.to(inner)
    scale = _mean_diagonal(kernel)
    scale = torch.where(scale == 0, 1.0, scale)  # all features zero: predict zero
    amount = ridge * scale if relative else ridge + torch.zeros_like(scale)
    system = _shifted(kernel, amount)
    factor, failed = torch.linalg.cholesky_ex(system.detach())
    finite = torch.isfinite(system.detach()).all()
    # Both are read at once, as each read waits for the device.
    is_finite, has_failed = torch.stack([finite, (failed > 0).any()]).tolist()
    if not is_finite:
        return (system.sum((-2, -1))[..., None, None] * right * torch.nan).to(kind)
    if has_failed:
        # Rounding in the type the kernel came in sets the size of what can go wrong.
        first = 10 * torch.finfo(kernel_ss.dtype).eps
        factor = _jittered(system.detach(), failed, scale.detach(), first)
    right = right.expand(*system.shape[:-2], *right.shape[-2:])
    dual = _Solve.apply(system, right, factor, kind)
    assert isinstance(dual, Tensor)
    return dual


def predict(k_ts: Tensor, dual: Tensor) -> Tensor:
    """Predictions of kernel ridge regression.

    Args:
        k_ts: kernel between t inputs and the m of the solve, `[..., t, m]`.
        dual: coefficients `[..., m, c]`, with any further leading axes.

    Returns:
        `[..., t, c]`, in the type of the kernel.

    Example:
        >>> predict(torch.ones(1, 2), torch.tensor([[0.5], [1.0]])).item()
        1.5
    """
    return k_ts @ dual.to(k_ts.dtype)


def ridge_path(
    kernel_ss: Tensor,
    targets: Tensor,
    ridges: Sequence[float] | Tensor,
    *,
    relative: bool = True,
) -> Tensor:
    """Dual coefficients for a whole grid of ridges, from one eigendecomposition.

    Args:
        kernel_ss: symmetric, `[m, m]`; no gradient flows into it.
        targets: `[m, c]`.
        ridges: the r values, each above 0.
        relative: times the mean of the diagonal.

    Returns:
        `[r, m, c]`, in the order of the ridges, each what `ridge_solve` gives.

    Raises:
        ValueError: shapes that do not fit, or a ridge that is not above 0.

    Example:
        >>> ridge_path(torch.eye(2), torch.ones(2, 1), [1.0, 3.0])[:, 0, 0].tolist()
        [0.5, 0.25]
    """
    grid = torch.as_tensor(ridges, dtype=torch.float64, device=kernel_ss.device)
    if grid.dim() != 1 or not bool((grid > 0).all()):
        raise ValueError(f"ridges must be a list of numbers above 0, got {ridges!r}")
    _check(kernel_ss, targets, 0.0)
    kernel = kernel_ss.detach().double()
    values, vectors = torch.linalg.eigh(kernel)
    amount = grid * _mean_diagonal(kernel) if relative else grid
    shrunk = vectors.mT @ targets.double()
    below = values.clamp(min=0) + amount[:, None]  # rounding leaves some below zero
    dual = vectors @ (shrunk / below[..., None])
    return dual.to(torch.promote_types(kernel_ss.dtype, targets.dtype))


class _Solve(torch.autograd.Function):
    """`M a = y` by a factor of M; its adjoint solves with the same factor."""

    @staticmethod
    def forward(
        ctx: Any, system: Tensor, right: Tensor, factor: Tensor, kind: torch.dtype
    ) -> Tensor:
        ctx.wide = right.shape[-1] > system.shape[-1]
        inverse = torch.cholesky_inverse(factor) if ctx.wide else factor
        dual = _solved(inverse, right, ctx.wide).to(kind)
        ctx.save_for_backward(inverse, dual)
        return dual

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inverse, dual = ctx.saved_tensors
        by_right = _solved(inverse, gradient.to(inverse.dtype), ctx.wide)
        by_system = None
        if ctx.needs_input_grad[0]:
            by_system = -(by_right.to(dual.dtype) @ dual.mT).to(inverse.dtype)
        return by_system, by_right, None, None


def _solved(factor: Tensor, right: Tensor, wide: bool) -> Tensor:
    """By the inverse where there are more right-hand sides than rows: one product of
    matrices is several times faster than two triangular solves of the same size."""
    return factor @ right if wide else torch.cholesky_solve(right, factor)


def _check(kernel: Tensor, targets: Tensor, ridge: float | Tensor) -> None:
    if kernel.dim() < 2 or kernel.shape[-1] != kernel.shape[-2]:
        raise ValueError(f"the kernel must be square, got {list(kernel.shape)}")
    if targets.dim() < 2 or targets.shape[-2] != kernel.shape[-1]:
        raise ValueError(
            f"targets must be [{kernel.shape[-1]}, c] for a kernel "
            f"{list(kernel.shape)}, got {list(targets.shape)}"
        )
    if isinstance(ridge, (int, float)) and not ridge >= 0:
        raise ValueError(f"ridge must be 0 or more, got {ridge!r}")


def _mean_diagonal(kernel: Tensor) -> Tensor:
    return kernel.diagonal(dim1=-2, dim2=-1).mean(-1)


def _shifted(kernel: Tensor, amount: Tensor) -> Tensor:
    """The kernel with `amount`, one for each matrix, added on the diagonal."""
    eye = torch.eye(kernel.shape[-1], dtype=kernel.dtype, device=kernel.device)
    return kernel + amount[..., None, None] * eye


def _cholesky(system: Tensor, scale: Tensor, relative: float) -> Tensor:
    """Cholesky factor; where it fails, with jitter that grows from `relative`."""
    factor, failed = torch.linalg.cholesky_ex(system)
    if not bool(failed.any()):
        return factor
    return _jittered(system, failed, scale, relative)


def _jittered(system: Tensor, failed: Tensor, scale: Tensor, relative: float) -> Tensor:
    """Cholesky factor with jitter on the matrices that failed without it."""
    while relative < _LARGEST_JITTER:
        amount = relative * scale.abs() * (failed > 0)
        factor, still = torch.linalg.cholesky_ex(_shifted(system, amount))
        if not bool(still.any()):
            _warn(float(amount.max()), relative)
            return factor
        failed, relative = failed | still, 10 * relative
    raise SolveError(
        "the kernel matrix is not positive definite, not even with "
        f"{relative / 10:.1e} times the mean of its diagonal added; give a larger ridge"
    )


def cholesky_factor(system: Tensor) -> Tensor:
    """Cholesky factor of a symmetric system, with jitter where it needs some.

    Args:
        system: `[m, m]`.

    Returns:
        `[m, m]`, lower triangular.

    Raises:
        SolveError: not positive definite even with jitter.

    Warns:
        NumericalWarning: jitter on the diagonal, whose amount the warning names.

    Example:
        >>> cholesky_factor(4 * torch.eye(1)).item()
        2.0
    """
    return _cholesky(system, _mean_diagonal(system), 10 * torch.finfo(system.dtype).eps)


def _warn(amount: float, relative: float) -> None:
    warnings.warn(
        f"the kernel matrix is not positive definite in this precision: jitter "
        f"{amount:.3e} ({relative:.1e} times the mean of its diagonal) was added to "
        "the diagonal; a larger ridge avoids it",
        NumericalWarning,
        stacklevel=4,
    )


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
    _check_system(ss, cross, targets, ridge, weights)
    whole = ss.detach().double()
    products = torch.zeros_like(whole)
    right_side = whole.new_zeros(len(ss), targets.shape[1])
    mass = _mass(cross, weights)
    for start in range(0, len(cross), _ROWS):
        part = slice(start, start + _ROWS)
        band = cross[part].detach().double()
        weighted = (mass[part, None] * band).mT
        products += weighted @ band
        right_side += weighted @ targets[part].detach().double()
    system = normal_system(whole, products, ridge)
    dual = torch.cholesky_solve(right_side, cholesky_factor(system))
    amount = ridge * whole.diagonal().mean()
    return dual.to(ss.dtype), (whole @ dual + amount * dual).to(ss.dtype)


def normal_system(ss: Tensor, products: Tensor, ridge: float) -> Tensor:
    r"""The normal equations' matrix, with as little jitter as it needs.

    $K_{SX} W K_{XS} + \lambda \bar k K_{SS}$

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


def _check_system(
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
