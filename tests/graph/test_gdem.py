"""Eigenvectors of a graph, the graph of given eigenvectors, and their matching."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from scipy.sparse.linalg import ArpackError

import multidd
from multidd import seeds
from multidd.graph import GDEMOptions, NodeTask
from multidd.graph.data.graph import as_graph
from multidd.graph.methods import spectral
from multidd.graph.methods.spectral import EigenAdjacency, EigenbasisMatching
from multidd.graph.models import spectrum
from multidd.graph.models.propagation import normalized, normalized_dense
from multidd.objectives import DistributionMatching
from multidd.parameterizations import Free
from multidd.selection.basic import KMeans
from tests.toy import Toy

RNG = torch.Generator()


def noise(*shape, seed=0):
    other_noise = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return other_noise.double()


# --- eigenvectors ---------------------------------------------------------------------


@pytest.mark.parametrize("dense", [0, 200])
def test_ends_of_the_spectrum(graph, monkeypatch, dense):
    """Of either solver, against all eigenvectors."""
    monkeypatch.setattr(spectrum, "DENSE", dense)
    operator = normalized(graph.adjacency)
    expected, whole = np.linalg.eigh(operator.toarray().astype(np.float64))
    values, vectors = spectrum.ends(operator, 4, 3)
    at = [119, 118, 117, 116, 2, 1, 0]
    np.testing.assert_allclose(values, expected[at], atol=1e-6)
    turned = np.abs(whole[:, at].T @ vectors)
    np.testing.assert_allclose(turned, np.eye(7), atol=1e-4)
    again = spectrum.ends(operator, 4, 3)
    assert np.array_equal(again[1], vectors)  # the same bits


def test_ends_of_nothing():
    empty = scipy.sparse.csr_array((300, 300))
    assert spectrum.ends(empty, 2)[0].tolist() == [0, 0]
    assert spectrum.ends(empty[:1, :1], 1)[0].tolist() == [0]


def test_a_solver_that_gives_up_is_named(graph, monkeypatch):
    def give_up(*args, **options):
        raise ArpackError(-9)

    monkeypatch.setattr(spectrum, "DENSE", 0)
    monkeypatch.setattr(scipy.sparse.linalg, "eigsh", give_up)
    with pytest.raises(ValueError, match="5 eigenvectors of a matrix of 120 rows were"):
        spectrum.ends(graph.adjacency, 5)


def test_eigenbasis_by_hand(graph):
    """Components, and the mean of the eigenvalues that are left out."""
    assert len(spectrum._largest(graph.adjacency)) == 120
    expected, whole = np.linalg.eigh(normalized(graph.adjacency).toarray())
    result = spectrum.eigenbasis(graph, graph.x, 10, 0.8)
    at = [*range(119, 111, -1), 1, 0]
    np.testing.assert_allclose(result.values, expected[at], atol=1e-5)
    assert result.low == 2
    assert result.rest == pytest.approx(expected[2:112].mean(), abs=1e-5)
    a = torch.from_numpy(whole[:, at].T / 120**0.5) @ graph.x
    for ours, theirs in zip(result.components, a, strict=True):
        sign = torch.sign(ours @ theirs)
        torch.testing.assert_close(ours, sign * theirs, rtol=1e-3, atol=1e-4)


def test_vectors_are_those_of_the_largest_part(small):
    """Nodes far from it count for the mean eigenvalue only."""
    inside = (small.edge_index >= 40).all(0)
    small.edge_index = small.edge_index[:, inside]  # class 0 stands alone
    graph = as_graph(small)
    result = spectrum.eigenbasis(graph, graph.x, 500, 1.0)
    part = spectrum._largest(graph.adjacency)
    assert part.min() >= 40 and 1 < len(part) < 81
    assert len(result.values) == len(part)
    assert result.values[0] == pytest.approx(1) and result.values[1] < 0.999
    trace = normalized(graph.adjacency).trace()
    total = float(result.values.sum()) + (120 - len(part)) * result.rest
    assert total == pytest.approx(trace, rel=1e-4)


# --- the graph of given eigenvectors --------------------------------------------------


def form_of(graph, count=5, smooth=1.0, structure=True, **settings):
    task = NodeTask.of(graph, structure=structure)
    form = EigenAdjacency(Free(KMeans(), (3, 3, 3)), count, smooth, **settings)
    return task, form


def test_all_eigenvectors_give_the_graph_back(graph):
    values, vectors = spectrum.ends(normalized(graph.adjacency), 120)
    values = torch.from_numpy(np.append(values, 0.3))  # the rest does not count
    params = {"basis": torch.from_numpy(vectors), "eigenvalues": values}
    params |= {"x": graph.x, "y": graph.y}
    _, form = form_of(graph, 120)
    final = form.final(params, RNG)
    assert set(final) == {"x", "y", "adjacency"}
    expected = torch.from_numpy(graph.adjacency.toarray()).double()
    torch.testing.assert_close(final["adjacency"], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("smooth", [1.0, 0.6, 0.0])
def test_vectors_start_orthonormal(graph, smooth):
    task, form = form_of(graph, smooth=smooth)
    params = form.init(task, seeds.at(0, "start"))
    torch.testing.assert_close(params["basis"].T @ params["basis"], torch.eye(5))
    assert params["eigenvalues"].shape == (6,)
    assert set(form.groups) == {"x", "basis"}
    a = form.draw(params, RNG, 0)["adjacency"]
    assert torch.equal(a, a.T) and (a.diagonal() == 0).all()
    assert 0 <= a.min() and 0 < a.max() <= 1


def test_parts_have_one_set_of_vectors(graph, monkeypatch):
    """Each part of the start has the eigenvalue one; rounding does not choose among the
    mixtures of its vectors."""

    def bases(seed):
        rounding = 1e-14 * noise(9, 9, seed=seed)
        monkeypatch.setattr(
            spectral, "normalized_dense", lambda a: normalized_dense(a) + rounding
        )
        task, form = form_of(graph, structure=False)
        return form.init(task, seeds.at(0, "start"))["basis"].abs()

    torch.testing.assert_close(bases(0), bases(1))


def test_weak_edges_are_dropped_at_the_end(graph):
    task, form = form_of(graph, threshold=0.2)
    params = form.init(task, seeds.at(0, "start"))
    whole = form.draw(params, RNG, 0)["adjacency"]
    final = form.final(params, RNG)["adjacency"]
    assert torch.equal(final, torch.where(whole >= 0.2, whole, 0.0))
    assert form.decode(params) is params  # the edges are stored, not vectors
    assert 0 < (final > 0).sum() < (whole > 0).sum()


def test_few_training_nodes_know_each_other(cora, run):
    summary = run("gdem", cora, nodes=35, inductive=True)
    assert torch.isfinite(summary.tensors["x"]).all()
    # 140 nodes with hardly an edge between them: their mean eigenvalue is near one.
    assert 0 < summary.adjacency.sum(1).mean() < 2


# --- matching -------------------------------------------------------------------------


@pytest.fixture
def drawn(graph):
    """A task, a draw of synthetic nodes with vectors, and real components; double."""
    task, form = form_of(graph)
    draw = form.draw(form.init(task, seeds.at(0, "start")), RNG, 0)
    draw = {n: t.double() if t.is_floating_point() else t for n, t in draw.items()}
    state = EigenbasisMatching(5).init(task, RNG)
    return task, draw, {"components": state["components"].double()}


def test_loss_is_that_of_the_products(drawn):
    task, draw, state = drawn
    draw["basis"] = draw["basis"] + 0.1 * noise(9, 5)
    ours = (draw["basis"].T @ draw["x"]) / 3
    pairs = zip(state["components"], ours, strict=True)
    gap = sum((torch.outer(a, a) - torch.outer(b, b)).square().sum() for a, b in pairs)
    whole = sum(torch.outer(a, a).square().sum() for a in state["components"])
    skew = (draw["basis"].T @ draw["basis"] - torch.eye(5)).square().sum() / 5
    loss = EigenbasisMatching(5, 1.0, 0.3).loss(task, state, task.synthetic(draw), RNG)
    torch.testing.assert_close(loss, gap / whole + 0.3 * skew)


def test_nothing_to_do_at_the_goal(drawn):
    """Up to the sign of a vector."""
    task, draw, state = drawn
    signs = torch.tensor([1.0, -1, 1, -1, 1]).double()
    draw["x"] = 3 * draw["basis"] @ (signs[:, None] * state["components"])
    loss = EigenbasisMatching(5).loss(task, state, task.synthetic(draw), RNG)
    assert abs(float(loss)) < 1e-6


def test_gradients_are_those_of_differences(drawn):
    task, draw, state = drawn
    draw["basis"] = draw["basis"] + 0.1 * noise(9, 5)

    def loss(x, basis):
        batch = task.synthetic(draw | {"x": x, "basis": basis})
        return EigenbasisMatching(5).loss(task, state, batch, RNG)

    leaves = (draw["x"].requires_grad_(), draw["basis"].requires_grad_())
    assert torch.autograd.gradcheck(loss, leaves)


def test_class_means_stand_for_all_rows(graph):
    """The discrimination term and its gradient, with one row a class or with all."""
    p = torch.softmax(noise(120, 3).float(), 1)
    task = NodeTask.of(graph, probabilities=p, batch_size=None)
    _, form = form_of(graph)
    params = form.init(task, seeds.at(0, "start"))
    results = []
    for one in (task, spectral._averaged(task)):
        x = params["x"].clone().requires_grad_()
        batch = one.synthetic(form.draw(params | {"x": x}, RNG, 0))
        matching = DistributionMatching()
        state = matching.init(one, seeds.at(0, "init"))
        loss = matching.loss(one, state, batch, seeds.at(0, "loss"))
        results.append((loss, *torch.autograd.grad(loss, x)))
    assert len(spectral._averaged(task).batch(RNG).labels) == 3
    for whole, short in zip(*results, strict=True):
        torch.testing.assert_close(short, whole, rtol=1e-3, atol=1e-6)
    network = replace(task, backbone=multidd.graph.models.backbones.GCN())
    assert spectral._averaged(network) is network


def test_what_has_no_eigenvectors_is_refused(graph):
    task, form = form_of(graph)
    plain = task.synthetic({"x": graph.x[:3], "y": torch.arange(3)})
    state = EigenbasisMatching(2).init(task, RNG)
    with pytest.raises(ValueError, match="synthetic nodes with learned eigenvectors"):
        EigenbasisMatching(2).loss(task, state, plain, RNG)
    for part in (form, EigenbasisMatching(2)):
        with pytest.raises(TypeError, match="a NodeTask, got Toy"):
            part.init(Toy(), RNG)


# --- the method -----------------------------------------------------------------------


def test_loss_falls(small, run):
    history = run("gdem", small, steps=60).card.history
    assert history[-1] < 0.5 * history[0]


def test_beats_real_nodes_on_cora(cora, quick):
    protocol = replace(quick, epochs=80, width=32, check_every=20)
    edges = GDEMOptions(structure="spectral")
    summary = multidd.graph.gdem(
        cora, nodes=70, steps=60, options=edges, progress=False
    )
    assert summary.num_edges > 0
    rows = ["random", "herding", "kcenter"]
    report = multidd.evaluate(
        summary, cora, seeds=1, protocol=protocol, rows=rows, progress=False
    )
    real = max(report.accuracy("gcn", name) for name in rows)
    assert report.accuracy("gcn") > real + 0.03


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"vectors": 0.0}, "vectors must be above 0 and at most 1, got 0"),
        ({"vectors": 1.5}, "vectors must be above 0 and at most 1, got 1.5"),
        ({"smooth_share": -0.1}, "smooth_share must be from 0 to 1, got -0.1"),
        ({"discrimination": -1}, "discrimination must be 0 or more, got -1"),
        ({"orthogonality": -1}, "orthogonality must be 0 or more, got -1"),
        ({"supervision": "all"}, "supervision must be 'teacher' or 'train', got 'all'"),
        ({"model": "gin"}, "model must be one of sgc, gcn: 'gin'"),
    ],
)
def test_bad_settings(small, option, message):
    with pytest.raises(ValueError, match=message):
        multidd.graph.gdem(small, nodes=9, options=GDEMOptions(**option))


def test_citation():
    assert "Eigenbasis Matching" in multidd.cite("gdem")
