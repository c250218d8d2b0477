r"""Gradients of each class's mean loss, for many models at once.

Where the model is a linear softmax head on fixed features H the gradient of class c
is closed form, $\partial L_c / \partial W = (P_c - Y_c)^\top H_c / n_c$: all classes
and models are one batched product, an ordinary differentiable expression in H, and no
double backward happens. Small models elsewhere take all classes in one pass of
`torch.func.jacrev`; large ones, for which that is slower, go class by class.
"""

from typing import Any

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from multidd.classes import ClassIndex, merged_only
from multidd.learning.functional import unstack
from multidd.learning.precision import is_lower, network_pass
from multidd.protocols import Batch, Params, Task


def class_gradients(
    task: Task[Any],
    weights: Params,
    batch: Batch,
    classes: ClassIndex | None = None,
    *,
    differentiable: bool = True,
) -> Params:
    """Gradient of the mean loss of each class with respect to the weights.

    Args:
        task: the task.
        weights: each `[k, ...]`, `k` models side by side.
        batch: real or synthetic records.
        classes: which rows make a class; the batch's own classes unless given.
        differentiable: whether the result is to be differentiated in the batch.

    Returns:
        For each name of `weights` a tensor `[k, c, ...]`.
    """
    classes = task.classes(batch) if classes is None else classes
    linear = task.linear_features(batch)
    if linear is not None:
        return _linear(weights, *linear, classes)
    if not task.vectorize_models:
        each = [
            _one_by_one(task, one, batch, classes, differentiable)
            for one in unstack(weights)
        ]
        return {name: torch.stack([one[name] for one in each]) for name in weights}

    def losses(one: Params) -> Tensor:
        return classes.mean_of(network_pass(task.losses, one, batch))

    return vmap(jacrev(losses))(weights)


def mean_gradients(task: Task[Any], weights: Params, batch: Batch) -> Params:
    """Gradient of the mean loss over the whole batch: `[k, ...]` for each name."""
    with merged_only():
        rows = task.classes(batch).merged()
    whole = class_gradients(task, weights, batch, rows, differentiable=False)
    return {name: gradient[:, 0] for name, gradient in whole.items()}


def training_gradients(
    task: Task[Any], weights: Params, batch: Batch, *, differentiable: bool = True
) -> Params:
    """Gradient of the mean loss over a batch, differentiable in the weights too.

    Args:
        task: the task.
        weights: each `[k, ...]`, of any history.
        batch: what the models train on.
        differentiable: whether the result is to be differentiated, in the weights and
            in the batch.

    Returns:
        `[k, ...]` for each name.
    """
    if not differentiable:
        return mean_gradients(task, weights, batch)
    with merged_only():
        rows = task.classes(batch).merged()
    linear = task.linear_features(batch)
    if linear is not None:
        gradients = _linear(weights, *linear, rows)
        return {name: gradient[:, 0] for name, gradient in gradients.items()}
    leaves = {
        n: w if w.requires_grad else w.requires_grad_() for n, w in weights.items()
    }
    each = [
        torch.autograd.grad(
            rows.mean_of(network_pass(task.losses, one, batch))[0],
            list(one.values()),
            create_graph=True,
        )
        for one in unstack(leaves)
    ]
    columns = zip(*each, strict=True)
    return {n: torch.stack(c) for n, c in zip(weights, columns, strict=True)}


def _one_by_one(
    task: Task[Any],
    weights: Params,
    batch: Batch,
    classes: ClassIndex,
    differentiable: bool,
) -> Params:
    """`[c, ...]` under one model, each class by a pass over its own rows."""
    if not differentiable and not is_lower():
        fast = task.detached_gradients(weights, batch, classes)
        if fast is not None:
            return fast
    leaves = {name: w.detach().requires_grad_() for name, w in weights.items()}
    each: list[list[Tensor]] = []
    for label in range(len(classes.index)):
        rows, weight = classes.rows_of(label)
        if not len(rows):
            each.append([torch.zeros_like(w) for w in leaves.values()])
            continue
        with torch.enable_grad():
            losses = network_pass(task.losses, leaves, task.take(batch, rows))
            loss = losses @ weight.to(losses.dtype)
            inputs = list(leaves.values())
            parts = torch.autograd.grad(loss, inputs, create_graph=differentiable)
        each.append(list(parts))
    columns = zip(*each, strict=True)
    return {n: torch.stack(c) for n, c in zip(leaves, columns, strict=True)}


def _linear(
    weights: Params, features: Tensor, targets: Tensor, classes: ClassIndex
) -> Params:
    logits = features @ weights["weight"].mT + weights["bias"][:, None]  # [k, b, o]
    # Times the sum of a row: learned labels need not sum to one.
    residual = logits.softmax(-1) * targets.sum(-1, keepdim=True) - targets
    share = classes.weight[..., None].to(residual.dtype)
    ours = residual[:, classes.index] * share  # [k, c, r, o]
    matrix = torch.einsum("kcro,crd->kcod", ours, features[classes.index])
    return {"weight": matrix, "bias": ours.sum(-2)}
