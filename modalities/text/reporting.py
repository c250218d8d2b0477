"""All that is to be told of a set of texts, in one table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multidd.report import aligned, markdown
from multidd.text.decoded import resolved, to_sentences, to_words, unique
from multidd.text.reading import as_texts
from multidd.text.summary import TextSummary, encoder_of

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
        return f"{aligned(self._cells())}\n\n{self._told()}"

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
    models: Sequence[str] = ("kernel", "logistic"),
    seeds: int = 1,
) -> TextReport:
    """Accuracy of a set, of its text with the same labels and with labels solved again,
    of random texts, herding, medoids and whole data; and facts of the text.

    Labels solved again are never worse than the same labels for the kernel predictor on
    the training texts (`resolved` keeps the better of the two); test texts choose
    nothing.

    Args:
        summary: the set.
        on: test texts.
        train: training texts.
        encoder: the summary's, where the card does not tell where it is.
        models: of `multidd.evaluate`; `"textcnn"` asks another learner, slowly.
        seeds: trainings of each.
    """
    from multidd.evaluation import evaluate

    own = encoder_of(summary.card, encoder)
    text = _text(summary, train, own)
    stages = {
        "embeddings" if text is not summary else "texts": summary,
        "decoded, same labels": text,
        "decoded, labels solved again": resolved(text, train, encoder=own),
    }
    if text is summary:  # real texts: nothing was decoded
        stages.pop("decoded, same labels")
        stages["texts, labels solved again"] = stages.pop(
            "decoded, labels solved again"
        )
    given = {"train": train, "encoder": own, "seeds": seeds, "progress": False}
    found: dict[str, dict[str, float]] = {}
    for name, one in stages.items():
        fit = [m for m in models if one.texts is not None or m in FEATURES]
        told = evaluate(one, on, models=fit, rows=[], **given)
        found[name] = {m: told.accuracy(m) for m in fit}
    beside = evaluate(text, on, models=models, rows=BESIDE, **given)
    for row in BESIDE:
        if row != text.card.method:
            found[row] = {m: beside.accuracy(m, row) for m in models}
    return TextReport(found, _facts(text, on))


FEATURES = ("kernel", "logistic", "softmax")
"""Models that need no texts."""


def _text(summary: TextSummary, train: Any, encoder: Any) -> TextSummary:
    """The set as texts."""
    if summary.texts is not None:
        return summary
    if summary.tensors["x"].dim() == 3:
        return to_words(summary, encoder)
    return to_sentences(summary, train, encoder=encoder)


def _facts(text: TextSummary, on: Any) -> dict[str, float]:
    told = text.card.settings.get("decoding", {})
    names = {"cosine": "cosine", "similarity": "cosine", "round_trip": "round_trip"}
    facts = {new: float(told[old]) for old, new in names.items() if old in told}
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
