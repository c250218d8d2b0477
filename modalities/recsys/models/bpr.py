"""A cheap recommender whose mistakes tell which users are hard to predict."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from multidd.kernels import SparseRows
from multidd.numerics import small_training

__all__ = ["Proxy"]


@dataclass(frozen=True)
class Proxy:
    r"""Matrix factorization that learns to rank items (BPR), watched as it learns.

    The importance of a user is the mean over the epochs t of one minus the AUC of the
    own items $H_u$ against as many random others $N_u^t$ for each user:

    $$I_u = \frac{1}{T} \sum_t \frac{1}{|H_u| |N_u^t|} \sum_{i \in H_u}
      \sum_{j \in N_u^t} [s^t_{ui} < s^t_{uj}]$$

    so users whose items are ranked wrongly, late or time and again are important, and
    those whose items are popular are not. Ties count one half.

    Args:
        factors: length of a user's and an item's vector.
        epochs: T, passes over all interactions.
        batch: interactions of an update, at most.
        negatives: random items of a user in the AUC of an epoch.
        lr: step of stochastic gradient ascent.
        decay: of the vectors that an update touches.

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> rows = csr_array(np.repeat([[1, 1, 0, 0], [0, 0, 0, 1]], [9, 1], 0))
        >>> scores = Proxy(epochs=2).importance(rows, torch.Generator().manual_seed(0))
        >>> int(scores.argmax())
        9

    Reference:
        Rendle, Freudenthaler, Gantner, Schmidt-Thieme, "BPR: Bayesian Personalized
        Ranking from Implicit Feedback", UAI 2009; Sachdeva, Wu, McAuley, "On Sampling
        Collaborative Filtering Datasets", WSDM 2022.
    """

    factors: int = 16
    epochs: int = 5
    batch: int = 4096
    negatives: int = 25
    lr: float = 0.2
    decay: float = 0.01

    def __post_init__(self) -> None:
        counts = self.factors, self.epochs, self.batch, self.negatives
        if min(counts) < 1 or not (self.lr > 0 and self.decay >= 0):
            raise ValueError(
                "factors, epochs, batch and negatives must be 1 or more, lr above 0 "
                f"and decay 0 or more; got {self}"
            )

    def importance(self, rows: csr_array, rng: torch.Generator) -> NDArray[np.float64]:
        """How badly each user is predicted while the proxy learns.

        Args:
            rows: `[n, I]` histories; those without an item, or with all of them, are
                never predicted wrongly.
            rng: draws the start, the order of the interactions and the negatives.

        Returns:
            `[n]`, in 0..1.
        """
        run = _Run(self, SparseRows.of(csr_array(rows, copy=True)), rng)
        total = torch.zeros(rows.shape[0], dtype=torch.float64)
        with small_training():
            for _ in range(self.epochs):
                run.epoch()
                total += run.mistakes()
        return (total / self.epochs).numpy()


class _Run:
    """State of a training: factors, optimizer and epochs done."""

    def __init__(self, proxy: Proxy, rows: SparseRows, rng: torch.Generator) -> None:
        self.proxy, self.rows, self.rng = proxy, rows, rng
        self.user_ids, self.item_ids = rows.rows, rows.indices
        self.names = (
            self.user_ids * rows.width + self.item_ids
        )  # ascending, one for each pair
        shape = len(rows) + rows.width, proxy.factors
        start = torch.randn(*shape, generator=rng) / proxy.factors
        self.users, self.items = start[: len(rows)], start[len(rows) :]
        self.bias = torch.zeros(rows.width)

    def epoch(self) -> None:
        """One pass over the interactions, in random order."""
        others, new = self._others(self.user_ids)
        order = torch.randperm(len(self.user_ids), generator=self.rng)
        # Steps of a batch add up: one item or user must not be in it too often.
        size = min(self.proxy.batch, 16 * min(self.rows.shape))
        for part in order.split(size):
            self._update(
                self.user_ids[part], self.item_ids[part], others[part], new[part]
            )

    def mistakes(self) -> Tensor:
        """`[n]`, one minus the AUC of each user, in double precision."""
        liked = self._scores(self.user_ids, self.item_ids)
        wrong, drawn = torch.zeros_like(liked), torch.zeros(len(self.rows))
        everyone = torch.arange(len(self.rows))
        for _ in range(self.proxy.negatives):  # one at a time: memory stays O(nnz)
            others, new = self._others(everyone)
            scores = self._scores(everyone, others).masked_fill(~new, -torch.inf)
            wrong += (scores[self.user_ids] - liked).sign().add_(1)
            drawn += new
        total = torch.zeros(len(self.rows), dtype=torch.float64)
        total.index_add_(0, self.user_ids, wrong.double())
        return total / (2 * self.rows.counts * drawn).clamp(min=1)

    def _update(self, user_ids: Tensor, good: Tensor, bad: Tensor, new: Tensor) -> None:
        """The gradient of `log sigmoid(s_good - s_bad)`, by hand: rows touched only."""
        users, goods, bads = self.users[user_ids], self.items[good], self.items[bad]
        ahead = goods - bads
        gap = (users * ahead).sum(1) + self.bias[good] - self.bias[bad]
        step = self.proxy.lr * (-gap).sigmoid() * new
        shrink, pull = self.proxy.lr * self.proxy.decay, step[:, None] * users
        self.bias.index_add_(0, good, step).index_add_(0, bad, -step)
        self.users.index_add_(0, user_ids, step[:, None] * ahead - shrink * users)
        self.items.index_add_(0, good, pull - shrink * goods)
        self.items.index_add_(0, bad, -pull - shrink * bads)

    def _scores(self, user_ids: Tensor, item_ids: Tensor) -> Tensor:
        products = [
            (self.users[user_ids[part]] * self.items[item_ids[part]]).sum(1)
            for part in torch.arange(len(user_ids)).split(2**16)  # stays in the cache
        ]
        return torch.cat(products) + self.bias[item_ids]

    def _others(self, user_ids: Tensor) -> tuple[Tensor, Tensor]:
        """A random item for each user, and whether the user has it not."""
        width = self.rows.width
        drawn = torch.randint(width, (len(user_ids),), generator=self.rng)
        name = user_ids * width + drawn
        place = torch.searchsorted(self.names, name).clamp(max=len(self.names) - 1)
        return drawn, self.names[place] != name
