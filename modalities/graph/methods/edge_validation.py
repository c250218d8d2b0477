"""Learned edges that have to prove themselves on validation nodes."""

import time
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.evaluation.protocol import Protocol
from multidd.graph.data.graph import Graph
from multidd.graph.models.networks import Inputs
from multidd.graph.models.training import NodeEvaluationSet, NodeTrainingSet, train
from multidd.graph.summary.summary import GraphSummary

__all__ = ["PairwiseStructure", "validate_edges"]

PairwiseStructure: TypeAlias = Literal["validated", "pairwise"]

THRESHOLDS = (0.0, 0.05, 0.5)
"""Edges lighter than that are left out: none, and the two thresholds of GCOND's code,
for most networks and for GAT."""

NETWORKS = {"gat": False, "sage": False, "gcn": True}
"""Networks that judge, by whether they see weights; first those that edges harm most,
so that most candidates are out after one network."""

TRAINING = Protocol(
    name="edge validation",
    epochs=60,
    lr=0.01,
    weight_decay=5e-4,
    dropout=0.5,
    width=64,
    check_every=60,
)
"""How networks are trained to judge edges."""

TRAININGS = 2
"""Trainings of each network, with the same draws for each candidate."""

MAX_ENTRIES = 2**23
"""Adjacency entries up to which networks run on the whole real graph (GAT takes 256
bytes for each)."""


def validate_edges(summary: GraphSummary, graph: Graph, seed: int) -> GraphSummary:
    """The summary with those of its edges that help, or without edges.

    Candidates are all edges and the heavier ones (`THRESHOLDS`). A GAT and a GraphSAGE,
    which take edges without their weights as PyG's do, and a GCN are trained on each
    candidate and on the nodes alone. Edges stay where none of the three predicts fewer
    validation nodes right than without edges, and all together more; of several such
    candidates the best stays. Without validation nodes, or on a graph too large to run
    networks on (`MAX_ENTRIES`), nothing speaks for edges, and none stay.

    Args:
        summary: with edges, or without.
        graph: what the method saw.
        seed: of the trainings.

    Returns:
        The same nodes. The card's `edge_threshold` is None where no edges stay, and
        `edge_validation` has the accuracies by candidate and network.

    Example:
        >>> import multidd
        >>> from multidd.graph.data.graph import as_graph
        >>> cora = multidd.samples.cora()
        >>> summary = multidd.graph.random(cora, nodes=14)
        >>> validate_edges(summary, as_graph(cora), 0).card.settings["structure"]
        'validated'
    """
    started = time.perf_counter()
    candidates = _candidates(summary)
    scores: dict[str, dict[str, float]] = {}
    threshold = None
    judged = bool(graph.val.any()) and graph.adjacency.nnz <= MAX_ENTRIES
    if candidates and judged:
        threshold, scores = _judge(summary, candidates, graph, seed)
    weight = summary.tensors["edge_weight"]
    none = torch.zeros(len(weight), dtype=torch.bool)
    settings = summary.card.settings | {
        "structure": "validated",
        "edge_threshold": threshold,
        "edge_validation": scores,
    }
    seconds = summary.card.seconds + time.perf_counter() - started
    card = replace(summary.card, settings=settings, seconds=seconds)
    edges = none if threshold is None else candidates[threshold]
    return GraphSummary(_with_edges(summary, edges), card)


def _candidates(summary: GraphSummary) -> dict[float, Tensor]:
    """`[e]` edges that stay at each threshold, those without a difference left out."""
    weight = summary.tensors["edge_weight"]
    by_count: dict[int, float] = {}
    for threshold in THRESHOLDS:
        count = int((weight >= threshold).sum())
        if count:
            by_count.setdefault(count, threshold)
    return {threshold: weight >= threshold for threshold in by_count.values()}


def _with_edges(summary: GraphSummary, chosen: Tensor) -> dict[str, Tensor]:
    """The summary's tensors with the chosen edges alone."""
    parts = dict(summary.tensors)
    parts["edge_index"] = parts["edge_index"][:, chosen].contiguous()
    parts["edge_weight"] = parts["edge_weight"][chosen].contiguous()
    return parts


def _judge(
    summary: GraphSummary, candidates: dict[float, Tensor], graph: Graph, seed: int
) -> tuple[float | None, dict[str, dict[str, float]]]:
    """The threshold of the best candidate that harms no network, and all accuracies."""
    nodes = graph.val.nonzero().flatten()
    real = Inputs(graph.x, graph.adjacency)
    val = NodeEvaluationSet(real, graph.y[nodes], rows=nodes)
    none = torch.zeros(len(summary.tensors["edge_weight"]), dtype=torch.bool)
    scores: dict[str, dict[str, float]] = {"none": {}}
    scores |= {str(threshold): {} for threshold in candidates}
    rivals = dict(candidates)
    for network, sees_weights in NETWORKS.items():
        if not rivals:
            break
        named = [("none", none), *((str(t), edges) for t, edges in rivals.items())]
        for name, edges in named:
            records = _records(summary, edges, sees_weights, graph.num_classes)
            runs = [
                train(network, records, val, val, TRAINING, seed + i)["val_accuracy"]
                for i in range(TRAININGS)
            ]
            scores[name][network] = sum(runs) / len(runs)
        floor = scores["none"][network]
        rivals = {t: e for t, e in rivals.items() if scores[str(t)][network] >= floor}
    total = {t: sum(scores[str(t)].values()) for t in rivals}
    best = max(total, key=lambda t: total[t], default=None)
    if best is not None and total[best] <= sum(scores["none"].values()):
        best = None
    return best, scores


def _records(
    summary: GraphSummary, chosen: Tensor, sees_weights: bool, num_classes: int
) -> NodeTrainingSet:
    """The summary's nodes with the chosen edges, as a network takes them."""
    parts = _with_edges(summary, chosen)
    ends = tuple(parts["edge_index"].numpy())
    weight = parts["edge_weight"].numpy()
    values = weight if sees_weights else np.ones_like(weight)
    size = (summary.num_nodes, summary.num_nodes)
    adjacency = sp.csr_array((values, ends), shape=size)
    targets = parts.get("y_soft")
    if targets is None:
        targets = F.one_hot(parts["y"], num_classes).float()
    rows = torch.arange(summary.num_nodes)
    return NodeTrainingSet(Inputs(parts["x"], adjacency), targets, rows=rows)
