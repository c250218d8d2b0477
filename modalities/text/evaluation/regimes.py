"""Label regimes of texts: mixtures of embeddings, and what a teacher says."""

from collections.abc import Callable

import torch
from torch import Tensor

from multidd.text.models.training import Views

__all__ = ["NO_VIEWS", "mixed", "taught_views"]

NO_VIEWS = {
    "kernel": "the kernel predictor is solved at once and sees no views",
    "logistic": "logistic regression is solved at once and sees no views",
    "replay": "a replay takes the labels of its own steps",
}
"""Models that no teacher can label views for, and why."""

MIN_SHARE = 0.5
"""Least share of the first of two texts in a mixture: it stays the larger part."""


def mixed(x: Tensor, rng: torch.Generator) -> Tensor:
    r"""Embeddings, each mixed with another one: the views of texts.

    $$\tilde x_i = \lVert x_i \rVert\, \frac{z_i}{\lVert z_i \rVert}, \qquad
    z_i = \lambda_i x_i + (1 - \lambda_i) x_{\pi(i)}, \quad \lambda_i \sim U(0.5, 1)$$

    Args:
        x: `[m, d]`.
        rng: draws the order $\pi$ and the shares.

    Returns:
        `[m, d]`, of the lengths of x.

    Example:
        >>> from multidd.seeds import at
        >>> mixed(torch.eye(3), at(0, "view")).norm(dim=1).round(decimals=4).tolist()
        [1.0, 1.0, 1.0]

    Reference:
        Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization",
        ICLR 2018.
    """
    m = len(x)
    other = torch.randperm(m, generator=rng, device=rng.device)
    share = torch.rand(m, 1, generator=rng, device=rng.device)
    share = MIN_SHARE + (1 - MIN_SHARE) * share
    mixture = share * x + (1 - share) * x[other]
    length = mixture.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return mixture * (x.norm(dim=1, keepdim=True) / length)


def taught_views(x: Tensor, probabilities: Callable[[Tensor], Tensor]) -> Views:
    """Views of embeddings, each with the labels of a teacher.

    Args:
        x: `[m, d]`.
        probabilities: embeddings `[b, d]` to labels `[b, c]`.

    Example:
        >>> from multidd.seeds import at
        >>> views = taught_views(torch.eye(2), lambda x: x.softmax(1))
        >>> [part.shape for part in views(at(0, "view"))]
        [torch.Size([2, 2]), torch.Size([2, 2])]
    """

    def show(rng: torch.Generator) -> tuple[Tensor, Tensor]:
        view = mixed(x, rng)
        with torch.no_grad():
            return view, probabilities(view)

    return show
