"""Gradient matching: DC, DSA, DCC, IDC, GCOND, DOSCOND."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from multidd.classes import ClassIndex
from multidd.learning.gradients import class_gradients
from multidd.learning.states import Bank, Online, States, check_places
from multidd.objectives.distances import ColumnCosine, Distance
from multidd.parallel.sharing import Sharing, sharing
from multidd.protocols import Batch, Objective, Params, Task, Tree, task_ways


@dataclass(frozen=True)
class GradientMatching(Objective):
    r"""Gradient matching: distance between loss gradients on S and on T.

    $$\frac1k \sum_{\theta} \sum_c w_c\,
      D\big(\nabla_\theta L^S_c(\theta), \nabla_\theta L^T_c(\theta)\big)$$

    with $w_c$ the size of synthetic class c relative to the largest. With `Fresh`
    states this is the one-step form; with a `Bank` the real gradients are taken once.
    One view of the task is drawn at each step and applied to both sides (DSA).

    Attributes:
        distance: D, one of `multidd.objectives.distances`.
        states: where $\theta$ comes from.
        class_wise: match each class by itself (DC), or the sum over classes (DCC).
        inter_class: match the sum over classes too, beside each class.
        biases: match the gradients of vectors too, not only of matrices.
        head: match the gradients of the last layer too (IDC does not).

    Reference:
        Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021;
        Zhao, Bilen, "Dataset Condensation with Differentiable Siamese Augmentation",
        ICML 2021; Lee et al., "Dataset Condensation with Contrastive Signals", ICML
        2022; Jiang, Gu, Liu, Pan, "Delving into Effective Gradient Matching for Dataset
        Condensation", COINS 2023; Jin et al., "Graph Condensation for Graph Neural
        Networks", ICLR 2022.

    Example:
        >>> GradientMatching(class_wise=False).distance
        ColumnCosine(eps=1e-08)
    """

    lower_precision: ClassVar[bool] = True

    distance: Distance = ColumnCosine()
    states: States = Online()
    class_wise: bool = True
    inter_class: bool = False
    biases: bool = False
    head: bool = True

    def __post_init__(self) -> None:
        if self.inter_class and not self.class_wise:
            raise ValueError(
                "inter_class adds the sum over classes to class_wise=True; for the sum "
                "alone set class_wise=False and leave inter_class out"
            )

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """Weights at the start, and the real gradients of a bank.

        Raises:
            ValueError: nothing is left to match.
        """
        state = self.states.init(task, rng)
        if not self._matched(state["weights"]):
            raise ValueError(
                "head=False leaves nothing to match: this model is only a head; set "
                "head=True"
            )
        if "bank" not in state:
            return state
        bank, taken = state["bank"], []
        for place in range(len(next(iter(bank.values())))):
            weights = {name: tensor[place] for name, tensor in bank.items()}
            taken.append(self._real(task, weights, task.batch(rng)))
        names = taken[0]
        return {**state, "real": {n: torch.stack([t[n] for t in taken]) for n in names}}

    def loss(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tensor:
        """Mean over models of the class-weighted distance."""
        shared = sharing()
        if shared is not None:
            return self._part(task, state["weights"], synthetic, rng, shared)
        weights = state["weights"]
        share = self._share(task, synthetic, next(iter(weights.values())))
        if "real" in state:
            check_places("turn", state["turn"], len(next(iter(state["real"].values()))))
            theirs = {n: t[int(state["turn"])] for n, t in state["real"].items()}
        else:
            real, view = task.batch(rng), task.view(rng)
            if self.class_wise:  # a class that the batch does not hold asks for nothing
                share = share * (task.classes(real).mass > 0)
            theirs, synthetic = self._real(task, weights, view(real)), view(synthetic)
        rows = self._rows(task, synthetic)
        return self._matching(task, weights, synthetic, rows, theirs, share)

    def shareable(self, task: Task[Any]) -> tuple[str, ...]:
        """By rows; by classes where each is matched alone; a bank has no real side
        that a step could share."""
        if isinstance(self.states, Bank):
            return ()
        alone = self.class_wise and not self.inter_class
        return tuple(way for way in task_ways(task) if way == "rows" or alone)

    def _part(
        self,
        task: Task[Any],
        weights: Params,
        synthetic: Batch,
        rng: torch.Generator,
        shared: Sharing,
    ) -> Tensor:
        """This rank's part of the loss."""
        real, view = task.batch(rng), task.view(rng)
        there, like = shared.cut(task, real), next(iter(weights.values()))
        if shared.way == "classes":
            here = shared.cut(task, synthetic)
            theirs = self._real(task, weights, view(there.batch), there.classes)
            share = (here.classes.share * (there.classes.mass > 0)).to(like.dtype)
            ours = view(here.batch)
            return self._matching(task, weights, ours, here.classes, theirs, share)
        # Gradients are summed before they are compared: a cosine is no mean.
        theirs = self._real(task, weights, view(there.batch))
        theirs = shared.means(theirs, there, merged=not self.class_wise)
        share = self._share(task, synthetic, like)
        if self.class_wise:
            share = share * (there.whole.mass > 0)
        ours, rows = view(synthetic), self._rows(task, synthetic)
        loss = self._matching(task, weights, ours, rows, theirs, share)
        return shared.of_first(loss)

    def _matching(
        self,
        task: Task[Any],
        weights: Params,
        synthetic: Batch,
        rows: ClassIndex,
        theirs: Params,
        share: Tensor,
    ) -> Tensor:
        """Mean over models of the distance to real gradients."""
        gradients = class_gradients(task, weights, synthetic, rows)
        ours = {name: gradients[name] for name in theirs}
        apart = self._apart(ours, theirs)  # [k, c]
        loss = (apart * share.to(apart.dtype)).sum(-1).mean()
        if not self.inter_class:
            return loss
        summed = [
            {name: g.sum(1, keepdim=True) for name, g in side.items()}
            for side in (ours, theirs)
        ]
        return loss + self._apart(*summed).sum(-1).mean()

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """Fresh or further trained weights."""
        return self.states.advance(task, state, synthetic, rng)

    def _apart(self, ours: Params, theirs: Params) -> Tensor:
        return self.distance(list(ours.values()), list(theirs.values()), 2)

    def _real(
        self,
        task: Task[Any],
        weights: Params,
        batch: Batch,
        rows: ClassIndex | None = None,
    ) -> Params:
        """Real gradients of the weights that are matched."""
        rows = self._rows(task, batch) if rows is None else rows
        gradients = class_gradients(task, weights, batch, rows, differentiable=False)
        return {name: gradients[name].detach() for name in self._matched(weights)}

    def _matched(self, weights: Params) -> list[str]:
        matrices = [name for name, w in weights.items() if w.dim() > 2]
        names = list(weights) if self.biases else matrices
        if self.head:
            return names
        layer = matrices[-1].rpartition(".")[0]  # its bias goes with it
        last = [n for n in weights if layer and n.rpartition(".")[0] == layer]
        return [name for name in names if name not in (last or matrices[-1:])]

    def _rows(self, task: Task[Any], batch: Batch) -> ClassIndex:
        classes = task.classes(batch)
        return classes if self.class_wise else classes.merged()

    def _share(self, task: Task[Any], batch: Batch, like: Tensor) -> Tensor:
        if not self.class_wise:
            return torch.ones(1, dtype=like.dtype, device=like.device)
        return task.classes(batch).share.to(like.dtype)
