"""Edges that harm a network on the validation nodes do not stay; others do."""

import inspect
from dataclasses import replace

import pytest
import torch
from torch_geometric.nn import APPNP, GATConv, GCNConv

import multidd
from multidd.graph.data.graph import as_graph
from multidd.graph.methods import edge_validation
from multidd.graph.methods.edge_validation import validate_edges
from multidd.graph.methods.registry import METHODS
from multidd.graph.summary.summary import GraphSummary


def with_edges(summary, adjacency):
    draw = {"x": summary.tensors["x"], "y": summary.tensors["y"]}
    return GraphSummary.of(draw | {"adjacency": adjacency}, summary.card)


@pytest.fixture
def start(small):
    return multidd.graph.kmeans(small, per_class=3)


@pytest.fixture
def dense(start):
    """Each node a little tied to each other one."""
    return with_edges(start, 0.02 * (1 - torch.eye(9)))


@pytest.fixture
def unlike(make):
    """Real nodes with their edges, which join unlike ones alone, and the real graph."""
    data = make(train=20)
    n, rng = data.num_nodes, torch.Generator().manual_seed(0)
    chance = torch.rand(n, n, generator=rng).triu(1)
    apart = data.y[:, None] != data.y
    joined = (chance + chance.T < 0.1) & apart
    data.edge_index = joined.nonzero().T.contiguous()
    return multidd.graph.random(data, per_class=20), as_graph(data)


def test_light_edges_between_strangers_go(dense, graph):
    result = validate_edges(dense, graph, 0)
    settings = result.card.settings
    assert (dense.num_edges, result.num_edges) == (36, 0)
    assert settings["structure"] == "validated"
    assert settings["edge_threshold"] is None
    scores = settings["edge_validation"]
    assert scores["0.0"]["gat"] < scores["none"]["gat"]
    assert torch.equal(result.tensors["x"], dense.tensors["x"])


def test_edges_that_help_stay(unlike):
    """A network that trains on nodes alone is at a loss among unlike neighbours."""
    summary, graph = unlike
    result = validate_edges(summary, graph, 0)
    assert result.num_edges == summary.num_edges > 0
    scores = result.card.settings["edge_validation"]
    assert result.card.settings["edge_threshold"] == 0.0
    for network in ("gcn", "sage", "gat"):
        assert scores["0.0"][network] >= scores["none"][network]


def test_of_edges_the_heavy_ones_may_stay(unlike):
    summary, graph = unlike
    strangers = 0.02 * (summary.adjacency == 0).float().fill_diagonal_(0)
    mixed = with_edges(summary, summary.adjacency + strangers)
    result = validate_edges(mixed, graph, 0)
    assert torch.equal(result.adjacency, summary.adjacency)
    assert result.card.settings["edge_threshold"] == 0.05


@pytest.mark.parametrize("reason", ["no validation nodes", "too large"])
def test_edges_that_cannot_be_judged_go(dense, small, monkeypatch, reason):
    if reason == "too large":
        monkeypatch.setattr(edge_validation, "MAX_ENTRIES", 10)
    else:
        small.val_mask[:] = False
    result = validate_edges(dense, as_graph(small), 0)
    assert result.num_edges == 0
    assert result.card.settings["edge_validation"] == {}


def test_a_summary_without_edges_is_as_it_was(start, graph):
    assert validate_edges(start, graph, 0).digest() == start.digest()


@pytest.mark.parametrize(
    ("name", "learned"),
    [
        ("gcond", "pairwise"),
        ("gcdm", "pairwise"),
        ("doscond", "bernoulli"),
        ("gdem", "spectral"),
    ],
)
def test_methods_validate_their_edges(small, run, monkeypatch, name, learned):
    """`"validated"` is the default, and leaves some of the learned edges, or none."""
    default = inspect.signature(METHODS[name]).parameters["options"].default
    assert default.structure == "validated"
    short = replace(edge_validation.TRAINING, epochs=4, check_every=4)
    monkeypatch.setattr(edge_validation, "TRAINING", short)
    everything = run(name, small, structure=learned)
    expected = validate_edges(everything, as_graph(small), 0)
    result = run(name, small, structure="validated")
    assert result.digest() == expected.digest()
    assert result.card.settings == expected.card.settings  # the same accuracies
    assert "edge_validation" not in everything.card.settings


# --- edges of nodes to themselves -----------------------------------------------------


@pytest.mark.changes_globals("PyG's layers draw their weights from the global state")
def test_loops_are_those_that_layers_add(unlike):
    """With them and without, but for SAGE, networks give the same."""
    summary, _ = unlike
    looped, plain = summary.to_pyg(), summary.to_pyg(self_loops=False)
    assert looped.num_edges == plain.num_edges + summary.num_nodes
    torch.manual_seed(0)
    for layer in (GCNConv(12, 4), APPNP(3, 0.1)):
        outputs = [layer(d.x, d.edge_index, d.edge_weight) for d in (looped, plain)]
        torch.testing.assert_close(*outputs)
    attention = GATConv(12, 4)
    outputs = [attention(d.x, d.edge_index) for d in (looped, plain)]
    torch.testing.assert_close(*outputs)


def test_loops_are_no_part_of_a_summary(unlike):
    summary, _ = unlike
    source = summary.card.source
    for loops in (True, False):
        data = summary.to_pyg(self_loops=loops)
        again = GraphSummary.from_pyg(data, source=source, method="mine")
        assert again.digest() == summary.digest()
