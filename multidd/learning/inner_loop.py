"""The steps of a learner on the synthetic set, as something that can be run again."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from multidd import seeds
from multidd.learning.functional import mapped
from multidd.learning.gradients import training_gradients
from multidd.learning.optim import SGD, Optimizer
from multidd.protocols import Batch, Params, Task

__all__ = ["Inner", "Memory", "State", "Way"]

Memory = Literal["exact", "checkpointed", "stored", "truncated", "first_order"]
"""What is kept of a learner's way; see `multidd.learning.unroll`."""

State: TypeAlias = tuple[Params, dict[str, dict[str, Tensor]]]
"""Weights and moments."""


@dataclass(frozen=True)
class Inner:
    """How a learner trains on the synthetic set.

    Attributes:
        steps: N.
        optimizer: how the weights move; its `lr` counts where no rate is learned.
        rows: synthetic records at a step, drawn anew; None takes all.
        memory: what is kept for the gradient.
        window: steps that `"truncated"` differentiates.
        paces: beginnings of names, each with a factor on the gradient of the weights
            that are called so: parts of the learner that move slower than others.

    Raises:
        ValueError: a setting that is out of range, or does not fit another.

    Example:
        >>> Inner(steps=20, memory="checkpointed").rows is None
        True
    """

    steps: int = 30
    optimizer: Optimizer = SGD(lr=0.01)
    rows: int | None = None
    memory: Memory = "exact"
    window: int | None = None
    paces: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if self.memory not in get_args(Memory):
            raise ValueError(
                f"memory must be one of {', '.join(get_args(Memory))}; got "
                f"{self.memory!r}"
            )
        if self.steps < 1 or (self.rows is not None and self.rows < 1):
            raise ValueError(
                f"steps and rows must be 1 or more, got {self.steps} and {self.rows}"
            )
        if (self.window is not None) != (self.memory == "truncated"):
            raise ValueError(
                "memory='truncated' needs window=, the steps it differentiates, and "
                f"no other takes one; got {self.memory!r} and window={self.window}"
            )
        if self.window is not None and not 1 <= self.window <= self.steps:
            raise ValueError(
                f"window must be from 1 to the {self.steps} steps, got {self.window}"
            )
        if any(not pace > 0 for _, pace in self.paces):
            raise ValueError(f"paces must be above 0, got {self.paces}")
        if self.memory == "first_order":
            _check_plain(self.optimizer)

    def paced(self, gradients: Params) -> Params:
        """Gradients times the paces of their weights."""
        if not self.paces:
            return gradients
        return {n: gradient * self._pace(n) for n, gradient in gradients.items()}

    def _pace(self, name: str) -> float:
        return math.prod(p for start, p in self.paces if name.startswith(start))

    @property
    def segment(self) -> int:
        """Steps whose graph is held at a time on the way back."""
        if self.memory in ("stored", "first_order"):
            return 1
        if self.memory == "checkpointed":
            return math.isqrt(self.steps - 1) + 1
        return self.steps if self.window is None else self.window


def _check_plain(optimizer: Optimizer) -> None:
    """Refuse steps whose reach is not known before they are taken."""
    if not isinstance(optimizer, SGD):
        raise ValueError("memory='first_order' is for SGD; take 'stored'")
    if optimizer.cosine or optimizer.simplex or optimizer.minimum is not None:
        raise ValueError(
            "memory='first_order' is for SGD without cosine, minimum and simplex; got "
            f"{optimizer}; take 'stored'"
        )


@dataclass(frozen=True)
class Way:
    """The steps of one learner, which can be run again."""

    task: Task[Any]
    synthetic: Batch
    inner: Inner
    seed: int
    device: torch.device

    def begin(self, weights: Params) -> State:
        """The state before the first step."""
        optimizer = self.inner.optimizer
        return weights, {name: optimizer.init(w) for name, w in weights.items()}

    def run(
        self,
        state: State,
        steps: range,
        synthetic: Batch,
        rate: Tensor | None,
        graph: bool,
    ) -> State:
        """The state after some steps; with a graph, or detached."""
        if not graph:
            synthetic = mapped(synthetic, Tensor.detach)
        for step in steps:
            state = self.step(state, step, synthetic, rate, graph)
        return state

    def step(
        self,
        state: State,
        step: int,
        synthetic: Batch,
        rate: Tensor | None,
        graph: bool,
    ) -> State:
        """One step."""
        gradients = self.gradients(state[0], step, synthetic, graph)
        return self.moved(state, gradients, step, rate, graph)

    def moved(
        self,
        state: State,
        gradients: Params,
        step: int,
        rate: Tensor | None,
        graph: bool,
    ) -> State:
        """The state after a step along these gradients."""
        weights, moments = state
        optimizer: Any = self.inner.optimizer
        if rate is not None:
            now = rate if rate.dim() == 0 else rate[step]
            optimizer = replace(optimizer, lr=now if graph else now.detach())
        moved = {
            name: optimizer.step(weight, gradients[name], moments[name])
            for name, weight in weights.items()
        }
        ends = {name: weight for name, (weight, _) in moved.items()}
        return ends, {name: moment for name, (_, moment) in moved.items()}

    def gradients(
        self, weights: Params, step: int, synthetic: Batch, graph: bool
    ) -> Params:
        """Of the mean loss on the rows of a step, under its view."""
        rng = seeds.at(self.seed, "inner", step, self.device)
        batch, rows = synthetic, self.inner.rows
        if rows is not None:
            total = len(self.task.targets(batch))
            chosen = torch.randperm(total, generator=rng, device=rng.device)[:rows]
            batch = self.task.take(batch, chosen) if rows < total else batch
        seen = self.task.view(rng)(batch)
        if graph or self.inner.memory not in ("checkpointed", "stored"):
            plain = training_gradients(self.task, weights, seen, differentiable=graph)
            return self.inner.paced(plain)
        # By the operations of the way back, to the same bits: a state that is off by
        # a rounding may lie beyond a kink of a ReLU, where the slopes are others.
        fixed = {name: w.detach() for name, w in weights.items()}
        with torch.enable_grad():
            found = self.inner.paced(training_gradients(self.task, fixed, seen))
        return {name: gradient.detach() for name, gradient in found.items()}
