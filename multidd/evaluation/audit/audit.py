"""The audit of a summary: epsilon, coverage, nearness and membership."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from multidd.evaluation.audit.coverage import Coverage, coverage_of
from multidd.evaluation.audit.distances import nearest
from multidd.evaluation.audit.epsilon import Epsilon, loss_gap
from multidd.evaluation.audit.membership import Attack, Membership, attack
from multidd.evaluation.audit.nearness import Nearness, nearness_of
from multidd.evaluation.audit.space import AuditSpace, Source

__all__ = ["Audit", "AuditedEvaluator", "audit_of", "auditor"]


@runtime_checkable
class AuditedEvaluator(Protocol):
    """An evaluator whose summaries can be audited."""

    def audit_space(self, summary: Any, seed: int = 0) -> AuditSpace:
        """Features and learners of a summary and its data; once it was checked."""


@dataclass(frozen=True, repr=False)
class Audit:
    """What a summary loses of the real data, and what it tells of single records.

    Attributes:
        epsilon: how far models of the whole data and of the summary are apart.
        coverage: how much of the real data has a synthetic record near.
        nearness: whether synthetic records are nearer to training records.
        membership: attacks that tell training records from held-out ones.
    """

    epsilon: Epsilon
    coverage: Coverage
    nearness: Nearness
    membership: Membership

    @property
    def parts(self) -> Mapping[str, Epsilon | Coverage | Nearness | Membership]:
        """The four parts by name."""
        return {
            "epsilon": self.epsilon,
            "coverage": self.coverage,
            "nearness": self.nearness,
            "membership": self.membership,
        }

    def to_dict(self) -> dict[str, Any]:
        """The four parts as plain values, for JSON; each has a `sentence`."""
        return {name: part.to_dict() for name, part in self.parts.items()}

    def __str__(self) -> str:
        return "\n".join(part.sentence for part in self.parts.values())

    def __repr__(self) -> str:
        attacks = self.membership
        return (
            f"Audit(epsilon={max(self.epsilon.gaps[0].largest):.3g}, "
            f"covered={self.coverage.covered:.2f}, copies={self.nearness.copies:.2f}, "
            f"advantage={attacks.loss.advantage:.2f} by loss and "
            f"{attacks.distance.advantage:.2f} by distance)"
        )


def auditor(evaluator: Any) -> AuditedEvaluator:
    """The evaluator, where it can audit.

    Raises:
        TypeError: it cannot.

    Example:
        >>> auditor(3)
        Traceback (most recent call last):
        ...
        TypeError: int audits no summaries; leave audit= out
    """
    if not isinstance(evaluator, AuditedEvaluator):
        raise TypeError(
            f"{type(evaluator).__name__} audits no summaries; leave audit= out"
        )
    return evaluator


def audit_of(space: AuditSpace, numbers: Sequence[int]) -> Audit:
    """Audit a summary.

    Args:
        space: its records, those of its data, and learners.
        numbers: seeds of what is trained; what is solved takes the first.

    Example:
        >>> import torch
        >>> from multidd.evaluation.audit.labelled import LabelledSpace, Learner, Records
        >>> x, y = torch.arange(40.0)[:, None], torch.arange(40) % 2
        >>> real = Records(lambda rows: x[rows], y)
        >>> def fit(records, seed):
        ...     return lambda x: torch.zeros(len(x), 2)
        >>> train, test = real.some(torch.arange(0, 40, 2)), real.some(torch.arange(1, 40, 2))
        >>> learners = {"nothing": Learner(fit, "squared error")}
        >>> space = LabelledSpace("numbers", 2, train.some(torch.arange(5)), train, test, learners)
        >>> audit = audit_of(space, [0])
        >>> audit.epsilon.gaps[0].largest, audit.nearness.copies
        ((0.0,), 1.0)
    """  # noqa: E501
    first = next(iter(space.models))

    @cache
    def losses(source: Source, model: str, seed: int) -> tuple[Tensor, Tensor]:
        return space.losses(source, model, seed)

    @cache
    def features(source: Source) -> Tensor:
        return space.features(source)

    def attacks(source: Source) -> dict[str, Attack]:
        records = features(source)
        near = nearest(space.members, records), nearest(space.held_out, records)
        members, tested = losses(source, first, numbers[0])
        return {
            "loss": attack(members, tested[: len(members)]),
            "distance": attack(*near),
        }

    gaps = []
    for model, loss in space.models.items():
        exact = model in space.exact
        of_seeds = numbers[:1] if exact else numbers
        pairs = [
            (losses("whole", model, seed)[1], losses("summary", model, seed)[1])
            for seed in of_seeds
        ]
        gaps.append(loss_gap(model, loss, pairs, exact=exact))
    synthetic, controls = features("summary"), space.sources[1:]
    on_summary = attacks("summary")
    return Audit(
        Epsilon(len(losses("summary", first, numbers[0])[1]), tuple(gaps)),
        coverage_of(space.real, synthetic, features("random"), space.name),
        nearness_of(
            synthetic, space.members, space.held_out, space.name, space.training()
        ),
        Membership(
            len(space.members),
            first,
            space.name,
            on_summary["loss"],
            on_summary["distance"],
            {source: attacks(source) for source in controls},
        ),
    )
