"""`Condense` as a step of a PyG pipeline."""

from dataclasses import FrozenInstanceError

import pytest
import torch
from torch_geometric import transforms as T
from torch_geometric.data import Data

import multidd
from multidd.engine.recipe import call
from multidd.graph import Condense
from multidd.graph.methods.registry import METHODS

pytestmark = pytest.mark.usefixtures("short_teachers")

LEARNED = {"options": {"steps": 2, "progress": False}}


@pytest.mark.parametrize("method", ["condense", "kmeans", "cgc", "gcond_x"])
def test_gives_what_the_method_gives(small, method, flat_bytes):
    more = LEARNED if method == "gcond_x" else {}
    result = Condense(nodes=9, method=method, seed=3, **more)(small)
    outcome = call(METHODS[method], small, nodes=9, seed=3, **more.get("options", {}))
    assert type(result) is Data
    assert flat_bytes(result) == flat_bytes(outcome.to_pyg())


def test_in_a_pipeline(small, flat_bytes):
    before = flat_bytes(small)
    pipe = T.Compose([T.NormalizeFeatures(), Condense(ratio=0.1, method="kmeans")])
    result = pipe(small)
    assert result.num_nodes == 12
    assert flat_bytes(small) == before
    expected = multidd.graph.kmeans(T.NormalizeFeatures()(small), ratio=0.1)
    assert torch.equal(result.x, expected.tensors["x"])


def test_inductive_is_handed_on(small):
    one, other = (
        Condense(nodes=9, method="kmeans", inductive=inductive)(small)
        for inductive in (False, True)
    )
    assert not torch.equal(one.x, other.x)


def test_repr_says_what_was_given():
    assert repr(Condense(ratio=0.01)) == "Condense(ratio=0.01)"
    result = Condense(nodes=70, method="gcond", seed=1, options={"steps": 9})
    text = "Condense(nodes=70, method='gcond', seed=1, options={'steps': 9})"
    assert repr(result) == text
    assert repr(T.Compose([result])) == f"Compose([\n  {text}\n])"


def test_is_frozen_and_comparable():
    result = Condense(per_class=2)
    with pytest.raises(FrozenInstanceError):
        result.nodes = 3
    assert result == Condense(per_class=2) != Condense(per_class=3)
    assert len({result, Condense(per_class=2)}) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nodes": 9, "method": "gin"}, r"method must be one of gcond, .*got 'gin'"),
        ({}, "give exactly one of ratio, nodes and per_class; got none"),
        ({"nodes": 9, "ratio": 0.1}, "got ratio and nodes"),
    ],
)
def test_refuses_when_it_is_made(options, message):
    with pytest.raises(ValueError, match=message):
        Condense(**options)


def test_a_budget_that_does_not_fit_is_refused_by_the_method(small):
    with pytest.raises(ValueError, match="fewer than the 3 classes"):
        Condense(nodes=2)(small)
