"""`NodeTask`: real blocks, synthetic batches, and what a selection stands for."""

import pytest
import torch
import torch.nn.functional as F

import multidd
from multidd import seeds
from multidd.classes import by_class
from multidd.graph.models.backbones import GCN, SGC
from multidd.graph.models.propagation import normalized, propagate
from multidd.graph.tasks.node_task import NodeTask
from multidd.learning.gradients import class_gradients
from multidd.selection.basic import Herding, KMeans, Random


def one_model(task, seed=0):
    weights = task.weights(torch.Generator().manual_seed(seed), 1)
    return {name: tensor[0] for name, tensor in weights.items()}


def full_forward(task, weights, layers):
    """Every layer's output of a GCN on all nodes at once."""
    step = torch.from_numpy(normalized(task.graph.adjacency).toarray())
    hidden, results = task.graph.x / task.scale, []
    for i in range(layers):
        hidden = step @ (hidden @ weights[f"weight{i}"].T)
        # The first layer propagates before its weight, so its bias stays whole too.
        hidden = hidden + weights[f"bias{i}"]
        hidden = hidden.relu() if i < layers - 1 else hidden
        results.append(hidden)
    return results


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_real_block_is_the_full_forward_on_its_rows(graph, layers):
    task = NodeTask.of(graph, backbone=GCN(layers, width=16), batch_size=None)
    weights = one_model(task)
    batch = task.batch(torch.Generator())
    expected = full_forward(task, weights, layers)
    features = task.features(weights, batch)
    assert len(features) == layers
    for ours, whole in zip(features, expected, strict=True):
        torch.testing.assert_close(ours, whole[graph.train], rtol=1e-4, atol=1e-5)
    assert torch.equal(batch.labels, graph.y[graph.train])


@pytest.mark.parametrize("layers", [2, 3])
def test_drawn_block_is_rows_of_the_full_forward(graph, layers):
    task = NodeTask.of(graph, backbone=GCN(layers, width=16), batch_size=4)
    weights = one_model(task)
    expected = full_forward(task, weights, layers)[-1]
    rows = []
    for seed in range(2):
        batch = task.batch(torch.Generator().manual_seed(seed))
        assert batch.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
        features = task.features(weights, batch)[-1]
        gaps = (features[:, None] - expected).abs().amax(2)
        assert gaps.min(1).values.max() < 1e-5
        nodes = gaps.argmin(1)
        assert len(set(nodes.tolist())) == 12
        assert graph.train[nodes].all()
        assert torch.equal(graph.y[nodes], batch.labels)
        rows.append(set(nodes.tolist()))
    assert rows[0] != rows[1]


def test_losses_are_cross_entropies_of_the_logits(graph):
    task = NodeTask.of(graph, backbone=GCN(width=16), batch_size=None)
    weights, batch = one_model(task), task.batch(torch.Generator())
    logits = task.features(weights, batch)[-1]
    shift = logits.logsumexp(1) - logits[torch.arange(30), batch.labels]
    torch.testing.assert_close(task.losses(weights, batch), shift)


@pytest.mark.parametrize("structure", [True, False])
def test_closed_form_gradients_equal_autograd(graph, structure):
    task = NodeTask.of(graph, structure=structure)
    picks = Random().pick(task.records(), (2, 3, 4), seeds.at(0, "t"))
    stacked = task.weights(torch.Generator().manual_seed(0), 2)
    for batch in (
        task.batch(torch.Generator()),
        task.synthetic(task.from_selection(picks)),
    ):
        assert task.linear_features(batch) is not None
        gradients = class_gradients(task, stacked, batch)
        for k in range(2):
            one = {n: t[k].clone().requires_grad_() for n, t in stacked.items()}
            losses = task.losses(one, batch)
            for label in range(3):
                mean = losses[batch.labels == label].mean()
                expected = torch.autograd.grad(mean, list(one.values()), retain_graph=1)
                for name, gradient in zip(one, expected, strict=True):
                    assert gradient.abs().max() > 0
                    torch.testing.assert_close(
                        gradients[name][k, label], gradient, rtol=1e-4, atol=1e-6
                    )


def test_only_a_linear_backbone_has_linear_features(graph):
    task = NodeTask.of(graph, backbone="gcn")
    assert task.linear_features(task.batch(torch.Generator())) is None


def test_kernels_are_for_backbones_without_later_propagation(graph):
    linear = NodeTask.of(graph)
    batch = linear.batch(torch.Generator())
    assert linear.inputs(batch).square().mean() == pytest.approx(1.0, rel=0.5)
    task = NodeTask.of(graph, backbone="gcn")
    text = "closed-form kernels need a backbone without later propagation, such as 'sg"
    with pytest.raises(ValueError, match=text):
        task.inputs(task.batch(torch.Generator()))
    with pytest.raises(ValueError, match="a GCN has 2 layers or more here, got 1"):
        GCN(layers=1)


@pytest.mark.parametrize("backbone", [SGC(), SGC(hops=3), GCN(width=16), GCN(3, 16)])
def test_no_adjacency_is_an_adjacency_of_zeros(graph, backbone):
    task = NodeTask.of(graph, backbone=backbone)
    weights, rng = one_model(task), torch.Generator().manual_seed(0)
    draw = {
        "x": torch.randn(6, 12, generator=rng),
        "y": torch.tensor([0, 0, 1, 1, 2, 2]),
    }
    empty = draw | {"adjacency": torch.zeros(6, 6)}
    full = draw | {"adjacency": 1 - torch.eye(6)}
    none, zero, some = (
        task.features(weights, task.synthetic(one)) for one in (draw, empty, full)
    )
    for one, other in zip(none, zero, strict=True):
        torch.testing.assert_close(one, other)
    assert not torch.allclose(none[-1], some[-1])


def test_synthetic_is_differentiable_in_nodes_and_edges(graph):
    task = NodeTask.of(graph, backbone=GCN(width=16))
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(6, 12, generator=rng).requires_grad_()
    a = torch.rand(6, 6, generator=rng).requires_grad_()
    draw = {"x": x, "y": torch.tensor([0, 0, 1, 1, 2, 2]), "adjacency": a}
    losses = task.losses(one_model(task), task.synthetic(draw))
    gradients = torch.autograd.grad(losses.sum(), [x, a])
    assert all(g.abs().max() > 0 for g in gradients)


@pytest.mark.parametrize("selection", [Random(), Herding()])
def test_collect_of_real_picks(graph, selection):
    task = NodeTask.of(graph)
    picks = selection.pick(task.records(), (2, 3, 4), seeds.at(0, "t"))
    draw = task.from_selection(picks)
    nodes = graph.train.nonzero().flatten()[picks.indices]
    torch.testing.assert_close(draw["x"] * task.scale, graph.x[nodes])
    assert draw["y"].tolist() == graph.y[nodes].tolist() == [0] * 2 + [1] * 3 + [2] * 4
    block = torch.from_numpy(graph.adjacency.toarray())[nodes][:, nodes]
    assert torch.equal(draw["adjacency"], block)


def test_collect_of_means_averages_propagated_features(graph):
    task = NodeTask.of(graph, structure=False)
    picks = KMeans().pick(task.records(), (2, 3, 4), seeds.at(0, "t"))
    draw = task.from_selection(picks)
    h = propagate(graph.adjacency, graph.x, 2)[graph.train]
    members = picks.weights.to_dense()
    torch.testing.assert_close(members.sum(1), torch.ones(9))
    torch.testing.assert_close(draw["x"] * task.scale, members @ h)
    assert draw["y"].tolist() == [0] * 2 + [1] * 3 + [2] * 4
    assert "adjacency" not in draw


def test_collect_of_all_nodes_is_still_propagated(graph):
    """As many clusters as nodes: every mean is of one node, and a mean still."""
    task = NodeTask.of(graph, structure=False)
    draw = task.from_selection(
        KMeans().pick(task.records(), (10,) * 3, seeds.at(0, "t"))
    )
    h = propagate(graph.adjacency, graph.x, 2)[graph.train]
    torch.testing.assert_close(draw["x"] * task.scale, h)


def test_scale_makes_the_real_rows_of_length_one(graph):
    task = NodeTask.of(graph)
    lengths = task.records().features.square().sum(1)
    torch.testing.assert_close(lengths.mean(), torch.tensor(1.0))


def test_a_teacher_labels_all_nodes_but_those_known(graph):
    p = F.softmax(torch.randn(120, 3, generator=torch.Generator().manual_seed(0)), 1)
    task = NodeTask.of(graph, probabilities=p)
    rows = task.rows
    assert torch.equal(rows.nodes, torch.arange(120))
    assert torch.equal(rows.labels[graph.train], graph.y[graph.train])
    assert torch.equal(rows.labels[~graph.train], p.argmax(1)[~graph.train])
    assert (rows.weights[graph.train] == 1).all()
    assert torch.equal(rows.weights[~graph.train], p.max(1).values[~graph.train])
    batch = task.batch(torch.Generator())
    expected = by_class(rows.labels, 3, rows.weights)
    assert torch.equal(batch.classes.weight, expected.weight)


def test_inductive_sees_training_nodes_only(graph):
    task = NodeTask.of(graph, inductive=True)
    assert task.graph.num_nodes == 30
    assert torch.equal(task.graph.x, graph.x[graph.train])
    assert task.graph.train.all()


def test_score_prefers_the_right_labels(graph):
    task = NodeTask.of(graph)
    picks = Random().pick(task.records(), (5, 5, 5), seeds.at(0, "t"))
    draw = task.from_selection(picks)
    right = task.score(draw, torch.Generator())
    wrong = task.score(draw | {"y": (draw["y"] + 1) % 3}, torch.Generator())
    assert right > 0.8
    assert wrong < 0.2


def test_score_needs_validation_nodes(small):
    del small.val_mask
    with pytest.raises(
        ValueError, match=r"select_best needs validation nodes: data\.v"
    ):
        NodeTask.of(small).score({"x": small.x[:3], "y": small.y[:3]}, None)


def test_whole_data_scores_follow_masks_and_weights(small):
    """The cache of whole-data scores must not mix up data that differ in these."""
    protocol = multidd.Protocol("q", epochs=60, width=32)
    summary = multidd.graph.random(small, nodes=9)

    def whole(data, cache):
        options = {"seeds": 1, "protocol": protocol, "rows": ["whole"], "cache": cache}
        report = multidd.evaluate(summary, data, **options)
        return report.row("gcn", "whole").values

    swapped = small.clone()
    swapped.test_mask = small.val_mask.clone()
    weighted = small.clone()
    noise = torch.rand(small.num_edges, generator=torch.Generator().manual_seed(0))
    weighted.edge_weight = 50 * noise**6
    fresh = [whole(data, False) for data in (small, swapped, weighted)]
    assert fresh[0] != fresh[1]
    assert fresh[0] != fresh[2]
    assert [whole(data, True) for data in (small, swapped, weighted)] == fresh
