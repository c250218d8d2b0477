"""Unrolled training: DD, SLDD, LD, RaT-BPTT, LinBa."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from multidd import seeds
from multidd.classes import merged_only
from multidd.learning.functional import each_model
from multidd.learning.precision import network_pass
from multidd.learning.states import Fresh, States
from multidd.learning.unroll import InnerLoop, train
from multidd.parallel.sharing import sharing
from multidd.protocols import Batch, Objective, Params, Task, Tree, task_ways

LrMode = Literal["fixed", "one", "each"]
"""Which learning rates of the inner loop are learned; see `Unroll`."""


@dataclass(frozen=True)
class Unroll(Objective):
    r"""Unrolled training: the loss on T of the weights that training on S reaches.

    $$\frac1k \sum_{\theta_0} L^T(\theta_N), \qquad
      \theta_{i+1} = \theta_i - \eta_i \nabla L^S(\theta_i)$$

    or the step of another optimizer. Each step of the learner sees S under a view of
    its own, and T is seen under one more: the views are independent.

    The gradient is that of `inner.backprop`. With `"truncated"` and `min_steps` this
    is the random truncated window of RaT-BPTT: N is drawn anew for each loss, and its
    last `inner.window` steps are differentiated.

    Attributes:
        inner: the largest number of steps on S, their optimizer, and the gradient.
        states: where $\theta_0$ comes from.
        lr_mode: `"fixed"` as the optimizer has it; or learned from there on, `"one"`
            for all steps or one for `"each"`. What is learned is the
            logarithm, so that rates stay positive, in the group `objective.log_rate`.
        min_steps: N is drawn uniformly from here to `inner.steps`; None takes all steps
            always.

    Raises:
        ValueError: a setting that is out of range, or does not fit another.

    Reference:
        Wang, Zhu, Torralba, Efros, "Dataset Distillation", arXiv 1811.10959, 2018;
        Sucholutsky, Schonlau, "Soft-Label Dataset Distillation and Text Dataset
        Distillation", IJCNN 2021; Bohdal, Yang, Hospedales, "Flexible Dataset
        Distillation: Learn Labels Instead of Images", arXiv 2006.08572, 2020; Deng,
        Russakovsky, "Remember the Past: Distilling Datasets into Addressable Memories
        for Neural Networks", NeurIPS 2022; Feng, Vedantam, Kempe, "Embarrassingly
        Simple Dataset Distillation", ICLR 2024.

    Example:
        >>> from multidd.learning import Adam
        >>> inner = InnerLoop(200, Adam(lr=1e-3), backprop="truncated", window=60)
        >>> Unroll(inner, min_steps=60).lr_mode
        'fixed'
    """

    lower_precision: ClassVar[bool] = True

    inner: InnerLoop = InnerLoop(steps=10, backprop="checkpointed")
    states: States = Fresh()
    lr_mode: LrMode = "fixed"
    min_steps: int | None = None

    def __post_init__(self) -> None:
        if self.lr_mode not in get_args(LrMode):
            raise ValueError(
                f"lr_mode must be one of {', '.join(get_args(LrMode))}; got "
                f"{self.lr_mode!r}"
            )
        if self.lr_mode != "fixed" and not self.inner.optimizer.lr > 0:
            raise ValueError(
                "a learned rate starts from the optimizer's, which must be above 0; "
                f"got lr={self.inner.optimizer.lr}"
            )
        low, high = self.inner.window or 1, self.inner.steps
        if self.min_steps is not None and not low <= self.min_steps <= high:
            raise ValueError(
                f"min_steps must be from {low} (the window, where there is one) to "
                f"the {high} steps of inner, got {self.min_steps}"
            )

    def learned(self) -> Params:
        r"""$\log \eta$, `[]` or `[N]`, where it is learned."""
        if self.lr_mode == "fixed":
            return {}
        log = torch.tensor(self.inner.optimizer.lr).log()
        return {
            "log_rate": log if self.lr_mode == "one" else log.repeat(self.inner.steps)
        }

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """Weights at the start."""
        return self.states.init(task, rng)

    def loss(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tensor:
        """Mean over models of the mean loss of the real batch."""
        inner, rate = self._drawn(rng), None
        if self.lr_mode != "fixed":
            rate = state["learned"]["log_rate"].exp()
        ends = train(task, state["weights"], synthetic, inner, rng, rate)
        view, batch, shared = task.view(rng), task.batch(rng), sharing()
        part = None if shared is None else shared.cut(task, batch)
        real = view(batch if part is None else part.batch)
        with merged_only():
            rows = task.classes(real).merged()

        def mean(one: Params) -> list[Tensor]:
            return [rows.mean_of(network_pass(task.losses, one, real))]

        loss = each_model(task, ends, mean)[0].mean()
        return loss if part is None else loss * part.weight.to(loss.dtype)

    def shareable(self, task: Task[Any]) -> tuple[str, ...]:
        """By rows: the loss is a mean over real ones; training on S is not shared."""
        return tuple(way for way in task_ways(task) if way == "rows")

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """Fresh or further trained weights."""
        models = {name: part for name, part in state.items() if name != "learned"}
        return self.states.advance(task, models, synthetic, rng)

    def _drawn(self, rng: torch.Generator) -> InnerLoop:
        """The learner with as many steps as this loss takes."""
        if self.min_steps is None:
            return self.inner
        bounds = (self.min_steps, self.inner.steps + 1)
        steps = torch.randint(*bounds, (1,), generator=seeds.host(rng))
        return replace(self.inner, steps=int(steps))
