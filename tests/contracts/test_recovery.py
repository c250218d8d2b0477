"""Recovery: recorded statistics and the loss by hand, refusals, what it does."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from multidd import distill, seeds
from multidd.learning.functional import unstack
from multidd.learning.optim import Adam
from multidd.learning.states import Frozen, Online
from multidd.objectives import Recovery, decoupled
from tests.tables import started
from tests.toy import MODELS, Toy, ToyBatch, drawn, free, real_batch

models = pytest.mark.parametrize("model", MODELS)


def moments(layer: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel, one number after the other."""
    parts = layer.reshape(len(layer), channels, -1).tolist()
    rows = [[x for row in parts for x in row[c]] for c in range(channels)]
    means = [sum(row) / len(row) for row in rows]
    spreads = [
        sum((x - m) ** 2 for x in row) / len(row)
        for row, m in zip(rows, means, strict=True)
    ]
    return torch.tensor(means).double(), torch.tensor(spreads).double()


@models
@pytest.mark.parametrize("channels", [None, 1])
def test_loss_by_hand(model: str, channels: int | None) -> None:
    """Cross-entropy, and distances of the only hidden layer's statistics."""
    task, split = Toy(model), None if channels is None else (channels,)
    objective = Recovery(Frozen(2, steps=2), 0.3, 2.0, split)
    state = started(objective, task, seeds.at(0, "init"))
    loss = objective.loss(task, state, drawn(task), seeds.at(0, "loss"))
    expected = []
    for weights in unstack(state["weights"]):
        ours, theirs = (
            task.features(weights, batch)[0]
            for batch in (drawn(task), real_batch(task))
        )
        many = channels or ours.shape[1]
        pairs = zip(moments(ours, many), moments(theirs, many), strict=True)
        apart = sum(float((s - t).norm()) for s, t in pairs)
        cost = float(task.losses(weights, drawn(task)).mean())
        expected.append(cost + 0.3 * 2.0 * apart)
    assert float(loss) == pytest.approx(sum(expected) / 2, rel=1e-6)


def test_only_the_first_layer_has_its_own_weight() -> None:
    """Of two hidden layers; the logits are not matched."""

    class Deep(Toy):
        def features(self, weights: Any, batch: Any, last: Any = None) -> list[Tensor]:
            *hidden, logits = super().features(weights, batch)
            return [*hidden, 2 * hidden[0], logits]

    losses = []
    for first in (1.0, 4.0):
        task, objective = Deep("mlp"), Recovery(Frozen(steps=0), 1.0, first)
        state = objective.init(task, seeds.at(0, "init"))
        names = {"mean/0", "mean/1", "variance/0", "variance/1"}
        assert set(state["moments"]) == names
        batch = drawn(task)
        loss = objective.loss(task, state, batch, seeds.at(0, "loss"))
        weights = unstack(state["weights"])[0]
        losses.append(float(loss - task.losses(weights, batch).mean()))
    layer, real = (task.features(weights, one)[0] for one in (batch, real_batch(task)))
    means, spreads = (
        float((a - b).norm())
        for a, b in zip(moments(layer, 5), moments(real, 5), strict=True)
    )
    assert losses[0] == pytest.approx(3 * means + 5 * spreads, rel=1e-6)
    assert losses[1] - losses[0] == pytest.approx(3 * (means + spreads), rel=1e-6)


@pytest.mark.parametrize("chunk", [1, 5, 28])
def test_statistics_do_not_depend_on_the_chunks(monkeypatch, chunk: int) -> None:
    whole = Recovery(Frozen(steps=1)).init(Toy("mlp"), seeds.at(0, "init"))
    monkeypatch.setattr(decoupled, "CHUNK", chunk)
    parts = Recovery(Frozen(steps=1)).init(Toy("mlp"), seeds.at(0, "init"))
    for name, moment in whole["moments"].items():
        torch.testing.assert_close(parts["moments"][name], moment)


def test_statistics_of_several_batches_are_those_of_all() -> None:
    """Drawn batches together, as one."""
    task = Toy("mlp", batch_size=3)
    objective = Recovery(Frozen(steps=0), batches=5)
    state = objective.init(task, seeds.at(0, "init"))
    rng = seeds.at(0, "init")
    weights = unstack(task.weights(rng, 1))[0]
    layers = []
    for _ in range(5):
        view = task.view(rng)
        del view  # draws nothing that is used: the shift is zero
        layers.append(task.features(weights, task.batch(rng))[0])
    mean, spread = moments(torch.cat(layers), 5)
    torch.testing.assert_close(state["moments"]["mean/0"][0], mean)
    torch.testing.assert_close(state["moments"]["variance/0"][0], spread)


def test_real_records_take_no_part_in_a_step() -> None:
    """A task that cannot give a batch again, and one view of the synthetic side."""
    objective = Recovery(Frozen(steps=1))
    state = objective.init(Toy("mlp"), seeds.at(0, "init"))
    shown: list[int] = []

    class Gone(Toy):
        def batch(self, rng: torch.Generator) -> ToyBatch:
            raise AssertionError("a real batch was asked for")

        def view(self, rng: torch.Generator) -> Any:
            return lambda batch: shown.append(1) or replace(batch, x=batch.x + 1)

    gone, plain = Gone("mlp"), Toy("mlp")
    moved = objective.loss(gone, state, drawn(plain), seeds.at(0, "loss"))
    there = replace(drawn(plain), x=drawn(plain).x + 1)
    still = objective.loss(plain, state, there, seeds.at(0, "loss"))
    assert shown == [1] and torch.equal(moved, still)
    assert objective.advance(gone, state, there, seeds.at(0, "advance")) is state


def test_recovered_records_are_known_and_spread_like_real_ones() -> None:
    """From noise, on both terms: certain of each class, with the set's moments."""
    task = Toy("mlp", edges=False)
    objective = Recovery(Frozen(steps=200, optimizer=Adam(0.05)), 0.3, 1.0)
    ends = [
        distill(
            task,
            objective,
            free((6, 6, 6), noise=True),
            steps=steps,
            optimizer=Adam(lr=0.05),
        )
        for steps in (0, 150)
    ]
    state = objective.init(task, seeds.at(0, "init", 0))
    weights = unstack(state["weights"])[0]
    apart, right = [], []
    for result in ends:
        batch = task.synthetic(dict(result.tensors))
        layer, logits = task.features(weights, batch)
        pairs = zip(
            moments(layer, 5),
            moments(task.features(weights, real_batch(task))[0], 5),
            strict=True,
        )
        apart.append(sum(float((s - t).norm()) for s, t in pairs))
        right.append(float((logits.argmax(1) == batch.y).float().mean()))
    assert right[1] > 0.9 > right[0]
    assert apart[1] < 0.2 * apart[0]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"states": Online()}, TypeError, "states must be Frozen.*Online"),
        ({"weight": -1.0}, ValueError, "0 or more, got -1.0 and 10.0"),
        (
            {"first_layer_weight": float("nan")},
            ValueError,
            "0 or more, got 0.01 and nan",
        ),
        ({"batches": 0}, ValueError, "batches must be 1 or more, got 0"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_bad_settings(settings: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        Recovery(**settings)


@pytest.mark.parametrize("channels", [(3,), (0,), (1, 1), ()])
def test_channels_that_do_not_fit(channels: tuple[int, ...], monkeypatch) -> None:
    """Known before a teacher is trained."""
    monkeypatch.setattr(Frozen, "init", lambda *inputs: pytest.fail("trained"))
    with pytest.raises(ValueError, match=r"layers of \[5\], got"):
        Recovery(channels=channels).init(Toy("mlp"), seeds.at(0, "init"))
