"""Texts as a task on token vectors sees them: in batches, with a cost for each.

Axis letters beside the library's: `L` places of a text, `e` width of token vectors.
"""

from dataclasses import dataclass, fields
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.learning.functional import Cost, cost
from multidd.protocols import Params
from multidd.text.data.texts import Texts
from multidd.text.models.encoder import Encoder
from multidd.text.models.layers import mean_over
from multidd.text.models.vocabulary import Table, Vocabulary

__all__ = ["Shown", "TokenBatch", "attention_gap", "layers", "losses", "start"]


MIN_PROBABILITY = 1e-8
"""Below this a share of attention counts as this much."""


def attention_gap(logits: Tensor, seen: Tensor, mask: Tensor) -> Tensor:
    r"""`[b]`, how far a model's attention is from its labels.

    $\frac{1}{LH} \sum_{l,h} \mathrm{KL}(\mathrm{softmax}(B_{lh}) \,\Vert\, a_{lh})$
    over layers and heads, with $a_{lh}$ the attention of the first token.

    Args:
        logits: `[b, layers, heads, L]`, B.
        seen: `[b, layers, heads, L, L]`, attention of a model.
        mask: `[b, L]`, nonzero at tokens; padding has no share.

    Reference:
        Maekawa, Kobayashi, Funakoshi, Okumura, "Dataset Distillation with Attention
        Labels for Fine-tuning BERT", ACL 2023.

    Example:
        >>> seen = torch.full((1, 2, 3, 4, 4), 0.25)
        >>> attention_gap(torch.zeros(1, 2, 3, 4), seen, torch.ones(1, 4)).item()
        0.0
    """
    present = (mask != 0)[:, None, None]
    log = logits.masked_fill(~present, -torch.inf).log_softmax(-1)
    log = log.masked_fill(~present, 0.0)
    share = log.exp() * present
    ours = seen[..., 0, :].clamp(min=MIN_PROBABILITY).log()
    return (share * (log - ours)).sum(-1).mean((1, 2))


def start(
    encoder: "object", x: Tensor, mask: Tensor, types: Tensor | None = None
) -> Tensor:
    """Logits of the pre-trained attention of the first token, to learn from.

    They are its logarithm, `[m, layers, heads, L]`.

    Args:
        encoder: an `Encoder`.
        x: `[m, L, e]`.
        mask: `[m, L]`.
        types: `[m, L]`, token types of pairs, or None.
    """
    with torch.no_grad():
        _, seen = encoder.attentions(x, mask, types)  # type: ignore[attr-defined]
    return seen[..., 0, :].clamp(min=MIN_PROBABILITY).log()


BATCH_SIZE = 256
"""Texts that a model is scored on at a time."""


@dataclass(frozen=True, eq=False)
class TokenBatch:
    """Texts as token vectors, or as what an encoder made of them.

    Attributes:
        y: `[b]`.
        x: `[b, L, e]`; None of real texts whose pooled features are all that counts.
        mask: `[b, L]` bool.
        soft: `[b, c]`, soft labels, where there are any.
        pooled: `[b, d]`, features of real texts.
        attention: `[b, layers, heads, L]`, logits of attention labels, if any.
        types: `[b, L]`, of pairs: 0 in the first text and 1 in the second.
    """

    y: Tensor
    x: Tensor | None = None
    mask: Tensor | None = None
    soft: Tensor | None = None
    pooled: Tensor | None = None
    attention: Tensor | None = None
    types: Tensor | None = None

    def take(self, rows: Tensor) -> "TokenBatch":
        """Some of the texts."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        selected: Any = {n: None if t is None else t[rows] for n, t in parts.items()}
        return TokenBatch(**selected)


@dataclass(frozen=True, eq=False)
class Shown:
    """Labelled texts, read once: token ids, or pooled features.

    Attributes:
        y: `[n]`.
        table: `[V, e]`, vectors of the ids.
        ids: `[n, L]`, or None.
        mask: `[n, L]`, or None.
        pooled: `[n, d]`, or None.
        types: `[n, L]` of pairs, or None.
    """

    y: Tensor
    table: Tensor
    ids: Tensor | None = None
    mask: Tensor | None = None
    pooled: Tensor | None = None
    types: Tensor | None = None

    @classmethod
    def of(cls, texts: Texts, table: Table, frozen: bool, device: str = "cpu") -> Self:
        """The texts under an embedding table.

        Args:
            texts: labelled texts.
            table: a `StaticTable` or an `Encoder`.
            frozen: pooled features are all that is needed: of the encoder, kept on
                disk, or means of word vectors.
            device: where tensors lie.

        Example:
            >>> from multidd.text.models.word_vectors import StaticTable
            >>> y = torch.tensor([1, 0])
            >>> some = Texts(("good", "bad"), None, y, ("x", "y"), (0, 1))
            >>> table = StaticTable.of((["good", "bad"], torch.eye(2)))
            >>> Shown.of(some, table, frozen=True).pooled.tolist()
            [[1.0, 0.0], [0.0, 1.0]]
        """
        y = texts.labels.to(device)
        if isinstance(table, Encoder) and frozen:
            from multidd.text.models.feature_cache import features

            return cls(y, table.table, pooled=features(table, texts).to(device))
        vocabulary = Vocabulary.of(table, texts)
        ids, mask, types = vocabulary.tokens(texts)
        types = None if types is None else types.to(device)
        placed = ids.to(device), mask.to(device)
        whole = cls(y, vocabulary.rows.to(device), *placed, types=types)
        return cls(y, whole.table, pooled=whole.features()) if frozen else whole

    def features(self) -> Tensor:
        """`[n, d]`, the pooled features; of token ids the means of their vectors."""
        if self.pooled is not None:
            return self.pooled
        assert self.ids is not None and self.mask is not None
        parts = (part.split(BATCH_SIZE) for part in (self.ids, self.mask))
        means = [
            mean_over(F.embedding(ids, self.table), mask)
            for ids, mask in zip(*parts, strict=True)
        ]
        return torch.cat(means)

    def batch(self, rows: Tensor) -> TokenBatch:
        """Some of the texts, without columns that are padding in all of them."""
        if self.pooled is not None:
            return TokenBatch(self.y[rows], pooled=self.pooled[rows])
        assert self.ids is not None and self.mask is not None
        mask = self.mask[rows] != 0
        longest = max(int(mask.sum(1).max()), 1)
        x = F.embedding(self.ids[rows, :longest], self.table)
        types = None if self.types is None else self.types[rows, :longest]
        return TokenBatch(self.y[rows], x, mask[:, :longest], types=types)

    def parts(self) -> Any:
        """Batches of all texts, in order."""
        rows = torch.arange(len(self.y), device=self.y.device)
        return (self.batch(part) for part in rows.split(BATCH_SIZE))


def layers(learner: Any, weights: Params, batch: TokenBatch) -> list[Tensor]:
    """What a learner makes of a batch, the logits last.

    Args:
        learner: on token vectors; one that is `typed` sees the token types of pairs,
            the others see the two texts joined.
        weights: of one model.
        batch: with token vectors.
    """
    features: list[Tensor] = learner.features(
        weights, batch.x, batch.mask, **_kinds(learner, batch)
    )
    return features


def _kinds(learner: Any, batch: TokenBatch) -> dict[str, Tensor]:
    if batch.types is None or not getattr(learner, "typed", False):
        return {}
    return {"types": batch.types}


def losses(
    learner: Any,
    weights: Params,
    batch: TokenBatch,
    targets: Tensor,
    weight: float = 0.0,
    kind: Cost = "cross_entropy",
) -> Tensor:
    """`[b]`, what texts cost under one model; attention labels count by `weight`.

    Args:
        learner: on token vectors.
        weights: of one model.
        batch: with token vectors.
        targets: `[b, c]`.
        weight: of attention labels, where the batch has them.
        kind: what logits cost.
    """
    if not weight or batch.attention is None:
        return cost(layers(learner, weights, batch)[-1], targets, kind)
    assert batch.mask is not None
    arguments = weights, batch.x, batch.mask
    outputs, seen = learner.attentions(*arguments, **_kinds(learner, batch))
    gap = attention_gap(batch.attention, seen, batch.mask)
    return cost(outputs[-1], targets, kind) + weight * gap
