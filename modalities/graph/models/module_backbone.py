"""A PyG module of the caller's own: matched on, and trained in an evaluation."""

import inspect
from dataclasses import dataclass
from functools import lru_cache
from threading import get_ident
from typing import Any, Self, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.dense import Linear

from multidd.learning.modules import (
    FunctionalModule,
    ModuleFactory,
    check_factory,
    factory_name,
    make_module,
    seeded,
)
from multidd.protocols import Params
from multidd.seeds import at

__all__ = ["GraphModule", "ModuleBackbone", "NodeModel", "edges_of"]

LAYERS = (MessagePassing, Linear, nn.Linear)
"""Layers before which features are read."""

NodeModel: TypeAlias = ModuleFactory
"""What makes an `nn.Module` with `forward(x, edge_index, edge_weight)`, or without the
weights: a class or function that takes `(num_features, num_classes)` or nothing."""


class GraphModule(nn.Module):
    """A module of the caller's own, called alike whether it takes edge weights or not.

    Args:
        wrapped: takes `x`, `edge_index` and maybe `edge_weight`.

    Attributes:
        weighted: whether it takes edge weights.

    Example:
        >>> from torch_geometric.nn import GCNConv
        >>> with seeded(at(0, "net")):
        ...     module = GraphModule(GCNConv(3, 2))
        >>> edges = torch.tensor([[0, 1], [1, 0]])
        >>> module(torch.ones(2, 3), edges, torch.ones(2)).shape, module.weighted
        (torch.Size([2, 2]), True)
    """

    def __init__(self, wrapped: nn.Module) -> None:
        super().__init__()
        self.wrapped = wrapped
        parameters = inspect.signature(wrapped.forward).parameters.values()
        self.weighted = any(
            p.name == "edge_weight" or p.kind is p.VAR_KEYWORD for p in parameters
        )

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        """`[n, c]` logits."""
        weights = {"edge_weight": edge_weight} if self.weighted else {}
        logits: Tensor = self.wrapped(x, edge_index, **weights)
        return logits


class TrainedModule(nn.Module):
    """A module of the caller's own, as models of the library are trained and tested.

    Args:
        factory: makes the module.
        d: features.
        c: classes.
        rng: draws the weights.

    Example:
        >>> from torch_geometric.nn import SGConv
        >>> TrainedModule(SGConv, 5, 2, at(0, "net")).module.wrapped
        SGConv(5, 2, K=1)
    """

    def __init__(
        self, factory: ModuleFactory, d: int, c: int, rng: torch.Generator
    ) -> None:
        super().__init__()
        module = make_module(factory, (d, c), rng, _example(d)[:2])
        self.module = GraphModule(module).to(rng.device)

    def forward(self, graph: Any, rng: torch.Generator | None = None) -> Tensor:
        """`[n, c]` logits of `Inputs`; dropout drawn by `rng`, off where it is None."""
        if rng is None:
            return self.module.eval()(*graph.plain)
        with seeded(rng):
            return self.module.train()(*graph.plain)


def edges_of(adjacency: sp.csr_array) -> tuple[Tensor, Tensor]:
    """`edge_index` `[2, e]` and `edge_weight` `[e]` of a matrix, as PyG has them.

    Example:
        >>> edges_of(sp.csr_array([[0.0, 2.0], [2.0, 0.0]]))
        (tensor([[1, 0],
                [0, 1]]), tensor([2., 2.]))
    """
    entries = sp.coo_array(adjacency)
    pairs = np.stack([entries.col, entries.row]).astype(np.int64)
    weights = entries.data.astype(np.float32)
    return torch.from_numpy(pairs), torch.from_numpy(weights)


@dataclass(frozen=True, eq=False)
class ModuleBackbone:
    """Modules that a factory makes, instead of `SGC` or `GCN`.

    Each runs on the whole graph, real or synthetic, since how far it reaches is not
    known. Features are what enters each layer behind the first.

    Attributes:
        factory: makes modules; see `NodeModel`.
        form: features and classes of the graph, once they are known.

    Example:
        >>> from torch_geometric.nn import SGConv
        >>> ModuleBackbone(SGConv).bound(5, 2).describe()["kind"]
        'SGConv'
    """

    factory: ModuleFactory
    form: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        check_factory(self.factory)

    @property
    def propagations(self) -> int:
        """None: a module propagates by itself."""
        return 0

    @property
    def later(self) -> int:
        """Propagations by which the unit of the features is taken, as for a GCN."""
        return 2

    def bound(self, d: int, c: int) -> Self:
        """The same for graphs of so many features and classes, tried on one.

        Raises:
            TypeError, ValueError: see `multidd.learning.modules.FunctionalModule`.
        """
        if self.form == (d, c):
            return self
        backbone = type(self)(self.factory, (d, c))
        backbone.template("cpu")
        return backbone

    def describe(self) -> dict[str, Any]:
        """What a card says of it, and what a run goes on by."""
        if self.form is None:
            return {"kind": factory_name(self.factory)}
        template = self.template("cpu")
        return {"kind": template.name, "module": template.digest}

    def weights(
        self, rng: torch.Generator, models: int, d: int, c: int, like: Tensor
    ) -> Params:
        """Weights of new modules, each `[k, ...]`, on the device of `like`."""
        drawn = [self.template("cpu").weights(rng) for _ in range(models)]
        names = drawn[0]
        return {n: torch.stack([one[n] for one in drawn]).to(like) for n in names}

    def layers(
        self,
        weights: Params,
        x: Tensor,
        edges: tuple[Tensor, Tensor],
        last: int | None = None,
    ) -> list[Tensor]:
        """`[n, h]` before each layer behind the first, the logits last.

        Raises:
            ValueError: features are asked for, and the module's last step is no layer.
        """
        template = self.template(str(x.device))
        if last == 1:
            return [template.outputs(weights, x, *edges)]
        layers = template.layers(weights, x, *edges)
        return layers if last is None else layers[-last:]

    def template(self, device: str) -> FunctionalModule:
        """The module whose weights are passed in, on a device."""
        return _made(self, device, get_ident())


@lru_cache(maxsize=64)
def _made(backbone: ModuleBackbone, device: str, thread: int) -> FunctionalModule:
    assert backbone.form is not None
    d, c = backbone.form

    def wrapped(d: int, c: int) -> nn.Module:
        # The generator is seeded by who calls this.
        rng = torch.default_generator
        return GraphModule(make_module(backbone.factory, (d, c), rng, _example(d)[:2]))

    return FunctionalModule(wrapped, (d, c), _example(d), c, LAYERS, device)


def _example(d: int) -> tuple[Tensor, Tensor, Tensor]:
    """A ring of five nodes."""
    x = torch.rand(5, d, generator=at(0, "example"))
    ends = torch.arange(5)
    pairs = torch.stack([ends, ends.roll(1)])
    edge_index = torch.cat([pairs, pairs.flip(0)], 1)
    return x, edge_index, torch.ones(edge_index.shape[1])
