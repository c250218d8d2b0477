"""Unrolled learners: DD, SLDD, LD, RaT-BPTT, LinBa."""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from multidd.learning.functional import each_model
from multidd.learning.states import Fresh, States
from multidd.learning.unroll import Inner, train
from multidd.protocols import Batch, Params, Task, Tree

Rates = Literal["fixed", "one", "each"]
"""Which step sizes of the learner are learned; see `Unroll`."""


@dataclass(frozen=True)
class Unroll:
    r"""The loss on T of the weights that training on S reaches.

    $$\frac1k \sum_{\theta_0} L^T(\theta_N), \qquad
      \theta_{i+1} = \theta_i - \eta_i \nabla L^S(\theta_i)$$

    or the step of another optimizer. Each step of the learner sees S under a view of
    its own, and T is seen under one more: the views are independent.

    What is kept of the way for the gradient is `inner.memory`. With `"truncated"` and
    `shortest` this is the random truncated window of RaT-BPTT: N is drawn anew for each
    loss, and its last `inner.window` steps are differentiated.

    Attributes:
        inner: the learner's steps, at most, its optimizer, and the memory.
        states: where $\theta_0$ comes from.
        rates: `"fixed"` as the optimizer has it; or learned from there on, `"one"` for
            all steps or one for `"each"`. They are learned as logarithms, so that they
            stay positive, in the group `objective.log_rate`.
        shortest: N is drawn uniformly from here to `inner.steps`; None takes all steps
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
        >>> from multidd.learning.optim import Adam
        >>> inner = Inner(200, Adam(lr=1e-3), memory="truncated", window=60)
        >>> Unroll(inner, shortest=60).rates
        'fixed'
    """

    inner: Inner = Inner(steps=10, memory="checkpointed")
    states: States = Fresh()
    rates: Rates = "fixed"
    shortest: int | None = None

    def __post_init__(self) -> None:
        if self.rates not in get_args(Rates):
            raise ValueError(
                f"rates must be one of {', '.join(get_args(Rates))}; got {self.rates!r}"
            )
        if self.rates != "fixed" and not self.inner.optimizer.lr > 0:
            raise ValueError(
                "a learned rate starts from the optimizer's, which must be above 0; "
                f"got lr={self.inner.optimizer.lr}"
            )
        least, most = self.inner.window or 1, self.inner.steps
        if self.shortest is not None and not least <= self.shortest <= most:
            raise ValueError(
                f"shortest must be from {least} (the window, where there is one) to "
                f"the {most} steps of inner, got {self.shortest}"
            )

    def learned(self) -> Params:
        r"""$\log \eta$, `[]` or `[N]`, where it is learned."""
        if self.rates == "fixed":
            return {}
        log = torch.tensor(self.inner.optimizer.lr).log()
        return {
            "log_rate": log if self.rates == "one" else log.repeat(self.inner.steps)
        }

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """Weights at the start."""
        return self.states.init(task, rng)

    def loss(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tensor:
        """Mean over models of the mean loss of the real batch."""
        inner, rate = self._drawn(rng), None
        if self.rates != "fixed":
            rate = state["learned"]["log_rate"].exp()
        ends = train(task, state["weights"], synthetic, inner, rng, rate)
        real = task.view(rng)(task.batch(rng))
        rows = task.classes(real).merged()

        def mean(one: Params) -> list[Tensor]:
            return [rows.mean_of(task.losses(one, real))]

        return each_model(task, ends, mean)[0].mean()

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """Fresh or further trained weights."""
        own = {name: part for name, part in state.items() if name != "learned"}
        return self.states.advance(task, own, synthetic, rng)

    def _drawn(self, rng: torch.Generator) -> Inner:
        """The learner with as many steps as this loss takes."""
        if self.shortest is None:
            return self.inner
        bounds = (self.shortest, self.inner.steps + 1)
        steps = torch.randint(*bounds, (1,), generator=rng, device=rng.device)
        return replace(self.inner, steps=int(steps))
