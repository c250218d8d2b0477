"""Real records chosen or averaged without a loop.

A selection is a baseline, a starting point for a parameterization, and for
training-free methods the method itself. All of them work class by class in the
space of `task.records()`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd import seeds
from multidd.numerics import distances_to, first_nearest, one_thread_for
from multidd.protocols import Picks, Records, Selection
from multidd.selection.screening import Screen
from multidd.settings import tensor_digest

__all__ = [
    "Herding",
    "KCenter",
    "KMeans",
    "Medoids",
    "Random",
    "Recognized",
    "Scored",
]


@dataclass(frozen=True)
class Random:
    """Records drawn uniformly within each class, without replacement.

    Example:
        >>> records = Records(torch.arange(4.0)[:, None], torch.tensor([0, 0, 1, 1]), 2)
        >>> Random().pick(records, (1, 1), seeds.at(0, "x")).labels.tolist()
        [0, 1]
    """

    def pick(
        self, records: Records, counts: Sequence[int], rng: torch.Generator
    ) -> Picks:
        """`counts[i]` random records of class i."""

        def choose(x: Tensor, mass: Tensor, count: int) -> Tensor:
            order = torch.randperm(len(x), generator=rng, device=rng.device)
            return order[:count].to(x.device)

        return _real(records, counts, choose)


@dataclass(frozen=True)
class Herding:
    """Records whose running mean stays nearest to the mean of their class.

    Reference:
        Welling, "Herding Dynamical Weights to Learn", ICML 2009.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [5.0]])
        >>> Herding().pick(Records(x, torch.zeros(3).long(), 1), (1,), None).indices
        tensor([1])
    """

    def pick(
        self, records: Records, counts: Sequence[int], rng: torch.Generator
    ) -> Picks:
        """`counts[i]` herded records of class i."""
        return _real(records, counts, self._choose)

    @staticmethod
    def _choose(x: Tensor, mass: Tensor, count: int) -> Tensor:
        goal, total = mass @ x / mass.sum(), torch.zeros_like(x[0])
        free = torch.ones(len(x), dtype=torch.bool, device=x.device)
        screen, chosen = Screen(x), []
        for size in range(1, count + 1):
            # The mean is nearest to the goal where x is nearest to what it lacks.
            offset = size * float(goal.norm())
            squared, error = screen.distances(size * goal - total, offset)
            squared[~free] = torch.inf
            rows = (free & ~(squared > squared.min() + 2 * error)).nonzero().flatten()
            best = rows[0]
            if len(rows) > 1:
                gap = ((total + x[rows]) / size - goal).square().sum(1)
                best = rows[gap.argmin()]
            free[best] = False
            total = total + x[best]
            chosen.append(best)
        return torch.stack(chosen)


@dataclass(frozen=True)
class KCenter:
    """Greedy k-center: each next record is the one farthest from those chosen.

    The first is the one nearest to the mean of its class.

    Reference:
        Sener, Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set
        Approach", ICLR 2018.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [5.0]])
        >>> KCenter().pick(Records(x, torch.zeros(3).long(), 1), (2,), None).indices
        tensor([1, 2])
    """

    def pick(
        self, records: Records, counts: Sequence[int], rng: torch.Generator
    ) -> Picks:
        """`counts[i]` spread records of class i."""
        return _real(records, counts, self._choose)

    @staticmethod
    def _choose(x: Tensor, mass: Tensor, count: int) -> Tensor:
        chosen = [(x - mass @ x / mass.sum()).square().sum(1).argmin()]
        near = (x - x[chosen[0]]).square().sum(1)
        screen = Screen(x)
        for _ in range(count - 1):
            near[chosen[-1]] = -1.0  # never again, also where all others equal it
            chosen.append(near.argmax())
            center = x[chosen[-1]]
            squared, error = screen.distances(center)
            rows = (~(squared - error > near)).nonzero().flatten()
            if len(rows) == 1:  # alone, a long row is summed in another order
                rows = rows.repeat(2)
            near[rows] = torch.minimum(near[rows], (x[rows] - center).square().sum(1))
        return torch.stack(chosen)


@dataclass(frozen=True)
class KMeans:
    """Centroids of class-wise k-means: means of records, not records.

    Attributes:
        restarts: k-means++ starts, of which the tightest clustering is kept.

    Reference:
        Lloyd, "Least Squares Quantization in PCM", IEEE Trans. Inf. Theory, 1982;
        Arthur, Vassilvitskii, "k-means++", SODA 2007.

    Example:
        >>> x = torch.tensor([[0.0], [0.2], [5.0]])
        >>> records = Records(x, torch.zeros(3).long(), 1)
        >>> picks = KMeans().pick(records, (2,), seeds.at(0, "x"))
        >>> (picks.weights.to_dense() @ x).sort(0).values.flatten().tolist()
        [0.10000000149011612, 5.0]
    """

    restarts: int = 3

    def pick(
        self, records: Records, counts: Sequence[int], rng: torch.Generator
    ) -> Picks:
        """`counts[i]` centroids of class i."""
        rows, columns, values, first = [], [], [], 0
        for label, count in enumerate(counts):
            members = (records.labels == label).nonzero().flatten()
            x = records.features[members]
            mass = _mass(records, members)
            cluster = self.clusters(x, mass, count, rng)
            total = x.new_zeros(count).index_add(0, cluster, mass)
            rows.append(first + cluster)
            columns.append(members)
            values.append(mass / total[cluster])
            first += count
        where = torch.stack([torch.cat(rows), torch.cat(columns)])
        return _picks(records, counts, where, torch.cat(values), real=False)

    def clusters(
        self, x: Tensor, mass: Tensor, count: int, rng: torch.Generator
    ) -> Tensor:
        """Cluster of each row; every cluster has one row at least."""
        if count >= len(x):
            return torch.arange(len(x), device=x.device)
        from sklearn.cluster import KMeans as Lloyd  # loads slowly, used only here

        lloyd = Lloyd(count, n_init=self.restarts, random_state=seeds.child(rng))
        rows, weights = x.cpu().numpy(), mass.cpu().numpy()
        with one_thread_for(x.numel()):
            cluster = torch.from_numpy(lloyd.fit_predict(rows, sample_weight=weights))
        return fill_empty(cluster.long().to(x.device), count)


@dataclass(frozen=True)
class Medoids:
    """The record nearest to each centroid of class-wise k-means, no record twice.

    Attributes:
        restarts: as of `KMeans`.

    Reference:
        Maekawa, Kosugi, Funakoshi, Okumura, "DiLM: Distilling Dataset into Language
        Model for Text-level Dataset Distillation", Findings of NAACL 2024 (there called
        K-centers).

    Example:
        >>> x = torch.tensor([[0.0], [0.2], [0.3], [5.0]])
        >>> records = Records(x, torch.zeros(4).long(), 1)
        >>> Medoids().pick(records, (2,), seeds.at(0, "x")).indices.sort().values
        tensor([1, 3])
    """

    restarts: int = 3

    def pick(
        self, records: Records, counts: Sequence[int], rng: torch.Generator
    ) -> Picks:
        """`counts[i]` medoids of class i."""

        def choose(x: Tensor, mass: Tensor, count: int) -> Tensor:
            cluster = KMeans(self.restarts).clusters(x, mass, count, rng)
            share = F.one_hot(cluster, count).to(x.dtype) * mass[:, None]
            apart = distances_to((share / share.sum(0)).mT @ x, x)
            chosen: list[int] = []
            for row in apart:
                row[chosen] = torch.inf
                chosen.append(int(first_nearest(row, x)))
            return torch.tensor(chosen, device=x.device)

        return _real(records, counts, choose)


@dataclass(frozen=True)
class Scored:
    """Records with the highest scores of their class, ties at random.

    Attributes:
        scores: one for each record.

    Example:
        >>> x = torch.zeros(3, 1)
        >>> records = Records(x, torch.tensor([0, 0, 1]), 2)
        >>> Scored((1.0, 2.0, 0.0)).pick(records, (1, 1), seeds.at(0, "x")).indices
        tensor([1, 2])
    """

    scores: tuple[float, ...]

    def describe(self) -> dict[str, Any]:
        """A digest in the place of the scores."""
        digest = tensor_digest(torch.tensor(self.scores, dtype=torch.float64))
        return {"kind": "Scored", "scores": digest}

    def pick(
        self, records: Records, counts: Sequence[int], rng: torch.Generator
    ) -> Picks:
        """`counts[i]` records of class i."""
        if len(self.scores) != len(records.labels):
            raise ValueError(
                f"{len(self.scores)} scores for {len(records.labels)} records"
            )
        scores = torch.tensor(self.scores, dtype=torch.float64)
        order = torch.randperm(len(scores), generator=seeds.host(rng))
        ranked = order[scores[order].argsort(descending=True, stable=True)]
        ranked = ranked.to(records.labels.device)
        labels = records.labels[ranked]
        rows = [ranked[labels == i][:count] for i, count in enumerate(counts)]
        return real_picks(records, counts, torch.cat(rows))


@dataclass(frozen=True, eq=False)
class Recognized:
    """A selection among the records that models classify correctly.

    A class with too few of them is selected from whole.

    Attributes:
        base: how it selects.
        right: `[n]`, which records are classified correctly.
    """

    base: Selection
    right: Tensor

    def pick(
        self, records: Records, counts: Sequence[int], rng: torch.Generator
    ) -> Picks:
        """`counts[i]` rows of class i."""
        right = self.right.to(records.labels.device)
        have = torch.bincount(records.labels[right], minlength=records.num_classes)
        enough = have >= torch.tensor(counts, device=have.device)
        rows = (right | ~enough[records.labels]).nonzero().flatten()
        mass = None if records.weights is None else records.weights[rows]
        some = replace(
            records,
            features=records.features[rows],
            labels=records.labels[rows],
            weights=mass,
        )
        picks = self.base.pick(some, counts, rng)
        inside = picks.weights.coalesce()
        places, columns = inside.indices()
        where = torch.stack([places, rows.to(columns.device)[columns]])
        size = (len(picks.labels), len(records.labels))
        weights = torch.sparse_coo_tensor(
            where, inside.values(), size, check_invariants=False
        )
        return replace(picks, weights=weights)


def fill_empty(cluster: Tensor, count: int) -> Tensor:
    """Give each empty cluster (equal rows leave some) a row of the largest one.

    Example:
        >>> fill_empty(torch.tensor([0, 0, 0]), 2)
        tensor([0, 0, 1])
    """
    cluster = cluster.clone()
    for empty in (torch.bincount(cluster, minlength=count) == 0).nonzero().flatten():
        largest = torch.bincount(cluster, minlength=count).argmax()
        cluster[(cluster == largest).nonzero().flatten()[-1]] = empty
    return cluster


def _mass(records: Records, members: Tensor) -> Tensor:
    """How much each of `members` counts."""
    if records.weights is None:
        return records.features.new_ones(len(members))
    return records.weights[members].to(records.features.dtype)


def _real(records: Records, counts: Sequence[int], choose: Any) -> Picks:
    """Picks of real records, `choose(features, mass, count) -> rows of a class`."""
    chosen = []
    for label, count in enumerate(counts):
        members = (records.labels == label).nonzero().flatten()
        mass = _mass(records, members)
        chosen.append(members[choose(records.features[members], mass, count)])
    return real_picks(records, counts, torch.cat(chosen))


def real_picks(records: Records, counts: Sequence[int], rows: Tensor) -> Picks:
    """Picks of records as they are.

    Args:
        records: the training records.
        counts: of each class.
        rows: `[m]`, class by class.

    Example:
        >>> records = Records(torch.eye(2), torch.tensor([1, 0]), 2)
        >>> real_picks(records, (1, 1), torch.tensor([1, 0])).labels.tolist()
        [0, 1]
    """
    where = torch.stack([torch.arange(len(rows), device=rows.device), rows])
    return _picks(records, counts, where, records.features.new_ones(len(rows)))


def _picks(
    records: Records,
    counts: Sequence[int],
    where: Tensor,
    values: Tensor,
    *,
    real: bool = True,
) -> Picks:
    size = (sum(counts), len(records.labels))
    weights = torch.sparse_coo_tensor(where, values, size, check_invariants=True)
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(list(counts)))
    return Picks(weights.coalesce(), labels.to(where.device), real)
