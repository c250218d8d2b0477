"""Trajectory matching against the plain loop; its probe, its window, its runs."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import multidd
from multidd import seeds
from multidd.learning.experts import Experts, FinalExperts, Trainer
from multidd.learning.optim import SGD, Adam
from multidd.learning.unroll import Backprop, InnerLoop
from multidd.objectives import Mix, Representative, TrajectoryMatching
from multidd.objectives.mix import Part
from multidd.parameterizations import Labels
from tests.tables import EXPERTS, started
from tests.toy import MODELS, Toy, ToyBatch, drawn, free, iris

INNER = InnerLoop(5, SGD(lr=0.3, momentum=0.5))
WINDOW = {"start_epochs": (0, 2), "expert_epochs": 2}


def moved(task: Toy) -> ToyBatch:
    """A synthetic batch whose features and soft labels gradients flow into."""
    batch = drawn(task)
    soft = F.one_hot(batch.y, 3).double() + 0.1
    return replace(batch, x=batch.x.requires_grad_(), soft=soft.requires_grad_())


def state_of(objective: TrajectoryMatching, task: Toy, step: int = 1) -> dict[str, Any]:
    state = {**started(objective, task, seeds.at(0, "init"))}
    learned = {n: t.double().requires_grad_() for n, t in objective.learned().items()}
    return {**state, "learned": learned, "step": torch.tensor(step)}


def by_hand(task: Toy, objective: TrajectoryMatching, state: Any, batch: Any) -> Tensor:
    """The loss by autograd through a loop that is written out."""
    store = objective.experts.store(task)
    number, epoch = int(state["expert"]), int(state["epoch"])
    start, goal = (
        {n: w[0] for n, w in store.weights(number, at).items()}
        for at in (epoch, epoch + objective.expert_epochs)
    )
    rate = state["learned"]["log_rate"].exp()
    momentum = objective.inner.optimizer.momentum  # type: ignore[union-attr]
    now = {n: w.clone().requires_grad_() for n, w in start.items()}
    speed = {n: torch.zeros_like(w) for n, w in start.items()}
    for _ in range(objective.inner.steps):
        loss = task.losses(now, batch).mean()
        slopes = torch.autograd.grad(loss, list(now.values()), create_graph=True)
        for name, slope in zip(list(now), slopes, strict=True):
            speed[name] = momentum * speed[name] + slope
            now[name] = now[name] - rate * speed[name]
    ahead = sum(((now[n] - goal[n]) ** 2).sum() for n in now)
    way = sum(((start[n] - goal[n]) ** 2).sum() for n in now)
    assert isinstance(ahead, Tensor)
    return ahead / way


# --- the loss and its gradient --------------------------------------------------------


@pytest.mark.parametrize("memory", ["exact", "checkpointed", "stored"])
@pytest.mark.parametrize("model", MODELS)
def test_the_gradient_is_that_of_the_loop(model: str, memory: Backprop) -> None:
    task = Toy(model, vectorize_models=False)
    objective = TrajectoryMatching(EXPERTS, replace(INNER, backprop=memory), **WINDOW)
    state, batch = state_of(objective, task), moved(task)
    leaves = [batch.x, batch.soft, state["learned"]["log_rate"]]
    ours = objective.loss(task, state, batch, seeds.at(0, "loss"))
    theirs = by_hand(task, objective, state, batch)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    result, expected = (torch.autograd.grad(one, leaves) for one in (ours, theirs))
    for one, other in zip(result, expected, strict=True):
        assert other.abs().max() > 1e-4
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_one_at_the_start_and_zero_at_the_goal() -> None:
    """A learner that stands still is at one; one that takes the expert's steps at 0."""
    task = Toy("mlp")
    still = TrajectoryMatching(EXPERTS, InnerLoop(3, SGD(1e-30)), **WINDOW)
    state = state_of(still, task)
    loss = still.loss(task, state, drawn(task), seeds.at(0, "loss"))
    assert loss.item() == pytest.approx(1, abs=1e-12)
    x, y, _, _ = iris()
    real = replace(task.batch(seeds.at(0, "b")), soft=None)
    assert len(real.x) == len(x) == len(y)
    same = InnerLoop(2 * EXPERTS.trainer.steps, EXPERTS.trainer.optimizer)
    follows = TrajectoryMatching(EXPERTS, same, **WINDOW)
    loss = follows.loss(task, state_of(follows, task), real, seeds.at(0, "loss"))
    assert loss.item() < 1e-12


@pytest.mark.parametrize("model", MODELS)
def test_tesla_is_mtt_at_one_step_and_drifts_after(model: str) -> None:
    task, results = Toy(model), []
    for steps, lr in ((1, 0.3), (3, 0.3), (8, 0.3), (8, 1.0)):
        inner = InnerLoop(steps, SGD(lr=lr), backprop="first_order")
        objective = TrajectoryMatching(EXPERTS, inner, **WINDOW)
        state, rng = state_of(objective, task), seeds.at(0, "probe")
        results.append(objective.probe(task, state, moved(task), rng))
    assert results[0].cosine == pytest.approx(1, abs=1e-9)
    assert results[0].norm_ratio == pytest.approx(1, abs=1e-9)
    assert results[0].lr_ratio == pytest.approx(1, abs=1e-9)
    cosines = [one.cosine for one in results]
    assert 1 > cosines[1] > cosines[2] > cosines[3]


def test_a_probe_of_an_exact_gradient() -> None:
    objective = TrajectoryMatching(EXPERTS, INNER, **WINDOW)
    task = Toy("mlp")
    state, batch = state_of(objective, task), moved(task)
    result = objective.probe(task, state, batch, seeds.at(0, "probe"))
    assert result.cosine == pytest.approx(1, abs=1e-9) and result.loss > 0
    fixed = replace(objective, learn_lr=False)
    assert fixed.probe(task, state, batch, seeds.at(0, "probe")).lr_ratio is None
    with pytest.raises(ValueError, match="no gradient flows"):
        objective.probe(task, state, drawn(task), seeds.at(0, "probe"))


# --- which expert, which epoch --------------------------------------------------------


def seen(objective: TrajectoryMatching, steps: int, seed: int = 0) -> list[tuple]:
    task, results = Toy(), []
    state = objective.init(task, seeds.at(seed, "init"))
    for step in range(steps):
        results.append((int(state["expert"]), int(state["epoch"])))
        rng = seeds.at(seed, "advance", step)
        state = objective.advance(task, state, drawn(task), rng)
    return results


def test_every_expert_and_epoch_has_its_turn() -> None:
    objective = TrajectoryMatching(EXPERTS, INNER, (1, 3), 1)
    result = seen(objective, 60)
    assert set(result) == {(e, t) for e in (0, 1) for t in (1, 2, 3)}
    assert result == seen(objective, 60) and result != seen(objective, 60, seed=1)


def test_a_window_that_grows() -> None:
    objective = TrajectoryMatching(EXPERTS, INNER, (0, 3), 1, growth=(1, 40))
    lasts = [objective.last(step) for step in (0, 19, 20, 39, 40, 1000)]
    assert lasts == [1, 1, 2, 2, 3, 3]
    results = [epoch for _, epoch in seen(objective, 80)]
    assert (
        max(results[:20]) == 1 and max(results[20:40]) == 2 and max(results[40:]) == 3
    )


# --- runs -----------------------------------------------------------------------------


@pytest.mark.parametrize("memory", ["exact", "first_order"])
@pytest.mark.parametrize("model", MODELS)
def test_it_learns(model: str, memory: Backprop) -> None:
    """From noise: the loss falls, and what is learned classifies real flowers."""
    trainer = Trainer(epochs=4, steps=5, optimizer=SGD(lr=0.1))
    inner, task = InnerLoop(4, SGD(lr=0.2), backprop=memory), Toy(model)
    objective = TrajectoryMatching(Experts(trainer, 3), inner, (0, 1), 2)
    rates = {"x": Adam(lr=0.1), "objective.log_rate": Adam(lr=0.02)}
    form, score = free((2, 2, 2), noise=True), []
    for steps in (0, 50):
        summary = multidd.distill(task, objective, form, steps=steps, optimizer=rates)
        score.append(taught(task, summary.tensors))
    history = summary.card.history
    assert sum(history[-10:]) < 0.4 * sum(history[:10])
    assert score[1] > score[0] + 0.1
    assert summary.card.settings["learned"]["rate"] > 0


def taught(task: Toy, tensors: Any) -> float:
    """Accuracy on held-out flowers of networks trained on a synthetic set."""
    batch = task.synthetic({"x": tensors["x"], "y": tensors["y"]})
    weights = task.weights(seeds.at(7, "judge"), 5)
    ends = multidd.learning.unroll.train(
        task, weights, batch, InnerLoop(60, SGD(lr=0.5)), seeds.at(7, "way")
    )
    _, _, x, y = iris()
    held = replace(batch, x=x, y=y)
    ones = [{n: w[k].detach() for n, w in ends.items()} for k in range(5)]
    logits = [task.features(one, held)[-1].argmax(1) for one in ones]
    return float((torch.stack(logits) == y).double().mean())


def test_labels_of_experts_are_learned() -> None:
    task = Toy("mlp")
    form = Labels(free(), "teacher", center=False, teacher=FinalExperts(EXPERTS))
    objective = TrajectoryMatching(EXPERTS, INNER, **WINDOW)
    start, result = (
        multidd.distill(task, objective, form, steps=n).tensors["y_soft"]
        for n in (0, 3)
    )
    torch.testing.assert_close(start.sum(1), torch.ones(6).double())
    assert not torch.equal(start, result)


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"start_epochs": (0, 3)},
            r"start_epochs=\(0, 3\) and expert_epochs=2 ask for epochs 0 to 5.*0 to 4",
        ),
        ({"start_epochs": (2, 1)}, "start"),
        ({"start_epochs": (-1, 1)}, "start"),
        ({"expert_epochs": 0}, "epochs"),
        ({"growth": (3, 10)}, "growth"),
        ({"growth": (1, 0)}, "growth"),
        ({"inner": InnerLoop(2, SGD(lr=0.0))}, "lr=0.0"),
    ],
)
def test_bad_settings(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrajectoryMatching(EXPERTS, **({"inner": INNER} | settings))


def test_factors_of_gradients_are_above_zero() -> None:
    with pytest.raises(ValueError, match="gradient factors must be above 0, got .*0.0"):
        InnerLoop(2, SGD(0.1), gradient_factors=(("a", 1.0), ("b", 0.0)))


def test_representative_batches_are_no_real_set() -> None:
    wrapped = Representative(TrajectoryMatching(EXPERTS, INNER, **WINDOW), 3)
    with pytest.raises(ValueError, match="without Representative"):
        wrapped.init(Toy("mlp"), seeds.at(0, "init"))


def test_in_a_mix() -> None:
    part = Part(TrajectoryMatching(EXPERTS, INNER, **WINDOW), 0.5)
    summary = multidd.distill(Toy("mlp"), Mix((part,)), free(), steps=2)
    assert summary.card.settings["learned"]["0.rate"] > 0
