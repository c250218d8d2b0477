"""Objectives against what they must equal: loops, hand values, torch.optim."""

from typing import Any

import pytest
import torch
from torch import Tensor

from multidd import seeds
from multidd.learning.gradients import class_gradients, mean_gradients
from multidd.learning.states import Bank, Fresh, Online
from multidd.objectives import DistributionMatching, GradientMatching
from multidd.objectives.distances import MSE
from multidd.objectives.terms import (
    MMD,
    Covariance,
    CrossEntropy,
    Discrimination,
    Means,
)
from tests.toy import MODELS, Toy, ToyBatch, drawn, iris, real_batch

models = pytest.mark.parametrize("model", MODELS)


# --- class gradients -------------------------------------------------------------


def loop_gradients(task: Toy, weights: dict[str, Tensor], batch: ToyBatch) -> dict:
    """`[k, c, ...]` by one backward for each model and class."""
    rows: dict[str, list[Tensor]] = {name: [] for name in weights}
    models = len(weights["weight"])
    for model in range(models):
        one = {n: w[model].clone().requires_grad_() for n, w in weights.items()}
        for c in range(task.num_classes):
            losses = task.losses(one, batch)[batch.y == c].mean()
            for name, result in zip(
                one, torch.autograd.grad(losses, list(one.values())), strict=True
            ):
                rows[name].append(result)
    return {
        n: torch.stack(r).unflatten(0, (models, task.num_classes))
        for n, r in rows.items()
    }


def assert_close(result: dict, expected: dict) -> None:
    assert set(result) == set(expected) and result
    for name in expected:
        torch.testing.assert_close(result[name], expected[name], rtol=1e-6, atol=1e-7)
        assert bool(expected[name].abs().max() > 1e-3)


@models
def test_batched_class_gradients_equal_a_loop(model: str) -> None:
    task = Toy(model)
    weights = task.weights(seeds.at(0, "w"), 3)
    for batch in (drawn(task), real_batch(task)):
        gradients = class_gradients(task, weights, batch)
        assert_close(gradients, loop_gradients(task, weights, batch))


def test_closed_form_equals_jacrev() -> None:
    task, hidden = Toy("linear"), Toy("linear", closed=False)
    assert hidden.linear_features(drawn(hidden)) is None
    weights = task.weights(seeds.at(0, "w"), 3)
    closed, slow = (class_gradients(t, weights, drawn(t)) for t in (task, hidden))
    for name in weights:
        torch.testing.assert_close(closed[name], slow[name], rtol=1e-12, atol=1e-12)
    objective = GradientMatching(MSE(), Fresh(2), biases=True)
    losses = []
    for one in (task, hidden):
        state = objective.init(one, seeds.at(0, "init"))
        losses.append(objective.loss(one, state, drawn(one), seeds.at(0, "loss")))
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-12, atol=0)


@models
def test_mean_gradients_are_those_of_the_mean_loss(model: str) -> None:
    task, batch = Toy(model), real_batch(Toy(model))
    weights = task.weights(seeds.at(0, "w"), 2)
    gradients = mean_gradients(task, weights, batch)
    per_class = loop_gradients(task, weights, batch)
    shares = batch.y.bincount() / len(batch.y)
    assert len(shares.unique()) == 3
    expected = {
        n: torch.einsum("kc...,c->k...", g, shares.double())
        for n, g in per_class.items()
    }
    assert_close(gradients, expected)


def test_class_means_keep_the_precision_of_float64() -> None:
    """Weights of one third in float32 would leave an error of 3e-8."""
    batch = real_batch(Toy())
    expected = torch.stack([batch.x[batch.y == c].mean(0) for c in range(3)])
    torch.testing.assert_close(
        batch.classes.mean(batch.x), expected, rtol=0, atol=1e-12
    )


def test_summed_gradients_respect_the_weights_of_records() -> None:
    """A record of weight zero adds nothing, per class or summed over classes."""
    x, y, _, _ = iris()
    keep = torch.ones(len(y))
    keep[(y == 0).nonzero().flatten()[:5]] = 0.0
    spoiled = torch.where(keep[:, None] > 0, x, 100.0)
    for per_class in (True, False):
        objective = GradientMatching(MSE(), Fresh(1), per_class)
        losses = []
        for features in (x, spoiled):
            task = Toy(x=features, mass=keep, edges=False)
            synthetic = drawn(Toy(edges=False))
            state = objective.init(task, seeds.at(0, "init"))
            losses.append(objective.loss(task, state, synthetic, seeds.at(0, "l")))
        assert torch.equal(losses[0], losses[1]), f"per_class={per_class}"


# --- gradient matching -------------------------------------------------------------


@models
def test_gradient_matching_by_hand(model: str) -> None:
    """MSE: the class-weighted squared gap, a mean over models, matrices alone."""
    task = Toy(model)
    objective = GradientMatching(MSE(), Fresh(2))
    state = objective.init(task, seeds.at(0, "init"))
    ours = loop_gradients(task, state["weights"], drawn(task))
    real = loop_gradients(task, state["weights"], real_batch(task))
    matrices = [name for name in ours if not name.endswith("bias")]
    gap = sum((ours[n] - real[n]).square().flatten(2).sum(-1) for n in matrices)
    share = torch.tensor([2 / 3, 1.0, 1 / 3], dtype=torch.float64)
    loss = objective.loss(task, state, drawn(task), seeds.at(0, "loss"))
    torch.testing.assert_close(loss, (gap * share).sum(1).mean(), rtol=1e-6, atol=0)


@models
def test_summed_over_classes_by_hand(model: str) -> None:
    """The sum over classes is the mean loss: classes weigh as their sizes."""
    task = Toy(model)
    objective = GradientMatching(MSE(), Fresh(2), class_wise=False, biases=True)
    state = objective.init(task, seeds.at(0, "init"))
    both = []
    for batch in (drawn(task), real_batch(task)):
        shares = (batch.y.bincount() / len(batch.y)).double()
        gradients = loop_gradients(task, state["weights"], batch)
        both.append(
            [torch.einsum("kc...,c->k...", g, shares) for g in gradients.values()]
        )
    gap = sum((a - b).square().flatten(1).sum(1) for a, b in zip(*both, strict=True))
    loss = objective.loss(task, state, drawn(task), seeds.at(0, "loss"))
    torch.testing.assert_close(loss, gap.mean(), rtol=1e-6, atol=0)


@models
@pytest.mark.parametrize("per_class", [True, False])
def test_bank_keeps_the_real_gradients(model: str, per_class: bool) -> None:
    """At every turn the loss equals that of the same weights without the cache."""
    task = Toy(model)
    banked = GradientMatching(MSE(), Bank(2, 3), per_class, biases=True)
    state = banked.init(task, seeds.at(0, "init"))
    losses = []
    for _ in range(4):
        plain = {"weights": state["weights"]}
        result, again = (
            banked.loss(task, s, drawn(task), seeds.at(0, "loss"))
            for s in (state, plain)
        )
        torch.testing.assert_close(result, again, rtol=1e-12, atol=0)
        losses.append(result.item())
        state = banked.advance(task, state, drawn(task), seeds.at(0, "advance"))
    assert len(set(losses[:3])) == 3 and losses[3] == losses[0]


def test_online_trains_as_torch_does() -> None:
    """Weights after `advance` are those of torch.optim.Adam on the mean loss."""
    task = Toy("mlp")
    states = Online("synthetic", num_models=1, steps=4, matches_per_net=3)
    state = states.init(task, seeds.at(0, "init"))
    after = states.advance(task, state, drawn(task), seeds.at(0, "advance"))
    weights = {n: w[0].clone().requires_grad_() for n, w in state["weights"].items()}
    adam = torch.optim.Adam(weights.values(), lr=states.optimizer.lr)
    for _ in range(4):
        adam.zero_grad()
        task.losses(weights, drawn(task)).mean().backward()
        adam.step()
    for name, weight in weights.items():
        torch.testing.assert_close(after["weights"][name][0], weight.detach())
        assert not torch.equal(weight, state["weights"][name][0])
    twice = states.advance(task, after, drawn(task), seeds.at(1, "advance"))
    fresh = states.advance(task, twice, drawn(task), seeds.at(2, "advance"))
    assert [int(s["age"]) for s in (state, after, twice, fresh)] == [0, 1, 2, 0]
    expected = task.weights(seeds.at(2, "advance"), 1)
    assert all(torch.equal(fresh["weights"][n], expected[n]) for n in expected)


# --- distribution matching ----------------------------------------------------------


def test_means_of_identity_features_by_hand() -> None:
    task = Toy("linear")
    batch, real = drawn(task), real_batch(task)
    gaps = [
        (batch.x[batch.y == c].mean(0) - real.x[real.y == c].mean(0)).square().sum()
        for c in range(3)
    ]
    expected = 2 / 3 * gaps[0] + gaps[1] + 1 / 3 * gaps[2]
    objective = DistributionMatching(states=Fresh(2))
    state = objective.init(task, seeds.at(0, "init"))
    loss = objective.loss(task, state, batch, seeds.at(0, "loss"))
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("models", [1, 3])
def test_means_with_fresh_models_is_dm(models: int) -> None:
    """The gap of class means of the last hidden layer, under weights drawn anew."""
    task = Toy("mlp")
    objective = DistributionMatching((Means(),), Fresh(models))
    state = objective.init(task, seeds.at(0, "init"))
    batch, real = drawn(task), real_batch(task)
    for step in range(2):
        expected = 0.0
        for k in range(models):
            inner = state["weights"]["inner"][k], state["weights"]["inner_bias"][k]
            f = [torch.tanh(b.x @ inner[0].T + inner[1]) for b in (batch, real)]
            for c, share in enumerate((2 / 3, 1.0, 1 / 3)):
                gap = f[0][batch.y == c].mean(0) - f[1][real.y == c].mean(0)
                expected += share * float(gap.square().sum()) / models
        loss = objective.loss(task, state, batch, seeds.at(step, "loss"))
        assert loss.item() == pytest.approx(expected, rel=1e-9)
        state = objective.advance(task, state, batch, seeds.at(step, "advance"))
        fresh = task.weights(seeds.at(step, "advance"), models)
        assert all(torch.equal(state["weights"][n], fresh[n]) for n in fresh)


def test_terms_add_up() -> None:
    """The sum of the terms of a table, one by one, under the same models."""
    task, terms = Toy("mlp"), (Means(), Covariance(), CrossEntropy(), Discrimination())
    state = Fresh(2).init(task, seeds.at(0, "init"))
    results = [
        DistributionMatching(some).loss(task, state, drawn(task), seeds.at(0, "loss"))
        for some in (terms, *((term,) for term in terms))
    ]
    torch.testing.assert_close(results[0], sum(results[1:]), rtol=1e-12, atol=0)


def naive_mmd(p: Tensor, q: Tensor) -> float:
    width = sum(float((a - b).square().sum()) for a in q for b in q) / len(q) ** 2

    def mean(x: Tensor, y: Tensor) -> float:
        total = sum(
            torch.exp(-(a - b).square().sum() / width).item() for a in x for b in y
        )
        return total / (len(x) * len(y))

    return mean(p, p) + mean(q, q) - 2 * mean(p, q)


@models
def test_mmd_equals_a_naive_loop(model: str) -> None:
    task = Toy(model)
    objective = DistributionMatching((MMD("all"),), Fresh(2))
    state = objective.init(task, seeds.at(0, "init"))
    batch, real = drawn(task), real_batch(task)
    expected = 0.0
    for k in range(2):
        one = {name: w[k] for name, w in state["weights"].items()}
        for ours, theirs in zip(
            task.features(one, batch), task.features(one, real), strict=True
        ):
            terms = [
                naive_mmd(ours[batch.y == c], theirs[real.y == c]) for c in (0, 1, 2)
            ]
            expected += (2 / 3 * terms[0] + terms[1] + 1 / 3 * terms[2]) / 2
    loss = objective.loss(task, state, batch, seeds.at(0, "loss")).item()
    assert expected > 0.01 and loss == pytest.approx(expected, rel=1e-6)


@models
@pytest.mark.parametrize("term", [Means("all"), MMD("all"), Covariance(weight=1.0)])
def test_distance_of_equal_sets_is_zero(model: str, term: Any) -> None:
    task = Toy(model)
    objective = DistributionMatching((term,))
    state = objective.init(task, seeds.at(0, "init"))
    same = objective.loss(task, state, real_batch(task), seeds.at(0, "loss"))
    other = objective.loss(task, state, drawn(task), seeds.at(0, "loss"))
    assert abs(same.item()) < 1e-7 < 1e-3 < other.item()


@pytest.mark.parametrize("kind", [Means, MMD])
def test_unknown_settings_are_refused(kind: Any) -> None:
    for bad in ("first", (), 1, ["last"]):
        with pytest.raises(ValueError, match="layers must be"):
            kind(layers=bad)
    for terms in ((), [Means()], Means()):
        with pytest.raises(ValueError, match="tuple of terms"):
            DistributionMatching(terms)
    with pytest.raises(ValueError, match="test"):
        Online(on="test")  # type: ignore[arg-type]
