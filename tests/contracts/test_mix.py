"""Mixes: weights, schedules, what stands still, and the names of what is learned."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from multidd import seeds
from multidd.engine.callbacks import Every
from multidd.learning.optim import SGD, Adam
from multidd.learning.states import Fresh, Online
from multidd.objectives import (
    DistributionMatching,
    GradientMatching,
    KernelRidge,
    Mix,
    Representative,
)
from multidd.objectives.mix import Part
from tests.tables import started
from tests.toy import FAST, Toy, distill, drawn, free

TASK = Toy("mlp")
LEARNS = KernelRidge(loss_kind="cross_entropy", ridge=0.1)


def test_loss_is_the_weighted_sum() -> None:
    """One part draws after the other from the same generator."""
    parts = (DistributionMatching(), GradientMatching(states=Fresh(2)))
    mix = Mix((Part(parts[0], 2.0), Part(parts[1], 0.25)))
    rng = seeds.at(0, "init")
    states = [part.init(TASK, rng) for part in parts]
    state = mix.init(TASK, seeds.at(0, "init"))
    rng = seeds.at(0, "loss")
    pairs = zip(parts, states, strict=True)
    losses = [part.loss(TASK, result, drawn(TASK), rng) for part, result in pairs]
    loss = mix.loss(TASK, state, drawn(TASK), seeds.at(0, "loss"))
    torch.testing.assert_close(loss, 2 * losses[0] + losses[1] / 4)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, [0, 1, 2, 3, 4, 5, 6]),
        ({"first": 3}, [3, 4, 5, 6]),
        ({"last": 3}, [0, 1, 2]),
        ({"every": 3}, [0, 3, 6]),
        ({"first": 1, "every": 2, "last": 5}, [1, 3]),
        ({"first": 2, "last": 2}, []),
    ],
)
def test_when_a_part_counts(settings: dict[str, int], steps: list[int]) -> None:
    """By its schedule, and so in the losses of a run."""
    part = Part(DistributionMatching(), **settings)
    assert [step for step in range(7) if part.counts(step)] == steps
    summary = distill(TASK, Mix((part,)), free(), steps=7)
    results = [step for step, loss in enumerate(summary.card.history) if loss != 0]
    assert results == steps


def test_models_of_parts_that_do_not_count_stand_still() -> None:
    online = Online(steps=1, matches_per_net=100)
    mix = Mix(
        (
            Part(GradientMatching(states=online), every=2),
            Part(DistributionMatching(states=online), first=1, last=3),
        )
    )
    state = mix.init(TASK, seeds.at(0, "init"))
    for step in range(4):
        after = mix.advance(TASK, state, drawn(TASK), seeds.at(0, "advance", step))
        for place, part in enumerate(mix.parts):
            old, new = (s[str(place)] for s in (state, after))
            same = torch.equal(old["weights"]["inner"], new["weights"]["inner"])
            assert same != part.counts(step)
            grown = int(new["age"] - old["age"])
            assert grown == int(part.counts(step))
        assert int(after["step"]) == step + 1
        state = after


@dataclass(frozen=True)
class Costly:
    """Fails if it is computed."""

    def init(self, task: Any, rng: Any) -> Any:
        return {}

    def loss(self, task: Any, state: Any, synthetic: Any, rng: Any) -> Tensor:
        raise AssertionError("computed")

    advance = loss


def test_a_part_that_does_not_count_is_not_computed() -> None:
    mix = Mix((Part(DistributionMatching()), Part(Costly(), first=3)))
    assert distill(TASK, mix, free(), steps=3).card.steps == 3
    with pytest.raises(AssertionError, match="computed"):
        distill(TASK, mix, free(), steps=4)


# --- what is learned ---------------------------------------------------------------


def logs(objective: Any, **options: Any) -> list[dict[str, float]]:
    """Everything the objective learns, after each step."""
    seen: list[dict[str, float]] = []

    def look(run: Any) -> None:
        learned = {n: t for n, t in run.params.items() if n.startswith("objective.")}
        seen.append({n: t.item() for n, t in learned.items()})

    settings = {"steps": 4, "optimizer": FAST} | options
    distill(TASK, objective, free(), callbacks=[Every(1, look)], **settings)
    return seen


def test_names_are_nested() -> None:
    inner = Mix((Part(LEARNS), Part(DistributionMatching())))
    mix = Mix((Part(DistributionMatching()), Part(inner), Part(LEARNS, 0.5)))
    names = {"1.0.log_temperature", "2.log_temperature"}
    assert set(mix.learned()) == names
    assert set(Representative(mix).learned()) == names
    seen = logs(mix)
    assert all(set(now) == {f"objective.{name}" for name in names} for now in seen)
    for name in seen[0]:
        assert len({now[name] for now in seen}) == 4


def test_each_part_learns_its_own() -> None:
    """A temperature in a mix moves as it would alone."""
    alone = logs(LEARNS, optimizer={"objective.log_temperature": SGD(0.5)}, steps=1)
    mix = Mix((Part(LEARNS, 1.0), Part(LEARNS, 0.5)))
    rules = {f"objective.{place}.log_temperature": SGD(0.5) for place in (0, 1)}
    both = logs(mix, optimizer=rules, steps=1)
    first = math.log(10.0)
    step = alone[0]["objective.log_temperature"] - first
    assert abs(step) > 1e-4
    assert both[0]["objective.0.log_temperature"] - first == pytest.approx(step, 1e-3)
    half = both[0]["objective.1.log_temperature"] - first
    assert half == pytest.approx(step / 2, rel=1e-3)


@pytest.mark.parametrize("rule", [SGD(0.1, 0.9), Adam(0.1), Adam(0.1, weight_decay=1)])
def test_what_a_part_learns_stands_still_with_it(rule: Any) -> None:
    """No momentum and no decay moves it at a step at which the part does not count."""
    mix = Mix((Part(DistributionMatching()), Part(LEARNS, every=3)))
    seen = [now["objective.1.log_temperature"] for now in logs(mix, optimizer=rule)]
    assert math.log(10.0) != pytest.approx(seen[0], abs=1e-6)
    assert seen[0] == seen[1] == seen[2] != seen[3]


@pytest.mark.parametrize("bad", [(), [Part(LEARNS)], (LEARNS,), Part(LEARNS)])
def test_parts_must_be_a_tuple_of_parts(bad: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="Part"):
        Mix(bad)


@pytest.mark.parametrize("every", [0, -1])
def test_every_must_be_positive(every: int) -> None:
    with pytest.raises(ValueError, match="every"):
        Part(LEARNS, every=every)


# --- representative ------------------------------------------------------------------


def walk(objective: Representative, steps: int, task: Toy = TASK) -> list[Any]:
    states = [started(objective, task, seeds.at(0, "init"))]
    for step in range(steps):
        rng = seeds.at(0, "advance", step)
        states.append(objective.advance(task, states[-1], drawn(task), rng))
    return states


@pytest.mark.parametrize("batch_size", [None, 5])
@pytest.mark.parametrize("per_class", [1, 3, 50])
def test_representative_rows(per_class: int, batch_size: int | None) -> None:
    """Rows of the batch, each once, at most so many of a class."""
    task = Toy("mlp", batch_size=batch_size)
    objective = Representative(DistributionMatching(), per_class, every=2)
    for state in walk(objective, 4, task):
        whole = task.batch(seeds.at(int(state["draw"]), "representative"))
        rows = state["rows"]
        assert len(rows.unique()) == len(rows)
        assert 0 <= int(rows.min()) and int(rows.max()) < len(whole.y)
        counts = whole.y[rows].bincount(minlength=3)
        have = whole.y.bincount(minlength=3)
        assert bool((counts >= 1).all() & (counts <= per_class).all())
        if per_class == 50:
            assert counts.tolist() == have.tolist()


@dataclass(frozen=True, eq=False)
class Watched(Toy):
    """Keeps the real batches that an objective asks for while it is held."""

    def batch(self, rng: torch.Generator) -> Any:
        result = super().batch(rng)
        if self.held is not None:
            SEEN.append(result)
        return result


SEEN: list[Any] = []


def test_the_objective_sees_the_representative_rows() -> None:
    task = Watched("mlp", batch_size=5)
    objective = Representative(DistributionMatching(), per_class=2)
    state = objective.init(task, seeds.at(0, "init"))
    SEEN.clear()
    objective.loss(task, state, drawn(task), seeds.at(0, "loss"))
    whole = task.batch(seeds.at(int(state["draw"]), "representative"))
    assert len(SEEN) == 1
    assert torch.equal(SEEN[0].x, whole.x[state["rows"]])
    assert torch.equal(SEEN[0].y, whole.y[state["rows"]])
    plain = DistributionMatching()
    held = task.with_fixed_batch(task.take(whole, state["rows"]))
    expected = plain.loss(held, state["inner"], drawn(task), seeds.at(0, "loss"))
    loss = objective.loss(task, state, drawn(task), seeds.at(0, "loss"))
    assert torch.equal(loss, expected)


def test_rows_are_nearest_to_their_centers() -> None:
    """One cluster: the record nearest to the mean, in the hidden layer, by a loop."""
    objective = Representative(DistributionMatching(), per_class=1)
    task = Toy("linear")  # its hidden layer is the record
    state = objective.init(task, seeds.at(0, "init"))
    whole, expected = task.batch(seeds.at(0, "x")), set()
    for c in range(3):
        rows = [i for i, label in enumerate(whole.y.tolist()) if label == c]
        mean = whole.x[rows].mean(0)
        expected.add(min(rows, key=lambda i: float((whole.x[i] - mean).norm())))
    assert set(state["rows"].tolist()) == expected


def test_rows_change_only_when_due() -> None:
    task = Toy("mlp", batch_size=5)
    states = walk(Representative(DistributionMatching(), 2, every=3), 9, task)
    draws = [int(state["draw"]) for state in states]
    assert [len(set(draws[i : i + 3])) for i in (0, 3, 6)] == [1, 1, 1]
    assert len(set(draws)) == 4
    for before, after in zip(states, states[1:], strict=False):
        if int(before["draw"]) == int(after["draw"]):
            assert torch.equal(before["rows"], after["rows"])
    assert [int(state["age"]) for state in states] == [0, 1, 2] * 3 + [0]


@pytest.mark.parametrize("bad", [{"per_class": 0}, {"every": 0}])
def test_bad_representative(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        Representative(DistributionMatching(), **bad)
