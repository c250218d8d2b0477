"""DD, SLDD, LD, RaT-BPTT and LinBa on the shipped sample; exact ways of a ConvNet."""

from typing import Any

import pytest
import torch

import multidd
from multidd.engine.recipe import call
from multidd.images import ImageTask
from multidd.images.methods.factorized import linba
from multidd.images.methods.unroll import dd, ld, rat_bptt, sldd
from multidd.images.models.backbone import Backbone
from multidd.learning.optim import SGD
from multidd.learning.unroll import InnerLoop
from multidd.objectives import Unroll
from multidd.seeds import at

SMALL: dict[str, Any] = {"ipc": 1, "width": 4, "batch_size": 100, "progress": False}
SHORT: dict[str, Any] = SMALL | {"syn_steps": 6, "lr_net": 0.02}
NOISE: dict[str, Any] = {"init": "noise", "lr": 0.3}
LINBA: dict[str, Any] = SHORT | {
    "lr": 0.02,
    "lr_net": 0.05,
    "batch_syn": None,
    "bases": 38,
}
RECIPES: dict[str, tuple[Any, int, dict[str, Any]]] = {
    "dd": (dd, 12, SHORT | NOISE),
    "sldd": (sldd, 12, SHORT | NOISE),
    "ld": (ld, 12, SHORT | {"lr": 0.1, "syn_steps": 12}),
    "rat_bptt": (rat_bptt, 12, SMALL | NOISE | {"window": 3, "max_unroll": 5}),
    "linba": (linba, 25, LINBA),
}


def real_loss(summary: Any, task: ImageTask, steps: int = 8) -> float:
    """Of fresh networks trained on a summary by the settings of its recipe."""
    x, y = summary.to_tensors()
    hard = y if y.dim() == 1 else summary.tensors["y"]
    batch = task.synthetic(
        {"x": x, "y": hard} | ({} if y.dim() == 1 else {"y_soft": y})
    )
    objective, results = (
        Unroll(InnerLoop(steps, SGD(0.03, momentum=0.9), batch_syn=20)),
        [],
    )
    for place in range(4):
        state = objective.init(task, at(place, "judge"))
        with torch.no_grad():
            loss = objective.loss(task, state, batch, at(place, "loss"))
        results.append(float(loss))
    return sum(results) / len(results)


LONG = ("ld", "linba")
"""What these learn shows only after trainings that take long."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.full] * (name in LONG)) for name in RECIPES],
)
def test_what_is_learned_lowers_the_real_loss(fashion: Any, name: str) -> None:
    method, steps, options = RECIPES[name]
    begun, result = (
        call(method, fashion.train, steps=n, **options) for n in (0, steps)
    )
    task = ImageTask.of(
        fashion.train, backbone=Backbone(width=4), batch_size=100, sampler="uniform"
    )
    # Labels alone pay off where a network is trained for longer.
    judge = 40 if name == "ld" else 8
    assert real_loss(result, task, judge) < real_loss(begun, task, judge) - 0.01
    assert result.card.method == name and len(result.card.history) == steps
    soft = name in ("sldd", "ld")
    assert result.card.labels == ("soft" if soft else "hard")
    assert ("y_soft" in result.tensors) == soft
    rates = result.card.settings.get("learned", {}).get("rate", [])
    assert len(rates) == (6 if name in ("dd", "sldd") else 0)
    assert all(rate > 0 and rate != pytest.approx(0.02, rel=1e-4) for rate in rates)
    assert multidd.cite(name).startswith("@")


def test_labels_are_learned_on_real_images(fashion: Any) -> None:
    begun, result = (call(ld, fashion.train, steps=n, **SHORT) for n in (0, 3))
    assert torch.equal(begun.tensors["x"], result.tensors["x"])
    assert torch.equal(begun.tensors["y_soft"], torch.eye(10))
    soft = result.tensors["y_soft"]
    assert bool((soft >= 0).all()) and torch.allclose(soft.sum(1), torch.ones(10))
    assert int(((soft - torch.eye(10)).abs().amax(1) > 1e-3).sum()) >= 5
    assert result.num_bytes == 10 * (4 * 784 + 8 + 40)


@pytest.mark.parametrize("rates", ["fixed", "one"])
def test_rates_of_dd(small: Any, run: Any, rates: str) -> None:
    summary = run("dd", small, rates=rates)
    learned = summary.card.settings.get("learned", {})
    assert set(learned) == (set() if rates == "fixed" else {"rate"})


REFUSED = [
    (sldd, {"labels": "hard"}, "sldd learns labels.*'hard'"),
    (ld, {"labels": "teacher_once"}, "ld learns labels.*'teacher_once'"),
    (ld, {"init": "noise"}, "labels real images.*'noise'"),
    (dd, {"syn_steps": 0}, "steps and batch_syn must be 1 or more, got 0"),
    (dd, {"lr_net": 0.0}, "above 0; got lr=0.0"),
    (dd, {"rates": "all"}, "must be one of fixed, one, each; got 'all'"),
    (dd, {"num_models": 0}, "models must be 1 or more, got 0"),
    (dd, {"backprop": "truncated"}, "needs window="),
    (rat_bptt, {"window": 9, "max_unroll": 5}, "window must be from 1 to the 5 steps"),
    (rat_bptt, {"clip": 0.0}, "factor must be above 0"),
    (linba, {"bases": 0}, "count and factor must be 1 or more, got 0"),
    (linba, {"batch_syn": 0}, "steps and batch_syn must be 1 or more"),
]


@pytest.mark.parametrize(("method", "bad", "message"), REFUSED)
def test_refusals(small: Any, method: Any, bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(method, small, ipc=2, **bad)


@pytest.mark.parametrize("memory", ["checkpointed", "stored"])
def test_long_ways_of_a_network_are_exact(fashion: Any, memory: Any) -> None:
    """To 1e-5 in float32, beyond the first kinks that a rounding may cross: the way
    there takes the steps of the way back to the same bits."""
    task = ImageTask.of(
        fashion.train, backbone=Backbone(width=4), batch_size=10, sampler="uniform"
    )
    records, results = task.records(), []
    first = [int((records.labels == label).nonzero()[0]) for label in range(10)]
    images = records.features[first].view(10, 1, 28, 28)
    for kind in ("exact", memory):
        x = images.clone().requires_grad_()
        batch = task.synthetic({"x": x, "y": torch.arange(10)})
        objective = Unroll(InnerLoop(25, SGD(0.01, momentum=0.9), backprop=kind))
        state = objective.init(task, at(0, "init"))
        loss = objective.loss(task, state, batch, at(0, "loss"))
        results.append(torch.autograd.grad(loss, x)[0])
    gap = (results[1] - results[0]).norm() / results[0].norm()
    assert results[0].norm() > 1e-3 and gap < 1e-5
