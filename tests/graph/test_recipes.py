"""What methods for nodes have of their own: inputs, induction, settings.

What all methods have in common is in `tests.methods`.
"""

import pytest
import torch

import multidd
from multidd.engine.options import SelectBest
from multidd.errors import CheckpointMismatchError, DivergedError
from multidd.graph.methods.registry import LEARNED, METHODS

pytestmark = pytest.mark.usefixtures("short_teachers")

ALL = sorted(METHODS)
REAL = ("random", "herding", "kcenter")


@pytest.mark.parametrize("name", ALL)
def test_labels_are_those_of_the_nodes(small, run, name):
    """The nearest class mean of each synthetic node is its class."""
    unscaled = {"feature_scale": 1.0} if name == "condense" else {}
    summary = run(name, small, nodes=15, **unscaled)
    x, y = small.x, small.y
    means = torch.stack([x[y == label].mean(0) for label in range(3)])
    nearest = torch.cdist(summary.tensors["x"], means).argmin(1)
    assert (nearest == summary.tensors["y"]).float().mean() > 0.9


@pytest.mark.parametrize("name", ALL)
def test_features_scale_with_the_data(small, run, name):
    before = run(name, small).tensors
    small.x = 100 * small.x
    after = run(name, small).tensors
    assert torch.equal(after["y"], before["y"])
    size = float(before["x"].abs().max())
    torch.testing.assert_close(
        after["x"] / 100, before["x"], rtol=1e-3, atol=1e-3 * size
    )


@pytest.mark.parametrize("name", REAL)
def test_selected_nodes_are_nodes_of_the_data(small, run, name):
    summary = run(name, small)
    gaps = (summary.tensors["x"][:, None] - small.x).abs().amax(2)
    assert gaps.min(1).values.max() < 1e-5
    nodes = gaps.argmin(1)
    assert len(set(nodes.tolist())) == 9
    assert small.train_mask[nodes].all()
    assert torch.equal(small.y[nodes], summary.tensors["y"])


def test_kmeans_of_all_training_nodes(small, graph):
    """The largest budget too gives propagated features, not raw ones."""
    summary = multidd.graph.kmeans(small, per_class=10)
    hops = multidd.graph.models.propagation.propagate(graph.adjacency, graph.x, 2)
    torch.testing.assert_close(
        summary.tensors["x"], hops[graph.train], rtol=1e-4, atol=1e-5
    )


SETTINGS = [{"supervision": "train"}, {"model": "gcn"}, {"model": "sgc"}]
STARTS = ["random", "herding", "kcenter", "kmeans"]


def check_setting(small, run, name, options, init):
    if name == "gcsntk":  # its kernel is its model
        options = {k: v for k, v in options.items() if k != "model"}
    summary = run(name, small, init=init, steps=2, **options)
    assert summary.num_nodes == 9
    assert all(value > 0 for value in summary.card.history)


@pytest.mark.parametrize("name", LEARNED)
def test_settings_run(small, run, name):
    """Every start once, with one of the other settings by turns."""
    for place, init in enumerate(STARTS, start=LEARNED.index(name)):
        check_setting(small, run, name, SETTINGS[place % len(SETTINGS)], init)


@pytest.mark.full
@pytest.mark.parametrize("name", LEARNED)
def test_every_setting_runs_with_every_start(small, run, name):
    for options in SETTINGS:
        for init in STARTS:
            check_setting(small, run, name, options, init)


@pytest.mark.parametrize(
    "options", [{"structure": "none"}, {"finish": "sample"}, {"finish": "threshold"}]
)
def test_settings_of_doscond(small, run, options):
    summary = run("doscond", small, **options)
    assert (summary.tensors["edge_weight"] == 1).all()
    if "structure" in options:
        assert summary.num_edges == 0


@pytest.mark.full
def test_edges_of_doscond_move(cora, run):
    """At a tenth of the default rate none appears in so many steps."""
    few = {"nodes": 70, "init": "random", "supervision": "train"}
    start = run("doscond", cora, steps=0, **few)
    assert run("doscond", cora, steps=100, **few).num_edges > start.num_edges + 20


@pytest.mark.parametrize("change", ["seed", "lr", "data", "edge_weight"])
def test_checkpoint_of_another_run(small, run, tmp_path, change):
    run("gcond", small, checkpoint=str(tmp_path))
    options = {"seed": {"seed": 1}, "lr": {"lr": 0.5}}.get(change, {})
    if change == "data":
        small.x[0, 0] += 1
    if change == "edge_weight":
        small.edge_weight = 0.5 + (torch.arange(small.num_edges) % 3)
    with pytest.raises(CheckpointMismatchError):
        run("gcond", small, checkpoint=str(tmp_path), **options)


@pytest.mark.parametrize("name", ["gcond", "gcond_x", "dm_x", "gcdm"])
def test_loss_falls(small, run, name):
    history = run(name, small, steps=60, init="random").card.history
    assert sum(history[-10:]) < 0.8 * sum(history[:10])


def test_select_best_keeps_a_scored_iterate(small, run):
    summary = run("gcond", small, steps=6, select_best=SelectBest(every=2))
    assert summary.num_nodes == 9
    steps = [run("gcond", small, steps=k).tensors["x"] for k in (0, 2, 4, 6)]
    assert any(torch.equal(summary.tensors["x"], x) for x in steps)


def test_select_best_without_validation_nodes(small, run):
    del small.val_mask
    with pytest.raises(ValueError, match="select_best needs validation nodes"):
        run("gcond", small, select_best=SelectBest(every=1))


def test_a_rate_far_too_large_is_named(small, run):
    with pytest.raises(DivergedError, match="at step") as caught:
        run("gcond", small, steps=200, lr=1e25)
    assert torch.isfinite(caught.value.summary.tensors["x"]).all()
