"""Real records chosen greedily by the distillation loss itself.

Each next record is the one after which kernel ridge regression on the records chosen,
solved anew, predicts all training records best.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.kernels import RBF, InfiniteKernel, Linear, resolve
from multidd.protocols import Picks, Records
from multidd.selection.basic import KMeans, real_picks
from multidd.selection.pursuit_losses import HardLabelLoss, PursuitLoss, SoftLabelLoss
from multidd.selection.pursuit_search import Search

__all__ = ["Pursuit", "row_weights", "pool_records", "sample_rows", "centered_targets"]


def centered_targets(records: Records) -> Tensor:
    """`[n, c]`, one-hot labels with their mean taken off."""
    one_hot = F.one_hot(records.labels, records.num_classes)
    return one_hot.to(records.features.dtype) - 1 / records.num_classes


def pool_records(records: Records, proposals: Records | None) -> Records:
    """Records and proposals one after another."""
    if proposals is None:
        return records
    if proposals.features.shape[1:] != records.features.shape[1:]:
        raise ValueError(
            f"proposals must have features [p, {records.features.shape[1]}], got "
            f"{list(proposals.features.shape)}"
        )
    features = torch.cat([records.features, proposals.features.to(records.features)])
    labels = torch.cat([records.labels, proposals.labels.to(records.labels)])
    return Records(features, labels, records.num_classes)


def sample_rows(
    rows: Tensor,
    pool: Records,
    counts: Sequence[int],
    max_rows: int,
    rng: torch.Generator,
) -> Tensor:
    """A sample of rows, each class by its size, but as many as are to be picked."""
    if len(rows) <= max_rows:
        return rows
    order = torch.randperm(len(rows), generator=rng, device=rng.device)
    shuffled, chosen = rows[order.to(rows.device)], []
    for label, count in enumerate(counts):
        mine = shuffled[pool.labels[shuffled] == label]
        chosen.append(mine[: max(count, max_rows * len(mine) // len(rows))])
    return torch.cat(chosen).sort().values


def row_weights(records: Records, balance: float) -> Tensor:
    """Weight of each record in the loss, `[n]`; they sum to one.

    Its own weight times the size of its class to the power of minus `balance`.

    Example:
        >>> row_weights(Records(torch.eye(3), torch.tensor([0, 0, 1]), 2), 1.0).tolist()
        [0.25, 0.25, 0.5]
    """
    mass = records.features.new_ones(len(records.labels))
    if records.weights is not None:
        mass = records.weights.to(mass.dtype)
    if balance:
        sizes = records.labels.bincount(minlength=records.num_classes)
        mass = mass * (sizes.to(mass) ** -balance)[records.labels]
    return mass / mass.sum()


_ROWS = 1024  # of a kernel of candidates with records at a time


@dataclass(frozen=True)
class Pursuit:
    r"""Matching pursuit on the loss of kernel ridge regression.

    The loss of picks S is $L_{soft}(S) + h L_{hard}(S)$, mean squared errors on the
    training records: of the regression with the best labels that S can carry (closed
    form; see `multidd.kernels.resolve`), and of that with the picks' own labels, which
    is what plain training on them sees. Greedy: the record that lowers it most, again
    and again, while its class has room; every candidate is scored exactly, by updates
    of rank one. Then swaps: each pick in turn gives its place to the record of its
    class with which the loss is least, while any lowers it.

    Attributes:
        kernel: of the regression.
        ridge: $\lambda$ with closed-form labels, relative to the mean diagonal.
        hard: h; 0 is pursuit alone, for soft labels and the same kernel.
        hard_ridge: $\mu$ with the picks' own labels, relative to the mean diagonal.
        blend: share of b below one: of each cluster of k-means in a class, with as many
            clusters as picks, only the share $1 - b$ of records nearest to its mean may
            be picked, and one of each. 0 leaves clusters out.
        swaps: rounds of swaps at most; 0 for none.
        max_candidates: records that the loss is a mean over, and candidates, at most;
            more are sampled.
        exclude: rows that are never picked; they count in the loss.
        balance: b: each record counts $n_c^{-b}$, with $n_c$ the records of its class;
            0 counts records, 1 classes.

    Reference:
        Mallat, Zhang, "Matching Pursuits with Time-Frequency Dictionaries", IEEE Trans.
        Signal Processing, 1993; Pati, Rezaiifar, Krishnaprasad, "Orthogonal Matching
        Pursuit", Asilomar 1993; Smola, Bartlett, "Sparse Greedy Gaussian Process
        Regression", NeurIPS 2000.

    Example:
        >>> x = torch.tensor([[0.0], [0.1], [0.2], [3.0], [3.1]])
        >>> records = Records(x, torch.tensor([0, 0, 0, 1, 1]), 2)
        >>> Pursuit().pick(records, (1, 1), torch.Generator()).labels.tolist()
        [0, 1]
    """

    kernel: RBF | Linear | InfiniteKernel = RBF()
    ridge: float = 1e-5
    hard: float = 1.0
    hard_ridge: float = 0.1
    blend: float = 0.0
    swaps: int = 2
    max_candidates: int = 7000
    exclude: tuple[int, ...] = ()
    balance: float = 0.0

    def __post_init__(self) -> None:
        for name in ("ridge", "hard_ridge"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)!r}")
        if not 0 <= self.hard < float("inf"):
            raise ValueError(f"hard must be a number from 0, got {self.hard!r}")
        if not 0 <= self.blend < 1:
            raise ValueError(f"blend must be in [0, 1), got {self.blend!r}")
        if not 0 <= self.balance <= 1:
            raise ValueError(f"balance must be in [0, 1], got {self.balance!r}")
        if self.swaps < 0 or self.max_candidates < 1:
            raise ValueError(
                "swaps must be 0 or more and max_candidates 1 or more, got "
                f"{self.swaps!r} and {self.max_candidates!r}"
            )

    def pick(
        self, records: Records, counts: Sequence[int], rng: torch.Generator
    ) -> Picks:
        """`counts[i]` records of class i."""
        rows = self.choose(records, counts, rng)
        return real_picks(records, counts, rows)

    def choose(
        self,
        records: Records,
        counts: Sequence[int],
        rng: torch.Generator,
        proposals: Records | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> Tensor:
        """Rows of the picks, class by class, in each the first pick first.

        Args:
            records: the training records.
            counts: picks of each class.
            rng: draws the sample and the starts of clusters.
            proposals: p more records that may be picked, scored by the same loss; they
                do not count in it.
            stopped: asked before each swap; no more are tried once it says True.

        Returns:
            `[m]`; row n + i is proposal i.

        Raises:
            ValueError: counts that the records cannot fill, or rows that there are not.
        """
        pool = pool_records(records, proposals)
        allowed = self._allowed(records, pool, counts)
        picks = self._search(records, pool, allowed, counts, rng, stopped)
        return picks[pool.labels[picks].argsort(stable=True)]

    def labels(self, records: Records, rows: Tensor) -> Tensor:
        """`[m, c]`, the best centered labels that records, or points, can carry.

        Args:
            records: the training records.
            rows: `[m]` rows of them, or features `[m, d]` of any points.

        Returns:
            Labels of mean zero, in the type of the features.
        """
        points = rows if rows.is_floating_point() else records.features[rows]
        cross = [self.kernel(part, points) for part in records.features.split(_ROWS)]
        labels = resolve(
            self.kernel(points, points),
            torch.cat(cross),
            centered_targets(records).to(points.dtype),
            self.ridge,
            weights=records.weights,
        )
        return labels[1]

    def _allowed(
        self, records: Records, pool: Records, counts: Sequence[int]
    ) -> Tensor:
        """`[N]`, whether a record or proposal may be picked."""
        n, allowed = len(records.labels), torch.ones(len(pool.labels), dtype=torch.bool)
        wrong = [row for row in self.exclude if not 0 <= row < n]
        if wrong:
            raise ValueError(f"exclude must name rows from 0 to {n - 1}, got {wrong}")
        allowed[list(self.exclude)] = False
        allowed = allowed.to(pool.labels.device)
        features, labels = pool.features[allowed], pool.labels[allowed]
        Records(features, labels, pool.num_classes).check(counts)
        return allowed

    def _search(
        self,
        records: Records,
        pool: Records,
        allowed: Tensor,
        counts: Sequence[int],
        rng: torch.Generator,
        stopped: Callable[[], bool] | None,
    ) -> Tensor:
        candidates = sample_rows(
            allowed.nonzero().flatten(), pool, counts, self.max_candidates, rng
        )
        some = Records(
            pool.features[candidates], pool.labels[candidates], pool.num_classes
        )
        group, room = self._groups(some, counts, rng)
        seen = torch.arange(len(records.labels), device=rng.device)
        if len(seen) > self.max_candidates:
            seen = torch.randperm(len(seen), generator=rng, device=rng.device)
            seen = seen[: self.max_candidates].sort().values
        reach, losses = self._losses(records, some, seen)
        search = Search(reach, losses, some.features, self.kernel)
        return candidates[search.run(group, room, self.swaps, stopped)]

    def _groups(
        self, some: Records, counts: Sequence[int], rng: torch.Generator
    ) -> tuple[Tensor, list[int]]:
        """Group `[N]` of each candidate, -1 for none, and the picks of each group."""
        if not self.blend:
            return some.labels, list(counts)
        means = KMeans(restarts=1).pick(some, counts, rng).weights.coalesce()
        (clusters, rows), group = means.indices(), torch.full_like(some.labels, -1)
        centers = torch.sparse.mm(means, some.features)
        for cluster in range(sum(counts)):
            members = rows[clusters == cluster]
            gap = (some.features[members] - centers[cluster]).square().sum(1)
            near = max(1, round((1 - self.blend) * len(members)))
            group[members[gap.argsort(stable=True)[:near]]] = cluster
        return group, [1] * sum(counts)

    def _losses(
        self, records: Records, some: Records, seen: Tensor
    ) -> tuple[Tensor, list[tuple[float, PursuitLoss]]]:
        """The kernel of candidates with records, and the losses with their weights."""
        mass = row_weights(records, self.balance)[seen]
        root = (mass / mass.sum()).sqrt()
        goal = centered_targets(records)[seen].to(root.dtype) * root[:, None]
        theirs = records.features[seen]
        parts = [self.kernel(x, theirs).mul_(root) for x in some.features.split(_ROWS)]
        reach = torch.cat(parts)
        diagonal = torch.cat(
            [self.kernel(x, x).diagonal() for x in some.features.split(_ROWS)]
        )
        scale = float(diagonal.mean())
        losses: list[tuple[float, PursuitLoss]] = [
            (1.0, SoftLabelLoss(reach, goal, diagonal, self.ridge * scale))
        ]
        if self.hard:
            labels, ridge = centered_targets(some), self.hard_ridge * scale
            hard = HardLabelLoss(reach, goal, diagonal, labels, ridge)
            losses.append((self.hard, hard))
        return reach, losses
