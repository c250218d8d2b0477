"""The trainings of label regimes: which sets, under which labels, for how long."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from multidd.evaluation.field_scores import (
    FieldScores,
    augmentation_robust_score,
    hard_label_recovery,
    label_robust_score,
)
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.regimes import (
    OWN_LABELS,
    STORED,
    RegimeEvaluator,
    RegimeReport,
    RegimeRow,
    RegimeScore,
)
from multidd.evaluation.significance import independent_pairs, paired_difference
from multidd.evaluation.teacher import Teacher
from multidd.evaluation.training_jobs import Training, TrainingJobs
from multidd.settings import versions
from multidd.storage.cache import read_cached, write_cached
from multidd.storage.fields import Number, Record, Text
from multidd.summary import DataSummary

__all__ = ["RegimePlan"]


@dataclass(frozen=True)
class RegimePlan:
    """What is trained under which labels.

    Attributes:
        evaluator: trains.
        summaries: of one method.
        models: names.
        rows: names of the sets beside, `"random"` among them.
        baseline: name and seed to such a set.
        whole: model to the scores of whole data, which have hard classes.
        protocol: of all trainings.
        seeds: of trainings.
        regimes: keys of `LABEL_REGIMES`.
        cache: keep the teacher and the scores of sets beside between calls.
        draws: seeds of the sets beside, each trained with its own; `seeds` unless
            given. Several makings with one training each need as many draws.
        trainings: does trainings by an executor; None does each where its score is
            asked for.
        teacher_protocol: by which the teacher is trained; `protocol` unless given.
    """

    evaluator: RegimeEvaluator
    summaries: Sequence[DataSummary]
    models: Sequence[str]
    rows: Sequence[str]
    baseline: Callable[[str, int], Any]
    whole: Callable[[str], Sequence[float]]
    protocol: Protocol
    seeds: Sequence[int]
    regimes: Sequence[str]
    cache: bool = True
    draws: Sequence[int] = ()
    trainings: TrainingJobs | None = None
    teacher_protocol: Protocol | None = None

    @property
    def method(self) -> str:
        """Name of the row of the summaries."""
        return self.summaries[0].card.method

    @cached_property
    def jobs(self) -> list["_Job"]:
        """Every set under every regime and model, the cannots too."""
        jobs = []
        for model in self.models:
            for regime in self.regimes:
                for name in dict.fromkeys([*self.rows, self.method]):
                    jobs.append(self._job(regime, name, model))
                if regime == "SL" and self._has_soft_labels(model):
                    stored = self._job(regime, self.method, model, as_stored=True)
                    jobs.append(stored)
        return jobs

    @property
    def total(self) -> int:
        """Trainings in all, at most."""
        trained = sum(len(job.sets) for job in self.jobs if not job.note)
        if not self._augments:
            return trained
        bare = len(self.draws or self.seeds) + len(self.seeds) * len(self.summaries)
        return trained + bare * len(self.models)

    def report(self, advance: Callable[..., None]) -> RegimeReport:
        """Train them all.

        Args:
            advance: is called after each training, with what it was.
        """
        teacher = None
        if any(regime != "HL" for regime in self.regimes):
            teacher = self.evaluator.teacher(self.protocol, self.cache)
        if self.trainings is not None:  # all at once: no worker waits for a row's end
            each = [job for job in self.jobs if not job.note]
            self._prepare([t for job in each for t in self._trainings(job, teacher)])
        rows = tuple(self._row(job, teacher, advance) for job in self.jobs)
        report = RegimeReport(
            rows,
            (),
            "" if teacher is None else teacher.about,
            None if teacher is None else teacher.seconds,
        )
        scores = (
            self._scores(report, model, teacher, advance) for model in self.models
        )
        return replace(report, scores=tuple(scores))

    # --- rows -------------------------------------------------------------------

    def _job(
        self, regime: str, name: str, model: str, as_stored: bool = False
    ) -> "_Job":
        if name == self.method:
            sets = [(one, seed) for one in self.summaries for seed in self.seeds]
        else:
            draws = self.draws or self.seeds
            sets = [(self.baseline(name, seed), seed) for seed in draws]
        note = ""
        if (
            not as_stored
            and not self.evaluator.supports(name, model)
            and name != self.method
        ):
            note = f"{model} cannot be trained on {name}"
        elif not as_stored:
            note = self.evaluator.regime_note(regime, sets[0][0], model)
        return _Job(regime, name, model, sets, note, as_stored)

    def _has_soft_labels(self, model: str) -> bool:
        first = self.summaries[0]
        refused = self.evaluator.regime_note("HL", first, model)
        return not refused and self.evaluator.has_soft_labels(first)

    def _row(
        self, job: "_Job", teacher: Teacher | None, advance: Callable[..., None]
    ) -> RegimeRow:
        name = f"{job.name}{OWN_LABELS}" if job.as_stored else job.name
        if job.note:
            return RegimeRow(job.regime, name, job.model, note=job.note)
        trainings = self._trainings(job, teacher)
        self._prepare(trainings)
        scores = []
        for training in trainings:
            scores.append(self._score(training, teacher, self._is_cached(job.name)))
            if self.trainings is None or not self.trainings.has(training):
                facts = {"row": name, "model": job.model, "seed": training.seed}
                advance(regime=job.regime, **facts)
        protocol = self._with_equal_updates(job)
        note = (
            "soft labels as the summary stores them"
            if job.as_stored
            else scores[0].note
        )
        return RegimeRow(
            job.regime,
            name,
            job.model,
            tuple(score.test for score in scores),
            tuple(score.held_out for score in scores),
            self.evaluator.updates(job.sets[0][0], job.model, protocol),
            note,
        )

    def _trainings(self, job: "_Job", teacher: Teacher | None) -> list[Training]:
        """One for each set of the row."""
        protocol = self._with_equal_updates(job)
        regime = STORED if job.as_stored else job.regime
        by = None if teacher is None else self.teacher_protocol or self.protocol
        return [
            Training(job.name, records, job.model, seed, protocol, regime, by)
            for records, seed in job.sets
        ]

    def _prepare(self, trainings: Sequence[Training]) -> None:
        """Have those done by the executor that no earlier call has kept."""
        if self.trainings is None:
            return
        self.trainings.prepare(
            training
            for training in trainings
            if not self._is_cached(training.row) or self._known(training) is None
        )

    def _is_cached(self, row: str) -> bool:
        """Whether scores of such a row are kept between calls."""
        return self.cache and row != self.method

    def _key(self, training: Training) -> dict[str, Any] | None:
        """What a score is kept by; None of code that may change under its name."""
        evaluator: Any = self.evaluator
        if training.model in getattr(evaluator, "custom_models", {}):
            return None
        records, protocol = training.records, training.protocol
        assert records is not None and protocol is not None, "regimes train on sets"
        return {
            "data": evaluator.describe(),
            "records": records.digest(),
            "regime": training.regime,
            "model": evaluator.model_key(training.model),
            "protocol": asdict(protocol),
            "seed": training.seed,
            "versions": versions(),
        }

    def _known(self, training: Training) -> RegimeScore | None:
        """The score that an earlier call kept."""
        key = self._key(training)
        known = None if key is None else read_cached("regimes", key, _SCORE)
        return None if known is None else RegimeScore(**known)

    def _score(
        self, training: Training, teacher: Teacher | None, cache: bool
    ) -> RegimeScore:
        """Of one training; those of rows beside are kept between calls."""
        key = self._key(training) if cache else None
        if key is not None and (known := read_cached("regimes", key, _SCORE)):
            return RegimeScore(**known)
        done = self.trainings and self.trainings.regime_scores(training)
        if done:
            score = RegimeScore(**done)
        else:
            protocol = training.protocol
            assert protocol is not None, "regimes train by a protocol"
            settings = (training.regime, training.model, protocol, training.seed)
            score = self.evaluator.fit_regime(training.records, *settings, teacher)
        if key is not None:
            write_cached("regimes", key, score._asdict())
        return score

    def _with_equal_updates(self, job: "_Job") -> Protocol:
        """The protocol with as many epochs as give the updates of the summary: a
        factorized one may be decoded to more batches than rows of its size have."""
        goal = self.evaluator.updates(self.summaries[0], job.model, self.protocol)
        updates = self.evaluator.updates(job.sets[0][0], job.model, self.protocol)
        if goal == updates or not updates:
            return self.protocol
        epochs = max(1, round(self.protocol.epochs * goal / updates))
        return replace(self.protocol, epochs=epochs)

    # --- scores -----------------------------------------------------------------

    @property
    def _augments(self) -> bool:
        return bool(self.protocol.augment)

    def _scores(
        self,
        report: RegimeReport,
        model: str,
        teacher: Teacher | None,
        advance: Callable[..., None],
    ) -> FieldScores:
        both = [
            regime
            for regime in self.regimes
            if report.row(regime, self.method, model).values
            and ("random" == self.method or report.row(regime, "random", model).values)
        ]
        hlr = None
        if "HL" in self.regimes and report.row("HL", self.method, model).values:
            hard = report.row("HL", self.method, model).mean
            hlr = hard_label_recovery(statistics.fmean(self.whole(model)), hard)
        if not both:
            return FieldScores(model, "", hlr, None, None, None, None, None, 0)
        # Held-out data choose the labels; the test data then say what they are worth.
        labels = max(
            both,
            key=lambda regime: statistics.fmean(
                report.row(regime, self.method, model).held_out
            ),
        )
        summary = report.row(labels, self.method, model)
        random = report.row(labels, "random", model)
        difference = self._difference(summary.values, random.values)
        ior, ars = difference.mean, None
        if self._augments and summary.updates:
            bare = replace(self.protocol, augment="")
            by = self.teacher_protocol or self.protocol
            plan = replace(self, protocol=bare, rows=["random"], teacher_protocol=by)
            rows = [
                plan._row(plan._job(labels, name, model), teacher, advance)
                for name in ("random", self.method)
            ]
            plain = self._difference(rows[1].values, rows[0].values).mean
            ars = augmentation_robust_score(ior, plain)
        return FieldScores(
            model,
            labels,
            hlr,
            ior,
            None if hlr is None else label_robust_score(ior, hlr),
            ars,
            difference.interval,
            difference.p_value,
            difference.pairs,
        )

    def _difference(self, first: Sequence[float], second: Sequence[float]) -> Any:
        """Of the summaries' scores to those of a row beside, by independent pairs."""
        count = len(self.seeds)
        of_each = [first[i : i + count] for i in range(0, len(first), count)]
        return paired_difference(*independent_pairs(of_each, second))


_NUMBER = Number(low=-1e9, high=1e9)
_SCORE = Record({"test": _NUMBER, "held_out": _NUMBER, "note": Text()})


@dataclass(frozen=True)
class _Job:
    """One row to be trained: sets with their seeds, or why it cannot be."""

    regime: str
    name: str
    model: str
    sets: Sequence[tuple[Any, int]]
    note: str
    as_stored: bool
