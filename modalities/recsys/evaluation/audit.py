"""The space in which synthetic users are audited: rows of items, of length one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from multidd import seeds
from multidd.evaluation.audit.space import AuditSpace, Source, record_counts
from multidd.recsys.data.log import InteractionLog
from multidd.recsys.models.base import Model, Scorer
from multidd.recsys.models.ease import EASE
from multidd.recsys.models.infinite_ae import InfiniteAE
from multidd.recsys.models.tuning import best
from multidd.recsys.summary.summary import RecsysSummary

__all__ = ["Pieces", "UserSpace", "pieces_of"]

SPACE = "rows of items of length one"

LOSS = "squared error of unseen items for each hidden one"

MODELS: Mapping[str, Model] = {"infinite_ae": InfiniteAE(), "ease": EASE()}
"""Closed forms; their ridge is chosen on validation items, where there are some."""

CHUNK = 2**22
"""Entries of dense rows in memory at once."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """Two pieces of the history of each user, of equal length, and what is left of it.

    Attributes:
        known: `[n, I]`, training items but for the piece of them.
        training: `[n, I]`, the piece of the training items.
        held_out: `[n, I]`, the piece of the test items.
        others: `[n, I]`, above zero at every item of the user, whatever its part.
    """

    known: csr_array
    training: csr_array
    held_out: csr_array
    others: csr_array


def pieces_of(log: InteractionLog, users: NDArray, rng: torch.Generator) -> Pieces:
    """Random pieces of training and of test items of users who have both.

    A piece is as long as there are test items, and leaves one training item at least.

    Args:
        log: the interactions.
        users: `[n]` rows of users with a test item and two training items or more.
        rng: draws.

    Example:
        >>> log = InteractionLog.from_csr(csr_array(np.ones((1, 6))))
        >>> log = log.split([0, 0, 0, 0, 2, 2])
        >>> pieces = pieces_of(log, np.array([0]), torch.Generator())
        >>> pieces.known.nnz, pieces.training.nnz, pieces.held_out.nnz
        (2, 2, 2)
    """
    shape = (len(users), log.num_items)
    columns: dict[str, list[NDArray]] = {"known": [], "training": [], "held_out": []}
    for user in users.tolist():
        train, test = (
            matrix.indices[matrix.indptr[user] : matrix.indptr[user + 1]]
            for matrix in (log.train, log.test)
        )
        size = min(len(test), len(train) - 1)
        train, test = (
            items[torch.randperm(len(items), generator=rng).numpy()]
            for items in (train, test)
        )
        columns["training"].append(train[:size])
        columns["known"].append(train[size:])
        columns["held_out"].append(test[:size])
    parts = {name: _matrix(rows, shape) for name, rows in columns.items()}
    return Pieces(**parts, others=log.matrix[users])


def _matrix(rows: list[NDArray], shape: tuple[int, int]) -> csr_array:
    ends = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    columns = np.concatenate(rows)
    values = np.ones(len(columns), np.float32)
    matrix = csr_array((values, columns, ends), shape=shape)
    matrix.sort_indices()
    return matrix


class UserSpace(AuditSpace):
    """Pieces of histories: of training items, and of test items of the same users.

    No user is held out where every user trains, but items are: a training record is a
    piece of the training items of a user and a held-out one a piece of the test items,
    of equal length. They are alike where the parts were divided at random; where they
    were divided by time, what an attack gains holds the drift too.

    Args:
        summary: synthetic users.
        log: the interactions they were made from.
        seed: of what is drawn.
        device: where models are trained.

    Raises:
        ValueError: too few users with two training items and a test item.

    Example:
        >>> import multidd
        >>> log = multidd.recsys.power_law(60, 40, 900).split()
        >>> space = UserSpace(multidd.recsys.random(log, users=5), log)
        >>> space.members.shape == space.held_out.shape
        True
    """

    name = SPACE
    models = dict.fromkeys(MODELS, LOSS)
    exact = tuple(MODELS)

    def __init__(
        self,
        summary: RecsysSummary,
        log: InteractionLog,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.summary, self.log, self.device = summary, log, device
        lengths = [np.diff(part.indptr) for part in (log.train, log.test)]
        users = np.flatnonzero((lengths[0] > 1) & (lengths[1] > 0))
        count, apart = record_counts(
            len(users), len(users), summary.num_users, log.num_items
        )
        rng = seeds.at(seed, "audit/records")
        order = users[torch.randperm(len(users), generator=rng).numpy()]
        # Users of the independent set are not audited, so both kinds are from here.
        self._independent, self._users = order[:apart], np.sort(order[apart:][:count])
        self.pieces = pieces_of(log, self._users, rng)
        self.members = _unit(self.pieces.training)
        self.held_out = _unit(self.pieces.held_out)
        drawn = self._users[torch.randperm(len(self._users), generator=rng).numpy()]
        self._random = drawn[: summary.num_users]
        self._half = drawn[: len(drawn) // 2]

    @property
    def real(self) -> Tensor:
        """`[n, I]`, whole training histories of the audited users."""
        return _unit(self.log.train[self._users])

    def training(self) -> Iterator[Tensor]:
        """Training histories of all users."""
        step = max(1, CHUNK // self.log.num_items)
        for start in range(0, self.log.num_users, step):
            yield _unit(self.log.train[start : start + step])

    def features(self, source: Source) -> Tensor:
        """Rows of length one."""
        return _unit(self._rows(source)[0])

    def losses(self, source: Source, model: str, seed: int) -> tuple[Tensor, Tensor]:
        """Of the piece of training items and of that of test items, from what is left.

        With s the scores of the items that the user has not, and of those of the
        piece, the loss is their squared error over the length of the piece: 1 where
        all scores are zero.
        """
        scorer, pieces = self._fitted(source, model), self.pieces
        parts: tuple[list[Tensor], list[Tensor]] = ([], [])
        step = max(1, CHUNK // self.log.num_items)
        for start in range(0, len(self._users), step):
            block = slice(start, start + step)
            scores = scorer(pieces.known[block]).float().cpu()
            unknown = torch.from_numpy(pieces.others[block].toarray()) == 0
            common = (scores.square() * unknown).sum(1)
            both = (pieces.training, pieces.held_out)
            for losses, hidden in zip(parts, both, strict=True):
                piece = torch.from_numpy(hidden[block].toarray())
                missed = ((1 - scores).square() * piece).sum(1)
                losses.append((common + missed) / piece.sum(1))
        return torch.cat(parts[0]), torch.cat(parts[1])

    def _rows(self, source: Source) -> tuple[csr_array, NDArray | None]:
        """Rows that a model is trained on, and their weights."""
        if source == "summary":
            return self.summary.to_csr(), self.summary.weight
        if source == "whole":
            return self.log.train, None
        users = {"half": self._half, "random": self._random}
        return self.log.train[users.get(source, self._independent)], None

    def _fitted(self, source: Source, model: str) -> Scorer:
        rows, weight = self._rows(source)
        settings = MODELS[model]
        if isinstance(settings, InfiniteAE) and source == "summary":
            ridge = self.summary.card.settings.get("ridge")
            settings = replace(settings, ridge=ridge)
        rng = seeds.at(0, f"audit/{model}", device=self.device)
        if not self.log.val.nnz:
            return settings.train(rows, weight, rng)
        train, val = self.log.train, self.log.val
        return best(
            settings, rows, weight, train, val, rng=rng, whole=source == "whole"
        ).scorer


def _unit(rows: csr_array) -> Tensor:
    """`[b, I]`, dense rows of length one; empty ones stay empty."""
    dense = torch.from_numpy(np.asarray(rows.toarray(), dtype=np.float32))
    return torch.nn.functional.normalize(dense, dim=1)
