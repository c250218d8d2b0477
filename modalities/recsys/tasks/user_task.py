"""`UserTask`: what the core asks of interaction logs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from multidd import seeds
from multidd.classes import ClassIndex, by_class
from multidd.kernels import SparseRows
from multidd.kernels.multinomial import SparseTargets
from multidd.learning.kernel_sources import Infinite, Kernel
from multidd.protocols import Draw, Params, Picks, Records, TaskDefaults
from multidd.recsys.data.log import InteractionLog
from multidd.recsys.models.infinite_ae import InfiniteAE
from multidd.recsys.models.tuning import tune
from multidd.recsys.summary.summary import RecsysSummary
from multidd.recsys.tasks.user_batch import Histories, held_out, taken
from multidd.storage.codecs import Codec
from multidd.summary import Card

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
    projected = unit.times(basis)
    left, scale, _ = torch.linalg.svd(projected, full_matrices=False)
    return (left * scale)[:, : min(width, size)]


MANY_USERS = 100_000
"""From so many users on a batch is drawn with replacement: a permutation of all would
cost more than the step."""


@dataclass(frozen=True, eq=False)
class UserTask(TaskDefaults):
    """Users of a log, each a record: the items of the training part.

    Attributes:
        log: the interactions; test parts are never read.
        batch_size: real users of a step; None takes all.
        holdout: share of a user's items to be predicted from the others; 0 predicts
            all from all.
        balance: see `multidd.recsys.tasks.user_batch.held_out`.
        depth: of the infinite autoencoder that scores a synthetic set.
        width: of the embedding in which selections compare users; 0 compares them by
            the length of their histories only, which costs nothing.
        hidden: units of the autoencoder that gradient matching sees.
        extra: `[U', I]` more histories beside those of the log, such as those of an
            older summary; none unless given.
        held: the real batch of every step; drawn anew where None.
        device: where it computes.
        embedding: `[n, width]`, users as selections compare them, where it is known
            already; computed where None.

    Raises:
        ValueError: a setting that is out of range.
    """

    log: InteractionLog
    batch_size: int | None = 1000
    holdout: float = 0.5
    balance: float = 0.5
    depth: int = 1
    width: int = 0
    hidden: int = 64
    extra: csr_array | None = None
    held: Histories | None = None
    device: str = "cpu"
    embedding: Tensor | None = None

    num_classes = 1

    def __post_init__(self) -> None:
        if not (0 <= self.holdout < 1 and 0 <= self.balance < float("inf")):
            raise ValueError(
                "holdout must be 0 or more and below 1, balance must be 0 or more; got "
                f"{self.holdout} and {self.balance}"
            )
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(
                f"batch_size must be 1 or more, or None; got {self.batch_size}"
            )

    @property
    def shareable(self) -> tuple[str, ...]:
        """By rows: each user counts by itself, and all are of one class."""
        return ("rows",)

    def to(self, device: str) -> Self:
        """The same task on another device."""
        return replace(self, device=device)

    def describe(self) -> dict[str, Any]:
        """Settings and the log's fingerprint."""
        names = ("batch_size", "holdout", "balance", "depth", "width", "hidden")
        settings = {name: getattr(self, name) for name in names}
        more = 0 if self.extra is None else int(self.extra.nnz)
        return {"data": self.log.describe(), "more": more} | settings

    def among(self, max_users: int, rng: torch.Generator) -> Self:
        """The same task on a log of at most so many users, drawn uniformly."""
        have = self.log.num_users
        if have <= max_users:
            return self
        drawn = torch.randperm(have, generator=rng, device=rng.device)[:max_users]
        some = self.log.users(drawn.sort().values.cpu().numpy())
        return replace(self, log=some, extra=None, embedding=None)

    @property
    def num_items(self) -> int:
        """I."""
        return self.log.num_items

    @cached_property
    def rows(self) -> SparseRows:
        """`[n, I]`, all histories with an item in the training part, on the device."""
        return self._rows_of_host.to(self.device)

    @cached_property
    def _rows_of_host(self) -> SparseRows:
        """The same on the CPU, which knows how long each history is without waiting."""
        known = self.log.train
        if self.extra is not None:
            known = csr_array(_stacked(known, self.extra))
        filled = np.flatnonzero(np.diff(known.indptr))
        whole = known if len(filled) == known.shape[0] else known[filled]
        return SparseRows.of(whole)

    def batch(self, rng: torch.Generator) -> Histories:
        """Real users, each with part of the history to predict."""
        if self.held is not None:
            return self.held
        rows, size, rng = self._rows_of_host, self.batch_size, seeds.host(rng)
        n = len(rows)
        if size is not None and size < n:
            if n > MANY_USERS:
                places = torch.randint(n, (size,), generator=rng)
            else:
                places = torch.randperm(n, generator=rng)[:size]
            rows = taken(rows, places)
        return held_out(rows, self.holdout, self.balance, rng).to(self.device)

    def synthetic(self, draw: Draw) -> Histories:
        """A draw as it is."""
        return Histories(draw["x"])

    def take(self, batch: Histories, rows: Tensor) -> Histories:
        """Some users of a batch."""
        if isinstance(batch.seen, Tensor):
            return Histories(batch.seen[rows])
        seen, aims = taken(batch.seen, rows), batch.targets
        if aims is None:
            return Histories(seen)
        hidden = None if aims.hidden is None else taken(aims.hidden, rows)
        targets = SparseTargets(taken(aims.rows, rows), aims.weights[rows], hidden)
        return Histories(seen, targets)

    def classes(self, batch: Histories) -> ClassIndex:
        """One class."""
        return by_class(torch.zeros(len(batch), dtype=torch.int64), 1)

    def inputs(self, batch: Histories) -> SparseRows | Tensor:
        """`[b, I]`, what is seen of the histories."""
        return batch.seen

    def targets(self, batch: Histories) -> SparseTargets | Tensor:
        """`[b, I]`: what is to be predicted; of synthetic users all of it."""
        if batch.targets is not None:
            return batch.targets
        return batch.seen if isinstance(batch.seen, Tensor) else batch.seen.dense()

    def weights(self, rng: torch.Generator, models: int) -> Params:
        """Fresh random autoencoders of one hidden layer."""
        items, hidden = self.num_items, self.hidden
        shapes = {
            "encoder": (models, hidden, items),
            "decoder": (models, items, hidden),
        }
        return {
            name: torch.randn(shape, generator=rng, device=rng.device).to(self.device)
            * (2 / shape[2]) ** 0.5
            for name, shape in shapes.items()
        }

    def losses(self, weights: Params, batch: Histories) -> Tensor:
        """`[b]`, multinomial cross-entropy of each user under one autoencoder."""
        aims, logits = self.targets(batch), self.features(weights, batch)[-1]
        if isinstance(aims, Tensor):
            return -(aims * logits.log_softmax(1)).sum(1)
        if aims.hidden is not None:
            logits = logits.masked_fill(aims.hidden.dense() > 0, -torch.inf)
        chances = logits.log_softmax(1)[aims.rows.rows, aims.rows.indices]
        lost = chances.new_zeros(len(batch)).index_add(0, aims.rows.rows, -chances)
        return aims.weights * lost

    def features(
        self, weights: Params, batch: Histories, last: int | None = None
    ) -> list[Tensor]:
        """`[b, hidden]` and `[b, I]` of one autoencoder on histories of length one."""
        seen = batch.seen if isinstance(batch.seen, Tensor) else batch.seen.dense()
        scaled = torch.nn.functional.normalize(seen, dim=1)
        hidden = (scaled @ weights["encoder"].mT).relu()
        return [hidden, hidden @ weights["decoder"].mT][-(last or 2) :]

    def records(self) -> Records:
        """The users, as selections compare them."""
        if not self.width:
            features = self.rows.counts.float()[:, None].log()
        elif self.embedding is not None:
            features = self.embedding
        else:
            features = embed(self.rows, self.width)
        labels = torch.zeros(len(self.rows), dtype=torch.int64)
        return Records(features.cpu(), labels, 1)

    def from_selection(self, picks: Picks) -> Draw:
        """Histories of real users, or means of them."""
        weights = picks.weights.coalesce()
        where, values = weights.indices(), weights.values()
        m = len(picks.labels)
        x = torch.zeros(m, self.num_items, device=self.device)
        some = taken(self.rows, where[1].to(self.device))
        value = values.float().to(self.device)[some.rows] * some.values
        x.index_put_((where[0].to(self.device)[some.rows], some.indices), value, True)
        return {"x": x, "y": picks.labels.to(self.device)}

    def score(self, draw: Draw, rng: torch.Generator) -> float:
        """Validation HR@100 of the infinite autoencoder trained on the draw, with the
        best ridge of its grid; a shorter list where items are few."""
        return max(self._judged(draw["x"], InfiniteAE(self.depth), 2000, rng).values())

    def choose_ridge(
        self, kernel: Kernel, synthetic: Histories, ridges: Sequence[float]
    ) -> float:
        """The ridge of the best validation HR@100, on 500 users."""
        assert isinstance(kernel, Infinite) and isinstance(synthetic.seen, Tensor)
        model = _Ridged(kernel.depth, ridges=tuple(ridges))
        rng = seeds.at(0, "ridge")
        values = self._judged(synthetic.seen, model, 500, rng)
        return max(values, key=lambda ridge: values[ridge])

    @staticmethod
    def codec_of(name: str) -> Codec:
        """How a tensor of the summary is stored in few bits."""
        return RecsysSummary.codec_of(name)

    def summary(self, draw: Draw, card: Card) -> RecsysSummary:
        """The draw, with the log's ids."""
        x, weight = draw["x"].detach().cpu(), draw.get("weight")
        counts = None if weight is None else weight.detach().cpu().numpy()
        return RecsysSummary.of(x, card, item_ids=self.log.item_ids, weight=counts)

    def _judged(
        self, x: Tensor, model: InfiniteAE, users: int, rng: torch.Generator
    ) -> dict[float, float]:
        """Ridge -> validation HR@100, or of a tenth of the items if that is less."""
        if not self.log.val.nnz:
            raise ValueError(
                "choosing on validation data needs some: split the log with a share "
                "for validation"
            )
        rows = csr_array(x.detach().cpu().numpy())
        _, values = tune(
            model,
            rows,
            None,
            self.log.train,
            self.log.val,
            users=users,
            rng=rng,
        )
        return {float(member.ridge or 0): value for member, value in values.items()}


@dataclass(frozen=True)
class _Ridged(InfiniteAE):
    """An infinite autoencoder with a grid of its own."""

    ridges: tuple[float, ...] = ()

    @property
    def grid(self) -> tuple[Self, ...]:
        """The ridges given."""
        return tuple(replace(self, ridge=ridge) for ridge in self.ridges)


def _stacked(first: csr_array, second: csr_array) -> csr_array:
    from scipy.sparse import vstack

    return csr_array(vstack([first, second], format="csr"))
