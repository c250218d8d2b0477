r"""Gradients of each class's mean loss, for many models at once.

Where the model is a linear softmax head on fixed features H the gradient of class c
is closed form, $\partial L_c / \partial W = (P_c - Y_c)^\top H_c / n_c$: all classes
and models are one batched product, an ordinary differentiable expression in H, and no
double backward happens. Elsewhere `torch.func.jacrev` takes all classes in one pass.
"""

from typing import Any

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from multidd.classes import ClassIndex
from multidd.protocols import Batch, Params, Task


def class_gradients(
    task: Task[Any], weights: Params, batch: Batch, classes: ClassIndex | None = None
) -> Params:
    """Gradient of the mean loss of each class with respect to the weights.

    Args:
        task: the task.
        weights: each `[k, ...]`, `k` models side by side.
        batch: real or synthetic records.
        classes: which rows make a class; the batch's own classes unless given.

    Returns:
        For each name of `weights` a tensor `[k, c, ...]`, differentiable in the batch.
    """
    classes = task.classes(batch) if classes is None else classes
    linear = task.linear_features(batch)
    if linear is not None:
        return _linear(weights, *linear, classes)

    def losses(one: Params) -> Tensor:
        return classes.mean_of(task.losses(one, batch))

    return vmap(jacrev(losses))(weights)


def mean_gradients(task: Task[Any], weights: Params, batch: Batch) -> Params:
    """Gradient of the mean loss over the whole batch: `[k, ...]` for each name."""
    whole = class_gradients(task, weights, batch, task.classes(batch).merged())
    return {name: gradient[:, 0] for name, gradient in whole.items()}


def _linear(
    weights: Params, features: Tensor, targets: Tensor, classes: ClassIndex
) -> Params:
    logits = features @ weights["weight"].mT + weights["bias"][:, None]  # [k, b, o]
    residual = logits.softmax(-1) - targets
    share = classes.weight[..., None].to(residual.dtype)
    ours = residual[:, classes.index] * share  # [k, c, r, o]
    matrix = torch.einsum("kcro,crd->kcod", ours, features[classes.index])
    return {"weight": matrix, "bias": ours.sum(-2)}
