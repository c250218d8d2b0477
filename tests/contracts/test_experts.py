"""Experts on disk: what they are, recorded once, found again, in any executor."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from multidd import seeds
from multidd.learning.experts import GSAM, Experts, FinalExperts, Trainer, record
from multidd.learning.gradients import mean_gradients
from multidd.learning.optim import SGD
from multidd.learning.states import training_step
from tests.parallel.test_mapped import forked
from tests.toy import Toy, real_batch

TRAINER = Trainer(epochs=3, steps=2, optimizer=SGD(0.1, 0.5), batch_size=9)
TASK = Toy("mlp")


def experts(folder: Path, **changes: Any) -> Experts:
    return Experts(**{"trainer": TRAINER, "count": 3, "folder": str(folder)} | changes)


def files(expected: Experts, task: Toy = TASK) -> list[Path]:
    store = expected.store(task)
    return [store.path(number) for number in range(expected.count)]


# --- what is recorded -----------------------------------------------------------------


def test_a_course_is_training_on_the_real_set() -> None:
    course = replace(TRAINER, batch_size=None).trajectory(TASK, 5)
    weights = TASK.weights(seeds.at(5, "expert"), 1)
    moments: Any = {n: TRAINER.optimizer.init(w) for n, w in weights.items()}
    for step in range(7):
        if step % 2 == 0:
            for name, weight in weights.items():
                torch.testing.assert_close(course[name][step // 2], weight[0])
        rng = seeds.at(5, "lesson", step)
        weights, moments = training_step(
            TASK, weights, moments, TRAINER.optimizer, real_batch(TASK), rng
        )
    assert all(len(part) == 4 for part in course.values())


def test_flat_steps_are_those_of_gsam() -> None:
    flat, batch = GSAM(rho=0.3, alpha=0.7), real_batch(TASK)
    weights = TASK.weights(seeds.at(0, "w"), 1)
    gradients = mean_gradients(TASK, weights, batch)
    ours = flat.gradient(TASK, weights, batch, gradients)

    def line(parts: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.cat([parts[name].flatten() for name in weights])

    old, place = line(gradients), line(weights)
    moved = place + 0.3 * old / old.norm()
    sizes = [w.numel() for w in weights.values()]
    pairs = zip(weights.items(), moved.split(sizes), strict=True)
    there = {name: part.view(w.shape) for (name, w), part in pairs}
    new = line(mean_gradients(TASK, there, batch))
    across = old - (old @ new) / (new @ new) * new
    assert abs(float(across @ new)) < 1e-12 and float(across.norm()) > 1e-3
    torch.testing.assert_close(line(ours), new - 0.7 * across)


def test_flat_experts_take_another_way(tmp_path: Path) -> None:
    plain, flat = (
        TRAINER.trajectory(TASK, 0),
        replace(TRAINER, gsam=GSAM()).trajectory(TASK, 0),
    )
    assert torch.equal(plain["weight"][0], flat["weight"][0])
    assert not torch.equal(plain["weight"][1], flat["weight"][1])


def test_slices_are_what_was_recorded(tmp_path: Path) -> None:
    expected = experts(tmp_path)
    assert record(TASK, expected).num_recorded == 3
    store = expected.store(TASK)
    for number in range(3):
        course = TRAINER.trajectory(TASK, seeds.key(0, "experts", number))
        for epoch in range(4):
            result = store.weights(number, epoch)
            assert list(result) == list(course)
            for name, part in course.items():
                assert torch.equal(result[name], part[epoch : epoch + 1])
    teacher = FinalExperts(expected).init(TASK, seeds.at(0, "t"))["weights"]
    assert torch.equal(teacher["weight"][2], store.weights(2, 3)["weight"][0])


def test_experts_differ_and_their_seed_decides() -> None:
    courses = [TRAINER.trajectory(TASK, seeds.key(0, "experts", n)) for n in (0, 1, 0)]
    assert not torch.equal(courses[0]["weight"], courses[1]["weight"])
    assert torch.equal(courses[0]["weight"], courses[2]["weight"])


# --- recorded once --------------------------------------------------------------------


def test_recording_again_does_nothing(tmp_path: Path) -> None:
    expected = experts(tmp_path)
    first = record(TASK, expected)
    before = [(p.read_bytes(), p.stat().st_mtime_ns) for p in files(expected)]
    again = record(TASK, expected)
    assert (
        first.num_present,
        first.num_recorded,
        again.num_present,
        again.num_recorded,
    ) == (0, 3, 3, 0)
    assert [(p.read_bytes(), p.stat().st_mtime_ns) for p in files(expected)] == before
    more = record(TASK, replace(expected, count=5))
    assert (more.num_present, more.num_recorded) == (3, 2)


def test_gaps_are_filled_with_the_same_bits(tmp_path: Path) -> None:
    expected = experts(tmp_path)
    record(TASK, expected)
    gone = files(expected)[1]
    content = gone.read_bytes()
    gone.unlink()
    assert record(TASK, expected).num_recorded == 1
    assert gone.read_bytes() == content


@pytest.mark.parametrize(
    "change",
    [
        {"trainer": replace(TRAINER, epochs=4)},
        {"trainer": replace(TRAINER, steps=3)},
        {"trainer": replace(TRAINER, optimizer=SGD(0.2))},
        {"trainer": replace(TRAINER, batch_size=8)},
        {"trainer": replace(TRAINER, gsam=GSAM())},
        {"seed": 1},
    ],
    ids=lambda change: str(next(iter(change.values())))[-30:],
)
def test_other_settings_are_other_experts(tmp_path: Path, change: Any) -> None:
    one, other = experts(tmp_path), experts(tmp_path, **change)
    assert one.store(TASK).folder != other.store(TASK).folder


def test_the_number_and_the_place_are_no_part_of_what_they_are(tmp_path: Path) -> None:
    one, other = (
        experts(tmp_path),
        experts(tmp_path / "there", count=9, record_missing=False),
    )
    assert one.store(TASK).key == other.store(TASK).key
    assert str(tmp_path) not in str(one.describe())


def test_the_default_folder_is_in_the_cache() -> None:
    cached = Path(os.environ["MULTIDD_CACHE"])
    assert cached in Experts(TRAINER).store(TASK).folder.parents


def pool(kind: str) -> Any:
    if kind == "threads":
        return ThreadPoolExecutor(2)
    return forked(1)


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_any_executor_records_the_same_bits(tmp_path: Path, kind: str) -> None:
    alone, beside = experts(tmp_path / "a"), experts(tmp_path / "b")
    record(TASK, alone)
    with pool(kind) as executor:
        assert record(TASK, beside, executor=executor).num_recorded == 3
    for one, other in zip(files(alone), files(beside), strict=True):
        assert one.read_bytes() == other.read_bytes()
