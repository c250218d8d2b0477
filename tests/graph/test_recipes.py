"""One suite over every method: sizes, seeds, inputs, induction, resuming."""

import json

import pytest
import torch

import multidd
from multidd.engine.options import SelectBest
from multidd.errors import CheckpointMismatchError, DivergedError
from multidd.graph.methods.registry import LEARNED, METHODS

pytestmark = pytest.mark.usefixtures("short_teachers")

ALL = sorted(METHODS)
SEEDLESS = ("herding", "kcenter")
REAL = ("random", "herding", "kcenter")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "budget", [{"nodes": 9}, {"ratio": 0.1}, {"per_class": 2}], ids=str
)
def test_size_and_labels(small, run, name, budget):
    made = run(name, small, **budget)
    count = {"nodes": 9, "ratio": 12, "per_class": 6}[next(iter(budget))]
    assert made.num_nodes == count
    assert torch.isfinite(made.tensors["x"]).all()
    found = torch.bincount(made.tensors["y"], minlength=3).tolist()
    assert found == [count // 3] * 3
    card = made.card
    assert (card.method, card.seed) == (name, 0)
    assert card.source["nodes"] == 120
    assert card.steps == len(card.history) == (3 if name in LEARNED else 0)
    assert json.loads(json.dumps(card.settings)) == card.settings


@pytest.mark.parametrize("name", ALL)
def test_labels_are_those_of_the_nodes(small, run, name):
    """The nearest class mean of each synthetic node is its class."""
    made = run(name, small, nodes=15)
    x, y = small.x, small.y
    means = torch.stack([x[y == label].mean(0) for label in range(3)])
    nearest = torch.cdist(made.tensors["x"], means).argmin(1)
    assert (nearest == made.tensors["y"]).float().mean() > 0.9


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_bits(small, run, name):
    one, same = run(name, small, seed=5), run(name, small.clone(), seed=5)
    assert one.digest() == same.digest()
    assert one.card.history == same.card.history


@pytest.mark.parametrize("name", ALL)
def test_seed_changes_the_result(small, run, name):
    digests = {run(name, small, seed=seed).digest() for seed in range(4)}
    assert (len(digests) == 1) if name in SEEDLESS else (len(digests) > 1)


@pytest.mark.parametrize("name", ALL)
def test_global_generators_are_untouched(small, run, name):
    before = torch.get_rng_state()
    run(name, small)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ALL)
def test_inductive_never_sees_other_nodes(small, run, name):
    before = run(name, small, inductive=True)
    other = small.clone()
    rest, rng = ~small.train_mask, torch.Generator().manual_seed(0)
    other.x[rest] = 100 * torch.randn(int(rest.sum()), 12, generator=rng)
    other.y[rest] = (small.y[rest] + 1) % 3
    inside = small.train_mask[small.edge_index].all(0)
    outside = torch.randint(120, (2, 500), generator=rng)
    outside = outside[:, ~small.train_mask[outside].all(0)]
    other.edge_index = torch.cat([small.edge_index[:, inside], outside], dim=1)
    other.val_mask, other.test_mask = small.test_mask.clone(), small.val_mask.clone()
    assert run(name, other, inductive=True).digest() == before.digest()
    assert before.card.source["nodes"] == 30
    if name not in REAL:  # real nodes may well be the same ones
        assert run(name, small).digest() != before.digest()


@pytest.mark.parametrize("name", ALL)
def test_test_labels_are_never_seen(small, run, name):
    before = run(name, small).digest()
    hidden = ~(small.train_mask | small.val_mask)
    small.y[hidden] = (small.y[hidden] + 1) % 3
    assert run(name, small).digest() == before


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
    made = run(name, small)
    gaps = (made.tensors["x"][:, None] - small.x).abs().amax(2)
    assert gaps.min(1).values.max() < 1e-5
    nodes = gaps.argmin(1)
    assert len(set(nodes.tolist())) == 9
    assert small.train_mask[nodes].all()
    assert torch.equal(small.y[nodes], made.tensors["y"])


def test_kmeans_of_all_training_nodes(small, graph):
    """The largest budget too gives propagated features, not raw ones."""
    made = multidd.graph.kmeans(small, per_class=10)
    hops = multidd.graph.models.propagation.propagate(graph.adjacency, graph.x, 2)
    torch.testing.assert_close(
        made.tensors["x"], hops[graph.train], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize(
    "options", [{"labels": "train"}, {"backbone": "gcn"}, {"backbone": "sgc"}], ids=str
)
@pytest.mark.parametrize("init", ["random", "herding", "kcenter", "kmeans"])
def test_every_setting_runs(small, run, name, options, init):
    if name == "gcsntk" and "backbone" in options:  # its kernel is its model
        return
    made = run(name, small, init=init, steps=2, **options)
    assert made.num_nodes == 9
    assert all(value > 0 for value in made.card.history)


@pytest.mark.parametrize(
    "options", [{"structure": "none"}, {"finish": "sample"}, {"finish": "threshold"}]
)
def test_settings_of_doscond(small, run, options):
    made = run("doscond", small, **options)
    assert (made.tensors["edge_weight"] == 1).all()
    if "structure" in options:
        assert made.num_edges == 0


@pytest.mark.parametrize("name", LEARNED)
def test_resumed_run_ends_with_the_same_bits(small, run, name, tmp_path):
    seen = []

    class Killer:
        deadly = True

        def on_start(self, run):
            pass

        def on_step(self, run):
            seen.append(run.step)
            if self.deadly and run.step == 5:
                raise RuntimeError("killed")

        def on_end(self, run):
            pass

    killer = Killer()
    options = {"steps": 8, "checkpoint": str(tmp_path), "checkpoint_every": 2}
    options["callbacks"] = [killer]
    with pytest.raises(RuntimeError, match="killed"):
        run(name, small, **options)
    killer.deadly = False
    resumed = run(name, small, **options)
    assert seen == [1, 2, 3, 4, 5, 5, 6, 7, 8]
    unbroken = run(name, small, steps=8)
    assert resumed.digest() == unbroken.digest()
    assert resumed.card.history == unbroken.card.history
    assert run(name, small, **options).digest() == unbroken.digest()
    assert seen[-1] == 8 and len(seen) == 9  # finished: nothing was left to do


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


@pytest.mark.parametrize("name", LEARNED)
def test_device_is_the_cpu_unless_told(small, run, name):
    assert run(name, small, device="cpu").digest() == run(name, small).digest()


@pytest.mark.parametrize("name", ["gcond", "gcond_x", "dm_x", "gcdm"])
def test_loss_falls(small, run, name):
    history = run(name, small, steps=60, init="random").card.history
    assert sum(history[-10:]) < 0.8 * sum(history[:10])


@pytest.mark.parametrize("name", LEARNED)
def test_select_best_keeps_a_scored_iterate(small, run, name):
    made = run(name, small, steps=6, select_best=SelectBest(every=2))
    assert made.num_nodes == 9
    steps = [run(name, small, steps=k).tensors["x"] for k in (0, 2, 4, 6)]
    if name == "doscond":  # its temperature depends on the number of steps
        return
    assert any(torch.equal(made.tensors["x"], x) for x in steps)


def test_select_best_without_validation_nodes(small, run):
    del small.val_mask
    with pytest.raises(ValueError, match="select_best needs validation nodes"):
        run("gcond", small, select_best=SelectBest(every=1))


def test_a_rate_far_too_large_is_named(small, run):
    with pytest.raises(DivergedError, match="at step") as caught:
        run("gcond", small, steps=200, lr=1e25)
    assert torch.isfinite(caught.value.summary.tensors["x"]).all()
