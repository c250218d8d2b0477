"""Terms of distribution matching: distances of statistics, and regularizers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from multidd import seeds
from multidd.classes import ClassIndex
from multidd.parallel.sharing import sharing

__all__ = [
    "Centralization",
    "Characteristic",
    "Covariance",
    "CrossEntropy",
    "Discrimination",
    "Embedded",
    "MMD",
    "Means",
    "Term",
]


@dataclass(frozen=True, eq=False)
class Embedded:
    """Outputs of k models on a batch, with its targets and classes.

    Attributes:
        layers: `[k, b, h]` for each layer that a term asks for, the logits last.
        targets: `[b, c]`.
        classes: the rows of each class.
        total: rows of the batch that these are a part of, where ranks share it.
    """

    layers: Sequence[Tensor]
    targets: Tensor
    classes: ClassIndex
    total: int | None = None

    def share(self, like: Tensor) -> Tensor:
        """`[c]`, size of each class relative to the largest."""
        return self.classes.share.to(like.dtype)

    def facing(self, theirs: "Embedded") -> "Embedded":
        """The same with no share for classes that a real batch does not hold."""
        share = self.classes.share * (theirs.classes.mass > 0)
        return replace(self, classes=replace(self.classes, share=share))

    def row_mean(self, values: Tensor) -> Tensor:
        """`[k]`, mean over the batch of `[k, b]`; of a part, its part of that mean."""
        if self.total is None:
            return values.mean(-1)
        return values.sum(-1) / self.total


class Term(Protocol):
    """Frozen settings that compare embeddings of S and T when called.

    One that is a sum over classes says `by_class = True`, so that ranks may have some
    classes each; one that takes of the real side no more than means of its classes,
    `by_means = True`, so that ranks need not gather its rows.
    """

    def __call__(self, ours: Embedded, theirs: Embedded) -> Tensor:
        """`[k]`, one number for each model."""


@dataclass(frozen=True)
class Means:
    r"""Squared distance of class means (DM).

    $\sum_c w_c \sum_l a_l \lVert \mu^S_{cl} - \mu^T_{cl} \rVert^2$

    Attributes:
        layers: the last hidden layer only, all of them and the logits, or a weight
            $a_l$ for each layer counted from the logits backwards.
        weight: factor on the term.

    Reference:
        Zhao, Bilen, "Dataset Condensation with Distribution Matching", WACV 2023;
        Wang et al., "CAFE: Learning to Condense Dataset by Aligning Features", CVPR
        2022 (layer weights).

    Example:
        >>> Means(layers=(1.0, 1.0, 0.1, 0.1)).weight
        1.0
    """

    by_class: ClassVar[bool] = True
    by_means: ClassVar[bool] = True

    layers: Literal["last", "all"] | tuple[float, ...] = "last"
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_layers(self.layers)

    def __call__(self, ours: Embedded, theirs: Embedded) -> Tensor:
        """Weighted squared gaps of class means."""
        total = ours.layers[-1].new_zeros(len(ours.layers[-1]))
        for layer, size in select_layers(self.layers, ours.layers):
            s, t = ours.layers[layer], theirs.layers[layer]
            gap = ours.classes.mean(s) - theirs.classes.mean(t)  # [k, c, h]
            total = total + size * (gap.square().sum(-1) @ ours.share(s))
        return self.weight * total


@dataclass(frozen=True)
class MMD:
    r"""Maximum mean discrepancy with a Gaussian kernel (M3D).

    $\sum_c w_c \sum_l \mathrm{MMD}^2(S_{cl}, T_{cl})$. The squared kernel width of a
    class is `bandwidth` times the mean squared distance between its real embeddings, so
    that no scale has to be chosen.

    Attributes:
        layers: see `Means`.
        bandwidth: factor on the squared width of the kernel.
        weight: factor on the term.

    Reference:
        Zhang et al., "M3D: Dataset Condensation by Minimizing Maximum Mean
        Discrepancy", AAAI 2024.

    Example:
        >>> MMD(bandwidth=0.5).layers
        'last'
    """

    by_class: ClassVar[bool] = True

    layers: Literal["last", "all"] | tuple[float, ...] = "last"
    bandwidth: float = 1.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_layers(self.layers)

    def __call__(self, ours: Embedded, theirs: Embedded) -> Tensor:
        """Weighted squared maximum mean discrepancy."""
        total = ours.layers[-1].new_zeros(len(ours.layers[-1]))
        for layer, size in select_layers(self.layers, ours.layers):
            apart = self._class_by_class(ours, theirs, layer)
            total = total + size * (apart @ ours.share(apart))
        return self.weight * total

    def _class_by_class(self, ours: Embedded, theirs: Embedded, layer: int) -> Tensor:
        a, b = ours.classes, theirs.classes
        p, q = ours.layers[layer][:, a.index], theirs.layers[layer][:, b.index]
        u, v = a.weight.to(p.dtype), b.weight.to(p.dtype)  # p, q are [k, c, r, h]
        width = (_squared(q, q) * v[:, :, None] * v[:, None]).sum((-1, -2)).detach()
        # Equal rows have no width, up to what rounding leaves of their lengths.
        info, length = torch.finfo(p.dtype), (q.square().sum(-1) * v).sum(-1).detach()
        floor = 100 * info.eps * length + info.tiny**0.5
        width = torch.maximum(self.bandwidth * width, floor)[..., None, None]

        def mean(x: Tensor, y: Tensor, left: Tensor, right: Tensor) -> Tensor:
            kernel = torch.exp(-_squared(x, y) / width)
            return (kernel * left[:, :, None] * right[:, None]).sum((-1, -2))

        return mean(p, p, u, u) + mean(q, q, v, v) - 2 * mean(p, q, u, v)


@dataclass(frozen=True)
class Covariance:
    r"""Squared distance of class covariances of the last hidden layer (IID).

    $\sum_c w_c \lVert C^S_c - C^T_c \rVert_F^2$, computed from products of rows, never
    as a `[h, h]` matrix per class:
    $\operatorname{tr} C^S C^T = \lVert A_S A_T^\top \rVert_F^2$ for centered, weighted
    rows A.

    Attributes:
        channels: split each embedding into this many channels and take its positions
            as rows (the local covariance of a convolutional layer); None takes the
            embedding as one row.
        weight: factor on the term.

    Reference:
        Deng et al., "Exploiting Inter-sample and Inter-feature Relations in Dataset
        Distillation", CVPR 2024.

    Example:
        >>> Covariance(channels=64, weight=0.01).channels
        64
    """

    by_class: ClassVar[bool] = True

    channels: int | None = None
    weight: float = 0.01

    def __call__(self, ours: Embedded, theirs: Embedded) -> Tensor:
        """Weighted squared gaps of class covariances."""
        a, b = self._rows(ours), self._rows(theirs)  # [k, c, rows, h]

        def product(x: Tensor, y: Tensor) -> Tensor:
            return (x @ y.mT).square().sum((-1, -2))

        apart = product(a, a) - 2 * product(a, b) + product(b, b)
        return self.weight * (apart.clamp(min=0) @ ours.share(apart))

    def _rows(self, batch: Embedded) -> Tensor:
        """Centered rows of each class, times the root of their weight."""
        rows = batch.layers[-2][:, batch.classes.index]  # [k, c, r, h]
        weight = batch.classes.weight.to(rows.dtype)  # [c, r]
        if self.channels is not None:
            local = rows.unflatten(-1, (self.channels, -1)).mT  # [k, c, r, p, ch]
            places = local.shape[-2]
            rows = local.flatten(2, 3)
            weight = weight.repeat_interleave(places, dim=1) / places
        mean = torch.einsum("kcrh,cr->kch", rows, weight)
        return (rows - mean[:, :, None]) * weight.sqrt()[..., None]


def check_layers(layers: object) -> None:
    """Refuse what does not name layers.

    Raises:
        ValueError: neither `"last"`, `"all"` nor weights.
    """
    if layers in ("last", "all"):
        return
    if not isinstance(layers, tuple) or not layers:
        raise ValueError(
            f"layers must be 'last', 'all' or a tuple of weights, got {layers!r}"
        )


def select_layers(
    layers: Literal["last", "all"] | tuple[float, ...], outputs: Sequence[Tensor]
) -> list[tuple[int, float]]:
    """`(place, weight)` of the layers that are compared; the logits are at -1."""
    if layers == "last":
        return [(-2, 1.0)]
    if layers == "all":
        return [(place, 1.0) for place in range(-len(outputs), 0)]
    pairs = [(-1 - back, float(size)) for back, size in enumerate(layers)]
    return [(place, size) for place, size in pairs if -place <= len(outputs) and size]


def num_layers(terms: Sequence[object]) -> int | None:
    """Layers that the terms need, counted from the logits backwards; None for all."""
    choices = [getattr(term, "layers", "last") for term in terms]
    if "all" in choices:
        return None
    return max(2 if layers == "last" else len(layers) for layers in choices)


def _squared(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances `[..., r, s]`, from products: exact gradients at zero."""
    cross = x @ y.mT
    lengths = x.square().sum(-1)[..., :, None] + y.square().sum(-1)[..., None, :]
    return (lengths - 2 * cross).clamp(min=0)


@dataclass(frozen=True)
class Centralization:
    r"""Spread of each class of S around its mean (IID).

    $\sum_{i \in S} \lVert f_i - \mu^S_{y_i} \rVert^2$

    Attributes:
        margin: gaps with a square below it cost nothing.
        weight: factor on the term.

    Reference:
        Deng et al., "Exploiting Inter-sample and Inter-feature Relations in Dataset
        Distillation", CVPR 2024.

    Example:
        >>> Centralization().weight
        0.05
    """

    by_class: ClassVar[bool] = True
    by_means: ClassVar[bool] = True

    margin: float = 0.0
    weight: float = 0.05

    def __call__(self, ours: Embedded, theirs: Embedded) -> Tensor:
        """Summed squared distance of the synthetic embeddings to their class mean."""
        rows = ours.layers[-2][:, ours.classes.index]
        mean = ours.classes.mean(ours.layers[-2])[:, :, None]
        apart = ((rows - mean).square().sum(-1) - self.margin).clamp(min=0)
        inside = (ours.classes.weight > 0).to(apart.dtype)
        return self.weight * (apart * inside).sum((-1, -2))


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy of S under models that were trained on T.

    Attributes:
        by_accuracy: let each model count by its accuracy on the real batch, so that
            models that know nothing say nothing.
        weight: factor on the term.

    Reference:
        Zhao, Li, Qin, Yu, "Improved Distribution Matching for Dataset Condensation",
        CVPR 2023.

    Example:
        >>> CrossEntropy(weight=0.1).by_accuracy
        True
    """

    by_class: ClassVar[bool] = True

    by_accuracy: bool = True
    weight: float = 0.5

    def __call__(self, ours: Embedded, theirs: Embedded) -> Tensor:
        """Mean cross-entropy of the synthetic rows."""
        logits = ours.layers[-1]  # [k, b, c]
        losses = ours.row_mean(-(logits.log_softmax(-1) * ours.targets).sum(-1))
        if not self.by_accuracy:
            return self.weight * losses
        right = theirs.layers[-1].argmax(-1) == theirs.targets.argmax(-1)
        accuracy = theirs.row_mean(right.to(losses.dtype)).detach()
        shared = sharing()
        if shared is not None and theirs.total is not None:
            accuracy = shared.sum([accuracy])[0]
        return self.weight * losses * accuracy


@dataclass(frozen=True)
class Discrimination:
    r"""Cross-entropy of T classified by products with class means of S (CAFE).

    $-\frac1n \sum_i \log \mathrm{softmax}_c \langle f^T_i, \mu^S_c \rangle_{y_i}$

    Attributes:
        weight: factor on the term.

    Reference:
        Wang et al., "CAFE: Learning to Condense Dataset by Aligning Features", CVPR
        2022.

    Example:
        >>> Discrimination().weight
        0.01
    """

    weight: float = 0.01

    def __call__(self, ours: Embedded, theirs: Embedded) -> Tensor:
        """Cross-entropy of the real rows."""
        centers = ours.classes.mean(ours.layers[-2])  # [k, c, h]
        logits = theirs.layers[-2] @ centers.mT
        losses = -(logits.log_softmax(-1) * theirs.targets).sum(-1)
        return self.weight * losses.mean(-1)


@dataclass(frozen=True)
class Characteristic:
    r"""Distance of empirical characteristic functions, amplitude and phase (NCFM).

    With $\Phi(t) = \frac1n \sum_i e^{i \langle t, f_i \rangle}$ over the rows of a
    class, f scaled to unit length, and frequencies $t \sim N(0, \sigma^2 I)$:

    $$\sum_c w_c \frac1T \sum_t \sqrt{\alpha (|\Phi_S| - |\Phi_T|)^2
      + (1 - \alpha)\, 2 (|\Phi_S||\Phi_T| - \mathrm{Re}\, \Phi_S \bar\Phi_T)}.$$

    The frequencies are fixed by `seed` and the width of the layer. (The paper learns a
    network that proposes them; its released configurations turn that off.)

    Attributes:
        frequencies: T.
        scale: $\sigma$.
        amplitude: $\alpha$; the rest is phase.
        seed: of the frequencies.
        weight: factor on the term.

    Reference:
        Wang et al., "Dataset Distillation with Neural Characteristic Function: A
        Minmax Perspective", CVPR 2025.

    Example:
        >>> Characteristic(frequencies=64).amplitude
        0.5
    """

    by_class: ClassVar[bool] = True
    by_means: ClassVar[bool] = True

    frequencies: int = 1024
    scale: float = 1.0
    amplitude: float = 0.5
    seed: int = 0
    weight: float = 300.0

    def __call__(self, ours: Embedded, theirs: Embedded) -> Tensor:
        """Weighted mean distance over the frequencies."""
        s, t = self._function(ours), self._function(theirs)  # each two [k, c, T]
        sizes = [(re.square() + im.square() + _TINY).sqrt() for re, im in (s, t)]
        along = s[0] * t[0] + s[1] * t[1]
        phase = 2 * (sizes[0] * sizes[1] - along)
        size = (sizes[0] - sizes[1]).square()
        inside = self.amplitude * size + (1 - self.amplitude) * phase
        # The root has an infinite slope at zero: equal sets would give NaN.
        apart = (inside.clamp(min=0) + _TINY).sqrt().mean(-1)
        return self.weight * (apart @ ours.share(apart))

    def _function(self, batch: Embedded) -> tuple[Tensor, Tensor]:
        rows = batch.layers[-2]  # [k, b, h]
        length = (rows.square().sum(-1, keepdim=True) + _TINY).sqrt()
        angles = (rows / length) @ self._grid(rows)
        return batch.classes.mean(angles.cos()), batch.classes.mean(angles.sin())

    def _grid(self, rows: Tensor) -> Tensor:
        width = rows.shape[-1]
        rng = seeds.at(self.seed, "frequencies", width)
        grid = torch.randn(width, self.frequencies, generator=rng, dtype=torch.float64)
        return (self.scale * grid).to(rows)


_TINY = math.ulp(1.0)
