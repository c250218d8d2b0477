"""`EASE`: one linear model between items, in closed form."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import scipy.linalg as la
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from torch import Tensor

from multidd.kernels import SparseRows
from multidd.learning.memory import available_memory
from multidd.recsys.models.base import Model, Scorer, backed, checked, popularity

RIDGES = (0.1, 0.5, 2.0, 10.0, 50.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0)
"""From synthetic users (below 50) to whole logs (above)."""

WHOLE = (10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0)
MANY_ROWS = 2000
"""Of more rows, ridges of whole logs are tried."""

CPU = torch.device("cpu")

_PLACED_BLOCK = 2**26  # entries of dense rows on a device at once
_SAFE = 1e-6  # ridge / trace of the Gram matrix below which float32 loses digits
_SPARSE = 200  # a multiply-add of a sparse product takes as long as so many dense ones


@dataclass(frozen=True)
class EASE(Model):
    r"""Ridge regression of each item on all others: a shallow linear autoencoder.

    With $P = (X^T W X + \lambda I)^{-1}$, W the weights of the rows, scores are
    $C B$ with $B_{ij} = -P_{ij} / P_{jj}$ and a zero diagonal. Where rows are fewer
    than items the same numbers come from the matrix between rows, which is smaller:
    with $M = (X X^T + \lambda I)^{-1} X$ and $s_j = \sum_u X_{uj} M_{uj}$ they are
    $((C X^T) M - C \circ s) / (1 - s)$.

    Args:
        ridge: $\lambda$, above 0; hundreds for a whole log, units for distilled users.
        form: `"primal"` (items x items), `"dual"` (rows x rows), or `"auto"`: the
            smaller.

    Raises:
        ValueError: a ridge that is not above 0, or another form.

    Example:
        >>> rows = csr_array([[1, 1, 0], [1, 1, 0], [0, 0, 1]])
        >>> model = EASE(ridge=1.0).fit(rows)
        >>> model.scores(csr_array([[1, 0, 0]])).numpy().round(3)
        array([[0.   , 0.667, 0.   ]], dtype=float32)

    Reference:
        Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019.
    """

    ridge: float = 500.0
    form: str = "auto"

    def __post_init__(self) -> None:
        if not 0 < self.ridge < float("inf"):
            raise ValueError(f"ridge must be a number above 0, got {self.ridge!r}")
        if self.form not in ("auto", "primal", "dual"):
            raise ValueError(
                f"form must be 'auto', 'primal' or 'dual', got {self.form!r}"
            )

    @property
    def grid(self) -> tuple[Self, ...]:
        """Ten ridges, log-spaced."""
        return tuple(replace(self, ridge=ridge) for ridge in RIDGES)

    def train(
        self, rows: csr_array, weight: NDArray | None, rng: torch.Generator
    ) -> Scorer:
        """Solve; nothing is drawn."""
        return self._work(rows, weight, rng.device).solve(self.ridge)

    def train_grid(
        self,
        rows: csr_array,
        weight: NDArray | None,
        seed: int,
        device: str | torch.device = "cpu",
    ) -> Iterator[tuple[Self, Scorer]]:
        """Every ridge, from one Gram matrix and a factorization for each; of more than
        2,000 rows, ten ridges of whole logs instead.

        On 3,706 items a factorization takes half a second, one eigendecomposition three
        on an idle machine and over a minute on a busy one.
        """
        work, members = self._work(rows, weight, torch.device(device)), self.grid
        if rows.shape[0] > MANY_ROWS:
            members = tuple(replace(self, ridge=ridge) for ridge in WHOLE)
        for member in members:
            yield member, work.solve(member.ridge)

    def _work(
        self,
        rows: csr_array,
        weight: NDArray | None,
        device: torch.device = CPU,
    ) -> "_Work":
        matrix, weights = checked(rows, weight)
        prior = popularity(matrix, weights)
        scaled = csr_array(diags_array(np.sqrt(weights)) @ matrix)
        form = self.form
        if form == "auto":
            form = "dual" if rows.shape[0] < rows.shape[1] else "primal"
        if device.type != "cpu":
            return _Placed(scaled, prior, form, device)
        _check_memory(rows.shape[0], rows.shape[1], form)
        return (_Dual if form == "dual" else _Primal)(scaled, prior)


class _Work(ABC):
    """Weighted rows, and their Gram matrix in the types that ridges ask for."""

    def __init__(self, rows: csr_array, prior: NDArray[np.float32]) -> None:
        self.rows, self.prior = rows, prior
        self.trace = float((rows.data.astype(np.float64) ** 2).sum())

    def kind(self, ridge: float) -> type:
        """float64 where float32 would lose digits."""
        return np.float32 if ridge >= _SAFE * self.trace else np.float64

    def shifted(self, ridge: float) -> NDArray:
        """The Gram matrix with the ridge on its diagonal, a new array."""
        single = self.kind(ridge) is np.float32
        system: NDArray = (self.single if single else self.double).copy()
        system[np.diag_indices(len(system))] += ridge
        return system

    @cached_property
    def single(self) -> Any:
        return self.gram(np.float32)

    @cached_property
    def double(self) -> Any:
        return self.gram(np.float64)

    @abstractmethod
    def gram(self, kind: type) -> Any:
        """Of the items, or of the rows."""

    @abstractmethod
    def solve(self, ridge: float) -> Scorer:
        """The scorer of one ridge."""


class _Primal(_Work):
    def gram(self, kind: type) -> NDArray:
        return gram(self.rows, kind)

    def solve(self, ridge: float) -> Scorer:
        inverse = _inverse(self.shifted(ridge), ridge)
        inverse /= -inverse.diagonal()
        np.fill_diagonal(inverse, 0.0)
        weights = inverse.astype(np.float32, copy=False)  # B

        def score(histories: csr_array) -> Tensor:
            return SparseRows.of(histories).times(torch.from_numpy(weights))

        return backed(score, self.prior)


class _Dual(_Work):
    @cached_property
    def dense(self) -> NDArray:
        array: NDArray = self.rows.toarray()
        return array

    def gram(self, kind: type) -> NDArray:
        dense: NDArray = self.dense.astype(kind, copy=False)
        return np.asarray(dense @ dense.T)

    def solve(self, ridge: float) -> Scorer:
        system = self.shifted(ridge)  # in float64 for small ridges: 1 - s is small then
        right = self.dense.astype(system.dtype, copy=False)
        weights = la.solve(system, right, assume_a="pos", check_finite=False)  # M
        share = np.einsum("ui,ui->i", right, weights)
        columns = np.ascontiguousarray(right.T)
        scale = 1 / np.maximum(1 - share, np.finfo(weights.dtype).eps)

        def score(histories: csr_array) -> Tensor:
            known = histories.astype(weights.dtype)
            scores = (known @ columns) @ weights
            scores -= known.multiply(share[None, :]).toarray()
            return torch.from_numpy(scores * scale).float()

        return backed(score, self.prior)


class _Placed(_Work):
    """Both forms by torch, on a device."""

    def __init__(
        self,
        rows: csr_array,
        prior: NDArray[np.float32],
        form: str,
        device: torch.device,
    ) -> None:
        super().__init__(rows, prior)
        self.form, self.device = form, device

    def gram(self, kind: type) -> Tensor:
        users, items = self.rows.shape
        if self.form == "dual":
            dense = self._dense(slice(None), kind)
            return dense @ dense.T
        step = max(1, _PLACED_BLOCK // items)
        product = self._dense(slice(0, 0), kind).new_zeros(items, items)
        for start in range(0, users, step):
            block = self._dense(slice(start, start + step), kind)
            product += block.T @ block
        return product

    def solve(self, ridge: float) -> Scorer:
        kind = self.kind(ridge)
        system = (self.single if kind is np.float32 else self.double).clone()
        system.diagonal().add_(ridge)
        lower, failed = torch.linalg.cholesky_ex(system)
        if int(failed):
            raise ValueError(_singular(ridge))
        score = self._primal(lower) if self.form == "primal" else self._dual(lower)
        return backed(score, self.prior)

    def _primal(self, lower: Tensor) -> Scorer:
        inverse = torch.cholesky_inverse(lower)
        inverse = inverse / -inverse.diagonal()
        weights = inverse.fill_diagonal_(0.0).float()  # B
        return lambda histories: self._sparse(histories, weights).times(weights)

    def _dual(self, lower: Tensor) -> Scorer:
        rows = self._dense(slice(None)).to(lower.dtype)
        weights = torch.cholesky_solve(rows, lower)  # M
        share = (rows * weights).sum(0)
        scale = 1 / (1 - share).clamp(min=torch.finfo(rows.dtype).eps)

        def score(histories: csr_array) -> Tensor:
            known = self._sparse(histories, rows)
            scores = known.inner(rows) @ weights - known.dense() * share
            return (scores * scale).float()

        return score

    def _dense(self, part: slice, kind: type = np.float32) -> Tensor:
        block = self.rows[part].toarray().astype(kind, copy=False)
        return torch.from_numpy(block).to(self.device)

    def _sparse(self, histories: csr_array, like: Tensor) -> SparseRows:
        return SparseRows.of(histories, like.dtype).to(self.device)


def gram(rows: csr_array, kind: type = np.float32) -> NDArray:
    """`X^T X` `[I, I]`, by sparse or dense products, whichever is cheaper.

    Example:
        >>> gram(csr_array([[1, 1], [0, 2]])).tolist()
        [[1.0, 1.0], [1.0, 5.0]]
    """
    users, items = rows.shape
    lengths = np.diff(rows.indptr).astype(np.float64)
    if (lengths**2).sum() * _SPARSE < users * items**2:
        exact = rows.astype(kind)
        return np.asarray((exact.T @ exact).toarray())
    product = np.zeros((items, items), dtype=kind)
    step = max(1, 16_000_000 // items)
    for start in range(0, users, step):
        block = rows[start : start + step].toarray().astype(kind, copy=False)
        product += block.T @ block
    return product


def _inverse(system: NDArray, ridge: float) -> NDArray:
    """Inverse of the Gram matrix with the ridge, by Cholesky, in its place."""
    system = system.T  # symmetric, and the transpose is as LAPACK wants it
    factor, invert = la.get_lapack_funcs(("potrf", "potri"), (system,))
    triangle, failed = factor(system, lower=1, overwrite_a=1, clean=0)
    if not failed:
        triangle, failed = invert(triangle, lower=1, overwrite_c=1)
    if failed:
        raise ValueError(_singular(ridge))
    return _mirrored(triangle.T)


def _singular(ridge: float) -> str:
    return (
        f"ridge {ridge} is too small for these interactions: the matrix between "
        "items is singular; give a larger one"
    )


def _mirrored(upper: NDArray) -> NDArray:
    """A matrix of which only the upper half is there, its lower half filled in."""
    step = 256
    for start in range(0, len(upper), step):
        block = slice(start, start + step)
        upper[block.stop :, block] = upper[block, block.stop :].T
        corner = np.triu(upper[block, block], 1)
        upper[block, block] = np.triu(upper[block, block]) + corner.T
    return upper


def _check_memory(rows: int, items: int, form: str) -> None:
    size = items**2 if form == "primal" else rows * items + rows**2
    needed, free = 16 * size, available_memory()
    if free is not None and needed > free:
        raise MemoryError(
            f"EASE on {rows:,} rows of {items:,} items needs about "
            f"{needed / 2**30:.1f} GiB, {free / 2**30:.1f} are free; keep fewer items "
            "(min_item of read_log), or train on a summary of few users"
        )
