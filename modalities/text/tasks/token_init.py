"""Real texts as the start of learned token vectors, and ids of learned ones."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.text.data.texts import Texts
from multidd.text.models.nearest import nearest
from multidd.text.models.tokenization import Tokens
from multidd.text.models.vocabulary import Vocabulary

__all__ = ["Fill", "fixed", "started", "tokens_of"]

Fill = Literal["pad", "free", "repeat"]
"""What stands behind a text that is shorter than the learned ones."""


def started(
    vocabulary: Vocabulary, texts: Texts, length: int, fill: Fill = "pad"
) -> dict[str, Tensor]:
    """Token vectors of real texts.

    Args:
        vocabulary: the embedding table.
        texts: m texts.
        length: L, special tokens counted; longer texts are cut.
        fill: `"pad"`, nothing; `"free"`, vectors of zero that count; `"repeat"`, the
            words of the text again.

    Returns:
        `x` `[m, L, e]`, `ids` and `mask` `[m, L]`, and of pairs `types` `[m, L]`.

    Raises:
        ValueError: no such fill.

    Example:
        >>> from multidd.text.models.word_vectors import StaticTable
        >>> vocabulary = Vocabulary.of(StaticTable.of((["good", "film"], torch.eye(2))))
        >>> some = Texts(("good film",), None, torch.tensor([0]), ("x", "y"), (0, 1))
        >>> started(vocabulary, some, 3, "repeat")["ids"].tolist()
        [[1, 2, 1]]
    """
    if fill not in get_args(Fill):
        raise ValueError(
            f"fill must be one of {', '.join(get_args(Fill))}; got {fill!r}"
        )
    tokens = vocabulary.tokens(texts, length)
    if fill == "repeat":
        tokens = _repeated(vocabulary, tokens, length)
    gap = length - tokens.ids.shape[1]
    ids = F.pad(tokens.ids, (0, gap), value=vocabulary.pad)
    mask = F.pad(tokens.mask, (0, gap))
    x = F.embedding(ids, vocabulary.rows.cpu())
    x = torch.where((mask != 0)[..., None], x, 0.0)
    draw = {"x": x, "ids": ids, "mask": torch.ones_like(mask)}
    draw |= {} if fill == "free" else {"mask": mask}
    if tokens.types is None:
        return draw
    types = F.pad(tokens.types, (0, gap))
    # What is learned behind a pair belongs to its second text.
    return draw | {"types": torch.where((mask == 0) & (draw["mask"] != 0), 1, types)}


def fixed(vocabulary: Vocabulary, ids: Tensor, mask: Tensor) -> Tensor:
    """Places of tokens that are never learned, `[m, L]` bool.

    These are start and end, and those between the texts of a pair.

    Padding that counts (`fill="free"`) is learned.

    Args:
        vocabulary: the embedding table.
        ids: `[m, L]`.
        mask: `[m, L]`.
    """
    frame = vocabulary.special[vocabulary.special != vocabulary.pad].to(ids.device)
    return torch.isin(ids, frame) & (mask != 0)


def tokens_of(vocabulary: Vocabulary, x: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """`[m, L]`, nearest tokens of vectors by cosine; special ones and padding stay.

    Args:
        vocabulary: the embedding table.
        x: `[m, L, e]`.
        ids: `[m, L]`, of the start.
        mask: `[m, L]`.
    """
    closest, _ = nearest(x, vocabulary.rows, vocabulary.words.to(x.device), "cosine")
    free = (mask != 0) & ~fixed(vocabulary, ids, mask)
    return torch.where(free, closest, ids)


def _repeated(vocabulary: Vocabulary, tokens: Tokens, length: int) -> Tokens:
    """The words of each text again and again, between the tokens that frame it."""
    rows, kinds = [], []
    special = set(vocabulary.special.tolist())
    types = torch.zeros_like(tokens.ids) if tokens.types is None else tokens.types
    for row, keep, kind in zip(tokens.ids, tokens.mask != 0, types, strict=True):
        halves = [row[keep & (kind == half)].tolist() for half in (0, 1)]
        halves = halves if tokens.types is not None else halves[:1]
        room = length - sum(map(len, halves))
        each = [room - room // 2, room // 2] if len(halves) > 1 else [room]
        parts = [
            _filled(half, special, len(half) + more, int(vocabulary.words[0]))
            for half, more in zip(halves, each, strict=True)
        ]
        rows.append([i for part in parts for i in part])
        kinds.append([half for half, part in enumerate(parts) for _ in part])
    ids, second = torch.tensor(rows), torch.tensor(kinds)
    return Tokens(ids, torch.ones_like(ids), None if tokens.types is None else second)


def _filled(whole: list[int], special: set[int], length: int, word: int) -> list[int]:
    """The words of one text again until there are so many tokens.

    One without words has the given word.
    """
    words = [i for i in whole if i not in special]
    first = next((n for n, i in enumerate(whole) if i not in special), len(whole) - 1)
    head, tail = whole[: max(first, 0)], whole[max(first, 0) + len(words) :]
    words = words or [word]
    room = length - len(head) - len(tail)
    body = (words * (room // len(words) + 1))[:room]
    return [*head, *body, *tail]
