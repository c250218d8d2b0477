"""`as_graph`: what is kept of a PyG `Data`, and in which form."""

import json

import numpy as np
import pytest
import torch
from torch_geometric.transforms import ToSparseTensor

from multidd.graph.data.graph import Graph, as_graph


def test_what_is_kept(small):
    graph = as_graph(small)
    assert torch.equal(graph.x, small.x)
    assert torch.equal(graph.y, small.y)
    for name in ("train", "val", "test"):
        assert torch.equal(getattr(graph, name), small[f"{name}_mask"])
    assert (graph.num_nodes, graph.num_classes) == (120, 3)
    dense = torch.from_numpy(graph.adjacency.toarray())
    expected = torch.zeros(120, 120)
    expected[small.edge_index[0], small.edge_index[1]] = 1.0
    assert torch.equal(dense, expected)


def test_a_graph_is_taken_as_it_is(graph):
    assert as_graph(graph) is graph


def test_masks_that_are_missing_are_empty(small):
    del small.val_mask, small.test_mask
    graph = as_graph(small)
    assert not graph.val.any()
    assert not graph.test.any()
    assert graph.val.shape == graph.test.shape == (120,)


def test_directed_weights_become_the_larger_one(small):
    small.edge_index = torch.tensor([[0, 1, 2, 5], [1, 0, 3, 5]])
    small.edge_weight = torch.tensor([0.5, 2.0, 0.25, 9.0])
    a = as_graph(small).adjacency
    entries = {(0, 1): 2.0, (1, 0): 2.0, (2, 3): 0.25, (3, 2): 0.25}
    coo = a.tocoo()
    pairs = zip(coo.row.tolist(), coo.col.tolist(), strict=True)
    assert dict(zip(pairs, coo.data.tolist(), strict=True)) == entries
    assert a.dtype == np.float32


def test_adjacency_is_symmetric_hollow_and_sorted(small):
    noise = torch.rand(small.num_edges, generator=torch.Generator().manual_seed(0))
    small.edge_weight = noise
    a = as_graph(small).adjacency
    assert abs(a - a.T).max() == 0
    assert not a.diagonal().any()
    assert a.has_sorted_indices


@pytest.mark.filterwarnings("ignore")
def test_adj_t_gives_the_same_graph(small):
    low, high = small.edge_index
    small.edge_index = small.edge_index[:, low < high]  # a directed graph
    other = ToSparseTensor()(small.clone())
    assert other.edge_index is None
    expected, block = as_graph(small).adjacency, as_graph(other).adjacency
    assert abs(expected - block).max() == 0


@pytest.mark.filterwarnings("ignore")
def test_weights_in_adj_t_are_not_lost(small):
    noise = torch.rand(small.num_edges, generator=torch.Generator().manual_seed(0))
    small.edge_weight = noise
    other = ToSparseTensor(attr="edge_weight")(small.clone())
    expected, block = as_graph(small).adjacency, as_graph(other).adjacency
    assert abs(expected - block).max() == 0


def test_subgraph(graph):
    nodes = torch.tensor([50, 3, 117, 0])
    part = graph.subgraph(nodes)
    assert isinstance(part, Graph)
    assert torch.equal(part.x, graph.x[nodes])
    assert part.y.tolist() == [1, 0, 2, 0]
    assert part.train.tolist() == [False, True, False, True]
    expected = graph.adjacency.toarray()[np.ix_(nodes, nodes)]
    assert np.array_equal(part.adjacency.toarray(), expected)
    assert part.num_classes == 3


def test_describe_names_the_sizes(graph):
    description = graph.describe()
    assert json.loads(json.dumps(description)) == description
    sizes = {"nodes": 120, "features": 12, "classes": 3, "train": 30}
    assert {key: description[key] for key in sizes} == sizes
    assert description["edges"] == graph.adjacency.nnz


CHANGES = {
    "x": lambda data: data.x.__setitem__((3, 3), 7.0),
    "y": lambda data: data.y.__setitem__(35, 1),
    "train_mask": lambda data: data.train_mask.__setitem__(35, True),
    "val_mask": lambda data: data.val_mask.__setitem__(35, True),
    "test_mask": lambda data: data.test_mask.__setitem__(35, False),
    "edges": lambda data: setattr(
        data, "edge_index", data.edge_index[:, (data.edge_index > 0).all(0)]
    ),
    "edge_weight": lambda data: setattr(
        data, "edge_weight", torch.arange(1.0, 1.0 + data.num_edges)
    ),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_fingerprint_changes_with_every_part(small, change):
    """It is the key of whole-data scores: a part left out gives stale ones."""
    before = as_graph(small).describe()
    assert as_graph(small.clone()).describe() == before
    CHANGES[change](small)
    assert as_graph(small).describe() != before


def test_fingerprint_sees_where_edges_start(small):
    """Two graphs whose neighbour lists, written one after another, are equal."""
    digests = set()
    for edges in ([[0, 1], [0, 2]], [[0, 1], [1, 2]]):
        # 0: 1 2 | 1: 0 | 2: 0  and  0: 1 | 1: 0 2 | 2: 1
        small.edge_index = torch.tensor(edges).T
        digests.add(json.dumps(as_graph(small).describe()))
    assert len(digests) == 2
