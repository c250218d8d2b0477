"""Learners that train on the synthetic set: every memory, against the plain graph."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from multidd import seeds
from multidd.learning.functional import map_tensors, tensors_with_grad
from multidd.learning.optim import SGD, Adam
from multidd.learning.unroll import InnerLoop, train
from multidd.protocols import Params
from tests.toy import MODELS, Toy, ToyBatch, drawn

PLAIN, HEAVY = SGD(lr=0.3), SGD(lr=0.2, momentum=0.9, weight_decay=0.01)
ADAM = Adam(lr=0.05)
N = 7

TASKS = {
    "linear": Toy(),
    "autograd": Toy(closed=False, vectorize_models=False),
    "mlp": Toy("mlp"),
    "shifted": Toy("mlp", shift=0.3, vectorize_models=False),
}


def moved(task: Toy) -> ToyBatch:
    """A synthetic batch that gradients flow into, features and soft labels."""
    batch = drawn(task)
    soft = F.one_hot(batch.y, 3).double() + 0.1
    return replace(batch, x=batch.x.requires_grad_(), soft=soft.requires_grad_())


def ends(
    task: Toy, inner: InnerLoop, rate: Tensor | None = None, models: int = 1
) -> tuple[Params, list[Tensor]]:
    """Where training ends, and the gradients of a function of it."""
    batch = moved(task)
    start = task.weights(seeds.at(1, "weights"), models)
    result = train(task, start, batch, inner, seeds.at(2, "inner"), rate)
    goal = task.weights(seeds.at(3, "goal"), models)
    apart = sum((result[n] - goal[n]).square().sum() for n in result)
    leaves = [*([] if rate is None else [rate]), batch.x, batch.soft]
    assert isinstance(apart, Tensor)
    return result, list(torch.autograd.grad(apart, leaves))


def rate_of(kind: str) -> Tensor | None:
    if kind == "fixed":
        return None
    values = 0.2 if kind == "one" else torch.linspace(0.1, 0.4, N).tolist()
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("memory", ["checkpointed", "stored"])
@pytest.mark.parametrize(
    "optimizer", [PLAIN, HEAVY, ADAM], ids=["sgd", "heavy", "adam"]
)
@pytest.mark.parametrize("kind", ["fixed", "one", "each"])
@pytest.mark.parametrize("name", TASKS)
def test_the_way_back_is_exact(name: str, kind: str, optimizer: Any, memory: Any):
    task, inner = TASKS[name], InnerLoop(N, optimizer, batch_syn=4)
    exact, slopes = ends(task, inner, rate_of(kind), models=2)
    again, back = ends(task, replace(inner, backprop=memory), rate_of(kind), models=2)
    for weight in exact:
        torch.testing.assert_close(again[weight], exact[weight], rtol=1e-12, atol=0)
    assert len(back) == len(slopes) == (2 if kind == "fixed" else 3)
    for ours, theirs in zip(back, slopes, strict=True):
        assert theirs.abs().max() > 1e-4
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize(
    "optimizer", [PLAIN, HEAVY, ADAM], ids=["sgd", "heavy", "adam"]
)
@pytest.mark.parametrize("model", MODELS)
def test_the_graph_is_right(model: str, optimizer: Any) -> None:
    """Against differences of the end along a direction."""
    task, inner = Toy(model), InnerLoop(4, optimizer)
    start = task.weights(seeds.at(1, "weights"), 1)
    batch = drawn(task)
    along = torch.randn(batch.x.shape, generator=seeds.at(4, "along")).double()

    def value(size: Tensor) -> Tensor:
        now = replace(batch, x=batch.x + size * along)
        result = train(task, start, now, inner, seeds.at(2, "inner"))
        return torch.cat([w.flatten() for w in result.values()]).sin().sum()

    size = torch.zeros((), dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.grad(value(size), size)[0].item()
    with torch.no_grad():
        step = torch.tensor(1e-6, dtype=torch.float64)
        expected = (value(step) - value(-step)).item() / 2e-6
    assert slope == pytest.approx(expected, rel=1e-5)


def cosine(ours: list[Tensor], theirs: list[Tensor]) -> float:
    flat = [torch.cat([t.flatten() for t in side]) for side in (ours, theirs)]
    return float(F.cosine_similarity(*flat, dim=0))


@pytest.mark.parametrize("optimizer", [PLAIN, HEAVY], ids=["sgd", "heavy"])
@pytest.mark.parametrize("kind", ["fixed", "one"])
def test_first_order_is_exact_for_one_step(kind: str, optimizer: SGD) -> None:
    inner = InnerLoop(1, optimizer)
    _, exact = ends(Toy("mlp"), inner, rate_of(kind))
    _, rough = ends(Toy("mlp"), replace(inner, backprop="first_order"), rate_of(kind))
    for ours, theirs in zip(rough, exact, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("kind", ["fixed", "one", "each"])
def test_first_order_takes_states_for_constants(kind: str, momentum: float) -> None:
    """Against autograd through steps whose gradients are taken at detached states."""
    task, rate = Toy("mlp"), rate_of(kind)
    inner = InnerLoop(
        N, SGD(lr=0.2, momentum=momentum), batch_syn=4, backprop="first_order"
    )
    result, ours = ends(task, inner, rate)
    batch = moved(task)
    way = _way(task, batch, inner)
    weights = task.weights(seeds.at(1, "weights"), 1)
    velocity = {n: torch.zeros_like(w) for n, w in weights.items()}
    for step in range(N):
        fixed = {n: w.detach() for n, w in weights.items()}
        slopes = way.gradients(fixed, step, batch, graph=True)
        now: Any = 0.2 if rate is None else rate if rate.dim() == 0 else rate[step]
        velocity = {n: momentum * v + slopes[n] for n, v in velocity.items()}
        weights = {n: w - now * velocity[n] for n, w in weights.items()}
    goal = task.weights(seeds.at(3, "goal"), 1)
    apart = sum((weights[n] - goal[n]).square().sum() for n in result)
    leaves = [*([] if rate is None else [rate]), batch.x, batch.soft]
    assert isinstance(apart, Tensor)
    for one, two in zip(ours, torch.autograd.grad(apart, leaves), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)


def _way(task: Toy, batch: ToyBatch, inner: InnerLoop) -> Any:
    from multidd.learning.inner_loop import InnerLoopRun

    rng = seeds.at(2, "inner")
    return InnerLoopRun(task, batch, inner, seeds.child(rng), rng.device)


def test_first_order_drifts_with_steps() -> None:
    """The cosine to the exact gradient falls as steps and rates grow."""
    results = []
    for steps, lr in ((2, 0.05), (10, 0.05), (10, 0.5)):
        inner = InnerLoop(steps, SGD(lr=lr))
        _, exact = ends(Toy("mlp"), inner)
        _, rough = ends(Toy("mlp"), replace(inner, backprop="first_order"))
        results.append(cosine(rough, exact))
    assert 1 > results[0] > results[1] > results[2] > 0


def test_truncated_is_exact_of_its_window() -> None:
    task, batch = Toy("mlp"), moved(Toy("mlp"))
    whole, _ = ends(task, InnerLoop(N, PLAIN))
    inner = InnerLoop(N, PLAIN, backprop="truncated", window=3)
    result, slopes = ends(task, inner)
    for name in whole:
        torch.testing.assert_close(result[name], whole[name])
    _, all_of_it = ends(task, replace(inner, window=N))
    _, exact = ends(task, InnerLoop(N, PLAIN))
    assert cosine(all_of_it, exact) == pytest.approx(1, abs=1e-12)
    assert cosine(slopes, exact) < 1 - 1e-4 and batch.x.requires_grad


def test_rows_and_views_are_drawn_anew_and_the_same_again() -> None:
    task = Toy("mlp", shift=0.3)
    one, _ = ends(task, InnerLoop(N, PLAIN, batch_syn=2))
    two, _ = ends(task, InnerLoop(N, PLAIN, batch_syn=2))
    assert all(torch.equal(one[n], two[n]) for n in one)
    all_rows, _ = ends(task, InnerLoop(N, PLAIN))
    assert not torch.allclose(one["weight"], all_rows["weight"])


@pytest.mark.parametrize("steps, size", [(1, 1), (2, 2), (9, 3), (10, 4), (80, 9)])
def test_segments_grow_with_the_root(steps: int, size: int) -> None:
    assert InnerLoop(steps, backprop="checkpointed").segment == size


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"backprop": "none"}, "backprop"),
        ({"steps": 0}, "steps"),
        ({"batch_syn": 0}, "batch_syn"),
        ({"window": 3}, "window"),
        ({"backprop": "truncated"}, "window"),
        ({"backprop": "truncated", "window": 99}, "window"),
        ({"backprop": "first_order", "optimizer": ADAM}, "SGD"),
        ({"backprop": "first_order", "optimizer": SGD(cosine=9)}, "without cosine"),
        ({"backprop": "first_order", "optimizer": SGD(minimum=0.0)}, "without cosine"),
    ],
)
def test_bad_settings(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InnerLoop(**bad)


def test_tensors_inside_a_batch() -> None:
    task = Toy()
    batch = moved(task)
    assert [
        t is u
        for t, u in zip(tensors_with_grad(batch), (batch.x, batch.soft), strict=True)
    ]
    same = map_tensors(batch, lambda tensor: tensor)
    assert same is batch
    twice = map_tensors({"a": [batch.x], "b": (3, "told")}, lambda tensor: 2 * tensor)
    assert torch.equal(twice["a"][0], 2 * batch.x) and twice["b"] == (3, "told")
