"""A synthetic graph that is known by its eigenvectors, and what they are matched to."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multidd.graph.models.propagation import normalized_dense
from multidd.graph.tasks.node_task import NodeTask
from multidd.parameterizations import Free
from multidd.protocols import Batch, Draw, Params, Task, Tree

__all__ = ["EigenAdjacency", "EigenbasisMatching"]

BASIS, VALUES = "basis", "eigenvalues"


@dataclass(frozen=True)
class EigenAdjacency:
    r"""$P' = \sum_k \lambda_k u'_k u_k'^\top + \mu (I - \sum_k u'_k u_k'^\top)$.

    The eigenvalues are those of the real graph's $\hat A$, and $\mu$ is the mean of
    those that are left out; the vectors u' are learned. A' is the adjacency whose
    normalized form P' is, $A'_{ij} = P'_{ij} / \sqrt{P'_{ii} P'_{jj}}$, where there is
    one. A graph for any model has no edges of negative weight: such entries are zero,
    and entries above one are one.

    Attributes:
        base: the nodes; vectors start as the eigenvectors of their start's adjacency.
        count: k, at most the number of nodes.
        smooth: share of the vectors that has the largest eigenvalues; see `eigenbasis`.
        floor: of $P'_{ii}$, which is one over a node's degree with its self-loop.
        threshold: entries of the finished A' below it become zero.

    Reference:
        Liu, Bo, Shi, "Graph Distillation with Eigenbasis Matching", ICML 2024.

    Example:
        >>> from multidd.selection import Random
        >>> EigenAdjacency(Free(Random(), (5, 5)), 5).groups
        ('x', 'basis')
    """

    base: Free
    count: int
    smooth: float = 1.0
    floor: float = 0.01
    threshold: float = 0.01

    @property
    def groups(self) -> tuple[str, ...]:
        """The nodes' groups and the vectors."""
        return (*self.base.groups, BASIS)

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """The nodes, eigenvectors of their adjacency, and the real eigenvalues."""
        real = _nodes(task).eigenbasis(self.count, self.smooth)
        params = self.base.init(task, rng)
        x = params["x"]
        edges = params.pop("adjacency", x.new_zeros(len(x), len(x)))
        vectors = torch.linalg.eigh(normalized_dense(edges).double())[1].flip(1)
        high = len(real.values) - real.low
        vectors = torch.cat([vectors[:, :high], vectors[:, len(x) - real.low :]], dim=1)
        values = torch.cat([real.values, real.values.new_tensor([real.rest])])
        return params | {BASIS: vectors.to(x.dtype), VALUES: values}

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """The nodes, their adjacency, and the vectors."""
        draw = self.base.draw(params, rng, step)
        values, vectors = draw.pop(VALUES), draw[BASIS]
        operator = (vectors * (values[:-1] - values[-1])) @ vectors.T
        own = (operator.diagonal() + values[-1]).clamp(min=self.floor).rsqrt()
        upper = (own[:, None] * operator * own).clamp(0.0, 1.0).triu(1)
        return draw | {"adjacency": upper + upper.T}

    def final(self, params: Params, rng: torch.Generator) -> Draw:
        """The nodes and the adjacency above the threshold."""
        draw = {n: t.detach() for n, t in self.draw(params, rng, 0).items()}
        kept = draw["adjacency"] * (draw["adjacency"] >= self.threshold)
        del draw[BASIS]
        return draw | {"adjacency": kept}

    def decode(self, kept: Draw) -> Draw:
        """The same."""
        return kept


@dataclass(frozen=True)
class EigenbasisMatching:
    r"""Features along each eigenvector, and vectors that stay orthonormal.

    $$\frac{\sum_k \lVert a_k a_k^\top - a'_k a_k'^\top \rVert_F^2}
      {\sum_k \lVert a_k \rVert^4} + \frac{w}{k} \lVert U'^\top U' - I \rVert_F^2,
      \quad a_k = X^\top u_k / \sqrt{n}, \quad a'_k = X'^\top u'_k / \sqrt{m}.$$

    A vector and its negative are the same eigenvector, so products are compared; they
    are never made, since their gap is one of lengths and inner products.

    Attributes:
        count: k.
        smooth: share of the vectors that has the largest eigenvalues; see `eigenbasis`.
        orthogonality: w.

    Reference:
        Liu, Bo, Shi, "Graph Distillation with Eigenbasis Matching", ICML 2024.

    Example:
        >>> EigenbasisMatching(35)
        EigenbasisMatching(count=35, smooth=1.0, orthogonality=1.0)
    """

    count: int
    smooth: float = 1.0
    orthogonality: float = 1.0

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """The real features along the eigenvectors."""
        return {
            "components": _nodes(task).eigenbasis(self.count, self.smooth).components
        }

    def loss(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tensor:
        """The relative gap, and how far the vectors are from orthonormal."""
        theirs, ours, basis = state["components"], synthetic.components, synthetic.basis
        if basis is None:
            raise ValueError(
                "eigenbasis matching needs synthetic nodes with learned eigenvectors: "
                "EigenAdjacency"
            )
        sizes = [part.square().sum(1) for part in (theirs, ours)]
        gap = (
            sizes[0].square() + sizes[1].square() - 2 * (theirs * ours).sum(1).square()
        )
        apart = basis.T @ basis - torch.eye(basis.shape[1]).to(basis)
        skew = apart.square().sum() / basis.shape[1]
        whole = sizes[0].square().sum().clamp(min=1e-30)
        return gap.sum() / whole + self.orthogonality * skew

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """Nothing: the real graph stays as it is."""
        return state


def _nodes(task: Task[Any]) -> NodeTask:
    if not isinstance(task, NodeTask):
        raise TypeError(
            f"eigenvectors are those of one graph: a NodeTask, got "
            f"{type(task).__name__}"
        )
    return task
