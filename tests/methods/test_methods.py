"""What every public method of every modality does, by the table of `cases`.

That none moves a global generator is seen by `globals_unchanged` in conftest.
"""

import inspect
import json
import math
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from multidd.citation import cite
from multidd.engine.callbacks import Every
from multidd.engine.options import SelectBest
from multidd.errors import CheckpointMismatchError, StorageError
from multidd.graph import GraphSetTask, NodeTask
from multidd.images import ImageTask
from multidd.recsys import UserTask
from multidd.text import TextTask, TokenTask
from tests.methods.cases import CASES, CODED, MODALITIES, SHORT, Case, made_by

pytestmark = [
    pytest.mark.usefixtures("short_teachers"),
    pytest.mark.filterwarnings("ignore:The given NumPy array is not writable"),
]

TASKS = (NodeTask, GraphSetTask, ImageTask, UserTask, TextTask, TokenTask)

SEEDLESS = ("herding", "kcenter", "head", "pursuit")
"""What these choose does not depend on the seed."""

NO_PAPER = ("random", "head", "interactions")
"""These have no reference."""

SELECTIONS = ("random", "head", "herding", "kcenter", "kmeans", "medoids")
AS_IN_THE_PAPER = (*SELECTIONS, "interactions", "svp", "forgetting")
"""Selections by a definition of one line; and methods of this library, by no paper."""
AS_IN_THE_PAPER += ("condense", "pursuit", "tokens")

OTHERS = {
    "relabel": "changes the labels of a summary",
    "swapped": "changes the words of a summary",
    "distill": "calls a method by its name",
    "doscond_graphs": "a method for sets of graphs, which are data of their own",
}
"""Public functions that give a summary by a seed and stand in no METHODS."""

every = pytest.mark.parametrize("case", CASES, ids=str)
learned = pytest.mark.parametrize("case", [c for c in CASES if c.has_loop], ids=str)


# --- the table ------------------------------------------------------------------------


def test_every_method_has_a_case() -> None:
    for kind, on in MODALITIES.items():
        assert set(SHORT[kind]) == set(on.face.METHODS)
        loops = {c.name for c in CASES if c.on is on and c.has_loop}
        assert loops == set(on.face.LEARNED), kind
        for name, method in on.face.METHODS.items():
            assert getattr(on.face, name) is method and name in on.face.__all__


def test_nothing_else_makes_summaries() -> None:
    results = set()
    for on in MODALITIES.values():
        for name in set(on.face.__all__) - set(on.face.METHODS):
            value = getattr(on.face, name)
            if inspect.isfunction(value):
                signature = inspect.signature(value)
                parameters = getattr(signature.return_annotation, "__name__", "")
                if parameters.endswith("Summary") and "seed" in signature.parameters:
                    results.add(name)
    assert results == set(OTHERS)


@every
def test_signature_and_docstring(case: Case) -> None:
    parameters = inspect.signature(case.method).parameters
    data, budget, *rest = parameters.values()
    assert (data.name, budget.name) == case.on.arguments
    assert data.default is data.empty
    assert budget.default == (500 if case.name == "distill_cf" else None)
    assert all(p.kind is p.KEYWORD_ONLY for p in rest)
    assert parameters["seed"].default == 0
    text = case.method.__doc__ or ""
    assert f"{case.name}(" in text.partition("Example:")[2]
    assert "Reference:" in text or case.name in NO_PAPER
    assert "Differs from the paper:" in text or case.name in AS_IN_THE_PAPER


# --- what is made ---------------------------------------------------------------------


def counts(summary: Any) -> list[int] | int:
    """Items of each class; of users, in all."""
    if "y" in summary.tensors:
        return summary.tensors["y"].bincount().tolist()
    return summary.num_users


@every
def test_the_card_is_filled(case: Case) -> None:
    summary = made_by(case)
    card = summary.card
    assert summary.kind.partition(".")[0] == case.kind
    assert (card.method, card.seed) == (case.name.removesuffix("_graphs"), 0)
    steps = case.options.get("steps", 0)
    assert card.steps == len(card.history) == steps
    assert all(math.isfinite(loss) for loss in card.history)
    assert json.loads(json.dumps(card.settings)) == card.settings
    assert card.source and card.versions and card.seconds >= 0
    assert all(torch.isfinite(t).all() for t in summary.tensors.values())
    assert "@" in cite(summary) or case.name in NO_PAPER
    assert "\n" not in repr(summary) and card.method in repr(summary)


@every
def test_bytes_are_those_of_the_tensors(case: Case) -> None:
    """What is counted is in the tensors; of images and users, their like is not."""
    summary = made_by(case)
    whole = sum(t.numel() * t.element_size() for t in summary.tensors.values())
    if case.kind in ("images", "recsys"):
        assert 0 < summary.num_bytes < whole
    else:
        assert summary.num_bytes == whole


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.name not in (*CODED, "interactions")], ids=str
)
def test_budgets_are_kept(case: Case) -> None:
    """To the item, whatever names them; the same budget in other words is the same.

    Codes are no images, and interactions no users: these have tests of their own.
    """
    start = case.start()
    assert counts(start) == case.on.counts == counts(made_by(case))
    for budget, expected in case.on.budgets(case.name):
        result = case.start(**budget)
        assert counts(result) == expected, budget
        if "budget_bytes" in budget:
            assert result.num_bytes <= budget["budget_bytes"]
        if expected == case.on.counts:
            assert result.digest() == start.digest(), budget


@learned
def test_it_moves_from_its_start(case: Case) -> None:
    summary, start = made_by(case), case.start()
    assert start.card.steps == 0
    assert set(summary.tensors) == set(start.tensors)
    assert summary.digest() != start.digest()
    assert counts(summary) == counts(start)


# --- seeds, forms, devices ------------------------------------------------------------


def frozen(data: Any) -> Any:
    """The content of data, to compare before and after."""
    if isinstance(data, torch.Tensor):
        data = data.detach().numpy()
    if isinstance(data, np.ndarray):
        return data.dtype.str, data.shape, data.tobytes()
    if isinstance(data, list | tuple):
        return [frozen(part) for part in data]
    if is_dataclass(data):
        return [frozen(getattr(data, part.name)) for part in fields(data)]
    if hasattr(data, "to_dict"):
        return {name: frozen(part) for name, part in data.to_dict().items()}
    return data


@pytest.mark.parametrize("case", [c for c in CASES if not c.has_loop], ids=str)
def test_same_seed_same_bits(case: Case) -> None:
    """From the same data in another form too, where there is one; the data stay as they
    are. What takes steps: see test_a_stopped_run_goes_on_to_the_same_bits."""
    data = case.on.again()
    before = frozen(data)
    assert case.run(data).digest() == made_by(case).digest()
    assert frozen(data) == before


@every
def test_another_seed_another_result(case: Case) -> None:
    digest = made_by(case).digest()
    others = (case.run(seed=seed).digest() for seed in (1, 2, 3))
    if case.name in SEEDLESS:
        assert next(others) == digest
    else:
        assert any(other != digest for other in others)


# --- checkpoints ----------------------------------------------------------------------


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No task is looked at: what is refused is refused before any work."""

    def never(*_: Any, **__: Any) -> None:
        pytest.fail("work began before the refusal")

    for task in TASKS:
        for name in ("records", "weights", "batch"):
            monkeypatch.setattr(task, name, never)


@learned
def test_a_stopped_run_goes_on_to_the_same_bits(case: Case, tmp_path: Path) -> None:
    """From the same data in another form too, where there is one, and on the device
    that is taken unless told; the data stay as they are. Nor is there anything to do
    once it is done, and no other run goes on."""
    whole, folder, data = made_by(case), {"checkpoint": str(tmp_path)}, case.on.again()
    before, same = frozen(data), {"device": "cpu"} | folder
    assert case.run(data, timeout=0.0, **same).card.steps == 1
    for _ in range(2):
        summary = case.run(data, **same)
        assert summary.digest() == whole.digest()
        assert summary.card.history == whole.card.history
    assert frozen(data) == before
    with pytest.raises(CheckpointMismatchError, match="seed was 0 and is now 1"):
        case.run(seed=1, **folder)


@learned
def test_a_folder_that_cannot_be_written(case: Case, tmp_path: Path) -> None:
    """Below a file no folder can be made, whoever the user is; no step is taken."""
    (tmp_path / "file").write_text("in the way")
    steps: list[int] = []
    count = Every(1, lambda run: steps.append(run.step))
    with pytest.raises(StorageError, match="file"):
        case.run(checkpoint=str(tmp_path / "file" / "run"), callbacks=[count])
    assert not steps


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.has_loop and c.name != "doscond_graphs"], ids=str
)
def test_the_best_iterate_is_chosen(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its score on held-out records: here the start is made to score best."""
    looks: list[float] = []

    def score(*_: Any) -> float:
        looks.append(-float(len(looks)))
        return looks[-1]

    for task in TASKS:
        monkeypatch.setattr(task, "score", score)
    summary = case.run(select_best=SelectBest(every=1))
    assert summary.card.steps == 3 and len(looks) == 4
    assert summary.digest() == case.start(select_best=SelectBest(every=1)).digest()


# --- refusals -------------------------------------------------------------------------


@every
def test_a_device_that_is_not_there_is_refused(case: Case, idle: None) -> None:
    message = "^there is no device 'no such device' here; device must be one of cpu"
    with pytest.raises(ValueError, match=message):
        case.run(device="no such device")


@every
def test_the_device_is_that_of_the_run(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one that holds no numbers every method fails; none ignores it."""
    monkeypatch.setattr("multidd.arguments._is_there", lambda device: True)
    with pytest.raises((RuntimeError, NotImplementedError), match="(?i)meta"):
        case.run(device="meta")


@every
def test_bad_budgets_are_refused(case: Case, idle: None) -> None:
    data = case.on.data()
    for budget, error, message in case.on.bad_budgets:
        with pytest.raises(error, match=message):
            case.refuses(data, budget)


@every
def test_bad_data_are_refused(case: Case, idle: None) -> None:
    data, message = case.on.bad_data()
    error = TypeError if case.kind == "recsys" else ValueError
    with pytest.raises(error, match=message):
        case.run(data)


@every
def test_unknown_options_are_refused(case: Case) -> None:
    with pytest.raises(TypeError, match="lerning_rate"):
        case.run(lerning_rate=0.1)


@learned
def test_bad_runs_are_refused(case: Case) -> None:
    for option, message in (
        ({"steps": -1}, "steps must be 0 or more, got -1"),
        ({"checkpoint_every": 0}, "checkpoint_every must be 1 or more, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            case.run(**option)
