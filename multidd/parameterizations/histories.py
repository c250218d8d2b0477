"""Learned histories of items: Gumbel-softmax draws, or the top of each row."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from multidd import seeds
from multidd.parameterizations.free import Free
from multidd.parameterizations.gumbel import (
    exponential,
    gumbel,
    summed_draws,
    summed_gradient,
)
from multidd.protocols import Draw, Parameterization, Params, Task

Sampler = Literal["shared", "independent", "expected", "mean"]
"""How the draws of `GumbelHistories` are taken."""


@dataclass(frozen=True)
class GumbelHistories(Parameterization):
    r"""Rows of a user-item matrix as sums of Gumbel-softmax draws (DISTILL-CF).

    $$S_u = \min\Big(1, \sum_{t=1}^{\gamma}
      \mathrm{softmax}\big((Z_u + g^{(t)}) / \tau\big)\Big)$$

    with $\gamma$ draws of Gumbel noise g and learned logits Z, which start from the
    records of the base.

    | sampler | noise |
    |---|---|
    | `"shared"` | one draw for all rows: two products of matrices |
    | `"independent"` | one for each row; a backward pass draws it again |
    | `"expected"` | none: $1 - (1 - \mathrm{softmax}(Z / \tau))^\gamma$, the chance that an item is among $\gamma$ draws |
    | `"mean"` | none: $\min(1, \gamma\,\mathrm{softmax}(Z / \tau))$ |

    Memory does not grow with the number of draws by `"independent"`; by `"shared"` it
    holds $\gamma$ numbers for each row and for each item.

    Attributes:
        base: the records to start from.
        draws: $\gamma$.
        temperature: $\tau$.
        sampler: one of the four.
        rank: r, to learn $Z = A V$ with A `[m, r]` and V `[r, d]` instead; None learns
            every entry.

    Reference:
        Sachdeva, Dhaliwal, Wu, McAuley, "Infinite Recommendation Networks: A
        Data-Centric Approach", NeurIPS 2022; Jang, Gu, Poole, "Categorical
        Reparameterization with Gumbel-Softmax", ICLR 2017.

    Example:
        >>> from multidd.selection import Random
        >>> GumbelHistories(Free(Random(), (500,))).groups
        ('x',)
    """  # noqa: E501

    base: Free
    draws: int = 200
    temperature: float = 10.0
    sampler: Sampler = "shared"
    rank: int | None = None

    def __post_init__(self) -> None:
        if self.sampler not in get_args(Sampler):
            raise ValueError(
                f"sampler must be one of {', '.join(get_args(Sampler))}; got "
                f"{self.sampler!r}"
            )
        if self.draws < 1 or not self.temperature > 0:
            raise ValueError(
                "draws must be 1 or more and temperature above 0; got "
                f"{self.draws} and {self.temperature}"
            )
        if self.sampler == "shared" and self.temperature < 0.5:
            raise ValueError(
                f"sampler 'shared' is exact from temperature 0.5 on, got "
                f"{self.temperature}; take 'independent'"
            )
        if self.rank is not None and self.rank < 1:
            raise ValueError(f"rank must be 1 or more, got {self.rank}")

    @property
    def groups(self) -> tuple[str, ...]:
        """The logits, as `x`, and what else the base learns."""
        return self.base.groups

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """The base's records as logits."""
        params = self.base.init(task, rng)
        if self.rank is None:
            return params
        logits = params.pop("x")
        rank = min(self.rank, *logits.shape)
        left, scale, right = torch.linalg.svd(logits.flatten(1), full_matrices=False)
        root = scale[:rank].sqrt()
        return params | {
            "x/rows": left[:, :rank] * root,
            "x/columns": root[:, None] * right[:rank],
        }

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """One sample of the rows."""
        params = _joined(params)
        x = params["x"]
        rows = self._sample(x.flatten(1), rng).view(x.shape)
        return self.base.draw(params | {"x": rows}, rng, step)

    def final(self, params: Params, rng: torch.Generator) -> Draw:
        """One sample of the rows, detached."""
        drawn = self.draw(params, rng, 0)
        return {name: tensor.detach() for name, tensor in drawn.items()}

    def _sample(self, logits: Tensor, rng: torch.Generator) -> Tensor:
        if self.sampler == "shared":
            return _shared(logits, self.draws, self.temperature, rng)
        if self.sampler == "independent":
            seed = seeds.child(rng)
            rows = _Independent.apply(logits, self.draws, self.temperature, seed)
            assert isinstance(rows, Tensor)
            return rows.clamp(max=1)
        chance = (logits / self.temperature).softmax(1)
        if self.sampler == "mean":
            return (self.draws * chance).clamp(max=1)
        # 1 - (1 - p)^draws without the rounding of 1 - p.
        eps = torch.finfo(chance.dtype).eps
        return -torch.expm1(self.draws * torch.log1p(-chance.clamp(max=1 - eps)))


def _joined(params: Params) -> Params:
    """The two factors of low-rank logits multiplied."""
    if "x/rows" not in params:
        return params
    rest = {name: t for name, t in params.items() if not name.startswith("x/")}
    return rest | {"x": params["x/rows"] @ params["x/columns"]}


def _shared(
    logits: Tensor, draws: int, temperature: float, rng: torch.Generator
) -> Tensor:
    """With $e^{g} = 1/E$, E exponential, all draws are two products of matrices."""
    noise = -exponential(logits, rng, draws, logits.shape[1]).log() / temperature
    # The largest of each row taken off, so that small temperatures do not overflow.
    noise = (noise - noise.amax(1, keepdim=True)).exp()
    scaled = logits / temperature
    weight = (scaled - scaled.detach().amax(1, keepdim=True)).exp()
    floor = torch.finfo(logits.dtype).tiny
    return (weight * ((weight @ noise.mT).clamp(min=floor).reciprocal() @ noise)).clamp(
        max=1
    )


class _Independent(torch.autograd.Function):
    """Summed softmax of noisy logits; the backward pass draws the same noise again."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, draws: int, temperature: float, seed: int
    ) -> Tensor:
        ctx.save_for_backward(logits)
        ctx.settings = draws, temperature, seed
        return summed_draws(logits, draws, temperature, seed)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (logits,) = ctx.saved_tensors
        draws, temperature, seed = ctx.settings
        total = summed_gradient(logits, gradient, draws, temperature, seed)
        return total, None, None, None


@dataclass(frozen=True)
class TopHistories(Parameterization):
    r"""Binary rows with a fixed number of ones: histories of real length.

    Forward: a one at each of the `length` largest logits of a row, after noise.
    Backward: as if the entry were $\sigma((Z_{ui} - t_u) / \tau)$, t halfway between
    the last logit inside and the first one outside (straight-through). The
    temperature falls geometrically over the first `anneal` steps.

    Attributes:
        base: the records to start from.
        length: ones of each row.
        temperature: $\tau$ at the start and at the end.
        anneal: steps from the one to the other.
        noise: scale of the Gumbel noise on the logits while learning; the summary has
            none.

    Reference:
        Bengio, Leonard, Courville, "Estimating or Propagating Gradients Through
        Stochastic Neurons", arXiv 1308.3432, 2013; Kool, van Hoof, Welling,
        "Stochastic Beams and Where to Find Them", ICML 2019.

    Example:
        >>> from multidd.parameterizations import Free
        >>> from multidd.selection import Random
        >>> TopHistories(Free(Random(), (50,)), length=83).straight_through
        True
    """

    base: Parameterization
    length: int
    temperature: tuple[float, float] = (0.3, 0.3)
    anneal: int = 200
    noise: float = 0.0

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"length must be 1 or more, got {self.length}")
        if not min(self.temperature) > 0 or self.noise < 0 or self.anneal < 0:
            raise ValueError(
                "temperatures must be above 0, noise and anneal 0 or more; got "
                f"{self.temperature}, {self.noise} and {self.anneal}"
            )

    @property
    def straight_through(self) -> bool:
        """True: gradients are those of a relaxation."""
        return True

    @property
    def groups(self) -> tuple[str, ...]:
        """The logits, as `x`, and what else the base learns."""
        return self.base.groups

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """The base's records as logits, ties broken at random."""
        params = self.base.init(task, rng)
        x = params["x"]
        if self.length >= x[0].numel():
            raise ValueError(
                f"rows of {x[0].numel()} items cannot have {self.length} ones chosen; "
                "ask for fewer"
            )
        noise = torch.rand(x.shape, generator=rng, dtype=x.dtype, device=x.device)
        return params | {"x": x + 0.01 * noise}

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """Zeros and ones, with the gradient of the relaxation."""
        x = params["x"].flatten(1)
        noisy = x + self.noise * gumbel(x, rng) if self.noise else x
        hard, middle = self._top(noisy.detach())
        soft = torch.sigmoid((noisy - middle) / self._tau(step))
        rows = (hard + (soft - soft.detach())).view(params["x"].shape)
        return self.base.draw(params | {"x": rows}, rng, step)

    def final(self, params: Params, rng: torch.Generator) -> Draw:
        """Zeros and ones by the logits alone."""
        x = params["x"].detach()
        rows = self._top(x.flatten(1))[0].view(x.shape)
        return self.base.final(params | {"x": rows}, rng)

    def _top(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Ones at the largest entries, and the `[m, 1]` middle of the gap below."""
        values, places = logits.topk(self.length + 1, dim=1)
        hard = torch.zeros_like(logits).scatter_(1, places[:, :-1], 1.0)
        return hard, values[:, -2:].mean(1, keepdim=True)

    def _tau(self, step: int) -> float:
        first, last = self.temperature
        done = min(step / self.anneal, 1.0) if self.anneal else 1.0
        return first * (last / first) ** done
