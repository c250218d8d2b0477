"""What every objective does with every parameterization, on both kinds of model.

Tried are the pairs of a covering array, `tests.tables.PAIRS`: every class meets every
class, every setting both models. `make test-all` tries every setting with every one.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

from multidd import load, seeds
from multidd.engine.callbacks import Every
from multidd.learning.optim import Adam
from multidd.modality import Parts
from multidd.parameterizations import TopHistories
from multidd.summary import DataSummary
from tests.registry import register
from tests.tables import ALL_OBJECTIVES, PAIRS, SETTINGS, all_pairs, started, toy_for
from tests.toy import FAST, Toy, ToySummary, distill, label

STEPS = 4
RECORDS = ("x", "codes", "bases", "latents")
tried = pytest.mark.parametrize(("objective", "form", "model"), PAIRS, ids=label)


class Stop(Exception):
    """Raised by a callback to break a run."""


def run(model: str, objective: Any, form: Any, **options: Any) -> DataSummary:
    task = toy_for(form, model, batch_size=4)
    # Which entries are the largest changes by large steps only.
    rate = Adam(lr=3.0) if isinstance(form, TopHistories) else FAST
    settings = {"steps": STEPS, "optimizer": rate} | options
    return distill(task, objective, form, **settings)


@pytest.mark.parametrize(("objective", "form", "model"), SETTINGS, ids=label)
def test_seed_decides_the_bits(
    objective: Any, form: Any, model: str, tmp_path: Path, toys_can_be_loaded: None
) -> None:
    """Same seed, same bits, broken off or not, and from the file of the summary;
    another seed, others; labels stay, records move."""
    check_bits(model, objective, form, tmp_path)


@tried
def test_gradient_is_exact(objective: Any, form: Any, model: str) -> None:
    """Finite differences of the loss, in every tensor that an optimizer may move."""
    check_gradient(model, objective, form)


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("objective", ALL_OBJECTIVES, ids=label)
def test_every_setting_with_every_setting(
    objective: Any, tmp_path: Path, toys_can_be_loaded: None
) -> None:
    """The whole product, by the same two checks."""
    for place, (one, form, model) in enumerate(all_pairs()):
        if one is objective:
            check_bits(model, objective, form, tmp_path / str(place))
            check_gradient(model, objective, form)


def check_bits(model: str, objective: Any, form: Any, folder: Path) -> None:
    first = run(model, objective, form, seed=3)
    again = resumed(model, objective, form, folder / model, seed=3)
    assert first.digest() == again.digest()
    assert first.card.history == again.card.history
    other = run(model, objective, form, seed=4, steps=2)
    assert first.digest() != other.digest()
    assert first.card.history[:2] != other.card.history
    check_moved(form, run(model, objective, form, seed=3, steps=0), first)
    assert len(first.card.history) == first.card.steps == STEPS
    check_file(first, folder / "summary")


def resumed(
    model: str, objective: Any, form: Any, folder: Path, **options: Any
) -> DataSummary:
    """Broken off after step 3, saved at step 2: the rest is done again."""

    def stop(state: Any) -> None:
        if state.step == 3:
            raise Stop

    saving = {"checkpoint": str(folder), "checkpoint_every": 2} | options
    with pytest.raises(Stop):
        run(model, objective, form, callbacks=[Every(1, stop)], **saving)
    seen: list[int] = []
    watch = Every(1, lambda state: seen.append(state.step))
    summary = run(model, objective, form, callbacks=[watch], **saving)
    assert seen == [3, 4]
    return summary


def check_moved(form: Any, still: DataSummary, summary: DataSummary) -> None:
    moved = [
        not torch.equal(still.tensors[name], summary.tensors[name])
        for name in summary.tensors
        if not name.startswith("y")
    ]
    # So few steps need not change which entries are the largest: test_histories.
    assert any(moved) or isinstance(form, TopHistories)
    assert torch.equal(still.tensors["y"], summary.tensors["y"])


def check_file(summary: DataSummary, folder: Path) -> None:
    back = load(summary.save(folder))
    assert type(back) is ToySummary
    assert back.digest() == summary.digest()
    assert back.card == summary.card
    assert back.card.history and back.card.settings["objective"]["kind"]


def check_gradient(model: str, objective: Any, form: Any) -> None:
    task = toy_for(form, model)
    params, state, names, leaves = start(task, objective, form)

    def loss(*tensors: torch.Tensor) -> torch.Tensor:
        now = params | dict(zip(names, tensors, strict=True))
        return loss_of(task, objective, form, now, state)

    other_gradients = torch.autograd.grad(loss(*leaves), leaves, allow_unused=True)
    gradients = [g for g in other_gradients if g is not None]
    assert all(bool(torch.isfinite(g).all()) for g in gradients)
    assert any(bool(g.abs().max() > 1e-6) for g in gradients)
    if getattr(form, "straight_through", False):
        return  # biased on purpose; see test_parameterizations
    assert torch.autograd.gradcheck(loss, leaves, fast_mode=True, atol=1e-6, rtol=1e-4)


def start(task: Toy, objective: Any, form: Any) -> tuple:
    """Params, the state of step 1 (a mix may begin there), and what may move."""
    params = form.init(task, seeds.at(0, "params"))
    # Off the real records: kernels of wide networks have a kink at equal rows.
    for name in [n for n in params if n.split("/")[0] in RECORDS]:
        noise = torch.randn(params[name].shape, generator=seeds.at(0, name))
        params[name] = params[name] + 0.05 * noise.to(params[name])
    names = [name for name in params if name.split("/")[0] in form.groups]
    assert {name.split("/")[0] for name in names} == set(form.groups)
    state = started(objective, task, seeds.at(0, "state"))
    learned = state.get("learned", {})
    draw = task.synthetic(form.draw(params, seeds.at(0, "draw"), 0))
    state = {**objective.advance(task, state, draw, seeds.at(0, "advance"))}
    params |= {f"objective.{name}": tensor for name, tensor in learned.items()}
    names += [name for name in params if name.startswith("objective.")]
    leaves = tuple(params[name].detach().double().requires_grad_() for name in names)
    return params, state, names, leaves


def loss_of(
    task: Toy, objective: Any, form: Any, params: dict, state: Any, seed: int = 0
) -> torch.Tensor:
    learned = {n[10:]: t for n, t in params.items() if n.startswith("objective.")}
    records = {n: t for n, t in params.items() if not n.startswith("objective.")}
    draw = form.draw(records, seeds.at(seed, "draw"), 1)
    state = {**state, "learned": learned} if learned else state
    return objective.loss(task, state, task.synthetic(draw), seeds.at(seed, "loss"))


@pytest.fixture
def toys_can_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts(
        summaries={"toy": ToySummary},
        evaluators={"toy": object},
        methods={"distill": distill},
        with_loop=("distill",),
        load_for_evaluation=toy_for,
    )
    register(monkeypatch, "toy", lambda: parts)
