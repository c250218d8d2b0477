"""Report of a set of texts: scores of every stage and facts of the text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multidd.evaluation.evaluate import evaluate
from multidd.evaluation.report import Report
from multidd.evaluation.table import aligned, markdown, terminal_width
from multidd.text.data.readers import as_texts
from multidd.text.evaluation.evaluator import Evaluator
from multidd.text.models.encoder import Encoder, encoder_of
from multidd.text.models.feature_cache import features
from multidd.text.models.word_vectors import StaticTable
from multidd.text.summary.decode import KEPT, resolved, to_sentences, to_words, unique
from multidd.text.summary.summary import TextSummary

__all__ = ["TextReport", "overlap", "report"]

BESIDE = ("random", "herding", "medoids", "whole")
"""Rows of equal size, and whole data."""


@dataclass(frozen=True, repr=False)
class TextReport:
    """What `report` found. `print` it, or take it to Markdown.

    Attributes:
        accuracy: of each training set under each model, between 0 and 1.
        facts: of the text: `cosine` of the vectors to it, `round_trip` through the
            tokenizer, share of `unique` texts, `overlap` with test texts.

    Example:
        >>> print(TextReport({"decoded": {"kernel": 0.5}}, {"unique": 1.0}))
                 kernel
        -------  ------
        decoded  50.0
        <BLANKLINE>
        unique 1.00
    """

    accuracy: Mapping[str, Mapping[str, float]]
    facts: Mapping[str, float]

    def to_markdown(self) -> str:
        """A Markdown table, and the facts below it."""
        return f"{markdown(self._cells())}\n\n{self._told()}\n"

    def __str__(self) -> str:
        table = aligned(self._cells(), terminal_width())
        return f"{table}\n\n{self._told()}"

    def __repr__(self) -> str:
        return f"TextReport({', '.join(self.accuracy)}; {self._told()})"

    def _cells(self) -> list[list[str]]:
        models = list(dict.fromkeys(m for row in self.accuracy.values() for m in row))
        rows = [
            [name, *(f"{100 * row[m]:.1f}" if m in row else "" for m in models)]
            for name, row in self.accuracy.items()
        ]
        return [["", *models], *rows]

    def _told(self) -> str:
        return ", ".join(f"{name} {value:.2f}" for name, value in self.facts.items())


def report(
    summary: TextSummary,
    on: Any,
    train: Any,
    *,
    encoder: Any = None,
    vectors: Any = None,
    models: Sequence[str] = ("kernel", "logistic"),
    seeds: int = 1,
) -> TextReport:
    """Accuracy of a set, of its decoded text and of baselines, and facts of the text.

    The text is judged with the same labels and with labels solved again; baselines are
    random texts, herding, medoids and whole data.

    Sets that learned their steps are judged by these (`"replay"`), as vectors and as
    their text. Labels solved again are never worse than the same labels for the kernel
    predictor on the training texts (`resolved` keeps the better of the two); test texts
    choose nothing.

    Args:
        summary: the set.
        on: test texts.
        train: training texts.
        encoder: the summary's, where the card does not tell where it is; that of
            `kernel` and `logistic` for a set on word vectors.
        vectors: the word vectors of such a set; GloVe unless given.
        models: of `multidd.evaluate`; `"textcnn"` asks another learner, slowly.
        seeds: trainings of each.
    """
    encoder = encoder_of(summary.card, encoder)
    words = _words(summary, encoder, vectors)
    text = (
        summary
        if summary.texts is not None
        else words or to_sentences(summary, train, encoder=encoder)
    )
    plain = _featured(text, encoder)

    def scores(one: TextSummary, models: Sequence[str], rows: Sequence[str]) -> Report:
        real = Evaluator(on, train=train, encoder=encoder, vectors=vectors)
        return evaluate(
            one,
            real,
            models=models,
            rows=rows,
            seeds=seeds,
            regimes=(),
            progress=False,
        )

    accuracies: dict[str, dict[str, float]] = {}
    for name, one in _stages(
        summary, text, plain, resolved(plain, train, encoder=encoder)
    ):
        fit = [m for m in models if one.texts is not None or m in FEATURES]
        if one.tensors["x"].dim() == 3:  # of word vectors, or what learned steps take
            fit = [] if _static(one) else fit
            fit += ["replay"] if "rate" in one.card.settings.get("learned", {}) else []
        if fit:
            report = scores(one, fit, [])
            accuracies[name] = {m: report.accuracy(m) for m in fit}
    beside = scores(plain, models, BESIDE)
    for row in BESIDE:
        if row != text.card.method:
            accuracies[row] = {m: beside.accuracy(m, row) for m in models}
    return TextReport(accuracies, _facts(text, on))


def _stages(
    summary: TextSummary, text: TextSummary, plain: TextSummary, solved: TextSummary
) -> list[tuple[str, TextSummary]]:
    """What is judged, by the names of the rows."""
    if text is summary:  # real texts: nothing was decoded
        return [("texts", summary), ("texts, labels solved again", solved)]
    steps = [("decoded, its steps", text)] if text is not plain else []
    return [
        ("embeddings", summary),
        *steps,
        ("decoded, same labels", plain),
        ("decoded, labels solved again", solved),
    ]


def _static(summary: TextSummary) -> bool:
    """Whether a set is of word vectors."""
    return (summary.card.settings.get("table") or {}).get("kind") == "static"


def _words(summary: TextSummary, encoder: Encoder, vectors: Any) -> TextSummary | None:
    """The words nearest to token vectors; None of other sets."""
    if summary.texts is not None or summary.tensors["x"].dim() != 3:
        return None
    return to_words(summary, StaticTable.of(vectors) if _static(summary) else encoder)


def _featured(text: TextSummary, encoder: Encoder) -> TextSummary:
    """Texts with their features by the encoder, in the place of word vectors."""
    if text.tensors["x"].dim() != 3:
        return text
    assert text.texts is not None
    draw = {name: text.tensors[name] for name in KEPT if name in text.tensors}
    draw |= {"x": features(encoder, text.texts, text.pairs)}
    return TextSummary.of(draw, text.card, text.texts, text.pairs)


FEATURES = ("kernel", "logistic", "softmax")
"""Models that need no texts."""


def _facts(text: TextSummary, on: Any) -> dict[str, float]:
    decoding = text.card.settings.get("decoding", {})
    names = {"cosine": "cosine", "similarity": "cosine", "round_trip": "round_trip"}
    facts = {new: float(decoding[old]) for old, new in names.items() if old in decoding}
    ours = text.texts or ()
    test = as_texts(on, values=tuple(text.card.source["labels"]))
    facts["unique"] = unique(ours, text.pairs)
    return facts | {"overlap": overlap(ours, test.texts)}


def overlap(ours: Sequence[str], test: Sequence[str]) -> float:
    """The largest share of the words of one of our texts that one test text has too.

    Args:
        ours: texts.
        test: test texts.

    Example:
        >>> overlap(["a fine film"], ["a film", "what a day"])
        0.6666666666666666
    """
    theirs = [set(text.lower().split()) for text in test]
    mine = [set(text.lower().split()) for text in ours]
    return max((len(a & b) / len(a) for a in mine if a for b in theirs), default=0.0)
