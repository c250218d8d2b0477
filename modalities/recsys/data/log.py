"""Interactions of users with items as sparse rows, and the ids behind them.

Letters: U users, I items, n interactions; matrices are always users x items.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from scipy import sparse

from multidd import html
from multidd.evaluation.table import folded_facts, terminal_width
from multidd.recsys.data.checks import (
    check_arrays,
    chosen_rows,
    ids_or_range,
    matrix_parts,
)
from multidd.recsys.data.ids import find, kind_of, sorting, to_bytes
from multidd.recsys.data.splits import TEST, TRAIN, VAL, assign, describe_split
from multidd.sketches.labelled import described_facts

NAMES = {"train": TRAIN, "val": VAL, "test": TEST}
"""Part of a log -> its number."""

COUNTED = ("users", "items")
"""Reasons for dropping that begin so count these, not rows."""


@dataclass(frozen=True, eq=False, repr=False)
class InteractionLog:
    """Interactions of users with items; every one of them counts 1.

    `read_log` makes one from events, `from_csr` from a matrix. Arrays are not copied,
    so they must not be written to.

    Attributes:
        indptr: `[U + 1]` int64: interactions of user u are `indptr[u]:indptr[u + 1]`.
        items: `[n]` int32: the item of each; ascending within a user, none twice.
        user_ids: `[U]` original ids: int64, uint64 or `str` (an object array).
        item_ids: `[I]` original ids.
        part: `[n]` int8: 0 train, 1 validation, 2 test; None: all of it is training.
        rating: `[n]` float32, or None. Kept, and used by no model here.
        time: `[n]` int64 or float64, or None; of datetimes: microseconds since 1970.
        dropped: reason -> rows of the source that are not here, and for the reasons
            that begin with `users` or `items`, how many of these.
        columns: role (`user`, `item`, ...) -> name of the column it was read from.
        name: what reports call it.
        divided: how the parts were made, such as `"user-random 0.8/0.1/0.1 seed 0"`.
        item_events: `[I]` int64, events of each item in all data, where the log is a
            sketch of them; else None.
        sketch: what that sketch saw; see `multidd.recsys.sketch`.

    Example:
        >>> from scipy.sparse import csr_array
        >>> InteractionLog.from_csr(csr_array([[1, 0, 1], [0, 1, 0]]), name="two")
        InteractionLog(two, users=2, items=3, interactions=3, density=50 %)
    """

    indptr: np.ndarray
    items: np.ndarray
    user_ids: np.ndarray
    item_ids: np.ndarray
    part: np.ndarray | None = None
    rating: np.ndarray | None = None
    time: np.ndarray | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    divided: str = ""
    item_events: np.ndarray | None = None
    sketch: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_arrays(self)

    # --- sizes --------------------------------------------------------------------

    @property
    def num_users(self) -> int:
        """U, users without interactions counted."""
        return len(self.user_ids)

    @property
    def num_items(self) -> int:
        """I, items without interactions counted."""
        return len(self.item_ids)

    @property
    def num_interactions(self) -> int:
        """n."""
        return len(self.items)

    @property
    def rows(self) -> np.ndarray:
        """`[n]` the user of each interaction, as its number."""
        return np.repeat(np.arange(self.num_users), np.diff(self.indptr))

    def count(self, part: int) -> int:
        """Interactions of one part: 0 train, 1 validation, 2 test."""
        if self.part is None:
            return self.num_interactions if part == TRAIN else 0
        return int(np.count_nonzero(self.part == part))

    # --- matrices -----------------------------------------------------------------

    @cached_property
    def train(self) -> sparse.csr_array:
        """`[U, I]` ones at the training interactions."""
        return self.matrix if self.part is None else self._csr(self.part == TRAIN)

    @cached_property
    def val(self) -> sparse.csr_array:
        """`[U, I]` ones at the validation interactions."""
        return self._csr(self._mask(VAL))

    @cached_property
    def test(self) -> sparse.csr_array:
        """`[U, I]` ones at the test interactions."""
        return self._csr(self._mask(TEST))

    @cached_property
    def context(self) -> sparse.csr_array:
        """`[U, I]` ones at what is known when the test is taken: all but the test."""
        return self.matrix if self.part is None else self._csr(self.part != TEST)

    @cached_property
    def matrix(self) -> sparse.csr_array:
        """`[U, I]` ones at all interactions."""
        return self._csr(None)

    def _mask(self, part: int) -> np.ndarray:
        if self.part is None:
            return np.zeros(self.num_interactions, bool)
        return self.part == part

    def _csr(self, mask: np.ndarray | None) -> sparse.csr_array:
        shape = (self.num_users, self.num_items)
        if mask is None:
            return ones(self.indptr, self.items, shape)
        return ones(masked_indptr(self.indptr, mask), self.items[mask], shape)

    # --- other logs ---------------------------------------------------------------

    def split(
        self,
        by: str | Sequence[Any] | np.ndarray = "user-random",
        shares: Sequence[float] = (0.8, 0.1, 0.1),
        seed: int = 0,
    ) -> Self:
        """The same log, divided into training, validation and test.

        Users of fewer than 3 items train with all of them; `describe()` says how many
        users have nothing to validate or test on.

        Args:
            by: `"user-random"` shuffles each user's items (the protocol of the ∞-AE
                and DISTILL-CF papers; at least one item is test), `"leave-last-out"`
                takes each user's last as test and the one before as validation,
                `"time"` cuts once through all users; or an array of `n` parts (0, 1,
                2, or `"train"`, `"val"`, `"test"`) in the order of the log.
            shares: of train, validation and test; unused by `"leave-last-out"`.
            seed: of the shuffle.

        Raises:
            ValueError: another `by`; shares that are none; a log without times.

        Example:
            >>> from scipy.sparse import csr_array
            >>> log = InteractionLog.from_csr(csr_array([[1] * 10])).split()
            >>> [log.count(part) for part in (0, 1, 2)]
            [7, 1, 2]
        """
        part = assign(self.indptr, self.time, by, shares, seed)
        return replace(self, part=part, divided=describe_split(by, shares, seed))

    def users(self, rows: Any) -> Self:
        """A log of some users only, in the order given; the items stay.

        Args:
            rows: numbers of users, none twice, or a mask of them.

        Raises:
            ValueError: a number that is none, or one that comes twice.

        Example:
            >>> from scipy.sparse import csr_array
            >>> log = InteractionLog.from_csr(csr_array([[1, 0], [1, 1]]))
            >>> log.users([1]).matrix.toarray()
            array([[1., 1.]], dtype=float32)
        """
        chosen = chosen_rows(rows, self.num_users)
        places, indptr = places_of(self.indptr, chosen)
        ids = self.user_ids[chosen]
        return replace(self, indptr=indptr, user_ids=ids, **self._taken(places))

    def select(self, mask: Any) -> Self:
        """A log of some interactions only; users and items stay, if with none.

        Args:
            mask: `[n]` bool.

        Example:
            >>> from scipy.sparse import csr_array
            >>> log = InteractionLog.from_csr(csr_array([[1, 1]]))
            >>> log.select([True, False]).num_interactions
            1
        """
        mask = np.asarray(mask)
        if mask.dtype != bool or mask.shape != (self.num_interactions,):
            raise ValueError(
                f"mask must be {self.num_interactions} booleans, one for each "
                f"interaction; got {mask.dtype} of shape {list(mask.shape)}"
            )
        indptr = masked_indptr(self.indptr, mask)
        return replace(self, indptr=indptr, **self._taken(mask))

    def _taken(self, which: np.ndarray) -> dict[str, Any]:
        names = ("items", "part", "rating", "time")
        arrays = {name: getattr(self, name) for name in names}
        return {k: v if v is None else v[which] for k, v in arrays.items()}

    # --- ids ----------------------------------------------------------------------

    def item_index(self, ids: Any) -> np.ndarray:
        """Columns of items: `[b]` int64, of their original ids.

        Raises:
            ValueError: ids that are not in the log; names the first ones.
        """
        return find(self.item_ids, self._item_order, ids, "item ids")

    def user_index(self, ids: Any) -> np.ndarray:
        """Rows of users: `[b]` int64, of their original ids.

        Raises:
            ValueError: ids that are not in the log; names the first ones.
        """
        return find(self.user_ids, self._user_order, ids, "user ids")

    def history(self, user: Any) -> np.ndarray:
        """Original ids of all items of one user, who is given by the original id.

        Example:
            >>> from scipy.sparse import csr_array
            >>> log = InteractionLog.from_csr(csr_array([[0, 1, 1]]), ["ann"])
            >>> log.history("ann")
            array([1, 2])
        """
        (row,) = self.user_index([user])
        return self.item_ids[self.items[self.indptr[row] : self.indptr[row + 1]]]

    @cached_property
    def _item_order(self) -> np.ndarray | None:
        return sorting(self.item_ids)

    @cached_property
    def _user_order(self) -> np.ndarray | None:
        return sorting(self.user_ids)

    # --- in and out ---------------------------------------------------------------

    @classmethod
    def from_csr(
        cls,
        matrix: Any,
        user_ids: Any = None,
        item_ids: Any = None,
        *,
        columns: Mapping[str, str] | None = None,
        name: str = "",
    ) -> Self:
        """A log of the nonzero entries of a sparse matrix, users x items.

        Empty rows and columns stay (`read_log` leaves them out). Values become
        ratings, unless all are one; an entry stored twice counts once.

        Args:
            matrix: `[U, I]`, scipy sparse.
            user_ids: `[U]` ids; None: 0, 1, 2, ...
            item_ids: `[I]` ids; None: 0, 1, 2, ...
            columns: role -> name of a column, for frames made from the log.
            name: what reports call it.

        Raises:
            TypeError: not a sparse matrix.
            ValueError: negative values or NaN; ids that do not fit.
        """
        indptr, items, rating = matrix_parts(matrix)
        users = ids_or_range(user_ids, matrix.shape[0], "user_ids")
        catalog = ids_or_range(item_ids, matrix.shape[1], "item_ids")
        named = dict(columns or {"user": "user_id", "item": "item_id"})
        return cls(
            indptr, items, users, catalog, rating=rating, columns=named, name=name
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the training part and the item ids.

        Equal for equal data, whatever file, order of rows or machine they came from.

        Example:
            >>> from scipy.sparse import csr_array
            >>> InteractionLog.from_csr(csr_array([[1, 0, 1]])).fingerprint[:8]
            'ac807fad'
        """
        kind = kind_of(self.item_ids)
        sha = hashlib.sha256(f"{self.num_users} {self.num_items} {kind} ".encode())
        sha.update(self.train.indptr.astype("<i8").tobytes())
        sha.update(self.train.indices.astype("<i4").tobytes())
        sha.update(to_bytes(self.item_ids))
        return sha.hexdigest()

    def describe(self) -> dict[str, Any]:
        """Sizes, parts, columns, what was dropped and the fingerprint, as plain JSON.

        `users_without_val` and `users_without_test` count the users that have none.

        Example:
            >>> from scipy.sparse import csr_array
            >>> info = InteractionLog.from_csr(csr_array([[1, 0, 1]])).describe()
            >>> info["users"], info["items"], info["train"], info["test"]
            (1, 3, 2, 0)
        """
        return {
            "name": self.name,
            "users": self.num_users,
            "items": self.num_items,
            "interactions": self.num_interactions,
            "density": self._density(),
            **{name: self.count(part) for name, part in NAMES.items()},
            "users_without_val": self._users_without(VAL),
            "users_without_test": self._users_without(TEST),
            "split": self.divided,
            "columns": dict(self.columns),
            "item_type": kind_of(self.item_ids),
            "dropped": {reason: int(count) for reason, count in self.dropped.items()},
            "sha256": self.fingerprint,
            **described_facts(self.sketch),
        }

    def _density(self) -> float:
        """Interactions over the cells of the matrix; 0 where it has none."""
        return self.num_interactions / max(1, self.num_users * self.num_items)

    def _users_without(self, part: int) -> int:
        """Users that have no interaction of this part."""
        if self.part is None:
            return self.num_users
        return self.num_users - len(np.unique(self.rows[self.part == part]))

    def _repr_html_(self) -> str:
        """Sizes and the most popular items, as notebooks show them."""
        counts = np.asarray(self.train.sum(axis=0)).ravel()
        best = np.argsort(-counts, kind="stable")[:10]
        top = [[str(self.item_ids[i]), f"{int(counts[i]):,}"] for i in best]
        return html.box(repr(self), html.table([["item", "training users"], *top]))

    def __repr__(self) -> str:
        facts = [self.name] if self.name else []
        facts += [f"users={self.num_users:,}", f"items={self.num_items:,}"]
        facts += [f"interactions={self.num_interactions:,}"]
        facts += [f"density={100 * self._density():.3g} %"]
        if self.part is not None:
            counts = [f"{self.count(part):,}" for part in NAMES.values()]
            facts.append(f"{'/'.join(NAMES)}={'/'.join(counts)}")
        reasons = self.dropped.items()
        dropped = sum(n for why, n in reasons if why.split()[0] not in COUNTED)
        if dropped:
            facts.append(f"dropped={dropped:,}")
        return folded_facts("InteractionLog", facts, terminal_width())


def check_log(log: Any) -> InteractionLog:
    """The log, where it is one with something to learn from.

    Raises:
        TypeError: something else.
        ValueError: no training interactions.
    """
    if not isinstance(log, InteractionLog):
        raise TypeError(
            f"log must be an InteractionLog, got {type(log).__name__}; "
            "multidd.recsys.read_log makes one of files, frames and matrices"
        )
    if not log.train.nnz:
        raise ValueError(f"{log!r} has no training interactions")
    return log


def masked_indptr(indptr: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Where each user's interactions begin when only those of a mask are left.

    Args:
        indptr: `[U + 1]` int64.
        mask: `[n]` bool.

    Example:
        >>> masked_indptr(np.array([0, 2, 3]), np.array([True, False, True]))
        array([0, 1, 2])
    """
    before = np.zeros(len(mask) + 1, np.int64)
    np.cumsum(mask, out=before[1:])
    return before[indptr]


def places_of(indptr: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Interactions of some users one after another, and where each user's begin.

    Args:
        indptr: `[U + 1]` int64.
        rows: `[b]` users.

    Example:
        >>> places_of(np.array([0, 2, 3, 5]), np.array([2, 0]))
        (array([3, 4, 0, 1]), array([0, 2, 4]))
    """
    sizes = np.diff(indptr)[rows]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return np.arange(starts[-1]) + np.repeat(indptr[rows] - starts[:-1], sizes), starts


def ones(
    indptr: np.ndarray, items: np.ndarray, shape: tuple[int, int]
) -> sparse.csr_array:
    """A matrix of float32 ones; rows are known to be sorted and without duplicates.

    Example:
        >>> ones(np.array([0, 1]), np.array([1], np.int32), (1, 2)).toarray()
        array([[0., 1.]], dtype=float32)
    """
    values = np.ones(len(items), np.float32)
    matrix = sparse.csr_array((values, items, indptr), shape=shape)
    matrix.has_sorted_indices = matrix.has_canonical_format = True  # no need to look
    return matrix
