"""Every method on a device: nothing is left on the processor, little waits for it.

`make test-all` walks all methods, `make test` some of each kind, `make test-gpu` all of
them on a GPU.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from multidd.engine.options import SelectBest
from tests.device.make_costs import COSTS
from tests.device.walk import DEVICE, IS_PRETEND, walked, watched
from tests.methods.cases import CASES, Case

pytestmark = [
    pytest.mark.usefixtures("short_teachers"),
    pytest.mark.changes_globals("torch.Generator, while a device is watched"),
]

QUICK = set(
    "images-dm images-idm images-kip images-rded images-kmeans graph-gcond_x "
    "graph-kcenter graph-cgc recsys-distill_cf recsys-interactions text-mtt "
    "text-dc".split()
)
"""Tried by `make test`: states, pools, experts, kernels, selections."""


def some(cases: list[Case], quick: set[str] = QUICK) -> list[Any]:
    """Parameters of a test: all cases, those that are not quick for `make test-all`."""
    full = pytest.mark.full
    return [
        pytest.param(case, id=str(case), marks=() if str(case) in quick else full)
        for case in cases
    ]


LEARNED = [case for case in CASES if case.has_loop]


@pytest.mark.parametrize("case", some(LEARNED))
def test_a_step_stays_on_the_device(case: Case) -> None:
    """No operation mixes devices, and a step costs no more than is written down."""
    walk = walked(case)
    assert not walk.strays
    assert all(torch.isfinite(t).all() for t in walk.summary.tensors.values())
    assert all(t.device.type == "cpu" for t in walk.summary.tensors.values())
    if IS_PRETEND:
        golden = json.loads(COSTS.read_text())[str(case)]
        risen = {k: n for k, n in walk.costs.items() if n > golden.get(k, 0)}
        assert not risen, {kind: walk.lines.get(kind) for kind in risen}


@pytest.mark.parametrize("case", some([c for c in CASES if not c.has_loop]))
def test_what_has_no_steps_runs_on_the_device(case: Case) -> None:
    with watched():
        summary = case.run(device=DEVICE)
    assert all(t.device.type == "cpu" for t in summary.tensors.values())
    assert all(torch.isfinite(t).all() for t in summary.tensors.values())


@pytest.mark.parametrize(
    "case", some(LEARNED, {"text-frepo", "text-mtt", "recsys-distill_cf"})
)
def test_a_stopped_run_goes_on_there(case: Case, tmp_path: Path) -> None:
    """Each tensor comes back to where it was: the bits are those of an unbroken run."""
    with watched():
        whole = case.run(device=DEVICE)
        options = {"device": DEVICE, "checkpoint": str(tmp_path)}
        assert case.run(timeout=0.0, **options).card.steps == 1
        summary = case.run(**options)
    assert summary.digest() == whole.digest()
    assert summary.card.history == whole.card.history


@pytest.mark.parametrize("case", some(LEARNED, {"graph-gcond_x", "text-kip"}))
def test_the_best_is_chosen_there(case: Case) -> None:
    with watched():
        summary = case.run(device=DEVICE, select_best=SelectBest(every=1))
    assert summary.card.steps == 3


def test_every_learned_method_has_its_costs() -> None:
    assert set(json.loads(COSTS.read_text())) == {str(case) for case in LEARNED}


@pytest.mark.full
def test_condense_by_hops_runs_on_the_device() -> None:
    (case,) = (one for one in CASES if one.name == "condense")
    with watched():
        summary = case.run(device=DEVICE, teacher="hops")
    assert all(torch.isfinite(t).all() for t in summary.tensors.values())


@pytest.mark.parametrize("limit", [2**32, 0])
def test_a_set_that_is_too_large_for_the_device(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies there as bytes; or a batch is copied, and no row is waited for."""
    monkeypatch.setattr("multidd.images.tasks.image_task.KEPT", 0)
    monkeypatch.setattr("multidd.images.tasks.image_task.KEPT_ON_DEVICE", limit)
    (case,) = (one for one in CASES if str(one) == "images-dm")
    walk = walked(case)
    assert all(torch.isfinite(t).all() for t in walk.summary.tensors.values())
    if IS_PRETEND:
        golden = json.loads(COSTS.read_text())[str(case)]
        assert walk.costs["wait"] == golden["wait"] == 1
        assert walk.costs["copy down"] == 0
        assert walk.costs["copy up"] <= (0 if limit else 3), walk.lines["copy up"]
