"""Where a summary is audited: features of records, and learners of them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from torch import Tensor

__all__ = [
    "MAX_RECORDS",
    "MAX_VALUES",
    "AuditSpace",
    "Source",
    "max_records",
    "record_counts",
]

Source = Literal["summary", "whole", "half", "random", "independent"]
"""What a learner is trained on: the summary, the whole training data, half of the
training records that are audited, as many of them as the summary has, or as many real
records that are neither training nor audited."""

MAX_RECORDS = 2000
"""Training records, and as many held-out ones, that an audit looks at; drawn alike."""

MAX_VALUES = 2**26
"""Features of these records in memory, of each kind."""


class AuditSpace(ABC):
    """Records of one summary and its data as an audit asks for them.

    Attributes:
        name: what distances are measured in.
        models: learners: name -> the loss that is compared; the loss of the first is
            attacked.
        exact: learners that are solved in closed form, so that a seed changes nothing.
        members: `[n, d]` features of training records.
        held_out: `[n, d]` features of as many records that are not among them.
    """

    name: str
    models: Mapping[str, str]
    exact: Sequence[str]
    members: Tensor
    held_out: Tensor

    @property
    def sources(self) -> tuple[Source, ...]:
        """What there are features of, the whole data left out."""
        return ("summary", "half", "random", "independent")

    @property
    def real(self) -> Tensor:
        """`[n, d]`, real records that are to be covered; the held-out ones."""
        return self.held_out

    @abstractmethod
    def features(self, source: Source) -> Tensor:
        """Features `[m, d]` of the records of a source; not of the whole data."""

    @abstractmethod
    def losses(self, source: Source, model: str, seed: int) -> tuple[Tensor, Tensor]:
        """Losses of a learner that was trained on a source.

        Args:
            source: what it is trained on.
            model: one of `models`.
            seed: of its training.

        Returns:
            `[n]` of the members, and `[u]` of the test records there are, u at least n:
            the first n of them are the held-out ones.
        """

    def training(self) -> Iterator[Tensor]:
        """Features of all training records, chunk after chunk."""
        yield self.members


def max_records(values: int) -> int:
    """How many records of d numbers an audit looks at, at most.

    Args:
        values: d.

    Example:
        >>> max_records(784), max_records(2**20)
        (2000, 64)
    """
    return min(MAX_RECORDS, max(4, MAX_VALUES // values))


def record_counts(
    training: int, held_out: int, synthetic: int, values: int
) -> tuple[int, int]:
    """How many records of each kind are audited, and how many are independent.

    An independent set as large as the summary is taken from the held-out records, a
    half of them at most; what is left is audited, beside as many training records.

    Args:
        training: training records there are.
        held_out: records there are that are no training records.
        synthetic: records of the summary.
        values: d, numbers of the features of a record.

    Returns:
        n and the size of the independent set.

    Raises:
        ValueError: fewer than four of either kind.

    Example:
        >>> record_counts(2500, 1000, 100, 784), record_counts(140, 1000, 70, 1433)
        ((900, 100), (140, 70))
    """
    if min(training, held_out) < 4:
        raise ValueError(
            "an audit compares training records with held-out ones and needs four or "
            f"more of each; got {training} and {held_out}"
        )
    independent = min(synthetic, held_out // 2)
    count = min(training, held_out - independent, max_records(values))
    return count, independent
