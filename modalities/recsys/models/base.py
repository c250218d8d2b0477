"""What every model of this package has in common, and how its rows are checked."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from multidd import seeds
from multidd.arguments import public_function

if TYPE_CHECKING:
    from multidd.recsys.data.log import InteractionLog
    from multidd.recsys.summary.summary import RecsysSummary

__all__ = [
    "Data",
    "Model",
    "Recommender",
    "Scorer",
    "backed",
    "checked",
    "fit",
    "popularity",
]


Scorer: TypeAlias = Callable[[csr_array], Tensor]
"""Histories `[b, I]`, of any users, to float32 scores `[b, I]`: not masked, finite."""

Data: TypeAlias = "InteractionLog | RecsysSummary | csr_array"


class Model(ABC):
    """Settings of a model. Subclasses are frozen dataclasses that hold nothing else.

    Example:
        >>> from multidd.recsys.models.poprec import PopRec
        >>> PopRec().fit(csr_array([[1, 0], [1, 1]])).recommend_history([0], k=1)
        [1]
    """

    @property
    def grid(self) -> tuple[Self, ...]:
        """Settings to choose from on validation data; these alone unless overridden."""
        return (self,)

    @abstractmethod
    def train(
        self, rows: csr_array, weight: NDArray | None, rng: torch.Generator
    ) -> Scorer:
        """Train on histories.

        Args:
            rows: `[m, I]`, 0/1 or fractional, none negative.
            weight: `[m]`, how much each row counts; all alike where None.
            rng: draws whatever is random; the model trains and scores on its device.

        Returns:
            The scorer of any histories.
        """

    def train_grid(
        self,
        rows: csr_array,
        weight: NDArray | None,
        seed: int,
        device: str | torch.device = "cpu",
    ) -> Iterator[tuple[Self, Scorer]]:
        """Every member of `grid` with its scorer, one after another.

        Models whose settings share work override this; each scorer is what `train` of
        that member makes with a fresh generator of `seed` on the device.
        """
        for member in self.grid:
            rng = seeds.at(seed, "train", device=device)
            yield member, member.train(rows, weight, rng)

    def fit(self, data: Data, seed: int = 0, device: str = "cpu") -> "Recommender":
        """Train on a log's training part, a summary or a matrix: see `fit`."""
        return fit(self, data, seed=seed, device=device)


def checked(
    rows: csr_array, weight: NDArray | None
) -> tuple[csr_array, NDArray[np.float32]]:
    """Rows and weights as models take them: float32, without stored zeros.

    Args:
        rows: `[m, I]`.
        weight: `[m]`, or None for ones.

    Returns:
        New rows `[m, I]` and weights `[m]`.

    Raises:
        ValueError: no rows, no items, numbers that are negative or not finite, or not
            one weight for each row.

    Example:
        >>> checked(csr_array([[1, 0]]), None)[1].tolist()
        [1.0]
    """
    m, items = rows.shape
    matrix = csr_array(rows, dtype=np.float32, copy=True)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    weights = np.ones(m) if weight is None else np.asarray(weight)
    for name, values in ("rows", matrix.data), ("weights", weights):
        if not np.isfinite(values).all() or (values < 0).any():
            raise ValueError(f"{name} must be finite and 0 or more, to train on them")
    if not matrix.nnz or weights.shape != (m,) or not weights.any():
        raise ValueError(
            f"training needs interactions and one weight for each row, not all zero; "
            f"got {m} rows of {items} items with {matrix.nnz} interactions and weights "
            f"{list(weights.shape)}"
        )
    return matrix, weights.astype(np.float32)


def popularity(rows: csr_array, weight: NDArray) -> NDArray[np.float32]:
    """`[I]`, the share of the weight of all rows that has each item.

    Example:
        >>> popularity(csr_array([[1, 0], [1, 1]]), np.ones(2)).tolist()
        [1.0, 0.5]
    """
    total = math.fsum(weight.tolist())
    return np.asarray(rows.T @ (weight / total), dtype=np.float32)


def backed(scorer: Scorer, prior: NDArray[np.float32]) -> Scorer:
    """The same scorer, with what is popular for histories that tell nothing.

    Args:
        scorer: histories to scores.
        prior: `[I]` popularity; a history tells nothing where it is zero on all of it.

    Returns:
        The scorer.

    Example:
        >>> scorer = backed(lambda rows: torch.zeros(rows.shape), np.float32([1, 2]))
        >>> scorer(csr_array([[0, 0], [1, 0]])).tolist()
        [[1.0, 2.0], [0.0, 0.0]]
    """
    seen, shown = (prior > 0).astype(np.float32), torch.from_numpy(prior)

    def score(histories: csr_array) -> Tensor:
        scores = scorer(histories)
        blank = np.flatnonzero(histories @ seen == 0)
        if not len(blank):
            return scores
        rows = torch.from_numpy(blank).to(scores.device)
        return scores.index_copy(0, rows, shown.expand(len(blank), -1).to(scores))

    return score


@dataclass(frozen=True, eq=False, repr=False)
class Recommender:
    """A trained model with the ids of its items.

    Attributes:
        model: its settings.
        scorer: what it learned: histories to scores.
        item_ids: `[I]` original ids.
        log: whose users `predict` and `recommend` know; None: none.

    Example:
        >>> from multidd.recsys.models.poprec import PopRec
        >>> fit(PopRec(), csr_array([[1, 0], [1, 1]]))
        Recommender(PopRec(), items=2)
    """

    model: Model
    scorer: Scorer
    item_ids: NDArray
    log: "InteractionLog | None" = None

    def __repr__(self) -> str:
        known = f", users={self.log.num_users}" if self.log is not None else ""
        return f"Recommender({self.model}, items={len(self.item_ids)}{known})"

    def on(self, log: "InteractionLog") -> "Recommender":
        """The same recommender for the users of a log.

        Raises:
            ValueError: the log's items are others, or in another order.
        """
        if not np.array_equal(log.item_ids, self.item_ids):
            shared = len(set(log.item_ids.tolist()) & set(self.item_ids.tolist()))
            raise ValueError(
                f"the log has {len(log.item_ids)} items and the recommender "
                f"{len(self.item_ids)}, {shared} of them shared; they must be the same "
                "ones in the same order: use the log it was trained on or distilled "
                "from"
            )
        return replace(self, log=log)

    def scores(self, context: csr_array) -> Tensor:
        """Scores of all items for users with these histories; not masked.

        Args:
            context: `[b, I]`.

        Returns:
            `[b, I]` float32, on the CPU.

        Raises:
            ValueError: another number of items.
        """
        if context.shape[1] != len(self.item_ids):
            raise ValueError(
                f"histories must be [b, {len(self.item_ids)}], got {context.shape}"
            )
        return self.scorer(csr_array(context, dtype=np.float32)).cpu()

    def predict(self, users: Sequence[Any]) -> Tensor:
        """Scores `[b, I]` of all items for users of the log, by original ids.

        A history is what is known of a user: the training and validation parts.
        """
        return self.scores(self._histories(users))

    def recommend(self, users: Sequence[Any], k: int = 10) -> list[list[Any]]:
        """The k best new items of each user of the log, best first, by original ids.

        Args:
            users: original ids.
            k: items of each user; fewer where a user has seen almost all.

        Returns:
            A list for each user; items of the history are never in it.
        """
        return self._best(self._histories(users), k)

    def recommend_history(self, items: Sequence[Any], k: int = 10) -> list[Any]:
        """The k best new items for someone with this history; nothing is trained.

        Args:
            items: original ids; none at all gives what is popular.
            k: items wanted.

        Returns:
            Original ids, best first.

        Raises:
            ValueError: ids the recommender does not know, the first ones named.

        Example:
            >>> from multidd.recsys.models.ease import EASE
            >>> matrix = csr_array([[1, 1, 0, 0], [1, 1, 0, 1], [0, 0, 1, 1]])
            >>> fit(EASE(ridge=1.0), matrix).recommend_history([0], k=2)
            [1, 3]
        """
        index = {item: place for place, item in enumerate(self.item_ids.tolist())}
        asked = np.asarray(items).tolist()
        unknown = [item for item in asked if item not in index]
        if unknown:
            raise ValueError(
                f"{len(unknown)} of {len(asked)} items are not known: "
                f"{', '.join(map(repr, unknown[:5]))}; leave them out"
            )
        places = sorted({index[item] for item in asked})
        history = csr_array((1, len(self.item_ids)), dtype=np.float32)
        if places:
            ones = np.ones(len(places), dtype=np.float32)
            pairs = np.zeros(len(places), dtype=int), places
            history = csr_array((ones, pairs), shape=history.shape)
        return self._best(history, k)[0]

    def _histories(self, users: Sequence[Any]) -> csr_array:
        if self.log is None:
            raise ValueError(
                "this recommender was not trained on a log, so it knows no users; give "
                "it one by .on(log), or a history by .recommend_history(items)"
            )
        return csr_array(self.log.context[self.log.user_index(users)])

    def _best(self, histories: csr_array, k: int) -> list[list[Any]]:
        from multidd.recsys.models.ranking import top_lists

        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        masked = self.scores(histories).detach().cpu().numpy().copy()
        masked[histories.nonzero()] = -np.inf
        lists = top_lists(masked, k)
        return [self.item_ids[row[row >= 0]].tolist() for row in lists]


@public_function
def fit(model: Model, data: Data, *, seed: int = 0, device: str = "cpu") -> Recommender:
    """Train a model.

    Args:
        model: settings, such as `EASE(ridge=500.0)`.
        data: an `InteractionLog` (its training part is used), a `RecsysSummary` (rows
            count by their weights), or histories `[m, I]`.
        seed: of everything random.
        device: where it is trained and scores.

    Returns:
        The trained `Recommender`.

    Raises:
        TypeError: data of another kind.
        ValueError: no rows, no items, or values that are negative or not finite.

    Example:
        >>> from multidd.recsys.models.poprec import PopRec
        >>> fit(PopRec(), csr_array([[1, 0], [1, 1]])).scores(csr_array((1, 2))).shape
        torch.Size([1, 2])
    """
    rows, weight, item_ids, log = _read(data)
    rows, weight = checked(rows, weight)
    scorer = model.train(rows, weight, seeds.at(seed, "train", device=device))
    return Recommender(model, scorer, item_ids, log)


def _read(data: Any) -> tuple[csr_array, NDArray | None, NDArray, Any]:
    """Rows, weights, item ids and log of anything a model is trained on."""
    if hasattr(data, "user_ids"):
        return data.train, None, data.item_ids, data
    if hasattr(data, "to_csr"):
        return data.to_csr(), data.weight, data.item_ids, None
    if getattr(data, "format", None) == "csr":
        return csr_array(data), None, np.arange(data.shape[1]), None
    raise TypeError(
        "data must be an InteractionLog, a RecsysSummary or a scipy CSR matrix "
        f"[users, items]; got {type(data).__name__}"
    )
