"""Learned adjacency: by a network over pairs of nodes, or as edge probabilities."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from multidd.learning.optim import Adam
from multidd.parameterizations.free import Free
from multidd.protocols import Draw, Parameterization, Params, Task

GROUP = "adjacency"
CONSTANT = "pairwise/input_scale"


@dataclass(frozen=True)
class PairwiseAdjacency(Parameterization):
    r"""Adjacency made by a network over pairs of synthetic nodes (GCOND).

    $A'_{ij} = \sigma\big((g(x_i, x_j) + g(x_j, x_i)) / 2\big)$, zero diagonal. $g$ is a
    network of three layers. Its first layer is split,
    $W [x_i; x_j] = W_l x_i + W_r x_j$, so that no tensor of all pairs of features is
    ever made. The summary keeps A', not the network.

    Attributes:
        base: the nodes.
        width: of the two hidden layers.
        degree: mean weighted degree at the start.
        warmup_steps: steps in which the network first learns the edges among the
            records that the nodes start from, where there are any, scaled to `degree`.
        batch_norm: normalize hidden units over all pairs, as GCOND's code does.
        max_degree: mean weighted degree at which A' is held by scaling: matching alone
            lets a small graph grow dense until it drowns the features.
        threshold: entries of the finished A' below it become zero.
        pairs: of nodes that go through the network at a time. Of more nodes than fit,
            blocks of rows are computed one by one and again on the way back, so that
            memory is bounded by them and by A' itself; the first steps then see some
            rows each.

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
    warmup_steps: int = 100
    batch_norm: bool = False
    max_degree: float = 1.0
    threshold: float = 0.01
    pairs: int = 2**18

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise ValueError(f"pairs must be 1 or more, got {self.pairs}")

    @property
    def groups(self) -> tuple[str, ...]:
        """The nodes' groups and the network."""
        return (*self.base.groups, GROUP)

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """The nodes, and a network that gives their start's adjacency."""
        params = self.base.init(task, rng)
        goal = params.pop("adjacency", None)
        x = params["x"]
        if self.batch_norm and len(x) ** 2 > self.pairs:
            raise ValueError(
                f"batch_norm is over all {len(x) ** 2} pairs, and {self.pairs} fit at "
                "a time: raise pairs, or leave batch_norm out"
            )
        params[CONSTANT] = x.square().mean().clamp(min=1e-30).rsqrt().detach()
        network = self._random(x, rng)
        if goal is not None and self.warmup_steps:
            # Scaled to the degree asked for, since the nodes may be smooth already.
            mean = goal.sum(1).mean().clamp(min=1e-12)
            goal = goal * (self.degree / mean).clamp(max=1.0)
            network = self._warm(x * params[CONSTANT], network, goal, rng)
        return params | {f"{GROUP}/{name}": t for name, t in network.items()}

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """The nodes and their adjacency."""
        prefixes = (f"{GROUP}/", CONSTANT)
        inner = {n: t for n, t in params.items() if not n.startswith(prefixes)}
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
        edges = draw["adjacency"] * (draw["adjacency"] >= self.threshold)
        return draw | {"adjacency": edges}

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

    def _warm(
        self, x: Tensor, network: Params, goal: Tensor, rng: torch.Generator
    ) -> Params:
        """A few steps towards the edges of the start; the nodes stand still."""
        whole = goal.to(x.dtype).clamp(1e-3, 1 - 1e-3)
        x, rows = x.detach(), torch.arange(len(x), device=x.device)
        adam = Adam(lr=3e-3)
        moments = {name: adam.init(t) for name, t in network.items()}
        for _ in range(self.warmup_steps):
            leaves = {name: t.detach().requires_grad_() for name, t in network.items()}
            if self._rows(len(x)) < len(x):
                order = torch.randperm(len(x), generator=rng, device=x.device)
                rows = order[: self._rows(len(x))]
            apart = rows[:, None] != torch.arange(len(x), device=x.device)
            logits = self._logits(x, leaves, rows)[apart]
            goal = whole[rows][apart]
            loss = F.binary_cross_entropy_with_logits(logits, goal)
            slopes = torch.autograd.grad(loss, list(leaves.values()))
            gradients = dict(zip(leaves, slopes, strict=True))
            for name in network:
                network[name], moments[name] = adam.step(
                    network[name], gradients[name], moments[name]
                )
        return network

    def _rows(self, m: int) -> int:
        """Nodes whose pairs with all go through the network at a time."""
        return min(max(self.pairs // m, 1), m)

    def _logits(self, x: Tensor, network: Params, rows: Tensor | None = None) -> Tensor:
        """`[m, m]`, or the rows `[r, m]` of some nodes."""
        left, right = x @ network["left"].T, x @ network["right"].T  # [m, w]
        if rows is not None and len(rows) < len(x):
            ahead = self._block(left[rows], right, network)
            back = self._block(left, right[rows], network).T
            return (ahead + back) / 2 + network["bias"]
        size, blocks = self._rows(len(x)), []
        for part in left.split(size):
            if size == len(x):
                blocks.append(self._block(part, right, network))
                continue
            again = checkpoint(
                self._block,
                part,
                right,
                network,
                use_reentrant=False,
                preserve_rng_state=False,  # nothing is drawn inside
            )
            blocks.append(again)
        logits = torch.cat(blocks)
        return (logits + logits.T) / 2 + network["bias"]

    def _block(self, left: Tensor, right: Tensor, network: Params) -> Tensor:
        """`[a, b]` of a nodes with b nodes."""
        pairs = (left[:, None] + right[None]).flatten(0, 1)  # [a * b, w]
        hidden = self._layer(pairs, network, "first")
        hidden = self._layer(hidden @ network["middle"].T, network, "second")
        return (hidden @ network["last"].T).view(len(left), len(right))

    def _layer(self, pairs: Tensor, network: Params, layer: str) -> Tensor:
        if self.batch_norm:
            variance, mean = torch.var_mean(pairs, dim=0, correction=0)
            pairs = (pairs - mean) * (variance + 1e-5).rsqrt()
            pairs = pairs * network[f"{layer}_scale"]
        return (pairs + network[f"{layer}_shift"]).relu()


@dataclass(frozen=True)
class BernoulliAdjacency(Parameterization):
    r"""Adjacency drawn from learned edge probabilities (DOSCOND).

    $A'_{ij} = \sigma\big((\Omega_{ij} + \epsilon_{ij}) / \tau\big)$, zero diagonal. The
    binary concrete relaxation: $\epsilon = \log u - \log(1-u)$, u uniform, both
    symmetric in i and j. The temperature falls geometrically over the first `anneal`
    steps. Records are the nodes of one graph, or graphs of p nodes each: of these the
    start has an adjacency `[m, p, p]`. A draw has the chances $\sigma(\Omega)$ of the
    edges too, for objectives that hold them down.

    Attributes:
        base: the records; where their start has an adjacency A it is the start here,
            $\Omega = 2 s A - s$.
        edge_logit: s, the logit of a sure edge; edges start unlikely where A is absent.
        temperature: $\tau$ at the start and at the end.
        anneal: steps from the one to the other.
        straight_through: draw zeros and ones, with the gradient of the relaxation.
        finish: the summary's edges: `"threshold"` keeps those of probability above one
            half, `"sample"` draws them.

    Reference:
        Maddison, Mnih, Teh, "The Concrete Distribution", ICLR 2017; Jin et al.,
        "Condensing Graphs via One-Step Gradient Matching", KDD 2022.

    Example:
        >>> from multidd.selection import Random
        >>> BernoulliAdjacency(Free(Random(), (5, 5))).groups
        ('x', 'adjacency')
    """

    base: Free
    edge_logit: float = 5.0
    temperature: tuple[float, float] = (1.0, 0.01)
    anneal: int = 200
    straight_through: bool = False
    finish: Literal["threshold", "sample"] = "threshold"

    def __post_init__(self) -> None:
        if self.finish not in ("threshold", "sample"):
            raise ValueError(f"finish is 'threshold' or 'sample', got {self.finish!r}")

    @property
    def groups(self) -> tuple[str, ...]:
        """The nodes' groups and the logits."""
        return (*self.base.groups, "adjacency")

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """The records, and logits from their adjacency."""
        params = self.base.init(task, rng)
        x = params["x"]
        none = x.new_zeros(*x.shape[:-1], x.shape[-2])
        edges = params.get("adjacency", none)
        return params | {"adjacency": 2 * self.edge_logit * edges - self.edge_logit}

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """The nodes and one relaxed sample of the edges."""
        logits = _symmetric(params["adjacency"])
        soft = torch.sigmoid((logits + _noise(logits, rng)) / self._tau(step))
        if self.straight_through:
            soft = soft + ((soft > 0.5).to(soft.dtype) - soft).detach()
        edges = {"adjacency": _hollow(soft), "chances": _hollow(logits.sigmoid())}
        return self.base.draw(params, rng, step) | edges

    def final(self, params: Params, rng: torch.Generator) -> Draw:
        """The nodes and edges of zero and one."""
        logits = _symmetric(params["adjacency"].detach())
        if self.finish == "sample":
            logits = logits + _noise(logits, rng)
        edges = _hollow((logits > 0).to(logits.dtype))
        return self.base.final(params, rng) | {"adjacency": edges}

    def _tau(self, step: int) -> float:
        first, last = self.temperature
        done = min(step / self.anneal, 1.0) if self.anneal else 1.0
        return first * (last / first) ** done


def _symmetric(square: Tensor) -> Tensor:
    return (square + square.mT) / 2


def _hollow(square: Tensor) -> Tensor:
    """The upper triangle, mirrored: symmetric to the last bit, zero diagonal."""
    upper = square.triu(1)
    return upper + upper.mT


def _noise(like: Tensor, rng: torch.Generator) -> Tensor:
    """Logistic noise, the same for (i, j) and (j, i)."""
    u = torch.rand(like.shape, generator=rng, dtype=like.dtype, device=like.device)
    u = u.clamp(torch.finfo(u.dtype).eps, 1 - torch.finfo(u.dtype).eps)
    upper = (u.log() - (-u).log1p()).triu(1)
    return upper + upper.mT
