"""Optimizers as frozen settings with explicit state.

`torch.optim` keeps its state on the object and detaches its steps; here a step is a
function of tensors, so that a run is saved whole, resumed bit for bit, and learners
that are stacked along a leading axis move together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

Moments: TypeAlias = dict[str, Tensor]

__all__ = ["SGD", "Adam", "Optimizer", "RunningClip", "to_simplex", "with_labels"]


@dataclass(frozen=True)
class RunningClip:
    r"""Clip a gradient at a multiple of a running mean of its norm.

    $g \leftarrow g \min(1, f \bar n / \lVert g \rVert)$, then
    $\bar n \leftarrow \beta \bar n + (1 - \beta) \lVert g \rVert$ of the clipped
    gradient. The first gradient is left as it is and starts the mean.

    The mean takes the clipped norm, so that one step lifts it by a bounded factor; the
    paper's code takes the norm before clipping.

    Attributes:
        factor: $f$.
        decay: $\beta$.

    Raises:
        ValueError: a factor that is not above 0, or a decay not in [0, 1).

    Reference:
        Feng, Vedantam, Kempe, "Embarrassingly Simple Dataset Distillation", ICLR 2024.

    Example:
        >>> clip, mean = RunningClip(), torch.tensor(0.0)
        >>> for norm in (1.0, 10.0):
        ...     limit, mean = clip.step(torch.tensor(norm), mean)
        >>> round(limit.item(), 4), round(mean.item(), 4)
        (2.0, 1.1)
    """

    factor: float = 2.0
    decay: float = 0.9

    def __post_init__(self) -> None:
        if not self.factor > 0 or not 0 <= self.decay < 1:
            raise ValueError(
                "factor must be above 0 and decay at least 0 and below 1, got "
                f"{self.factor} and {self.decay}"
            )

    def step(self, norm: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
        """The limit for a gradient of this norm, and the mean after it.

        No number is read from the device here.
        """
        norm = norm.to(mean)
        limit = torch.where(mean == 0, torch.inf, self.factor * mean)
        later = torch.lerp(norm.clamp(max=limit), mean, self.decay)
        return limit, torch.where(mean == 0, norm, later)


@dataclass(frozen=True)
class Adam:
    r"""Adam with explicit state.

    $\theta \leftarrow \theta - \eta\, \hat m / (\sqrt{\hat v} + \epsilon)$

    Attributes:
        lr: step size, in units of the tensor.
        betas: decay of the mean and of the mean square of the gradient.
        eps: floor of the denominator.
        weight_decay: L2 penalty, added to the gradient.
        clip: largest norm of a group's gradient, or a `RunningClip`; None leaves it.
        minimum: projection after the step: entries stay at or above it.
        simplex: projection after the step: rows stay probabilities.
        ema: decay of a running mean of the tensor that the summary takes instead of
            the last iterate; None keeps the last iterate.
        cosine: steps over which the rate falls to zero along a cosine; None keeps it.

    Reference:
        Kingma, Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.

    Example:
        >>> adam, x = Adam(lr=0.1), torch.ones(1)
        >>> x, moments = adam.step(x, torch.ones(1), adam.init(x))
        >>> round(x.item(), 4)
        0.9
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip: float | RunningClip | None = None
    minimum: float | None = None
    simplex: bool = False
    ema: float | None = None
    cosine: int | None = None

    def init(self, tensor: Tensor) -> Moments:
        """Moments at the start."""
        zeros = torch.zeros_like(tensor)
        moments = {"mean": zeros, "square": zeros.clone(), "count": torch.tensor(0)}
        return moments | _extra_init(tensor, self)

    def step(
        self, tensor: Tensor, gradient: Tensor, moments: Moments
    ) -> tuple[Tensor, Moments]:
        """The tensor and its moments after one step; the inputs stay as they are."""
        first, second = self.betas
        gradient = gradient + self.weight_decay * tensor
        mean = torch.lerp(moments["mean"], gradient, 1 - first)
        square = second * moments["square"] + (1 - second) * gradient.square()
        count = moments["count"] + 1
        now: Any = _wide(count) if count.dim() else int(count)
        left: Any = 1 - second**now  # a tensor where models of many ages are stacked
        rate: Any = self.lr * _cosine(self.cosine, now) / (1 - first**now)
        if count.dim():
            left, rate = left.to(tensor.dtype), rate.to(tensor.dtype)
        scale = _root(square / left, self.eps)
        moved = _projected(tensor - rate * mean / scale, self)
        state = {"mean": mean, "square": square, "count": count}
        return moved, state | _extra_step(moved, moments, self.ema)


@dataclass(frozen=True)
class SGD:
    r"""SGD with momentum and explicit state.

    $v \leftarrow \mu v + g$, $\theta \leftarrow \theta - \eta v$

    Attributes:
        lr: step size, in units of tensor per gradient.
        momentum: $\mu$.
        weight_decay: L2 penalty, added to the gradient.
        clip: largest norm of a group's gradient, or a `RunningClip`; None leaves it.
        minimum: projection after the step: entries stay at or above it.
        simplex: projection after the step: rows stay probabilities.
        ema: decay of a running mean of the tensor; see `Adam`.
        cosine: steps over which the rate falls to zero; see `Adam`.

    Example:
        >>> sgd, x = SGD(lr=0.1), torch.ones(1)
        >>> x, moments = sgd.step(x, torch.ones(1), sgd.init(x))
        >>> round(x.item(), 4)
        0.9
    """

    lr: float = 1e-2
    momentum: float = 0.0
    weight_decay: float = 0.0
    clip: float | RunningClip | None = None
    minimum: float | None = None
    simplex: bool = False
    ema: float | None = None
    cosine: int | None = None

    def init(self, tensor: Tensor) -> Moments:
        """Moments at the start."""
        moments = {"velocity": torch.zeros_like(tensor)}
        if self.cosine is not None:
            moments["count"] = torch.tensor(0)
        return moments | _extra_init(tensor, self)

    def step(
        self, tensor: Tensor, gradient: Tensor, moments: Moments
    ) -> tuple[Tensor, Moments]:
        """The tensor and its moments after one step; the inputs stay as they are."""
        gradient = gradient + self.weight_decay * tensor
        velocity = self.momentum * moments["velocity"] + gradient
        state = {"velocity": velocity}
        rate: Any = self.lr
        if self.cosine is not None:
            state["count"] = moments["count"] + 1
            now = _wide(state["count"])
            rate = self.lr * _cosine(self.cosine, now)
            rate = rate.to(tensor.dtype) if state["count"].dim() else rate
        moved = _projected(tensor - rate * velocity, self)
        return moved, state | _extra_step(moved, moments, self.ema)


Optimizer: TypeAlias = Adam | SGD


def _wide(count: Tensor) -> Tensor:
    """Counts of models of many ages in 64 bits, where the device has them."""
    if not count.dim():
        return count
    return count.to(torch.float32 if count.device.type == "mps" else torch.float64)


def _root(square: Tensor, eps: float) -> Tensor:
    r"""$\sqrt v + \epsilon$, whose slope is zero where v is."""
    if not square.requires_grad:
        return square.sqrt_().add_(eps)
    return square.clamp(min=1e-30).sqrt() + eps


def _projected(moved: Tensor, optimizer: Optimizer) -> Tensor:
    """The tensor where the optimizer keeps it."""
    if optimizer.minimum is not None:
        moved = moved.clamp(min=optimizer.minimum)
    return to_simplex(moved) if optimizer.simplex else moved


def to_simplex(rows: Tensor) -> Tensor:
    r"""The nearest point of the probability simplex to each row.

    $\max(r - \tau, 0)$ with the $\tau$ that makes it sum to one.

    Args:
        rows: `[..., c]`.

    Returns:
        `[..., c]`, none below zero, rows summing to one.

    Reference:
        Duchi, Shalev-Shwartz, Singer, Chandra, "Efficient Projections onto the l1-Ball
        for Learning in High Dimensions", ICML 2008.

    Example:
        >>> to_simplex(torch.tensor([[1.25, 0.25, -1.0]])).tolist()
        [[1.0, 0.0, 0.0]]
    """
    high = rows.sort(dim=-1, descending=True).values
    count = torch.arange(1, rows.shape[-1] + 1, device=rows.device, dtype=rows.dtype)
    level = (high.cumsum(-1) - 1) / count
    inside = (high > level).sum(-1, keepdim=True)
    return (rows - level.gather(-1, inside - 1)).clamp(min=0)


def with_labels(
    optimizer: Mapping[str, Optimizer], lr: float | None = None, *, center: bool = False
) -> Mapping[str, Optimizer]:
    """Optimizers by group, and one of learned labels where none is named.

    It is Adam along the schedule of the first group. Labels stay probabilities, since
    cross-entropy has no least value at labels that are none.

    Args:
        optimizer: of each group.
        lr: of the labels; that of the first group unless given.
        center: labels have mean zero, so they are no probabilities.

    Example:
        >>> with_labels({"x": SGD(lr=0.1)})["y_soft"].simplex
        True
    """
    first = next(iter(optimizer.values()))
    rate = first.lr if lr is None else lr
    return {"y_soft": Adam(lr=rate, simplex=not center, cosine=first.cosine)} | dict(
        optimizer
    )


def _cosine(steps: int | None, now: Any) -> Any:
    """Factor on the rate at the step that is number `now`, counted from one."""
    if steps is None:
        return 1.0
    done = torch.as_tensor((now - 1) / steps, dtype=torch.float64).clamp(max=1.0)
    factor = 0.5 * (1 + torch.cos(torch.pi * done))
    return factor if factor.dim() else float(factor)


def _extra_init(tensor: Tensor, optimizer: Optimizer) -> Moments:
    """The running mean of the tensor, and of its group's norm, where there is one."""
    ema = {} if optimizer.ema is None else {"ema": tensor.clone()}
    running = isinstance(optimizer.clip, RunningClip)
    return ema | ({"norm": tensor.new_zeros(())} if running else {})


def _extra_step(moved: Tensor, moments: Moments, decay: float | None) -> Moments:
    norm = {"norm": moments["norm"]} if "norm" in moments else {}
    if decay is None:
        return norm
    return {"ema": decay * moments["ema"] + (1 - decay) * moved} | norm
