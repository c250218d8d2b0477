"""Students, and what they choose for `condense`: scale, shares of classes and view."""

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.nn import GCNConv, SAGEConv
from torch_geometric.utils import add_self_loops

import multidd
from multidd.graph import CondenseOptions
from multidd.graph.methods import node_clusters
from multidd.graph.methods.cluster_refinement import refined
from multidd.graph.methods.node_clusters import ClusterForm, NodeClusters
from multidd.graph.models.propagation import propagate
from multidd.graph.models.students import Students
from multidd.kernels import InfiniteKernel, ridge_solve

FIXED = CondenseOptions(
    feature_scale=1.0, class_shares="mass", node_features="low", refine_steps=0
)


def clusters_of(graph, **budget):
    p = F.one_hot(graph.y, graph.num_classes).float()
    budgets = tuple(budget.get(name) for name in ("ratio", "nodes", "per_class"))
    return NodeClusters(graph, p, budgets, 3.0, 0.7, seed=0)


def test_students_propagate_as_the_networks_of_pyg(small, graph):
    """With one layer's weights, the sum of GCN, and the mean of GraphSAGE, which sees a
    synthetic node twice: as itself and, by its loop, as its neighbour."""
    rows = torch.arange(graph.num_nodes)
    students = Students(graph, rows, graph.y)
    weight = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        gcn, sage = GCNConv(12, 4, bias=False), SAGEConv(12, 4, bias=False)
    with torch.no_grad():
        gcn.lin.weight.copy_(weight.T)
        for part in (sage.lin_l, sage.lin_r):
            part.weight.copy_(weight.T / 2)
        around = small.edge_index[0].bincount(minlength=graph.num_nodes) > 0
        steps = students.steps
        torch.testing.assert_close(
            steps["gcn"] @ (graph.x @ weight), gcn(small.x, small.edge_index)
        )
        torch.testing.assert_close(
            (steps["sage"] @ (graph.x @ weight))[around],
            sage(small.x, small.edge_index)[around],
        )
        alone = torch.empty(2, 0, dtype=torch.int64)
        loops = add_self_loops(alone, num_nodes=graph.num_nodes)[0]
        torch.testing.assert_close(graph.x @ weight, sage(graph.x, loops))


def test_students_learn_from_labels(graph):
    """Right labels teach, and labels of another class do not."""
    rows = graph.val.nonzero().flatten()
    students = Students(graph, rows, graph.y[rows])
    one_hot = F.one_hot(graph.y[graph.train], 3).float()
    x = graph.x[graph.train]
    right = students.accuracies(x, one_hot, 0)
    wrong = students.accuracies(x, one_hot.roll(1, dims=1), 0)
    assert min(right.values()) > 0.8 and max(wrong.values()) < 0.3
    assert right == students.accuracies(x, one_hot, 0)


def test_shares_of_the_classes(graph):
    few = (graph.y > 0) | (torch.arange(len(graph.y)) < 12)
    uneven = graph.subgraph(few.nonzero().flatten())
    clusters = clusters_of(uneven, nodes=15)
    counts = {
        name: clusters.budget(ClusterForm(shares=name)).counts
        for name in node_clusters.CLASS_SHARES
    }
    assert counts["equal"] == (5, 5, 5)
    assert counts["equal"][0] > counts["root"][0] > counts["mass"][0] >= 1
    assert {sum(count) for count in counts.values()} == {15}


@pytest.mark.parametrize("best", node_clusters.SCALES)
def test_the_scale_climbs_to_the_best(graph, monkeypatch, best):
    """Down for as long as that helps, or up."""

    def accuracies(students, x, targets, seed):
        return {"gcn": -abs(float(x.square().mean().sqrt().log()) - goal)}

    monkeypatch.setattr(node_clusters.Students, "accuracies", accuracies)
    clusters = clusters_of(graph, per_class=3)
    x = clusters.draw(ClusterForm(scale=best))["x"]
    goal = float(x.square().mean().sqrt().log())
    assert clusters.choose({"view": "low", "refine_steps": 0})[0].scale == best


def test_what_is_fixed_is_not_chosen(graph, monkeypatch):
    trials = []

    def accuracies(students, x, targets, seed):
        trials.append(len(x))
        return {"gcn": 1.0 / len(trials)}

    monkeypatch.setattr(node_clusters.Students, "accuracies", accuracies)
    clusters = clusters_of(graph, nodes=9)
    form, _ = clusters.choose(FIXED.fixed_form)
    assert form == ClusterForm(1.0, "mass", "low", 0) and len(trials) == 1
    clusters.choose({})  # nothing helps: one scale down, one up, and the rest once
    assert len(trials) == 1 + 1 + 2 + 2 + 1 + 1
    trials.clear()
    clusters_of(graph, per_class=3).choose({})
    assert len(trials) == 1 + 2 + 1 + 1


@pytest.mark.usefixtures("short_teachers")
def test_fixed_scale_and_view_are_kept(small):
    """Scale multiplies the features and nothing else; the card says what was taken."""
    fixed = {"class_shares": "equal", "node_features": "once", "refine_steps": 0}
    results = [
        multidd.graph.condense(
            small, nodes=9, options=CondenseOptions(feature_scale=scale, **fixed)
        )
        for scale in (1.0, 0.25)
    ]
    first, second = (result.tensors for result in results)
    torch.testing.assert_close(0.25 * first["x"], second["x"])
    assert torch.equal(first["y_soft"], second["y_soft"])
    assert first["y"].bincount().tolist() == [3, 3, 3]
    card = results[1].card.settings
    assert (card["feature_scale"], card["view"]) == (0.25, "once")
    by_hops = CondenseOptions(teacher="hops", feature_scale=0.25, **fixed)
    card = multidd.graph.condense(small, nodes=9, options=by_hops).card.settings
    assert (card["feature_scale"], card["class_shares"]) == (0.25, "equal")


@pytest.mark.usefixtures("short_teachers")
def test_without_validation_nodes_the_teacher_judges(small):
    small.val_mask = torch.zeros(120, dtype=torch.bool)
    summary = multidd.graph.condense(small, nodes=9)
    students = summary.card.settings["students"]
    assert max(sum(scores.values()) for scores in students.values()) > 3.2


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"feature_scale": 0.0}, "feature_scale must be above 0, got 0.0"),
        ({"feature_scale": float("inf")}, "feature_scale must be above 0, got inf"),
        ({"refine_steps": -1}, "refine_steps must be 0 or more, got -1"),
        ({"class_shares": "half"}, "class_shares must be one of .*got 'half'"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        CondenseOptions(**settings)


def test_refinement_brings_the_regression_nearer_to_the_teacher(graph):
    p = F.one_hot(graph.y, 3).float()
    h = propagate(graph.adjacency, graph.x, 2)
    clusters = clusters_of(graph, nodes=9)
    means = clusters.draw(ClusterForm())
    moved = clusters.draw(ClusterForm(refine_steps=10))
    assert torch.equal(means["y_soft"], moved["y_soft"])
    kernel, length = InfiniteKernel(1, bias_variance=0.09), h.norm(dim=1).mean()

    def error(x):
        real, few = (6**0.5 * rows / length for rows in (h, x))
        dual = ridge_solve(kernel(few), means["y_soft"] - 1 / 3, 0.5)
        return float((kernel(real, few) @ dual - p + 1 / 3).square().mean())

    assert error(moved["x"]) < 0.9 * error(means["x"])
    again = refined(means["x"], means["y_soft"], h, p, 10)
    assert torch.equal(again, moved["x"])
    assert refined(means["x"], means["y_soft"], h, p, 0) is means["x"]


def test_heads_do_not_refine(small):
    options = CondenseOptions(teacher="hops", refine_steps=5)
    with pytest.raises(ValueError, match="refine_steps is for teacher='appnp'"):
        multidd.graph.condense(small, nodes=9, options=options)


def test_large_graphs_keep_the_shares_of_the_heads(small):
    as_before = CondenseOptions(teacher="hops", class_shares="mass", feature_scale=1.0)
    one, other = (
        multidd.graph.condense(small, nodes=9, options=options).tensors
        for options in (CondenseOptions(teacher="hops"), as_before)
    )
    assert torch.equal(one["x"], other["x"])
