"""Unrolled learners by hand: losses, views, windows, learned rates, running clips."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from multidd import seeds
from multidd.engine.callbacks import Every
from multidd.learning.optim import SGD, Adam, RunningClip
from multidd.learning.states import Fresh
from multidd.learning.unroll import InnerLoop
from multidd.objectives import KernelRidge, Mix, Unroll
from multidd.objectives.mix import Part
from multidd.parameterizations import Labels
from multidd.protocols import Params
from tests.contracts.test_views import Spy
from tests.tables import started
from tests.toy import (
    COUNTS,
    MODELS,
    Toy,
    ToyBatch,
    distill,
    drawn,
    free,
    iris,
    real_batch,
)

HEAVY = SGD(lr=0.2, momentum=0.9)
RANDOM = InnerLoop(9, Adam(lr=0.05), backprop="truncated", window=3)


def loss_of(
    task: Toy, objective: Unroll, batch: ToyBatch, step: int = 0, start: str = "init"
) -> Tensor:
    state = started(objective, task, seeds.at(0, start))
    return objective.loss(task, state, batch, seeds.at(0, "loss", step))


# --- the loss -------------------------------------------------------------------------


@pytest.mark.parametrize("memory", ["exact", "checkpointed", "stored"])
@pytest.mark.parametrize("model", MODELS)
def test_the_loss_is_that_of_trained_models(model: str, memory: Any) -> None:
    """Two models trained by torch.optim on S, judged by their mean loss on T."""
    task = Toy(model)
    batch, real = drawn(task), real_batch(task)
    loss = loss_of(task, Unroll(InnerLoop(5, HEAVY, backprop=memory), Fresh(2)), batch)
    start = Fresh(2).init(task, seeds.at(0, "init"))["weights"]
    expected = []
    for place in range(2):
        leaves = {n: torch.nn.Parameter(w[place].clone()) for n, w in start.items()}
        sgd = torch.optim.SGD(leaves.values(), lr=0.2, momentum=0.9)
        for _ in range(5):
            sgd.zero_grad()
            task.losses(dict(leaves), batch).mean().backward()
            sgd.step()
        expected.append(task.losses(dict(leaves), real).mean().item())
    assert loss.item() == pytest.approx(sum(expected) / 2, rel=1e-10)


def test_real_records_count_by_their_weights() -> None:
    mass = torch.linspace(0.5, 2.0, len(iris()[1]))
    objective = Unroll(InnerLoop(3, HEAVY), Fresh(1))
    equal = loss_of(Toy("mlp"), objective, drawn(Toy()))
    assert abs(equal - loss_of(Toy("mlp", mass=mass), objective, drawn(Toy()))) > 1e-3


def test_every_step_and_the_real_batch_have_views_of_their_own() -> None:
    task = Spy("mlp")
    loss_of(task, Unroll(InnerLoop(4, HEAVY), Fresh(1)), drawn(task))
    assert [use.sides for use in task.uses] == [["synthetic"]] * 4 + [["real"]]
    assert len({tuple(use.by.tolist()) for use in task.uses}) == 5


# --- the random truncated window ------------------------------------------------------


def lengths(task: Spy, objective: Unroll, seed: int, **options: Any) -> list[int]:
    """Steps of the learner at each step of a run."""
    counts: list[int] = []

    def note(run: Any) -> None:
        counts.append(sum(use.sides[:1] == ["synthetic"] for use in task.uses))
        task.uses.clear()

    distill(task, objective, free(), seed=seed, callbacks=[Every(1, note)], **options)
    return counts


def test_lengths_are_drawn_by_the_seed_and_the_step(tmp_path: Any) -> None:
    """Uniform from the window to all steps; the same again, also when resumed."""
    objective = Unroll(RANDOM, min_steps=3)
    first, other = (lengths(Spy(), objective, seed, steps=60) for seed in (0, 1))
    assert set(first) == set(range(3, 10)) and first != other
    folder: dict[str, Any] = {"checkpoint": str(tmp_path), "checkpoint_every": 1}
    # The first step of a run is its own, whatever the time left.
    begun = lengths(Spy(), objective, 0, steps=60, timeout=0.0, **folder)
    rest = lengths(Spy(), objective, 0, steps=60, **folder)
    assert len(begun) == 1 and begun + rest == first
    assert set(lengths(Spy(), Unroll(RANDOM), 0, steps=5)) == {9}


def test_a_window_is_the_gradient_of_its_steps() -> None:
    """Against the last steps alone, begun at the state that the first ones reach."""
    task, batch = Toy("mlp"), drawn(Toy("mlp"))
    batch = replace(batch, x=batch.x.requires_grad_())
    objective = Unroll(InnerLoop(5, SGD(0.2), backprop="truncated", window=2), Fresh(1))
    gradients = torch.autograd.grad(loss_of(task, objective, batch), batch.x)[0]
    start = Fresh(1).init(task, seeds.at(0, "init"))["weights"]
    one = {name: w[0].requires_grad_() for name, w in start.items()}
    for step in range(5):
        if step == 3:
            one = {name: w.detach().requires_grad_() for name, w in one.items()}
        loss = task.losses(one, batch).mean()
        slopes = torch.autograd.grad(loss, list(one.values()), create_graph=True)
        pairs = zip(one.items(), slopes, strict=True)
        one = {name: w - 0.2 * slope for (name, w), slope in pairs}
    expected = torch.autograd.grad(task.losses(one, real_batch(task)).mean(), batch.x)[
        0
    ]
    torch.testing.assert_close(gradients, expected, rtol=1e-9, atol=1e-12)
    whole = Unroll(InnerLoop(5, SGD(0.2)), Fresh(1))
    exact = torch.autograd.grad(loss_of(task, whole, batch), batch.x)[0]
    assert not torch.allclose(gradients, exact, rtol=1e-2)


# --- what is learned ------------------------------------------------------------------


@pytest.mark.parametrize("rates, shape", [("one", []), ("each", [4])])
def test_rates_start_from_the_optimizer(rates: Any, shape: list[int]) -> None:
    objective = Unroll(InnerLoop(4, SGD(0.25)), Fresh(1), rates)
    log = objective.learned()["log_rate"]
    assert list(log.shape) == shape
    torch.testing.assert_close(log.exp(), torch.full(shape, 0.25))
    fixed = replace(objective, lr_mode="fixed")
    assert fixed.learned() == {}
    batch = drawn(Toy())
    one, two = (loss_of(Toy(), each, batch) for each in (objective, fixed))
    torch.testing.assert_close(one, two, rtol=1e-6, atol=0)


@pytest.mark.parametrize("rates", ["one", "each"])
def test_learned_rates_stand_on_the_card_and_stay_positive(rates: Any) -> None:
    """Moved by more than they are, and still above zero."""
    objective = Unroll(InnerLoop(3, SGD(0.5)), Fresh(1), rates)
    optimizer = {"objective.log_rate": Adam(lr=1.0)}
    summary = distill(Toy("mlp"), objective, free(), steps=4, optimizer=optimizer)
    learned = summary.card.settings["learned"]
    assert set(learned) == {"rate"}
    values = [learned["rate"]] if rates == "one" else learned["rate"]
    assert len(values) == (1 if rates == "one" else 3)
    assert all(value > 0 and abs(value - 0.5) > 0.1 for value in values)


def test_the_card_of_a_mix_names_its_parts() -> None:
    parts = (
        Part(Unroll(InnerLoop(2, SGD(0.5)), Fresh(1), "one")),
        Part(KernelRidge(loss_kind="cross_entropy", ridge=0.1)),
    )
    summary = distill(Toy(), Mix(parts), free(), steps=1)
    learned = summary.card.settings["learned"]
    assert set(learned) == {"0.rate", "1.temperature"}
    assert learned["0.rate"] == pytest.approx(0.5, rel=0.02)
    assert learned["1.temperature"] == pytest.approx(10.0, rel=0.02)


def accuracy(task: Toy, batch: ToyBatch) -> float:
    """On held-out flowers, of models trained on a synthetic batch."""
    x, y = iris()[2:]
    right = []
    for seed in range(5):
        weights = task.weights(seeds.at(seed, "judge"), 1)
        one: Params = {n: w[0].requires_grad_() for n, w in weights.items()}
        for _ in range(30):
            loss = task.losses(one, batch).mean()
            slopes = torch.autograd.grad(loss, list(one.values()))
            pairs = zip(one.items(), slopes, strict=True)
            one = {n: (w - 0.3 * g).detach().requires_grad_() for (n, w), g in pairs}
        held = replace(batch, x=x, y=y, soft=None)
        features = task.features(one, held)[-1].argmax(1)
        right.append(float((features == y).float().mean()))
    return sum(right) / len(right)


NOISE = free(noise=True)
FORMS = {
    "dd": (NOISE, Unroll(InnerLoop(10, SGD(0.3)), Fresh(2), "each")),
    "sldd": (Labels(NOISE, center=False), Unroll(InnerLoop(10, SGD(0.3)), Fresh(2))),
    "ld": (
        Labels(free(learn=()), center=False, scale=0.1),
        Unroll(InnerLoop(10, SGD(0.3)), Fresh(2), "one"),
    ),
    "rat": (NOISE, Unroll(replace(RANDOM, steps=12), Fresh(2), min_steps=6)),
    "linba": (NOISE, Unroll(InnerLoop(12, replace(HEAVY, lr=0.1), None, "stored"))),
}


@pytest.mark.parametrize("name", FORMS)
def test_learning(name: str) -> None:
    """The real loss of models that were not met falls, and they tell more right."""
    form, objective = FORMS[name]
    task, rule = Toy("mlp"), Adam(lr=0.05)
    results = [distill(task, objective, form, steps=n, optimizer=rule) for n in (0, 50)]
    sets = [task.synthetic(one.tensors) for one in results]
    fixed, draws = replace(objective, lr_mode="fixed", min_steps=None), range(4)
    losses = [
        sum(loss_of(task, fixed, one, step, f"judge {step}") for step in draws)
        for one in sets
    ]
    assert losses[1] < 0.8 * losses[0]
    scores = [accuracy(task, one) for one in sets]
    assert scores[1] > scores[0] + 0.05 and scores[1] > 0.6
    still = torch.equal(results[0].tensors["x"], results[1].tensors["x"])
    assert still == (name == "ld") and len(results[0].tensors["x"]) == sum(COUNTS)


# --- a limit that runs ----------------------------------------------------------------


class Steep:
    """A loss of a given slope at each step."""

    def __init__(self, norms: list[float]) -> None:
        self.norms = norms

    def init(self, task: Any, rng: Any) -> Any:
        return {"step": torch.tensor(0)}

    def loss(self, task: Any, state: Any, synthetic: Any, rng: Any) -> Tensor:
        return self.norms[int(state["step"])] * synthetic.x[0, 0]

    def advance(self, task: Any, state: Any, synthetic: Any, rng: Any) -> Any:
        return {"step": state["step"] + 1}


@pytest.mark.parametrize("decay", [0.5, 0.9])
def test_a_running_clip(decay: float) -> None:
    """By hand; the same when the run is broken off and goes on."""
    norms, seen, mean, expected = [1.0, 3.0, 100.0, 0.1, 1.0], [], 0.0, []
    for norm in norms:
        bound = norm if mean == 0 else min(norm, 2 * mean)
        mean = bound if mean == 0 else decay * mean + (1 - decay) * bound
        expected.append(bound)
    sgd = SGD(lr=1.0, clip=RunningClip(2.0, decay))
    task, form = Toy(edges=False), free()
    watch = Every(1, lambda run: seen.append(run.params["x"][0, 0].item()))
    options: dict[str, Any] = {"optimizer": sgd, "callbacks": [watch]}
    distill(task, Steep(norms), form, steps=5, **options)
    first = form.init(task, seeds.at(0, "start"))["x"][0, 0].item()
    moves = torch.tensor([first, *seen], dtype=torch.float64).diff().neg()
    torch.testing.assert_close(moves, torch.tensor(expected, dtype=torch.float64))


def test_a_running_clip_is_resumed(tmp_path: Any) -> None:
    objective = Unroll(RANDOM, min_steps=3)
    for rule in (Adam(0.05, clip=RunningClip(0.5)), SGD(0.5, 0.9, clip=RunningClip())):
        folder = str(tmp_path / type(rule).__name__)
        options: dict[str, Any] = {"optimizer": rule, "steps": 6}
        whole = distill(Toy("mlp"), objective, free(), **options)
        options |= {"checkpoint": folder, "checkpoint_every": 1}
        distill(Toy("mlp"), objective, free(), timeout=0.0, **options)
        resumed = distill(Toy("mlp"), objective, free(), **options)
        assert resumed.digest() == whole.digest()
        other = replace(rule, clip=None)
        plain = distill(Toy("mlp"), objective, free(), optimizer=other, steps=6)
        assert plain.digest() != whole.digest()


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"lr_mode": "every"}, "fixed, one, each.*'every'"),
        ({"lr_mode": "one", "inner": InnerLoop(3, SGD(0.0))}, "above 0.*lr=0.0"),
        ({"lr_mode": "each", "inner": InnerLoop(3, Adam(-1.0))}, "above 0.*lr=-1.0"),
        ({"min_steps": 0}, "from 1 .* to the 10 steps.*got 0"),
        ({"min_steps": 11}, "got 11"),
        ({"min_steps": 2, "inner": RANDOM}, "from 3 .*window.*got 2"),
    ],
)
def test_bad_settings(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Unroll(**bad)


@pytest.mark.parametrize(
    "bad",
    [{"factor": 0.0}, {"factor": float("nan")}, {"decay": 1.0}, {"decay": -0.1}],
)
def test_bad_limits(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="factor must be above 0 and decay"):
        RunningClip(**bad)
