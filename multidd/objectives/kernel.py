"""Kernel ridge regression: KIP, RFAD, FRePO."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.kernels import ridge_solve
from multidd.learning.grams import Infinite, Kernel
from multidd.protocols import Batch, Params, Task, Tree


@dataclass(frozen=True)
class KernelRidge:
    r"""The loss on T of a learner that is solved on S in closed form.

    $$L\big(Y_T,\; K_{TS} (K_{SS} + \lambda \tfrac{\mathrm{tr} K_{SS}}{m} I)^{-1}
      Y_S\big)$$

    Labels are centered: each row has its mean taken off. One view of the task is drawn
    at each step and applied to both sides.

    Attributes:
        kernel: an `Infinite` network (KIP), `Features` of fresh random models (RFAD) or
            of a pool of trained ones (FRePO).
        loss_kind: half the squared error of an example, summed over classes and
            averaged over examples, or cross-entropy of $\tau$ times the prediction with
            a learned $\tau$ (Platt scaling).
        ridge: $\lambda$, relative to the mean diagonal.
        temperature: $\tau$ at the start, for cross-entropy.
        margin: add FRePO's regularizer, which keeps the two largest labels of a
            synthetic record apart: the mean of $-\min(y_1 - y_2, 1/c)$.

    Reference:
        Nguyen, Chen, Lee, "Dataset Meta-Learning from Kernel Ridge-Regression", ICLR
        2021; Loo, Hasani, Amini, Rus, "Efficient Dataset Distillation Using Random
        Feature Approximation", NeurIPS 2022; Zhou, Nezhadarya, Ba, "Dataset
        Distillation using Neural Feature Regression", NeurIPS 2022.

    Example:
        >>> KernelRidge(Infinite(depth=2), ridge=1e-5).loss_kind
        'mse'
    """

    kernel: Kernel = Infinite()
    loss_kind: Literal["mse", "cross_entropy"] = "mse"
    ridge: float = 1e-6
    temperature: float = 10.0
    margin: bool = False

    def __post_init__(self) -> None:
        if self.loss_kind not in ("mse", "cross_entropy"):
            raise ValueError(
                f"the loss must be 'mse' or 'cross_entropy', got {self.loss_kind!r}"
            )
        if self.temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        if self.ridge < 0:
            raise ValueError(f"ridge must be 0 or more, got {self.ridge}")

    def learned(self) -> Params:
        """The logarithm of the temperature, where there is one."""
        if self.loss_kind == "mse":
            return {}
        return {"log_temperature": torch.tensor(self.temperature).log()}

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """The kernel's."""
        return self.kernel.init(task, rng)

    def loss(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tensor:
        """Mean loss of the real batch."""
        real, view = task.batch(rng), task.view(rng)
        synthetic, real = view(synthetic), view(real)
        within, across = self.kernel.grams(task, state, synthetic, real)
        ours, theirs = task.targets(synthetic), task.targets(real)
        dual = ridge_solve(within, centered(ours).to(within.dtype), self.ridge)
        found = across @ dual
        if self.loss_kind == "mse":
            gap = found - centered(theirs).to(found.dtype)
            loss = 0.5 * gap.square().sum(1).mean()
        else:
            scale = state["learned"]["log_temperature"].exp().to(found.dtype)
            loss = F.cross_entropy(scale * found, theirs.to(found.dtype))
        return loss + _margin(ours) if self.margin else loss

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """The kernel's next state."""
        inner = {name: part for name, part in state.items() if name != "learned"}
        return self.kernel.advance(task, inner, synthetic, rng)


def centered(targets: Tensor) -> Tensor:
    """Rows with their mean taken off.

    Example:
        >>> centered(torch.tensor([[1.0, 0.0]])).tolist()
        [[0.5, -0.5]]
    """
    return targets - targets.mean(1, keepdim=True)


def _margin(targets: Tensor) -> Tensor:
    top = targets.topk(2, dim=1).values
    return -(top[:, 0] - top[:, 1]).clamp(max=1 / targets.shape[1]).mean()
