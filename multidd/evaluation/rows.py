"""Rows of a report out of trainings: of a protocol, and of plain trainings."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from multidd.evaluation.plain import PlainEvaluator, PlainScores
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.report import Row
from multidd.evaluation.training_jobs import Training, TrainingJobs
from multidd.protocols import Evaluator
from multidd.summary import DataSummary

__all__ = ["PlainPlan", "RowPlan"]

Sets = Sequence[tuple[DataSummary | None, int]]


@dataclass(frozen=True)
class RowPlan:
    """One row of a table: a model on the training sets of one name.

    Attributes:
        name: of the sets.
        model: what is trained.
        protocol: how.
        sets: each with the seed of its training; None stands for whole data.
    """

    name: str
    model: str
    protocol: Protocol
    sets: Sets

    @property
    def trainings(self) -> list[Training]:
        """One for each set."""
        return [
            Training(self.name, records, self.model, seed, self.protocol)
            for records, seed in self.sets
        ]

    def row(self, jobs: TrainingJobs, evaluator: Evaluator, cache: bool) -> Row:
        """Scores of one model on the training sets of one name, each with its seed."""
        values: dict[str, list[float]] = {}
        spent = []
        for training in self.trainings:
            scores, seconds = jobs.scores(training, cache)
            spent.append(seconds)
            for metric, value in scores.items():
                values.setdefault(metric, []).append(value)
            jobs.advance(training)
        summaries = [records for records, _ in self.sets if records is not None]
        seconds_of_each = [records.card.seconds for records in summaries]
        size, num_bytes = evaluator.size(self.sets[0][0])
        return Row(
            name=self.name,
            model=self.model,
            values={metric: tuple(scores) for metric, scores in values.items()},
            size=size,
            num_bytes=num_bytes,
            distill_seconds=statistics.fmean(seconds_of_each)
            if seconds_of_each
            else None,
            training_seconds=statistics.fmean(spent),
            form=evaluator.form(self.sets[0][0]),
        )


@dataclass(frozen=True)
class PlainPlan:
    """One plain training on the summaries, on random records and on whole data.

    Attributes:
        name: of the plain training.
        method: of the summaries.
        summaries: of one method.
        baseline: name and seed to a set of the summary's size.
        seeds: of the trainings.
    """

    name: str
    method: str
    summaries: Sequence[DataSummary]
    baseline: Callable[[str, int], DataSummary | None]
    seeds: Sequence[int]

    def _sets(self) -> Iterator[list[Training]]:
        """Trainings of each summary, then of random records, by seed."""
        for summary in self.summaries:
            yield [self._training(self.method, summary, seed) for seed in self.seeds]
        random = [(self.baseline("random", seed), seed) for seed in self.seeds]
        yield [self._training("random", records, seed) for records, seed in random]

    def _training(self, row: str, records: DataSummary | None, seed: int) -> Training:
        return Training(row, records, self.name, seed)

    @property
    def _whole(self) -> Training:
        return self._training("whole", None, self.seeds[0])

    def trainings(self, evaluator: PlainEvaluator) -> list[Training]:
        """All that have to be done."""
        each = [training for of_set in self._sets() for training in of_set]
        if self.name in evaluator.seedless_plain:
            each = list({id(one.records): one for one in reversed(each)}.values())
        return [*each, self._whole]

    def scores(self, jobs: TrainingJobs, evaluator: PlainEvaluator) -> PlainScores:
        """Of the summary (the mean over several), of random records, of whole data."""
        *by_summary, random = [
            self._of(trainings, jobs, evaluator) for trainings in self._sets()
        ]
        summary = [statistics.fmean(values) for values in zip(*by_summary, strict=True)]
        whole = jobs.plain_score(self._whole)
        assert whole is not None, f"{self.name} cannot take whole data"
        about = evaluator.plain[self.name]
        return PlainScores(self.name, about, tuple(summary), tuple(random), (whole,))

    def _of(
        self,
        trainings: Sequence[Training],
        jobs: TrainingJobs,
        evaluator: PlainEvaluator,
    ) -> list[float]:
        """Of each set with its seed; what a seed does not change is trained once."""
        seedless = self.name in evaluator.seedless_plain
        known: dict[int, float | None] = {}
        values = []
        for training in trainings:
            key = id(training.records)
            if not seedless or key not in known:
                known[key] = jobs.plain_score(training)
            values.append(known[key])
            jobs.advance(training)
        return [value for value in values if value is not None]
