"""One function of one model's weights, over models side by side."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from multidd.protocols import Batch, Params, Task

__all__ = ["embed", "each_model", "unstack"]


def unstack(weights: Params) -> list[Params]:
    """The weights of each model: `[k, ...]` as k dicts of `[...]`."""
    count = len(next(iter(weights.values())))
    return [{name: w[i] for name, w in weights.items()} for i in range(count)]


def each_model(
    task: Task[Any], weights: Params, function: Callable[[Params], Sequence[Tensor]]
) -> list[Tensor]:
    """Tensors that `function` gives for each model, stacked along a new first axis.

    Args:
        task: says by `side_by_side` whether models run stacked or one by one.
        weights: each `[k, ...]`.
        function: of the weights of one model.

    Returns:
        One tensor `[k, ...]` for each that `function` returns.

    Example:
        >>> from types import SimpleNamespace
        >>> task = SimpleNamespace(side_by_side=False)
        >>> weights = {"w": torch.tensor([1.0, 2.0])}
        >>> each_model(task, weights, lambda one: [2 * one["w"]])
        [tensor([2., 4.])]
    """
    if task.side_by_side:
        return list(vmap(lambda one: tuple(function(one)))(weights))
    found = [function(one) for one in unstack(weights)]
    return [torch.stack(parts) for parts in zip(*found, strict=True)]


def embed(
    task: Task[Any], weights: Params, batch: Batch, last: int | None = None
) -> list[Tensor]:
    """`[k, b, h]` for each layer, the logits last; or for the last `last` layers."""
    return each_model(task, weights, lambda one: task.features(one, batch, last))
