r"""Experts: stored training trajectories of models on the real set.

They are recorded once, $\theta^*_0, \theta^*_1, \dots$ of each, in files named by what
decides them: the task (data and architecture), the trainer and the seed. Another run
that asks for the same finds them; one that asks for more records what is missing.
"""

import pathlib
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from multidd import seeds
from multidd.errors import (
    CheckpointMismatchError,
    MultiddWarning,
    StorageError,
    WorkerLostError,
)
from multidd.learning.expert_store import DAMAGE, ExpertStore, differences, fingerprint
from multidd.learning.states import States
from multidd.learning.trainer import GSAM, Trainer
from multidd.parallel.jobs import mapped
from multidd.protocols import Params, Task, Tree, device_of, has_fixed_batch
from multidd.settings import current_names, describe, original_names
from multidd.storage import cache
from multidd.storage.atomic import user_path
from multidd.storage.files import check_writable

__all__ = ["Experts", "FinalExperts", "GSAM", "Recording", "Trainer", "record"]


@dataclass(frozen=True)
class Experts:
    """Which experts: how they are trained, how many, and where they lie.

    Attributes:
        trainer: how each is trained on the real set.
        count: how many.
        seed: of their starts and batches; not that of the run.
        folder: where files lie; in the cache (`multidd.cache`) unless given. It is no
            part of the settings of a run.
        record_missing: record experts that are missing or damaged when a run starts;
            else the sound ones serve, and a run without any is refused.
        executor: any `concurrent.futures.Executor` that records those that are missing;
            None records one after the other. It is no part of the settings either.

    Example:
        >>> Experts(Trainer(epochs=4), count=2).count
        2
    """

    trainer: Trainer = Trainer()
    count: int = 4
    seed: int = 0
    folder: str | None = None
    record_missing: bool = True
    executor: Executor | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count must be 1 or more experts, got {self.count}")

    def describe(self) -> dict[str, Any]:
        """Settings as JSON: what decides the weights."""
        return {
            "kind": "Experts",
            "trainer": describe(self.trainer),
            "count": self.count,
            "seed": self.seed,
        }

    def identity(self, task: Task[Any]) -> dict[str, Any]:
        """What decides the weights of these experts on a task, as JSON.

        Its bytes are hashed: names are those under which experts were first recorded.
        """
        drawn = task.weights(seeds.at(self.seed, "shape", device=device_of(task)), 1)
        identity = {
            "task": describe(task.describe()),
            "trainer": describe(self.trainer),
            "seed": self.seed,
            "names": list(drawn),
            "shapes": [[*w.shape[1:]] for w in drawn.values()],
            "dtypes": [str(w.dtype) for w in drawn.values()],
        }
        return original_names(identity)

    def store(self, task: Task[Any]) -> ExpertStore:
        """Where the experts of a task lie."""
        return self.at(fingerprint(self.identity(task)))

    def at(self, key: str) -> ExpertStore:
        """The store of a fingerprint."""
        root = user_path(self.folder) if self.folder else cache.folder() / "experts"
        return ExpertStore(root, key)

    def checksums(self, task: Task[Any]) -> tuple[str, list[int]]:
        """The fingerprint, and the checksum of each expert, 0 of one that is not sound.

        With `record_missing`, what is missing or damaged is recorded first; without,
        damaged files are named in a warning and left out.

        Raises:
            ValueError: no expert is there, and `record_missing` is off.
            StorageError: what is missing cannot be written.
        """
        store = self.store(task)
        if self.record_missing:
            record(task, self)
        checksums, faults = find_sound(store, self.count)
        _warn(faults, "left out")
        if not any(checksums):
            raise ValueError(self._absent(store, task))
        return store.key, checksums

    def _absent(self, store: ExpertStore, task: Task[Any]) -> str:
        identity, near = current_names(self.identity(task)), ""
        others = [current_names(other) for other in store.others()]
        gaps = [differences(other, identity) for other in others]
        if gaps:
            closest = "; ".join(min(gaps, key=len)[:4])
            near = f" There are others, that do not fit: {closest}."
        return (
            f"{store.root} holds no expert of this task, trainer and seed.{near} Call "
            "multidd.learning.record(task, experts), or set record_missing=True"
        )


@dataclass(frozen=True)
class Recording:
    """Result of `record`.

    Attributes:
        folder: where the experts lie.
        num_present: experts that were there.
        num_recorded: experts that were recorded.
        damaged: files that were not sound and were replaced, with the reason.
        seconds: wall time.
    """

    folder: pathlib.Path
    num_present: int
    num_recorded: int
    damaged: tuple[str, ...]
    seconds: float


def record(
    task: Task[Any],
    experts: Experts,
    *,
    executor: Executor | None = None,
) -> Recording:
    """Record the experts that are missing or damaged; those that are sound stay.

    Args:
        task: whose real set they are trained on, and whose model they are.
        experts: which ones.
        executor: any `concurrent.futures.Executor` that trains several at a time, such
            as `multidd.parallel.workers(4)`; that of the experts unless given. The task
            goes to each worker once. Files are written by the workers, so machines of a
            cluster need one folder for all.

    Returns:
        A `Recording`. Damaged files are named in a warning too.

    Raises:
        ValueError: the task holds one batch, so that there is no real set to train on.
        StorageError: an expert could not be written, such as on a full disk; those
            recorded before it stay, and the same call goes on from them.
        DivergedError: an expert's weights are not finite any more.
        WorkerLostError: a worker was killed; experts that were written stay.

    Reference:
        Cazenavette, Wang, Torralba, Efros, Zhu, "Dataset Distillation by Matching
        Training Trajectories", CVPR 2022.

    Example:
        >>> import tempfile, multidd
        >>> task = multidd.graph.NodeTask.of(multidd.samples.cora())
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     experts = Experts(Trainer(epochs=1, steps=1), count=2, folder=folder)
        ...     first, again = record(task, experts), record(task, experts)
        >>> first.num_recorded, again.num_recorded, again.num_present
        (2, 0, 2)
    """
    started = time.perf_counter()
    if has_fixed_batch(task):
        raise ValueError(
            "experts train on the whole real set, and this task holds one batch of it: "
            "match trajectories without Representative or task.with_fixed_batch(...)"
        )
    store = experts.store(task)
    check_writable(store.folder)
    checksums, faults = find_sound(store, experts.count)
    missing = [number for number, checksum in enumerate(checksums) if not checksum]
    _warn(faults, "recorded again")
    executor = experts.executor if executor is None else executor
    # Files of experts are results on disk already: nothing else is sent back.
    try:
        mapped(
            _expert,
            missing,
            executor,
            names=[f"expert {number}" for number in missing],
            shared=(task, replace(experts, executor=None), store),
        )
    except WorkerLostError as error:
        present = sum(store.path(n).exists() for n in range(experts.count))
        raise WorkerLostError(
            f"a worker ended before its expert was written: {present} of "
            f"{experts.count} experts stand in {store.folder}. The same call with a "
            "new executor records the rest; where memory was short, give it fewer "
            "workers"
        ) from error
    seconds = time.perf_counter() - started
    present = experts.count - len(missing)
    return Recording(store.folder, present, len(missing), tuple(faults), seconds)


def find_sound(store: ExpertStore, count: int) -> tuple[list[int], list[str]]:
    """The checksum of each expert, 0 where there is none, and the faults of files."""
    checksums, faults = [0] * count, []
    for number in range(count):
        try:
            checksums[number] = store.checksum(number)
        except FileNotFoundError:
            continue
        except DAMAGE as error:
            faults.append(str(error))
    return checksums, faults


@dataclass(frozen=True)
class FinalExperts(States):
    """Trained experts as a source of weights, such as teachers of soft labels.

    Attributes:
        experts: which ones.
        epoch: the epoch; the last one unless given.

    Example:
        >>> FinalExperts(Experts(count=2)).epoch is None
        True
    """

    experts: Experts
    epoch: int | None = None

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """The weights of all sound experts, `[k, ...]`."""
        key, checksums = self.experts.checksums(task)
        last = self.experts.trainer.epochs if self.epoch is None else self.epoch
        store = self.experts.at(key)
        numbers = [number for number, checksum in enumerate(checksums) if checksum]
        each = [store.weights(number, last, rng.device) for number in numbers]
        return {"weights": _stacked(each)}


def check_expert(store: ExpertStore, number: int, checksum: int) -> None:
    """Refuse an expert that is not the one a run began with.

    Raises:
        CheckpointMismatchError: it is missing, damaged or another one.
    """
    try:
        actual = store.checksum(number)
    except (FileNotFoundError, *DAMAGE) as error:
        raise CheckpointMismatchError(
            f"the run began with expert {number} at {store.path(number)}, which "
            f"cannot be used now: {error}; record it again by "
            "multidd.learning.record(task, experts) (a checkpoint names it by the "
            "tensors 'state::key' and 'state::expert')"
        ) from error
    if actual != checksum:
        raise CheckpointMismatchError(
            f"{store.path(number)} is not the expert that the run began with (a "
            "checkpoint names it by the tensor 'state::seals'); put that one back, or "
            "begin again in another checkpoint folder"
        )


def _expert(shared: tuple[Task[Any], Experts, ExpertStore], number: int) -> None:
    """Train one expert and write it; also in another process."""
    task, experts, store = shared
    seed = seeds.key(experts.seed, "experts", number)
    trajectory = experts.trainer.trajectory(task, seed, device_of(task))
    try:
        store.write(number, trajectory, experts.identity(task))
    except StorageError as error:
        present = sum(store.path(n).exists() for n in range(experts.count))
        raise StorageError(
            f"expert {number} of {experts.count} could not be kept: {error}. The "
            f"{present} experts in {store.folder} stay, and the same call goes on from "
            "them"
        ) from error


def _warn(faults: Sequence[str], then: str) -> None:
    if faults:
        warnings.warn(
            f"{len(faults)} damaged experts are {then}: {'; '.join(faults)}",
            MultiddWarning,
            stacklevel=3,
        )


def _stacked(each: Sequence[Params]) -> Params:
    return {name: torch.cat([one[name] for one in each]) for name in each[0]}
