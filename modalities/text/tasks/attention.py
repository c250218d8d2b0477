"""Attention labels: where the first token of a distilled text is to look."""

import torch
from torch import Tensor

__all__ = ["gap", "start"]

LEAST = 1e-8
"""Below this a share of attention counts as this much."""


def gap(logits: Tensor, seen: Tensor, mask: Tensor) -> Tensor:
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
        >>> gap(torch.zeros(1, 2, 3, 4), seen, torch.ones(1, 4)).item()
        0.0
    """
    kept = (mask != 0)[:, None, None]
    log = logits.masked_fill(~kept, -torch.inf).log_softmax(-1)
    log = log.masked_fill(~kept, 0.0)
    share = log.exp() * kept
    ours = seen[..., 0, :].clamp(min=LEAST).log()
    return (share * (log - ours)).sum(-1).mean((1, 2))


def start(
    encoder: "object", x: Tensor, mask: Tensor, types: Tensor | None = None
) -> Tensor:
    """`[m, layers, heads, L]`: the logarithm of the pre-trained attention of the first
    token, as logits to learn from.

    Args:
        encoder: an `Encoder`.
        x: `[m, L, e]`.
        mask: `[m, L]`.
        types: `[m, L]`, token types of pairs, or None.
    """
    with torch.no_grad():
        _, seen = encoder.attentions(x, mask, types)  # type: ignore[attr-defined]
    return seen[..., 0, :].clamp(min=LEAST).log()
