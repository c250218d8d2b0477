"""Selections as methods: random, herding, kcenter, kmeans."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from multidd import seeds
from multidd.arguments import public_function
from multidd.data.splitting import at_most
from multidd.engine.loop import select
from multidd.engine.options import RunOptions, RunSettings
from multidd.graph.data.graph import Graph
from multidd.graph.data.graph_set import as_graph_set, is_set
from multidd.graph.methods.budget import plan
from multidd.graph.methods.graph_set_setup import (
    plan_graphs,
    refuse_node_settings,
    selected,
)
from multidd.graph.methods.setup import Request, graph_summary
from multidd.graph.models.propagation import Propagation
from multidd.graph.summary.summary import GraphSummary
from multidd.graph.tasks.node_task import NodeTask, edges_between
from multidd.protocols import Records, Selection
from multidd.selection.basic import Herding, KCenter, KMeans, Random


def select_several(
    name: str,
    selection: Selection,
    graph: Graph,
    propagation: Propagation,
    count: int,
    inductive: bool,
    seed: int,
    started: float,
) -> GraphSummary:
    """`count` training nodes with their labels and edges, or means of them.

    Args:
        name: of the selection.
        selection: picks by twice propagated features, all nodes as one class.
        graph: what is seen: nodes with several labels.
        propagation: over the graph.
        count: m; all training nodes where there are fewer.
        inductive: whether only the training nodes are seen, for the card.
        seed: of the draw.
        started: `time.perf_counter()` when it began.

    Returns:
        A `GraphSummary` whose `y_soft` `[m, c]` has the share of each label.
    """
    nodes = graph.train.nonzero().flatten()
    h = propagation.features(2)[nodes]
    records = Records(h, torch.zeros(len(nodes), dtype=torch.int64), 1)
    counts = (min(count, len(nodes)),)
    picks = selection.pick(records, counts, seeds.at(seed, "selection"))
    assert graph.multi_label is not None
    soft = torch.sparse.mm(picks.weights, graph.multi_label[nodes])
    draw = {"y": soft.argmax(1), "y_soft": soft}
    if picks.real:
        draw["x"] = graph.x[nodes[picks.indices]]
        a = graph.adjacency
        draw["adjacency"] = edges_between(picks, nodes, a, a)
    else:
        draw["x"] = torch.sparse.mm(picks.weights, h)
    settings = {"several": True, "nodes": counts[0], "inductive": inductive}
    return graph_summary(name, graph, draw, settings, seed, started)


@public_function
def random(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    inductive: bool = False,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> Any:
    """Training nodes drawn uniformly within each class, with the edges between them.

    Of a PyG dataset or a list of graphs: graphs, to `ratio` (graphs / graphs) or
    `per_class`.

    Args:
        data: a PyG `Data` with `x`, `edge_index`, `y`, `train_mask`, or a set of
            graphs.
        ratio: chosen nodes / nodes of the graph the method sees.
        nodes: chosen nodes in all.
        per_class: chosen nodes of each class. Give exactly one of the three.
        inductive: see the training nodes and the edges between them only.
        seed: seed of the draw.
        device: where nodes are compared.
        progress: there is no bar to show, whatever it says.
        run: `timeout` alone counts, since there is no loop.

    Returns:
        A `GraphSummary` of real nodes, or a `GraphSetSummary` of real graphs.

    Raises:
        ValueError: bad data or budget; says what would fit.

    Example:
        >>> import multidd
        >>> random(multidd.samples.cora(), nodes=70).num_nodes
        70
    """
    request = Request(data, ratio, nodes, per_class, inductive)
    settings = RunSettings(seed, device, progress, options=run)
    return _select("random", request, settings)


@public_function
def herding(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    inductive: bool = False,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> Any:
    """Training nodes whose running mean of propagated features stays near the class's.

    Args, returns and errors as `multidd.graph.random`; the seed changes nothing.

    Reference:
        Welling, "Herding Dynamical Weights to Learn", ICML 2009.

    Example:
        >>> import multidd
        >>> herding(multidd.samples.cora(), nodes=35).num_nodes
        35
    """
    request = Request(data, ratio, nodes, per_class, inductive)
    settings = RunSettings(seed, device, progress, options=run)
    return _select("herding", request, settings)


@public_function
def kcenter(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    inductive: bool = False,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> Any:
    """Training nodes that lie far apart: greedy k-center on propagated features.

    Args, returns and errors as `multidd.graph.random`; the seed changes nothing.

    Reference:
        Sener, Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set
        Approach", ICLR 2018.

    Example:
        >>> import multidd
        >>> kcenter(multidd.samples.cora(), nodes=35).num_nodes
        35
    """
    request = Request(data, ratio, nodes, per_class, inductive)
    settings = RunSettings(seed, device, progress, options=run)
    return _select("kcenter", request, settings)


@public_function
def kmeans(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    inductive: bool = False,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> Any:
    """Centroids of class-wise k-means of the twice propagated training features.

    Structure-free and training-free. Of a set of graphs: the graphs nearest to the
    centroids, since a mean of graphs is none. Args, returns and errors as
    `multidd.graph.random`.

    Reference:
        Lloyd, "Least Squares Quantization in PCM", IEEE Trans. Inf. Theory, 1982.

    Example:
        >>> import multidd
        >>> kmeans(multidd.samples.cora(), nodes=70).num_edges
        0
    """
    request = Request(data, ratio, nodes, per_class, inductive)
    settings = RunSettings(seed, device, progress, options=run)
    return _select("kmeans", request, settings)


SELECTIONS: dict[str, Selection] = {
    "random": Random(),
    "herding": Herding(),
    "kcenter": KCenter(),
    "kmeans": KMeans(),
}


def of_counts(
    name: str, task: NodeTask, counts: Sequence[int], seed: int
) -> GraphSummary:
    """The selection of that name with `counts[i]` nodes of class i.

    A class with fewer training nodes than its count gives all that it has.

    Args:
        name: a key of `SELECTIONS`.
        task: on the graph that is seen.
        counts: of each class.
        seed: of the draw.
    """
    task = replace(task, structure=name != "kmeans")
    have = torch.bincount(task.rows.labels, minlength=task.num_classes).tolist()
    return select(task, SELECTIONS[name], at_most(counts, have), seed=seed)


def of_several(
    name: str,
    graph: Graph,
    propagation: Propagation,
    count: int,
    inductive: bool,
    seed: int,
) -> GraphSummary:
    """The selection of that name of nodes with several labels; see `select_several`."""
    began, selection = time.perf_counter(), SELECTIONS[name]
    return select_several(
        name, selection, graph, propagation, count, inductive, seed, began
    )


def _select(name: str, request: Request, run: RunSettings) -> Any:
    data, inductive = request.data, request.inductive
    if is_set(data):
        refuse_node_settings(nodes=request.nodes, inductive=inductive)
        graphs = as_graph_set(data)
        counts = plan_graphs(graphs, request.ratio, request.per_class)
        return selected(name, graphs, counts, run)
    task = NodeTask.of(data, inductive=inductive, structure=name != "kmeans")
    budget = plan(task.graph, *request.budget)
    return select(task, SELECTIONS[name], budget.counts, **run.without_loop(name))
