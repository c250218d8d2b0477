"""Rows beside a summary of nodes with several labels: selections without classes."""

import torch

from multidd import seeds
from multidd.graph.data.graph import Graph
from multidd.graph.methods.setup import finished
from multidd.graph.models.propagation import propagate
from multidd.graph.summary.summary import GraphSummary
from multidd.graph.tasks.rows import edges_between, seen
from multidd.protocols import Records, Selection


def select_several(
    name: str,
    selection: Selection,
    data: Graph,
    count: int,
    inductive: bool,
    seed: int,
    started: float,
) -> GraphSummary:
    """`count` training nodes with their labels and edges, or means of them.

    Args:
        name: of the selection.
        selection: picks by twice propagated features, all nodes as one class.
        data: nodes with several labels.
        count: m; all training nodes where there are fewer.
        inductive: see the training nodes and the edges between them only.
        seed: of the draw.
        started: `time.perf_counter()` when it began.

    Returns:
        A `GraphSummary` whose `y_soft` `[m, c]` has the share of each label.
    """
    graph = seen(data, inductive)
    nodes = graph.train.nonzero().flatten()
    h = propagate(graph.adjacency, graph.x, 2)[nodes]
    records = Records(h, torch.zeros(len(nodes), dtype=torch.int64), 1)
    counts = (min(count, len(nodes)),)
    picks = selection.pick(records, counts, seeds.at(seed, "selection"))
    soft = torch.sparse.mm(picks.weights, _labels(graph)[nodes])
    draw = {"y": soft.argmax(1), "y_soft": soft}
    if picks.real:
        draw["x"] = graph.x[nodes[picks.indices]]
        a = graph.adjacency
        draw["adjacency"] = edges_between(picks, nodes, a, a)
    else:
        draw["x"] = torch.sparse.mm(picks.weights, h)
    settings = {"several": True, "nodes": counts[0], "inductive": inductive}
    return finished(name, graph, draw, settings, seed, started)


def _labels(graph: Graph) -> torch.Tensor:
    if graph.several is None:
        raise ValueError("these nodes have one class each, not several labels")
    return graph.several
