"""Runs of trajectory matching that go wrong, and what a learner's way takes."""

import math
import re
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import multidd
from multidd import seeds
from multidd.errors import MultiddWarning, StorageError
from multidd.learning import memory as memory_module
from multidd.learning.experts import Experts, Trainer
from multidd.learning.memory import (
    MemoryEstimate,
    available_memory,
    check_memory,
    estimate_memory,
)
from multidd.learning.optim import SGD, Adam
from multidd.learning.unroll import Backprop, InnerLoop
from multidd.objectives import TrajectoryMatching, trajectory_diagnostics
from multidd.objectives.trajectory_diagnostics import GradientProbe, TrajectoryMonitor
from tests.contracts.test_trajectory import INNER, WINDOW, moved, state_of
from tests.tables import EXPERTS
from tests.toy import Toy, drawn, free

# --- diagnosis ------------------------------------------------------------------------


def messages_of(objective: TrajectoryMatching, **learned: float) -> tuple[str, ...]:
    task = Toy("mlp")
    state = state_of(objective, task)
    other_learned = {
        n: torch.tensor(v, dtype=torch.float64).log() for n, v in learned.items()
    }
    state["learned"] = {f"log_{n}": v for n, v in other_learned.items()} or state[
        "learned"
    ]
    return objective.diagnose(task, state, drawn(task), seeds.at(0, "diagnose"))


def test_a_run_that_is_well() -> None:
    assert messages_of(TrajectoryMatching(EXPERTS, INNER, **WINDOW)) == ()


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (math.nan, "step size is nan, not positive"),
        (-1.0, "not positive"),
        (math.inf, "step size is inf"),
        (1e200, "the loss is (nan|inf): the learner diverges in its 5 steps"),
        (300.0, "times as far from the goal"),
        (1e-9, "fallen from 0.3 to 1e-09"),
    ],
)
def test_a_rate_that_went_wrong(rate: float, text: str) -> None:
    result = messages_of(TrajectoryMatching(EXPERTS, INNER, **WINDOW), rate=rate)
    assert len(result) == 1 and re.search(text, result[0])


def test_a_window_that_lies_too_late() -> None:
    """Gradients of a separable set die out: at the end the expert hardly moves."""
    trainer = Trainer(epochs=12, steps=4, optimizer=SGD(lr=1.0, cosine=40))
    experts = Experts(trainer, count=1)
    early = TrajectoryMatching(experts, INNER, (0, 2), 2)
    late = TrajectoryMatching(experts, INNER, (0, 10), 2)
    assert not [text for text in messages_of(early) if "window" in text]
    results = [text for text in messages_of(late) if "lies too late" in text]
    assert len(results) == 1 and "from epoch 10 to 12" in results[0]


def test_watching_a_run() -> None:
    objective = TrajectoryMatching(
        EXPERTS, InnerLoop(4, SGD(0.3), backprop="first_order"), **WINDOW
    )
    watch = TrajectoryMonitor(every=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = multidd.RunOptions(callbacks=[watch])
        summary = multidd.distill(Toy("mlp"), objective, free(), steps=4, run=run)
    again = multidd.distill(Toy("mlp"), objective, free(), steps=4)
    assert summary.digest() == again.digest()
    assert set(watch.probes) == {0, 2, 4} and set(watch.findings) == {0, 2, 4}
    assert all(
        isinstance(p, GradientProbe) and p.cosine < 1 for p in watch.probes.values()
    )
    wild = replace(objective, inner=InnerLoop(4, SGD(300.0)))
    with pytest.warns(MultiddWarning, match="the learner ends"):
        run = multidd.RunOptions(callbacks=[TrajectoryMonitor()])
        multidd.distill(Toy("mlp"), wild, free(), steps=1, run=run)


def test_what_the_run_itself_refuses_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(*args: Any) -> None:
        raise StorageError("there is no expert 3")

    monkeypatch.setattr(trajectory_diagnostics, "_at", missing)
    watch = TrajectoryMonitor()
    watch.look(SimpleNamespace(step=4, objective=SimpleNamespace(diagnose=None)))
    assert watch.findings == {} and watch.probes == {}


# --- memory ---------------------------------------------------------------------------


def test_a_way_that_does_not_fit_is_refused_before_it_is_taken() -> None:
    task = Toy("mlp")
    objective = TrajectoryMatching(EXPERTS, InnerLoop(1000, SGD(0.1)), **WINDOW)
    state, batch = state_of(objective, task, step=0), moved(task)
    start, _ = objective.ends(state)
    rate = objective.rate(state)
    result = estimate_memory(
        task, start, batch, objective.inner, seeds.at(0, "need"), rate
    )
    tight = replace(objective, max_memory=7 * result.step + 1)
    with pytest.raises(
        ValueError,
        match=r"1000 steps with backprop='exact' take about .* free; "
        r"steps=7 would fit; backprop='checkpointed' takes .*; "
        r"backprop='first_order' takes",
    ):
        tight.loss(task, state, batch, seeds.at(0, "loss"))
    few = replace(tight, inner=InnerLoop(7, SGD(0.1)))
    few.loss(task, state, batch, seeds.at(0, "loss"))
    cheap = replace(tight, inner=replace(tight.inner, backprop="first_order"))
    cheap.loss(task, state, batch, seeds.at(0, "loss"))
    with pytest.raises(ValueError, match="no step fits"):
        replace(few, max_memory=1).loss(task, state, batch, seeds.at(0, "loss"))


def test_what_a_step_needs_is_what_the_graph_keeps() -> None:
    """As many more bytes for each step of a longer way."""
    task, held = Toy("mlp"), []
    batch, weights = moved(task), task.weights(seeds.at(0, "w"), 1)
    for steps in (4, 8):
        places: dict[int, Tensor] = {}

        def keep(tensor: Tensor, places: Any = places) -> Tensor:
            places.setdefault(tensor.untyped_storage().data_ptr(), tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            end = multidd.learning.unroll.train(
                task, weights, batch, InnerLoop(steps, SGD(0.1)), seeds.at(0, "way")
            )
        held.append(sum(t.untyped_storage().nbytes() for t in places.values()))
        assert end["weight"].requires_grad
    one = estimate_memory(
        task, weights, batch, InnerLoop(8, SGD(0.1)), seeds.at(0, "need")
    )
    assert one.step == pytest.approx((held[1] - held[0]) / 4, rel=0.3)


def test_bytes_by_the_kind_of_memory() -> None:
    one, steps = MemoryEstimate(step=1000, state=10), 64
    ways: dict[Backprop, int] = {
        "exact": 64000,
        "checkpointed": 8080,
        "stored": 1640,
        "first_order": 1010,
    }
    for memory, expected in ways.items():
        assert one.total(InnerLoop(steps, backprop=memory)) == expected
    assert one.total(InnerLoop(steps, backprop="truncated", window=5)) == 5000
    assert one.max_steps(InnerLoop(steps, backprop="checkpointed"), 8079) == 63 - 7
    assert one.max_steps(InnerLoop(steps, backprop="truncated", window=5), 3500) == 3


def test_memory_at_hand() -> None:
    room = available_memory()
    assert room is None or 10**6 < room < 10**15
    batch, task = moved(Toy("mlp")), Toy("mlp")
    weights = task.weights(seeds.at(0, "w"), 1)
    check_memory(task, weights, batch, INNER, seeds.at(0, "need"))


def test_advice_names_only_ways_that_are_possible() -> None:
    batch, task = moved(Toy("mlp")), Toy("mlp")
    weights = task.weights(seeds.at(0, "w"), 1)

    def advice(inner: InnerLoop) -> str:
        with pytest.raises(ValueError, match=r"and 100 bytes are free; ") as refused:
            check_memory(
                task, weights, batch, inner, seeds.at(0, "need"), max_memory=100
            )
        return re.sub(r"takes [\d.]+ KB", "takes ...", str(refused.value)).split("; ")[
            1:
        ]

    # Adam has no first-order way, a window is one way alone.
    ways = [f"backprop={name!r} takes ..." for name in ("checkpointed", "stored")]
    assert advice(InnerLoop(9, Adam(0.1))) == ["no step fits", *ways]
    windowed = InnerLoop(9, SGD(0.1), backprop="truncated", window=2)
    assert advice(windowed) == ["no step fits"]


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Files of a system, and what it says of its pages: none of them."""
    pages: dict[str, int] = {}

    def sysconf(name: str) -> int:
        if name not in pages:
            raise ValueError("unrecognized configuration name")
        return pages[name]

    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    below = SimpleNamespace(Path=lambda path: tmp_path / path.lstrip("/"))
    monkeypatch.setattr(memory_module, "pathlib", below)
    monkeypatch.setattr(memory_module, "os", SimpleNamespace(sysconf=sysconf))
    return SimpleNamespace(write=write, pages=pages)


def test_free_memory_is_what_the_system_and_the_container_leave(system: Any) -> None:
    assert available_memory() is None
    batch, task = moved(Toy("mlp")), Toy("mlp")
    weights = task.weights(seeds.at(0, "w"), 1)
    check_memory(task, weights, batch, INNER, seeds.at(0, "need"))  # nothing to say
    system.pages |= {"SC_AVPHYS_PAGES": 700, "SC_PAGE_SIZE": 4096}
    assert available_memory() == 700 * 4096
    system.write("proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:    2000 kB\n")
    assert available_memory() == 2000 * 1024
    cgroup = "sys/fs/cgroup/memory"
    system.write(f"{cgroup}.current", "400000\n")
    system.write(f"{cgroup}.stat", "anon 1\ninactive_file 50000\n")
    system.write(f"{cgroup}.max", "max\n")
    assert available_memory() == 2000 * 1024
    system.write(f"{cgroup}.max", "1000000\n")
    assert available_memory() == 650_000


def test_free_memory_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the driver has, and what torch holds without using it."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 9000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 300)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 200)
    assert available_memory("cuda:0") == 1100
