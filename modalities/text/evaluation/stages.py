"""What the lines of `multidd bench text` do with a set before they judge it."""

from collections.abc import Callable

from multidd.text.data.benchmarks import given
from multidd.text.summary.decode import resolved, to_words
from multidd.text.summary.summary import TextSummary, encoder_of

__all__ = ["STAGES"]


def words(made: TextSummary, data: str) -> TextSummary:
    """The text of token vectors, from its strings, with the same labels."""
    return to_words(made, encoder_of(made.card))


def words_resolved(made: TextSummary, data: str) -> TextSummary:
    """The same with labels solved again on the training texts."""
    return resolved(words(made, data), given(data)[0])


STAGES: dict[str, Callable[[TextSummary, str], TextSummary]] = {
    "words": words,
    "words, labels solved again": words_resolved,
}
"""By the name that lines have."""
