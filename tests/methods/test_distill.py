"""`distill` of every modality: the default method, or any other by its name."""

from typing import Any

import pytest

from multidd.modality import parts
from tests.golden import tiny
from tests.methods.cases import MODALITIES, SHORT

# Of images candidates are judged: see tests/images/test_composition.py.
DEFAULTS = {
    "graph": "gcond_x",
    "recsys": "distill_cf",
    "text": "pursuit",
}

every = pytest.mark.parametrize("kind", MODALITIES)


def run(kind: str, **changes: Any) -> Any:
    on = MODALITIES[kind]
    return on.face.distill(on.data(), **on.budget | on.fixed() | changes)


@pytest.mark.parametrize("kind", DEFAULTS)
def test_the_default_is_the_method_of_that_name(kind: str) -> None:
    on, name = MODALITIES[kind], DEFAULTS[kind]
    summary = run(kind, **SHORT[kind][name])
    assert summary.card.method == name
    by_name = run(kind, method=name, seed=0, **SHORT[kind][name])
    assert summary.digest() == by_name.digest()
    assert name in parts(kind).methods and f"`{name}`" in (on.face.distill.__doc__)


@every
def test_any_method_by_its_name(kind: str) -> None:
    on = MODALITIES[kind]
    summary = run(kind, method="random", seed=1)
    assert summary.card.seed == 1
    plain = on.face.METHODS["random"](on.data(), **on.budget | on.fixed() | {"seed": 1})
    assert summary.digest() == plain.digest()


@every
def test_the_budget_comes_second(kind: str) -> None:
    on = MODALITIES[kind]
    budget = 1 / 8 if kind == "graph" else 2
    summary = on.face.distill(on.data(), budget, method="random", **on.fixed())
    assert summary.card.method == "random"


@every
def test_refusals(kind: str) -> None:
    with pytest.raises(ValueError, match="method must be one of .*; got 'magic'"):
        run(kind, method="magic")
    with pytest.raises(TypeError, match="random has no setting lerning_rate"):
        run(kind, method="random", lerning_rate=1)


def test_a_set_of_graphs_goes_to_its_own_method() -> None:
    face, graphs = MODALITIES["graph"].face, tiny.graphs()
    summary = face.distill(graphs, per_class=1)
    assert (summary.kind, summary.card.method) == ("graph.sets", "kmeans")
    learned = face.distill(graphs, per_class=1, method="doscond", steps=1)
    assert (learned.kind, learned.card.method) == ("graph.sets", "doscond")
