"""Some nodes of a graph, as a backbone runs on them."""

from dataclasses import dataclass

from torch import Tensor

from multidd.classes import ClassIndex, by_class


@dataclass(frozen=True, eq=False)
class NodeBatch:
    """Nodes as a backbone runs on them.

    Attributes:
        inputs: `[n0, d]`, features propagated before the first weight.
        operators: one propagation for each later layer, `[rows out, rows in]`.
        places: where the batch's own nodes lie among the rows into each operator.
        labels: `[b]`.
        classes: the rows of each class.
    """

    inputs: Tensor
    operators: tuple[Tensor, ...]
    places: tuple[Tensor, ...]
    labels: Tensor
    classes: ClassIndex

    def take(self, rows: Tensor, num_classes: int) -> "NodeBatch":
        """Some of the batch's own nodes, with the graph around them as it is."""
        labels, operators = self.labels[rows], self.operators
        inputs = self.inputs if operators else self.inputs[rows]
        if operators:
            operators = (*operators[:-1], operators[-1][rows])
        places = tuple(place[rows] for place in self.places)
        classes = by_class(labels, num_classes)
        return NodeBatch(inputs, operators, places, labels, classes)
