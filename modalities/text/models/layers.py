"""What learners on token vectors share: fresh weights, linear layers, pooling.

Weights are a flat dict by name, as `torch.nn` names them. Drawn for `k` models side by
side each is `[k, ...]`; layers run on those of one model.
"""

import math
from typing import TypeAlias

import torch
from torch import Tensor

from multidd.protocols import Params

__all__ = ["Shapes", "check", "dropped", "linear", "max_over", "mean_over", "uniform"]

Shapes: TypeAlias = dict[str, tuple[tuple[int, ...], int]]
"""Name to the shape of a weight and its fan in."""


def uniform(rng: torch.Generator, models: int, shapes: Shapes) -> Params:
    r"""Fresh weights as PyTorch draws them: uniform in $\pm 1/\sqrt{\text{fan in}}$.

    Args:
        rng: draws, on its own device.
        models: k.
        shapes: of the weights of one model, and the fan in of each.

    Returns:
        Name to `[k, *shape]`.

    Example:
        >>> from multidd.seeds import at
        >>> drawn = uniform(at(0, "net"), 2, {"weight": ((3, 4), 4)})["weight"]
        >>> drawn.shape, bool((drawn.abs() <= 0.5).all())
        (torch.Size([2, 3, 4]), True)
    """
    drawn = {}
    for name, (shape, fan_in) in shapes.items():
        bound = 1 / math.sqrt(fan_in)
        weight = torch.empty(models, *shape, device=rng.device)
        drawn[name] = weight.uniform_(-bound, bound, generator=rng)
    return drawn


def check(x: Tensor, mask: Tensor, width: int) -> None:
    """Refuse token vectors of another shape than a learner takes.

    Args:
        x: `[b, L, d]`.
        mask: `[b, L]`.
        width: d.

    Raises:
        ValueError: says what would fit.

    Example:
        >>> check(torch.zeros(2, 5, 3), torch.ones(2, 5), 3)
    """
    if x.dim() != 3 or x.shape[2] != width or mask.shape != x.shape[:2]:
        raise ValueError(
            f"token vectors must be [b, L, {width}] and their mask [b, L]; got "
            f"{list(x.shape)} and {list(mask.shape)}"
        )


def linear(weights: Params, name: str, x: Tensor) -> Tensor:
    """`[b, o]` of `[b, i]` by `name.weight` `[o, i]` and `name.bias` `[o]`."""
    return x @ weights[f"{name}.weight"].mT + weights[f"{name}.bias"]


def mean_over(x: Tensor, mask: Tensor) -> Tensor:
    """`[b, h]`, mean over the places that count; zero where none does.

    Args:
        x: `[b, L, h]`.
        mask: `[b, L]`, nonzero where a place counts.

    Example:
        >>> x = torch.tensor([[[1.0], [3.0], [9.0]]])
        >>> mean_over(x, torch.tensor([[1, 1, 0]])).tolist()
        [[2.0]]
    """
    present = (mask != 0).to(x.dtype)[..., None]
    return (x * present).sum(1) / present.sum(1).clamp(min=1)


def max_over(x: Tensor, mask: Tensor) -> Tensor:
    """`[b, h]`, largest over the places that count; zero where none does.

    Args:
        x: `[b, L, h]`.
        mask: `[b, L]`, nonzero where a place counts.

    Example:
        >>> x = torch.tensor([[[-1.0], [-3.0], [9.0]]])
        >>> max_over(x, torch.tensor([[1, 1, 0]])).tolist()
        [[-1.0]]
    """
    present = (mask != 0)[..., None]
    maximum = x.masked_fill(~present, -math.inf).amax(1)
    return torch.where(present.any(1), maximum, torch.zeros_like(maximum))


def dropped(x: Tensor, share: float, rng: torch.Generator | None) -> Tensor:
    """Dropout by a passed generator; none without one.

    Args:
        x: any shape.
        share: of the entries set to zero; the others grow to keep the mean.
        rng: draws, on its own device; None for evaluation.

    Example:
        >>> dropped(torch.ones(2), 0.5, None)
        tensor([1., 1.])
    """
    if share == 0 or rng is None:
        return x
    survives = torch.rand(x.shape, generator=rng, device=rng.device) >= share
    return x * survives.to(x.device) / (1 - share)
