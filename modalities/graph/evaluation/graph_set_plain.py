"""Plain trainings of sets of graphs: GCN, GIN, an MLP, logistic regression."""

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from multidd.evaluation.plain import train_plainly
from multidd.graph.data.graph_set import GraphSet
from multidd.graph.models.propagated_features import pooled_hops

__all__ = ["GRAPH_SET_PLAIN", "PlainGraphs", "pooled_classes", "train_graph_network"]

GRAPH_SET_PLAIN = {
    "gcn": "PyG's GCN of three layers, the mean over nodes, 400 updates of Adam",
    "gin": "PyG's GIN, the same",
    "mlp": "an MLP on the nodes, without edges, the mean over nodes, the same",
    "logistic": "logistic regression on means of propagated features",
}
"""What a stranger trains, by name."""

LAYERS, WIDTH, DROPOUT, RATE = 3, 64, 0.5, 0.01
"""As in the examples of PyG for graph classification."""

INVERSE_PENALTY = 10.0


class _Classifier(nn.Module):
    """Layers over nodes, the mean over the nodes of each graph, and a linear head."""

    def __init__(self, name: str, num_features: int, num_classes: int) -> None:
        super().__init__()
        from torch_geometric.nn import models

        self.sees_edges = name != "mlp"
        self.layers: nn.Module
        if self.sees_edges:
            kinds = {"gcn": models.GCN, "gin": models.GIN}
            self.layers = kinds[name](num_features, WIDTH, LAYERS)
        else:
            widths = [num_features, *[WIDTH] * LAYERS]
            self.layers = models.MLP(widths, norm=None)
        self.head = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(WIDTH, num_classes))

    def forward(self, batch: Batch) -> Tensor:
        """Scores `[b, c]` of the graphs of a batch."""
        from torch_geometric.nn import global_mean_pool

        edges = (batch.edge_index,) if self.sees_edges else ()
        hidden = self.layers(batch.x, *edges)  # (nodes of the batch, h)
        pooled = global_mean_pool(hidden, batch.batch, batch.num_graphs)
        scores: Tensor = self.head(pooled)
        return scores


class PlainGraphs:
    """A set of graphs as a plain network takes them: batches of PyG.

    Args:
        graphs: the set.

    Example:
        >>> from multidd.graph.data.graph_set import as_graph_set
        >>> edges = torch.tensor([[0, 1], [1, 0]])
        >>> pair = [Data(torch.eye(2), edges, y=label) for label in (0, 1)]
        >>> PlainGraphs(as_graph_set(pair)).batch(torch.tensor([1])).num_nodes
        2
    """

    def __init__(self, graphs: GraphSet) -> None:
        self.graphs = graphs

    @cached_property
    def parts(self) -> list[Data]:
        """One `Data` for each graph."""
        ends = torch.stack(
            [torch.from_numpy(end).long() for end in self.graphs.adjacency.nonzero()]
        )
        sizes = self.graphs.sizes
        last = sizes.cumsum(0)
        first = last - sizes
        counts = torch.bincount(torch.searchsorted(last, ends[0], right=True))
        counts = torch.cat([counts, counts.new_zeros(len(sizes) - len(counts))])
        of_each = ends.split(counts.tolist(), dim=1)
        rows = self.graphs.x.split(sizes.tolist())
        return [
            Data(x=x, edge_index=edges - start)
            for x, edges, start in zip(rows, of_each, first, strict=True)
        ]

    @cached_property
    def whole(self) -> Batch:
        """All graphs as one batch."""
        return Batch.from_data_list(self.parts)

    def batch(self, rows: Tensor) -> Batch:
        """Some of the graphs as one batch."""
        if len(rows) == len(self.graphs):  # all, in their order
            return self.whole
        return Batch.from_data_list([self.parts[row] for row in rows.tolist()])

    def accuracy(self, net: nn.Module) -> float:
        """Share of the graphs whose class a network predicts."""
        device = next(net.parameters()).device
        with torch.no_grad():
            predicted = net(self.whole.to(device)).argmax(1).cpu()
        return float((predicted == self.graphs.y).float().mean())


def train_graph_network(
    name: str,
    records: PlainGraphs,
    held_out: PlainGraphs,
    seed: int,
    whole: bool = False,
    device: str = "cpu",
) -> nn.Module:
    """Train a graph classifier on hard labels.

    Args:
        name: `"gcn"`, `"gin"` or `"mlp"`.
        records: graphs to train on.
        held_out: graphs by which training on whole data stops.
        seed: of weights, batches and dropout.
        whole: whether the graphs are whole data.
        device: where it is trained.

    Returns:
        The network, in evaluation mode.

    Example:
        >>> from multidd.graph.data.graph_set import as_graph_set
        >>> edges = torch.tensor([[0, 1], [1, 0]])
        >>> pair = [Data(torch.eye(2) + y, edges, y=y) for y in (0, 1)]
        >>> graphs = PlainGraphs(as_graph_set(pair))
        >>> graphs.accuracy(train_graph_network("mlp", graphs, graphs, seed=0))
        1.0
    """
    form = records.graphs.form

    def make() -> nn.Module:
        return _Classifier(name, form.features, form.classes)

    return train_plainly(
        make,
        records.batch,
        records.graphs.y,
        held_out.accuracy,
        seed,
        whole=whole,
        rate=RATE,
        device=device,
    )


def pooled_classes(graphs: GraphSet) -> Callable[[GraphSet], Tensor]:
    """Logistic regression on the means of propagated features of each graph.

    Args:
        graphs: to learn from; of one class that class is the answer.

    Returns:
        Graphs to their classes `[n]`.

    Example:
        >>> from multidd.graph.data.graph_set import as_graph_set
        >>> edges = torch.tensor([[0, 1], [1, 0]])
        >>> pair = as_graph_set([Data(torch.eye(2) + y, edges, y=y) for y in (0, 1)])
        >>> pooled_classes(pair)(pair).tolist()
        [0, 1]
    """
    from sklearn.linear_model import LogisticRegression  # loads slowly

    x, y = pooled_hops(graphs), graphs.y
    if len(y.unique()) == 1:
        only = y[:1]
        return lambda others: only.expand(len(others))
    scale = x.square().mean().sqrt().clamp(min=1e-12)
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000)
    model.fit((x / scale).numpy(), y.numpy())

    def classes(others: GraphSet) -> Tensor:
        rows = (pooled_hops(others) / scale).numpy()
        return torch.from_numpy(model.predict(rows))

    return classes
