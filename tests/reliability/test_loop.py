"""The loop: it stops before it spoils a result, keeps the best, and says why."""

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from multidd import seeds
from multidd.engine.callbacks import Every
from multidd.engine.card import CardInfo
from multidd.engine.checkpoint import CheckpointFolder
from multidd.engine.options import SelectBest
from multidd.engine.schedules import Alternate
from multidd.errors import DivergedError
from multidd.learning.optim import SGD, Adam
from multidd.learning.states import Online
from multidd.objectives import DistributionMatching, GradientMatching
from multidd.parameterizations import GumbelHistories
from multidd.protocols import Draw, Task
from multidd.storage.files import flatten
from multidd.summary import DataSummary
from tests.tables import BOTH
from tests.toy import FAST, Toy, distill, free


@dataclass(frozen=True)
class Spoilt:
    """A plain loss whose value or gradient is not finite at one step."""

    how: str
    at: int

    def init(self, task: Any, rng: Any) -> Any:
        return {"count": torch.tensor(0)}

    def loss(self, task: Any, state: Any, synthetic: Any, rng: Any) -> Tensor:
        x = synthetic.x
        loss = (x - 1).square().sum()
        if int(state["count"]) != self.at:
            return loss
        if self.how == "gradient":  # the slope of a root at zero
            return loss + (x[0, 0] - x[0, 0].detach()).sqrt()
        return loss * {"nan": torch.nan, "inf": torch.inf}[self.how]

    def advance(self, task: Any, state: Any, synthetic: Any, rng: Any) -> Any:
        return {"count": state["count"] + 1}


def run(objective: Any = None, **options: Any) -> DataSummary:
    settings = {"steps": 8, "optimizer": FAST} | options
    task, form = settings.pop("task", Toy()), settings.pop("form", free())
    return distill(task, objective or DistributionMatching(), form, **settings)


# --- divergence ------------------------------------------------------------------


@pytest.mark.parametrize("how", ["nan", "inf", "gradient"])
@pytest.mark.parametrize("at", [0, 5])
@pytest.mark.parametrize("every", [1, 50])
def test_diverged(how: str, at: int, every: int, tmp_path: Path) -> None:
    """Step 5 is neither the first nor the last, and with 50 nothing is saved there."""
    good = run(Spoilt("never", -1), steps=at)
    for _ in range(2):  # the second call goes on from the checkpoint
        with pytest.raises(DivergedError, match=f"step {at};.*learning rate") as error:
            run(Spoilt(how, at), checkpoint=str(tmp_path), checkpoint_every=every)
        assert error.value.step == at
        assert isinstance(error.value.summary, DataSummary)
        assert error.value.summary.digest() == good.digest()
        assert error.value.summary.card.history == good.card.history
        latest = CheckpointFolder(tmp_path).latest()
        if every == 50 or at == 0:
            assert latest is None
        else:
            assert latest is not None and latest[0] == at
            assert torch.equal(latest[1]["params::x"], good.tensors["x"])


def test_gradient_case_has_a_finite_loss() -> None:
    x = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)
    batch = type("Batch", (), {"x": x})
    loss = Spoilt("gradient", 0).loss(None, {"count": torch.tensor(0)}, batch, None)
    assert bool(torch.isfinite(loss))
    assert not bool(torch.isfinite(torch.autograd.grad(loss, x)[0]).all())


@pytest.mark.parametrize("steps", [1, 3])
def test_update_that_overflows(steps: int) -> None:
    """Loss and gradient are finite, the step is not: the last good state is kept."""
    with pytest.raises(DivergedError) as error:
        run(Spoilt("never", -1), optimizer=SGD(lr=1e308), steps=steps)
    partial = error.value.summary
    assert isinstance(partial, DataSummary)
    assert bool(torch.isfinite(partial.tensors["x"]).all())


@pytest.mark.parametrize("saved", [False, True])
def test_model_that_overflows(saved: bool, tmp_path: Path) -> None:
    """The weights that are matched on run off: the same error, saved or not."""
    states = Online(optimizer=SGD(lr=1e308), steps=5)
    folder = str(tmp_path) if saved else None
    with pytest.raises(DivergedError) as error:
        run(GradientMatching(states=states), checkpoint=folder, checkpoint_every=1)
    assert bool(torch.isfinite(error.value.summary.tensors["x"]).all())


# --- time, callbacks, bar -----------------------------------------------------------


def test_timeout_stops_within_a_step(tmp_path: Path) -> None:
    whole = run()
    short = run(timeout=0.0, checkpoint=str(tmp_path))
    assert short.card.steps == 1 and short.digest() == run(steps=1).digest()
    assert run(checkpoint=str(tmp_path)).digest() == whole.digest()


@dataclass
class Watch:
    name: str
    log: list
    until: int = 99

    def on_start(self, run: Any) -> None:
        self.log.append((self.name, "start", run.step))

    def on_step(self, run: Any) -> bool | None:
        self.log.append((self.name, "step", run.step))
        return run.step == self.until

    def on_end(self, run: Any) -> None:
        self.log.append((self.name, "end", run.step))


def test_callbacks_in_order_and_stop(tmp_path: Path) -> None:
    log: list = []
    watchers = [Watch("a", log, until=2), Watch("b", log)]
    summary = run(callbacks=watchers, checkpoint=str(tmp_path))
    hooks = [("start", 0), ("step", 1), ("step", 2), ("end", 2)]
    assert log == [(name, hook, step) for hook, step in hooks for name in "ab"]
    assert summary.card.steps == 2 and summary.digest() == run(steps=2).digest()
    log.clear()
    again = run(callbacks=watchers, checkpoint=str(tmp_path))
    assert again.digest() == summary.digest()
    assert not [entry for entry in log if entry[1] == "step"]


def test_callbacks_end_when_a_run_fails() -> None:
    log: list = []
    with pytest.raises(DivergedError):
        run(Spoilt("nan", 1), callbacks=[Watch("a", log)])
    assert log[-1] == ("a", "end", 1)


def test_every_calls_when_its_turn_has_come() -> None:
    seen: list[int] = []
    run(steps=7, callbacks=[Every(3, lambda state: seen.append(state.step))])
    assert seen == [3, 6]


def test_bar_is_hidden_without_a_terminal(capfd: pytest.CaptureFixture) -> None:
    run()
    assert capfd.readouterr() == ("", "")
    run(progress=True, card=CardInfo("named"))
    assert "named" in capfd.readouterr().err
    run(progress=False)
    assert capfd.readouterr() == ("", "")


# --- the best iterate ----------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Scored(Toy):
    """Scores as told; keeps what was scored."""

    scores: tuple[float, ...] = ()
    draws: list[Draw] = field(default_factory=list)

    def score(self, draw: Draw, rng: Any) -> float:
        self.draws.append(draw)
        return self.scores[len(self.draws) - 1]


@pytest.mark.parametrize("best", range(4))
def test_best_iterate_is_kept(best: int) -> None:
    """Scored at 0, 2, 4 and 6 of 6 steps; the start may be the best."""
    scores = tuple(1.0 if i == best else 0.1 * i for i in range(4))
    summary = run(task=Scored(scores=scores), steps=6, select_best=SelectBest(every=2))
    assert summary.digest() == run(steps=2 * best).digest()
    assert summary.card.steps == 6


def test_first_of_equal_scores_wins() -> None:
    summary = run(
        task=Scored(scores=(0.0, 1.0, 1.0)), steps=2, select_best=SelectBest(every=1)
    )
    assert summary.digest() == run(steps=1).digest()


def test_patience_stops(tmp_path: Path) -> None:
    task = Scored(scores=(0.0, 0.5, 0.4, 0.3, 0.9))
    options = {
        "select_best": SelectBest(every=1, patience=2),
        "checkpoint": str(tmp_path),
    }
    summary = run(task=task, **options)
    assert summary.card.steps == 3 and summary.digest() == run(steps=1).digest()
    assert run(task=task, **options).digest() == summary.digest()
    assert len(task.draws) == 4


def test_best_of_a_running_mean_is_what_was_scored() -> None:
    task = Scored(scores=(0.0, 0.1, 1.0, 0.2))
    adam = Adam(lr=0.05, ema=0.9)
    summary = run(task=task, steps=3, optimizer=adam, select_best=SelectBest(every=1))
    assert torch.equal(summary.tensors["x"], task.draws[2]["x"])


def test_best_survives_a_restart(tmp_path: Path) -> None:
    scores = (0.0, 0.1, 0.7, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65)
    options = {"select_best": SelectBest(every=1), "checkpoint": str(tmp_path)}
    short = run(task=Scored(scores=scores), timeout=0.0, **options)
    assert short.card.steps == 1
    rest = Scored(scores=scores[2:])
    summary = run(task=rest, **options)
    assert len(rest.draws) == 7 and summary.digest() == run(steps=2).digest()


# --- what is refused, and odd schedules ----------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -1}, "-1"),
        ({"optimizer": {"y": FAST}}, "no group is called y.*learns x"),
        ({"checkpoint_every": 0}, "checkpoint_every"),
    ],
)
def test_bad_settings_are_refused_before_a_step(options: Any, message: str) -> None:
    seen: list[int] = []
    watch = Every(1, lambda state: seen.append(state.step))
    with pytest.raises(ValueError, match=message):
        run(**{"callbacks": [watch]} | options)
    assert seen == []


def test_best_needs_a_step_between_scores() -> None:
    with pytest.raises(ValueError, match="every must be 1 or more, got 0"):
        SelectBest(every=0)


def test_groups_without_an_optimizer_stay() -> None:
    summary = run(form=BOTH, optimizer={"x": FAST})
    first = BOTH.init(Toy(), seeds.at(0, "start"))
    assert torch.equal(summary.tensors["adjacency"], first["adjacency"])
    assert not torch.equal(summary.tensors["x"], first["x"])


def test_a_step_may_move_nothing() -> None:
    turns = Alternate((("adjacency", 1), ("x", 1)))
    summary = run(form=BOTH, optimizer={"x": FAST}, schedule=turns, steps=4)
    assert summary.card.steps == 4


def test_alternating_groups_keep_params_and_moments() -> None:
    """An idle group stands still with its moments, bit for bit; the other moves."""
    log: list[tuple[dict, dict]] = []
    watch = Every(1, lambda s: log.append((dict(s.params), dict(s.moments))))
    turns = Alternate((("adjacency", 1), ("x", 2)))
    run(form=BOTH, schedule=turns, callbacks=[watch])
    for step, (before, after) in enumerate(itertools.pairwise(log), start=1):
        for group in ("x", "adjacency"):
            moves = (group == "adjacency") == (step % 3 == 0)
            same = torch.equal(before[0][group], after[0][group])
            counts = [int(side[1][group]["count"]) for side in (before, after)]
            assert same == (not moves) and counts[1] - counts[0] == moves
            means = [side[1][group]["mean"] for side in (before, after)]
            assert torch.equal(*means) == (not moves)
    assert len(log) == 8


def test_tensors_lie_as_a_checkpoint_gives_them_back() -> None:
    """The factors of low-rank logits come by columns, in which sums differ."""
    log: list[Tensor] = []
    watch = Every(1, lambda s: log.extend(flatten(s.params | s.moments).values()))
    form = GumbelHistories(free(), draws=2, rank=2)
    assert not form.init(Toy(), seeds.at(0, "x"))["x/columns"].is_contiguous()
    run(form=form, callbacks=[watch])
    assert len(log) > 8 and all(tensor.is_contiguous() for tensor in log)


def test_toy_has_the_methods_of_the_protocol_alone() -> None:
    """A task that has what the protocol lists, and nothing else, can be distilled."""
    public = {name for name in dir(Toy) if not name.startswith("_")}
    extra = {"model", "closed", "batch_size", "x", "y", "mass", "edges", "data"}
    extra |= {"shift", "held", "grid"}
    extra |= {"choose_ridge"}  # asked for where ridges are chosen on validation data
    extra |= {"decodes"}  # set where summaries can decode what is stored
    listed = {name for name in dir(Task) if not name.startswith("_")}
    assert public - extra - {"num_classes"} == listed - {"num_classes"}
