"""Embedding tables as one kind of thing: rows, strings, and which rows are words.

A `StaticTable` and an `Encoder` both have a table of vectors. What decodes token
vectors or keeps them near words needs the table, and the way to strings and back.

Axis letters: `V` rows, `e` their width, `m` texts, `L` places of a text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from multidd.storage import files
from multidd.text.models.encoder import Encoder
from multidd.text.models.nearest import nearest
from multidd.text.models.tokenization import Tokens, between, columns
from multidd.text.models.transformer import typed
from multidd.text.models.word_vectors import StaticTable

__all__ = [
    "Table",
    "Vocabulary",
    "check_key",
    "check_pairs",
    "matrix_key",
    "near_special",
]

Table = StaticTable | Encoder
"""What has a row for each token."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The rows of an embedding table, and the strings of their ids.

    Make one with `Vocabulary.of`.

    Attributes:
        source: a `StaticTable` or an `Encoder`.
        rows: `[V, e]`, vector of each id; ids count as the source counts them.
        special: ids that frame texts: padding, start, end.
        allowed: `[V]` bool, the ids that stand for words, and may be decoded to.
        key: tells the table from others: digest of the vectors, and, of a static table,
            of its words.
        name: for people.

    Example:
        >>> table = StaticTable.of((["good", "film"], torch.eye(2)))
        >>> Vocabulary.of(table).allowed.tolist()
        [False, True, True]
    """

    source: Table
    rows: Tensor
    special: Tensor
    allowed: Tensor
    key: str
    name: str

    @classmethod
    def of(cls, table: Any, texts: Any = None) -> "Vocabulary":
        """The vocabulary of a table.

        Args:
            table: a `StaticTable`, or an `Encoder`, or a model that `Encoder.of` takes.
            texts: strings or `Texts`: allow their words alone. A static table is
                restricted to them, so that ids count these words.

        Raises:
            ValueError: none of the words is in the table.
        """
        if isinstance(table, Vocabulary):
            return cls.of(table.source, texts) if texts is not None else table
        if isinstance(table, StaticTable):
            return cls._static(table, texts)
        encoder = Encoder.of(table)
        rows = encoder.embedding_table()
        allowed = torch.ones(len(rows), dtype=torch.bool)
        if texts is not None:
            used = encoder.tokens(texts)
            allowed = torch.zeros_like(allowed)
            allowed[used.ids[used.mask > 0].cpu()] = True
        special = encoder.special_ids
        allowed[special], allowed[encoder.unused_ids] = False, False
        return cls(encoder, rows, special, allowed, matrix_key(rows), encoder.name)

    @classmethod
    def _static(cls, table: StaticTable, texts: Any) -> Self:
        source = table if texts is None else table.restricted(texts)
        allowed = torch.ones(len(source) + 1, dtype=torch.bool)
        allowed[0] = False
        pad = torch.zeros(1, dtype=torch.int64)
        return cls(source, source.vectors, pad, allowed, table.key, table.name)

    @property
    def dim(self) -> int:
        """e, width of the vectors."""
        return self.rows.shape[1]

    @property
    def pad(self) -> int:
        """Id of padding."""
        if isinstance(self.source, StaticTable):
            return 0
        return int(self.source.tokenizer.pad_token_id or 0)

    @cached_property
    def words(self) -> Tensor:
        """Ids that are allowed, sorted."""
        return self.allowed.nonzero().flatten()

    def facts(self) -> dict[str, Any]:
        """What a card tells of the table."""
        facts = {"key": self.key, "name": self.name, "width": self.dim}
        if isinstance(self.source, StaticTable):
            return facts | {"kind": "static"}
        return facts | {"kind": "encoder", "typed": typed(self.source.model)}

    def to(self, device: str) -> Self:
        """The same with its rows on another device."""
        return replace(self, rows=self.rows.to(device), allowed=self.allowed.to(device))

    def tokens(self, texts: Any, length: int | None = None) -> Tokens:
        """Ids, mask and, of pairs, types `[n, L]` of texts, special tokens counted.

        Args:
            texts: n strings, or a `Texts`.
            length: most tokens; those of the encoder, or all, unless given.
        """
        if isinstance(self.source, StaticTable):
            return self.source.tokens(texts, length)
        encoder = self.source
        if length is not None:
            max_length = min(length, encoder.max_length)
            encoder = replace(encoder, max_length=max_length)
        ids, mask, types = encoder.tokens(texts)
        if types is not None:
            types = None if columns(texts).pairs is None else types.cpu()
        return Tokens(ids.cpu(), mask.cpu(), types)

    def strings(self, ids: Tensor, mask: Tensor) -> list[str]:
        """Texts of ids, special tokens left out.

        Args:
            ids: `[m, L]`.
            mask: `[m, L]`, nonzero at tokens; of one text of a pair, at its own.
        """
        present = (mask != 0) & ~torch.isin(ids, self.special)
        if isinstance(self.source, StaticTable):
            return self.source.words(torch.where(present, ids, 0))
        decode = self.source.tokenizer.decode
        rows = [row[keep].tolist() for row, keep in zip(ids, present, strict=True)]
        return [decode(row, clean_up_tokenization_spaces=False) for row in rows]

    def returned(self, texts: Sequence[str], ids: Tensor, mask: Tensor) -> Tensor:
        """Tokens of each text that its string gives back, and of how many, `[m, 2]`.

        They come back where the string, cut into tokens again, has them at their place.

        Args:
            texts: strings of the ids.
            ids: `[m, L]`.
            mask: `[m, L]`, as of `strings`.
        """
        counts = []
        for text, row, keep in zip(texts, ids, mask, strict=True):
            ours = row[(keep != 0) & ~torch.isin(row, self.special)].tolist()
            again = self._words_of(text) if text.strip() else []
            same = sum(a == b for a, b in zip(ours, again, strict=False))
            counts.append([same, max(len(ours), len(again))])
        return torch.tensor(counts)

    def _words_of(self, text: str) -> list[int]:
        if isinstance(self.source, StaticTable):
            ids, mask = self.source.ids([text])
            return ids[mask > 0].tolist()
        encoding = self.source.tokenizer(text, add_special_tokens=False, verbose=False)
        return list(encoding["input_ids"])


def matrix_key(rows: Tensor) -> str:
    """SHA-256 of an embedding table's vectors.

    Args:
        rows: `[V, e]`.

    Example:
        >>> matrix_key(torch.eye(2)) == matrix_key(torch.ones(2, 2))
        False
    """
    return files.digest({"rows": rows.detach().cpu().contiguous()})


def check_key(recorded: Any, key: str, name: str) -> None:
    """Refuse a set of token vectors that were learned in another table.

    Args:
        recorded: what the card of the set says of its table.
        key: of the table at hand.
        name: for the message.

    Raises:
        ValueError: another table, or none.

    Example:
        >>> check_key({"key": "ab", "name": "GloVe"}, "ab", "GloVe")
    """
    recorded = recorded or {}
    if recorded.get("key") != key:
        raise ValueError(
            "the set's token vectors lie in the space of the embedding table "
            f"{recorded.get('name')!r} (key {str(recorded.get('key'))[:8]}), and "
            f"{name!r} has another (key {key[:8]}): the same numbers mean other words "
            "there; take the model and the tokenizer that the set was made with"
        )


def check_pairs(texts: Any, table: Table, length: int) -> None:
    """Refuse pairs that token vectors of some length cannot hold.

    Args:
        texts: a `Texts`; single ones always pass.
        table: a `StaticTable`, which joins the two, or an `Encoder`.
        length: of the synthetic texts, in tokens.

    Raises:
        ValueError: a tokenizer that does not tell the two apart; too few tokens.
    """
    if texts.pairs is None:
        return
    extra = between(table.tokenizer) if isinstance(table, Encoder) else 0
    if length < extra + 2:
        raise ValueError(
            f"length must be {extra + 2} tokens or more for a pair: one of each text"
            f"{f' and {extra} around them' if extra else ''}; got {length}"
        )


_SAME = 1e-6
"""Vectors that differ by no more are of one token."""


def near_special(vocabulary: Vocabulary, x: Tensor) -> Tensor:
    """`[m, L]` bool, the places of vectors that are those of start and end tokens.

    Args:
        vocabulary: the embedding table.
        x: `[m, L, e]`.
    """
    if isinstance(vocabulary.source, StaticTable):
        return torch.zeros(x.shape[:-1], dtype=torch.bool, device=x.device)
    frame = vocabulary.special[vocabulary.special != vocabulary.pad].to(x.device)
    if not len(frame):
        return torch.zeros(x.shape[:-1], dtype=torch.bool, device=x.device)
    rows = vocabulary.rows.to(x)[frame]
    place, _ = nearest(x, rows, metric="l2")
    return (x.detach() - rows[place]).abs().amax(-1) <= _SAME
