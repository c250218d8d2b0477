"""Short loss curves, kept in the repo: learned methods on the shipped Cora, and every
objective of the contract tests on Iris.

A change that should not change results leaves them as they are. To renew them after one
that should: python -m tests.golden.test_losses
"""

import json
from pathlib import Path
from typing import Any

import pytest

import multidd
from multidd.engine.recipe import call
from multidd.graph.methods.registry import LEARNED, METHODS
from tests.tables import OBJECTIVES
from tests.toy import FAST, Toy, free

KEPT = Path(__file__).with_name("losses.json")
STEPS = 5
NUMBERED = {
    f"{name} {place}": objective
    for name, some in OBJECTIVES.items()
    for place, objective in enumerate(some)
}


def curve(method: str) -> list[float]:
    """Losses of the first steps at two nodes a class."""
    data = multidd.samples.cora()
    result = call(
        METHODS[method], data, per_class=2, steps=STEPS, supervision="train", seed=0
    )
    return list(result.card.history)


def toy_curve(objective: Any) -> list[float]:
    """Losses of the first steps on a small network, its augmentation in use."""
    task = Toy("mlp", batch_size=5, shift=0.1)
    summary = multidd.distill(task, objective, free(), steps=STEPS, optimizer=FAST)
    return list(summary.card.history)


@pytest.mark.parametrize("method", LEARNED)
def test_losses_are_those_kept(method: str) -> None:
    """Equal up to what another processor's arithmetic changes."""
    golden = json.loads(KEPT.read_text())[method]
    assert len(golden) == STEPS
    assert curve(method) == pytest.approx(golden, rel=1e-3)


@pytest.mark.parametrize("name", NUMBERED)
def test_losses_of_objectives_are_those_kept(name: str) -> None:
    """In double precision, so closer."""
    golden = json.loads(KEPT.read_text())["objectives"][name]
    assert len(golden) == STEPS
    curve_result = toy_curve(NUMBERED[name])
    assert curve_result == pytest.approx(golden, rel=1e-5, abs=1e-9)


def test_nothing_else_is_kept() -> None:
    golden = json.loads(KEPT.read_text())
    assert set(golden) == {*LEARNED, "objectives"}
    assert set(golden["objectives"]) == set(NUMBERED)


if __name__ == "__main__":
    graphs = {method: curve(method) for method in LEARNED}
    toys = {name: toy_curve(objective) for name, objective in NUMBERED.items()}
    KEPT.write_text(json.dumps(graphs | {"objectives": toys}, indent=1) + "\n")
