"""Models that condensation matches on, as functions of weights side by side."""

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from multidd.graph.models.module_backbone import ModuleBackbone
from multidd.learning.modules import ModuleFactory
from multidd.protocols import Params

__all__ = ["GCN", "SGC", "Backbone"]


@dataclass(frozen=True)
class SGC:
    """A linear softmax head on features propagated `hops` times.

    Attributes:
        hops: propagations before the head.
        weight_scale: standard deviation range of the random head, drawn log-uniformly
            for each model; None draws it as PyTorch does, uniform in +-1/sqrt(d).

    Reference:
        Wu et al., "Simplifying Graph Convolutional Networks", ICML 2019.

    Example:
        >>> SGC().propagations
        2
    """

    hops: int = 2
    weight_scale: tuple[float, float] | None = None

    @property
    def propagations(self) -> int:
        """Propagations of the features before the first weight."""
        return self.hops

    @property
    def later(self) -> int:
        """Propagations after it."""
        return 0

    def weights(
        self, rng: torch.Generator, models: int, d: int, c: int, like: Tensor
    ) -> Params:
        """Random weights `[k, c, d]` and biases `[k, c]`."""
        if self.weight_scale is None:
            weight = uniform((models, c, d), d, rng, like)
            return {"weight": weight, "bias": uniform((models, c), d, rng, like)}
        low, high = self.weight_scale
        u = torch.rand(models, 1, 1, generator=rng, device=like.device).to(like.dtype)
        noise = torch.randn(models, c, d, generator=rng, device=like.device)
        weight = low * (high / low) ** u * noise.to(like.dtype)
        return {"weight": weight, "bias": like.new_zeros(models, c)}

    def features(
        self, weights: Params, inputs: Tensor, operators: tuple[Tensor | None, ...]
    ) -> list[Tensor]:
        """The propagated features and the logits of one model."""
        return [inputs, inputs @ weights["weight"].T + weights["bias"]]


@dataclass(frozen=True)
class GCN:
    """Graph convolutions with ReLU between.

    Attributes:
        layers: two or more.
        width: of the hidden layers.

    Reference:
        Kipf, Welling, "Semi-Supervised Classification with Graph Convolutional
        Networks", ICLR 2017.

    Example:
        >>> GCN(layers=3).later
        2
    """

    layers: int = 2
    width: int = 256

    def __post_init__(self) -> None:
        if self.layers < 2:
            raise ValueError(f"a GCN has 2 layers or more here, got {self.layers}")

    @property
    def propagations(self) -> int:
        """Propagations of the features before the first weight."""
        return 1

    @property
    def later(self) -> int:
        """Propagations after it."""
        return self.layers - 1

    def weights(
        self, rng: torch.Generator, models: int, d: int, c: int, like: Tensor
    ) -> Params:
        """Random weights `[k, out, in]` and biases `[k, out]` of every layer."""
        sizes = [d, *[self.width] * (self.layers - 1), c]
        params = {}
        for i, (fan, out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            params[f"weight{i}"] = uniform((models, out, fan), out, rng, like)
            params[f"bias{i}"] = uniform((models, out), out, rng, like)
        return params

    def features(
        self, weights: Params, inputs: Tensor, operators: tuple[Tensor | None, ...]
    ) -> list[Tensor]:
        """Every layer's output of one model, the logits last."""
        hidden = inputs @ weights["weight0"].T + weights["bias0"]
        outputs = []
        for i, step in enumerate(operators, 1):
            hidden = hidden.relu()
            outputs.append(hidden)
            hidden = hidden @ weights[f"weight{i}"].T
            hidden = hidden if step is None else step @ hidden
            hidden = hidden + weights[f"bias{i}"]
        return [*outputs, hidden]


Backbone: TypeAlias = SGC | GCN | ModuleBackbone

BACKBONES: dict[str, Backbone] = {"sgc": SGC(), "gcn": GCN()}


NamedModel: TypeAlias = str | Backbone | ModuleFactory
"""A name, settings of a model, or what makes a module of the caller's own; see
`multidd.graph.models.module_backbone.NodeModel`."""


def named_backbone(model: NamedModel) -> Backbone:
    """The model of that name, that a factory makes, or the model itself.

    Raises:
        TypeError: a module that is made already, or no factory.
        ValueError: no such name.

    Example:
        >>> named_backbone("sgc")
        SGC(hops=2, weight_scale=None)
    """
    if isinstance(model, SGC | GCN | ModuleBackbone):
        return model
    if not isinstance(model, str):
        return ModuleBackbone(model)
    if model not in BACKBONES:
        raise ValueError(f"model must be one of {', '.join(BACKBONES)}: {model!r}")
    return BACKBONES[model]


def uniform(
    shape: tuple[int, ...], fan: int, rng: torch.Generator, like: Tensor
) -> Tensor:
    """Numbers from -1/sqrt(fan) to 1/sqrt(fan), of the kind of `like`."""
    noise = torch.rand(shape, generator=rng, device=like.device, dtype=like.dtype)
    return (2 * noise - 1) * fan**-0.5
