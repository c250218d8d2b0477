"""DOSCOND for sets of graphs: its task, its edges, its runs, and what it is worth."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

import multidd
from multidd import seeds
from multidd.engine.options import SelectBest
from multidd.graph import (
    DosCondGraphsOptions,
    GraphSetSummary,
    GraphSetTask,
    as_graph_set,
    split_graphs,
)
from multidd.graph.methods.graph_sets import Density
from multidd.graph.models.graph_backbones import PooledGCN, beside, padded
from multidd.learning.gradients import class_gradients
from multidd.learning.states import Fresh
from multidd.objectives import DistributionMatching
from multidd.objectives.distances import NormalizedMSE
from multidd.parameterizations import BernoulliAdjacency, Free
from multidd.selection.basic import Random
from tests.graph.sets import bare, graphs

QUIET = {"progress": False}


def task(**settings):
    return GraphSetTask.of(graphs(6), **settings)


# --- the two layouts ----------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_sparse_and_dense_are_one_model(layers):
    """Real graphs side by side and the same graphs padded have the same features and
    the same gradients."""
    graph_set = as_graph_set(graphs(4))
    model = PooledGCN(layers, width=8)
    weights = model.weights(seeds.at(0, "w"), 1, 3, 2, torch.empty(0))
    one = {name: w[0].requires_grad_() for name, w in weights.items()}
    x, adjacency = graph_set.padded()
    dense = padded(x, adjacency, graph_set.sizes, graph_set.y, 2, layers)
    sparse = beside(graph_set, layers, 1.0, "cpu")
    results = [model.features(one, batch) for batch in (dense, sparse)]
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    slopes = [
        torch.autograd.grad(layers[-1].square().sum(), list(one.values()))
        for layers in results
    ]
    for a, b in zip(*slopes, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_padding_is_not_seen():
    """More padding, and anything in it, changes nothing."""
    graph_set = as_graph_set(graphs(3))
    x, adjacency = graph_set.padded()
    model = PooledGCN(width=8)
    weights = model.weights(seeds.at(0, "w"), 1, 3, 2, torch.empty(0))
    one = {name: w[0] for name, w in weights.items()}
    wide = torch.full((6, x.shape[1] + 2, 3), 7.0)
    wide[:, : x.shape[1]] = x
    more = torch.ones(6, x.shape[1] + 2, x.shape[1] + 2)
    inside = torch.arange(x.shape[1]) < graph_set.sizes[:, None]
    more[:, : x.shape[1], : x.shape[1]] = torch.where(
        inside[:, :, None] & inside[:, None], adjacency, 1.0
    )
    a = model.features(one, padded(x, adjacency, graph_set.sizes, graph_set.y, 2, 3))
    b = model.features(one, padded(wide, more, graph_set.sizes, graph_set.y, 2, 3))
    torch.testing.assert_close(a[-1], b[-1])


def test_loss_is_exact():
    """The gradient of the loss in features and edges, by finite differences."""
    real = task(max_nodes=5)
    small = replace(real, backbone=PooledGCN(2, width=3))
    weights = small.weights(seeds.at(0, "w"), 1)
    double = {name: w.double() for name, w in weights.items()}
    combined = beside(real.graphs, 2, real.scale, "cpu")
    rows = combined.classes
    theirs = class_gradients(small, weights, combined, rows, differentiable=False)
    goal = {name: g.double() for name, g in theirs.items() if g.dim() > 3}
    start = Free(Random(), (1, 1)).init(real, seeds.at(0, "s"))
    sizes, y = start["sizes"], start["y"]

    def loss(x, logits):
        edges = torch.sigmoid(logits + logits.mT)
        ours = padded(x, edges, sizes, y, 2, 2)
        gradients = class_gradients(small, double, ours, ours.classes)
        pairs = [gradients[name] for name in goal], list(goal.values())
        return NormalizedMSE()(*pairs, 2).sum()

    x = start["x"].double().requires_grad_()
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(start["adjacency"].shape, generator=rng, dtype=torch.float64)
    assert gradcheck(loss, (x, logits.requires_grad_()), atol=1e-4)


# --- edges --------------------------------------------------------------------------


def test_bernoulli_edges_of_several_graphs():
    form = BernoulliAdjacency(Free(Random(), (2, 1)), edge_logit=3.0, anneal=5)
    params = form.init(task(), seeds.at(0, "s"))
    logits = params["adjacency"]
    m, p, _ = params["x"].shape
    assert logits.shape == (m, p, p) and set(logits.unique().tolist()) == {-3.0, 3.0}
    for step in (0, 5):
        draw = form.draw(params, seeds.at(0, "d"), step)
        edges = draw["adjacency"]
        assert torch.equal(edges, edges.mT)
        assert not edges.diagonal(dim1=1, dim2=2).any()
        assert bool(((edges >= 0) & (edges <= 1)).all())
        assert torch.equal(draw["chances"], draw["chances"].mT)
    # Each graph has noise of its own, and one graph draws as it did alone.
    flat = params | {"adjacency": torch.zeros(m, p, p)}
    noise = form.draw(flat, seeds.at(0, "d"), 0)["adjacency"]
    assert not torch.equal(noise[0], noise[1])
    final = form.final(params, seeds.at(0, "f"))["adjacency"]
    assert torch.equal(final, (logits > 0).float())


def test_density_costs_above_its_limit_only():
    batch = task().synthetic(
        {
            "x": torch.ones(1, 3, 3),
            "sizes": torch.tensor([2]),
            "y": torch.tensor([0]),
            "adjacency": torch.zeros(1, 3, 3),
            "chances": torch.full((1, 3, 3), 0.5).triu(1)
            + torch.full((1, 3, 3), 0.5).tril(-1),
        }
    )
    assert float(batch.density) == pytest.approx(0.25)  # two of four pairs at a half
    rng = seeds.at(0, "x")
    assert float(Density(0.1).loss(task(), {}, batch, rng)) == pytest.approx(0.15)
    assert float(Density(0.3).loss(task(), {}, batch, rng)) == 0.0


def test_density_is_that_of_the_real_graphs():
    """Of edges that are sure it is `GraphSet.density`, whatever the sizes."""
    graph_set = as_graph_set(graphs(6))
    x, adjacency = graph_set.padded()
    sizes, y = graph_set.sizes, graph_set.y
    batch = padded(x, adjacency, sizes, y, 2, 3, chances=adjacency)
    assert float(batch.density) == pytest.approx(graph_set.density, rel=1e-6)
    pairs = graph_set.adjacency.nnz / float(sizes.square().sum())
    assert abs(graph_set.density - pairs) > 0.01  # another mean


def test_sparsity_keeps_edges_few():
    """Without the regularizer a run that starts dense stays denser."""
    graph_list = graphs(6)
    for graph in graph_list:
        graph.edge_index = graph.edge_index[:, :2]
    loose, tight = (
        multidd.graph.doscond_graphs(
            graph_list,
            per_class=2,
            steps=15,
            options=DosCondGraphsOptions(lr_adjacency=1.0, sparsity=sparsity),
            **QUIET,
        )
        for sparsity in (0.0, 100.0)
    )
    assert tight.num_edges < loose.num_edges


# --- runs ---------------------------------------------------------------------------


def test_seeds_and_dispatch():
    graph_list = graphs(6)
    summary = multidd.graph.doscond(graph_list, per_class=2, steps=3, **QUIET)
    assert isinstance(summary, GraphSetSummary)
    assert (summary.card.method, summary.card.steps) == ("doscond", 3)
    same = multidd.graph.doscond_graphs(graph_list, per_class=2, steps=3, **QUIET)
    other = multidd.graph.doscond(graph_list, per_class=2, steps=3, seed=1, **QUIET)
    assert summary.digest() == same.digest() != other.digest()
    assert summary.card.settings["graphs"] == 4


def test_sizes_differ_and_features_move():
    graph_list = graphs(8)
    summary = multidd.graph.doscond(graph_list, per_class=3, steps=20, **QUIET)
    start = multidd.graph.kmeans(graph_list, per_class=3)
    sizes = summary.tensors["sizes"]
    assert len(set(sizes.tolist())) > 1
    parts = summary.tensors
    inside = torch.arange(parts["x"].shape[1]) < sizes[:, None]
    assert not parts["x"][~inside].any()
    assert (parts["edges"][1:] < sizes[parts["edges"][0]]).all()
    assert len(start) == len(summary)
    history = summary.card.history
    assert np.mean(history[-5:]) < np.mean(history[:5])


def test_other_objectives_take_the_task():
    """Distribution matching on the same task; validation graphs choose the best."""
    train, val, _ = split_graphs(graphs(10))
    summary = multidd.distill(
        GraphSetTask.of(train, val=val, batch_size=4),
        DistributionMatching(states=Fresh(2)),
        BernoulliAdjacency(Free(Random(), (2, 2))),
        steps=4,
        progress=False,
        run=multidd.RunOptions(select_best=SelectBest(every=2)),
    )
    assert len(summary) == 4


def test_graphs_without_features():
    summary = multidd.graph.doscond(bare(6), per_class=2, steps=3, **QUIET)
    assert summary.form.degrees == 7 and summary.tensors["x"].shape[2] == 8


def test_learned_graphs_teach():
    """Learned graphs classify held-out ones well above chance."""
    train, val, test = split_graphs(graphs(40, seed=1), val=0.2, test=0.3)
    summary = multidd.graph.doscond(train, per_class=2, steps=30, **QUIET)
    quick = multidd.Protocol("quick", epochs=60, lr=0.01, width=32, batch=64)
    report = multidd.evaluate(summary, test, val=val, protocol=quick, seeds=2)
    assert report.accuracy("gcn") > 0.7


# --- real graphs, the command line ----------------------------------------------------


@pytest.mark.data("graph/MUTAG")
def test_molecules_keep_their_density():
    train, _ = multidd.graph.load_for_evaluation("mutag")
    summary = multidd.graph.doscond(train, per_class=3, steps=5, **QUIET)
    real, ours = as_graph_set(train), summary.graphs
    assert ours.density == pytest.approx(real.density, rel=0.3)
    assert summary.num_bytes < 20_000
