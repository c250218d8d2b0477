"""One draw of the augmentation, applied to both sides: what makes it siamese."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from multidd import distill, seeds
from multidd.learning.states import Bank, Fresh, Online, training_step
from multidd.objectives import Contrast, GradientMatching, Mix, Recovery
from multidd.protocols import View
from tests.tables import ALL_OBJECTIVES, started
from tests.toy import FAST, Toy, ToyBatch, drawn, free, label

every = pytest.mark.parametrize("objective", ALL_OBJECTIVES, ids=label)
# A learner that is unrolled draws a view for each of its steps: see test_unrolled. The
# real set is not met again in a recovery: see test_recovery; nor in a contrast.
SIAMESE = [
    one
    for one in ALL_OBJECTIVES
    if not hasattr(one, "inner") and not isinstance(one, Recovery | Contrast)
]


@dataclass
class Use:
    """One view: by how much it shifts, and which sides it was applied to."""

    by: Tensor
    sides: list[str]


@dataclass(frozen=True, eq=False)
class Spy(Toy):
    """Notes every view that is drawn; a synthetic set has six records."""

    uses: list[Use] = field(default_factory=list)

    def view(self, rng: torch.Generator) -> View:
        by = 0.3 * torch.randn(4, generator=rng, dtype=torch.float64)
        use = Use(by, [])
        self.uses.append(use)

        def apply(batch: ToyBatch) -> ToyBatch:
            use.sides.append("synthetic" if len(batch.x) == 6 else "real")
            return replace(batch, x=batch.x + by)

        return apply


def banked(objective: Any) -> bool:
    """The real gradients of a bank are taken once: there is nothing to transform."""
    states = getattr(objective, "states", None)
    return isinstance(objective, GradientMatching) and isinstance(states, Bank)


@pytest.mark.parametrize("objective", SIAMESE, ids=label)
def test_both_sides_get_the_same_view(objective: Any) -> None:
    """Each view that a loss draws is applied once to S and once to T."""
    task = Spy("mlp")
    state = started(objective, task, seeds.at(0, "init"))
    for step in range(3):
        task.uses.clear()
        objective.loss(task, state, drawn(task), seeds.at(step, "loss"))
        parts = 1
        if isinstance(objective, Mix):
            parts = sum(part.counts(step) for part in objective.parts)
        assert len(task.uses) == (0 if banked(objective) else parts)
        assert all(sorted(u.sides) == ["real", "synthetic"] for u in task.uses)
        state = {
            **state,
            **objective.advance(task, state, drawn(task), seeds.at(step, "advance")),
        }


@every
def test_a_view_changes_the_loss(objective: Any) -> None:
    """It is really seen by the model or the kernel."""
    if banked(objective) or isinstance(objective, Mix):
        return
    losses = []
    for shift in (0.0, 1.0):
        task = Toy("mlp", shift=shift)
        state = started(objective, Toy("mlp"), seeds.at(0, "init"))
        losses.append(objective.loss(task, state, drawn(task), seeds.at(0, "loss")))
    assert not torch.equal(*losses)


def shifts(objective: Any, seed: int) -> list[Tensor]:
    task = Spy("mlp", batch_size=8)
    distill(task, objective, free(), steps=3, optimizer=FAST, seed=seed)
    return [use.by for use in task.uses]


def test_views_are_drawn_from_the_run() -> None:
    """Another at each step, the same again by the seed, right after the real batch."""
    objective = GradientMatching(states=Fresh(1))
    first, again, other = (shifts(objective, seed) for seed in (0, 0, 1))
    assert len(first) == 3 and len({tuple(by.tolist()) for by in first}) == 3
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    for step, by in enumerate(first):
        rng, task = seeds.at(0, "loss", step), Spy("mlp", batch_size=8)
        task.batch(rng)
        task.view(rng)
        assert torch.equal(task.uses[0].by, by)


def test_each_training_step_has_its_own_view() -> None:
    task = Spy("mlp")
    states = Online(on="synthetic", steps=4)
    state = states.init(task, seeds.at(0, "init"))
    states.advance(task, state, drawn(task), seeds.at(0, "advance"))
    assert [use.sides for use in task.uses] == [["synthetic"]] * 4
    assert len({tuple(use.by.tolist()) for use in task.uses}) == 4


def test_training_sees_the_view() -> None:
    """A step on a view is a step on the transformed batch."""
    plain, moved = Toy("mlp"), Toy("mlp", shift=1.0)
    weights = plain.weights(seeds.at(0, "w"), 1)
    moments = {n: FAST.init(w) for n, w in weights.items()}
    batch = drawn(plain)
    rng = seeds.at(0, "learn")
    result, _ = training_step(moved, weights, moments, FAST, batch, rng)
    seen = moved.view(seeds.at(0, "learn"))(batch)
    expected, _ = training_step(
        plain, weights, moments, FAST, seen, seeds.at(0, "other")
    )
    assert all(torch.equal(result[n], expected[n]) for n in expected)
