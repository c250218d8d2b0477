"""`InfiniteAE`: the infinitely wide autoencoder, in closed form."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, Self

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from multidd import seeds
from multidd.kernels import InfiniteKernel, SparseRows
from multidd.recsys.models.base import (
    Model,
    Recommender,
    Scorer,
    backed,
    checked,
    fit,
    popularity,
)
from multidd.recsys.models.kernel_regression import Factored, factor, nystrom

RIDGES = (1e-5, 1e-3, 0.1, 1.0, 5.0, 20.0, 50.0, 100.0)
"""From synthetic users (below 1) to whole logs (1 and up)."""

WHOLE = 5.0
"""Ridge of a whole log: the one chosen on every log that was tried."""

FLOOR = 1e-6
"""Smallest ridge in double precision: without any, equal users are no system."""

DOUBLE_ROWS = 2000
"""Up to so many rows a system is solved in double precision: it costs nothing."""

BLOCK = 2**24
"""Entries of the kernel computed at a time."""

GRAM_BLOCKS = 8
"""Blocks of rows of a symmetric kernel."""


@dataclass(frozen=True)
class InfiniteAE(Model):
    r"""An autoencoder of infinite width (∞-AE): kernel regression of users on users.

    $$\hat Y = K_{CX} \Big(K_{XX} + \lambda \bar k\, W^{-1}\Big)^{-1} X$$

    with K the neural tangent kernel of a fully connected ReLU network between
    histories, in closed form, $\bar k$ the mean of its diagonal and W the weights of
    the rows. Equal rows are merged and count as often as they occur, which changes no
    prediction. Histories C of any users are scored: new ones need no training, and one
    without a known item gets what is popular.

    Args:
        depth: hidden layers.
        ridge: $\lambda$; raised to a floor of 1e-6, since a log has equal users. Unless
            given: of a summary that chose one that one, else 5.
        centers: m, to regress on so many random rows with the targets of all of them
            (Nyström); None takes all rows where memory allows, else as many as fit.
        double: solve in double precision; unless given, up to 2,000 rows.

    Raises:
        ValueError: a negative ridge, or depth or centers below 1.

    Example:
        >>> rows = csr_array([[1, 1, 0, 0], [1, 1, 0, 1], [0, 0, 1, 1]])
        >>> InfiniteAE(ridge=0.1).fit(rows).recommend_history([0], k=1)
        [1]

    Reference:
        Sachdeva, Dhaliwal, Wu, McAuley, "Infinite Recommendation Networks: A
        Data-Centric Approach", NeurIPS 2022; Rudi, Carratino, Rosasco, "FALKON: An
        Optimal Large Scale Kernel Method", NeurIPS 2017 (Nyström).
    """

    depth: int = 1
    ridge: float | None = None
    centers: int | None = None
    double: bool | None = None

    def __post_init__(self) -> None:
        if self.ridge is not None and not 0 <= self.ridge < float("inf"):
            raise ValueError(f"ridge must be a number of 0 or more, got {self.ridge!r}")
        if self.depth < 1 or (self.centers is not None and self.centers < 1):
            raise ValueError(
                f"depth and centers must be 1 or more, got {self.depth} and "
                f"{self.centers}"
            )

    @property
    def grid(self) -> tuple[Self, ...]:
        """Eight ridges; the papers' grids of whole logs and of synthetic users."""
        return tuple(replace(self, ridge=ridge) for ridge in RIDGES)

    def train(
        self, rows: csr_array, weight: NDArray | None, rng: torch.Generator
    ) -> Scorer:
        """Solve; only the choice of centers is drawn."""
        work = self._work(rows, weight, rng)
        regression = work.solve(_floored(self.ridge))
        return backed(work.scorer(regression), work.prior)

    def train_grid(
        self,
        rows: csr_array,
        weight: NDArray | None,
        seed: int,
        device: str | torch.device = "cpu",
    ) -> Iterator[tuple[Self, Scorer]]:
        """Every ridge, from one Gram matrix and a factorization for each; of more than
        2,000 rows, those of whole logs alone."""
        work = self._work(rows, weight, seeds.at(seed, "train", device=device))
        work = replace(work, cache={})
        large = work.rows.shape[0] > DOUBLE_ROWS
        members = [one for one in self.grid if not large or _floored(one.ridge) >= 1]
        for member in members or self.grid:
            regression = work.solve(_floored(member.ridge))
            yield member, backed(partial(work.predict, regression), work.prior)

    def fit(self, data: Any, seed: int = 0, device: str = "cpu") -> Recommender:
        """Train on a log's training part, a summary or a matrix; a summary's own ridge
        is taken where it has one and none is given."""
        model = self
        if self.ridge is None and hasattr(data, "card"):
            model = replace(self, ridge=data.card.settings.get("ridge"))
        return fit(model, data, seed=seed, device=device)

    def _work(
        self, rows: csr_array, weight: NDArray | None, rng: torch.Generator
    ) -> "_Work":
        matrix, weights = checked(rows, weight)
        merged, mass = merge(matrix, weights)
        m, items = merged.shape
        fits = rows_that_fit(items)
        count = min(m, fits if self.centers is None else self.centers)
        double = m <= DOUBLE_ROWS if self.double is None else self.double
        chosen = None
        if count < m:
            order = torch.randperm(m, generator=rng, device=rng.device)[:count]
            chosen = np.sort(order.cpu().numpy())
        kernel, device = InfiniteKernel(self.depth), rng.device
        return _Work(kernel, merged, mass, chosen, double, device=device)


def _floored(ridge: float | None) -> float:
    return max(WHOLE if ridge is None else ridge, FLOOR)


def merge(
    rows: csr_array, weight: NDArray[np.float32]
) -> tuple[csr_array, NDArray[np.float64]]:
    """Equal rows as one row of their summed weight; the order of first occurrence.

    Rows of weight zero are left out.

    Example:
        >>> merged, mass = merge(csr_array([[1.0, 0], [0, 1], [1, 0]]), np.ones(3))
        >>> merged.toarray().tolist(), mass.tolist()
        ([[1.0, 0.0], [0.0, 1.0]], [2.0, 1.0])
    """
    names: dict[bytes, int] = {}
    first: list[int] = []
    place = np.full(rows.shape[0], -1)
    contents = list(row_names(rows))
    for row in np.flatnonzero(weight > 0):
        name = contents[row]
        if name not in names:
            names[name] = len(first)
            first.append(int(row))
        place[row] = names[name]
    inside = place >= 0
    mass = np.zeros(len(first))
    np.add.at(mass, place[inside], weight[inside])
    return (rows if len(first) == rows.shape[0] else rows[first]), mass


def row_names(rows: csr_array) -> Iterator[bytes]:
    """The content of each row: equal rows have equal names.

    Example:
        >>> one, other = row_names(csr_array([[0, 1.0], [0, 1.0]]))
        >>> one == other
        True
    """
    for start, stop in pairwise(rows.indptr):
        indices = rows.indices[start:stop].tobytes()
        yield indices + b"|" + rows.data[start:stop].tobytes()


def rows_that_fit(items: int) -> int:
    """How many rows a kernel system may have in half of the free memory.

    Example:
        >>> rows_that_fit(1000) > 100
        True
    """
    free = psutil.virtual_memory().available / 2
    # Two square matrices, the rows and their coefficients, all in single precision.
    return max(1, int((-2 * items + ((2 * items) ** 2 + 2 * free / 4) ** 0.5) / 2))


@dataclass(frozen=True, eq=False)
class _Work:
    """What all ridges share.

    Attributes:
        kernel: between histories.
        rows: `[n, I]`, different ones.
        mass: `[n]`, how much each counts.
        chosen: `[m]`, the centers; None: all rows.
        double: precision of the solve.
        cache: kernels of histories, for those that are asked for again.
        device: where kernels are made and systems are solved.
    """

    kernel: InfiniteKernel
    rows: csr_array
    mass: NDArray[np.float64]
    chosen: NDArray | None
    double: bool
    cache: dict[str, Tensor] | None = field(default=None)
    device: torch.device = field(default=torch.device("cpu"))

    @cached_property
    def prior(self) -> NDArray[np.float32]:
        """`[I]`, popularity."""
        return popularity(self.rows, self.mass)

    @cached_property
    def centers(self) -> Tensor:
        """`[m, I]`, dense."""
        some = self.rows if self.chosen is None else self.rows[self.chosen]
        return torch.from_numpy(some.toarray()).to(self.device)

    @cached_property
    def gram(self) -> Tensor:
        """`[m, m]`, of the centers; in single precision where it is large."""
        dense = self.rows.nnz > 0.2 * np.prod(self.rows.shape)
        if dense or self.double:
            exact = self.centers.double() if self.double else self.centers
            return self.kernel(exact)
        if self.chosen is not None:
            return self._kernel_to(self.rows[self.chosen])
        return self._symmetric()

    def solve(self, ridge: float) -> Factored:
        """The regression with this ridge."""
        if self.chosen is not None:
            blocks = (
                (self._kernel_to(part), part, mass) for part, mass in self._blocks()
            )
            return nystrom(self.gram, blocks, ridge, self.rows.shape[1])
        return factor(self.gram, self.mass, self.centers, ridge, self.rows)

    def predict(self, regression: Factored, histories: csr_array) -> Tensor:
        """`[b, I]`, by a regression."""
        return regression.predict(self.kernel_to(histories))

    def scorer(self, regression: Factored) -> Scorer:
        r"""Scores of histories; of trained ones without their kernel.

        $K \alpha = X - R \alpha$ where $(K + R) \alpha = X$, with R what the ridge
        added.
        """
        dual, added = regression.dual(), regression.added
        if added is None:
            return lambda histories: self.kernel_to(histories) @ dual

        def score(histories: csr_array) -> Tensor:
            places = np.array([self._places.get(n, -1) for n in row_names(histories)])
            new = np.flatnonzero(places < 0)
            if len(new) == len(places):
                return self.kernel_to(histories) @ dual
            at = torch.from_numpy(places).to(self.device)
            scores = self.centers[at] - added[at, None] * dual[at]
            if len(new):
                rows = torch.from_numpy(new).to(self.device)
                scores[rows] = self.kernel_to(histories[new]) @ dual
            return scores

        return score

    @cached_property
    def _places(self) -> dict[bytes, int]:
        """Of each row by its content."""
        return {name: place for place, name in enumerate(row_names(self.rows))}

    def kernel_to(self, histories: csr_array) -> Tensor:
        """`[b, m]`, of histories with the centers."""
        if self.cache is None:
            return self._kernel_to(histories)
        name = hashlib.sha256(histories.indices.tobytes())
        name.update(histories.indptr.tobytes() + histories.data.tobytes())
        key = name.hexdigest()
        if key not in self.cache:
            self.cache[key] = self._kernel_to(histories)
        return self.cache[key]

    def _kernel_to(self, histories: csr_array) -> Tensor:
        size = max(1, BLOCK // len(self.centers))
        starts = range(0, max(1, histories.shape[0]), size)
        parts = [self._block(histories[start : start + size]) for start in starts]
        return torch.cat(parts) if len(parts) != 1 else parts[0]

    def _symmetric(self) -> Tensor:
        """`[m, m]`, of all rows: what lies above the blocks of the diagonal is not
        computed again."""
        m = len(self.centers)
        gram = self.centers.new_empty(m, m)
        size = max(1, m // GRAM_BLOCKS)
        for start in range(0, m, size):
            stop = min(start + size, m)
            gram[start:stop, :stop] = self._block(self.rows[start:stop], stop)
            gram[:start, start:stop] = gram[start:stop, :start].mT
        return gram

    def _block(self, histories: csr_array, count: int | None = None) -> Tensor:
        """Of histories with the first centers."""
        # Products of sparse rows with dense ones: exact for zeros and ones.
        sparse = self._sparse(histories)
        products = sparse.inner(self.centers[:count])
        lengths, width = self._lengths[:count], self.centers.shape[1]
        return self.kernel.of_products(products, sparse.squares, lengths, width)

    @cached_property
    def _lengths(self) -> Tensor:
        # As sparse rows sum them, so that equal histories are exactly parallel.
        some = self.rows if self.chosen is None else self.rows[self.chosen]
        return self._sparse(some).squares

    def _sparse(self, rows: csr_array) -> SparseRows:
        return SparseRows.of(rows, self.centers.dtype).to(self.device)

    def _blocks(self) -> Iterator[tuple[csr_array, Tensor]]:
        size = max(1, BLOCK // len(self.centers))
        for start in range(0, self.rows.shape[0], size):
            part = slice(start, start + size)
            mass = torch.from_numpy(self.mass[part]).float()
            yield self.rows[part], mass.to(self.device)
