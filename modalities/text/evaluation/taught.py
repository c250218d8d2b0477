"""Fresh learners of the kind that a set was learned for, after its learned steps."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from multidd.text.data.texts import Texts
from multidd.text.evaluation.replay import replay
from multidd.text.models.encoder import Encoder
from multidd.text.models.finetuned import FineTuned
from multidd.text.models.learners import MeanVectors, TextCNN
from multidd.text.models.recurrent import Recurrent
from multidd.text.models.vocabulary import Table
from multidd.text.models.word_vectors import StaticTable
from multidd.text.summary.summary import TextSummary
from multidd.text.tasks.token_batch import Shown, layers

__all__ = ["learner_of", "taught"]

KINDS = {one.__name__: one for one in (TextCNN, MeanVectors, Recurrent)}
"""Learners on token vectors, as cards name them."""


def taught(
    summary: TextSummary,
    encoder: Encoder,
    vectors: Callable[[], StaticTable],
    seed: int = 0,
) -> Callable[[Texts], Tensor]:
    """What a fresh learner says after exactly the learned steps.

    Args:
        summary: with learned step sizes, as `tbptt` and `attention_labels` make it.
        encoder: the summary's, where it is of one.
        vectors: gives the static word vectors, where it is of those.
        seed: of the learner's weights.

    Returns:
        Texts to classes `[n]`.

    Raises:
        ValueError: no learned steps, another table, or a learner of one's own, which
            the card cannot give back.
    """
    told = summary.card.settings.get("table") or {}
    table: Table = vectors() if told.get("kind") == "static" else encoder
    net = learner_of(summary, encoder)
    weights = replay(net, summary, table=table, seed=seed)
    one = {name: w[0] for name, w in weights.items()}

    def answer(texts: Texts) -> Tensor:
        with torch.no_grad():
            parts = Shown.of(texts, table, False).parts()
            scores = [layers(net, one, part)[-1] for part in parts]
        return torch.cat(scores).argmax(1)

    return answer


def learner_of(summary: TextSummary, encoder: Encoder) -> Any:
    """The learner that a set was learned for: the card's, or the encoder with a head.

    Args:
        summary: the set.
        encoder: its encoder.

    Raises:
        ValueError: a learner of one's own.
    """
    told = summary.card.settings.get("learner")
    if told is None:
        return FineTuned(encoder)
    if told["kind"] not in KINDS:
        raise ValueError(
            f"the set was learned for {told['kind']!r}, which is none of "
            f"{', '.join(KINDS)}; take its steps by multidd.text.replay"
        )
    fields = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in told.items()
        if name != "kind"
    }
    kind: Any = KINDS[told["kind"]]
    return kind(**fields)
