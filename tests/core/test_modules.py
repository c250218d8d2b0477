"""Modules of a caller's own: what is handled, and what is refused by one sentence."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multidd.learning.modules import FunctionalModule, make_module, seeded
from multidd.seeds import at

X = torch.rand(4, 3, generator=at(0, "x"))


def template(factory: Any, outputs: int = 2, x: Tensor = X) -> FunctionalModule:
    return FunctionalModule(factory, (3, 2), (x,), outputs)


def wrapping(change: Callable[[nn.Module, Tensor], Any]) -> Callable[[], nn.Module]:
    """A factory of modules whose forward is a function."""

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 2)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Tensor) -> Any:
            return change(self, x)

    return Wrapped


# --- what is handled ------------------------------------------------------------------


def test_a_factory_gets_what_it_asks_for() -> None:
    assert make_module(nn.Linear, (3, 2), at(0, "w")).out_features == 2
    assert make_module(lambda: nn.Linear(3, 7), (3, 2), at(0, "w")).out_features == 7


def test_weights_are_those_of_the_generator_alone() -> None:
    before = torch.get_rng_state()
    net = template(nn.Linear)
    first, second, again = (net.weights(at(seed, "w")) for seed in (0, 1, 0))
    assert torch.equal(first["weight"], again["weight"])
    assert not torch.equal(first["weight"], second["weight"])
    assert torch.equal(torch.get_rng_state(), before)


def test_running_statistics_stay_out() -> None:
    """Batch norms use the batch, in every pass, and no dropout is drawn."""

    def normed() -> nn.Module:
        return nn.Sequential(
            nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Dropout(0.9), nn.Linear(5, 2)
        )

    net = template(normed)
    weights = net.weights(at(0, "w"))
    module = make_module(normed, (), at(1, "w")).train()
    module[2].p = 0.0
    module.load_state_dict(weights, strict=False)
    assert net.mixes_records
    assert torch.allclose(net.outputs(weights, X), module(X), atol=1e-6)
    assert torch.equal(net.outputs(weights, X), net.outputs(weights, X))


def test_constants_are_no_weights() -> None:
    def frozen() -> nn.Module:
        base = nn.Linear(3, 4)
        nn.init.ones_(base.weight)
        return nn.Sequential(base.requires_grad_(False), nn.ReLU(), nn.Linear(4, 2))

    net = template(frozen)
    assert set(net.weights(at(0, "w"))) == {"2.weight", "2.bias"}

    def other() -> nn.Module:
        module = frozen()
        nn.init.zeros_(module[0].weight)
        return module

    assert template(other).digest != net.digest


def test_attention_has_second_derivatives() -> None:
    def attending() -> nn.Module:
        layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        return nn.Sequential(
            nn.Unflatten(1, (3, 1)), nn.Linear(1, 4), layer, nn.Flatten()
        )

    net = FunctionalModule(attending, (), (X,), 12)
    x = X.clone().requires_grad_()
    weights = {n: w.requires_grad_() for n, w in net.weights(at(0, "w")).items()}
    loss = net.outputs(weights, x).square().sum()
    grads = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
    sum(g.square().sum() for g in grads).backward()
    assert bool(x.grad.abs().sum() > 0)


def test_the_digest_tells_code_from_code() -> None:
    plain = wrapping(lambda module, x: module.head(x))
    digests = {template(nn.Linear).digest, template(lambda: nn.Linear(3, 2)).digest}
    assert len(digests) == 1  # the name of the factory does not count

    class One(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).relu()

    class Two(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).tanh()

    Two.__qualname__, Two.__name__ = One.__qualname__, One.__name__
    assert template(One).digest != template(Two).digest
    assert template(plain).name == "Wrapped"


def test_one_module_again_and_again_stays_as_it_is() -> None:
    with seeded(at(0, "w")):
        module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    net = template(lambda: module)
    assert torch.equal(net.weights(at(0, "w"))["0.weight"], module[0].weight)
    assert module.training and module[0].weight.requires_grad
    assert all(t.equal(state[n]) for n, t in module.state_dict().items())


def test_seeded_gives_the_generator_back() -> None:
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), seeded(at(0, "net")):
        torch.rand(1)
        raise RuntimeError("in between")
    assert torch.equal(torch.get_rng_state(), before)


# --- what is refused ------------------------------------------------------------------


def counted(module: nn.Module, x: Tensor) -> Tensor:
    module.calls += 1
    return module.head(x)


@pytest.mark.parametrize(
    ("factory", "error", "message"),
    [
        (nn.Linear(3, 2), TypeError, "is a Linear that is made already"),
        ("linear", TypeError, "must be a name or a function that gives an nn.Module"),
        (lambda one: nn.Linear(3, 2), TypeError, "asks for one; it must ask for 2"),
        (lambda: 3, TypeError, "must give an nn.Module; it gave a int"),
        (nn.ReLU, ValueError, "ReLU has no parameters to train"),
        (lambda: nn.Linear(5, 2), ValueError, r"does not take inputs of \[4, 3\]: "),
        (lambda: nn.Linear(3, 9), ValueError, r"logits of \[4, 2\].*gives \[4, 9\]"),
        (wrapping(lambda m, x: (m.head(x),)), ValueError, "gives tuple"),
        (
            wrapping(lambda m, x: m.head(x) + torch.rand(2)),
            ValueError,
            "other outputs for the same input: it draws random numbers in eval mode",
        ),
        (
            wrapping(lambda m, x: m.head(x.mul_(2.0))),
            ValueError,
            "changes its input in place",
        ),
        (wrapping(counted), ValueError, "changes its buffer 'calls' as it runs"),
    ],
)
def test_refusals(factory: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        template(factory)


def test_layers_that_change_are_refused() -> None:
    sizes = iter((5, 5, 6))

    def growing() -> nn.Module:
        size = next(sizes)
        return nn.Sequential(nn.Linear(3, size), nn.Linear(size, 2))

    net = template(growing)
    net.weights(at(0, "w"))
    with pytest.raises(ValueError, match="has other layers each time it is made"):
        net.weights(at(0, "w"))


def test_features_need_a_last_layer() -> None:
    net = template(lambda: nn.Sequential(nn.Linear(3, 2), nn.Softplus()))
    with pytest.raises(ValueError, match="its last step must be a layer with weights"):
        net.layers(net.weights(at(0, "w")), X)


def test_one_record_is_too_few_for_a_batch_norm() -> None:
    net = template(lambda: nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)))
    with pytest.raises(ValueError, match="sees one record at a time; distill 2 or mor"):
        net.outputs(net.weights(at(0, "w")), X[:1])
