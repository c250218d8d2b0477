"""The pretend device refuses what a GPU refuses, and counts what costs time there."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from multidd import seeds
from multidd.arguments import check_device
from tests.device.pretend import DEVICE, DeviceFault, Pretend, on_device
from tests.device.walk import strays

pytestmark = pytest.mark.changes_globals("torch.Generator, while a device is watched")


def there(*numbers: float) -> Tensor:
    return torch.tensor(numbers).to(DEVICE)


WRONG: dict[str, Callable[[], object]] = {
    "tensors of two devices": lambda: there(1.0, 2.0) + torch.ones(2),
    "a product": lambda: torch.ones(2, 2) @ there(1.0, 2.0),
    "a generator of the CPU": lambda: torch.rand(
        2, device=DEVICE, generator=seeds.at(0, "x")
    ),
    "a generator of the device": lambda: torch.rand(
        2, generator=seeds.at(0, "x", device="pretend")
    ),
    "an index of the device": lambda: torch.ones(2)[there(1.0).long()],
    "numpy": lambda: there(1.0).numpy(),
    "an array": lambda: np.asarray(there(1.0)),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_gpu_refuses_is_a_fault(name: str) -> None:
    with Pretend(), pytest.raises(DeviceFault):
        WRONG[name]()
    with Pretend(strict=False) as seen:
        try:
            WRONG[name]()
        except (RuntimeError, TypeError):  # what cannot go on at all
            pass
    assert sum(seen.faults.values()) >= 1


def test_what_a_gpu_takes_is_none() -> None:
    with Pretend() as seen:
        x = there(1.0, 2.0)
        assert (x + torch.tensor(1.0)).sum().item() == 5.0
        assert x[torch.tensor([1])].tolist() == [2.0]
        assert torch.where(x > 1, x, torch.tensor(0.0)).tolist() == [0.0, 2.0]
        assert x.cpu().numpy().tolist() == [1.0, 2.0]
        rng = seeds.at(0, "x", device="pretend")
        assert on_device(torch.rand(3, generator=rng, device=rng.device))
        assert seeds.host(rng).device.type == "cpu"
        assert seeds.host(rng) is seeds.host(rng)
    assert not seen.faults
    assert seen.total("wait") == 3 and seen.total("copy down") == 1


def test_gradients_of_gradients_are_those_of_the_processor() -> None:
    def second(device: torch.device | str) -> list[float]:
        x = torch.tensor([0.5, -1.0, 2.0]).to(device).requires_grad_()
        (first,) = torch.autograd.grad((x**3).sin().sum(), x, create_graph=True)
        (result,) = torch.autograd.grad(first.square().sum(), x)
        numbers: list[float] = result.cpu().tolist()
        return numbers

    with Pretend():
        assert second(DEVICE) == second("cpu")


def test_modules_move_there() -> None:
    net = nn.Linear(2, 1)
    with Pretend():
        twin = nn.Linear(2, 1).to(DEVICE)
        twin.load_state_dict(net.state_dict())
        out = twin(there(1.0, 2.0)[None]).cpu()
    assert torch.equal(out, net(torch.tensor([[1.0, 2.0]])))


def test_strays_are_named() -> None:
    with Pretend():
        tree = {"a": there(1.0), "b": {"c": torch.ones(1)}, "d": [torch.tensor(1.0)]}
        assert list(strays(tree)) == ["b.c"]


def test_it_is_there_as_a_device() -> None:
    with Pretend():
        assert check_device("pretend") == "pretend"
