"""The loss of DC with gradients by hand is that of autograd, given the same draws."""

import pytest
import torch

import multidd
from multidd import seeds
from multidd.images import ImageTask
from multidd.images.models.backbone import Backbone
from multidd.learning.states import Fresh
from multidd.objectives import GradientMatching
from multidd.objectives.distances import ColumnCosine
from multidd.parameterizations import Free
from multidd.selection.basic import Random


def loss_of(task: ImageTask) -> torch.Tensor:
    """At the first step of a run, one synthetic image of each class."""
    objective = GradientMatching(ColumnCosine(), Fresh())
    state = objective.init(task, seeds.at(0, "init"))
    free = Free(Random(), (1,) * 10)
    params = free.init(task, seeds.at(0, "free"))
    batch = task.synthetic(free.draw(params, seeds.at(0, "draw"), 0))
    return objective.loss(task, state, batch, seeds.at(0, "loss")).detach()


@pytest.mark.parametrize("width", [16, 128])
def test_loss_by_hand(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Float32, ConvNet-3, the sample's images: to 1e-4 and better."""
    train, _ = multidd.samples.fashion()
    task = ImageTask.of(train, backbone=Backbone(width=width), batch_size=8)
    by_hand = loss_of(task)
    asked = []
    monkeypatch.setattr(Backbone, "gradients", lambda *_: asked.append(True))
    by_autograd = loss_of(task)
    assert asked  # the other way was taken
    torch.testing.assert_close(by_hand, by_autograd, rtol=1e-4, atol=0)
