"""Recipes of trajectories: experts found again, what DATM starts from, quality."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import multidd
from multidd import seeds
from multidd.images.methods.trajectory import EXPERTS
from multidd.learning.experts import Experts, Trainer, record
from multidd.learning.optim import SGD
from multidd.objectives.trajectory_diagnostics import TrajectoryMonitor
from multidd.protocols import Records
from multidd.selection.basic import Herding, Random, Recognized
from tests.images.tasks import task_of
from tests.images.test_quality import report_of

NAMES = ("mtt", "tesla", "ftd", "datm")
FEW = Experts(Trainer(epochs=2, steps=2), count=2)
every = pytest.mark.parametrize("name", NAMES)


@every
def test_experts_are_recorded_once(small, run, name, tmp_path: Path):
    """Another run, with another seed and more steps, reads the same files."""
    experts = replace(FEW, folder=str(tmp_path))
    first = run(name, small, experts=experts)
    files = sorted(tmp_path.rglob("*.safetensors"))
    before = [path.stat().st_mtime_ns for path in files]
    run(name, small, experts=experts, seed=1, steps=4, ipc=1)
    assert len(files) == 2 and files == sorted(tmp_path.rglob("*.safetensors"))
    assert [path.stat().st_mtime_ns for path in files] == before
    with ThreadPoolExecutor(2) as executor:
        away = replace(experts, folder=str(tmp_path / "other"))
        again = run(name, small, experts=away, executor=executor)
    assert again.digest() == first.digest()
    assert first.card.settings["experts"] == again.card.settings["experts"]
    assert first.card.settings["learned"]["rate"] > 0


@pytest.mark.parametrize("model", ["convnet", "mlp"])
def test_threads_do_not_disturb_each_other(small, tmp_path, model):
    task = task_of(
        small, batch_size=6, backbone=multidd.images.models.backbone.Backbone(model)
    )
    results = []
    for place, executor in enumerate((None, ThreadPoolExecutor(4))):
        one = Experts(Trainer(2, 3), count=6, folder=str(tmp_path / str(place)))
        record(task, one, executor=executor)
        store = one.store(task)
        results.append([store.path(n).read_bytes() for n in range(6)])
    assert results[0] == results[1]


def test_tesla_is_mtt_in_another_memory(small, run):
    one, other = (run(n, small, backprop="first_order") for n in ("mtt", "tesla"))
    assert torch.equal(one.tensors["x"], other.tensors["x"])
    exact = run("tesla", small, backprop="exact")
    stored = run("mtt", small, backprop="stored")
    torch.testing.assert_close(exact.tensors["x"], stored.tensors["x"])
    assert not torch.equal(exact.tensors["x"], other.tensors["x"])


def test_a_selection_among_recognized_records():
    rng = torch.Generator().manual_seed(0)
    labels = torch.tensor([0] * 6 + [1] * 6)
    records = Records(torch.randn(12, 3, generator=rng), labels, 2)
    right = torch.tensor([1, 0, 1, 0, 1, 0] + [0, 0, 0, 0, 0, 1]).bool()
    for base in (Random(), Herding()):
        picks = Recognized(base, right).pick(records, (3, 2), seeds.at(0, "pick"))
        assert picks.labels.tolist() == [0, 0, 0, 1, 1]
        chosen = picks.indices.tolist()
        assert set(chosen[:3]) == {0, 2, 4}
        assert len(set(chosen[3:])) == 2 and min(chosen[3:]) > 5


def test_datm_starts_from_what_experts_know(small, run):
    """Soft labels are probabilities whose likeliest class is the image's."""
    experts = Experts(Trainer(epochs=2, steps=20, optimizer=SGD(0.3)), count=2)
    options = {"experts": experts, "batch_size": 30, "width": 8, "depth": 2, "steps": 0}
    start = run("datm", small, **options)
    soft = start.tensors["y_soft"]
    torch.testing.assert_close(soft.sum(1), torch.ones(6))
    assert torch.equal(soft.argmax(1), start.tensors["y"]) and soft.max() < 0.9999
    moved = run("datm", small, **(options | {"steps": 3}))
    assert not torch.equal(moved.tensors["y_soft"], soft)
    tiled = run("datm", small, factor=2)
    assert tiled.num_images == 24


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"syn_steps": 0}, "steps"),
        ({"lr_net": 0.0}, "lr=0.0"),
        ({"start_epochs": (0, 2)}, "ask for epochs 0 to 3"),
        ({"backprop": "none"}, "backprop"),
        ({"batch_syn": 0}, "batch_syn"),
    ],
)
def test_bad_settings(small, run, options, message):
    with pytest.raises(ValueError, match=message):
        run("mtt", small, **options)


def test_too_many_steps_for_the_memory_at_hand(small, run):
    with pytest.raises(ValueError, match="10000000 steps .* are free; steps="):
        run("mtt", small, backprop="exact", syn_steps=10**7)


@pytest.mark.full  # on small networks: contracts/test_trajectory.py
def test_tesla_teaches_a_convnet(fashion):
    """Better than as many real images, and the rate is learned."""
    trainer = replace(EXPERTS.trainer, epochs=3, steps=10)
    few = multidd.images.TESLAOptions(
        lr=0.08,
        experts=Experts(trainer, count=2),
        start_epochs=(0, 1),
        width=8,
        batch_size=48,
    )
    watch = TrajectoryMonitor()
    summary = multidd.images.tesla(
        fashion.train,
        ipc=1,
        steps=30,
        options=few,
        progress=False,
        run=multidd.RunOptions(callbacks=[watch]),
    )
    report = report_of(summary, fashion, ["convnet"])
    assert report.accuracy("convnet") > report.accuracy("convnet", "random") + 0.05
    history = summary.card.history
    assert sum(history[-10:]) < 0.85 * sum(history[:10])
    assert watch.findings == {0: (), 30: ()}
    assert 0.5 < watch.probes[0].cosine < 1
