"""Generated adjacency: GCOND's network over pairs of synthetic nodes."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.learning.optim import Adam
from multidd.parameterizations.free import Free
from multidd.protocols import Draw, Params, Task

GROUP = "adjacency"
CONSTANT = "pairwise/input_scale"


@dataclass(frozen=True)
class PairwiseAdjacency:
    r"""$A'_{ij} = \sigma\big((g(x_i, x_j) + g(x_j, x_i)) / 2\big)$, zero diagonal.

    $g$ is a network of three layers. Its first layer is split,
    $W [x_i; x_j] = W_l x_i + W_r x_j$, so that no tensor of all pairs of features is
    ever made. The summary keeps A', not the network.

    Attributes:
        base: the nodes.
        width: of the two hidden layers.
        degree: mean weighted degree at the start.
        warm_steps: steps in which the network first learns the edges among the records
            that the nodes start from, where the start has them, scaled to `degree`.
        batch_norm: normalize hidden units over all pairs, as GCOND's code does.
        max_degree: mean weighted degree at which A' is held by scaling: matching alone
            lets a small graph grow dense until it drowns the features.
        threshold: entries of the finished A' below it become zero.

    Reference:
        Jin et al., "Graph Condensation for Graph Neural Networks", ICLR 2022.

    Example:
        >>> from multidd.selection import Random
        >>> PairwiseAdjacency(Free(Random(), (5, 5))).groups
        ('x', 'adjacency')
    """

    base: Free
    width: int = 64
    degree: float = 0.5
    warm_steps: int = 100
    batch_norm: bool = False
    max_degree: float = 1.0
    threshold: float = 0.01

    @property
    def groups(self) -> tuple[str, ...]:
        """The nodes' groups and the network."""
        return (*self.base.groups, GROUP)

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """The nodes, and a network that gives their start's adjacency."""
        params = self.base.init(task, rng)
        goal = params.pop("adjacency", None)
        x = params["x"]
        params[CONSTANT] = x.square().mean().clamp(min=1e-30).rsqrt().detach()
        network = self._random(x, rng)
        if goal is not None and self.warm_steps:
            # Scaled to the degree asked for, since the nodes may be smooth already.
            mean = goal.sum(1).mean().clamp(min=1e-12)
            goal = goal * (self.degree / mean).clamp(max=1.0)
            network = self._warm(x * params[CONSTANT], network, goal)
        return params | {f"{GROUP}/{name}": t for name, t in network.items()}

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """The nodes and their adjacency."""
        own = (f"{GROUP}/", CONSTANT)
        inner = {n: t for n, t in params.items() if not n.startswith(own)}
        draw = self.base.draw(inner, rng, step)
        network = {n.removeprefix(f"{GROUP}/"): t for n, t in params.items()}
        logits = self._logits(draw["x"] * params[CONSTANT], network)
        # One triangle, mirrored: a vectorized sigmoid is not symmetric to the last bit.
        upper = torch.sigmoid(logits).triu(1)
        edges = upper + upper.T
        excess = edges.sum(1).mean() / self.max_degree
        return draw | {"adjacency": edges / excess.clamp(min=1.0)}

    def final(self, params: Params, rng: torch.Generator) -> Draw:
        """The nodes and the adjacency above the threshold."""
        draw = {n: t.detach() for n, t in self.draw(params, rng, 0).items()}
        kept = draw["adjacency"] * (draw["adjacency"] >= self.threshold)
        return draw | {"adjacency": kept}

    def decode(self, kept: Draw) -> Draw:
        """The same."""
        return kept

    def _random(self, x: Tensor, rng: torch.Generator) -> Params:
        w, (m, d) = self.width, x.shape

        def normal(out: int, fan: int, size: float = 1.0) -> Tensor:
            noise = torch.randn(out, fan, generator=rng, device=x.device)
            return (size * fan**-0.5 * noise).to(x.dtype)

        logit = torch.logit(torch.tensor(min(self.degree / m, 0.5)))
        network = {"left": normal(w, d), "right": normal(w, d), "middle": normal(w, w)}
        network |= {"last": normal(1, w, 0.1), "bias": x.new_full((1,), float(logit))}
        for layer in ("first", "second"):
            network[f"{layer}_shift"] = x.new_zeros(w)
            if self.batch_norm:
                network[f"{layer}_scale"] = x.new_ones(w)
        return network

    def _warm(self, x: Tensor, network: Params, goal: Tensor) -> Params:
        """A few steps towards the edges of the start; the nodes stand still."""
        apart = ~torch.eye(len(x), dtype=torch.bool, device=x.device)
        goal = goal.to(x.dtype).clamp(1e-3, 1 - 1e-3)[apart]
        adam = Adam(lr=3e-3)
        moments = {name: adam.init(t) for name, t in network.items()}
        for _ in range(self.warm_steps):
            leaves = {name: t.detach().requires_grad_() for name, t in network.items()}
            found = self._logits(x.detach(), leaves)[apart]
            loss = F.binary_cross_entropy_with_logits(found, goal)
            found_all = torch.autograd.grad(loss, list(leaves.values()))
            gradients = dict(zip(leaves, found_all, strict=True))
            for name in network:
                network[name], moments[name] = adam.step(
                    network[name], gradients[name], moments[name]
                )
        return network

    def _logits(self, x: Tensor, network: Params) -> Tensor:
        m = len(x)
        left, right = x @ network["left"].T, x @ network["right"].T  # [m, w]
        pairs = (left[:, None] + right[None]).flatten(0, 1)  # [m * m, w]
        hidden = self._layer(pairs, network, "first")
        hidden = self._layer(hidden @ network["middle"].T, network, "second")
        logits = (hidden @ network["last"].T).view(m, m)
        return (logits + logits.T) / 2 + network["bias"]

    def _layer(self, pairs: Tensor, network: Params, layer: str) -> Tensor:
        if self.batch_norm:
            variance, mean = torch.var_mean(pairs, dim=0, correction=0)
            pairs = (pairs - mean) * (variance + 1e-5).rsqrt()
            pairs = pairs * network[f"{layer}_scale"]
        return (pairs + network[f"{layer}_shift"]).relu()
