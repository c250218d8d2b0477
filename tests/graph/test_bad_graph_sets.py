"""Every kind of bad set of graphs is refused before a step, saying where and why."""

import pytest
import torch
from torch_geometric.data import Data

import multidd
from multidd.engine.options import SelectBest
from multidd.engine.recipe import call
from multidd.errors import MultiddWarning
from multidd.graph import (
    DosCondGraphsOptions,
    DosCondOptions,
    GraphSetTask,
    as_graph_set,
    doscond_graphs,
    split_graphs,
)
from multidd.graph.data.graph_set import listed
from multidd.graph.methods.graph_set_setup import estimate
from multidd.objectives import DistributionMatching
from multidd.parameterizations import Free
from multidd.selection.basic import KMeans
from tests.graph.sets import bare, graphs

METHODS = {"doscond": {"steps": 2, "progress": False}, "random": {}, "kmeans": {}}


@pytest.fixture(params=sorted(METHODS))
def refuses(request):
    """Checks that a learned method and selections say the same."""

    def refuses(data, message, error=ValueError, **options):
        options = options or {"per_class": 1}
        with pytest.raises(error, match=message):
            multidd.graph.METHODS[request.param](
                data, **options, **METHODS[request.param]
            )

    return refuses


# --- graphs -----------------------------------------------------------------------


def test_no_graphs(refuses):
    refuses([], "the set has no graphs; give two of two classes at least")


def test_one_graph(refuses):
    refuses(graphs(1)[:1], r"got list; for a dataset of one graph", TypeError)
    with pytest.raises(ValueError, match="the set has one graph, .* pass the Data"):
        as_graph_set(graphs(1)[:1])


def test_not_graphs(refuses):
    refuses([graphs(1)[0], "graph"], "graph 1 is a str, not a PyG Data", TypeError)


def test_what_is_no_set():
    for other in ("graphs", {1: 2}, graphs(1)[0]):
        text = f"is a PyG dataset or a list of .*, got {type(other).__name__}"
        with pytest.raises(TypeError, match=text):
            listed(other)
    rings = graphs(3)
    assert listed(tuple(rings)) == rings


def test_a_graph_of_nothing():
    nothing = [*graphs(1), Data(y=torch.tensor([0]))]
    with pytest.raises(ValueError, match="graph 2 has neither x, edge_index nor num_n"):
        as_graph_set(nothing)


def test_a_checked_set_of_more_classes():
    three = graphs(3)
    three[0].y = torch.tensor([2])
    form = as_graph_set(graphs(3)).form
    with pytest.raises(ValueError, match="a graph has class 2, the training graphs ha"):
        as_graph_set(as_graph_set(three), like=form)


def test_empty_graph(refuses):
    graph_list = graphs(3)
    graph_list[2] = Data(
        x=torch.zeros(0, 3), edge_index=torch.zeros(2, 0).long(), y=torch.tensor(0)
    )
    refuses(graph_list, "graph 2 is empty: it has no nodes; leave it out")


def test_one_class(refuses):
    graph_list = graphs(3)
    refuses(
        [g for g in graph_list if int(g.y) == 0], "all graphs have class 0; there is no"
    )
    refuses(
        [g for g in graph_list if int(g.y) == 1], "all graphs have class 1; there is no"
    )


def test_class_without_graphs(refuses):
    graph_list = graphs(3)
    graph_list[0].y = torch.tensor([3])
    refuses(graph_list, r"classes \[2\] have no graphs \(labels run 0\.\.3\)")


@pytest.mark.parametrize(
    ("y", "got"),
    [
        (None, "got nothing"),
        (torch.tensor([0.5]), r"got 0\.5"),
        (torch.tensor([torch.nan]), "got nan"),
        ("spam", "data.y holds texts; number the classes of the graphs 0..c-1"),
        (torch.tensor([0, 1]), r"got torch\.int64 of shape \[2\]"),
        (torch.tensor([-1]), "got -1"),
    ],
)
def test_bad_labels(refuses, y, got):
    graph_list = graphs(3)
    graph_list[4].y = y
    refuses(graph_list, f"graph 4(: | needs y, one integer .*){got}")


# --- features ---------------------------------------------------------------------


def test_mixed_feature_sizes(refuses):
    graph_list = graphs(3)
    graph_list[5].x = graph_list[5].x[:, :2]
    refuses(
        graph_list, "graph 5 has 2 features, graph 0 has 3; all graphs of a set need"
    )


def test_some_without_features(refuses):
    refuses([*graphs(2), bare(1)[0]], "graph 4 has no x, graph 0 has; give all graphs")


def test_features_that_are_not_numbers(refuses):
    graph_list = graphs(3)
    graph_list[1].x[2, 1] = torch.nan
    refuses(
        graph_list, r"graph 1: data\.x has 1 entries that are NaN, .*row 2, column 1"
    )


def test_nothing_to_tell_graphs_apart(refuses):
    none = torch.zeros(2, 0, dtype=torch.int64)
    inputs = [
        Data(edge_index=none, num_nodes=3, y=torch.tensor(i % 2)) for i in range(6)
    ]
    refuses(inputs, "no graph has features or edges: nothing tells them apart")


# --- edges ------------------------------------------------------------------------


def test_edges_outside(refuses):
    graph_list = graphs(3)
    graph_list[0].edge_index = graph_list[0].edge_index + 1
    refuses(
        graph_list, r"graph 0 has 4 nodes \(0\.\.3\), but edge_index goes from 1 to 4"
    )


def test_no_edge_index(refuses):
    graph_list = graphs(3)
    del graph_list[3].edge_index
    refuses(graph_list, r"graph 3 needs edge_index \[2, edges\], got None")


def test_graphs_without_edges_are_fine():
    """A node sees itself, so features tell such graphs apart."""
    graph_list = graphs(6)
    for graph in graph_list:
        graph.edge_index = graph.edge_index[:, :0]
    summary = multidd.graph.doscond(graph_list, per_class=2, steps=2, progress=False)
    assert summary.num_edges == 0
    assert multidd.graph.herding(graph_list, per_class=2).num_edges == 0


# --- budgets ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"per_class": 7}, r"per_class=7 is too many: .*\[6, 6\] .*is per_class=6"),
        ({"per_class": 0}, "per_class must be 1 or more, got 0"),
        ({"ratio": 0.1}, r"ratio=0\.1 of 12 graphs is 1, fewer than the 2 classes"),
        ({"ratio": 1.5}, r"ratio must be above 0 and at most 1, got 1\.5"),
        (
            {"ratio": 0.5, "per_class": 1},
            "exactly one of ratio and per_class; got both",
        ),
        ({"nodes": 4}, "nodes is for the nodes of one graph, and data is a set"),
        (
            {"per_class": 1, "inductive": True},
            "inductive is for the nodes of one graph",
        ),
    ],
)
def test_budgets(refuses, budget, message):
    refuses(graphs(6), message, **budget)


def test_no_budget(refuses):
    refuses(graphs(6), "give exactly one of ratio and per_class; got none", seed=0)


def test_settings_of_nodes():
    with pytest.raises(
        ValueError, match="structure and supervision is for the nodes of one"
    ):
        multidd.graph.doscond(
            graphs(3),
            per_class=1,
            options=DosCondOptions(structure="none", supervision="train"),
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"init": "best"}, "init must be one of kmeans, random, .*got 'best'"),
        ({"max_nodes": 3}, "max_nodes=3 leaves a class too few graphs .*max_nodes=5"),
        ({"finish": "round"}, "finish is 'threshold' or 'sample', got 'round'"),
        ({"sparsity": -1.0}, r"sparsity must be 0 or more, got -1\.0"),
        ({"select_best": SelectBest()}, "select_best needs validation graphs"),
    ],
)
def test_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        call(doscond_graphs, graphs(6), per_class=3, steps=1, **settings)


def test_a_limit_of_nodes_that_fits():
    options = {"per_class": 1, "steps": 1, "init": "random"}
    few = call(doscond_graphs, graphs(6), max_nodes=5, **options)
    assert few.tensors["x"].shape[1] <= 5


# --- memory -----------------------------------------------------------------------


def test_memory_is_estimated_before_it_is_taken(monkeypatch):
    """Ten graphs of 3,000 nodes are 90 million pairs: refused, with what it takes."""
    line = torch.stack([torch.arange(2999), torch.arange(1, 3000)])
    inputs = [
        Data(x=torch.ones(3000, 1), edge_index=line, y=torch.tensor(i % 2))
        for i in range(10)
    ]
    with pytest.raises(
        ValueError, match=r"10 synthetic graphs of up to 6000 nodes tak"
    ):
        multidd.graph.doscond_graphs(
            inputs,
            per_class=5,
            options=DosCondGraphsOptions(max_memory="1 GB"),
        )
    monkeypatch.setattr(
        "multidd.graph.methods.graph_set_setup.available_memory", lambda device: 10**6
    )
    with pytest.raises(ValueError, match=r"take about .* GB, and 1\.0 MB are free"):
        multidd.graph.doscond(inputs, per_class=1)


def test_estimate_grows_with_pairs():
    task = GraphSetTask.of(graphs(6), max_nodes=1000)
    small, large = estimate(task, (1, 1)), estimate(task, (2, 2))
    assert small >= 4 * 16 * 2 * 1000**2
    assert large - small == pytest.approx(estimate(task, (1, 1)), rel=0.05)


# --- judging ----------------------------------------------------------------------


def test_judging_needs_validation_graphs():
    summary = multidd.graph.random(graphs(3), per_class=1)
    with pytest.raises(
        ValueError, match=r"needs val=, .*split_graphs makes three part"
    ):
        multidd.evaluate(summary, graphs(2))


def test_whole_data_and_scores_need_their_graphs():
    summary = multidd.graph.random(graphs(3), per_class=1)
    exam = multidd.graph.GraphSetEvaluator(graphs(2), val=graphs(2, seed=1))
    exam.check(summary)
    protocol = multidd.Protocol("q", epochs=1)
    with pytest.raises(ValueError, match="whole data needs the training graphs: give"):
        exam.fit(None, "gcn", protocol, 0)
    task = GraphSetTask.of(graphs(3))
    with pytest.raises(ValueError, match="select_best needs validation graphs: val="):
        task.score({}, None)


def test_judging_on_other_graphs():
    summary = multidd.graph.random(graphs(3), per_class=1)
    wide = graphs(3, features=5)
    with pytest.raises(ValueError, match="have 5 features, the training graphs 3"):
        multidd.evaluate(summary, wide, val=wide)
    with pytest.raises(ValueError, match="the summary has 3 features and 2 classes"):
        multidd.evaluate(summary, wide, val=wide, train=wide)
    other = graphs(3)
    other[0].y = torch.tensor([2])
    with pytest.raises(
        ValueError, match="a graph has class 2, the training graphs hav"
    ):
        multidd.evaluate(summary, other, val=graphs(2))


def test_split_that_leaves_nothing():
    with pytest.raises(
        ValueError, match=r"val=0\.5 and test=0\.5 of 4 graphs are 2 an"
    ):
        split_graphs(graphs(2), val=0.5, test=0.5)


def test_means_of_graphs():
    task = GraphSetTask.of(graphs(3))
    with pytest.raises(ValueError, match="a mean of graphs is no graph: start from"):
        multidd.distill(
            task,
            DistributionMatching(),
            Free(KMeans(), (2, 2)),
            steps=1,
            progress=False,
        )


def test_weights_are_ignored_aloud(refuses):
    graph_list = graphs(1)
    graph_list[0].edge_attr = torch.ones(graph_list[0].num_edges, 4)
    with pytest.warns(MultiddWarning, match="edge_attr of the graphs are not used"):
        refuses(graph_list, "is too many", per_class=9)
