"""Histories of so many items: rows of zeros and ones."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multidd.parameterizations.histories import gumbel
from multidd.protocols import Draw, Parameterization, Params, Task


@dataclass(frozen=True)
class TopHistories:
    r"""Rows of zeros and ones with so many ones each: histories of real length.

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

    def decode(self, kept: Draw) -> Draw:
        """The same."""
        return kept

    def _top(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Ones at the largest entries, and the `[m, 1]` middle of the gap below."""
        values, places = logits.topk(self.length + 1, dim=1)
        hard = torch.zeros_like(logits).scatter_(1, places[:, :-1], 1.0)
        return hard, values[:, -2:].mean(1, keepdim=True)

    def _tau(self, step: int) -> float:
        first, last = self.temperature
        done = min(step / self.anneal, 1.0) if self.anneal else 1.0
        return first * (last / first) ** done
