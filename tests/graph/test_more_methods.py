"""What is particular to cgc, gcsntk, sfgc, geom, the kernel predictor and teachers."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from scipy.sparse import csr_array

import multidd
from multidd import seeds
from multidd.engine.recipe import call
from multidd.graph import CGCOptions, NodeTask, SFGCOptions
from multidd.graph.data.graph import as_graph
from multidd.graph.methods import partition
from multidd.graph.methods.registry import METHODS
from multidd.graph.models import teachers
from multidd.graph.models.backbones import GCN
from multidd.graph.models.kernel_predictor import propagated
from multidd.graph.models.networks import Inputs
from multidd.graph.models.propagation import Sparse, normalized_dense, propagate
from multidd.graph.tasks.node_task import taught_rows
from multidd.kernels import infinite_kernel
from multidd.learning.experts import Experts, FinalExperts, Trainer, record
from multidd.learning.functional import unstack
from multidd.learning.gradients import class_gradients
from multidd.learning.optim import SGD
from multidd.selection.basic import KMeans

NEW = ("cgc", "gcsntk", "sfgc", "geom")
LONG = ("gcsntk", "geom")
"""Those whose kernels and experts take long: `make test-all` judges them on Cora."""
FEW = Experts(Trainer(2, 10, SGD(0.5, 0.9)), 1)
LONGER = Experts(Trainer(3, 15, SGD(1.0, 0.9)), 1)  # sure enough to give labels
SHORT = {"experts": FEW, "start_epochs": (0, 0), "expert_epochs": 1, "progress": False}
QUICK = {
    "cgc": {},
    "gcsntk": {"steps": 40, "progress": False},
    "sfgc": SHORT | {"steps": 10},
    "geom": SHORT | {"steps": 10, "first_end": 0, "experts": LONGER},
}


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- quality --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(cora):
    """The rows of real nodes, and a way to score more."""
    protocol = multidd.Protocol(
        "brief", epochs=120, check_every=10, weight_decay=5e-4, dropout=0.5, width=64
    )

    def score(result, rows=()):
        return multidd.evaluate(
            result, cora, seeds=1, protocol=protocol, rows=rows, progress=False
        )

    summary = score(multidd.graph.kmeans(cora, nodes=70), ("random", "herding"))
    real = max(summary.accuracy("gcn", name) for name in ("random", "herding"))
    return real, lambda result: score(result).accuracy("gcn")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.full] * (name in LONG)) for name in NEW],
)
def test_beats_real_nodes_on_cora(cora, report, name):
    real, score = report
    assert score(call(METHODS[name], cora, nodes=70, **QUICK[name])) > real + 0.02


# --- cgc ------------------------------------------------------------------------------


def test_head_is_the_same_from_either_side():
    wide, tall = noise(6, 9), noise(9, 6)
    for x in (wide, tall):
        targets = noise(len(x), 2, seed=1)
        expected = torch.linalg.lstsq(x.double(), targets.double(), driver="gelsd")[0]
        torch.testing.assert_close(
            partition._head(x, targets), expected.float(), rtol=1e-3, atol=1e-3
        )


def test_rows_are_added_where_the_head_errs():
    y = torch.arange(90) % 3
    result = torch.where(y == 2, 0, y)  # class 2 is never found
    chosen = partition._drawn(result, y, 0.3, 3, seed=0)
    assert len(chosen) == len(set(chosen.tolist())) == 27
    drawn = torch.bincount(y[chosen], minlength=3)
    assert drawn[2] > drawn[0] > drawn[1] == 0


def test_confidence_is_lowest_where_the_head_errs():
    head, y = torch.eye(2), torch.tensor([0, 0, 1])
    x = torch.tensor([[3.0, 0.0], [0.0, 5.0], [0.0, 1.0]])
    result = partition._confidence(x, y, head)
    expected = x.softmax(1)[0, 0]
    assert result[0] == expected and result[1] == result.min()


def test_clusters_of_a_class_are_its_blobs():
    x = torch.cat([0.1 * noise(10, 5) + 3 * row for row in torch.eye(5)[:3]])
    space = partition._directions(x, 3)
    result = KMeans().clusters(space, torch.ones(30), 3, seeds.at(0, "blobs"))
    assert [len(set(result[i : i + 10].tolist())) for i in (0, 10, 20)] == [1, 1, 1]
    assert len(set(result.tolist())) == 3


def test_means_weigh_by_confidence(small):
    """A small temperature leaves one row of each cluster: the surest."""
    graph = as_graph(small)
    h = propagate(graph.adjacency, graph.x, 2)[graph.train]
    summary = multidd.graph.cgc(
        small, nodes=6, options=CGCOptions(softmax_temperature=1e-4)
    )
    gaps = torch.cdist(summary.tensors["x"], h).min(1).values
    assert gaps.max() < 1e-2  # of rows that are more than one apart
    plain = multidd.graph.cgc(
        small, nodes=3, options=CGCOptions(softmax_temperature=1e6)
    ).tensors["x"]
    means = torch.stack([h[graph.y[graph.train] == c].mean(0) for c in range(3)])
    torch.testing.assert_close(plain, means, rtol=1e-3, atol=1e-3)


def test_structure_propagates_to_the_means():
    h = noise(8, 5).abs()
    result = partition._structure(h, threshold=0.8, smoothness=0.0)
    adjacency = result["adjacency"]
    assert 0 < adjacency.sum() < 56 and torch.equal(adjacency, adjacency.T)
    unit = F.normalize(h, dim=1)
    expected = (unit @ unit.T > 0.8).float().fill_diagonal_(0)
    assert torch.equal(adjacency, expected)
    # Where nodes see the same neighbours no features give them different means.
    step = normalized_dense(adjacency).double()
    goal = step @ torch.linalg.pinv(step, rtol=1e-4) @ h.double()
    outcome = step @ step @ result["x"].double()
    torch.testing.assert_close(outcome, goal, rtol=1e-2, atol=1e-2)


def test_structure_gives_edges(small):
    summary = multidd.graph.cgc(
        small, nodes=9, options=CGCOptions(structure=True, threshold=0.5)
    )
    assert summary.num_edges > 0 and (summary.tensors["edge_weight"] == 1).all()
    assert multidd.graph.cgc(small, nodes=9).num_edges == 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"extra_rows": 1.5}, "extra_rows must be from 0 to 1, got 1.5"),
        ({"softmax_temperature": 0.0}, "softmax_temperature must be above 0, got 0"),
        ({"threshold": 1.0}, "threshold must be a cosine, -1 to below 1; got 1"),
        ({"smoothness": -1.0}, "smoothness must be 0 or more, got -1"),
    ],
)
def test_bad_settings_of_cgc(small, option, message):
    with pytest.raises(ValueError, match=message):
        multidd.graph.cgc(small, nodes=9, options=CGCOptions(**option))


# --- gcsntk ---------------------------------------------------------------------------


def test_first_loss_is_that_of_the_kernel_regression(small, run):
    """Against the formula, from the start that a run of no steps gives."""
    ridge, options = 0.1, {"supervision": "train", "ridge": 0.1}
    graph = as_graph(small)
    start = run("gcsntk", small, steps=0, **options).tensors
    h = propagate(graph.adjacency, graph.x, 2)[graph.train]
    scale = (12 / h.square().sum(1).mean()).sqrt()  # mean square one
    ours, theirs = (scale * x for x in (start["x"], h))
    k = infinite_kernel(ours, depth=2)
    system = k + ridge * k.diagonal().mean() * torch.eye(9)
    goal = F.one_hot(graph.y[graph.train], 3) - 1 / 3
    dual = torch.linalg.solve(system, start["y_soft"] - 1 / 3)
    gap = infinite_kernel(theirs, ours, depth=2) @ dual - goal
    summary = run("gcsntk", small, steps=1, **options).card.history[0]
    assert summary == pytest.approx(0.5 * float(gap.square().sum(1).mean()), rel=1e-3)


def test_labels_are_learned_and_stay_probabilities(small, run):
    summary = run("gcsntk", small, steps=20, lr_labels=0.05)
    soft = summary.tensors["y_soft"]
    assert summary.card.labels == "soft"
    assert not torch.equal(soft, F.one_hot(summary.tensors["y"], 3).float())
    assert (soft >= 0).all()
    torch.testing.assert_close(soft.sum(1), torch.ones(9))
    assert summary.card.history[-1] < 0.7 * summary.card.history[0]


def test_structure_of_gcsntk(small, run):
    assert run("gcsntk", small).num_edges == 0
    assert run("gcsntk", small, structure="pairwise").num_edges > 0
    with pytest.raises(ValueError, match="structure must be 'none' or 'pairwise'"):
        run("gcsntk", small, structure="bernoulli")


def test_the_kernel_sees_sparse_features_as_dense_ones(graph):
    inputs, rows = Inputs(graph.x, graph.adjacency), torch.tensor([5, 0])
    dense = propagated(inputs, rows)
    assert isinstance(inputs.twice, torch.Tensor)
    inputs.twice = Sparse(csr_array(inputs.twice.numpy()))
    torch.testing.assert_close(propagated(inputs, rows), dense)


@pytest.mark.parametrize("inductive", [False, True])
def test_kernel_predictor(small, inductive):
    summary = multidd.graph.kmeans(small, nodes=9, inductive=inductive)
    report = multidd.evaluate(
        summary, small, models=["kernel"], seeds=1, rows=["whole"], inductive=inductive
    )
    assert report.accuracy("kernel") > 0.8
    assert report.accuracy("kernel", "whole") > 0.8
    assert "Protocol 'gcond'" in str(report)  # it says whether labels are soft


# --- trajectories ---------------------------------------------------------------------


def test_loss_of_trajectories_falls(small, run):
    for name in ("sfgc", "geom"):
        options = {"steps": 25, "init": "random", "lr": 0.1, "syn_steps": 4}
        history = run(name, small, **options).card.history
        assert sum(history[-5:]) < 0.9 * sum(history[:5])


def test_experts_are_recorded_once(small, run, tmp_path):
    options = replace(FEW, folder=str(tmp_path))
    run("sfgc", small, experts=options)
    files = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    run("sfgc", small, experts=options, seed=1, steps=1)
    assert {p: p.stat().st_mtime_ns for p in files} == files
    run("geom", small, experts=options)  # soft labels: experts of its own
    assert len([p for p in tmp_path.rglob("*") if p.is_file()]) > len(files)


def test_labels_of_geom_start_as_the_experts_probabilities(graph, run):
    summary = run("geom", graph, steps=0, experts=FEW, model=GCN(width=8))
    p = teachers.linear_teacher(graph)
    task = NodeTask.of(graph, backbone=GCN(width=8), probabilities=p, soft=True)
    task = replace(task, batch_size=2048, structure=False)
    record(task, FEW)
    weights = FinalExperts(FEW).init(task, torch.Generator())["weights"]
    x = summary.tensors["x"] / task.scale
    batch = task.synthetic({"x": x, "y": summary.tensors["y"]})
    expected = task.features(unstack(weights)[0], batch)[-1].softmax(1)
    torch.testing.assert_close(
        summary.tensors["y_soft"], expected, rtol=1e-3, atol=1e-4
    )


def test_windows_that_experts_do_not_have(small):
    with pytest.raises(ValueError, match="experts that have 0 to 2"):
        multidd.graph.sfgc(
            small,
            nodes=9,
            options=SFGCOptions(experts=FEW, start_epochs=(0, 3)),
        )


# --- the task with soft labels --------------------------------------------------------


def test_losses_and_gradients_of_soft_labels(graph):
    p = F.softmax(noise(120, 3), dim=1)
    task = NodeTask.of(graph, probabilities=p, soft=True, batch_size=None)
    batch = task.batch(torch.Generator())
    assert torch.equal(task.targets(batch), taught_rows(graph, p).beliefs)
    stacked = task.weights(seeds.at(0, "w"), 1)
    one = {name: w[0].requires_grad_() for name, w in stacked.items()}
    losses = task.losses(one, batch)
    log = task.features(one, batch)[-1].log_softmax(1)
    torch.testing.assert_close(losses, -(task.targets(batch) * log).sum(1))
    mean = task.classes(batch).merged().mean_of(losses)[0]
    expected = torch.autograd.grad(mean, list(one.values()))
    merged = task.classes(batch).merged()
    gradients = class_gradients(task, stacked, batch, merged)
    for name, gradient in zip(one, expected, strict=True):
        torch.testing.assert_close(
            gradients[name][0, 0], gradient, rtol=1e-4, atol=1e-6
        )


def test_rows_of_nodes_without_edges(graph):
    """Taking rows of a structure-free batch leaves the others out altogether."""
    task = NodeTask.of(graph, backbone=GCN(3, 8))
    draw = {"x": noise(6, 12), "y": torch.arange(6) % 3}
    draw["y_soft"] = F.softmax(noise(6, 3), dim=1)
    batch, rows = task.synthetic(draw), torch.tensor([4, 1])
    part = task.take(batch, rows)
    assert len(part.inputs) == 2
    assert torch.equal(part.soft, draw["y_soft"][rows])
    one = unstack(task.weights(seeds.at(0, "w"), 1))[0]
    torch.testing.assert_close(task.losses(one, part), task.losses(one, batch)[rows])


# --- teachers -------------------------------------------------------------------------


def test_the_likelier_teacher_is_taken(graph, monkeypatch):
    sure = F.one_hot(graph.y, 3).float()
    flat = torch.full((120, 3), 1 / 3)
    for appnp, gcn, expected in ((sure, flat, sure), (flat, sure, sure)):
        monkeypatch.setattr(teachers, "appnp_teacher", lambda *a, p=appnp, **k: p)
        monkeypatch.setattr(teachers, "gcn_teacher", lambda *a, p=gcn, **k: p)
        assert torch.equal(teachers.best_teacher(graph), expected)
    blind = replace(graph, val=torch.zeros_like(graph.val))
    assert torch.equal(teachers.best_teacher(blind), flat)  # no nodes to choose by


def test_gcn_teacher(graph, small):
    few = {"members": 2, "width": 16, "epochs": 60}
    p = teachers.gcn_teacher(graph, **few)
    torch.testing.assert_close(p.sum(1), torch.ones(120))
    right = p.argmax(1) == graph.y
    assert right[graph.test].float().mean() > 0.9
    hidden = ~(small.train_mask | small.val_mask)
    small.y[hidden] = (small.y[hidden] + 1) % 3
    small.x = 100 * small.x
    again = teachers.gcn_teacher(as_graph(small), **few)
    torch.testing.assert_close(again, p, rtol=1e-2, atol=1e-3)
