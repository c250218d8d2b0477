"""Generated adjacency: GCOND's network over pairs of synthetic nodes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from multidd.parameterizations.free import Free
from multidd.protocols import Draw, Params, Task

GROUP = "adjacency"


@dataclass(frozen=True)
class PairwiseAdjacency:
    r"""$A'_{ij} = \sigma\big((g(x_i, x_j) + g(x_j, x_i)) / 2 + b\big)$, zero diagonal.

    $g$ is a network of three layers with batch normalization over all pairs. Its first
    layer is split, $W [x_i; x_j] = W_l x_i + W_r x_j$, so that no tensor of all pairs
    of features is ever made. Batch statistics are part of the map: the summary keeps
    A', not the network.

    Attributes:
        base: the nodes.
        width: of the two hidden layers.
        bias: b, where the logits start; far below zero A' starts next to empty.
        threshold: entries of the finished A' below it become zero.

    Reference:
        Jin et al., "Graph Condensation for Graph Neural Networks", ICLR 2022.

    Example:
        >>> from multidd.selection import Random
        >>> PairwiseAdjacency(Free(Random(), (5, 5))).groups
        ('x', 'adjacency')
    """

    base: Free
    width: int = 128
    bias: float = 0.0
    threshold: float = 0.0

    @property
    def groups(self) -> tuple[str, ...]:
        """The nodes' groups and the network."""
        return (*self.base.groups, GROUP)

    def init(self, task: Task, rng: torch.Generator) -> Params:
        """The nodes and a random network."""
        params = self.base.init(task, rng)
        x, w = params["x"], self.width
        wide = x.shape[1]
        shapes = {"left": (w, wide, 2), "right": (w, wide, 2), "middle": (w, w, 1)}
        weights = {
            name: _uniform((out, fan), fan * times, x, rng)
            for name, (out, fan, times) in shapes.items()
        }
        weights["last"] = _uniform((1, w), w, x, rng)
        for layer in ("first", "second"):
            weights[f"{layer}_scale"] = x.new_ones(w)
            weights[f"{layer}_shift"] = x.new_zeros(w)
        weights["bias"] = x.new_full((1,), self.bias)
        params.pop("adjacency", None)  # the network makes its own
        return params | {f"{GROUP}/{name}": t for name, t in weights.items()}

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """The nodes and their adjacency."""
        inner = {n: t for n, t in params.items() if not n.startswith(GROUP)}
        draw = self.base.draw(inner, rng, step)
        network = {n.removeprefix(f"{GROUP}/"): t for n, t in params.items()}
        return draw | {"adjacency": _adjacency(draw["x"], network)}

    def final(self, params: Params, rng: torch.Generator) -> Draw:
        """The nodes and the adjacency above the threshold."""
        draw = {n: t.detach() for n, t in self.draw(params, rng, 0).items()}
        kept = draw["adjacency"] * (draw["adjacency"] >= self.threshold)
        return draw | {"adjacency": kept}


def _uniform(shape: tuple[int, int], fan: int, like: Tensor, rng: torch.Generator):
    bound = fan**-0.5
    noise = torch.rand(shape, generator=rng, dtype=like.dtype, device=like.device)
    return (2 * noise - 1) * bound


def _adjacency(x: Tensor, network: Params) -> Tensor:
    m = len(x)
    left, right = x @ network["left"].T, x @ network["right"].T  # [m, w]
    pairs = (left[:, None] + right[None]).flatten(0, 1)  # [m * m, w]
    hidden = _normalized(pairs, network, "first").relu()
    hidden = _normalized(hidden @ network["middle"].T, network, "second").relu()
    logits = (hidden @ network["last"].T).view(m, m)
    symmetric = (logits + logits.T) / 2 + network["bias"]
    return torch.sigmoid(symmetric) * (1 - torch.eye(m, dtype=x.dtype, device=x.device))


def _normalized(pairs: Tensor, network: Params, layer: str) -> Tensor:
    variance, mean = torch.var_mean(pairs, dim=0, correction=0)
    scaled = (pairs - mean) * (variance + 1e-5).rsqrt()
    return scaled * network[f"{layer}_scale"] + network[f"{layer}_shift"]
