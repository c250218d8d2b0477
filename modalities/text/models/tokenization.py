"""Texts as token ids: cut, counted, padded."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from multidd.errors import warn_caller

__all__ = [
    "Columns",
    "Rows",
    "Tokens",
    "between",
    "columns",
    "halves",
    "padded",
    "passes",
    "tokenize",
    "warn_cut",
]


class Columns(NamedTuple):
    """One text for each record, or a pair of them."""

    texts: Sequence[str]
    pairs: Sequence[str] | None


class Tokens(NamedTuple):
    """Token ids as models take them.

    Attributes:
        ids: `[n, L]` int64, padded on the right.
        mask: `[n, L]` int64, 1 at tokens, 0 at padding.
        types: `[n, L]` int64, 0 in the first text and 1 in the second of a pair; None
            of single texts where the model has no such embedding.
    """

    ids: Tensor
    mask: Tensor
    types: Tensor | None


class Rows(NamedTuple):
    """Token ids before padding.

    Attributes:
        ids: of each text.
        types: of each text, or None.
        cut: number of texts that were longer than the most tokens.
    """

    ids: list[list[int]]
    types: list[list[int]] | None
    cut: int

    def take(self, places: Sequence[int]) -> "Rows":
        """Some of the texts."""
        types = self.types
        picked = None if types is None else [types[i] for i in places]
        return Rows([self.ids[i] for i in places], picked, 0)


def columns(texts: Any, pairs: Sequence[str] | None = None) -> Columns:
    """Texts, and the second texts of pairs, checked.

    Args:
        texts: strings, or any object with `texts` and `pairs`, such as `Texts`.
        pairs: as many strings, or None.

    Raises:
        TypeError: one string, or an entry that is none.
        ValueError: columns of two lengths.

    Example:
        >>> columns(["a", "b"]).pairs is None
        True
    """
    if hasattr(texts, "texts"):
        texts, pairs = texts.texts, texts.pairs
    _check_strings("texts", texts)
    if pairs is not None:
        _check_strings("pairs", pairs)
        if len(pairs) != len(texts):
            raise ValueError(
                f"{len(texts)} texts have {len(pairs)} second texts; give one for each"
            )
    return Columns(texts, pairs)


def _check_strings(name: str, texts: Any) -> None:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise TypeError(
            f"{name} must be a list or tuple of strings; got {type(texts).__name__}"
        )
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(
                f"{name} must be strings; number {i} is a {type(text).__name__}; drop "
                "it or write it as text"
            )


def tokenize(
    tokenizer: Any, columns: Columns, max_length: int, typed: bool = False
) -> Rows:
    """Token ids with special tokens, at most `max_length` of each text.

    Args:
        tokenizer: of transformers.
        columns: texts or pairs; of a pair the longer text is cut first.
        max_length: most tokens, special ones counted.
        typed: give token types too; of pairs they are always given.

    Raises:
        ValueError: a text without any token.
    """
    if not columns.texts:
        return Rows([], [] if typed or columns.pairs is not None else None, 0)
    whole = _called(tokenizer, columns, typed)
    long = [i for i, ids in enumerate(whole["input_ids"]) if len(ids) > max_length]
    if long:
        pairs = columns.pairs
        part = Columns(
            [columns.texts[i] for i in long],
            None if pairs is None else [pairs[i] for i in long],
        )
        cut = _called(tokenizer, part, typed, truncation=True, max_length=max_length)
        for name in whole:
            for place, row in zip(long, cut[name], strict=True):
                whole[name][place] = row
    ids = whole["input_ids"]
    empty = [i for i, row in enumerate(ids) if not row]
    if empty:
        raise ValueError(
            f"{len(empty)} texts have no token, the first is number {empty[0]} "
            f"({columns.texts[empty[0]]!r}); drop them"
        )
    types = whole.get("token_type_ids") if typed else None
    if types is None and columns.pairs is not None:
        types = [halves(row) for row in whole["special_tokens_mask"]]
    return Rows(ids, types, len(long))


def _called(
    tokenizer: Any, columns: Columns, typed: bool, **options: Any
) -> dict[str, list[list[int]]]:
    pairs = None if columns.pairs is None else list(columns.pairs)
    encoding = tokenizer(
        list(columns.texts),
        pairs,
        padding=False,
        return_attention_mask=False,
        return_token_type_ids=typed,
        return_special_tokens_mask=pairs is not None,
        verbose=False,
        **({"truncation": False} | options),
    )
    return dict(encoding)


def halves(special: Sequence[int]) -> list[int]:
    """0 in the first text of a pair and at its end, 1 from the second text on.

    Args:
        special: 1 at the tokens that a tokenizer put around and between the two.

    Example:
        >>> halves([1, 0, 0, 1, 1, 0, 1])
        [0, 0, 0, 0, 0, 1, 1]
    """
    before = [1, *special[:-1]]
    starts = [i for i, (b, s) in enumerate(zip(before, special, strict=True)) if b > s]
    second = starts[1] if len(starts) > 1 else len(special)
    return [int(i >= second) for i in range(len(special))]


def between(tokenizer: Any) -> int:
    """How many tokens a tokenizer puts around and between the two texts of a pair.

    Raises:
        ValueError: none between them.
    """
    both = int(tokenizer.num_special_tokens_to_add(pair=True))
    if both <= tokenizer.num_special_tokens_to_add(pair=False):
        raise ValueError(
            f"{type(tokenizer).__name__} puts no token between the two texts of a "
            "pair, so that token vectors could not tell where the second begins; take "
            "a model that separates them, such as BERT, or a method on sentence "
            "embeddings"
        )
    return both


def padded(
    rows: Rows,
    pad: int,
    device: torch.device | str = "cpu",
    *,
    width: int | None = None,
) -> Tokens:
    """Rows as tensors.

    Args:
        rows: token ids.
        pad: id of the padding token.
        device: where the tensors lie.
        width: L, of the longest row unless given.

    Example:
        >>> padded(Rows([[5, 6], [7]], None, 0), 0).ids.tolist()
        [[5, 6], [7, 0]]
    """
    length = max(map(len, rows.ids), default=0) if width is None else width
    ids = torch.full((len(rows.ids), length), pad)
    mask = torch.zeros_like(ids)
    types = None if rows.types is None else torch.zeros_like(ids)
    for i, row in enumerate(rows.ids):
        ids[i, : len(row)] = torch.tensor(row, dtype=torch.int64)
        mask[i, : len(row)] = 1
        if types is not None and rows.types is not None:
            types[i, : len(row)] = torch.tensor(rows.types[i], dtype=torch.int64)
    placed = None if types is None else types.to(device)
    return Tokens(ids.to(device), mask.to(device), placed)


MAX_TOKENS = 2**16
"""Of one pass of a network without gradients, padding counted."""


def passes(
    lengths: Tensor, size: int, max_tokens: int = MAX_TOKENS
) -> Iterator[Tensor]:
    """Rows that go through a network together: no long text makes many others long.

    They are as many as `size`, in order. Where these would be padded to more than
    `max_tokens`, they are parted into texts of like length.

    Args:
        lengths: `[n]`, tokens of each text.
        size: most rows of a pass.
        max_tokens: most tokens of a pass, unless one text alone has more.

    Example:
        >>> lengths = torch.tensor([2, 100, 3, 2])
        >>> [rows.tolist() for rows in passes(lengths, 4, max_tokens=10)]
        [[0, 3, 2], [1]]
    """
    for rows in torch.arange(len(lengths), device=lengths.device).split(size):
        if len(rows) * int(lengths[rows].max()) <= max_tokens:
            yield rows
            continue
        order = rows[lengths[rows].argsort(stable=True)]
        sizes = lengths[order].tolist()
        start = 0
        for end in range(1, len(order) + 1):
            # The next is the longest of the pass so far.
            if end == len(order) or (end + 1 - start) * sizes[end] > max_tokens:
                yield order[start:end]
                start = end


def warn_cut(cut: int, count: int, max_length: int) -> None:
    """Say how many texts were cut.

    The warning is of the line that called the library, so that Python, which shows a
    warning of a line once, tells it once for a call that reads the texts many times.
    """
    if cut:
        warn_caller(
            f"{cut} of {count} texts are longer than {max_length} tokens and were cut; "
            "raise max_length to keep more of them"
        )
