"""A tournament: candidates are made, judged on held-out training data, one stays.

Which method is best depends on the data, on the budget and on what will be trained. A
tournament asks: every candidate is trained on by a few small plain models, which are
scored on training records that no candidate has seen. Test data take no part.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from multidd.engine.options import RunSettings
from multidd.engine.progress import announce
from multidd.errors import OutOfTimeError
from multidd.settings import versions
from multidd.storage.cache import read_cached, write_cached
from multidd.storage.fields import Number, Record
from multidd.summary import DataSummary

__all__ = ["Candidate", "Judge", "Standing", "hold"]

S = TypeVar("S", bound=DataSummary)

_SCORES = Record(others=Number(low=-1e9, high=1e9))


@dataclass(frozen=True, eq=False)
class Candidate(Generic[S]):
    """One way to make a summary.

    Attributes:
        name: of the candidate, which is that of its folder too.
        make: makes it within the settings of a run, whose time is what is left.
    """

    name: str
    make: Callable[[RunSettings], S]


@dataclass(frozen=True, eq=False)
class Judge(Generic[S]):
    """Scores a summary by small plain trainings.

    Attributes:
        key: what decides the scores beside the summary, as JSON: they are kept in the
            cache, so that a run which was stopped does not judge twice.
        scores: of each training, by name; higher is better.
    """

    key: Mapping[str, Any]
    scores: Callable[[S], Mapping[str, float]]

    def __call__(self, summary: S) -> dict[str, float]:
        """The score of each training, from the cache where it lies there."""
        key = {**self.key, "summary": summary.digest(), "versions": versions()}
        known = read_cached("tournament", key, _SCORES)
        if known is None:
            known = {name: float(score) for name, score in self.scores(summary).items()}
            write_cached("tournament", key, known)
        return known


@dataclass(frozen=True)
class Standing:
    """How a candidate did.

    Attributes:
        name: of the candidate.
        scores: of each training on held-out records; empty where it was not made, as
            the time was over, or was alone.
        seconds: that making it took.
        judged_in: seconds of its trainings.

    Example:
        >>> Standing("dm", {"cnn": 0.75, "mlp": 0.5}, 30.0, 4.0).mean
        0.625
    """

    name: str
    scores: Mapping[str, float]
    seconds: float = 0.0
    judged_in: float = 0.0

    @property
    def mean(self) -> float:
        """Mean score over all trainings; that of no training is below all others."""
        return statistics.fmean(self.scores.values()) if self.scores else float("-inf")

    def to_dict(self) -> dict[str, Any]:
        """The standing as plain values, for a card.

        Example:
            >>> Standing("dm", {}).to_dict()["mean"] is None
            True
        """
        return {
            "name": self.name,
            "mean": round(self.mean, 6) if self.scores else None,
            "scores": {name: round(score, 6) for name, score in self.scores.items()},
            "seconds": round(self.seconds, 3),
            "judged_in": round(self.judged_in, 3),
        }


def hold(
    label: str,
    candidates: Sequence[Candidate[S]],
    judge: Judge[S] | None,
    run: RunSettings,
    spent: float = 0.0,
) -> tuple[S, tuple[Standing, ...]]:
    """Make every candidate, judge each, and return the one with the best mean.

    Args:
        label: what is said before each line: the method.
        candidates: one or more; of equal ones the first stays.
        judge: scores them; None takes the first candidate and makes no other.
        run: its checkpoint folder has one for each candidate; its time limit is that of
            all. Once it is over no further candidate is begun, and those that were made
            are judged as they are.
        spent: seconds that were taken before.

    Returns:
        The best summary, and the standing of each candidate, in their order.

    Raises:
        OutOfTimeError: the time was over before the first candidate was made.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> def make(run):
        ...     return multidd.images.random(train, ipc=1, seed=run.seed)
        >>> summary, standings = hold("x", [Candidate("random", make)], None,
        ...     RunSettings(seed=3))
        >>> summary.card.seed, standings[0].name
        (3, 'random')
    """
    began = time.perf_counter()
    made_so_far: list[tuple[S, Standing]] = []
    standings = []
    for candidate in candidates if judge is not None else candidates[:1]:
        left = None
        if run.timeout is not None:
            left = run.timeout - spent - (time.perf_counter() - began)
            if left <= 0 and made_so_far:
                standings.append(Standing(candidate.name, {}))
                continue
        started = time.perf_counter()
        try:
            summary = candidate.make(_within(run, candidate.name, left))
        except OutOfTimeError:
            if not made_so_far:
                raise
            standings.append(Standing(candidate.name, {}))
            continue
        seconds = time.perf_counter() - started
        scores = judge(summary) if judge is not None and len(candidates) > 1 else {}
        judged_in = time.perf_counter() - started - seconds
        standing = Standing(candidate.name, scores, seconds, judged_in)
        standings.append(standing)
        made_so_far.append((summary, standing))
        _tell(label, standing, run.progress)
    best, _ = max(made_so_far, key=lambda pair: pair[1].mean)
    return best, tuple(standings)


def _within(run: RunSettings, name: str, left: float | None) -> RunSettings:
    """The settings of one candidate: its folder, and the time that is left."""
    options = replace(run.options, timeout=None if left is None else max(left, 0.0))
    folder = None if run.checkpoint is None else f"{run.checkpoint}/{name}"
    return replace(run, checkpoint=folder, options=options)


def _tell(label: str, standing: Standing, shown: bool | None) -> None:
    scored = f", {standing.mean:.3f} on held-out records" if standing.scores else ""
    line = f"{label}: {standing.name} {standing.seconds:.1f} s{scored}"
    announce(line, shown, event="candidate", task=label, **standing.to_dict())
