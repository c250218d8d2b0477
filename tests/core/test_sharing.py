"""How ranks cut a batch, and which way they choose; without other processes."""

from typing import Any

import pytest
import torch
from torch import nn

from multidd.images.models.backbone import Backbone
from multidd.images.models.module_backbone import backbone_by
from multidd.images.tasks.image_task import ImageTask
from multidd.learning.states import Bank
from multidd.objectives import (
    DistributionMatching,
    GradientMatching,
    KernelRidge,
    Mix,
    TrajectoryMatching,
)
from multidd.objectives.mix import Part
from multidd.objectives.terms import Discrimination
from multidd.parallel.rank_group import Ranks
from multidd.parallel.sharing import Sharing, sharing, sharing_by, way_of
from multidd.protocols import ways_to_share
from multidd.seeds import at
from tests.images.conftest import corners
from tests.images.tasks import task_of
from tests.toy import Toy

MATCH, RIDGE = DistributionMatching(), KernelRidge()
BANK = GradientMatching(states=Bank(1, 2))
APART = DistributionMatching((Discrimination(),))


@pytest.fixture
def task() -> ImageTask:
    return task_of(corners(), batch_size=5)


@pytest.mark.parametrize(
    "objective, world, share, way",
    [
        (MATCH, 1, None, None),
        (MATCH, 2, None, "rows"),  # three classes are less than two for each
        (MATCH, 2, "classes", "classes"),
        (MATCH, 3, "classes", "classes"),
        (APART, 2, None, "rows"),
        (RIDGE, 2, None, "rows"),
        (BANK, 2, None, None),
        (BANK, 2, "rows", None),
        (TrajectoryMatching(), 2, None, None),
        (Mix((Part(BANK), Part(RIDGE))), 2, None, "rows"),
        (Mix((Part(BANK), Part(TrajectoryMatching()))), 2, None, None),
    ],
)
def test_ways(task: Any, objective: Any, world: int, share: Any, way: Any):
    assert way_of(objective, task, Ranks(0, world, share=share)) == way


def test_classes_are_taken_where_each_rank_gets_two():
    x = torch.rand(24, 1, 8, 8, generator=at(0, "x"))
    y = torch.arange(4).repeat(6)
    task = task_of((x, y.tolist()), batch_size=4)
    ways = [way_of(MATCH, task, Ranks(0, world)) for world in (2, 3)]
    assert ways == ["classes", "rows"]


@pytest.mark.parametrize(
    "objective, world, share, fault",
    [
        (RIDGE, 2, "classes", "KernelRidge on ImageTask can be shared by rows only"),
        (MATCH, 4, "classes", "3 classes for 4 ranks leave some without one"),
    ],
)
def test_ways_that_are_refused(
    task: Any, objective: Any, world: int, share: Any, fault: str
):
    with pytest.raises(ValueError, match=fault):
        way_of(objective, task, Ranks(0, world, share=share))


def net(*layers: nn.Module) -> Any:
    head = nn.Flatten(), nn.Linear(4 * 64, 3)
    return lambda: nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), *layers, *head)


@pytest.mark.parametrize(
    "backbone, ways",
    [
        (Backbone(width=4), ("classes", "rows")),
        (Backbone(width=4, norm="batch"), ()),
        (backbone_by(net(nn.ReLU())), ("classes", "rows")),
        (backbone_by(net(nn.BatchNorm2d(4, track_running_stats=False))), ()),
    ],
)
def test_images_that_depend_on_each_other_are_not_cut(backbone: Any, ways: Any):
    task = task_of(corners(), backbone=backbone)
    assert task.shareable == ways == ways_to_share(MATCH, task)


def test_a_task_or_an_objective_that_does_not_say_is_not_cut(task: Any):
    assert ways_to_share(MATCH, Toy()) == ways_to_share(object(), task) == ()


@pytest.mark.parametrize("way", ["classes", "rows"])
@pytest.mark.parametrize("world", [2, 3, 20])
def test_cuts_make_up_the_batch(task: Any, way: Any, world: int):
    if way == "classes" and world > task.num_classes:
        world = task.num_classes
    batch = task.batch(at(0, "batch"))
    cuts = [Sharing(Ranks(r, world), way).cut(task, batch) for r in range(world)]
    rows = torch.cat([cut.rows for cut in cuts])
    assert rows.sort().values.tolist() == list(range(15))
    assert sum(cut.fraction for cut in cuts) == pytest.approx(1)
    assert float(sum(cut.weight for cut in cuts)) == pytest.approx(1)
    for cut in cuts:
        inside = batch.x[cut.rows] if len(cut.rows) else batch.x[:1]
        assert torch.equal(cut.batch.x, inside)
    masses = torch.stack([cut.mass for cut in cuts]).sum(0)
    assert torch.equal(masses, cuts[0].whole.mass)


def test_sharing_is_of_the_block_alone():
    with sharing_by(Ranks(0, 2), "rows"):
        shared = sharing()
        with sharing_by(Ranks(0, 2), None):
            assert sharing() is None
        assert sharing() is shared and shared.way == "rows"
    assert sharing() is None
    with sharing_by(Ranks(), "rows"):
        assert sharing() is None
