"""A method never reads a test label; the inductive setting never reads a test node."""

from typing import Any

import pytest
import torch
from torch_geometric.data import Data

from multidd import samples
from tests.methods.cases import CASES, NODES_OF, Case

pytestmark = pytest.mark.usefixtures("short_teachers")

NODES = [case for case in CASES if case.on is NODES_OF]


def scrambled(data: Data, *masks: str) -> Data:
    """A copy whose labels under the masks are all other ones."""
    other = data.clone()
    for mask in masks:
        rows = data[mask]
        other.y[rows] = (data.y[rows] + 1) % (int(data.y.max()) + 1)
    assert not torch.equal(other.y, data.y)
    return other


def digest(case: Case, data: Data, **settings: Any) -> str:
    return case.run(data, per_class=1, **settings).digest()


@pytest.mark.parametrize("case", NODES, ids=str)
def test_test_labels_are_never_read(case: Case) -> None:
    data = case.on.data()
    plain = digest(case, data)
    assert plain == digest(case, scrambled(data, "test_mask"))


@pytest.mark.parametrize("case", [c for c in NODES if c.has_loop], ids=str)
def test_training_labels_are_all_that_is_read(case: Case) -> None:
    data, settings = case.on.data(), {"supervision": "train"}
    plain = digest(case, data, **settings)
    hidden = scrambled(data, "val_mask", "test_mask")
    assert plain == digest(case, hidden, **settings)
    assert plain != digest(case, scrambled(data, "train_mask"), **settings)


# --- a real graph ---------------------------------------------------------------------

GCOND, CONDENSE = (c for c in NODES if c.name in ("gcond", "condense"))


@pytest.mark.parametrize("case", [GCOND, CONDENSE], ids=str)
def test_test_labels_of_cora_are_never_read(case: Case) -> None:
    data = samples.cora()
    plain = digest(case, data)
    assert plain == digest(case, scrambled(data, "test_mask"))


def test_inductive_never_reads_other_nodes() -> None:
    """Of the other methods see `tests.graph.test_inputs`, on a small graph."""
    data, settings = samples.cora(), {"inductive": True}
    plain = digest(GCOND, data, **settings)
    other = scrambled(data, "val_mask", "test_mask")
    rest = ~data.train_mask
    other.x[rest] = other.x[rest].flip(0)
    between = data.train_mask[data.edge_index].all(0)
    some = between | (torch.arange(data.num_edges) % 3 > 0)
    keep = some & some[pairs(data)]
    other.edge_index = data.edge_index[:, keep]
    assert other.num_edges < data.num_edges
    assert plain == digest(GCOND, other, **settings)


def pairs(data: Data) -> torch.Tensor:
    """For each edge the place of the same edge the other way round."""
    a, b = data.edge_index
    place = {edge: i for i, edge in enumerate(zip(a.tolist(), b.tolist(), strict=True))}
    return torch.tensor([place[j, i] for i, j in data.edge_index.T.tolist()])
