"""Distribution matching: DM, CAFE, IDM, M3D, IID, NCFM, GCDM."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multidd.learning.functional import embed
from multidd.learning.states import Fresh, States
from multidd.objectives.terms import Embedded, Means, Term, num_layers
from multidd.protocols import Batch, Objective, Params, Task, Tree


@dataclass(frozen=True)
class DistributionMatching(Objective):
    r"""Distribution matching: embeddings of S against those of T, class by class.

    $$\frac1k \sum_\theta \sum_j \mathrm{term}_j(f_\theta(S), f_\theta(T))$$

    With `Means()` and fresh models this is DM; the other members of the family differ
    in their terms and in where their models come from. One view of the task is drawn
    at each step and applied to both sides.

    Attributes:
        terms: what is compared; see `multidd.objectives.terms`.
        states: where the models come from.

    Reference:
        Zhao, Bilen, "Dataset Condensation with Distribution Matching", WACV 2023;
        Liu et al., "Graph Condensation via Receptive Field Distribution Matching",
        arXiv 2206.13697, 2022.

    Example:
        >>> DistributionMatching((Means("all"),)).states
        Fresh(num_models=1)
    """

    terms: tuple[Term, ...] = (Means(),)
    states: States = Fresh()

    def __post_init__(self) -> None:
        if not isinstance(self.terms, tuple) or not self.terms:
            raise ValueError(f"terms must be a tuple of terms, got {self.terms!r}")

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """Weights at the start."""
        return self.states.init(task, rng)

    def loss(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tensor:
        """Mean over models of the terms' sum."""
        real, view = task.batch(rng), task.view(rng)
        last, weights = num_layers(self.terms), state["weights"]
        ours = _embedded(task, weights, view(synthetic), last)
        with torch.no_grad():
            theirs = _embedded(task, weights, view(real), last)
        ours = ours.facing(theirs)
        terms = [term(ours, theirs) for term in self.terms]
        return torch.stack(terms).sum(0).mean()

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """Fresh or further trained weights."""
        return self.states.advance(task, state, synthetic, rng)


def _embedded(
    task: Task[Any], weights: Params, batch: Batch, last: int | None
) -> Embedded:
    layers = embed(task, weights, batch, last)
    return Embedded(layers, task.targets(batch), task.classes(batch))
