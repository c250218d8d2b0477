"""Bernoulli-relaxed adjacency: every edge a probability of its own."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from multidd.parameterizations.free import Free
from multidd.protocols import Draw, Params, Task


@dataclass(frozen=True)
class BernoulliAdjacency:
    r"""$A'_{ij} = \sigma\big((\Omega_{ij} + \epsilon_{ij}) / \tau\big)$, zero diagonal.

    The binary concrete relaxation: $\epsilon = \log u - \log(1-u)$, u uniform, both
    symmetric in i and j. The temperature falls geometrically over the first
    `anneal` steps. Records are the nodes of one graph, or graphs of p nodes each: of
    these the start has an adjacency `[m, p, p]`. A draw has the chances
    $\sigma(\Omega)$ of the edges too, for objectives that hold them down.

    Attributes:
        base: the records; where their start has an adjacency A it is the start here,
            $\Omega = 2 s A - s$.
        start: s, the logit of a sure edge; edges start unlikely where A is absent.
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
    start: float = 5.0
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
        return params | {"adjacency": 2 * self.start * edges - self.start}

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

    def decode(self, kept: Draw) -> Draw:
        """The same."""
        return kept

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
