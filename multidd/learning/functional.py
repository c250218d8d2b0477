"""Functions of batches and of models side by side: tensors, costs, features."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.func import vmap

from multidd.learning.precision import network_pass, single
from multidd.protocols import Batch, Params, Task

__all__ = [
    "Cost",
    "cost",
    "each_model",
    "embed",
    "map_tensors",
    "tensors_with_grad",
    "tensors",
    "unstack",
]


def tensors_with_grad(batch: Batch) -> list[Tensor]:
    """The tensors of a batch that gradients flow into, in a fixed order.

    Args:
        batch: a tensor, or a dataclass, mapping or sequence that holds some, in any
            depth.

    Example:
        >>> import torch
        >>> x = torch.ones(2, requires_grad=True)
        >>> [t.shape for t in tensors_with_grad({"x": x, "y": torch.zeros(2)})]
        [torch.Size([2])]
    """
    return [tensor for tensor in tensors(batch) if tensor.requires_grad]


def tensors(batch: Batch) -> list[Tensor]:
    """All tensors of a batch, in the same order.

    Example:
        >>> import torch
        >>> len(tensors([torch.zeros(2), "told", (torch.ones(1),)]))
        2
    """
    collected: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        collected.append(tensor)
        return tensor

    map_tensors(batch, note)
    return collected


def map_tensors(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """A batch with `change` of each of its tensors; parts that stay are not copied.

    Example:
        >>> import torch
        >>> map_tensors((torch.ones(2), "told"), lambda tensor: 2 * tensor)
        (tensor([2., 2.]), 'told')
    """
    if isinstance(batch, Tensor):
        return change(batch)
    if is_dataclass(batch) and not isinstance(batch, type):
        names = [field.name for field in fields(batch) if field.init]
        old = {name: getattr(batch, name) for name in names}
        new = {name: map_tensors(part, change) for name, part in old.items()}
        changed: Any = {n: part for n, part in new.items() if part is not old[n]}
        return replace(batch, **changed) if changed else batch
    if isinstance(batch, Mapping):
        return {name: map_tensors(part, change) for name, part in batch.items()}
    if type(batch) in (list, tuple):
        parts = [map_tensors(part, change) for part in batch]
        same = all(new is old for new, old in zip(parts, batch, strict=True))
        return batch if same else type(batch)(parts)
    return batch


Cost = Literal["cross_entropy", "mse"]


def cost(logits: Tensor, targets: Tensor, kind: Cost = "cross_entropy") -> Tensor:
    r"""Loss of each record: cross-entropy, or half the squared error.

    `[b]`, $-\sum_c y_c \log p_c$ or $\frac12 \lVert f - y \rVert^2$.

    Args:
        logits: `[b, c]`.
        targets: `[b, c]`, any numbers: where they do not sum to one, the sum is a step
            size of the record's own.
        kind: cross-entropy, or half the squared error.

    Example:
        >>> import torch
        >>> cost(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])).item()
        0.6931471824645996
    """
    logits = single(logits)
    if kind == "mse":
        return 0.5 * (logits - targets).square().sum(1)
    return -(logits.log_softmax(1) * targets).sum(1)


def unstack(weights: Params) -> list[Params]:
    """The weights of each model: `[k, ...]` as k dicts of `[...]`."""
    count = len(next(iter(weights.values())))
    return [{name: w[i] for name, w in weights.items()} for i in range(count)]


def each_model(
    task: Task[Any], weights: Params, function: Callable[[Params], Sequence[Tensor]]
) -> list[Tensor]:
    """Tensors that `function` gives for each model, stacked along a new first axis.

    Args:
        task: says by `vectorize_models` whether models run stacked or one by one.
        weights: each `[k, ...]`.
        function: of the weights of one model.

    Returns:
        One tensor `[k, ...]` for each that `function` returns.

    Example:
        >>> from types import SimpleNamespace
        >>> task = SimpleNamespace(vectorize_models=False)
        >>> weights = {"w": torch.tensor([1.0, 2.0])}
        >>> each_model(task, weights, lambda one: [2 * one["w"]])
        [tensor([2., 4.])]
    """
    if task.vectorize_models:
        return list(vmap(lambda one: tuple(function(one)))(weights))
    each = [function(one) for one in unstack(weights)]
    return [torch.stack(parts) for parts in zip(*each, strict=True)]


def embed(
    task: Task[Any], weights: Params, batch: Batch, last: int | None = None
) -> list[Tensor]:
    """`[k, b, h]` for each layer, the logits last; or for the last `last` layers."""
    return each_model(
        task, weights, lambda one: network_pass(task.features, one, batch, last)
    )
