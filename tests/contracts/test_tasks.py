"""What `take`, `with_fixed_batch`, `view` and `targets` promise of any task."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import multidd
from multidd import seeds
from multidd.graph import GraphSetTask, NodeTask
from tests.graph.sets import graphs
from tests.toy import Toy


def cora(**settings: Any) -> NodeTask:
    return NodeTask.of(multidd.samples.cora(), **settings)


def taught(**settings: Any) -> NodeTask:
    """Nodes without labels have probabilities for them."""
    p = torch.rand(2708, 7, generator=seeds.at(0, "beliefs"))
    return cora(probabilities=p / p.sum(1, keepdim=True), soft=True, **settings)


TASKS: dict[str, Callable[[], Any]] = {
    "linear": lambda: Toy(batch_size=4),
    "mlp": lambda: Toy("mlp", shift=0.5),
    "images": lambda: Toy("mlp", grid=True),
    "weighted": lambda: Toy("mlp", mass=torch.arange(1.0, 29.0)),
    "cora": cora,
    "cora, gcn": lambda: cora(backbone="gcn", batch_size=20),
    "cora, soft": lambda: taught(batch_size=20),
    "cora, gcn, soft": lambda: taught(backbone="gcn", batch_size=20),
    "graphs": lambda: GraphSetTask.of(graphs()),
    "graphs, drawn": lambda: GraphSetTask.of(graphs(), batch_size=5),
}
every = pytest.mark.parametrize("name", TASKS)


def rows_of(size: int) -> torch.Tensor:
    """Some rows, not in order."""
    return torch.randperm(size, generator=seeds.at(0, "rows"))[: max(3, size // 2)]


@every
def test_take_gives_the_same_losses(name: str) -> None:
    """Losses, features and targets of some rows are those rows of the whole's."""
    task = TASKS[name]()
    batch = task.batch(seeds.at(0, "batch"))
    weights = {n: w[0] for n, w in task.weights(seeds.at(0, "w"), 1).items()}
    whole = task.losses(weights, batch)
    rows = rows_of(len(whole))
    part = task.take(batch, rows)
    torch.testing.assert_close(task.losses(weights, part), whole[rows])
    torch.testing.assert_close(task.targets(part), task.targets(batch)[rows])
    layers = zip(
        task.features(weights, part), task.features(weights, batch), strict=True
    )
    for some, every_row in layers:
        torch.testing.assert_close(some, every_row[rows])


@every
def test_take_knows_its_classes(name: str) -> None:
    task = TASKS[name]()
    batch = task.batch(seeds.at(0, "batch"))
    labels = task.targets(batch).argmax(1)
    rows = rows_of(len(labels))
    classes = task.classes(task.take(batch, rows))
    for c in range(task.num_classes):
        members = set((labels[rows] == c).nonzero().flatten().tolist())
        inside = classes.weight[c] > 0
        assert set(classes.index[c][inside].tolist()) == members
        assert float(classes.weight[c].sum()) == pytest.approx(float(bool(members)))


@every
def test_last_layers(name: str) -> None:
    """The last so many layers are the end of all of them."""
    task = TASKS[name]()
    batch = task.batch(seeds.at(0, "batch"))
    weights = {n: w[0] for n, w in task.weights(seeds.at(0, "w"), 1).items()}
    layers = task.features(weights, batch)
    assert len(layers) >= 2 and layers[-1].shape[1] == task.num_classes
    for last in (1, 2):
        features = task.features(weights, batch, last)
        assert len(features) == last
        pairs = zip(features, layers[-last:], strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


@every
def test_holding_gives_that_batch(name: str) -> None:
    """Whatever the generator; the task itself and its description stay."""
    task = TASKS[name]()
    before = task.describe()
    batch = task.take(task.batch(seeds.at(0, "batch")), torch.arange(3))
    held = task.with_fixed_batch(batch)
    assert type(held) is type(task)
    for seed in (0, 1):
        assert held.batch(seeds.at(seed, "other")) is batch
    assert task.describe() == before
    assert len(task.targets(task.batch(seeds.at(0, "batch")))) > 3


@every
def test_a_view_is_drawn_by_its_generator(name: str) -> None:
    task = TASKS[name]()
    batch = task.batch(seeds.at(0, "batch"))
    weights = {n: w[0] for n, w in task.weights(seeds.at(0, "w"), 1).items()}
    first, again, other = (
        task.losses(weights, task.view(seeds.at(seed, "view"))(batch))
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    augmented = getattr(task, "shift", 0) > 0
    assert torch.equal(first, other) != augmented


@every
def test_targets_are_one_hot(name: str) -> None:
    """Or probabilities, where labels are soft."""
    task = TASKS[name]()
    soft = task.targets(task.batch(seeds.at(0, "batch")))
    assert soft.shape[1] == task.num_classes and bool((soft >= 0).all())
    torch.testing.assert_close(soft.sum(1), torch.ones_like(soft[:, 0]))
    hard = set(soft.unique().tolist()) == {0.0, 1.0}
    assert hard != getattr(task, "soft", False)


@every
def test_losses_are_those_of_the_targets(name: str) -> None:
    task = TASKS[name]()
    batch = task.batch(seeds.at(0, "batch"))
    weights = {n: w[0] for n, w in task.weights(seeds.at(0, "w"), 1).items()}
    log = task.features(weights, batch)[-1].log_softmax(1)
    expected = -(task.targets(batch) * log).sum(1)
    torch.testing.assert_close(task.losses(weights, batch), expected)
