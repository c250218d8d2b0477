"""The trainings of an evaluation, in this process or by an executor.

Without an executor each is done where its score is asked for. With one, all that are
known ahead are done first, each a job that a worker does with its copy of the
evaluator; what asks for their scores then finds them.
"""

import hashlib
import json
import pathlib
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from multidd.errors import StorageError
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.regimes import RegimeScore
from multidd.evaluation.teacher import Teacher
from multidd.evaluation.whole_data import (
    fit_scores,
    known_plain_score,
    known_scores,
    plain_whole_score,
    write_plain_score,
    write_scores,
)
from multidd.parallel.jobs import mapped
from multidd.parallel.results import ResultFolder
from multidd.protocols import Evaluator
from multidd.storage import cache as cache_files
from multidd.storage.files import check_writable
from multidd.summary import DataSummary

__all__ = ["Judge", "Remembered", "Training", "TrainingJobs", "records_key"]


def records_key(summary: DataSummary) -> str:
    """What decides the scores of a training set: its tensors and how they are read."""
    card = asdict(summary.card)
    for name in ("seconds", "stages", "history", "protocol", "score", "threads"):
        del card[name]
    return f"{summary.digest()} {json.dumps(card, sort_keys=True, default=repr)}"


class Remembered:
    """A training of an evaluator's that is done once for equal records and settings.

    Args:
        name: of a method of the evaluator's class, such as `"fit"`.
        twin: the evaluator that it is called on.

    Attributes:
        known: key -> result.
    """

    def __init__(self, name: str, twin: Any) -> None:
        self.name, self.twin = name, twin
        self.known: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"known": {}}

    def _train(self, *arguments: Any) -> Any:
        # Bound to the twin: it sees what the twin has checked.
        return getattr(type(self.twin), self.name)(self.twin, *arguments)

    def key(self, summary: DataSummary, *settings: Any) -> str:
        """Equal of trainings that give the same."""
        facts = [_setting_key(one, self.twin) for one in settings]
        return json.dumps([records_key(summary), *facts])

    def __call__(self, summary: DataSummary | None, *settings: Any) -> Any:
        if summary is None:  # whole data have a cache of their own, with their seconds
            return self._train(None, *settings)
        key = self.key(summary, *settings)
        if key not in self.known:
            self.known[key] = self._train(summary, *settings)
        return self.known[key]


def _setting_key(setting: Any, twin: Any) -> str:
    """What a setting of a training adds to its key."""
    if isinstance(setting, str):
        return f"{setting} {twin.model_key(setting)}"
    # A teacher has weights: under one protocol there is one.
    is_plain = isinstance(setting, int | Protocol)
    return repr(setting) if is_plain else type(setting).__name__


@dataclass(frozen=True)
class Training:
    """One training of an evaluation.

    Attributes:
        row: name of the set, for messages.
        records: the set; None stands for whole data.
        model: name of the model, or of the plain training.
        seed: of the training.
        protocol: how; None is a plain training.
        regime: the label regime, or empty.
        teacher_protocol: by which the teacher of the regime was trained; None without.
    """

    row: str
    records: DataSummary | None
    model: str
    seed: int
    protocol: Protocol | None = None
    regime: str = ""
    teacher_protocol: Protocol | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal of trainings of the same records in the same way."""
        how = None if self.protocol is None else self.protocol.hash
        return id(self.records), self.model, self.seed, how, self.regime

    @property
    def name(self) -> str:
        """What messages call it."""
        parts = [self.row, self.model, *filter(None, [self.regime])]
        parts += ["plainly"] if self.protocol is None else [self.protocol.name]
        return f"{' '.join(parts)} seed {self.seed}"

    def describe(self) -> dict[str, Any]:
        """What decides the result beside data and model, as JSON."""
        return {
            "records": None if self.records is None else records_key(self.records),
            "protocol": None if self.protocol is None else asdict(self.protocol),
            "regime": self.regime,
            "seed": self.seed,
        }

    @property
    def facts(self) -> dict[str, Any]:
        """For the record of progress."""
        if self.protocol is None:
            return {"training": self.model, "seed": self.seed}
        facts = {"row": self.row, "model": self.model, "seed": self.seed}
        return facts | ({"regime": self.regime} if self.regime else {})


@dataclass
class Judge:
    """An evaluator as workers hold it, with the teachers that it has trained.

    Attributes:
        evaluator: has checked a summary.
        cache: whether its teachers are kept between calls.
        teachers: of each protocol, by its hash.
    """

    evaluator: Any
    cache: bool
    teachers: dict[str, Any] = field(default_factory=dict)

    def result(self, training: Training) -> dict[str, Any]:
        """Scores of one training, and its seconds."""
        started = time.perf_counter()
        records, model, seed = training.records, training.model, training.seed
        if training.regime:
            settings = (model, training.protocol, seed, self.teacher(training))
            started = time.perf_counter()  # the teacher's seconds are its own
            score = self.evaluator.fit_regime(records, training.regime, *settings)
            scores = score._asdict()
        elif training.protocol is None:
            scores = {"score": self.evaluator.fit_plain(records, model, seed)}
        else:
            scores = dict(self.evaluator.fit(records, model, training.protocol, seed))
        return {"scores": scores, "seconds": time.perf_counter() - started}

    def teacher(self, training: Training) -> Any:
        """Read from the cache, or trained by each worker: it holds functions, which no
        process can send."""
        protocol = training.teacher_protocol
        if protocol is None:
            return None
        if protocol.hash not in self.teachers:
            self.teachers[protocol.hash] = self.evaluator.teacher(protocol, self.cache)
        return self.teachers[protocol.hash]


@dataclass(frozen=True)
class _Job:
    """A training, and what else decides its result."""

    training: Training
    data: str
    model: str

    def describe(self) -> dict[str, Any]:
        facts = {"data": self.data, "model": self.model}
        return self.training.describe() | facts


def _result(judge: Judge, job: _Job) -> dict[str, Any]:
    """In a worker: scores and seconds of one training."""
    return judge.result(job.training)


class TrainingJobs:
    """The trainings of one evaluation.

    Args:
        evaluator: has checked every summary.
        cache: keep scores of whole data for the next call, and, until the evaluation
            is done, those that workers send.
        executor: does the trainings; None does them in this process.
        advance: is called after each, with what it was.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        cache: bool,
        executor: Executor | None = None,
        advance: Callable[..., None] | None = None,
    ) -> None:
        self.evaluator, self.cache = evaluator, cache
        self.executor, self._advance = executor, advance
        self._results: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._trainings: list[Training] = []  # holds the records that keys name

    def prepare(self, trainings: Iterable[Training]) -> None:
        """Do these by the executor; without one do nothing.

        What is known already, of whole data or of an equal set, is left out.
        """
        if self.executor is None:
            return
        each = list({training.key: training for training in trainings}.values())
        new = [
            number
            for number, training in enumerate(each)
            if training.key not in self._results and not self._is_known(training)
        ]
        if new:
            self._work(each, new, self.executor)

    def _work(
        self, trainings: list[Training], new: list[int], executor: Executor
    ) -> None:
        model_key: Any = getattr(self.evaluator, "model_key", str)
        folder = self._folder([training.model for training in trainings])
        data = ""
        if folder is not None:
            text = json.dumps(self.evaluator.describe(), sort_keys=True, default=repr)
            data = hashlib.sha256(text.encode()).hexdigest()
        jobs = [_Job(one, data, model_key(one.model)) for one in trainings]
        names = _names(trainings)

        def take(number: int, result: dict[str, Any]) -> None:
            self._take(trainings[new[number]], result)

        mapped(
            _result,
            [jobs[number] for number in new],
            executor,
            folder=folder,
            names=[names[number] for number in new],
            shared=Judge(self.evaluator, self.cache),
            on_result=take,
        )
        if folder is not None:  # those too that an interrupted call left
            ResultFolder(folder, _result, jobs, names).clear()

    def _folder(self, models: Iterable[str]) -> pathlib.Path | None:
        """Where results lie until all have come; nowhere where code of the caller's
        own, which may change under its name, decides them."""
        added = getattr(self.evaluator, "custom_models", {})
        if not self.cache or any(model in added for model in models):
            return None
        folder = cache_files.folder() / "trainings"
        try:
            check_writable(folder)
        except StorageError:
            return None  # a cache that cannot be written only costs time
        return folder

    def _take(self, training: Training, result: dict[str, Any]) -> None:
        self._results[training.key] = result
        self._trainings.append(training)
        if memory := self._memory(training):
            memory[0].known[memory[1]] = _value(training, result)
        evaluator: Any = self.evaluator
        seed, model, protocol = training.seed, training.model, training.protocol
        if self.cache and training.records is None and not training.regime:
            scores = result["scores"]
            if protocol is None:
                write_plain_score(evaluator, model, seed, scores["score"])
            elif model not in getattr(evaluator, "custom_models", {}):
                spent = result["seconds"]
                write_scores(evaluator, model, protocol, seed, scores, spent)
        if self._advance is not None:
            self._advance(**training.facts)

    def _memory(self, training: Training) -> tuple[Remembered, str] | None:
        """Where an evaluator that remembers keeps such a training, and its key."""
        name = "fit_regime" if training.regime else "fit"
        name = "fit_plain" if training.protocol is None else name
        method = getattr(self.evaluator, name)
        if not isinstance(method, Remembered) or training.records is None:
            return None
        settings: tuple[Any, ...] = (training.model, training.protocol, training.seed)
        if training.protocol is None:
            settings = (training.model, training.seed)
        if training.regime:
            # Only that there is one is part of a key.
            teacher = training.teacher_protocol and Teacher("", 0.0, torch.as_tensor)
            settings = (training.regime, *settings, teacher)
        return method, method.key(training.records, *settings)

    def _is_known(self, training: Training) -> bool:
        if memory := self._memory(training):
            return memory[1] in memory[0].known
        if not self.cache or training.records is not None:
            return False
        evaluator: Any = self.evaluator
        if training.protocol is None:
            known = known_plain_score(evaluator, training.model, training.seed)
            return known is not None
        if training.model in getattr(evaluator, "custom_models", {}):
            return False
        settings = (training.model, training.protocol, training.seed)
        return known_scores(evaluator, *settings) is not None

    # --- what was asked for ------------------------------------------------------

    def has(self, training: Training) -> bool:
        """Whether its result has come from a worker."""
        return bool(self._results) and training.key in self._results

    def advance(self, training: Training) -> None:
        """One more is done; those of workers were counted as they came."""
        if not self.has(training) and self._advance is not None:
            self._advance(**training.facts)

    def scores(
        self, training: Training, cache: bool
    ) -> tuple[Mapping[str, float], float]:
        """Scores of a training by a protocol, and its seconds."""
        if self.has(training):
            result = self._results[training.key]
            return result["scores"], result["seconds"]
        assert training.protocol is not None, "a plain training has one score"
        return fit_scores(
            self.evaluator,
            training.records,
            training.model,
            training.protocol,
            training.seed,
            cache,
        )

    def plain_score(self, training: Training) -> float | None:
        """Score of a plain training."""
        if self.has(training):
            score: float | None = self._results[training.key]["scores"]["score"]
            return score
        evaluator: Any = self.evaluator
        if training.records is None:
            return plain_whole_score(
                evaluator, training.model, training.seed, self.cache
            )
        plain: float | None = evaluator.fit_plain(
            training.records, training.model, training.seed
        )
        return plain

    def regime_scores(self, training: Training) -> dict[str, Any] | None:
        """What a training under a regime reached; None where no worker did it."""
        if not self.has(training):
            return None
        scores: dict[str, Any] = self._results[training.key]["scores"]
        return scores


def _value(training: Training, result: dict[str, Any]) -> Any:
    """What the evaluator's method gives for it."""
    if training.regime:
        return RegimeScore(**result["scores"])
    return result["scores"]["score"] if training.protocol is None else result["scores"]


def _names(trainings: list[Training]) -> list[str]:
    """Names of the trainings, numbered where several are called alike."""
    counts: dict[str, int] = {}
    names = []
    for training in trainings:
        counts[training.name] = count = counts.get(training.name, 0) + 1
        names.append(training.name if count == 1 else f"{training.name} #{count}")
    return names
