"""A set that goes on from tensors made before."""

import torch

from multidd import distill, seeds
from multidd.learning.optim import SGD
from multidd.objectives import DistributionMatching
from multidd.parameterizations.free import FromTensors
from multidd.settings import describe
from tests.tables import toy_for
from tests.toy import free


def test_it_goes_on_from_what_another_made() -> None:
    """No step gives the same; steps move what is to be learned, not what was given."""
    task, rate = toy_for(free()), {"x": SGD(0.1)}
    summary = distill(task, DistributionMatching(), free(), steps=2, optimizer=rate)
    start = {name: summary.tensors[name] for name in ("x", "y")}
    before = {name: tensor.clone() for name, tensor in start.items()}
    form = FromTensors(start)
    still = distill(task, DistributionMatching(), form, steps=0, optimizer=rate)
    on = distill(task, DistributionMatching(), form, steps=2, optimizer=rate)
    assert torch.equal(still.tensors["x"], before["x"])
    assert not torch.equal(on.tensors["x"], before["x"])
    assert all(torch.equal(start[name], before[name]) for name in before)
    assert form.groups == ("x",) and "tensor(" not in repr(form)


def test_other_tensors_are_another_start() -> None:
    """So that a checkpoint of one is not gone on with from the other."""
    one, other = (describe(FromTensors({"x": torch.ones(2) * n})) for n in (1, 2))
    assert one != other
    params = FromTensors({"x": torch.ones(2)}).init(
        toy_for(free()), seeds.at(0, "start")
    )
    leaf = {"x": params["x"].requires_grad_()}
    assert not FromTensors({}).final(leaf, seeds.at(0, "final"))["x"].requires_grad
