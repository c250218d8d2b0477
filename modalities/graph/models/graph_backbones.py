"""A graph classifier as a function of weights, on graphs in either of two layouts.

Real graphs lie side by side as one sparse graph, so that nothing grows with the square
of their sizes; synthetic ones are padded to one size and dense, so that gradients reach
every pair of nodes. The weights are the same.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from multidd.classes import ClassIndex, by_class
from multidd.graph.data.graph_set import GraphSet
from multidd.graph.models.backbones import uniform
from multidd.graph.models.propagation import Operator, Sparse, normalized_dense
from multidd.graph.models.wl_refinement import Levels
from multidd.protocols import Params

__all__ = ["PooledGCN", "SetBatch", "beside", "padded"]


@dataclass(frozen=True, eq=False)
class SetBatch:
    """b graphs as a network of some layers runs on them.

    Real graphs have a row for each kind of node (`multidd.graph.levels`), synthetic
    ones p rows each.

    Attributes:
        inputs: features propagated once: `[kinds, d]`, or `[b, p, d]`.
        operators: propagations to each later layer, `[kinds, kinds before]` sparse, or
            `[b, p, p]`.
        pools: the mean over the nodes of each graph after each layer, `[b, kinds]`
            sparse, or `[b, 1, p]`.
        labels: `[b]`.
        classes: the graphs of each class.
        density: chance of an edge, the mean over the pairs of a graph and over graphs,
            where edges are drawn; else None.
    """

    inputs: Tensor
    operators: tuple[Operator, ...]
    pools: tuple[Operator, ...]
    labels: Tensor
    classes: ClassIndex
    density: Tensor | None = None

    def take(self, graphs: Tensor, num_classes: int) -> "SetBatch":
        """Some of the graphs."""
        labels = self.labels[graphs]
        classes = by_class(labels, num_classes)
        pools = [pool for pool in self.pools if isinstance(pool, Sparse)]
        if not pools:
            inputs = self.inputs[graphs]
            steps, means = (
                _rows(some, graphs) for some in (self.operators, self.pools)
            )
            return SetBatch(inputs, steps, means, labels, classes, self.density)
        chosen, device = graphs.cpu().numpy(), self.inputs.device
        means_of = [pool.matrix[chosen] for pool in pools]
        nodes = [np.unique(pool.indices) for pool in means_of]
        operators = [step for step in self.operators if isinstance(step, Sparse)]
        between = zip(operators, nodes[1:], nodes[:-1], strict=True)
        return SetBatch(
            self.inputs[torch.from_numpy(nodes[0]).long().to(device)],
            tuple(Sparse(step.matrix[to][:, at], device) for step, to, at in between),
            tuple(
                Sparse(pool[:, at], device)
                for pool, at in zip(means_of, nodes, strict=True)
            ),
            labels,
            classes,
        )


def _rows(tensors: tuple[Operator, ...], rows: Tensor) -> tuple[Operator, ...]:
    return tuple(t[rows] for t in tensors if isinstance(t, Tensor))


def beside(graphs: GraphSet, layers: int, scale: float, device: str) -> SetBatch:
    """Real graphs side by side.

    Args:
        graphs: the graphs.
        layers: of the network that runs on them.
        scale: features are divided by it.
        device: where the batch lives.
    """
    levels = Levels(graphs, layers, device)
    first, *later = levels.tensors(levels.gcn)
    classes = by_class(graphs.y, graphs.form.classes).to(device)
    pools, y = levels.tensors(levels.pools), graphs.y.to(device)
    return SetBatch(first @ (levels.x / scale), tuple(later), pools, y, classes)


def padded(
    x: Tensor,
    adjacency: Tensor,
    sizes: Tensor,
    labels: Tensor,
    num_classes: int,
    layers: int,
    chances: Tensor | None = None,
) -> SetBatch:
    """Synthetic graphs padded to p nodes; differentiable.

    Args:
        x: `[m, p, d]`.
        adjacency: `[m, p, p]`; what it says of padding is not read.
        sizes: `[m]`, nodes of each graph; the rest is padding.
        labels: `[m]`.
        num_classes: c.
        layers: of the network that runs on them.
        chances: `[m, p, p]` of the edges, for their density.
    """
    inside = torch.arange(x.shape[1], device=x.device) < sizes[:, None]
    inside = inside.to(x.dtype)
    pairs = inside[:, :, None] * inside[:, None]
    operator = normalized_dense(adjacency * pairs)
    pool = (inside / sizes[:, None].to(x.dtype))[:, None]
    classes = by_class(labels, num_classes)
    density = None
    if chances is not None:
        # A mean over graphs, as of the real ones: over pairs large graphs would decide.
        density = ((chances * pairs).sum((1, 2)) / pairs.sum((1, 2))).mean()
    later, pools = (operator,) * (layers - 1), (pool,) * layers
    return SetBatch(operator @ x, later, pools, labels, classes, density)


@dataclass(frozen=True)
class PooledGCN:
    """Graph convolutions with ReLU, the mean over nodes, and a linear head.

    Attributes:
        layers: convolutions.
        width: of each.

    Reference:
        Kipf, Welling, "Semi-Supervised Classification with Graph Convolutional
        Networks", ICLR 2017; Jin et al., "Condensing Graphs via One-Step Gradient
        Matching", KDD 2022.

    Example:
        >>> PooledGCN(width=64).layers
        3
    """

    layers: int = 3
    width: int = 128

    def __post_init__(self) -> None:
        if self.layers < 1 or self.width < 1:
            raise ValueError(
                f"layers and width must be 1 or more, got {self.layers} and "
                f"{self.width}"
            )

    def weights(
        self, rng: torch.Generator, models: int, d: int, c: int, like: Tensor
    ) -> Params:
        """Random weights `[k, out, in]` and biases `[k, out]` of every layer."""
        sizes = [d, *[self.width] * self.layers, c]
        weights = {}
        for i, (fan, out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            weights[f"weight{i}"] = uniform((models, out, fan), fan, rng, like)
            weights[f"bias{i}"] = uniform((models, out), fan, rng, like)
        return weights

    def features(self, weights: Params, batch: SetBatch) -> list[Tensor]:
        """`[b, h]`, the mean over nodes of each layer of one model; logits last."""
        hidden, embeddings = batch.inputs @ weights["weight0"].T + weights["bias0"], []
        for i, pool in enumerate(batch.pools, 1):
            hidden = hidden.relu()
            embeddings.append((pool @ hidden).flatten(1))
            if i < self.layers:
                hidden = batch.operators[i - 1] @ (hidden @ weights[f"weight{i}"].T)
                hidden = hidden + weights[f"bias{i}"]
        last = self.layers
        return [
            *embeddings,
            embeddings[-1] @ weights[f"weight{last}"].T + weights[f"bias{last}"],
        ]
