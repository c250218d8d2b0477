"""Sets of graphs: reading, levels, models, judge, summary."""

import warnings

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn import global_mean_pool
from torch_geometric.utils import add_self_loops

import multidd
from multidd.errors import MultiddWarning, WrongKindError
from multidd.graph import GraphSetSummary, as_graph_set, split_graphs
from multidd.graph.data.graph_set import is_set
from multidd.graph.models.graph_networks import (
    LAYERS,
    SET_MODELS,
    SetInputs,
    build_graph_network,
)
from multidd.graph.models.wl_refinement import Levels, kinds
from tests.graph.sets import bare, frozen, graphs, ring

QUICK = multidd.Protocol("quick", epochs=12, lr=0.02, width=16, batch=16)


# --- reading --------------------------------------------------------------------


def test_graphs_lie_side_by_side():
    given = graphs(3)
    found = as_graph_set(given)
    assert len(found) == 6 and found.counts == [3, 3]
    assert found.sizes.tolist() == [graph.num_nodes for graph in given]
    torch.testing.assert_close(found.x, torch.cat([graph.x for graph in given]))
    assert found.adjacency.nnz == sum(2 * graph.num_edges for graph in given)
    first = found.adjacency[:4, :4].toarray()
    assert (first.sum(1) == 2).all() and (first == first.T).all()


def test_input_is_left_alone():
    given = graphs(3)
    before = frozen(given)
    multidd.graph.doscond(given, per_class=1, steps=2, progress=False)
    multidd.graph.kcenter(given, per_class=2)
    assert frozen(given) == before


def test_a_set_of_the_same_edges_is_the_same():
    """Directed, doubled and looped edges give the graph that plain ones give."""
    plain, odd = graphs(2), graphs(2)
    for graph in odd:
        a, b = graph.edge_index
        loops = torch.zeros(2, 1, dtype=torch.int64)
        both = torch.cat([graph.edge_index, torch.stack([b, a]), loops], dim=1)
        graph.edge_index = both.to(torch.int32)
    assert as_graph_set(odd).describe() == as_graph_set(plain).describe()


def test_take_and_density():
    found = as_graph_set(graphs(4))
    part = found.take(torch.tensor([5, 0]))
    assert part.y.tolist() == [1, 0]
    assert part.sizes.tolist() == found.sizes[[5, 0]].tolist()
    assert part.adjacency.nnz == 2 * (int(found.sizes[5]) - 1) + 2 * 4
    by_hand = [a.toarray().mean() for a in _blocks(found)]
    assert found.density == pytest.approx(np.mean(by_hand))
    x, adjacency = part.padded()
    p = int(part.sizes.max())
    assert x.shape == (2, p, 3) and adjacency.shape == (2, p, p)
    torch.testing.assert_close(x[0, : part.sizes[0]], part.x[: part.sizes[0]])
    assert not x[1, 4:].any() and not adjacency[1, 4:].any()
    assert torch.equal(adjacency[1, :4, :4], ring_matrix(4))


def _blocks(found):
    ends = found.sizes.cumsum(0).tolist()
    return [
        found.adjacency[end - n : end, end - n : end]
        for end, n in zip(ends, found.sizes.tolist(), strict=True)
    ]


def ring_matrix(n):
    a, b = ring(n)
    made = torch.zeros(n, n)
    made[a, b] = made[b, a] = 1.0
    return made


def test_degrees_in_the_place_of_features():
    given = bare(3)
    found = as_graph_set(given)
    assert found.form.degrees == 6  # the largest star has seven nodes
    assert found.x.shape[1] == 7 and bool((found.x.sum(1) == 1).all())
    degree = np.diff(found.adjacency.indptr)
    assert found.x.argmax(1).tolist() == degree.tolist()
    # Others are told by the same map, larger degrees by the last column.
    large = Data(edge_index=torch.stack([torch.zeros(20).long(), torch.arange(1, 21)]))
    large.num_nodes, large.y = 21, torch.tensor(1)
    other = as_graph_set([large], found.form)
    assert other.x.shape == (21, 7) and other.form == found.form
    assert other.x[0].argmax() == 6 and bool((other.x[1:].argmax(1) == 1).all())


def test_degrees_are_recorded(tmp_path):
    train, val, test = split_graphs(bare(10))
    made = multidd.graph.doscond(train, per_class=1, steps=2, progress=False)
    assert made.card.source["degrees"] == 7
    again = multidd.load(made.save(tmp_path))
    report = multidd.evaluate(again, test, val=val, protocol=QUICK, seeds=1)
    assert 0 <= report.accuracy("gcn") <= 1


@pytest.mark.parametrize("name", ["edge_attr", "edge_weight"])
def test_edge_attributes_are_told_of_once(name):
    given = graphs(3)
    for graph in given:
        graph[name] = torch.ones(graph.num_edges)
    with pytest.warns(
        MultiddWarning, match=f"{name} of the graphs are not used"
    ) as told:
        found = as_graph_set(given)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        as_graph_set(given, found.form)  # graphs to judge by: said before
        assert found.describe() == as_graph_set(graphs(3)).describe()


def test_split_is_seeded_and_whole():
    given = graphs(10)
    parts = split_graphs(given, seed=1)
    assert [len(part) for part in parts] == [16, 2, 2]
    every = [id(graph) for part in parts for graph in part]
    assert sorted(every) == sorted(id(graph) for graph in given)
    again, other = split_graphs(given, seed=1), split_graphs(given, seed=2)
    assert [id(g) for g in again[2]] == [id(g) for g in parts[2]]
    assert [id(g) for g in other[0]] != [id(g) for g in parts[0]]


def test_what_is_a_set(tmp_path):
    from torch_geometric.data import InMemoryDataset

    given = graphs(2)
    dataset = InMemoryDataset(str(tmp_path))
    dataset.data, dataset.slices = dataset.collate(given)
    for one in (given, tuple(given), dataset, as_graph_set(given)):
        assert is_set(one)
    assert not is_set(given[0]) and not is_set(given[:1]) and not is_set({"a": 1})
    assert as_graph_set(dataset).describe() == as_graph_set(given).describe()


# --- levels and models -----------------------------------------------------------


def test_equal_nodes_are_computed_once():
    """Nodes of rings of any size are alike; those of a path up to its ends."""
    rings = [
        Data(x=torch.ones(n, 1), edge_index=ring(n), y=torch.tensor(i))
        for i, n in enumerate((4, 7))
    ]
    assert [len(np.unique(own)) for own in kinds(as_graph_set(rings), 3)] == [1] * 4
    line = torch.stack([torch.arange(8), torch.arange(1, 9)])
    path = Data(x=torch.ones(9, 1), edge_index=line, y=torch.tensor(0))
    counts = [len(np.unique(own)) for own in kinds(as_graph_set([path], like=1), 5)]
    assert counts == [2, 3, 4, 5, 5, 5]


@pytest.mark.parametrize("name", SET_MODELS)
def test_models_are_those_of_pyg(name):
    """The same logits as PyG's layers, on real features and on few kinds of node."""
    for given in (graphs(4), bare(4)):
        found = as_graph_set(given)
        d = found.form.features
        model = build_graph_network(
            name, d, 2, torch.Generator().manual_seed(0), width=8
        )
        with torch.no_grad():
            rng = torch.Generator().manual_seed(1)
            for weight in model.parameters():
                weight.normal_(0, 0.5, generator=rng)
        ends = found.adjacency.nonzero()
        edges = torch.stack([torch.from_numpy(end).long() for end in ends])
        if name == "sage":  # a node counts among its own neighbours
            edges = add_self_loops(edges, num_nodes=len(found.x))[0]
        hidden = found.x
        for layer in model.layers:
            hidden = (layer(hidden) if name == "mlp" else layer(hidden, edges)).relu()
        graph = torch.arange(len(found)).repeat_interleave(found.sizes)
        wanted = model.head(global_mean_pool(hidden, graph))
        inputs = SetInputs(Levels(found, LAYERS))
        torch.testing.assert_close(model(inputs), wanted, rtol=1e-4, atol=1e-5)
        some = torch.tensor([3, 1])
        part = model(inputs.only(some))
        torch.testing.assert_close(part, wanted[some], rtol=1e-4, atol=1e-5)


def test_unknown_model():
    with pytest.raises(ValueError, match="model must be one of gcn, gin, .*got 'gat'"):
        build_graph_network("gat", 2, 2, torch.Generator())


# --- selections, summary ----------------------------------------------------------


@pytest.mark.parametrize("name", ["random", "herding", "kcenter", "kmeans"])
def test_selections_choose_real_graphs(name):
    given = graphs(6)
    made = multidd.graph.METHODS[name](given, per_class=2, seed=3)
    assert isinstance(made, GraphSetSummary) and made.card.method == name
    assert made.tensors["y"].tolist() == [0, 0, 1, 1]
    real = {_key(graph) for graph in given}
    chosen = [_key(graph) for graph in made.to_pyg()]
    assert len(set(chosen)) == 4 and set(chosen) <= real
    shared = multidd.graph.METHODS[name](given, ratio=0.25, seed=3)
    assert len(shared) == 3


def _key(graph):
    """A graph by its label and rounded features (scaled and back)."""
    rows = [round(value, 3) for value in graph.x.flatten().tolist()]
    return int(graph.y), tuple(rows)


def test_summary_there_and_back(tmp_path):
    made = multidd.graph.doscond(graphs(6), per_class=2, steps=3, progress=False)
    assert multidd.load(made.save(tmp_path)).digest() == made.digest()
    assert isinstance(GraphSetSummary.load(tmp_path), GraphSetSummary)
    with pytest.raises(WrongKindError, match=r"holds a graph\.sets summary"):
        multidd.graph.GraphSummary.load(tmp_path)
    again = GraphSetSummary.from_pyg(
        made.to_pyg(), source=made.card.source, method="doscond"
    )
    assert again.digest() == made.digest()
    text = repr(made)
    assert text.startswith(
        "GraphSetSummary(doscond, graphs=4 for 12, classes=2, nodes="
    )
    with pytest.raises(ValueError, match="source lacks classes, graphs"):
        GraphSetSummary.from_pyg(made.to_pyg(), source={}, method="x")


def test_to_pyg_is_plain():
    made = multidd.graph.doscond(graphs(6), per_class=2, steps=3, progress=False)
    given = made.to_pyg()
    batch = Batch.from_data_list(given)
    assert batch.num_graphs == 4 and batch.y.tolist() == [0, 0, 1, 1]
    for graph in given:
        graph.validate()
        assert graph.is_undirected() and not graph.has_self_loops()
    given[0].x += 1.0
    assert not torch.equal(given[0].x, made.to_pyg()[0].x)


def test_plot(tmp_path):
    train = graphs(6)
    made = multidd.graph.random(train, per_class=2)
    made.plot(tmp_path / "some.png", data=train)
    assert (tmp_path / "some.png").read_bytes().startswith(b"\x89PNG")
    assert len(made.plot().axes) == 12  # five places for each class, two panels


# --- the judge ---------------------------------------------------------------------


def test_evaluate_beside_its_rows():
    train, val, test = split_graphs(graphs(20))
    made = multidd.graph.kmeans(train, per_class=3)
    report = multidd.evaluate(
        made, test, val=val, train=train, protocol=QUICK, seeds=2, models=["gcn", "gin"]
    )
    rows = [(row.name, row.model) for row in report.rows]
    names = ("whole", "random", "herding", "kcenter", "kmeans")
    assert rows == [(name, model) for model in ("gcn", "gin") for name in names]
    assert report.row("gcn", "random").size == 6
    assert report.value("gin", "accuracy") > 0.6
    again = multidd.evaluate(
        made, test, val=val, protocol=QUICK, seeds=2, models=["gcn"]
    )
    assert [row.name for row in again.rows] == ["kmeans"]
    assert again.row("gcn").values == report.row("gcn").values


@pytest.mark.data("graph/MUTAG")
def test_mutag_is_read():
    given = multidd.graph.load("mutag")
    assert isinstance(given, list) and len(given) == 188
    assert given[0].x.shape[1] == 7
    train, exam = multidd.graph.load_for_evaluation("mutag", seed=3)
    assert len(train) == 150 and len(exam["val"]) == len(exam["on"]) == 19
    assert exam["train"] is train
    other, _ = multidd.graph.load_for_evaluation("mutag", seed=4)
    assert [graph.num_nodes for graph in other] != [graph.num_nodes for graph in train]
