"""Records as convex mixtures of the rows of a table."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.parameterizations.gumbel import gumbel
from multidd.protocols import Draw, Parameterization, Params, Task

Sampler = Literal["softmax", "gumbel"]
"""Whether logits are seen as they are, or with noise; see `Mixtures`."""


@dataclass(frozen=True)
class Mixtures(Parameterization):
    r"""Convex mixtures of a table's rows, by learned logits over the rows.

    $x = \mathrm{softmax}\big((Z + g) / \tau\big)\, E$, with Gumbel noise g or none. At
    the start the row that is nearest to the base's vector has a lead over the others.

    Attributes:
        base: the records to start from, `[m, ..., e]`.
        table: E, `[V, e]`.
        sampler: `"softmax"`, without noise, or `"gumbel"`, with noise of each draw.
        temperature: $\tau$; near zero a draw is nearly one row.
        lead: logit of the nearest row at the start, times $\tau$; others have zero.
        finish: what the summary keeps: the likeliest `"row"`, or the `"mixture"`.

    Raises:
        ValueError: a setting that is out of range.

    Reference:
        Sahni, Patel, "Exploring Multilingual Text Data Distillation", arXiv 2308.04982,
        2023; Jang, Gu, Poole, "Categorical Reparameterization with Gumbel-Softmax",
        ICLR 2017.

    Example:
        >>> from multidd.parameterizations import Free
        >>> from multidd.selection import Random
        >>> Mixtures(Free(Random(), (1, 1)), torch.eye(4)).groups
        ('x',)
    """

    base: Parameterization
    table: Tensor = field(repr=False)
    sampler: Sampler = "softmax"
    temperature: float = 1.0
    lead: float = 5.0
    finish: Literal["row", "mixture"] = "row"

    def __post_init__(self) -> None:
        if self.sampler not in get_args(Sampler):
            raise ValueError(
                f"sampler must be 'softmax' or 'gumbel'; got {self.sampler!r}"
            )
        if self.finish not in ("row", "mixture"):
            raise ValueError(f"finish must be 'row' or 'mixture'; got {self.finish!r}")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0; got {self.temperature}")
        if self.table.dim() != 2 or len(self.table) < 2:
            raise ValueError(
                f"the table must be [V, e] with two rows or more; got "
                f"{list(self.table.shape)}"
            )

    @property
    def groups(self) -> tuple[str, ...]:
        """The logits, as `x`, and what else the base learns."""
        return self.base.groups

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """Logits `[m, ..., V]` that lead to the row nearest to each base vector.

        Raises:
            ValueError: vectors of another width than the table.
        """
        params = self.base.init(task, rng)
        x = params["x"]
        if x.shape[-1] != self.table.shape[1]:
            raise ValueError(
                f"vectors of width {x.shape[-1]} are no mixtures of rows "
                f"{list(self.table.shape)}"
            )
        near = torch.cdist(x.flatten(0, -2), self.table.to(x)).argmin(1)
        first = F.one_hot(near.view(x.shape[:-1]), len(self.table))
        return params | {"x": self.lead * self.temperature * first.to(x.dtype)}

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """The mixtures, under one draw of the noise."""
        logits = params["x"]
        if self.sampler == "gumbel":
            logits = logits + gumbel(logits, rng)
        return self.base.draw(params | {"x": self._mixed(logits)}, rng, step)

    def final(self, params: Params, rng: torch.Generator) -> Draw:
        """The likeliest rows, or the mixtures without noise; detached."""
        logits = params["x"].detach()
        table = self.table.to(logits)
        rows = table[logits.argmax(-1)] if self.finish == "row" else None
        x = self._mixed(logits) if rows is None else rows
        return self.base.final(params | {"x": x}, rng)

    def _mixed(self, logits: Tensor) -> Tensor:
        return (logits / self.temperature).softmax(-1) @ self.table.to(logits)
