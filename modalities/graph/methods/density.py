"""Synthetic graphs held as sparse as real ones."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multidd.protocols import Batch, Task, Tree


@dataclass(frozen=True)
class Density:
    r"""$\mathrm{relu}(\mathrm{mean}_{ij}\, \sigma(\Omega_{ij}) - s_0)$.

    Attributes:
        most: $s_0$, the mean chance of an edge above which it costs.

    Reference:
        Jin et al., "Condensing Graphs via One-Step Gradient Matching", KDD 2022.

    Example:
        >>> Density(0.1).most
        0.1
    """

    most: float

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """Nothing."""
        return {}

    def loss(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tensor:
        """How far the mean chance of an edge lies above `most`."""
        excess: Tensor = synthetic.density - self.most
        return excess.relu()

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """Nothing."""
        return state
