"""Contrast between the records of one base (HaBa)."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.learning.functional import embed
from multidd.learning.states import Fresh, States
from multidd.protocols import Batch, Objective, Task, Tree


@dataclass(frozen=True)
class Contrast(Objective):
    r"""Contrast of HaBa: mean cosine between embeddings of records of one base.

    $$\frac1k \sum_\theta \operatorname{mean}_{i, j \neq j'}
      \cos\big(f_\theta(x_{ij}), f_\theta(x_{ij'})\big)$$

    with $x_{i1}, \ldots, x_{ig}$ the records of base i, as
    `multidd.parameterizations.Hallucinators` draws them. It says nothing of the real
    set: it is a part of a `Mix` beside an objective that does.

    Differs from the paper: the models are those of `states`, not one that is
    trained against it.

    Attributes:
        group: g, records of a base.
        states: where the models come from.

    Reference:
        Liu, Wang, Yang, Ye, Wang, "Dataset Distillation via Factorization", NeurIPS
        2022.

    Example:
        >>> from multidd.objectives import DistributionMatching, Mix
        >>> from multidd.objectives import Part
        >>> parts = Part(DistributionMatching()), Part(Contrast(5), 0.1)
        >>> Mix(parts).parts[1].objective
        Contrast(group=5, states=Fresh(num_models=1))
    """

    group: int
    states: States = Fresh()

    def __post_init__(self) -> None:
        if self.group < 2:
            raise ValueError(
                f"a group of {self.group} has nothing to keep apart: take 2 or more"
            )

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """Weights at the start."""
        return self.states.init(task, rng)

    def loss(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tensor:
        """Mean cosine over models and pairs; a last, smaller group counts too."""
        seen = task.view(rng)(synthetic)
        features = embed(task, state["weights"], seen, 2)[-2]  # [k, b, h]
        # Where an embedding is zero its slope is not finite: a floor under the norm.
        size = features.square().sum(-1, keepdim=True).clamp(min=1e-12).sqrt()
        unit = features / size
        short = -unit.shape[1] % self.group
        unit = F.pad(unit, (0, 0, 0, short)).unflatten(1, (-1, self.group))
        summed = unit.sum(2).square().sum(-1) - unit.square().sum((-1, -2))
        rows = unit.shape[1] * self.group - short
        rest = rows % self.group
        whole = rows // self.group
        pairs = whole * self.group * (self.group - 1) + rest * (rest - 1)
        return (summed.sum(1) / max(pairs, 1)).mean()

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """Fresh or further trained weights."""
        models = {name: part for name, part in state.items() if name != "learned"}
        return self.states.advance(task, models, synthetic, rng)
