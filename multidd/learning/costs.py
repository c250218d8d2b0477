"""What logits cost, for labels of any kind."""

from typing import Literal

from torch import Tensor

__all__ = ["Cost", "cost"]

Cost = Literal["cross_entropy", "mse"]


def cost(logits: Tensor, targets: Tensor, kind: Cost = "cross_entropy") -> Tensor:
    r"""`[b]`, $-\sum_c y_c \log p_c$, or half the squared error.

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
    if kind == "mse":
        return 0.5 * (logits - targets).square().sum(1)
    return -(logits.log_softmax(1) * targets).sum(1)
