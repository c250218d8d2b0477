"""Graph classifiers: layers over nodes, the mean over them, and a linear head."""

from collections.abc import Callable
from copy import copy
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv, GINConv, SAGEConv
from torch_geometric.nn.dense import Linear

from multidd.graph.models.networks import apply, drawn
from multidd.graph.models.propagation import Sparse
from multidd.graph.models.wl_refinement import Levels

__all__ = ["SET_MODELS", "SetInputs", "build_graph_network"]

SET_MODELS = ("gcn", "gin", "sage", "mlp")

LAYERS = 3
"""Layers over nodes of every model."""


class Step:
    """What a layer reads of the level before it.

    Args:
        levels: the graphs.
        number: of the layer, from 0.
    """

    def __init__(self, levels: Levels, number: int) -> None:
        self._levels, self._number = levels, number
        self.previous_rows = levels.previous_rows[number]

    @cached_property
    def gcn(self) -> Sparse:
        r"""$D^{-1/2} (A + I) D^{-1/2}$."""
        return Sparse(self._levels.gcn[self._number], self._levels.device)

    @cached_property
    def mean(self) -> Sparse:
        """The mean over a node and its neighbours."""
        return Sparse(self._levels.mean[self._number], self._levels.device)

    @cached_property
    def looped(self) -> Sparse:
        """The sum over a node and its neighbours."""
        return Sparse(self._levels.looped[self._number], self._levels.device)


class SetInputs:
    """Graphs as models run on them.

    Args:
        levels: the graphs.
    """

    def __init__(self, levels: Levels) -> None:
        self.levels, self.x = levels, levels.x
        self.pool = Sparse(levels.pools[-1], levels.device)
        self.steps = [Step(levels, i) for i in range(len(levels.pools))]

    def only(self, graphs: Tensor) -> "SetInputs":
        """The same with the means of some of the graphs."""
        other = copy(self)
        other.pool = Sparse(self.pool.matrix[graphs.numpy()], self.levels.device)
        return other


Hop = Callable[[Any, Tensor, Step], Tensor]


class Pooled(nn.Module):
    """Layers with ReLU after each, the mean over nodes, a head.

    Args:
        layers: over nodes.
        head: over means.
        hop: what a layer does with features and graphs.
        dropout: chance that a unit of the mean is dropped.
    """

    def __init__(
        self, layers: list[nn.Module], head: nn.Module, hop: Hop, dropout: float
    ) -> None:
        super().__init__()
        self.layers, self.head = nn.ModuleList(layers), head
        self.hop, self.dropout = hop, dropout

    def forward(self, graphs: SetInputs, rng: torch.Generator | None = None) -> Tensor:
        """`[n, c]` logits; with dropout drawn by `rng`, without where it is None."""
        hidden = graphs.x
        for layer, step in zip(self.layers, graphs.steps, strict=True):
            hidden = self.hop(layer, hidden, step).relu()
        pooled = graphs.pool @ hidden
        if rng is not None and self.dropout:
            keep = torch.empty_like(pooled).bernoulli_(1 - self.dropout, generator=rng)
            pooled = pooled * keep / (1 - self.dropout)
        return apply(self.head, pooled)


def _gcn_hop(layer: Any, x: Tensor, step: Step) -> Tensor:
    return step.gcn @ apply(layer.lin, x) + layer.bias


def _sage_hop(layer: Any, x: Tensor, step: Step) -> Tensor:
    around = step.mean @ (x @ layer.lin_l.weight.T) + layer.lin_l.bias
    return around + apply(layer.lin_r, x)[step.previous_rows]


def _gin_hop(layer: Any, x: Tensor, step: Step) -> Tensor:
    first, second = layer.nn[0], layer.nn[2]
    summed = step.looped @ (x @ first.weight.T) + first.bias
    return apply(second, summed.relu())


def _mlp_hop(layer: Any, x: Tensor, step: Step) -> Tensor:
    return apply(layer, x)[step.previous_rows]


def _gin(fan: int, width: int) -> GINConv:
    return GINConv(nn.Sequential(Linear(fan, width), nn.ReLU(), Linear(width, width)))


KINDS: dict[str, tuple[Callable[[int, int], nn.Module], Hop]] = {
    "gcn": (GCNConv, _gcn_hop),
    "gin": (_gin, _gin_hop),
    "sage": (SAGEConv, _sage_hop),
    "mlp": (Linear, _mlp_hop),
}


def build_graph_network(
    name: str,
    d: int,
    c: int,
    rng: torch.Generator,
    *,
    width: int = 128,
    dropout: float = 0.0,
) -> Any:
    """A graph classifier of three layers by name, with random weights.

    Args:
        name: one of `SET_MODELS`; `"mlp"` does not see edges.
        d: features.
        c: classes.
        rng: draws the weights.
        width: of the layers.
        dropout: chance that a unit of the mean is dropped in training.

    Returns:
        A module that maps `SetInputs` to logits `[n, c]`.

    Raises:
        ValueError: no such model.

    Example:
        >>> len(build_graph_network("gin", 5, 2, torch.Generator()).layers)
        3
    """
    if name not in KINDS:
        raise ValueError(f"model must be one of {', '.join(KINDS)}; got {name!r}")
    make, hop = KINDS[name]
    sizes = [d, *[width] * LAYERS]
    with torch.device("meta"):  # so that the layers draw nothing themselves
        convolutions = [make(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True)]
        model = Pooled(convolutions, Linear(width, c), hop, dropout)
    model = model.to_empty(device=rng.device)
    for buffer in model.buffers():  # GINConv's eps
        buffer.zero_()
    return drawn(model, rng)
