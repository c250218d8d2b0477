"""Experts on disk that are damaged, of another task, or cannot be written."""

import json
import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch

import multidd.storage.files as storage_files
from multidd import seeds
from multidd.errors import (
    CheckpointMismatchError,
    CorruptFileError,
    DivergedError,
    MultiddWarning,
    StorageError,
    WorkerLostError,
)
from multidd.learning import expert_store
from multidd.learning.experts import GSAM, Experts, Trainer, record
from multidd.learning.optim import SGD
from multidd.learning.unroll import InnerLoop
from multidd.objectives import TrajectoryMatching
from tests.contracts.test_experts import TASK, TRAINER, experts, files
from tests.toy import Toy, drawn, real_batch


def matching(expected: Experts) -> TrajectoryMatching:
    return TrajectoryMatching(expected, InnerLoop(2, SGD(0.1)), (0, 1))


# --- damage ---------------------------------------------------------------------------


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 4
    path.write_bytes(bytes(content))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    storage_files.write(path, {"x": torch.ones(2)}, {}, kind="summary")


def misplaced(path: Path) -> None:
    path.write_bytes(path.with_name("expert-0000.safetensors").read_bytes())


DAMAGES = [cut, flip, empty, foreign, misplaced]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
def test_damaged_files_are_named_and_the_others_used(
    tmp_path: Path, damage: Any
) -> None:
    expected = experts(tmp_path, record_missing=False)
    record(TASK, expected)
    broken = files(expected)[1]
    damage(broken)
    objective = matching(expected)
    with pytest.warns(MultiddWarning, match=f"1 damaged.*left out.*{broken.name}"):
        state = objective.init(TASK, seeds.at(0, "init"))
    assert [seal > 0 for seal in state["seals"].tolist()] == [True, False, True]
    seen = set()
    for step in range(20):
        seen.add(int(state["expert"]))
        state = objective.advance(TASK, state, drawn(TASK), seeds.at(step, "a"))
    assert seen == {0, 2}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
def test_damaged_files_are_recorded_again(tmp_path: Path, damage: Any) -> None:
    expected = experts(tmp_path)
    record(TASK, expected)
    broken = files(expected)[1]
    content = broken.read_bytes()
    damage(broken)
    with pytest.warns(MultiddWarning, match=f"recorded again.*{broken.name}"):
        done = record(TASK, expected)
    assert (done.num_present, done.num_recorded, len(done.damaged)) == (2, 1, 1)
    assert broken.name in done.damaged[0]
    assert broken.read_bytes() == content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ["weight"]}, "made_by must have as many names as shapes and dtypes"),
        ({"seed": 7}, r"key is \w{12}\.\.\., and made_by gives \w{12}\.\.\."),
        ({"trainer": {"epochs": 5}}, r"made_by.trainer.epochs wants 6 along its first"),
        ({"trainer": {"steps": 5}}, "is no expert: lengths .1."),
    ],
)
def test_identities_that_do_not_fit(tmp_path: Path, change: Any, message: str) -> None:
    identity = experts(tmp_path).identity(TASK) | change
    key = "0" * 64 if "seed" in change else expert_store.fingerprint(identity)
    store = expert_store.ExpertStore(tmp_path, key)
    store.folder.mkdir()
    course = TRAINER.trajectory(TASK, 0)
    if "steps" in identity["trainer"] and "epochs" not in identity["trainer"]:
        course = {name: part[:1] for name, part in course.items()}
    store.write(0, course, identity)
    with pytest.raises(CorruptFileError, match=f"expert-0000.safetensors.*{message}"):
        store.checksum(0)


def test_stores_of_others_are_told_but_for_damaged_ones(tmp_path: Path) -> None:
    ours, other = experts(tmp_path), experts(tmp_path, seed=7)
    for one in (ours, other, experts(tmp_path, seed=8)):
        record(TASK, one)
    empty(files(experts(tmp_path, seed=8))[0])
    (identity,) = ours.store(TASK).others()
    assert identity == json.loads(json.dumps(other.identity(TASK)))


def test_an_expert_that_changed_during_a_run(tmp_path: Path) -> None:
    expected = experts(tmp_path)
    objective = matching(expected)
    state = objective.init(TASK, seeds.at(0, "init"))
    state = {**state, "learned": objective.learned()}
    path = files(expected)[int(state["expert"])]
    flip(path)
    with pytest.raises(CheckpointMismatchError, match=f"{path.name}.*cannot be used"):
        objective.loss(TASK, state, drawn(TASK), seeds.at(0, "loss"))
    other = {name: 2 * part for name, part in TRAINER.trajectory(TASK, 9).items()}
    store = expected.store(TASK)
    store.write(int(state["expert"]), other, expected.identity(TASK))
    with pytest.raises(CheckpointMismatchError, match="not the expert that the run"):
        objective.loss(TASK, state, drawn(TASK), seeds.at(0, "loss"))


@pytest.mark.parametrize(("name", "most"), [("expert", 2), ("epoch", 1)])
def test_experts_and_epochs_of_a_state_are_there(
    tmp_path: Path, name: str, most: int
) -> None:
    objective = matching(experts(tmp_path))
    state = objective.init(TASK, seeds.at(0, "init"))
    state |= {"learned": objective.learned(), name: torch.tensor(99)}
    text = rf"'state::{name}' is 99; it must be 0\.\.{most}; begin again in another"
    with pytest.raises(CheckpointMismatchError, match=text):
        objective.loss(TASK, state, drawn(TASK), seeds.at(0, "loss"))


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second expert does not fit: the first stays, the same call goes on."""
    expected, write = experts(tmp_path), storage_files.write

    def full(path: Path, *args: Any, **more: Any) -> int:
        if path.name == "expert-0001.safetensors":
            raise StorageError(f"cannot write {path}: No space left on device")
        return write(path, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(expert_store.files, "write", full)
        text = "expert 1 of 3 could not be kept.*No space.*The 1 experts.*goes on"
        with pytest.raises(StorageError, match=text):
            record(TASK, expected)
        with ThreadPoolExecutor(2) as executor, pytest.raises(StorageError):
            record(TASK, expected, executor=executor)
    there = [path.exists() for path in files(expected)]
    assert there == [True, False, True]  # beside others, the third is not lost
    assert record(TASK, expected).num_recorded == 1


def test_a_killed_worker_leaves_the_experts_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says which stand; experts hold an executor that records the rest."""
    expected, write, here = experts(tmp_path), storage_files.write, os.getpid()

    def killed(path: Path, *args: Any, **more: Any) -> int:
        if path.name == "expert-0002.safetensors" and os.getpid() != here:
            time.sleep(0.2)  # the reply of the one before is on its way
            os.kill(os.getpid(), signal.SIGKILL)
        return write(path, *args, **more)

    with monkeypatch.context() as patch, fork_pool() as executor:
        patch.setattr(expert_store.files, "write", killed)
        text = f"2 of 3 experts stand in {expected.store(TASK).folder}"
        with pytest.raises(WorkerLostError, match=text):
            record(TASK, expected, executor=executor)
    with fork_pool() as executor:
        key, checksums = replace(expected, executor=executor).checksums(TASK)
    assert all(checksums) and key == expected.store(TASK).key
    assert "executor" not in repr(expected) and replace(expected) == expected


def fork_pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, get_context("fork"))


# --- refusals -------------------------------------------------------------------------


def test_experts_of_other_data_or_architecture_are_refused(tmp_path: Path) -> None:
    expected = experts(tmp_path, record_missing=False)
    objective = matching(expected)
    with pytest.raises(ValueError, match="holds no expert of this task"):
        objective.init(TASK, seeds.at(0, "init"))
    record(TASK, expected)
    objective.init(TASK, seeds.at(0, "init"))
    with pytest.raises(ValueError, match='task.model is "mlp", not "linear"'):
        objective.init(Toy("linear"), seeds.at(0, "init"))
    x, y = TASK.data
    with pytest.raises(ValueError, match=r"do not fit.*task.data.x is.*not"):
        objective.init(Toy("mlp", x=2 * x, y=y), seeds.at(0, "init"))
    other = matching(replace(expected, seed=4))
    with pytest.raises(ValueError, match="seed is 0, not 4"):
        other.init(TASK, seeds.at(0, "init"))


def test_a_held_batch_is_not_the_real_set(tmp_path: Path) -> None:
    held = TASK.with_fixed_batch(TASK.take(real_batch(TASK), torch.arange(4)))
    with pytest.raises(ValueError, match="whole real set"):
        record(held, experts(tmp_path))


def test_experts_that_diverge(tmp_path: Path) -> None:
    x, y = TASK.data
    wild = experts(tmp_path, trainer=Trainer(9, 9, SGD(lr=1e308)))
    with pytest.raises(DivergedError, match="smaller rate than 1e"):
        record(Toy("linear", x=x, y=y), wild)
    assert not any(path.exists() for path in files(wild, Toy("linear")))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        record(TASK, experts(tmp_path / "file"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Trainer(epochs=0), "epochs"),
        (lambda: Trainer(steps=0), "steps"),
        (lambda: Trainer(batch_size=0), "batch_size"),
        (lambda: GSAM(rho=0.0), "rho"),
        (lambda: GSAM(alpha=-1.0), "alpha"),
        (lambda: Experts(count=0), "count"),
    ],
)
def test_bad_settings(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
