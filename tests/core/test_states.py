"""Where models come from: pools, frozen teachers, models trained on either side."""

from typing import Any

import pytest
import torch
from torch import Tensor

from multidd import distill, seeds
from multidd.errors import CheckpointMismatchError
from multidd.learning.kernel_sources import Features
from multidd.learning.optim import SGD, Adam
from multidd.learning.states import (
    Bank,
    Fresh,
    Frozen,
    Online,
    Pool,
    check_places,
)
from multidd.objectives import DistributionMatching, GradientMatching, KernelRidge
from tests.toy import FAST, Toy, ToyBatch, drawn, free, real_batch

TASK = Toy("mlp")
STATES = {
    "Fresh": Fresh(2),
    "Bank": Bank(2, 2),
    "Online on S": Online("synthetic", 2, 2, 3),
    "Online on T": Online("real", 2, 2, 3),
    "Pool on S": Pool(3, 2, "synthetic", max_age=2),
    "Pool on T": Pool(3, 2, "real", max_age=2, warmup_steps=1),
    "Frozen": Frozen(2, steps=3),
}
FAMILIES = {
    "gradient": lambda states: GradientMatching(states=states),
    "distribution": lambda states: DistributionMatching(states=states),
    "kernel": lambda states: KernelRidge(Features(states), ridge=1e-2),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("states", STATES)
def test_every_state_serves_every_family(states: str, family: str) -> None:
    """It runs, twice to the same bits, and the records move."""
    objective = FAMILIES[family](STATES[states])
    options: dict[str, Any] = {"optimizer": FAST, "seed": 1}
    runs = [
        distill(TASK, objective, free(), steps=steps, **options) for steps in (4, 4, 0)
    ]
    assert runs[0].digest() == runs[1].digest()
    assert not torch.equal(runs[0].tensors["x"], runs[2].tensors["x"])
    assert len(set(runs[0].card.history)) == 4


def trained(weights: dict, batch: ToyBatch, steps: int, **settings: Any) -> dict:
    """One model by itself, as torch.optim.Adam trains it on the mean loss."""
    leaves = {n: w.clone().requires_grad_() for n, w in weights.items()}
    adam = torch.optim.Adam(leaves.values(), **settings)
    for _ in range(steps):
        adam.zero_grad()
        TASK.losses(leaves, batch).mean().backward()
        adam.step()
    return {n: w.detach() for n, w in leaves.items()}


def model(weights: dict, place: int) -> dict:
    return {n: w[place] for n, w in weights.items()}


def assert_equal(result: dict, expected: dict, **tolerance: float) -> None:
    assert set(result) == set(expected)
    limits = tolerance or {"rtol": 0.0, "atol": 0.0}
    for name in expected:
        torch.testing.assert_close(result[name], expected[name], **limits)


def walk(pool: Pool, steps: int) -> list[Any]:
    """States before and after each advance."""
    states = [pool.init(TASK, seeds.at(0, "init"))]
    for step in range(steps):
        rng = seeds.at(0, "advance", step)
        states.append(pool.advance(TASK, states[-1], drawn(TASK), rng))
    return states


# --- pool -------------------------------------------------------------------------


def test_ages_at_the_start_are_spread() -> None:
    assert walk(Pool(4, max_age=8), 0)[0]["ages"].tolist() == [0, 2, 4, 6]
    assert walk(Pool(3, max_age=100), 0)[0]["ages"].tolist() == [0, 33, 66]


def test_models_are_drawn_without_replacement() -> None:
    seen = [tuple(state["used"].tolist()) for state in walk(Pool(5, 3), 30)]
    assert all(len(set(used)) == 3 for used in seen)
    assert {place for used in seen for place in used} == set(range(5))
    assert len({frozenset(used) for used in seen}) > 5


@pytest.mark.parametrize("optimizer", [Adam(lr=0.01), SGD(0.1, 0.9)])
def test_only_the_used_move(optimizer: Any) -> None:
    """Weights, moments and ages of all others stay to the bit."""
    states = walk(Pool(5, 2, max_age=50, optimizer=optimizer), 6)
    for before, after in zip(states, states[1:], strict=False):
        used = before["used"].tolist()
        for place in range(5):
            moved = place in used
            for name, weight in before["pool"].items():
                same = torch.equal(weight[place], after["pool"][name][place])
                assert same != moved
                for kind, moment in before["moments"][name].items():
                    other = after["moments"][name][kind]
                    assert torch.equal(moment[place], other[place]) != moved
            older = int(after["ages"][place] - before["ages"][place])
            assert older == (1 if moved else 0)


def test_weights_are_those_of_the_used() -> None:
    for state in walk(Pool(5, 2, max_age=3), 8):
        for name, weight in state["weights"].items():
            assert torch.equal(weight, state["pool"][name][state["used"]])


def test_a_model_starts_again_at_its_age() -> None:
    """Fresh weights of the pool's draw, empty moments, age zero; others go on."""
    pool = Pool(4, 2, max_age=4, optimizer=Adam(lr=0.01))
    states, starts = walk(pool, 12), 0
    for step, (before, after) in enumerate(zip(states, states[1:], strict=False)):
        rng = seeds.at(0, "advance", step)
        TASK.view(rng)  # of the training step, which comes first
        fresh = TASK.weights(rng, 2)
        for slot, place in enumerate(before["used"].tolist()):
            due = int(before["ages"][place]) + 1 >= 4
            starts += due
            assert int(after["ages"][place]) == (
                0 if due else int(before["ages"][place]) + 1
            )
            result = model(after["pool"], place)
            same = all(torch.equal(result[n], fresh[n][slot]) for n in fresh)
            assert same == due
            counts = after["moments"]["weight"]["count"][place]
            assert (int(counts) == 0) == due
    assert starts > 3
    assert all(int(state["ages"].max()) < 4 for state in states)


def test_adam_counts_each_model_by_itself() -> None:
    """Models of many ages in one stack move as each would alone."""
    pool = Pool(4, 2, max_age=100, steps=2, optimizer=Adam(lr=0.02))
    states = walk(pool, 7)
    turns = torch.stack([state["used"] for state in states[:-1]]).flatten()
    uses = turns.bincount(minlength=4).tolist()
    assert len(set(uses)) > 1
    for place, count in enumerate(uses):
        start = model(states[0]["pool"], place)
        expected = trained(start, drawn(TASK), 2 * count, lr=0.02)
        result = model(states[-1]["pool"], place)
        assert_equal(result, expected, rtol=1e-9, atol=1e-11)


def test_a_warm_pool_is_trained_on_real_data() -> None:
    pool = Pool(3, warmup_steps=4, optimizer=Adam(lr=0.02))
    state = pool.init(TASK, seeds.at(0, "init"))
    start = TASK.weights(seeds.at(0, "init"), 3)
    for place in range(3):
        expected = trained(model(start, place), real_batch(TASK), 4, lr=0.02)
        result = model(state["pool"], place)
        assert_equal(result, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "bad",
    [
        {"on": "test"},
        {"num_models": 4, "pool_size": 3},
        {"num_models": 0},
        {"max_age": 0},
    ],
)
def test_bad_pools(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Pool(**bad)


# --- which side they learn from -----------------------------------------------------


def after(states: Any, task: Toy, batch: ToyBatch) -> dict[str, Tensor]:
    state = states.init(task, seeds.at(0, "init"))
    state = states.advance(task, state, batch, seeds.at(0, "advance"))
    return state.get("pool", state["weights"])


@pytest.mark.parametrize(
    ("states", "sees"),
    [
        (Online("synthetic"), {"synthetic"}),
        (Online("real"), {"real"}),
        (Pool(3, 3, "synthetic"), {"synthetic"}),
        (Pool(3, 3, "real"), {"real"}),
        (Pool(3, 3, "synthetic", warmup_steps=1), {"synthetic", "real"}),
        (Frozen(steps=2), {"real"}),
        (Frozen(steps=0), set()),
        (Fresh(), set()),
        (Bank(1, 2), set()),
    ],
    ids=lambda v: str(sorted(v) if isinstance(v, set) else v),
)
def test_what_models_learn_from(states: Any, sees: set[str]) -> None:
    """Other records on a side change the weights just where that side is seen."""
    other = Toy("mlp", x=TASK.data[0].flip(0))
    plain = after(states, TASK, drawn(TASK))
    changed = {
        "synthetic": after(states, TASK, drawn(TASK, seed=1)),
        "real": after(states, other, drawn(TASK)),
    }
    same = {
        side
        for side, weights in changed.items()
        if any(not torch.equal(weights[n], plain[n]) for n in plain)
    }
    assert same == sees


@pytest.mark.parametrize("on", ["synthetic", "real"])
def test_online_trains_on_its_side(on: Any) -> None:
    states = Online(on, steps=3, optimizer=Adam(lr=0.02))
    result = after(states, TASK, drawn(TASK))
    batch = drawn(TASK) if on == "synthetic" else real_batch(TASK)
    start = model(TASK.weights(seeds.at(0, "init"), 1), 0)
    expected = trained(start, batch, 3, lr=0.02)
    assert_equal(model(result, 0), expected, rtol=1e-9, atol=1e-11)


def test_frozen_never_moves() -> None:
    """Trained once on real data, as torch does it, and the same ever after."""
    frozen = Frozen(2, steps=5, optimizer=Adam(lr=0.02))
    state = first = frozen.init(TASK, seeds.at(0, "init"))
    for step in range(3):
        state = frozen.advance(TASK, state, drawn(TASK), seeds.at(step, "advance"))
        assert_equal(state["weights"], first["weights"])
    for place in range(2):
        start = model(TASK.weights(seeds.at(0, "init"), 2), place)
        expected = trained(start, real_batch(TASK), 5, lr=0.02)
        assert_equal(model(first["weights"], place), expected, rtol=1e-9, atol=1e-11)


# --- parts of a batch -----------------------------------------------------------------


@pytest.mark.parametrize(
    "states",
    [
        Online("real", steps=3, optimizer=SGD(0.1), batch_size=7),
        Pool(1, on="real", steps=3, optimizer=SGD(0.1), batch_size=7),
        Frozen(steps=3, optimizer=SGD(0.1), batch_size=7),
    ],
    ids=lambda v: type(v).__name__,
)
def test_training_on_some_rows(states: Any) -> None:
    """Each step takes other rows, drawn from the batch by the run's generator."""
    result = after(states, TASK, drawn(TASK))
    start = TASK.weights(seeds.at(0, "init"), 1)
    rng = seeds.at(0, "advance")
    if isinstance(states, Frozen):  # it trains at once, right after its weights
        TASK.weights(rng := seeds.at(0, "init"), 1)
    leaves = {n: w[0].clone().requires_grad_() for n, w in start.items()}
    sgd, seen = torch.optim.SGD(leaves.values(), lr=0.1), set()
    for _ in range(3):
        rows = torch.randperm(28, generator=rng)[:7]
        TASK.view(rng)
        seen.add(tuple(sorted(rows.tolist())))
        sgd.zero_grad()
        TASK.losses(leaves, real_batch(TASK))[rows].mean().backward()
        sgd.step()
    assert len(seen) == 3
    expected = {n: w.detach() for n, w in leaves.items()}
    assert_equal(model(result, 0), expected, rtol=1e-9, atol=1e-11)


def test_more_rows_than_there_are_take_all() -> None:
    plain, many = (
        after(Online("real", batch_size=r), TASK, drawn(TASK)) for r in (None, 28)
    )
    assert_equal(plain, many, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "bad", "message"),
    [
        (Fresh, {"num_models": 0}, "num_models must be 1 or more, got 0"),
        (Bank, {"num_sets": 0}, "num_sets must be 1 or more, got 16 and 0"),
        (Online, {"on": "test"}, "on must be 'synthetic' or 'real', got 'test'"),
        (Online, {"matches_per_net": 0}, "steps 0 or more; got .*, 0 and"),
        (Online, {"steps": -1}, "steps 0 or more; got .* and -1"),
    ],
)
def test_bad_settings(kind: Any, bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**bad)


def test_places_of_a_state_are_within() -> None:
    check_places("turn", torch.tensor([0, 2]), 3)
    for places in ([0, 3], [-1, 0]):
        text = f"'state::turn' holds {places[0]}..{places[1]}; it must be 0..2"
        with pytest.raises(CheckpointMismatchError, match=text):
            check_places("turn", torch.tensor(places), 3)


@pytest.mark.parametrize("kind", [Online, Pool, Frozen])
def test_rows_must_be_positive(kind: Any) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        kind(batch_size=0)
