"""Kernels of closed-form learners: infinitely wide, of features, of inputs.

Each is frozen settings with `init`, `grams` and `advance`: an infinitely wide network
needs no state, a kernel of features has that of its models.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.kernels import (
    RBF,
    InfiniteKernel,
    Linear,
    SparseRows,
    random_feature_kernel,
)
from multidd.learning.functional import embed
from multidd.learning.states import Fresh, States
from multidd.protocols import Batch, Task, Tree

__all__ = ["Features", "Infinite", "Kernel", "Plain"]


class Kernel(Protocol):
    """Frozen settings that give the Gram matrices of a closed-form learner."""

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """State at the start; none by default."""
        return {}

    @abstractmethod
    def grams(
        self, task: Task[Any], state: Tree, synthetic: Batch, real: Batch
    ) -> tuple[Tensor, Tensor]:
        """`[m, m]` of S with itself and `[b, m]` of T with S."""

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """The next state; the same by default."""
        return state


@dataclass(frozen=True)
class Infinite(Kernel):
    """The kernel of an infinitely wide network: `multidd.kernels.infinite_kernel`.

    Attributes:
        depth: hidden layers.
        architecture: fully connected, convolutional, or convolutional with global
            average pooling.
        kind: neural tangent kernel (training) or Gaussian process (last layer).

    Reference:
        Jacot, Gabriel, Hongler, "Neural Tangent Kernel", NeurIPS 2018; Nguyen, Chen,
        Lee, "Dataset Meta-Learning from Kernel Ridge-Regression", ICLR 2021.

    Example:
        >>> Infinite(depth=2).kind
        'ntk'
    """

    depth: int = 1
    architecture: Literal["fc", "conv", "conv_gap"] = "fc"
    kind: Literal["ntk", "nngp"] = "ntk"

    def __post_init__(self) -> None:
        InfiniteKernel(self.depth, self.architecture, self.kind)  # checks them

    def grams(
        self, task: Task[Any], state: Tree, synthetic: Batch, real: Batch
    ) -> tuple[Tensor, Tensor]:
        """Both kernels in closed form."""
        ours, theirs = task.inputs(synthetic), task.inputs(real)
        if isinstance(theirs, SparseRows):
            exact = ours.double() if _alike(ours) else ours
            return self.of(exact), self.of_sparse(theirs, ours)
        return self.of(ours), self.of(ours, theirs).mT  # the small side first: faster

    def of(self, a: Tensor, b: Tensor | None = None) -> Tensor:
        """`[na, nb]`, the kernel of rows or images."""
        return InfiniteKernel(self.depth, self.architecture, self.kind)(a, b)

    def of_sparse(self, a: SparseRows, b: Tensor) -> Tensor:
        """`[na, nb]`, the kernel of sparse rows with dense ones."""
        kernel = InfiniteKernel(self.depth, self.architecture, self.kind)
        lengths = torch.linalg.vector_norm(b, dim=1).square()
        return kernel.of_products(a.inner(b), a.squares, lengths, a.width)


def _alike(x: Tensor) -> bool:
    r"""Whether two rows are so nearly parallel that single precision hardly tells their
    angle: of $1 - \cos^2$ rounding leaves no more than three digits there."""
    unit = F.normalize(x.detach(), dim=1)
    return bool((unit @ unit.mT).fill_diagonal_(0).max() > 1 - 1e-3)


@dataclass(frozen=True)
class Features(Kernel):
    r"""The kernel of the last hidden features of models.

    $K = \frac{s}{D} \Phi \Phi^\top + b$

    With fresh random models it is a random-feature estimate of the Gaussian process
    of a wide network (RFAD), with a pool of trained ones the conjugate kernel (FRePO).

    Attributes:
        states: where the models come from; several are put side by side in
            $\Phi$.
        scale: s.
        offset: b.

    Reference:
        Loo, Hasani, Amini, Rus, "Efficient Dataset Distillation Using Random Feature
        Approximation", NeurIPS 2022; Zhou, Nezhadarya, Ba, "Dataset Distillation using
        Neural Feature Regression", NeurIPS 2022.

    Example:
        >>> Features(Fresh(num_models=8), scale=2.0, offset=0.01).offset
        0.01
    """

    states: States = Fresh()
    scale: float = 1.0
    offset: float = 0.0

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """The models'."""
        return self.states.init(task, rng)

    def grams(
        self, task: Task[Any], state: Tree, synthetic: Batch, real: Batch
    ) -> tuple[Tensor, Tensor]:
        """Products of features; the real ones have no gradient."""
        ours = embed(task, state["weights"], synthetic, 2)[0]
        with torch.no_grad():
            theirs = embed(task, state["weights"], real, 2)[0]
        return self.of(ours), self.of(theirs, ours)

    def of(self, a: Tensor, b: Tensor | None = None) -> Tensor:
        """`[na, nb]`, the kernel of features `[k, n, D]`."""
        return random_feature_kernel(
            a, b, weight_variance=self.scale, bias_variance=self.offset
        )

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """The models move on."""
        return self.states.advance(task, state, synthetic, rng)


@dataclass(frozen=True)
class Plain(Kernel):
    """A kernel of the inputs as they are, in closed form and without a network.

    Attributes:
        kernel: `RBF` or `Linear`.

    Example:
        >>> Plain(RBF(gamma=0.5)).of(torch.zeros(1, 2)).tolist()
        [[1.0]]
    """

    kernel: RBF | Linear = RBF()

    def grams(
        self, task: Task[Any], state: Tree, synthetic: Batch, real: Batch
    ) -> tuple[Tensor, Tensor]:
        """Both kernels in closed form."""
        ours = task.inputs(synthetic)
        return self.of(ours), self.of(task.inputs(real), ours)

    def of(self, a: Tensor, b: Tensor | None = None) -> Tensor:
        """`[na, nb]`, the kernel of rows; images are flattened."""
        return self.kernel(a.flatten(1), None if b is None else b.flatten(1))
