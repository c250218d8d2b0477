"""Kernels in closed form against the gradients of wide finite networks."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, jacrev, vmap

from multidd.kernels import infinite_kernel, random_feature_kernel

WEIGHT, BIAS, DEPTH = 2.0, 0.01, 2


class Wide(torch.nn.Module):
    """An NTK-parameterized ReLU network: standard normal weights, scaled at use."""

    def __init__(self, architecture: str, width: int, rng: torch.Generator) -> None:
        super().__init__()
        self.architecture = architecture
        kernel = () if architecture == "fc" else (3, 3)
        fan, draw = 12 if architecture == "fc" else 3, {"generator": rng}
        self.weights, self.biases = torch.nn.ParameterList(), torch.nn.ParameterList()
        for _ in range(DEPTH):
            self.weights.append(torch.randn(width, fan, *kernel, **draw))
            self.biases.append(torch.randn(width, **draw))
            fan = width
        last = width * 16 if architecture == "conv" else width
        self.weights.append(torch.randn(1, last, **draw))
        self.biases.append(torch.randn(1, **draw))

    def forward(self, x: Tensor, features: bool = False) -> Tensor:
        apply: Callable[..., Tensor] = F.linear
        if self.architecture != "fc":
            apply = lambda x, w, b: F.conv2d(x, w, b, padding=1)  # noqa: E731
        # By index: a slice of a list of parameters is another list of parameters.
        for layer in range(DEPTH):
            weight, bias = self.weights[layer], self.biases[layer]
            scale = (WEIGHT / weight[0].numel()) ** 0.5
            x = torch.relu(apply(x, scale * weight, BIAS**0.5 * bias))
        x = x.mean((-2, -1)) if self.architecture == "conv_gap" else x.flatten(1)
        if features:
            return x
        weight, bias = self.weights[-1], self.biases[-1]
        scale = (WEIGHT / weight.shape[1]) ** 0.5
        return F.linear(x, scale * weight, BIAS**0.5 * bias)[:, 0]


def empirical(network: Wide, x: Tensor) -> Tensor:
    """The products of the gradients of the output in all parameters."""
    parameters = {k: v.detach() for k, v in network.named_parameters()}

    def one(p: dict[str, Tensor], image: Tensor) -> Tensor:
        return functional_call(network, p, (image[None],))[0]

    gradients = vmap(jacrev(one), (None, 0))(parameters, x)
    rows = torch.cat([g.flatten(1) for g in gradients.values()], 1)
    return rows @ rows.mT


@pytest.mark.parametrize("architecture", ["fc", "conv", "conv_gap"])
def test_wide_networks_come_close(architecture: str) -> None:
    """Mean over a few networks; the error shrinks with the root of the width."""
    rng = torch.Generator().manual_seed(0)
    shape = (4, 12) if architecture == "fc" else (4, 3, 4, 4)
    x = torch.randn(shape, generator=rng)
    networks = [Wide(architecture, 256, rng) for _ in range(24)]
    with torch.no_grad():
        features = torch.stack([network(x, features=True) for network in networks])
    results = {
        "ntk": torch.stack([empirical(n, x) for n in networks]).mean(0),
        "nngp": random_feature_kernel(
            features, weight_variance=WEIGHT, bias_variance=BIAS
        ),
    }
    for kind, value in results.items():
        errors = [
            float((value - exact).norm() / exact.norm())
            for exact in (
                infinite_kernel(x, depth=depth, architecture=architecture, kind=kind)
                for depth in (DEPTH - 1, DEPTH, DEPTH + 1)
            )
        ]
        assert errors[1] < 0.05, (kind, errors)
        assert errors[1] < 0.5 * min(errors[0], errors[2]), (kind, errors)
