"""From a set of vectors to one of texts: stages that give a new summary each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.arguments import public_function
from multidd.evaluation.kernel_predictor import KERNEL_BLOCK
from multidd.kernels import resolve
from multidd.protocols import Draw
from multidd.summary import Card
from multidd.text.data.readers import as_texts
from multidd.text.models.encoder import Encoder, encoder_of
from multidd.text.models.feature_cache import features
from multidd.text.models.kernel_predictor import (
    DEFAULT,
    kernel_model,
    kernel_of,
    one_hot,
)
from multidd.text.models.nearest import Metric
from multidd.text.models.vocabulary import Vocabulary, check_key, matrix_key
from multidd.text.summary.nearest_text import decode_sentences, decode_tokens
from multidd.text.summary.summary import TextSummary

__all__ = ["features_of", "resolved", "to_sentences", "to_words"]

KEPT = ("y", "y_soft", "weight")
"""Tensors of a set that decoding leaves as they are."""


TOKENS = ("mask", "ids", "types", "attention")
"""Tensors that token vectors alone have."""


@public_function
def to_words(
    summary: TextSummary,
    table: Any,
    *,
    metric: Metric = "cosine",
    within: Any = None,
) -> TextSummary:
    """A set of token vectors as texts: the nearest word at each place.

    Args:
        summary: of token vectors.
        table: the `Encoder` or `StaticTable` that it was made in.
        metric: see `decode_tokens`.
        within: texts, whose words alone are allowed.

    Returns:
        A summary with texts, labels kept. `x` are the features of these texts, by the
        encoder, from their strings; or, of a static table, their word vectors, so that
        learned steps can be replayed. `card.settings["decoding"]` tells the mean
        similarity, the share of texts that come back whole through the tokenizer, and
        that of different texts.

    Raises:
        ValueError: a set without token vectors; another table than the set's.

    Example:
        >>> import multidd
        >>> few = (["so good", "so bad"], [1, 0])
        >>> options = multidd.text.TokensOptions(length=4)
        >>> summary = multidd.text.tokens(few, 1, steps=0, options=options)
        >>> sorted(to_words(summary, Encoder.of()).texts)
        ['so bad', 'so good']
    """
    x, mask = summary.tensors["x"], summary.tensors.get("mask")
    if x.dim() != 3 or mask is None:
        raise ValueError(
            f"{summary!r} holds no token vectors; to_sentences decodes features"
        )
    vocabulary = Vocabulary.of(table, within)
    check_key(summary.card.settings.get("table"), vocabulary.key, vocabulary.name)
    types = summary.tensors.get("types")
    decoded = decode_tokens(x, mask, vocabulary, metric, types=types)
    facts = {
        "by": "words",
        "metric": metric,
        "similarity": float(decoded.similarity[decoded.similarity != 0].mean()),
        "round_trip": decoded.round_trip,
        "returned": float(decoded.returned.mean()),
        "unique": unique(decoded.texts, decoded.pairs),
    }
    unchanged = {
        name: summary.tensors[name] for name in KEPT if name in summary.tensors
    }
    texts = _filled(decoded.texts)
    pairs = None if decoded.pairs is None else _filled(decoded.pairs)
    if isinstance(vocabulary.source, Encoder):
        draw = unchanged | {"x": features(vocabulary.source, texts, pairs)}
    else:
        draw = unchanged | {
            "x": F.embedding(decoded.ids, vocabulary.rows),
            "mask": mask,
        }
        draw |= {} if types is None else {"types": types}
    return TextSummary.of(draw, _carded(summary.card, facts), texts, pairs)


def unique(texts: Sequence[str], pairs: Sequence[str] | None = None) -> float:
    """The share of different texts, or of different pairs.

    Args:
        texts: m texts.
        pairs: m second texts, if any.

    Example:
        >>> unique(["a", "a"]), unique(["a", "a"], ["b", "c"])
        (0.5, 1.0)
    """
    both = texts if pairs is None else list(zip(texts, pairs, strict=True))
    return len(set(both)) / len(both)


def _filled(texts: Sequence[str]) -> tuple[str, ...]:
    """No text is empty."""
    return tuple(text if text.strip() else "." for text in texts)


@public_function
def to_sentences(
    summary: TextSummary,
    corpus: Any,
    *,
    encoder: Any = None,
    same_class: bool = True,
    unique: bool = True,
) -> TextSummary:
    """A set of embeddings, or of token vectors, as the nearest real sentences.

    Args:
        summary: of features, or of token vectors of an encoder.
        corpus: labelled texts, in any form that `as_texts` takes: the training texts.
        encoder: the summary's, where its name alone does not find it.
        same_class: take sentences of the same class.
        unique: no sentence twice.

    Returns:
        A summary of these sentences, with their features, their rows of the corpus as
        `source`, and the labels as they were. `card.settings["decoding"]` tells the
        mean cosine and the share of different texts.

    Raises:
        ValueError: another encoder than the summary's; too few sentences.

    Example:
        >>> import multidd
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> summary = multidd.text.kip(few, per_class=1, steps=2)
        >>> len(to_sentences(summary, few).texts)
        2
    """
    values = tuple(summary.card.source["labels"])
    texts = as_texts(corpus, values=values)
    source = encoder_of(summary.card, encoder)
    theirs = features(source, texts)
    y = summary.tensors["y"]
    decoded = decode_sentences(
        features_of(summary, source),
        theirs,
        y,
        texts.labels,
        same_class=same_class,
        unique=unique,
    )
    facts = {
        "by": "sentences",
        "cosine": float(decoded.cosine.mean()),
        "unique": decoded.unique,
    }
    unchanged = {
        name: summary.tensors[name] for name in KEPT if name in summary.tensors
    }
    some = texts.take(decoded.rows)
    draw = unchanged | {"x": theirs[decoded.rows], "source": decoded.rows}
    return TextSummary.of(draw, _carded(summary.card, facts), some.texts, some.pairs)


@public_function
def resolved(
    summary: TextSummary,
    corpus: Any,
    *,
    encoder: Any = None,
    ridge: float | None = None,
) -> TextSummary:
    """Replace labels by those with which kernel ridge regression predicts best.

    Args:
        summary: of texts with features, such as `to_words` and `to_sentences` give.
        corpus: labelled texts, the training texts, in any form that `as_texts` takes.
        encoder: the summary's, where its name alone does not find it.
        ridge: of the kernel predictor; the summary's own unless given.

    Returns:
        A summary with centered labels; its kernel predictor predicts the corpus with
        the least squared error that any labels allow. See `multidd.kernels`.
        Where the labels as they were predict more of the corpus rightly, these stay:
        the least squared error is not always the most right answers.
        `card.settings["resolved"]` tells whether labels were changed.

    Raises:
        ValueError: another encoder than the summary's.

    Example:
        >>> import multidd
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> summary = multidd.text.kip(few, per_class=1, steps=2)
        >>> resolved(to_sentences(summary, few), few).card.labels
        'centered'
    """
    texts = as_texts(corpus, values=tuple(summary.card.source["labels"]))
    source = encoder_of(summary.card, encoder)
    x, theirs = features_of(summary, source), features(source, texts)
    kernel: dict[str, Any] = dict(summary.card.settings.get("kernel") or DEFAULT)
    kernel |= {} if ridge is None else {"ridge": ridge}
    soft = best_labels(x, theirs, texts.labels, summary.num_classes, kernel)
    _, old = summary.to_tensors()
    old = one_hot(old, summary.num_classes) if old.dim() == 1 else old
    real = theirs, texts.labels
    better = _fit(x, soft, *real, kernel) >= _fit(x, old, *real, kernel)
    settings = dict(summary.card.settings) | {"kernel": kernel, "resolved": better}
    card = replace(summary.card, settings=settings)
    draw: Draw = dict(summary.tensors) | {"x": x}
    if better:
        card, draw = replace(card, labels="centered"), draw | {"y_soft": soft}
    draw = {n: t for n, t in draw.items() if n not in TOKENS}
    return TextSummary(
        {name: tensor.contiguous() for name, tensor in draw.items()}, card
    )


def _fit(
    x: Tensor, targets: Tensor, corpus: Tensor, y: Tensor, kernel: Mapping[str, Any]
) -> tuple[float, float]:
    """Accuracy of the kernel predictor of points, and minus its mean squared error."""
    with torch.no_grad():
        model = kernel_model(x, targets, kernel)
        answers = torch.cat([model(part) for part in corpus.split(KERNEL_BLOCK)])
    goal = one_hot(y, targets.shape[1]) - 1 / targets.shape[1]
    right = (answers.argmax(1) == y).float().mean()
    return float(right), -float((answers - goal).square().mean())


def best_labels(
    x: Tensor, corpus: Tensor, y: Tensor, classes: int, kernel: Mapping[str, Any]
) -> Tensor:
    """`[m, c]`, centered labels of points by which the kernel predictor is best.

    Args:
        x: `[m, d]`, features of the points.
        corpus: `[n, d]`, features of the real texts.
        y: `[n]`, their classes.
        classes: c.
        kernel: settings, as of `kernel_of` of `multidd.text.models.kernel_predictor`,
            and `ridge`.

    Example:
        >>> y = torch.tensor([0, 1])
        >>> best_labels(torch.eye(2), torch.eye(2), y, 2, DEFAULT).argmax(1).tolist()
        [0, 1]
    """
    gram = kernel_of(kernel)
    targets = F.one_hot(y, classes).to(x.dtype) - 1 / classes
    ridge = kernel.get("ridge", DEFAULT["ridge"])
    with torch.no_grad():
        return resolve(gram(x), gram(corpus, x), targets, ridge)[1]


def features_of(summary: TextSummary, encoder: Encoder) -> Tensor:
    """`[m, d]`, features of a set: its own, or those of its token vectors.

    Args:
        summary: the set.
        encoder: its encoder.

    Raises:
        ValueError: token vectors of another table than the encoder's.
    """
    x = summary.tensors["x"]
    if x.dim() == 2:
        return x
    key = matrix_key(encoder.table)
    check_key(summary.card.settings.get("table"), key, encoder.name)
    with torch.no_grad():
        mask, types = summary.tensors["mask"], summary.tensors.get("types")
        return encoder.through(x, mask, types).cpu()


def _carded(card: Card, facts: Mapping[str, Any]) -> Card:
    return replace(card, settings=dict(card.settings) | {"decoding": dict(facts)})
