"""Token vectors that stay at, or near, the rows of an embedding table."""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.protocols import Batch, Draw, Parameterization, Params, Task, Tree
from multidd.text.models.nearest import Metric, nearest
from multidd.text.models.vocabulary import near_special

__all__ = ["Closeness", "Snapped"]


@dataclass(frozen=True, eq=False)
class Snapped:
    r"""Straight-through projection: every draw is made of rows of the table.

    Forward $E_{\arg\max_v s(x, E_v)}$, backward the identity: the gradient at the row
    moves the vector, until another row is nearer. What is learned is what is decoded.

    Attributes:
        base: the vectors, `x` `[m, L, e]`.
        rows: E, `[V, e]`, the rows that may be taken.
        metric: s.

    Reference:
        Bengio, Léonard, Courville, "Estimating or Propagating Gradients Through
        Stochastic Neurons for Conditional Computation", arXiv 1308.3432, 2013.

    Example:
        >>> from multidd.parameterizations import Free
        >>> from multidd.selection.basic import Random
        >>> snapped = Snapped(Free(Random(), (1,)), torch.eye(2))
        >>> snapped.draw({"x": torch.tensor([[[0.9, 0.3]]])}, None, 0)["x"].tolist()
        [[[1.0, 0.0]]]
    """

    base: Parameterization
    rows: Tensor = field(repr=False)
    metric: Metric = "cosine"

    @property
    def groups(self) -> tuple[str, ...]:
        """The base's."""
        return self.base.groups

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """The base's."""
        return self.base.init(task, rng)

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """Rows of the table, with the gradient of the vectors."""
        return self._snapped(self.base.draw(params, rng, step))

    def final(self, params: Params, rng: torch.Generator) -> Draw:
        """Rows of the table, detached."""
        return self._snapped(self.base.final(params, rng))

    def decode(self, stored: Draw) -> Draw:
        """As the base does."""
        return self.base.decode(stored)

    def _snapped(self, draw: Draw) -> Draw:
        x, rows = draw["x"], self.rows.to(draw["x"])
        hard = rows[nearest(x, rows, metric=self.metric)[0]]
        return draw | {"x": hard + (x - x.detach())}


@dataclass(frozen=True)
class Closeness:
    r"""How far token vectors are from the rows of their table: a penalty.

    $\frac{1}{|P|} \sum_{p \in P} \min_v \lVert x_p - E_v \rVert^2 / \bar e$ over the
    places P of words, with $\bar e$ the mean squared length of rows. A part of a `Mix`,
    whose weight trades accuracy of the vectors for that of the decoded text. The task
    has a `vocabulary`, as `TokenTask` has.

    Reference:
        "Transferable text data distillation by trajectory matching", arXiv 2504.09818,
        2025.

    Example:
        >>> Closeness()
        Closeness()
    """

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """No state."""
        return {}

    def loss(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tensor:
        """Mean squared distance to the nearest row, relative to the rows' lengths."""
        vocabulary = task.vocabulary  # type: ignore[attr-defined]
        places = (synthetic.mask != 0) & ~near_special(vocabulary, synthetic.x)
        x, rows = synthetic.x[places], vocabulary.rows.to(synthetic.x)
        words = rows[vocabulary.words.to(x.device)]
        nearest_words, _ = nearest(x, words, metric="l2")
        gap = (x - F.embedding(nearest_words, words)).square().sum(1)
        return gap.mean() / words.square().sum(1).mean()

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """No state."""
        return state
