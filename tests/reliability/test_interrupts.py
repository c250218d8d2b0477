"""Killed, stopped or short of disk: the run ends with the bits of an unbroken one."""

import errno
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from multidd.engine.callbacks import Every
from multidd.engine.checkpoint import CheckpointFolder
from multidd.errors import (
    CheckpointMismatchError,
    RunInterrupted,
    StorageError,
    ThreadCountWarning,
)
from multidd.learning.optim import Adam
from multidd.learning.states import Online
from multidd.objectives import GradientMatching
from multidd.objectives.distances import MSE
from multidd.parameterizations import PairwiseAdjacency
from multidd.summary import DataSummary
from tests.toy import FAST, Toy, distill, free

MATCH = GradientMatching(MSE(), Online(steps=1, matches_per_net=7), biases=True)
FORM = PairwiseAdjacency(free(), width=5)


def run(folder: Path | None = None, **options: Any) -> DataSummary:
    settings = {"steps": 8, "optimizer": FAST, "objective": MATCH} | options
    task, objective = Toy("mlp", batch_size=4), settings.pop("objective")
    place = None if folder is None else str(folder)
    return distill(task, objective, FORM, checkpoint=place, **settings)


def at(step: int, action: Any) -> Every:
    return Every(1, lambda state: action() if state.step == step else None)


def assert_equal(summary: DataSummary, expected: DataSummary) -> None:
    assert summary.card.history == expected.card.history
    assert summary.digest() == expected.digest()


def counting(seen: list[int]) -> Every:
    return Every(1, lambda state: seen.append(state.step))


# --- killed ---------------------------------------------------------------------

STEPS = 40


def work(folder: Path, said: Any, threads: int) -> None:
    """The child: a run with a save at every step, which says each."""
    torch.set_num_threads(threads)
    say = Every(1, lambda state: said.send(state.step))
    run(folder, steps=STEPS, checkpoint_every=1, callbacks=[say])


def start_and_kill(children: Any, folder: Path, after: int, pause: float) -> int:
    """Start a child, kill it after some steps and a moment more; the last step said."""
    here, there = children.Pipe(duplex=False)
    child = children.Process(target=work, args=(folder, there, torch.get_num_threads()))
    child.start()
    there.close()
    said = [here.recv() for _ in range(after)]
    time.sleep(pause)
    child.kill()
    try:
        while True:
            said.append(here.recv())
    except EOFError:
        child.join()
    assert child.exitcode == -signal.SIGKILL
    return said[-1]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_sigkill_then_resume(children: Any, tmp_path: Path) -> None:
    """Killed three times, at random, with a save at every step."""
    dice, reached = random.Random(0), [0]
    for _ in range(3):
        after, pause = dice.randint(3, 9), dice.uniform(0, 0.02)
        last = start_and_kill(children, tmp_path, after, pause)
        assert reached[-1] < last < STEPS
        latest = CheckpointFolder(tmp_path).latest()
        assert latest is not None and last - 1 <= latest[0] <= last + 1
        reached.append(last)
    seen: list[int] = []
    options = {"steps": STEPS, "checkpoint_every": 1}
    summary = run(tmp_path, callbacks=[counting(seen)], **options)
    assert seen[0] == latest[0] + 1 and seen[-1] == STEPS
    assert list(tmp_path.glob(".*.tmp")) == []
    assert_equal(summary, run(**options))


# --- stopped ----------------------------------------------------------------------


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signal_saves_and_the_run_goes_on(signum: int, tmp_path: Path) -> None:
    stop = at(3, lambda: os.kill(os.getpid(), signum))
    with pytest.raises(RunInterrupted, match=f"after step 3 of 8.*{tmp_path}") as error:
        run(tmp_path, callbacks=[stop])
    assert error.value.signum == signum
    assert_equal(error.value.summary, run(callbacks=[stop_after(3)]))
    latest = CheckpointFolder(tmp_path).latest()
    assert latest is not None and latest[0] == 3
    seen: list[int] = []
    summary = run(tmp_path, callbacks=[counting(seen)])
    assert seen == [4, 5, 6, 7, 8]
    assert_equal(summary, run())


def stop_after(step: int) -> Every:
    return Every(1, lambda state: state.step == step)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signal_without_a_folder_says_what_to_do(signum: int) -> None:
    stop = at(2, lambda: os.kill(os.getpid(), signum))
    with pytest.raises(KeyboardInterrupt, match="give checkpoint="):
        run(callbacks=[stop])


def test_second_signal_acts_at_once() -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as error:
        run(callbacks=[at(2, twice)])
    assert not isinstance(error.value, RunInterrupted)


# --- whose folder -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"optimizer": Adam(lr=0.5)}, r"optimizer\.x\.lr was 0.05 and is now 0.5"),
        ({"seed": 1}, "seed was 0 and is now 1"),
        ({"steps": 9}, "steps was 8 and is now 9"),
        (
            {"objective": GradientMatching(states=MATCH.states, biases=True)},
            "objective.distance.kind was 'MSE' and is now 'ColumnCosine'",
        ),
    ],
)
def test_folder_of_another_run_is_refused(
    other: Any, message: str, tmp_path: Path
) -> None:
    run(tmp_path, timeout=0.0)
    before = {file.name: file.read_bytes() for file in tmp_path.glob("step-*")}
    seen: list[int] = []
    with pytest.raises(CheckpointMismatchError, match=message):
        run(tmp_path, **({"callbacks": [counting(seen)]} | other))
    assert seen == [] and before
    after = {file.name: file.read_bytes() for file in tmp_path.glob("step-*")}
    assert after == before


def test_finished_run_comes_back_without_a_step(tmp_path: Path) -> None:
    first = run(tmp_path)
    seen: list[int] = []
    again = run(tmp_path, callbacks=[counting(seen)])
    assert seen == []
    assert_equal(again, first)
    assert again.card.steps == 8


def test_thread_count_is_reported(tmp_path: Path) -> None:
    run(tmp_path, timeout=0.0, threads=1)
    with pytest.warns(ThreadCountWarning, match=r"was 1 and is now 2.*threads=\.\.\."):
        summary = run(tmp_path, threads=2)
    assert (summary.card.steps, summary.card.threads) == (8, 2)


def test_restored_tensors_keep_their_order(tmp_path: Path) -> None:
    """Sums over a dict are in its order: another one has other last bits."""
    orders: list[Any] = []

    def note(state: Any) -> None:
        orders.append([list(t) for t in (state.params, state.state["weights"])])

    for _ in range(8):
        run(tmp_path, timeout=0.0, callbacks=[Every(1, note)])
    assert len(orders) == 8
    assert all(order == orders[0] for order in orders)


# --- the disk -----------------------------------------------------------------------


class Spy(Toy):
    """Refuses to be looked at."""

    def records(self) -> Any:
        raise AssertionError("the run began")


@pytest.mark.parametrize("inside", [False, True])
def test_folder_that_cannot_be_written_is_refused_first(
    inside: bool, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    place = tmp_path / "file" / "run" if inside else tmp_path / "file"
    with pytest.raises(AssertionError, match="the run began"):
        distill(Spy(), MATCH, FORM, steps=1)
    with pytest.raises(StorageError, match=str(place)):
        distill(Spy(), MATCH, FORM, steps=1, checkpoint=str(place))
    assert (tmp_path / "file").read_text() == "in the way"


def test_disk_full_on_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        fill = at(5, lambda: patch.setattr(os, "fsync", full))
        with pytest.raises(StorageError, match="step-00000006.*No space left.*free"):
            run(tmp_path, checkpoint_every=2, callbacks=[fill])
    latest = CheckpointFolder(tmp_path).latest()
    assert latest is not None and latest[0] == 4
    assert list(tmp_path.glob(".step*.tmp")) == []
    assert_equal(run(tmp_path, checkpoint_every=2), run())
