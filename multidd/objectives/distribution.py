"""Distribution matching: DM and GCDM."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.func import vmap

from multidd.learning.states import Fresh, States
from multidd.protocols import Batch, Task, Tree


@dataclass(frozen=True)
class DistributionMatching:
    r"""Embeddings of S against embeddings of T, class by class.

    With $\mu_{cl}$ the mean embedding of class c at layer l of a random model,

    $$\frac1k \sum_\theta \sum_c w_c \sum_l \lVert \mu^S_{cl} - \mu^T_{cl} \rVert^2
      \quad\text{or}\quad
      \frac1k \sum_\theta \sum_c w_c \sum_l \mathrm{MMD}^2(S_{cl}, T_{cl}).$$

    Attributes:
        statistic: `"means"`, or `"mmd"` with a Gaussian kernel whose width is the
            mean squared distance between real embeddings of that class.
        layers: the last hidden layer only, or all of them and the logits.
        states: where the models come from.

    Reference:
        Zhao, Bilen, "Dataset Condensation with Distribution Matching", WACV 2023;
        Liu et al., "Graph Condensation via Receptive Field Distribution Matching",
        arXiv 2206.13697, 2022.

    Example:
        >>> DistributionMatching(layers="all").statistic
        'means'
    """

    statistic: Literal["means", "mmd"] = "means"
    layers: Literal["last", "all"] = "last"
    states: States = Fresh()

    def __post_init__(self) -> None:
        if self.statistic not in ("means", "mmd"):
            raise ValueError(f"statistic must be 'means' or 'mmd': {self.statistic!r}")
        if self.layers not in ("last", "all"):
            raise ValueError(f"layers must be 'last' or 'all', got {self.layers!r}")

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """Weights at the start."""
        return self.states.init(task, rng)

    def loss(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tensor:
        """Mean over models of the class-weighted distance of embeddings."""
        real = task.batch(rng)
        ours = self._embed(task, state, synthetic)
        with torch.no_grad():
            theirs = self._embed(task, state, real)
        compare = self._means if self.statistic == "means" else self._mmd
        pairs = zip(ours, theirs, strict=True)
        apart = sum(compare(task, s, synthetic, t, real) for s, t in pairs)  # [k, c]
        share = task.classes(synthetic).share.to(ours[0].dtype)
        return (apart * share).sum(-1).mean()

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """Fresh or further trained weights."""
        return self.states.advance(task, state, synthetic, rng)

    def _embed(self, task: Task[Any], state: Tree, batch: Batch) -> list[Tensor]:
        """`[k, b, h]` for each layer that is compared."""
        layers = vmap(lambda one: task.features(one, batch))(state["weights"])
        return layers if self.layers == "all" else layers[-2:-1]

    @staticmethod
    def _means(
        task: Task[Any], ours: Tensor, s: Batch, theirs: Tensor, t: Batch
    ) -> Tensor:
        gap = task.classes(s).mean(ours) - task.classes(t).mean(theirs)
        return gap.square().sum(-1)

    @staticmethod
    def _mmd(
        task: Task[Any], ours: Tensor, s: Batch, theirs: Tensor, t: Batch
    ) -> Tensor:
        a, b = task.classes(s), task.classes(t)
        p, q = ours[:, a.index], theirs[:, b.index]  # [k, c, r, h]
        u, v = a.weight.to(p.dtype), b.weight.to(p.dtype)
        width = (_squared(q, q) * v[:, :, None] * v[:, None]).sum((-1, -2)).detach()
        # Equal rows have no width, up to what rounding leaves of their lengths.
        info, length = torch.finfo(p.dtype), (q.square().sum(-1) * v).sum(-1).detach()
        least = 100 * info.eps * length + info.tiny**0.5
        width = torch.maximum(width, least)[..., None, None]

        def mean(x: Tensor, y: Tensor, left: Tensor, right: Tensor) -> Tensor:
            kernel = torch.exp(-_squared(x, y) / width)
            return (kernel * left[:, :, None] * right[:, None]).sum((-1, -2))

        return mean(p, p, u, u) + mean(q, q, v, v) - 2 * mean(p, q, u, v)


def _squared(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances `[..., r, s]`, from products: exact gradients at zero."""
    cross = x @ y.mT
    lengths = x.square().sum(-1)[..., :, None] + y.square().sum(-1)[..., None, :]
    return (lengths - 2 * cross).clamp(min=0)
