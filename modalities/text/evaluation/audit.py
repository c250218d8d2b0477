"""The space in which distilled texts are audited: embeddings of their encoder."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from multidd.evaluation.audit.labelled import (
    Answer,
    LabelledSpace,
    Learner,
    Records,
    centered_targets,
    mlp,
)
from multidd.text.models.kernel_predictor import kernel_model
from multidd.text.models.training import TextTrainingSet, logistic

__all__ = ["text_space"]


def text_space(
    summary: tuple[Tensor, Tensor, Tensor],
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    split_rows: tuple[Tensor, Tensor],
    kernel: dict[str, Any],
    classes: int,
    encoder: str = "",
    seed: int = 0,
    device: str = "cpu",
) -> LabelledSpace:
    """Embeddings of texts; the kernel predictor, logistic regression and an MLP.

    Args:
        summary: embeddings `[m, d]`, labels `[m]` or `[m, c]`, and weights `[m]`.
        train: embeddings `[n, d]` and classes `[n]` of training texts.
        test: of held-out texts.
        split_rows: rows of the training texts to train on, and of those held out.
        kernel: settings of the kernel predictor.
        classes: c.
        encoder: its name.
        seed: of what is drawn.
        device: where learners are trained.

    Raises:
        ValueError: too few texts.

    Example:
        >>> x, y = torch.eye(20), torch.arange(20) % 2
        >>> few, split = (x[:2], y[:2], torch.ones(2)), (torch.arange(10),) * 2
        >>> parts = few, (x[:10], y[:10]), (x[10:], y[10:]), split
        >>> list(text_space(*parts, {"kind": "rbf", "ridge": 0.1}, 2).models)
        ['kernel', 'logistic', 'mlp']
    """
    x, y, weight = summary
    real, held_out = (_records(*part) for part in (train, test))
    rest, chosen_on = (real.some(rows) for rows in split_rows)
    learners = {
        "kernel": Learner(partial(_regressed, kernel, classes), "squared error"),
        "logistic": Learner(
            partial(_logistic, classes), "cross entropy", max_rows=None
        ),
        "mlp": mlp(classes, rest, chosen_on),
    }
    name = f"embeddings of {encoder}" if encoder else "embeddings"
    records = Records(lambda rows: x[rows], y, weight)
    parts = (records, real, held_out)
    return LabelledSpace(name, classes, *parts, learners, seed, device)


def _records(x: Tensor, y: Tensor) -> Records:
    return Records(lambda rows: x[rows], y)


def _regressed(
    kernel: dict[str, Any], classes: int, records: Records, seed: int
) -> Answer:
    return kernel_model(records.x, centered_targets(records.y, classes), kernel)


def _logistic(classes: int, records: Records, seed: int) -> Answer:
    """Logits of scikit-learn's solution, by hard labels; its `log` of chances."""
    hard = records.y if records.y.dim() == 1 else records.y.argmax(1)
    weight = torch.ones(len(hard)) if records.weight is None else records.weight
    targets = torch.nn.functional.one_hot(hard, classes).float()
    answer = logistic(TextTrainingSet(records.x, targets, y=hard, weight=weight))
    # A class that is not in the set has no chance: its loss is large and finite.
    return lambda x: answer(x).clamp(min=1e-6).log()
