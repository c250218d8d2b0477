"""Extra terms of distribution matching: what keeps or tells classes apart.

Each is called as the statistics are, and added to them.
"""

from dataclasses import dataclass

from torch import Tensor

from multidd.objectives.statistics import Embedded

__all__ = ["Centralization", "CrossEntropy", "Discrimination"]


@dataclass(frozen=True)
class Centralization:
    r"""$\sum_{i \in S} \lVert f_i - \mu^S_{y_i} \rVert^2$: classes of S hold together.

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

    by_accuracy: bool = True
    weight: float = 0.5

    def __call__(self, ours: Embedded, theirs: Embedded) -> Tensor:
        """Mean cross-entropy of the synthetic rows."""
        logits = ours.layers[-1]  # [k, b, c]
        found = -(logits.log_softmax(-1) * ours.targets).sum(-1).mean(-1)
        if not self.by_accuracy:
            return self.weight * found
        right = theirs.layers[-1].argmax(-1) == theirs.targets.argmax(-1)
        return self.weight * found * right.to(found.dtype).mean(-1).detach()


@dataclass(frozen=True)
class Discrimination:
    r"""Real rows, classified by their product with the synthetic class means.

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
        found = -(logits.log_softmax(-1) * theirs.targets).sum(-1)
        return self.weight * found.mean(-1)
