"""What a `RecsysSummary` holds: rows of synthetic users, their weights and items."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from scipy.sparse import csr_array

from multidd.errors import CorruptFileError
from multidd.recsys.data.id_tables import NAMES
from multidd.recsys.summary.binarize import mean_length
from multidd.recsys.summary.storage import check, restore
from multidd.summary import Card, DataSummary


def made_how(card: Card) -> str:
    """The method, and how its rows were made binary, if they were.

    Example:
        >>> cut = {"binarize": {"how": "top", "length": 83}}
        >>> made_how(Card("distill_cf", cut, 0, {}, {}))
        'distill_cf, 83 largest of each row'
    """
    if (cut := card.settings.get("binarize")) is None:
        return card.method
    words = {"top": "largest of", "sample": "drawn from"}
    return f"{card.method}, {cut['length']} {words[cut['how']]} each row"


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

    @property
    def num_bytes(self) -> int:
        """Bytes of the matrix, its indices and its weights. The ids belong to the log
        and are not counted."""
        own = [t for n, t in self.tensors.items() if n not in NAMES]
        return sum(t.numel() * t.element_size() for t in own)

    @property
    def mean_length(self) -> int:
        """Mean number of training interactions of a real user, rounded."""
        source = self.card.source
        return mean_length(source["train"], source["users"], self.num_items)

    def __repr__(self) -> str:
        source, users = self.card.source, self.num_users
        ratio = self.nnz / source["train"]
        dense = "dense: " if "x" in self.tensors else ""
        larger = f", {dense}more numbers than the log" if ratio > 1 else ""
        return (
            f"RecsysSummary({made_how(self.card)}, users={users:,}, "
            f"nnz={self.nnz:,}, density={self.density:.3g}, "
            f"{users / source['users']:.3g} of {source['users']:,} users, "
            f"{ratio:.3g} of {source['train']:,} training interactions{larger}, "
            f"{self.num_bytes / 1024:,.0f} KiB, {self.card.seconds:.1f} s)"
        )

    def to_csr(self) -> csr_array:
        """`[m, I]` float32, canonical; a copy.

        Example:
            >>> from multidd.recsys.summary import RecsysSummary
            >>> source = {"users": 9, "train": 30}
            >>> made = RecsysSummary.from_csr(np.eye(3), source=source, method="mine")
            >>> made.to_csr().nnz
            3
        """
        return restore(self.tensors, self.num_items)
