"""A method never reads a test label; the inductive setting never reads a test node."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch_geometric.data import Data

from multidd import graph, samples
from multidd.learning.experts import Experts, Trainer
from multidd.learning.optim import SGD

pytestmark = pytest.mark.usefixtures("short_teachers")

SMALL: dict[str, dict[str, Any]] = {name: {"steps": 2} for name in graph.LEARNED}

FEW = {"experts": Experts(Trainer(epochs=3, steps=2, optimizer=SGD(lr=0.5)), 1)}
"""One short trajectory: what labels are read does not hang on its length."""

for name in ("sfgc", "geom"):
    SMALL[name] |= FEW | {"inner": 3}


def scrambled(data: Data, *masks: str) -> Data:
    """A copy whose labels under the masks are all other ones."""
    other = data.clone()
    for mask in masks:
        rows = data[mask]
        other.y[rows] = (data.y[rows] + 3) % 7
    assert not torch.equal(other.y, data.y)
    return other


def digest(method: Callable, data: Data, **settings: Any) -> str:
    return method(data, per_class=1, seed=0, **settings).digest()


@pytest.mark.parametrize("name", graph.METHODS)
def test_test_labels_are_never_read(name: str) -> None:
    data, method = samples.cora(), graph.METHODS[name]
    settings = SMALL.get(name, {})
    plain = digest(method, data, **settings)
    assert plain == digest(method, scrambled(data, "test_mask"), **settings)


@pytest.mark.parametrize("name", graph.LEARNED)
def test_training_labels_are_all_that_is_read(name: str) -> None:
    data, method = samples.cora(), graph.METHODS[name]
    settings = SMALL[name] | {"labels": "train"}
    plain = digest(method, data, **settings)
    hidden = scrambled(data, "val_mask", "test_mask")
    assert plain == digest(method, hidden, **settings)
    assert plain != digest(method, scrambled(data, "train_mask"), **settings)


@pytest.mark.parametrize("name", ["gcond", "gcdm", "condense", "kmeans"])
def test_inductive_never_reads_other_nodes(name: str) -> None:
    data, method = samples.cora(), graph.METHODS[name]
    settings = SMALL.get(name, {}) | {"inductive": True}
    plain = digest(method, data, **settings)
    other = scrambled(data, "val_mask", "test_mask")
    rest = ~data.train_mask
    other.x[rest] = other.x[rest].flip(0)
    between = data.train_mask[data.edge_index].all(0)
    some = between | (torch.arange(data.num_edges) % 3 > 0)
    keep = some & some[pairs(data)]
    other.edge_index = data.edge_index[:, keep]
    assert other.num_edges < data.num_edges
    assert plain == digest(method, other, **settings)


def pairs(data: Data) -> torch.Tensor:
    """For each edge the place of the same edge the other way round."""
    a, b = data.edge_index
    place = {edge: i for i, edge in enumerate(zip(a.tolist(), b.tolist(), strict=True))}
    return torch.tensor([place[j, i] for i, j in data.edge_index.T.tolist()])
