"""The labels of a graph's nodes: one class for each, or several labels."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

SUPPORTED = (
    "multidd.graph condenses for node classification: one class for each node (every "
    "method), or several labels, 0/1 of shape [nodes, labels] (condense)"
)


def labels_of(
    data: Any, train: Tensor, n: int, several: bool
) -> tuple[Tensor, int, Tensor | None]:
    """The classes of the nodes, how many, and the labels of nodes that have several.

    Args:
        data: with `y`.
        train: `[n]`, the training nodes.
        n: nodes.
        several: whether a 0/1 matrix of labels is taken.

    Returns:
        `[n]` classes (zeros where nodes have several labels), c, and `[n, c]` or None.

    Raises:
        ValueError: no labels, or of a kind that is not supported; says which are.
    """
    y = getattr(data, "y", None)
    y = torch.from_numpy(y.copy()) if isinstance(y, np.ndarray) else y
    if y is None:
        links = getattr(data, "edge_label_index", getattr(data, "edge_label", None))
        asked = "" if links is None else " (link prediction is not supported)"
        raise ValueError(
            f"data.y is missing; node classification needs labels{asked}. {SUPPORTED}"
        )
    y = y.detach().cpu()
    y = y[:, 0] if y.dim() == 2 and y.shape[1] == 1 else y
    matrix = y.dim() == 2 and len(y) == n and bool(((y == 0) | (y == 1)).all())
    if matrix and several:
        return torch.zeros(n, dtype=torch.int64), y.shape[1], _several(y, train)
    if y.dim() != 1 or len(y) != n or y.is_floating_point():
        told = "several labels for a node are not supported by this method"
        if not matrix:
            told = "regression targets are not supported (bin them into classes)"
        raise ValueError(
            f"data.y must be {n} integers (one class for each node), got {y.dtype} of "
            f"shape {list(y.shape)}; {told}. {SUPPORTED}"
        )
    y = y.to(torch.int64).clone()
    return y, _classes(y, train), None


def _classes(y: Tensor, train: Tensor) -> int:
    if int(y[train].min()) < 0:
        node = int((train & (y < 0)).nonzero()[0])
        raise ValueError(f"training node {node} has label {int(y[node])}; want 0..c-1")
    c = int(y.max()) + 1
    missing = (torch.bincount(y[train], minlength=c) == 0).nonzero().flatten().tolist()
    if missing:
        raise ValueError(
            f"classes {missing} have no training nodes (labels run 0..{c - 1}); mark "
            "some in data.train_mask, or relabel the data without these classes"
        )
    if c < 2:
        raise ValueError("all nodes have one class; there is nothing to classify")
    return c


def _several(y: Tensor, train: Tensor) -> Tensor:
    y = y.to(torch.float32).clone()
    same = (y[train] == y[train][:1]).all(0).nonzero().flatten().tolist()
    if len(same) == y.shape[1]:
        raise ValueError(
            "all training nodes have the same labels; there is nothing to classify"
        )
    return y
