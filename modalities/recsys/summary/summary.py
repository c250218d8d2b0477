"""`RecsysSummary`: a handful of synthetic users."""

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from scipy.sparse import csr_array

from multidd import html
from multidd.errors import CorruptFileError
from multidd.recsys.data.ids import NAMES, pack
from multidd.recsys.summary import export
from multidd.recsys.summary.binarize import histories, mean_length, method_label
from multidd.recsys.summary.storage import SCHEMA, as_matrix, check, restore, store
from multidd.settings import versions
from multidd.storage.codecs import Codec
from multidd.storage.schema import Schema
from multidd.summary import Card, DataSummary

if TYPE_CHECKING:
    from multidd.recsys.data.log import InteractionLog

__all__ = []

MAX_ITEMS, MAX_ROWS = 10, 5
"""Items and rows of a first look in a notebook."""


@dataclass(frozen=True, eq=False, repr=False)
class SyntheticUsers(DataSummary):
    """The stored tensors, and what they say; `RecsysSummary` adds ways in and out.

    Tensors: the matrix, dense `x` `[m, I]` where at least half of it is not zero and
    else `indptr` `[m + 1]`, `indices` and `values` `[nnz]`; `weight` `[m]`, how many
    users a row stands for; the ids, `items` `[I]`, or `items.bytes` and
    `items.offsets` where they are strings.

    Raises:
        CorruptFileError: the tensors do not fit together or hold negative entries or
            NaN; checked whenever one is made, so for every file that is read.
    """

    kind: ClassVar[str] = "recsys"
    schema: ClassVar[Schema] = SCHEMA

    def __post_init__(self) -> None:
        try:
            _ = self.item_ids
        except ValueError as error:
            raise CorruptFileError(
                f"these tensors are no recsys summary: {error}; use another copy of "
                "the file, or RecsysSummary.from_csr"
            ) from None

    @cached_property
    def item_ids(self) -> np.ndarray:
        """`[I]`, the log's own ids: int64, uint64, or `str` in an object array; not to
        be written to."""
        ids = check(self.tensors, self.card.source)
        ids.flags.writeable = False
        return ids

    @property
    def weight(self) -> np.ndarray:
        """`[m]` float32, how many users each row stands for; a copy."""
        return self.tensors["weight"].numpy().copy()

    @property
    def num_users(self) -> int:
        """m."""
        return len(self.tensors["weight"])

    @property
    def num_items(self) -> int:
        """I."""
        return len(self.item_ids)

    @property
    def nnz(self) -> int:
        """Entries that are not zero: numbers that a sparse matrix would hold."""
        name = "x" if "x" in self.tensors else "values"
        return int(self.tensors[name].count_nonzero())

    @property
    def density(self) -> float:
        """nnz / (m I)."""
        return self.nnz / (self.num_users * self.num_items)

    @property
    def binary(self) -> bool:
        """Whether every entry is 0 or 1, as of real histories."""
        values = self.tensors["x" if "x" in self.tensors else "values"]
        return bool(((values == 0) | (values == 1)).all())

    def counts(self, name: str) -> bool:
        """The matrix, its indices and its weights do; the ids belong to the log."""
        return name not in NAMES

    @staticmethod
    def codec_of(name: str) -> Codec:
        """Entries by their ratio to the largest of the row, fitted with 2 bits; what is
        0 stays 0. Of a sparse matrix nothing else becomes 0."""
        kinds = {"x": Codec("log", (0,), coarse="fitted"), "values": Codec("ratio")}
        return kinds.get(name, Codec("exact"))

    @property
    def mean_length(self) -> int:
        """Mean number of training interactions of a real user, rounded."""
        source = self.card.source
        return mean_length(source["train"], source["users"], self.num_items)

    def preview(self) -> str:
        """The items that rows hold most of, and what the first rows hold most of."""
        matrix, weight = self.to_csr(), self.weight
        popular = matrix.T @ weight / weight.sum()
        best = np.argsort(-popular, kind="stable")[:MAX_ITEMS]
        top = [[str(self.item_ids[i]), f"{100 * popular[i]:.1f}"] for i in best]
        rows = []
        for user in range(min(MAX_ROWS, self.num_users)):
            span = slice(matrix.indptr[user], matrix.indptr[user + 1])
            values, items = matrix.data[span], matrix.indices[span]
            first = items[np.argsort(-values, kind="stable")[:MAX_ITEMS]]
            named = ", ".join(str(self.item_ids[i]) for i in first)
            more = ", ..." if len(items) > len(first) else ""
            rows.append([user, len(items), f"{named}{more}"])
        return html.table([["item", "mean entry %"], *top]) + html.table(
            [["row", "entries", "items, the largest first"], *rows],
        )

    def __repr__(self) -> str:
        source, users = self.card.source, self.num_users
        ratio = self.nnz / source["train"]
        return (
            f"RecsysSummary({method_label(self.card)}, users={users:,}, "
            f"nnz={self.nnz:,}, density={self.density:.3g}, "
            f"for {source['users']:,} users, {ratio:.3g} x the log's "
            f"{source['train']:,}, "
            f"{self.size_text}, {self.card.seconds:.1f} s)"
        )

    def to_csr(self) -> csr_array:
        """`[m, I]` float32, canonical; a copy.

        Example:
            >>> from multidd.recsys.summary.summary import RecsysSummary
            >>> source = {"users": 9, "train": 30}
            >>> summary = RecsysSummary.from_csr(np.eye(3), source=source, method="own")
            >>> summary.to_csr().nnz
            3
        """
        return restore(self.tensors, self.num_items)


@dataclass(frozen=True, eq=False, repr=False)
class RecsysSummary(SyntheticUsers):
    """Synthetic users: their rows of items, their weights, the item ids and the card.

    A row is a history: what a recommender is trained on in place of the log. Distilled
    rows are mostly dense and fractional, which is not small: `nnz`, `num_bytes` and
    the repr say how large, and `binarize` gives histories of a set length.
    """

    @classmethod
    def of(cls, matrix: Any, card: Card, *, item_ids: Any, weight: Any = None) -> Self:
        """The summary of a matrix of synthetic users.

        Args:
            matrix: `[m, I]`, a scipy sparse array, a tensor or an array; entries 0 or
                more, of any floating-point or whole-number type.
            card: how it was made; its source as `InteractionLog.describe` tells it.
            item_ids: `[I]`, the log's own ids, in the order of the columns.
            weight: `[m]`, positive; how many users each row stands for, ones unless
                given.

        Returns:
            The summary; nothing in it is shared with the input.

        Raises:
            ValueError: shapes that do not fit, negative entries or NaN.
            TypeError: ids that are neither whole numbers nor strings.

        Example:
            >>> card = Card("mine", {}, 0, {"users": 9, "train": 30}, {})
            >>> RecsysSummary.of(np.eye(2), card, item_ids=["tea", "jam"]).num_items
            2
        """
        ids, kind = pack(item_ids)
        source = dict(card.source) | {"item_type": kind}
        rows, items = as_matrix(matrix), len(item_ids)
        if rows.shape[1] != items:
            raise ValueError(
                f"the matrix is {list(rows.shape)}, and there are {items} item ids; "
                "give one id for each column"
            )
        tensors = store(rows, weight) | ids
        check(tensors, source)  # here input is wrong, in __post_init__ a file
        return cls(tensors, replace(card, source=source))

    @classmethod
    def from_csr(
        cls,
        matrix: Any,
        *,
        source: Mapping[str, Any],
        method: str,
        item_ids: Any = None,
        weight: Any = None,
    ) -> Self:
        """A summary of users that were made elsewhere.

        Args:
            matrix: `[m, I]`, as of `of`.
            source: what they were made from, as `InteractionLog.describe` tells it: at
                least `users` and `train` (training interactions).
            method: name of the method.
            item_ids: `[I]`; 0..I-1 unless given.
            weight: `[m]`, positive; ones unless given.

        Returns:
            A `RecsysSummary` that can be evaluated and saved like ours.

        Raises:
            ValueError: `source` lacks something, or the parts do not fit.

        Example:
            >>> source = {"users": 943, "train": 78676}
            >>> RecsysSummary.from_csr(np.eye(3), source=source, method="mine").nnz
            3
        """
        ids = np.arange(np.shape(matrix)[-1]) if item_ids is None else item_ids
        card = Card(method, {}, 0, dict(source), versions())
        return cls.of(matrix, card, item_ids=ids, weight=weight)

    def to_frame(self) -> Any:
        """A pandas table with a row for each entry.

        Returns:
            Columns named as in the log: the user (0..m-1), the item (the log's own
            id), and `weight`, the entry times the weight of its row; `user_weight`
            too where these are not all one.

        Example:
            >>> source = {"users": 9, "train": 30}
            >>> summary = RecsysSummary.from_csr(np.eye(3), source=source, method="own")
            >>> list(summary.to_frame())
            ['user', 'item', 'weight']
        """
        return export.to_frame(self)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        source: Mapping[str, Any],
        method: str,
        item_ids: Any = None,
    ) -> Self:
        """A summary of a table of interactions; the way back from `to_frame`.

        Args:
            frame: a pandas, polars or Arrow table with the user and item columns that
                `source["columns"]` names (`user` and `item` unless it does), and
                `weight` and `user_weight` if any. Users of any ids; sorted, they are
                the rows, so users without an entry are not among them.
            source, method: as of `from_csr`.
            item_ids: `[I]`, all items of the log; those of the table, sorted, unless
                given.

        Raises:
            ValueError: missing columns or values, an item twice for one user, an item
                that is not among `item_ids`.

        Example:
            >>> source = {"users": 9, "train": 30}
            >>> summary = RecsysSummary.from_csr(np.eye(3), source=source, method="own")
            >>> again = RecsysSummary.from_frame(
            ...     summary.to_frame(), source=source, method="mine"
            ... )
            >>> again.digest() == summary.digest()
            True
        """
        matrix, weight, ids = export.from_frame(frame, source, item_ids)
        return cls.from_csr(
            matrix, source=source, method=method, item_ids=ids, weight=weight
        )

    def to_log(self) -> "InteractionLog":
        """The synthetic users as a log, for whatever takes logs.

        Returns:
            An `InteractionLog` of users 0..m-1 and the original items, all of it
            training. Sizes of entries and weights of rows are not in it: every entry
            above 0 is one interaction.

        Raises:
            ValueError: the matrix is dense and fractional, so that every item would be
                in every history; call `binarize` first.

        Example:
            >>> source = {"users": 9, "train": 30}
            >>> summary = RecsysSummary.from_csr(np.eye(3), source=source, method="own")
            >>> summary.to_log().num_interactions
            3
        """
        return export.to_log(self)

    def to_parquet(self, path: str | pathlib.Path) -> pathlib.Path:
        """Write the table of `to_frame`; the card travels in the file's metadata.

        Args:
            path: the file; it is written aside and renamed.

        Returns:
            The file's path. Any parquet reader takes it; `from_parquet` gives the
            summary back, bit for bit.

        Raises:
            StorageError: the file cannot be written; an older one stays whole.

        Example:
            >>> source = {"users": 9, "train": 30}
            >>> summary = RecsysSummary.from_csr(np.eye(3), source=source, method="own")
            >>> summary.to_parquet("users.parquet").name
            'users.parquet'
        """
        return export.to_parquet(self, path)

    @classmethod
    def from_parquet(cls, path: str | pathlib.Path) -> Self:
        """The summary that `to_parquet` wrote.

        Args:
            path: the file.

        Raises:
            FileNotFoundError: there is no such file.
            CorruptFileError: it is damaged, or another program changed it.
            WrongKindError: a parquet file of something else.

        Example:
            >>> source = {"users": 9, "train": 30}
            >>> summary = RecsysSummary.from_csr(np.eye(3), source=source, method="own")
            >>> path = summary.to_parquet("users.parquet")
            >>> RecsysSummary.from_parquet(path).digest() == summary.digest()
            True
        """
        matrix, weight, ids, card = export.from_parquet(path)
        return cls.of(matrix, card, item_ids=ids, weight=weight)

    def binarize(
        self, length: int | None = None, *, how: str = "top", seed: int = 0
    ) -> Self:
        """Whole interactions instead of fractional ones, a set number in each row.

        Models that need real histories need this. It costs quality, the more the
        shorter the rows are: evaluate it beside the summary.

        Args:
            length: items of each row; the mean length of a real history unless given.
                A row with fewer entries keeps them all.
            how: `"top"`, the largest entries; `"sample"`, drawn without replacement
                in proportion to the entries, those of `distill_cf` to their power of
                its temperature (at which they were drawn, nearly alike).
            seed: of the draws.

        Returns:
            A new summary of ones with the same weights; its card says how it was cut
            and has no score.

        Raises:
            ValueError: another `how`, or a length that is not in 1..I.

        Example:
            >>> source = {"users": 9, "train": 18}
            >>> dense = [[0.1, 0.9, 0.4], [0.6, 0.2, 0.7]]
            >>> summary = RecsysSummary.from_csr(dense, source=source, method="mine")
            >>> summary.binarize().to_csr().toarray()
            array([[0., 1., 1.],
                   [1., 0., 1.]], dtype=float32)
        """
        length = self.mean_length if length is None else length
        rows = self.to_csr()
        temperature = self.card.settings.get("temperature")
        if how == "sample" and temperature is not None and not self.binary:
            rows.data = rows.data.astype(np.float64) ** temperature
        rows = histories(rows, length, how, seed)
        cut = {"length": int(length), "how": how} | (
            {"seed": seed} if how == "sample" else {}
        )
        settings = self.card.settings | {"binarize": cut}
        card = replace(self.card, settings=settings, protocol=None, score=None)
        return type(self).of(rows, card, item_ids=self.item_ids, weight=self.weight)

    def plot(self, path: str | pathlib.Path | None = None, *, data: Any = None) -> Any:
        """Draw item popularity, lengths of histories, and the matrix.

        Args:
            path: a PNG, PDF or SVG to write; None only returns the figure.
            data: the `InteractionLog` it was made from, to stand beside.

        Returns:
            The `matplotlib.figure.Figure`.

        Raises:
            ValueError: a log with other items.

        Example:
            >>> source = {"users": 9, "train": 30}
            >>> summary = RecsysSummary.from_csr(np.eye(3), source=source, method="own")
            >>> len(summary.plot().axes)  # and the bar of colours
            4
        """
        from multidd.recsys.summary.plotting import draw_summary

        return draw_summary(self, path, data)
