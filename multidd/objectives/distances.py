r"""Distances between two sets of gradients.

Each takes two lists with one tensor per layer, shaped `[..., o, *rest]` (output
channel first after any leading batch axes named by `lead`), and returns one number
for each entry of the leading axes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

Layers: TypeAlias = Sequence[Tensor]
Distance: TypeAlias = Callable[[Layers, Layers, int], Tensor]

__all__ = [
    "ColumnCosine",
    "CosineMagnitude",
    "L1",
    "LayerCosine",
    "MSE",
    "NormalizedMSE",
    "distance_by_name",
]


def _rows(tensor: Tensor, lead: int) -> Tensor:
    """`[*lead, o, rest]`: one row for each output channel."""
    return tensor.flatten(lead + 1) if tensor.dim() > lead + 1 else tensor[..., None]


def _cosine(a: Tensor, b: Tensor, eps: float) -> Tensor:
    """Cosine along the last axis; the floor keeps the gradient finite at zero."""
    norms = (a.square().sum(-1) + eps**2).sqrt() * (b.square().sum(-1) + eps**2).sqrt()
    return (a * b).sum(-1) / norms


@dataclass(frozen=True)
class ColumnCosine:
    r"""Cosine distance with one term for each output channel (DC).

    $\sum_l \sum_o 1 - \cos(a_{lo}, b_{lo})$

    Reference:
        Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021.

    Example:
        >>> a = torch.eye(2)
        >>> ColumnCosine()([a], [a], 0).item() < 1e-6
        True
    """

    eps: float = 1e-8

    def __call__(self, a: Layers, b: Layers, lead: int) -> Tensor:
        """Distance for each entry of the `lead` leading axes."""
        pairs = zip(a, b, strict=True)
        terms = [_cosine(_rows(p, lead), _rows(q, lead), self.eps) for p, q in pairs]
        return torch.stack([(1 - term).sum(-1) for term in terms]).sum(0)


@dataclass(frozen=True)
class LayerCosine:
    r"""Cosine distance of each layer as one vector.

    $\sum_l 1 - \cos(a_l, b_l)$

    Example:
        >>> LayerCosine()([torch.ones(1, 2)], [-torch.ones(1, 2)], 0).item()
        2.0
    """

    eps: float = 1e-8

    def __call__(self, a: Layers, b: Layers, lead: int) -> Tensor:
        """Distance for each entry of the `lead` leading axes."""
        pairs = zip(a, b, strict=True)
        terms = [_cosine(p.flatten(lead), q.flatten(lead), self.eps) for p, q in pairs]
        return torch.stack([1 - term for term in terms]).sum(0)


@dataclass(frozen=True)
class MSE:
    r"""Squared distance, not normalized.

    $\sum_l \lVert a_l - b_l \rVert^2$

    Example:
        >>> MSE()([torch.ones(1, 2)], [torch.zeros(1, 2)], 0).item()
        2.0
    """

    def __call__(self, a: Layers, b: Layers, lead: int) -> Tensor:
        """Distance for each entry of the `lead` leading axes."""
        pairs = zip(a, b, strict=True)
        terms = [(p - q).flatten(lead).square().sum(-1) for p, q in pairs]
        return torch.stack(terms).sum(0)


@dataclass(frozen=True)
class L1:
    r"""Sum of absolute differences, not normalized.

    $\sum_l \lVert a_l - b_l \rVert_1$

    Reference:
        Kim et al., "Dataset Condensation via Efficient Synthetic-Data
        Parameterization", ICML 2022.

    Example:
        >>> L1()([torch.ones(1, 2)], [torch.zeros(1, 2)], 0).item()
        2.0
    """

    def __call__(self, a: Layers, b: Layers, lead: int) -> Tensor:
        """Distance for each entry of the `lead` leading axes."""
        pairs = zip(a, b, strict=True)
        terms = [(p - q).flatten(lead).abs().sum(-1) for p, q in pairs]
        return torch.stack(terms).sum(0)


@dataclass(frozen=True)
class NormalizedMSE:
    r"""Squared distance relative to the real gradient, of all layers as one vector.

    $\lVert a - b \rVert^2 / \lVert b \rVert^2$

    Attributes:
        per_column: take the ratio for each output channel and sum them: a column whose
            real gradient is small counts as much as one whose gradient is large.

    Reference:
        Jin et al., "Condensing Graphs via One-Step Gradient Matching", KDD 2022.

    Example:
        >>> NormalizedMSE()([torch.ones(1, 2)], [2 * torch.ones(1, 2)], 0).item()
        0.25
    """

    per_column: bool = False
    eps: float = 1e-12

    def __call__(self, a: Layers, b: Layers, lead: int) -> Tensor:
        """Distance for each entry of the `lead` leading axes."""
        if not self.per_column:
            size = torch.stack([q.flatten(lead).square().sum(-1) for q in b]).sum(0)
            return MSE()(a, b, lead) / (size + self.eps)
        pairs = [
            (_rows(p - q, lead), _rows(q, lead)) for p, q in zip(a, b, strict=True)
        ]
        terms = [
            (gap.square().sum(-1) / (real.square().sum(-1) + self.eps)).sum(-1)
            for gap, real in pairs
        ]
        return torch.stack(terms).sum(0)


@dataclass(frozen=True)
class CosineMagnitude:
    r"""Cosine distance plus Euclidean distance of each output channel.

    $\sum_l \sum_o 1 - \cos(a_{lo}, b_{lo}) + \lVert a_{lo} - b_{lo} \rVert$

    Reference:
        Jiang, Gu, Liu, Pan, "Delving into Effective Gradient Matching for Dataset
        Condensation", COINS 2023.

    Example:
        >>> a, b = [torch.ones(1, 1)], [4 * torch.ones(1, 1)]
        >>> round(CosineMagnitude()(a, b, 0).item(), 4)
        3.0
    """

    eps: float = 1e-8

    def __call__(self, a: Layers, b: Layers, lead: int) -> Tensor:
        """Distance for each entry of the `lead` leading axes."""
        pairs = zip(a, b, strict=True)
        gaps = [_rows(p - q, lead).square().sum(-1) for p, q in pairs]
        norms = [(gap + self.eps**2).sqrt().sum(-1) for gap in gaps]
        return ColumnCosine(self.eps)(a, b, lead) + torch.stack(norms).sum(0)


DISTANCES: dict[str, Distance] = {
    "cosine": ColumnCosine(),
    "cosine+magnitude": CosineMagnitude(),
    "mse": MSE(),
    "l1": L1(),
}


def distance_by_name(name: str) -> Distance:
    """The distance that a recipe calls by name.

    Raises:
        ValueError: no distance is called so; says which there are.

    Example:
        >>> distance_by_name("mse")
        MSE()
    """
    if name not in DISTANCES:
        names = ", ".join(DISTANCES)
        raise ValueError(f"distance must be one of {names}; got {name!r}")
    return DISTANCES[name]
