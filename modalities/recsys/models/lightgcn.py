"""`LightGCN`: embeddings smoothed over the graph of users and items."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from multidd import seeds
from multidd.kernels import SparseRows
from multidd.recsys.models.base import Scorer, backed
from multidd.recsys.models.stepwise import Stepwise, Training


@dataclass(frozen=True)
class LightGCN(Stepwise):
    r"""Linear propagation between users and items, trained to rank pairs (BPR).

    With $\hat A_{ui} = 1 / \sqrt{|N_u| |N_i|}$ where u has i, and $E$ the embeddings of
    the items, layers alternate between the two sides and are averaged:

    $$e_i = \operatorname{mean}_{l} \big((\hat A^T \hat A)^l E\big)_i, \qquad
    e_u = \hat A_u \operatorname{mean}_{l} (\hat A^T \hat A)^l E$$

    Users have no free embedding of their own: that is what is left out of the paper's
    model, so that any history can be scored, of users never seen too (inductive). In
    training a random part of the interactions makes the graph and the others are
    ranked above random items, so that no pair is explained by itself.

    Fractional rows become histories first: an entry is kept with its value as the
    chance, and a row left empty keeps its largest one.

    Args:
        factors: length of an embedding.
        hops: L, steps from items to users and back, 0 or more.
        hidden: share of the interactions outside the graph of an update.
        updates: updates in all.
        batch: interactions of an update.
        negatives: random items beside each of them.
        lr: step of Adam.
        decay: of the embeddings of the batch, in the loss.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> rows = csr_array([[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 1, 1]])
        >>> model = LightGCN(factors=4, updates=100, lr=0.05).fit(rows)
        >>> scores = model.scores(csr_array([[1, 1, 0, 0, 0]]))
        >>> bool(scores[0, 2] > scores[0, 3])
        True

    Reference:
        He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for
        Recommendation", SIGIR 2020.
    """

    factors: int = 64
    hops: int = 1
    hidden: float = 0.5
    updates: int = 600
    batch: int = 8192
    negatives: int = 1
    lr: float = 0.02
    decay: float = 1e-4

    def __post_init__(self) -> None:
        counts = self.factors, self.updates, self.batch, self.negatives
        if min(counts) < 1 or self.hops < 0 or not 0 < self.hidden < 1:
            raise ValueError(
                "factors, updates, batch and negatives must be 1 or more, hops 0 or "
                f"more and hidden between 0 and 1; got {self}"
            )
        if not (self.lr > 0 and self.decay >= 0):
            raise ValueError(f"lr must be above 0 and decay 0 or more; got {self}")

    def begin(
        self, rows: csr_array, weight: NDArray | None, rng: torch.Generator
    ) -> "_Run":
        """The generator draws histories, weights and batches."""
        return _Run(self, rows, weight, rng)


class _Product(torch.autograd.Function):
    """A sparse matrix times a dense one, and back by its transpose, which is at hand.

    `SparseRows.inner` gives the same bits, but sorts the entries of every new graph for
    its way back: an update takes a quarter longer, or more.
    """

    @staticmethod
    def forward(ctx: Any, dense: Tensor, matrix: csr_array, flipped: csr_array) -> Any:
        ctx.flipped = flipped
        return _times(matrix, dense.detach())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return _times(ctx.flipped, grads[0]), None, None


def _times(matrix: csr_array, dense: Tensor) -> Tensor:
    """By SciPy on the CPU, by torch on a device."""
    if dense.device.type == "cpu":
        return torch.from_numpy(matrix @ dense.numpy())
    return SparseRows.of(matrix, dense.dtype).to(dense.device).times(dense)


@dataclass(frozen=True, eq=False)
class _Graph:
    """Normalized histories `[m, I]`, and their transpose."""

    rows: csr_array
    columns: csr_array

    def smooth(self, items: Tensor, hops: int) -> Tensor:
        """`[I, f]`: the mean of the layers on the side of the items."""
        total = layer = items
        for _ in range(hops):
            users = _Product.apply(layer, self.rows, self.columns)
            layer = _Product.apply(users, self.columns, self.rows)
            total = total + layer
        return total / (hops + 1)

    def gather(self, items: Tensor) -> Tensor:
        """`[m, f]`: users from smoothed items."""
        return _Product.apply(items, self.rows, self.columns)


class _Run(Training):
    """Embeddings of the items, and the interactions one by one."""

    def __init__(
        self,
        model: LightGCN,
        rows: csr_array,
        weight: NDArray | None,
        rng: torch.Generator,
    ) -> None:
        super().__init__(rows, weight, rng)
        # What makes the graph of an update is drawn where the graph is made.
        self.host = seeds.host(rng)
        self.model, self.rows = model, _discrete(self.rows, self.host)
        self.users = torch.from_numpy(self.rows.nonzero()[0].astype(np.int64))
        self.items = torch.from_numpy(self.rows.indices.astype(np.int64))
        self.each = self.weight.cpu()[self.users]
        shape = (self.rows.shape[1], model.factors)
        start = torch.randn(*shape, generator=rng, device=rng.device)
        self.table = (start * 0.1).requires_grad_()
        self.optimizer = torch.optim.Adam([self.table], lr=model.lr, fused=True)

    def scorer(self) -> Scorer:
        """Whole histories make the graph."""
        degree = np.asarray(self.rows.sum(axis=0))
        with torch.no_grad():
            whole = _graph(self.rows, degree)
            items = whole.smooth(self.table.detach().clone(), self.model.hops)

        def score(histories: csr_array) -> Tensor:
            with torch.no_grad():
                known = csr_array(histories, dtype=np.float32)
                return _graph(known, degree).gather(items) @ items.T

        return backed(score, self.prior)

    def loss(self) -> Tensor:
        """BPR on interactions outside the graph of this update."""
        outside = torch.rand(len(self.items), generator=self.host) < self.model.hidden
        graph = self._part((~outside).numpy())
        smoothed = graph.smooth(self.table, self.model.hops)
        chosen = outside.nonzero()[:, 0]
        if not len(chosen):
            chosen = torch.arange(len(self.items))
        place = torch.randint(len(chosen), (self.model.batch,), generator=self.host)
        pairs = chosen[place]
        shape = (len(pairs), self.model.negatives)
        others = torch.randint(len(self.table), shape, generator=self.host)
        drawn = (self.users[pairs], self.items[pairs], others, self.each[pairs])
        who, items, others, weight = (part.to(self.table.device) for part in drawn)
        users = graph.gather(smoothed)[who]
        good = (users * smoothed[items]).sum(1)
        bad = (users[:, None] * smoothed[others]).sum(2)
        each = F.softplus(bad - good[:, None]).mean(1) * weight
        size = self.table[items].square().sum(1)
        return each.mean() + self.model.decay * (size * weight).mean()

    def _part(self, mask: NDArray[np.bool_]) -> _Graph:
        """The graph of some of the interactions."""
        starts = np.concatenate([[0], np.cumsum(mask)])[self.rows.indptr]
        part = csr_array(
            (self.rows.data[mask], self.rows.indices[mask], starts),
            shape=self.rows.shape,
        )
        return _graph(part, np.bincount(part.indices, minlength=part.shape[1]))


def _graph(rows: csr_array, degree: NDArray) -> _Graph:
    """Histories divided by the roots of both lengths; items nobody has stay out."""
    strengths = np.asarray(rows.sum(axis=1))
    left = 1 / np.sqrt(np.maximum(strengths, 1e-12))
    right = np.where(degree > 0, 1 / np.sqrt(np.maximum(degree, 1e-12)), 0.0)
    normalized = csr_array(rows, dtype=np.float32, copy=True)
    normalized.data *= np.repeat(left, np.diff(rows.indptr)).astype(np.float32)
    normalized.data *= right.astype(np.float32)[rows.indices]
    return _Graph(normalized, csr_array(normalized.T))


def _discrete(rows: csr_array, rng: torch.Generator) -> csr_array:
    """Histories of ones: every entry kept with its value as the chance."""
    draws = torch.rand(rows.nnz, generator=rng).numpy()
    who = rows.nonzero()[0]
    drawn = draws < rows.data
    full = np.bincount(who[drawn], minlength=rows.shape[0]) > 0
    order = np.lexsort((-rows.data, who))
    first = order[np.unique(who[order], return_index=True)[1]]
    drawn[first[~full[who[first]]]] = True
    ones = np.ones(int(drawn.sum()), dtype=np.float32)
    return csr_array((ones, (who[drawn], rows.indices[drawn])), shape=rows.shape)
