"""Some nodes of a graph, as a backbone runs on them."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from multidd.classes import ClassIndex, by_class
from multidd.graph.models.backbones import Backbone
from multidd.graph.models.propagation import normalized_dense
from multidd.protocols import Draw


@dataclass(frozen=True, eq=False)
class NodeBatch:
    """Nodes as a backbone runs on them.

    Attributes:
        inputs: `[n0, d]`, features propagated before the first weight.
        operators: one propagation for each later layer, `[rows out, rows in]`; None
            where there are no edges, so that nothing is to be done.
        places: where the batch's own nodes lie among the rows into each operator.
        labels: `[b]`.
        classes: the rows of each class.
        soft: `[b, c]`, soft labels, where there are any.
        basis: `[b, k]`, vectors over the nodes that are learned, where there are any.
        components: `[k, d]`, features before any propagation along them, for nodes of
            weight 1/b.
    """

    inputs: Tensor
    operators: tuple[Tensor | None, ...]
    places: tuple[Tensor, ...]
    labels: Tensor
    classes: ClassIndex
    soft: Tensor | None = None
    basis: Tensor | None = None
    components: Tensor | None = None

    @classmethod
    def of(
        cls,
        node_ids: Any,
        operator: sp.csr_array,
        layers: int,
        features: Tensor,
        labels: Tensor,
        classes: ClassIndex,
        soft: Tensor | None = None,
    ) -> Self:
        """Nodes of a graph, with as much of it around them as a backbone reaches.

        Args:
            node_ids: numbers of the nodes.
            operator: the normalized adjacency of the whole graph.
            layers: propagations after the first weight.
            features: `[n, d]`, of all nodes, propagated before the first weight.
            labels, classes, soft: of the nodes.
        """
        nodes, blocks, places = around(node_ids, operator, layers)
        inputs = features[torch.from_numpy(nodes).long()]
        return cls(inputs, blocks, places, labels, classes, soft)

    @classmethod
    def from_draw(cls, draw: Draw, backbone: Backbone, num_classes: int) -> Self:
        """Synthetic nodes, propagated over their adjacency; differentiable.

        Args:
            draw: `x` and `y`, and `adjacency`, `y_soft` and `basis` where it has them.
            backbone: the model that runs on them.
            num_classes: c.
        """
        inputs, adjacency = draw["x"], draw.get("adjacency")
        later, operator = backbone.later, None
        if adjacency is not None:
            operator = normalized_dense(adjacency)
            for _ in range(backbone.propagations):
                inputs = operator @ inputs
        y, basis = draw["y"], draw.get("basis")
        places = (torch.arange(len(y), device=y.device),) * later
        known = (y, by_class(y, num_classes), draw.get("y_soft"))
        batch = cls(inputs, (operator,) * later, places, *known)
        if basis is None:
            return batch
        return replace(
            batch, basis=basis, components=basis.T @ draw["x"] / len(y) ** 0.5
        )

    def averaged(self, weights: Tensor, num_classes: int) -> "NodeBatch":
        """One row for each class, the mean of its rows: all that class means need of
        features that no weight comes before.

        Args:
            weights: `[b]`, of the rows.
            num_classes: c.
        """
        weights = weights.to(self.inputs)
        mass = weights.new_zeros(num_classes).index_add(0, self.labels, weights)
        total = weights.new_zeros(num_classes, self.inputs.shape[1])
        total = total.index_add(0, self.labels, weights[:, None] * self.inputs)
        labels = torch.arange(num_classes, device=weights.device)
        classes = by_class(labels, num_classes, mass)
        return NodeBatch(
            total / mass.clamp(min=1e-30)[:, None], (), (), labels, classes
        )

    def take(self, rows: Tensor, num_classes: int) -> "NodeBatch":
        """Some of the batch's own nodes, with their weights and the graph around."""
        labels, operators, inputs = self.labels[rows], self.operators, self.inputs
        places = tuple(place[rows] for place in self.places)
        if operators and operators[-1] is not None:
            operators = (*operators[:-1], operators[-1][rows])
        else:  # no edges: nodes stand alone
            inputs = inputs[rows]
            places = (torch.arange(len(rows), device=rows.device),) * len(operators)
        weights = torch.zeros(len(self.labels), dtype=torch.float64)
        cpu_classes = self.classes.to("cpu")
        inside = cpu_classes.weight > 0
        weights[cpu_classes.index[inside]] = (
            cpu_classes.weight * cpu_classes.mass[:, None]
        )[inside]
        classes = by_class(labels, num_classes, weights[rows.cpu()])
        soft = None if self.soft is None else self.soft[rows]
        return NodeBatch(inputs, operators, places, labels, classes, soft)


@dataclass(frozen=True, eq=False, kw_only=True)
class WholeGraphBatch(NodeBatch):
    """Nodes of a graph that a module of the caller's own runs on as a whole.

    Attributes:
        edges: `edge_index` `[2, e]` and `edge_weight` `[e]`.
        rows: `[b]`, the batch's own nodes among the rows of `inputs`.
    """

    edges: tuple[Tensor, Tensor]
    rows: Tensor

    @classmethod
    def of_draw(cls, draw: Draw, num_classes: int) -> Self:
        """Synthetic nodes with an edge wherever their adjacency is above zero.

        Args:
            draw: see `NodeBatch.from_draw`.
            num_classes: c.
        """
        x, y, adjacency = draw["x"], draw["y"], draw.get("adjacency")
        index = torch.zeros(2, 0, dtype=torch.long, device=x.device)
        weight = x.new_zeros(0)
        if adjacency is not None:
            # A column is a source, a row a target, as in the propagation of a GCN.
            target, source = (adjacency.detach() > 0).nonzero().unbind(1)
            index, weight = torch.stack([source, target]), adjacency[target, source]
        classes, basis = by_class(y, num_classes), draw.get("basis")
        parts = None if basis is None else basis.T @ x / len(y) ** 0.5
        rows = torch.arange(len(y), device=y.device)
        known = (x, (), (), y, classes, draw.get("y_soft"), basis, parts)
        return cls(*known, edges=(index, weight), rows=rows)

    def take(self, rows: Tensor, num_classes: int) -> "WholeGraphBatch":
        """Some of the batch's own nodes; the graph stays whole."""
        few = replace(self, operators=(), inputs=self.labels[:, None])
        taken = NodeBatch.take(few, rows, num_classes)
        return replace(
            self,
            labels=taken.labels,
            classes=taken.classes,
            soft=taken.soft,
            rows=self.rows[rows],
        )


def around(
    node_ids: Any, operator: sp.csr_array, layers: int
) -> tuple[Any, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """As much of a graph around some nodes as `layers` propagations reach.

    Args:
        node_ids: numbers of the nodes.
        operator: the normalized adjacency of the whole graph.
        layers: propagations after the first weight.

    Returns:
        The nodes that are reached, a block of the operator for each layer, and where
        those nodes lie among the rows into it.
    """
    nodes, blocks, places = node_ids, [], []
    for _ in range(layers):
        reached = operator[nodes]
        nodes = np.unique(reached.indices)
        blocks.append(torch.from_numpy(reached[:, nodes].toarray()))
        places.append(torch.from_numpy(np.searchsorted(nodes, node_ids)))
    return nodes, tuple(reversed(blocks)), tuple(reversed(places))
