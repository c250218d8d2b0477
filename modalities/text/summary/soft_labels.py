"""Distilled texts for a plain `transformers.Trainer`: loss and collator."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.learning.optim import to_simplex

__all__ = ["collator", "soft_label_loss"]


def soft_label_loss(
    logits: Any,
    soft: Tensor,
    weight: Tensor | None = None,
    *,
    num_items_in_batch: Any = None,
) -> Tensor:
    r"""Cross-entropy with soft labels and weights.

    $$-\frac{\sum_i w_i \sum_c y_{ic} \log p_{ic}}{\sum_i w_i \sum_c y_{ic}}$$

    A `Trainer` takes it as `compute_loss_func=soft_label_loss`, with the batches of
    `collator`, whose labels have the weights in them.

    Args:
        logits: `[b, c]`, or the output of a model that has them.
        soft: `[b, c]`, probabilities, or these times a weight of the row; `[b]` of
            class numbers too.
        weight: `[b]`, how much each row counts; equal unless given.
        num_items_in_batch: what a `Trainer` passes; the mean is over weights instead.

    Returns:
        A scalar.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> round(soft_label_loss(logits, torch.eye(2)).item(), 4)
        0.1269
    """
    scores = logits if isinstance(logits, Tensor) else logits["logits"]
    if soft.dim() == 1:
        soft = F.one_hot(soft, scores.shape[1])
    if soft.shape != scores.shape:
        raise ValueError(
            f"soft labels must be {list(scores.shape)}, as the logits; got "
            f"{list(soft.shape)}; has the model as many labels as there are classes?"
        )
    mass = soft.to(scores.dtype)
    if weight is not None:
        mass = mass * weight.to(scores)[:, None]
    return -(mass * scores.log_softmax(1)).sum() / mass.sum()


def collator(
    tokenizer: Any, classes: int, *, max_length: int = 128
) -> Callable[[Sequence[Mapping[str, Any]]], dict[str, Tensor]]:
    """What makes batches of the rows of `TextSummary.to_dataset()`.

    Args:
        tokenizer: of the model that is trained.
        classes: c.
        max_length: most tokens of a text.

    Returns:
        A function of rows. Texts (and pairs) are tokenized and padded; rows of
        `inputs_embeds` go in as they are, with their token types. `labels` are
        `[b, c]`: the soft label, or the one-hot one, times the weight. Centered labels
        become the nearest probabilities. The `Trainer` must be told
        `remove_unused_columns=False`.

    Example:
        >>> from multidd.text.encoder import Encoder
        >>> collate = collator(Encoder.of().tokenizer, classes=2)
        >>> batch = collate([{"text": "fine", "label": 1, "weight": 2.0}])
        >>> batch["labels"].tolist()
        [[0.0, 2.0]]
    """

    def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        return {**_inputs(rows, tokenizer, max_length), "labels": labels(rows, classes)}

    return collate


def labels(rows: Sequence[Mapping[str, Any]], classes: int) -> Tensor:
    """`[b, c]`, probabilities times weights, of rows of a dataset.

    Example:
        >>> labels([{"label": 0, "soft_label": [0.25, -0.25]}], 2).tolist()
        [[0.75, 0.25]]
    """
    if "soft_label" in rows[0]:
        soft = torch.tensor([row["soft_label"] for row in rows], dtype=torch.float32)
        if bool((soft.sum(1).abs() < 1e-3).all()):  # centered
            soft = soft + 1 / classes
        soft = to_simplex(soft)
    else:
        hard = torch.tensor([row["label"] for row in rows])
        soft = F.one_hot(hard, classes).float()
    mass = torch.tensor([row.get("weight", 1.0) for row in rows])
    return soft * mass[:, None]


def _inputs(
    rows: Sequence[Mapping[str, Any]], tokenizer: Any, max_length: int
) -> dict[str, Tensor]:
    if "inputs_embeds" in rows[0]:
        x = torch.tensor([row["inputs_embeds"] for row in rows], dtype=torch.float32)
        mask = [row.get("attention_mask", [1] * x.shape[1]) for row in rows]
        inputs = {"inputs_embeds": x, "attention_mask": torch.tensor(mask)}
        if "token_type_ids" in rows[0]:
            types = [row["token_type_ids"] for row in rows]
            inputs["token_type_ids"] = torch.tensor(types)
        return inputs
    if "text" not in rows[0]:
        raise ValueError(
            f"rows hold {', '.join(rows[0])} and no text: a set of embeddings trains "
            "no model of texts; decode it first. (A Trainer that drops the column "
            "needs remove_unused_columns=False.)"
        )
    columns = [[row[n] for row in rows] for n in ("text", "pair") if n in rows[0]]
    options = {"truncation": True, "padding": True, "max_length": max_length}
    return dict(tokenizer(*columns, return_tensors="pt", **options))
