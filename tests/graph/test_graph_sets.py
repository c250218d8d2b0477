"""Sets of graphs: reading, levels, models, judge, summary."""

import warnings

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn import global_mean_pool
from torch_geometric.utils import add_self_loops

import multidd
from multidd.errors import MultiddWarning, SchemaError, WrongKindError
from multidd.evaluation import plain
from multidd.evaluation.teacher import Teacher
from multidd.graph import GraphSetSummary, as_graph_set, split_graphs
from multidd.graph.data.graph_set import is_set
from multidd.graph.evaluation.graph_set_plain import (
    PlainGraphs,
    pooled_classes,
    train_graph_network,
)
from multidd.graph.evaluation.regimes import view_of_graphs
from multidd.graph.models import training
from multidd.graph.models.graph_backbones import PooledGCN
from multidd.graph.models.graph_networks import (
    LAYERS,
    SET_MODELS,
    SetInputs,
    build_graph_network,
)
from multidd.graph.models.propagated_features import pooled_hops
from multidd.graph.models.wl_refinement import Levels, kinds
from multidd.storage import files
from tests.graph.sets import bare, frozen, graphs, ring

QUICK = multidd.Protocol("quick", epochs=12, lr=0.02, width=16, batch=16)


# --- reading --------------------------------------------------------------------


def test_graphs_lie_side_by_side():
    graph_list = graphs(3)
    graph_set = as_graph_set(graph_list)
    assert len(graph_set) == 6 and graph_set.counts == [3, 3]
    assert graph_set.sizes.tolist() == [graph.num_nodes for graph in graph_list]
    torch.testing.assert_close(
        graph_set.x, torch.cat([graph.x for graph in graph_list])
    )
    assert graph_set.adjacency.nnz == sum(2 * graph.num_edges for graph in graph_list)
    first = graph_set.adjacency[:4, :4].toarray()
    assert (first.sum(1) == 2).all() and (first == first.T).all()


def test_input_is_left_alone():
    graph_list = graphs(3)
    before = frozen(graph_list)
    multidd.graph.doscond(graph_list, per_class=1, steps=2, progress=False)
    multidd.graph.kcenter(graph_list, per_class=2)
    assert frozen(graph_list) == before


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
    graph_set = as_graph_set(graphs(4))
    part = graph_set.take(torch.tensor([5, 0]))
    assert part.y.tolist() == [1, 0]
    assert part.sizes.tolist() == graph_set.sizes[[5, 0]].tolist()
    assert part.adjacency.nnz == 2 * (int(graph_set.sizes[5]) - 1) + 2 * 4
    by_hand = [a.toarray().mean() for a in _blocks(graph_set)]
    assert graph_set.density == pytest.approx(np.mean(by_hand))
    x, adjacency = part.padded()
    p = int(part.sizes.max())
    assert x.shape == (2, p, 3) and adjacency.shape == (2, p, p)
    torch.testing.assert_close(x[0, : part.sizes[0]], part.x[: part.sizes[0]])
    assert not x[1, 4:].any() and not adjacency[1, 4:].any()
    assert torch.equal(adjacency[1, :4, :4], ring_matrix(4))


def _blocks(result):
    ends = result.sizes.cumsum(0).tolist()
    return [
        result.adjacency[end - n : end, end - n : end]
        for end, n in zip(ends, result.sizes.tolist(), strict=True)
    ]


def ring_matrix(n):
    a, b = ring(n)
    result = torch.zeros(n, n)
    result[a, b] = result[b, a] = 1.0
    return result


def test_degrees_in_the_place_of_features():
    graph_list = bare(3)
    graph_set = as_graph_set(graph_list)
    assert graph_set.form.degrees == 6  # the largest star has seven nodes
    assert graph_set.x.shape[1] == 7 and bool((graph_set.x.sum(1) == 1).all())
    degree = np.diff(graph_set.adjacency.indptr)
    assert graph_set.x.argmax(1).tolist() == degree.tolist()
    # Others are told by the same map, larger degrees by the last column.
    large = Data(edge_index=torch.stack([torch.zeros(20).long(), torch.arange(1, 21)]))
    large.num_nodes, large.y = 21, torch.tensor(1)
    other = as_graph_set([large], graph_set.form)
    assert other.x.shape == (21, 7) and other.form == graph_set.form
    assert other.x[0].argmax() == 6 and bool((other.x[1:].argmax(1) == 1).all())


def test_degrees_are_recorded(tmp_path):
    train, val, test = split_graphs(bare(10))
    summary = multidd.graph.doscond(train, per_class=1, steps=2, progress=False)
    assert summary.card.source["degrees"] == 7
    again = multidd.load(summary.save(tmp_path))
    report = multidd.evaluate(again, test, val=val, protocol=QUICK, seeds=1)
    assert 0 <= report.accuracy("gcn") <= 1


@pytest.mark.parametrize("name", ["edge_attr", "edge_weight"])
def test_edge_attributes_are_told_of_once(name):
    graph_list = graphs(3)
    for graph in graph_list:
        graph[name] = torch.ones(graph.num_edges)
    with pytest.warns(
        MultiddWarning, match=f"{name} of the graphs are not used"
    ) as message:
        graph_set = as_graph_set(graph_list)
    assert len(message) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        as_graph_set(graph_list, graph_set.form)  # graphs to judge by: said before
        assert graph_set.describe() == as_graph_set(graphs(3)).describe()


def test_split_is_seeded_and_whole():
    graph_list = graphs(10)
    parts = split_graphs(graph_list, seed=1)
    assert [len(part) for part in parts] == [16, 2, 2]
    every = [id(graph) for part in parts for graph in part]
    assert sorted(every) == sorted(id(graph) for graph in graph_list)
    again, other = split_graphs(graph_list, seed=1), split_graphs(graph_list, seed=2)
    assert [id(g) for g in again[2]] == [id(g) for g in parts[2]]
    assert [id(g) for g in other[0]] != [id(g) for g in parts[0]]


def test_what_is_a_set(tmp_path):
    from torch_geometric.data import InMemoryDataset

    graph_list = graphs(2)
    dataset = InMemoryDataset(str(tmp_path))
    dataset.data, dataset.slices = dataset.collate(graph_list)
    for one in (graph_list, tuple(graph_list), dataset, as_graph_set(graph_list)):
        assert is_set(one)
    assert (
        not is_set(graph_list[0])
        and not is_set(graph_list[:1])
        and not is_set({"a": 1})
    )
    assert as_graph_set(dataset).describe() == as_graph_set(graph_list).describe()


# --- levels and models -----------------------------------------------------------


def test_equal_nodes_are_computed_once():
    """Nodes of rings of any size are alike; those of a path up to its ends."""
    rings = [
        Data(x=torch.ones(n, 1), edge_index=ring(n), y=torch.tensor(i))
        for i, n in enumerate((4, 7))
    ]
    assert [len(np.unique(part)) for part in kinds(as_graph_set(rings), 3)] == [1] * 4
    line = torch.stack([torch.arange(8), torch.arange(1, 9)])
    path = Data(x=torch.ones(9, 1), edge_index=line, y=torch.tensor(0))
    counts = [len(np.unique(part)) for part in kinds(as_graph_set([path], like=1), 5)]
    assert counts == [2, 3, 4, 5, 5, 5]


@pytest.mark.parametrize("name", SET_MODELS)
def test_models_are_those_of_pyg(name):
    """The same logits as PyG's layers, on real features and on few kinds of node."""
    for result in (graphs(4), bare(4)):
        graph_set = as_graph_set(result)
        d = graph_set.form.features
        model = build_graph_network(
            name, d, 2, torch.Generator().manual_seed(0), width=8
        )
        with torch.no_grad():
            rng = torch.Generator().manual_seed(1)
            for weight in model.parameters():
                weight.normal_(0, 0.5, generator=rng)
        ends = graph_set.adjacency.nonzero()
        edges = torch.stack([torch.from_numpy(end).long() for end in ends])
        if name == "sage":  # a node counts among its own neighbours
            edges = add_self_loops(edges, num_nodes=len(graph_set.x))[0]
        hidden = graph_set.x
        for layer in model.layers:
            hidden = (layer(hidden) if name == "mlp" else layer(hidden, edges)).relu()
        graph = torch.arange(len(graph_set)).repeat_interleave(graph_set.sizes)
        expected = model.head(global_mean_pool(hidden, graph))
        inputs = SetInputs(Levels(graph_set, LAYERS))
        torch.testing.assert_close(model(inputs), expected, rtol=1e-4, atol=1e-5)
        some = torch.tensor([3, 1])
        part = model(inputs.only(some))
        torch.testing.assert_close(part, expected[some], rtol=1e-4, atol=1e-5)


def test_dropout_is_drawn_by_the_generator_only():
    graph_set = as_graph_set(graphs(40))
    inputs = SetInputs(Levels(graph_set, LAYERS))
    rng = torch.Generator().manual_seed(0)
    model = build_graph_network("gcn", 3, 2, rng, width=64, dropout=0.5)

    def logits(seed):
        return model(inputs, torch.Generator().manual_seed(seed)).detach()

    assert torch.equal(logits(0), logits(0)) and not torch.equal(logits(0), logits(1))
    mean = torch.stack([logits(seed) for seed in range(200)]).mean(0)
    torch.testing.assert_close(mean, model(inputs).detach(), rtol=0.2, atol=0.1)


@pytest.mark.parametrize("most", [8, 0])
def test_batches_of_graphs_are_those_of_the_whole(most, monkeypatch):
    """Of many graphs, each batch has only the nodes of its own."""
    monkeypatch.setattr(training, "MAX_JOINT_BATCHES", most)
    graph_set = as_graph_set(graphs(10))
    inputs = SetInputs(Levels(graph_set, LAYERS))
    model = build_graph_network("gin", 3, 2, torch.Generator().manual_seed(0))
    expected, seen = model(inputs).detach(), []
    records = training.GraphTrainingSet(graph_set, graph_set.y)
    batches = training._batches(inputs, records, 8, torch.Generator().manual_seed(1))
    for some, labels in batches:
        logits = model(some).detach()
        for row, label in zip(logits, labels, strict=True):
            apart = (expected - row).abs().amax(1)
            assert apart.min() < 1e-4
            seen.append((int(apart.argmin()), int(label)))
    assert sorted(seen) == list(enumerate(graph_set.y.tolist()))


def test_layers_and_width_of_a_backbone():
    for bad in ({"layers": 0}, {"width": 0}):
        with pytest.raises(ValueError, match="layers and width must be 1 or more, got"):
            PooledGCN(**bad)


def test_unknown_model():
    with pytest.raises(ValueError, match="model must be one of gcn, gin, .*got 'gat'"):
        build_graph_network("gat", 2, 2, torch.Generator())


# --- selections, summary ----------------------------------------------------------


@pytest.mark.parametrize("name", ["random", "herding", "kcenter", "kmeans"])
def test_selections_choose_real_graphs(name):
    graph_list = graphs(6)
    result = multidd.graph.METHODS[name](graph_list, per_class=2, seed=3)
    assert isinstance(result, GraphSetSummary) and result.card.method == name
    assert result.tensors["y"].tolist() == [0, 0, 1, 1]
    real = {_key(graph) for graph in graph_list}
    chosen = [_key(graph) for graph in result.to_pyg()]
    assert len(set(chosen)) == 4 and set(chosen) <= real
    shared = multidd.graph.METHODS[name](graph_list, ratio=0.25, seed=3)
    assert len(shared) == 3


def _key(graph):
    """A graph by its label and rounded features (scaled and back)."""
    rows = [round(value, 3) for value in graph.x.flatten().tolist()]
    return int(graph.y), tuple(rows)


def test_summary_there_and_back(tmp_path):
    summary = multidd.graph.doscond(graphs(6), per_class=2, steps=3, progress=False)
    assert multidd.load(summary.save(tmp_path)).digest() == summary.digest()
    assert isinstance(GraphSetSummary.load(tmp_path), GraphSetSummary)
    with pytest.raises(WrongKindError, match=r"holds a graph\.sets summary"):
        multidd.graph.GraphSummary.load(tmp_path)
    again = GraphSetSummary.from_pyg(
        summary.to_pyg(), source=summary.card.source, method="doscond"
    )
    assert again.digest() == summary.digest()
    text = repr(summary)
    assert text.startswith(
        "GraphSetSummary(doscond, graphs=4 for 12, classes=2, nodes="
    )
    with pytest.raises(ValueError, match="source lacks classes, graphs"):
        GraphSetSummary.from_pyg(summary.to_pyg(), source={}, method="x")


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("sizes", (0,), 99, "'sizes' holds 99; x has .* nodes for each graph"),
        ("edges", (0, -1), 9, "'edges' names graph 9; there are 4, from 0 on"),
        ("edges", (2, 0), 8, "'edges' has an edge at node 8 of graph 0, which has "),
    ],
)
def test_files_of_other_nodes_and_edges(name, place, value, message, tmp_path):
    summary = multidd.graph.random(graphs(6), per_class=2)
    tensors = {n: t.clone() for n, t in summary.tensors.items()}
    tensors[name][place] = value
    path = summary.save(tmp_path)
    kind, _, info = files.peek(path)
    files.write(path, tensors, info, kind=kind)
    with pytest.raises(SchemaError, match=message):
        multidd.load(path)


def test_to_pyg_is_plain():
    summary = multidd.graph.doscond(graphs(6), per_class=2, steps=3, progress=False)
    pyg = summary.to_pyg()
    batch = Batch.from_data_list(pyg)
    assert batch.num_graphs == 4 and batch.y.tolist() == [0, 0, 1, 1]
    for graph in pyg:
        graph.validate()
        assert graph.is_undirected() and not graph.has_self_loops()
    pyg[0].x += 1.0
    assert not torch.equal(pyg[0].x, summary.to_pyg()[0].x)


def test_plot(tmp_path):
    train = graphs(6)
    summary = multidd.graph.random(train, per_class=2)
    summary.plot(tmp_path / "some.png", data=train)
    assert (tmp_path / "some.png").read_bytes().startswith(b"\x89PNG")
    assert len(summary.plot().axes) == 12  # five places for each class, two panels


# --- the judge ---------------------------------------------------------------------


def test_evaluate_beside_its_rows():
    train, val, test = split_graphs(graphs(20))
    summary = multidd.graph.kmeans(train, per_class=3)
    report = multidd.evaluate(
        summary,
        test,
        val=val,
        train=train,
        protocol=QUICK,
        seeds=2,
        models=["gcn", "gin"],
    )
    rows = [(row.name, row.model) for row in report.rows]
    names = ("whole", "random", "herding", "kcenter", "kmeans")
    assert rows == [(name, model) for model in ("gcn", "gin") for name in names]
    assert report.row("gcn", "random").size == 6
    assert report.value("gin", "accuracy") > 0.6
    again = multidd.evaluate(
        summary, test, val=val, protocol=QUICK, seeds=2, models=["gcn"]
    )
    assert [row.name for row in again.rows] == ["kmeans"]
    assert again.row("gcn").values == report.row("gcn").values


@pytest.mark.data("graph/MUTAG")
def test_mutag_is_read():
    dataset = multidd.graph.load("mutag")
    assert isinstance(dataset, list) and len(dataset) == 188
    assert dataset[0].x.shape[1] == 7
    train, exam = multidd.graph.load_for_evaluation("mutag", seed=3)
    assert len(train) == 150 and len(exam["val"]) == len(exam["on"]) == 19
    assert exam["train"] is train
    other, _ = multidd.graph.load_for_evaluation("mutag", seed=4)
    assert [graph.num_nodes for graph in other] != [graph.num_nodes for graph in train]


@pytest.mark.data("graph/PROTEINS")
def test_proteins_is_read():
    dataset = multidd.graph.load("proteins")
    counts = [sum(int(graph.y) == label for graph in dataset) for label in (0, 1)]
    assert counts == [663, 450] and dataset[0].x.shape[1] == 3
    assert sum(graph.num_nodes for graph in dataset) == 43_471


# --- plain trainings, label regimes, the audit ----------------------------------------


def _parts():
    return tuple(as_graph_set(part) for part in split_graphs(graphs(20), val=0.2))


@pytest.mark.parametrize("name", ["gcn", "gin", "mlp"])
def test_plain_networks_learn(name, monkeypatch):
    monkeypatch.setattr(plain, "UPDATES", 80)
    train, val, _ = (PlainGraphs(part) for part in _parts())
    before = torch.get_rng_state()
    net = train_graph_network(name, train, val, seed=0)
    assert train.accuracy(net) > 0.85
    assert torch.equal(torch.get_rng_state(), before)
    if name == "mlp":  # sees no edge
        bare_batch = train.whole.clone()
        bare_batch.edge_index = bare_batch.edge_index[:, :0]
        assert torch.equal(net(bare_batch), net(train.whole))


def test_plain_graphs_are_those_of_the_set():
    graph_list = graphs(4)
    graph_list[1].edge_index = graph_list[1].edge_index[:, :0]  # a graph without edges
    parts = PlainGraphs(as_graph_set(graph_list)).parts
    for part, graph in zip(parts, graph_list, strict=True):
        assert torch.equal(part.x, graph.x)
        ends = {tuple(pair) for pair in graph.edge_index.T.tolist()}
        both = ends | {(b, a) for a, b in ends}
        assert {tuple(pair) for pair in part.edge_index.T.tolist()} == both


def test_means_of_propagated_features_by_hand():
    path = Data(x=torch.tensor([[4.0], [0.0]]), edge_index=ring(2)[:, :1], y=0)
    point = Data(x=torch.tensor([[3.0]]), edge_index=ring(2)[:, :0], y=1)
    means = pooled_hops(as_graph_set([path, point]))
    # Of the pair each node has half of both after one propagation, and after two.
    torch.testing.assert_close(means, torch.tensor([[2.0, 2.0, 2.0], [3.0, 3.0, 3.0]]))
    classes = pooled_classes(as_graph_set([path, point]))
    assert classes(as_graph_set([point, path])).tolist() == [1, 0]


def test_views_of_a_set_drop_edges_and_features_of_nodes():
    graph_set = as_graph_set(graphs(40))
    view = view_of_graphs(graph_set, torch.Generator().manual_seed(0))
    edges = view.adjacency.toarray()
    assert (edges == edges.T).all() and (edges <= graph_set.adjacency.toarray()).all()
    assert 0.7 < view.adjacency.nnz / graph_set.adjacency.nnz < 0.9
    same, gone = (view.x == graph_set.x).all(1), (view.x == 0).all(1)
    assert bool((same | gone).all()) and 0.1 < float(gone.float().mean()) < 0.3
    assert torch.equal(graph_set.x, as_graph_set(graphs(40)).x)


def test_soft_labels_are_the_teachers(monkeypatch):
    """Under SL its probabilities of the graphs as they are, else of each view."""
    train, val, test = _parts()
    evaluator = multidd.graph.GraphSetEvaluator(test, val=val, train=train)
    summary = multidd.graph.kmeans(train, per_class=2)
    evaluator.check(summary)
    seen, trained = [], []

    def label(inputs):
        seen.append(inputs)
        return torch.full((4, 2), 0.5)

    def fitted(records, *settings):
        trained.append(records)
        if records.draw_view is not None:
            records.draw_view(records.graphs, torch.Generator())
        return {"accuracy": 0.5, "val_accuracy": 0.25}

    monkeypatch.setattr(evaluator, "_fitted", fitted)
    teacher = Teacher("gcn", 0.0, label)
    for regime in ("HL", "SL", "SL+KD"):
        score = evaluator.fit_regime(summary, regime, "gcn", QUICK, 0, teacher)
        assert score == (0.5, 0.25, "")
    hard, soft, views = trained
    assert torch.equal(hard.targets, summary.tensors["y"]) and hard.draw_view is None
    assert soft.targets.tolist() == [[0.5, 0.5]] * 4 and soft.draw_view is None
    assert views.draw_view is not None and len(seen) == 2
    assert torch.equal(soft.graphs.x, summary.graphs.x)
