"""One suite for every public objective, and what each must equal by hand."""

import dataclasses
import inspect
import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import multidd
from multidd import protocols, seeds
from multidd.errors import DivergedError
from multidd.settings import describe
from tests.tables import ALL_OBJECTIVES, OBJECTIVES, stands_still, started
from tests.toy import FAST, MODELS, Toy, drawn, free, iris, label

every = pytest.mark.parametrize("objective", ALL_OBJECTIVES, ids=label)
models = pytest.mark.parametrize("model", MODELS)


# --- contract -------------------------------------------------------------------


def test_every_objective_is_tried() -> None:
    package = multidd.objectives
    public = {n for n in package.__all__ if hasattr(getattr(package, n), "loss")}
    assert set(OBJECTIVES) == public
    for name, configurations in OBJECTIVES.items():
        kind = getattr(multidd.objectives, name)
        assert configurations and all(type(one) is kind for one in configurations)


def test_parameter_names() -> None:
    names = {
        "init": ["task", "rng"],
        "loss": ["task", "state", "synthetic", "rng"],
        "advance": ["task", "state", "synthetic", "rng"],
    }
    for kind in (protocols.Objective, *map(type, ALL_OBJECTIVES)):
        for method, expected in names.items():
            parameters = inspect.signature(getattr(kind, method)).parameters
            assert list(parameters) == ["self", *expected], (kind, method)


def test_an_objective_without_a_state_needs_its_loss_alone() -> None:
    class Plain(protocols.Objective):
        def loss(self, task: Any, state: Any, synthetic: Any, rng: Any) -> Any:
            return synthetic.x.square().mean()

    state = Plain().init(Toy(), seeds.at(0, "init"))
    assert state == {} == Plain().advance(Toy(), state, None, seeds.at(0, "a"))
    options: dict[str, Any] = {"steps": 30, "optimizer": FAST}
    history = multidd.distill(Toy(), Plain(), free(), **options).card.history
    assert history[-1] < 0.5 * history[0]


@every
def test_settings(objective: Any) -> None:
    """Frozen, one line, JSON, equal to a copy and to nothing else in the table."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        objective.states = None
    assert "\n" not in repr(objective) and "tensor(" not in repr(objective)
    copy = dataclasses.replace(objective)
    assert copy == objective and repr(copy) == repr(objective)
    text = json.dumps(describe(objective))
    assert json.loads(text) == describe(copy)
    twins = [one for one in ALL_OBJECTIVES if json.dumps(describe(one)) == text]
    assert twins == [objective]


@every
@models
def test_state_goes_in_and_out(objective: Any, model: str) -> None:
    """A loss changes nothing; `advance` leaves the state that it was given."""
    task = Toy(model)
    state = started(objective, task, seeds.at(0, "init"))
    before = json.dumps(describe(state))
    first = objective.loss(task, state, drawn(task), seeds.at(0, "loss"))
    again = objective.loss(task, state, drawn(task), seeds.at(0, "loss"))
    assert first.dim() == 0 and first.dtype == torch.float64
    assert torch.equal(first, again)
    after = objective.advance(task, state, drawn(task), seeds.at(1, "advance"))
    assert json.dumps(describe(state)) == before
    before = json.dumps(describe(objective.init(task, seeds.at(0, "init"))))
    assert (json.dumps(describe(after)) == before) == stands_still(objective)


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for name, part in tree.items():
            assert isinstance(name, str)
            yield from leaves(part, f"{path}/{name}")
    else:
        yield path, tree


@every
@models
def test_state_is_tensors_in_nested_dicts(objective: Any, model: str) -> None:
    """At the start and later: detached, the same names, shapes and types."""
    task = Toy(model)
    state = objective.init(task, seeds.at(0, "init"))
    after = objective.advance(
        task,
        started(objective, task, seeds.at(0, "init")),
        drawn(task),
        seeds.at(0, "advance"),
    )
    for place, tensor in [*leaves(state), *leaves(after)]:
        assert type(tensor) is torch.Tensor and not tensor.requires_grad, place
    # Representative rows may be more or fewer at another clustering.
    kinds = [
        {p: (None if p == "/rows" else t.shape, t.dtype) for p, t in leaves(one)}
        for one in (state, after)
    ]
    assert kinds[0] == kinds[1]


@every
def test_learned_tensors_are_in_use(objective: Any) -> None:
    """Each is a leaf of its own, and the loss depends on it at some step."""
    learned = getattr(objective, "learned", dict)()
    if not learned:
        return
    task, again = Toy("mlp"), objective.learned()
    state = started(objective, task, seeds.at(0, "init"))
    sizes = dict.fromkeys(learned, 0.0)
    for step in range(3):
        fresh = {n: t.clone().requires_grad_() for n, t in again.items()}
        now = {**state, "learned": fresh}
        loss = objective.loss(task, now, drawn(task), seeds.at(step, "loss"))
        if loss.requires_grad:
            gradients = torch.autograd.grad(
                loss, list(fresh.values()), allow_unused=True
            )
            for name, slope in zip(fresh, gradients, strict=True):
                sizes[name] += 0.0 if slope is None else float(slope.abs().max())
        state = objective.advance(task, state, drawn(task), seeds.at(step, "advance"))
    assert all(size > 1e-6 for size in sizes.values())


DEGENERATE = {
    "zeros": lambda x, y: torch.zeros_like(x),
    "equal": lambda x, y: 10 * torch.ones_like(x),
    "equal in a class": lambda x, y: 10.0 * y[:, None].to(x.dtype).expand(x.shape) + 1,
    "one column": lambda x, y: x * torch.tensor([1.0, 0, 0, 0], dtype=x.dtype),
    "large": lambda x, y: 1e3 * x,
    "small": lambda x, y: 1e-6 * x,
}


def degenerate(kind: str, model: str, dtype: torch.dtype) -> Toy:
    x, y, _, _ = iris()
    return Toy(model, x=DEGENERATE[kind](x, y).to(dtype), edges=False)


@every
@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_finite(objective: Any) -> None:
    """In single precision, where rounding bites, on one of the models by turns."""
    for place, kind in enumerate(DEGENERATE, start=ALL_OBJECTIVES.index(objective)):
        model = MODELS[place % len(MODELS)]
        check_finite(objective, degenerate(kind, model, torch.float32))


@pytest.mark.full
@every
@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_finite_on_both_models_in_both_precisions(objective: Any) -> None:
    for kind in DEGENERATE:
        for model in MODELS:
            for dtype in (torch.float32, torch.float64):
                check_finite(objective, degenerate(kind, model, dtype))


@every
def test_finite_with_one_record_per_class(objective: Any) -> None:
    x, y, _, _ = iris()
    first = torch.tensor([int((y == c).nonzero()[0]) for c in range(3)])
    for model in MODELS:
        check_finite(objective, Toy(model, x=10 * x[first], y=y[first], edges=False))


def check_finite(objective: Any, task: Toy) -> None:
    """Loss and gradient are finite at the start and stay so for a few steps."""
    counts = (1, 1, 1)
    try:
        summary = multidd.distill(task, objective, free(counts), steps=3)
    except DivergedError as error:
        pytest.fail(str(error))
    assert bool(torch.isfinite(summary.tensors["x"]).all())
    assert len(summary.card.history) == 3
