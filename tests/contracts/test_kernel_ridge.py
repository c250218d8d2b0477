"""Kernel ridge regression by hand, against scikit-learn, and its temperature."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge as Reference
from torch import Tensor

from multidd import seeds
from multidd.engine.callbacks import Every
from multidd.kernels import infinite_kernel
from multidd.learning.kernel_sources import Features, Infinite
from multidd.learning.optim import SGD
from multidd.learning.states import Fresh
from multidd.objectives import KernelRidge
from multidd.objectives.kernel import RidgeSearch
from multidd.parameterizations import Labels
from tests.tables import started
from tests.toy import FAST, Toy, ToyBatch, distill, drawn, free, real_batch


def loss_of(objective: KernelRidge, task: Toy, batch: ToyBatch) -> float:
    state = started(objective, task, seeds.at(0, "init"))
    return float(objective.loss(task, state, batch, seeds.at(0, "loss")))


def test_two_points_by_hand() -> None:
    """Features (2, 0) and (0, 1), ridge 0.4 of the mean diagonal 2.5 / 2."""
    x = torch.tensor([[1.0, 1.0], [3.0, -1.0]], dtype=torch.float64)
    task = Toy(x=x, y=torch.tensor([0, 1]), num_classes=2, edges=False)
    points = torch.tensor([[2.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    batch = task.synthetic({"x": points, "y": torch.tensor([0, 1])})
    # K = diag(2, 1/2) with K = x x' / 2; K + 0.4 * 1.25 I = diag(2.5, 1).
    dual = [[0.5 / 2.5, -0.5 / 2.5], [-0.5, 0.5]]
    # K_ts = [[1, 1/2], [3, -1/2]]
    results = [
        [1 * dual[0][c] + 0.5 * dual[1][c] for c in range(2)],
        [3 * dual[0][c] - 0.5 * dual[1][c] for c in range(2)],
    ]
    expected = [[0.5, -0.5], [-0.5, 0.5]]
    halves = [
        0.5 * sum((f - w) ** 2 for f, w in zip(row, goal, strict=True))
        for row, goal in zip(results, expected, strict=True)
    ]
    kernel = Features(Fresh(1))
    loss = loss_of(KernelRidge(kernel, ridge=0.4), task, batch)
    assert loss == pytest.approx(sum(halves) / 2, rel=1e-12)
    logs = [
        math.log(sum(math.exp(3.0 * (f - row[label])) for f in row))
        for label, row in enumerate(results)
    ]
    entropy = KernelRidge(kernel, "cross_entropy", 0.4, temperature=3.0)
    # The temperature is learned in single precision.
    assert loss_of(entropy, task, batch) == pytest.approx(sum(logs) / 2, rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_predictions_are_scaled_before_a_multinomial(scale: float) -> None:
    """The two points above, with labels that keep their mean."""
    x = torch.tensor([[1.0, 1.0], [3.0, -1.0]], dtype=torch.float64)
    task = Toy(x=x, y=torch.tensor([0, 1]), num_classes=2, edges=False)
    points = torch.tensor([[2.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    batch = task.synthetic({"x": points, "y": torch.tensor([0, 1])})
    results = [[1 / 2.5, 0.5], [3 / 2.5, -0.5]]
    logs = [
        math.log(sum(math.exp(scale * (f - row[label])) for f in row))
        for label, row in enumerate(results)
    ]
    objective = KernelRidge(Features(Fresh(1)), "multinomial", 0.4, scale=scale)
    assert loss_of(objective, task, batch) == pytest.approx(sum(logs) / 2, rel=1e-12)


def features(task: Toy, batch: ToyBatch, models: int) -> Tensor:
    """`[b, k h]`, the last hidden layers side by side."""
    weights = task.weights(seeds.at(0, "init"), models)
    one = [{n: w[k] for n, w in weights.items()} for k in range(models)]
    return torch.cat([task.features(w, batch)[-2] for w in one], dim=1)


def reference(k_ss: Tensor, k_ts: Tensor, soft: Tensor, ridge: float) -> np.ndarray:
    """scikit-learn's prediction of centered labels."""
    alpha = ridge * float(k_ss.diagonal().mean())
    goal = soft - soft.mean(1, keepdim=True)
    model = Reference(alpha=alpha, kernel="precomputed").fit(k_ss, goal)
    return model.predict(k_ts)


KERNELS: list[Any] = [
    Infinite(),
    Infinite(3, kind="nngp"),
    Features(Fresh(2), 2.0, 0.1),
]


@pytest.mark.parametrize("ridge", [1e-3, 1.0])
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("kind", ["mse", "cross_entropy"])
def test_equals_sklearn(kernel: Any, ridge: float, kind: Any) -> None:
    task = Toy("mlp")
    batch, real = drawn(task), real_batch(task)
    if isinstance(kernel, Infinite):
        settings = {"depth": kernel.depth, "kind": kernel.kind}
        k_ss = infinite_kernel(batch.x, **settings)
        k_ts = infinite_kernel(real.x, batch.x, **settings)
    else:
        f, g = (features(task, b, 2) for b in (batch, real))
        k_ss, k_ts = (2.0 * a @ f.T / f.shape[1] + 0.1 for a in (f, g))
    result = reference(k_ss, k_ts, task.targets(batch), ridge)
    if kind == "mse":
        goal = task.targets(real).numpy() - 1 / 3
        expected = 0.5 * ((result - goal) ** 2).sum(1).mean()
    else:
        logits = torch.from_numpy(10.0 * result).log_softmax(1)
        expected = -float(logits[torch.arange(len(real.y)), real.y].mean())
    loss = loss_of(KernelRidge(kernel, kind, ridge), task, batch)
    assert loss == pytest.approx(expected, rel=1e-5 if kind == "mse" else 1e-4)


def test_labels_are_centered() -> None:
    """A constant on all labels of a record changes nothing."""
    task, objective = Toy(), KernelRidge(ridge=1e-2)
    soft = torch.rand(6, 3, generator=seeds.at(0, "soft")).double()
    draw = {"x": drawn(task).x, "y": drawn(task).y}
    shift = torch.arange(6.0).double()[:, None]
    losses = [
        loss_of(objective, task, task.synthetic(draw | {"y_soft": s}))
        for s in (soft, soft + shift)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    assert losses[0] != pytest.approx(loss_of(objective, task, task.synthetic(draw)))


def test_margin_by_hand() -> None:
    """The two largest labels: gaps 0.2, 0.5 and 0, the second over 1/c."""
    soft = torch.tensor([[0.5, 0.3, 0.0], [0.9, 0.1, 0.4], [-1.0, 0.2, 0.2]] * 2)
    task = Toy()
    draw = {"x": drawn(task).x, "y": drawn(task).y, "y_soft": soft.double()}
    batch = task.synthetic(draw)
    plain, held = (
        loss_of(KernelRidge(ridge=0.1, margin=margin), task, batch)
        for margin in (False, True)
    )
    assert held - plain == pytest.approx(-(0.2 + 1 / 3 + 0.0) / 3, rel=1e-6)


# --- temperature ------------------------------------------------------------------


def seen(**options: Any) -> tuple[list[float], Any]:
    """The learned logarithm at each step, and what came out."""
    values: list[float] = []
    name = "objective.log_temperature"
    watch = Every(1, lambda run: values.append(run.params[name].item()))
    objective = KernelRidge(Infinite(), "cross_entropy", 1e-2)
    form = Labels(free())
    watchers = [watch, *options.pop("callbacks", [])]
    settings = {"steps": 6, "optimizer": FAST, "callbacks": watchers} | options
    return values, distill(Toy(batch_size=4), objective, form, **settings)


def test_the_temperature_is_learned() -> None:
    values, result = seen()
    assert len({*values, math.log(10.0)}) == 7
    assert not any("temperature" in name for name in result.tensors)


def test_the_temperature_moves_by_its_gradient() -> None:
    """One step of SGD against a finite difference of the loss."""
    name = "objective.log_temperature"
    values, _ = seen(optimizer={name: SGD(lr=0.5)}, steps=1)
    task = Toy(batch_size=4)
    objective = KernelRidge(Infinite(), "cross_entropy", 1e-2)
    batch = task.synthetic(Labels(free()).init(task, seeds.at(0, "start")))

    def loss(log: float) -> float:
        part = {"log_temperature": torch.tensor(log, dtype=torch.float64)}
        rng = seeds.at(0, "loss")
        return float(objective.loss(task, {"learned": part}, batch, rng))

    first = math.log(10.0)
    slope = (loss(first + 1e-4) - loss(first - 1e-4)) / 2e-4
    assert abs(slope) > 1e-3
    assert values[0] == pytest.approx(first - 0.5 * slope, abs=1e-5)


def test_the_temperature_stays_where_no_optimizer_names_it() -> None:
    values, _ = seen(optimizer={"x": FAST})
    assert values == [pytest.approx(math.log(10.0))] * 6


def test_the_temperature_resumes(tmp_path: Path) -> None:
    whole, unbroken = seen()

    def stop(run: Any) -> None:
        if run.step == 3:
            raise KeyError

    saving = {"checkpoint": str(tmp_path), "checkpoint_every": 2}
    with pytest.raises(KeyError):
        seen(callbacks=[Every(1, stop)], **saving)
    rest, resumed = seen(**saving)
    assert rest == whole[2:]
    assert resumed.digest() == unbroken.digest()


def test_mse_learns_nothing() -> None:
    assert KernelRidge().learned() == {}
    with pytest.raises(ValueError, match="objective.log_temperature"):
        distill(
            Toy(),
            KernelRidge(),
            free(),
            steps=1,
            optimizer={"objective.log_temperature": FAST},
        )


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"loss_kind": "hinge"}, "hinge"),
        ({"ridge": -1.0}, "ridge"),
        ({"temperature": 0.0, "loss_kind": "cross_entropy"}, "temperature"),
        ({"temperature": -1.0, "loss_kind": "cross_entropy"}, "temperature"),
        ({"scale": 0.0, "loss_kind": "multinomial"}, "scale"),
        ({"scale": float("nan"), "loss_kind": "multinomial"}, "scale"),
    ],
)
def test_bad_settings(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KernelRidge(**bad)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"grid": ()}, r"ridges must be above 0, got \(\) and start=0.001"),
        ({"grid": (1.0, 0.0)}, r"ridges must be above 0, got \(1.0, 0.0\)"),
        ({"start": -1.0}, "ridges must be above 0, got .* and start=-1.0"),
        ({"every": 0}, "every must be 1 or more, got 0"),
    ],
)
def test_bad_searches_of_a_ridge(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RidgeSearch(**({"grid": (1.0,)} | bad))


class Judgeless(Toy):
    """A task that cannot judge ridges."""

    choose_ridge = property()  # type: ignore[assignment]


def test_a_ridge_is_chosen_by_tasks_that_can() -> None:
    objective = KernelRidge(ridge=RidgeSearch((1.0,)))
    with pytest.raises(
        ValueError, match="Judgeless cannot choose a ridge; give a number"
    ):
        objective.init(Judgeless(), seeds.at(0, "init"))
