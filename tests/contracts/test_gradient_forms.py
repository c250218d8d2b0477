"""Forms of gradient matching by hand, and every way of computing the same numbers."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from multidd import seeds
from multidd.classes import by_class
from multidd.learning.gradients import class_gradients, mean_gradients
from multidd.learning.states import Fresh
from multidd.objectives import GradientMatching, Representative
from multidd.objectives.distances import L1, MSE, CosineMagnitude
from tests.tables import ALL_OBJECTIVES, started
from tests.toy import MODELS, Toy, ToyBatch, drawn, label, real_batch

models = pytest.mark.parametrize("model", MODELS)
SHARE = (2 / 3, 1.0, 1 / 3)


def gradients(task: Toy, weights: dict, batch: ToyBatch, rows: Tensor) -> dict:
    """Of the mean loss of some rows, under one model, by one backward."""
    leaves = {n: w.clone().requires_grad_() for n, w in weights.items()}
    loss = task.losses(leaves, batch)[rows].mean()
    other_gradients = torch.autograd.grad(loss, list(leaves.values()))
    return dict(zip(leaves, other_gradients, strict=True))


def each_class(task: Toy, weights: dict, batch: ToyBatch) -> list[dict]:
    return [gradients(task, weights, batch, batch.y == c) for c in range(3)]


def by_hand(task: Toy, objective: GradientMatching, names: list[str]) -> float:
    """Per class, weighted by its size in S, plus the plain sum over classes."""
    weights = objective.init(task, seeds.at(0, "init"))["weights"]
    total, count = 0.0, len(weights["weight"])
    for k in range(count):
        one = {n: w[k] for n, w in weights.items()}
        ours, theirs = (each_class(task, one, b) for b in (drawn(task), real(task)))

        def apart(a: dict, b: dict) -> float:
            return objective.distance([a[n] for n in names], [b[n] for n in names], 0)

        for share, a, b in zip(SHARE, ours, theirs, strict=True):
            total += share * float(apart(a, b)) / count
        if objective.inter_class:
            sums = [
                {n: sum(c[n] for c in side) for n in names} for side in (ours, theirs)
            ]
            total += float(apart(*sums)) / count
    return total


def real(task: Toy) -> ToyBatch:
    return real_batch(task)


def loss_of(task: Toy, objective: GradientMatching) -> float:
    state = objective.init(task, seeds.at(0, "init"))
    return float(objective.loss(task, state, drawn(task), seeds.at(0, "loss")))


@models
@pytest.mark.parametrize("distance", [MSE(), CosineMagnitude(), L1()], ids=label)
@pytest.mark.parametrize("inter_class", [False, True])
def test_per_class_and_inter_class(
    model: str, distance: Any, inter_class: bool
) -> None:
    task = Toy(model)
    objective = GradientMatching(distance, Fresh(2), inter_class=inter_class)
    names = ["weight"] if model == "linear" else ["inner", "weight"]
    expected = by_hand(task, objective, names)
    assert loss_of(task, objective) == pytest.approx(expected, rel=1e-6)


def test_inter_class_needs_per_class() -> None:
    with pytest.raises(ValueError, match="class_wise"):
        GradientMatching(class_wise=False, inter_class=True)


@models
@pytest.mark.parametrize("biases", [False, True])
def test_summed_over_classes(model: str, biases: bool) -> None:
    """The gradient of the mean over all rows, one number for each model."""
    task = Toy(model)
    objective = GradientMatching(MSE(), Fresh(1), class_wise=False, biases=biases)
    weights = objective.init(task, seeds.at(0, "init"))["weights"]
    one = {n: w[0] for n, w in weights.items()}
    sides = []
    for batch in (drawn(task), real(task)):
        everything = torch.arange(len(batch.y))
        sides.append(gradients(task, one, batch, everything))
    names = [n for n in one if biases or "bias" not in n]
    expected = sum(float((sides[0][n] - sides[1][n]).square().sum()) for n in names)
    assert loss_of(task, objective) == pytest.approx(expected, rel=1e-9)


class Dotted(Toy):
    """The same network with names as a module would give them."""

    names = {
        "inner": "one.weight",
        "inner_bias": "one.bias",
        "weight": "two.weight",
        "bias": "two.bias",
    }

    def weights(self, rng: torch.Generator, models: int) -> dict:
        result = super().weights(rng, models)
        return {self.names[n]: w for n, w in result.items()}

    def features(
        self, weights: dict, batch: ToyBatch, last: int | None = None
    ) -> list[Tensor]:
        plain = {n: weights[dotted] for n, dotted in self.names.items()}
        return super().features(plain, batch, last)


@pytest.mark.parametrize("biases", [False, True])
def test_without_the_head(biases: bool) -> None:
    """The last layer, its bias too, is left out."""
    objective = GradientMatching(MSE(), Fresh(2), biases=biases, head=False)
    names = ["inner", "inner_bias"] if biases else ["inner"]
    expected = by_hand(Toy("mlp"), objective, names)
    assert loss_of(Dotted("mlp"), objective) == pytest.approx(expected, rel=1e-9)


def test_a_model_that_is_only_a_head_cannot_leave_it_out() -> None:
    with pytest.raises(ValueError, match="head"):
        loss_of(Toy("linear"), GradientMatching(MSE(), Fresh(1), head=False))


# --- stacked, closed form, one by one ---------------------------------------------

WAYS = {"stacked": {}, "one by one": {"vectorize_models": False}}
LABELLED = ("hard", "probabilities", "centered", "any")


def synthetic(task: Toy, labels: str) -> tuple[dict, list[Tensor]]:
    """A draw and the tensors of it that are learned."""
    batch = drawn(task)
    draw = {"x": batch.x.clone().requires_grad_(), "y": batch.y}
    if labels != "hard":
        soft = torch.rand(6, 3, generator=seeds.at(0, "soft")).double() + 0.1
        if labels == "probabilities":
            soft = soft / soft.sum(1, keepdim=True)
        if labels == "centered":
            soft = soft - soft.mean(1, keepdim=True)
        draw["y_soft"] = soft.requires_grad_()
    return draw, [t for t in draw.values() if t.requires_grad]


@models
@pytest.mark.parametrize("labels", LABELLED)
def test_class_gradients_by_any_way(model: str, labels: str) -> None:
    """Also for soft labels that do not sum to one."""
    tasks = [Toy(model, closed=False, **way) for way in WAYS.values()] + [Toy(model)]
    results = []
    for task in tasks:
        weights = task.weights(seeds.at(0, "w"), 2)
        batch = task.synthetic(synthetic(task, labels)[0])
        each = class_gradients(task, weights, batch)
        results.append(
            {
                **each,
                **{
                    f"mean {n}": g
                    for n, g in mean_gradients(task, weights, batch).items()
                },
            }
        )
        detached = class_gradients(task, weights, batch, differentiable=False)
        assert all(torch.allclose(each[n], detached[n], rtol=1e-12) for n in each)
    for (name, expected), other in itertools.product(results[0].items(), results[1:]):
        torch.testing.assert_close(other[name], expected, rtol=1e-10, atol=1e-12)


def test_a_class_without_records_has_no_gradient() -> None:
    results = []
    for way in WAYS.values():
        task = Toy("mlp", closed=False, **way)
        weights, batch = task.weights(seeds.at(0, "w"), 2), drawn(task)
        more = by_class(batch.y, 4)
        results.append(class_gradients(task, weights, batch, more))
        three = class_gradients(task, weights, batch)
        for name, gradient in results[-1].items():
            assert gradient.shape[1] == 4 and not gradient[:, 3].any()
            torch.testing.assert_close(gradient[:, :3], three[name])
    for name, gradient in results[0].items():
        torch.testing.assert_close(results[1][name], gradient)


@pytest.mark.parametrize(
    ("model", "labels"),
    [
        ("linear", "probabilities"),
        ("mlp", "hard"),
        pytest.param("linear", "hard", marks=pytest.mark.full),
        pytest.param("mlp", "probabilities", marks=pytest.mark.full),
    ],
)
@pytest.mark.parametrize("objective", ALL_OBJECTIVES, ids=label)
def test_vectorize_models_changes_no_number(
    objective: Any, model: str, labels: str
) -> None:
    """Losses, gradients and states of three steps, stacked and one by one."""
    if isinstance(objective, Representative):
        objective = objective.objective  # a k-means may fall to either side of a tie
    results = [
        trace(Toy(model, batch_size=4, closed=False, **way), objective, labels)
        for way in WAYS.values()
    ]
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def trace(task: Toy, objective: Any, labels: str) -> list[Tensor]:
    draw, leaves = synthetic(task, labels)
    state, seen = started(objective, task, seeds.at(0, "init")), []
    learned = {n: t for n, t in state.items() if n == "learned"}
    for step in range(3):
        batch = task.synthetic(draw)
        loss = objective.loss(task, {**state, **learned}, batch, seeds.at(step, "loss"))
        slopes = torch.autograd.grad(loss, leaves, allow_unused=True)
        seen += [loss.detach(), *(s for s in slopes if s is not None)]
        still = task.synthetic({n: t.detach() for n, t in draw.items()})
        state = objective.advance(task, state, still, seeds.at(step, "advance"))
        seen += flat(state)
    return seen


def flat(tree: Any) -> list[Tensor]:
    if isinstance(tree, dict):
        return [leaf for part in tree.values() for leaf in flat(part)]
    return [tree]
