r"""Training of experts on the real set, with weights stored after each epoch."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multidd import seeds
from multidd.errors import DivergedError
from multidd.learning.gradients import mean_gradients
from multidd.learning.optim import SGD, Optimizer
from multidd.learning.states import check_batch_size
from multidd.protocols import Batch, Params, Task, Tree

__all__ = ["GSAM", "Trainer"]


@dataclass(frozen=True)
class GSAM:
    r"""GSAM: training towards flat minima, whose trajectories are easier to match.

    $$g' = \nabla L(\theta + \rho\, g / \lVert g \rVert), \qquad
      \theta \text{ moves by } g' - \alpha\, g_\perp$$

    with $g$ the gradient at $\theta$ and $g_\perp$ its part at right angles to $g'$.

    Attributes:
        rho: $\rho$, how far the gradient is taken up the slope.
        alpha: $\alpha$, weight of the gap between the two losses; 0 is SAM.

    Reference:
        Zhuang et al., "Surrogate Gap Minimization Improves Sharpness-Aware Training",
        ICLR 2022; Du, Jiang, Tan, Zhou, Li, "Minimizing the Accumulated Trajectory
        Error to Improve Dataset Distillation", CVPR 2023.

    Example:
        >>> GSAM(rho=0.05)
        GSAM(rho=0.05, alpha=1.0)
    """

    rho: float = 0.01
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if self.rho <= 0 or self.alpha < 0:
            raise ValueError(
                f"rho must be above 0 and alpha 0 or more, got {self.rho} and "
                f"{self.alpha}"
            )

    def gradient(
        self, task: Task[Any], weights: Params, batch: Batch, gradients: Params
    ) -> Params:
        """The gradient to step by, of one model.

        Args:
            task: the task.
            weights: each `[1, ...]`.
            batch: what the gradients were taken on.
            gradients: those at the weights.

        Returns:
            `[1, ...]` for each name.
        """
        size = _dot(gradients, gradients).sqrt().clamp(min=1e-12)
        ahead = {n: w + self.rho / size * gradients[n] for n, w in weights.items()}
        perturbed = mean_gradients(task, ahead, batch)
        square = _dot(perturbed, perturbed).clamp(min=1e-24)
        share = _dot(gradients, perturbed) / square
        normal = {n: g - share * perturbed[n] for n, g in gradients.items()}
        return {n: g - self.alpha * normal[n] for n, g in perturbed.items()}


@dataclass(frozen=True)
class Trainer:
    """How an expert is trained on the real set.

    Attributes:
        epochs: how often its weights are stored, beside the start.
        steps: training steps of an epoch, from one time to the next.
        optimizer: how the weights move.
        batch_size: records of the task's real batch that a step takes, drawn anew;
            None takes all of them.
        gsam: train towards flat minima.

    Raises:
        ValueError: a number out of range.

    Example:
        >>> Trainer(epochs=5, steps=20).optimizer.lr
        0.01
    """

    epochs: int = 10
    steps: int = 20
    optimizer: Optimizer = SGD(lr=0.01)
    batch_size: int | None = None
    gsam: GSAM | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.steps < 1:
            raise ValueError(
                f"epochs and steps must be 1 or more, got {self.epochs} and "
                f"{self.steps}"
            )
        check_batch_size(self.batch_size)

    def trajectory(self, task: Task[Any], seed: int, device: str = "cpu") -> Params:
        """Train one expert.

        Args:
            task: the task, whose real batches it sees under the task's views.
            seed: of its start, its batches and its views.
            device: where the task lives.

        Returns:
            `[epochs + 1, ...]` for each name, on the CPU: the weights at the start and
            after each epoch.

        Raises:
            DivergedError: a weight is not finite any more.
        """
        weights = task.weights(seeds.at(seed, "expert", device=device), 1)
        moments: Tree = {n: self.optimizer.init(w) for n, w in weights.items()}
        stored = [_first(weights)]
        for epoch in range(self.epochs):
            for step in range(self.steps):
                place = epoch * self.steps + step
                rng = seeds.at(seed, "lesson", place, device)
                weights, moments = self._step(task, weights, moments, rng)
            stored.append(_first(weights))
            self._check(stored[-1], epoch)
        return {name: torch.stack([one[name] for one in stored]) for name in weights}

    def _step(
        self, task: Task[Any], weights: Params, moments: Tree, rng: torch.Generator
    ) -> tuple[Params, Tree]:
        batch = task.batch(rng)
        if self.batch_size is not None:
            total = len(task.targets(batch))
            order = torch.randperm(total, generator=rng, device=rng.device)
            rows = order[: self.batch_size]
            batch = task.take(batch, rows) if self.batch_size < total else batch
        seen = task.view(rng)(batch)
        gradients = mean_gradients(task, weights, seen)
        if self.gsam is not None:
            gradients = self.gsam.gradient(task, weights, seen, gradients)
        moved = {
            name: self.optimizer.step(weight, gradients[name], moments[name])
            for name, weight in weights.items()
        }
        ends = {name: weight for name, (weight, _) in moved.items()}
        return ends, {name: state for name, (_, state) in moved.items()}

    def _check(self, weights: Params, epoch: int) -> None:
        bad = [n for n, w in weights.items() if not bool(torch.isfinite(w).all())]
        if bad:
            raise DivergedError(
                f"the expert's {', '.join(bad)} is not finite after epoch {epoch + 1} "
                f"of {self.epochs}; train with a smaller rate than "
                f"{self.optimizer.lr} (Trainer(optimizer=...))",
                step=(epoch + 1) * self.steps,
            )


def _first(weights: Params) -> Params:
    return {name: w[0].detach().cpu() for name, w in weights.items()}


def _dot(one: Params, other: Params) -> Tensor:
    return torch.stack([(one[name] * other[name]).sum() for name in one]).sum()
