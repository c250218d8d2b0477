"""Gradient matching: DC, DCC, GCOND, DOSCOND."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multidd.classes import ClassIndex
from multidd.distances import ColumnCosine, Distance
from multidd.learning.gradients import class_gradients
from multidd.learning.states import Online, States
from multidd.protocols import Batch, Params, Task, Tree


@dataclass(frozen=True)
class GradientMatching:
    r"""The step that S asks for against the step that T asks for.

    $$\frac1k \sum_{\theta} \sum_c w_c\,
      D\big(\nabla_\theta L^S_c(\theta), \nabla_\theta L^T_c(\theta)\big)$$

    with $w_c$ the size of synthetic class c relative to the largest. With `Fresh`
    states this is the one-step form; with a `Bank` the real gradients are taken once.

    Attributes:
        distance: D, one of `multidd.distances`.
        states: where $\theta$ comes from.
        per_class: match each class by itself (DC), or the sum over classes (DCC).
        biases: match the gradients of vectors too, not only of matrices.

    Reference:
        Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021;
        Jin et al., "Graph Condensation for Graph Neural Networks", ICLR 2022.

    Example:
        >>> GradientMatching(per_class=False).distance
        ColumnCosine(eps=1e-08)
    """

    distance: Distance = ColumnCosine()
    states: States = Online()
    per_class: bool = True
    biases: bool = False

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """Weights at the start, and the real gradients of a bank."""
        state = self.states.init(task, rng)
        if "bank" not in state:
            return state
        bank, taken = state["bank"], []
        for place in range(len(next(iter(bank.values())))):
            weights = {name: tensor[place] for name, tensor in bank.items()}
            taken.append(self._real(task, weights, rng))
        names = taken[0]
        return {**state, "real": {n: torch.stack([t[n] for t in taken]) for n in names}}

    def loss(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tensor:
        """Mean over models of the class-weighted distance."""
        weights = state["weights"]
        ours = class_gradients(task, weights, synthetic, self._rows(task, synthetic))
        if "real" in state:
            theirs = {n: t[int(state["turn"])] for n, t in state["real"].items()}
        else:
            theirs = self._real(task, weights, rng)
        pairs = [(ours[name], gradient) for name, gradient in theirs.items()]
        apart = self.distance([a for a, _ in pairs], [b for _, b in pairs], 2)  # [k, c]
        return (apart * self._share(task, synthetic, apart)).sum(-1).mean()

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """Fresh or further trained weights."""
        return self.states.advance(task, state, synthetic, rng)

    def _real(self, task: Task[Any], weights: Params, rng: torch.Generator) -> Params:
        """Real gradients of the weights that are matched."""
        batch = task.batch(rng)
        found = class_gradients(task, weights, batch, self._rows(task, batch))
        matched = [n for n, w in weights.items() if self.biases or w.dim() > 2]
        return {name: found[name].detach() for name in matched}

    def _rows(self, task: Task[Any], batch: Batch) -> ClassIndex:
        classes = task.classes(batch)
        return classes if self.per_class else classes.merged()

    def _share(self, task: Task[Any], batch: Batch, like: Tensor) -> Tensor:
        if not self.per_class:
            return torch.ones(1, dtype=like.dtype, device=like.device)
        return task.classes(batch).share.to(like.dtype)
