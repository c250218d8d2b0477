"""Inner-loop training steps that can be replayed bit for bit."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from multidd import seeds
from multidd.learning.functional import map_tensors
from multidd.learning.gradients import training_gradients
from multidd.learning.optim import SGD, Optimizer
from multidd.protocols import Batch, Params, Task

__all__ = ["InnerLoop", "Backprop", "State", "InnerLoopRun"]

Backprop = Literal["exact", "checkpointed", "stored", "truncated", "first_order"]
"""How an inner loop is backpropagated through; see `multidd.learning.unroll`."""

State: TypeAlias = tuple[Params, dict[str, dict[str, Tensor]]]
"""Weights and moments."""


@dataclass(frozen=True)
class InnerLoop:
    """Settings of inner-loop training on the synthetic set.

    Attributes:
        steps: N, training steps.
        optimizer: how the weights move; its `lr` counts where no rate is learned.
        batch_syn: synthetic records of a step, drawn anew; None takes all.
        backprop: how the gradient is computed, and so what is held in memory.
        window: steps that `"truncated"` differentiates.
        gradient_factors: pairs of a prefix of parameter names and a factor on the
            gradients of these parameters, for parts of a model that learn slower.

    Raises:
        ValueError: a setting that is out of range, or does not fit another.

    Example:
        >>> InnerLoop(steps=20, backprop="checkpointed").segment
        5
    """

    steps: int = 30
    optimizer: Optimizer = SGD(lr=0.01)
    batch_syn: int | None = None
    backprop: Backprop = "exact"
    window: int | None = None
    gradient_factors: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if self.backprop not in get_args(Backprop):
            raise ValueError(
                f"backprop must be one of {', '.join(get_args(Backprop))}; got "
                f"{self.backprop!r}"
            )
        if self.steps < 1 or (self.batch_syn is not None and self.batch_syn < 1):
            raise ValueError(
                f"steps and batch_syn must be 1 or more, got {self.steps} and "
                f"{self.batch_syn}"
            )
        if (self.window is not None) != (self.backprop == "truncated"):
            raise ValueError(
                "backprop='truncated' needs window=, the steps it differentiates, and "
                f"no other takes one; got {self.backprop!r} and window={self.window}"
            )
        if self.window is not None and not 1 <= self.window <= self.steps:
            raise ValueError(
                f"window must be from 1 to the {self.steps} steps, got {self.window}"
            )
        if any(not factor > 0 for _, factor in self.gradient_factors):
            raise ValueError(
                f"gradient factors must be above 0, got {self.gradient_factors}"
            )
        if self.backprop == "first_order":
            _check_linear(self.optimizer)

    def scale_gradients(self, gradients: Params) -> Params:
        """Gradients times the factors of their parameters."""
        if not self.gradient_factors:
            return gradients
        return {n: gradient * self._factor(n) for n, gradient in gradients.items()}

    def _factor(self, name: str) -> float:
        factors = (f for prefix, f in self.gradient_factors if name.startswith(prefix))
        return math.prod(factors)

    @property
    def segment(self) -> int:
        """Steps whose graph is held at a time in the backward pass."""
        if self.backprop in ("stored", "first_order"):
            return 1
        if self.backprop == "checkpointed":
            return math.isqrt(self.steps - 1) + 1
        return self.steps if self.window is None else self.window


def _check_linear(optimizer: Optimizer) -> None:
    """Refuse steps that are not linear in the gradient, as first order needs them."""
    if not isinstance(optimizer, SGD):
        raise ValueError("backprop='first_order' is for SGD; take 'stored'")
    if optimizer.cosine or optimizer.simplex or optimizer.minimum is not None:
        raise ValueError(
            "backprop='first_order' is for SGD without cosine, minimum and simplex; "
            f"got {optimizer}; take 'stored'"
        )


@dataclass(frozen=True)
class InnerLoopRun:
    """The steps of one inner loop, with a generator each, so that they repeat."""

    task: Task[Any]
    synthetic: Batch
    inner: InnerLoop
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
            synthetic = map_tensors(synthetic, Tensor.detach)
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
        batch, size = synthetic, self.inner.batch_syn
        if size is not None:
            total = len(self.task.targets(batch))
            rows = torch.randperm(total, generator=rng, device=rng.device)[:size]
            batch = self.task.take(batch, rows) if size < total else batch
        seen = self.task.view(rng)(batch)
        if graph or self.inner.backprop not in ("checkpointed", "stored"):
            plain = training_gradients(self.task, weights, seen, differentiable=graph)
            return self.inner.scale_gradients(plain)
        # By the operations of the backward pass, to the same bits: a state that is off
        # by a rounding may lie beyond a kink of a ReLU, where the slopes are others.
        fixed = {name: w.detach() for name, w in weights.items()}
        with torch.enable_grad():
            plain = training_gradients(self.task, fixed, seen)
            scaled = self.inner.scale_gradients(plain)
        return {name: gradient.detach() for name, gradient in scaled.items()}
