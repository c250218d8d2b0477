"""Teachers: accurate on Cora, and fed by training and validation labels alone."""

from types import SimpleNamespace

import pytest
import torch

from multidd.graph.data.graph import as_graph
from multidd.graph.models import teachers
from multidd.graph.models.teachers import appnp_teacher, linear_teacher

TEACHERS = {
    "linear": linear_teacher,
    "appnp": lambda graph: appnp_teacher(graph, members=2, width=16, epochs=60),
}


@pytest.fixture(params=sorted(TEACHERS))
def teacher(request):
    """A teacher, quick enough for the small graph."""
    return TEACHERS[request.param]


def accuracy(graph, p, mask="test"):
    rows = getattr(graph, mask)
    return float((p[rows].argmax(1) == graph.y[rows]).float().mean())


@pytest.mark.parametrize(
    ("full", "least"), [(linear_teacher, 0.80), (appnp_teacher, 0.82)]
)
def test_accuracy_on_cora(cora, full, least):
    graph = as_graph(cora)
    assert accuracy(graph, full(graph)) > least


def test_gives_probabilities(graph, teacher):
    p = teacher(graph)
    assert (p.dtype, p.shape) == (torch.float32, (120, 3))
    assert (p >= 0).all()
    torch.testing.assert_close(p.sum(1), torch.ones(120))
    assert accuracy(graph, p) > 0.8


def test_same_call_same_bits(graph, teacher):
    assert torch.equal(teacher(graph), teacher(graph))


def test_seed_of_the_ensemble(graph):
    one, other = (appnp_teacher(graph, s, members=2, epochs=8) for s in (0, 1))
    assert not torch.equal(one, other)


def test_test_labels_are_never_seen(small, teacher):
    before = teacher(as_graph(small))
    hidden = ~(small.train_mask | small.val_mask)
    small.y[hidden] = (small.y[hidden] + 1) % 3
    assert torch.equal(teacher(as_graph(small)), before)


def test_without_validation_no_label_but_those_of_training_is_seen(small, teacher):
    del small.val_mask
    before = teacher(as_graph(small))
    hidden = ~small.train_mask
    small.y[hidden] = (small.y[hidden] + 1) % 3
    assert torch.equal(teacher(as_graph(small)), before)


def test_training_labels_are_seen(small, teacher):
    small.y = (small.y + 1) % 3
    graph = as_graph(small)
    assert accuracy(graph, teacher(graph)) > 0.8


@pytest.mark.parametrize("part", ["no validation", "training nodes alone"])
def test_works_without_validation_nodes(small, teacher, part):
    del small.val_mask
    graph = as_graph(small)
    if part != "no validation":
        graph = graph.subgraph(graph.train.nonzero().flatten())
    p = teacher(graph)
    assert torch.isfinite(p).all()
    assert accuracy(graph, p, "train") > 0.9


def test_an_ensemble_stops_when_nothing_gets_better(graph):
    """Its best logits are the first of the equal ones."""
    logits = 5.0 * torch.nn.functional.one_hot(graph.y).expand(2, -1, -1)
    steps = []
    school = SimpleNamespace(
        graph=graph,
        members=2,
        rng=torch.Generator(),
        step=lambda: steps.append(1),
        logits=lambda train: logits if len(steps) == 4 else 0 * logits,
    )
    p = teachers._taught(school, epochs=100, patience=8)
    assert len(steps) == 12  # looked at every fourth
    torch.testing.assert_close(p, logits.softmax(2).mean(0))


def test_works_without_edges(small, teacher):
    small.edge_index = small.edge_index[:, :0]
    graph = as_graph(small)
    assert accuracy(graph, teacher(graph)) > 0.6
