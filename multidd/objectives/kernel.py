"""Kernel ridge regression: KIP, RFAD, FRePO, DISTILL-CF."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.kernels import ridge_solve
from multidd.kernels.multinomial import SparseTargets, multinomial
from multidd.learning.kernel_sources import Infinite, Kernel
from multidd.parallel.sharing import on_first, sharing
from multidd.protocols import Batch, Objective, Params, Task, Tree, task_ways

LossKind = Literal["mse", "cross_entropy", "multinomial"]
"""What a prediction costs; see `KernelRidge`."""


@dataclass(frozen=True)
class RidgeSearch:
    r"""Search of the ridge on validation data, repeated as S is learned.

    Attributes:
        grid: the values of $\lambda$.
        start: the one in use until the first choice.
        every: steps between two choices.

    Example:
        >>> RidgeSearch((1e-3, 1.0)).start
        0.001
    """

    grid: tuple[float, ...]
    start: float = 1e-3
    every: int = 25

    def __post_init__(self) -> None:
        if not self.grid or min(*self.grid, self.start) <= 0:
            raise ValueError(
                f"ridges must be above 0, got {self.grid} and start={self.start}"
            )
        if self.every < 1:
            raise ValueError(f"every must be 1 or more, got {self.every}")


@dataclass(frozen=True)
class KernelRidge(Objective):
    r"""The loss on T of kernel ridge regression on S, solved in closed form.

    $$L\big(Y_T,\; K_{TS} (K_{SS} + \lambda \tfrac{\mathrm{tr} K_{SS}}{m} I)^{-1}
      Y_S\big)$$

    One view of the task is drawn at each step and applied to both sides. Labels are
    centered (each row has its mean taken off) but for the multinomial loss.

    Attributes:
        kernel: an `Infinite` network (KIP), `Features` of fresh random models (RFAD) or
            of a pool of trained ones (FRePO), or a `Plain` kernel of the inputs.
        loss_kind: half the squared error of an example, summed over classes and
            averaged over examples (`"mse"`); cross-entropy of $\tau$ times the
            prediction with a learned $\tau$ (`"cross_entropy"`, Platt scaling); or
            cross-entropy of `scale` times the prediction with targets that may hold
            several classes (`"multinomial"`, for items of a history).
        ridge: $\lambda$, relative to the mean diagonal, or a `RidgeSearch`, of which
            the task's `choose_ridge(kernel, synthetic, grid)` takes the best on
            validation data.
        temperature: $\tau$ at the start, for cross-entropy.
        scale: of the predictions, for the multinomial loss. Those of a history lie
            between zero and one: as they are, all items are nearly as likely, and the
            loss hardly tells the top of a list from its end.
        margin: add FRePO's regularizer, which keeps the two largest labels of a
            synthetic record apart: the mean of $-\min(y_1 - y_2, 1/c)$.

    Reference:
        Nguyen, Chen, Lee, "Dataset Meta-Learning from Kernel Ridge-Regression", ICLR
        2021; Loo, Hasani, Amini, Rus, "Efficient Dataset Distillation Using Random
        Feature Approximation", NeurIPS 2022; Zhou, Nezhadarya, Ba, "Dataset
        Distillation using Neural Feature Regression", NeurIPS 2022; Sachdeva, Dhaliwal,
        Wu, McAuley, "Infinite Recommendation Networks: A Data-Centric Approach",
        NeurIPS 2022.

    Example:
        >>> KernelRidge(Infinite(depth=2), ridge=1e-5).loss_kind
        'mse'
    """

    kernel: Kernel = Infinite()
    loss_kind: LossKind = "mse"
    ridge: float | RidgeSearch = 1e-6
    temperature: float = 10.0
    scale: float = 1.0
    margin: bool = False

    def __post_init__(self) -> None:
        if self.loss_kind not in get_args(LossKind):
            raise ValueError(
                f"the loss must be one of {get_args(LossKind)}, got {self.loss_kind!r}"
            )
        if self.temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        if not 0 < self.scale < float("inf"):
            raise ValueError(f"scale must be above 0, got {self.scale}")
        if not isinstance(self.ridge, RidgeSearch) and self.ridge < 0:
            raise ValueError(f"ridge must be 0 or more, got {self.ridge}")

    def learned(self) -> Params:
        """The logarithm of the temperature, where there is one."""
        if self.loss_kind != "cross_entropy":
            return {}
        return {"log_temperature": torch.tensor(self.temperature).log()}

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """The kernel's, and the ridge where it is chosen."""
        state = self.kernel.init(task, rng)
        if not isinstance(self.ridge, RidgeSearch):
            return state
        if not hasattr(task, "choose_ridge"):
            raise ValueError(
                f"{type(task).__name__} cannot choose a ridge; give a number"
            )
        start = torch.tensor(self.ridge.start, dtype=torch.float64)
        return {**state, "ridge": start, "advanced": torch.tensor(0)}

    def loss(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tensor:
        """Mean loss of the real batch."""
        real, view = task.batch(rng), task.view(rng)
        shared = sharing()
        part = None if shared is None else shared.cut(task, real)
        synthetic, real = view(synthetic), view(real if part is None else part.batch)
        within, across = self.kernel.grams(task, state, synthetic, real)
        ours, theirs = task.targets(synthetic), task.targets(real)
        goal = ours if self.loss_kind == "multinomial" else centered(ours)
        dual = ridge_solve(within, goal.to(within.dtype), self._ridge(state))
        dual = dual.to(across.dtype)
        loss = self._cost(state, across, dual, theirs)
        if shared is None or part is None:
            return loss + _margin(ours) if self.margin else loss
        loss = part.fraction * loss
        return loss + shared.of_first(_margin(ours)) if self.margin else loss

    def shareable(self, task: Task[Any]) -> tuple[str, ...]:
        """By rows: the loss is a mean over real ones."""
        return tuple(way for way in task_ways(task) if way == "rows")

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """The kernel's next state; where a ridge is due, the best one."""
        extra = {"learned", "ridge", "advanced"}
        inner = {name: part for name, part in state.items() if name not in extra}
        moved = self.kernel.advance(task, inner, synthetic, rng)
        if not isinstance(self.ridge, RidgeSearch):
            return moved
        ridge, count = state["ridge"], state["advanced"] + 1
        if int(count) % self.ridge.every == 0:
            choose = task.choose_ridge  # type: ignore[attr-defined]
            grid = self.ridge.grid
            best = on_first(lambda: choose(self.kernel, synthetic, grid))
            ridge = torch.tensor(best, dtype=torch.float64)
        return {**moved, "ridge": ridge, "advanced": count}

    def _ridge(self, state: Tree) -> float:
        if isinstance(self.ridge, RidgeSearch):
            return float(state["ridge"])
        return self.ridge

    def _cost(self, state: Tree, across: Tensor, dual: Tensor, theirs: Any) -> Tensor:
        if isinstance(theirs, SparseTargets):
            if self.loss_kind != "multinomial":
                raise ValueError(f"sparse targets are not for {self.loss_kind!r}")
            return multinomial(across, self.scale * dual, theirs)
        predicted = across @ dual
        if self.loss_kind == "mse":
            gap = predicted - centered(theirs).to(predicted.dtype)
            return 0.5 * gap.square().sum(1).mean()
        if self.loss_kind == "cross_entropy":
            temperature = state["learned"]["log_temperature"].exp()
            predicted = temperature.to(predicted.dtype) * predicted
        else:
            predicted = self.scale * predicted
        return F.cross_entropy(predicted, theirs.to(predicted.dtype))


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
