"""`condense`: what wins under the GCond protocol: clusters with a teacher's labels."""

import time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from multidd import seeds
from multidd.graph.data.graph import Graph
from multidd.graph.data.hetero import homogeneous
from multidd.graph.methods.budget import Budget, plan
from multidd.graph.methods.large import condense_by_hops
from multidd.graph.methods.route import Route, Teacher, View
from multidd.graph.methods.setup import card_of, finished
from multidd.graph.models.propagation import propagate
from multidd.graph.models.teachers import best_teacher
from multidd.graph.summary.summary import GraphSummary
from multidd.protocols import Records
from multidd.selection.basic import KMeans


def condense(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    sharpen: float = 0.7,
    emphasis: float = 3.0,
    teacher: Teacher = "auto",
    view: View = "auto",
    memory: int | float | str | None = None,
    node_type: str | None = None,
    inductive: bool = False,
    progress: bool | None = None,
    seed: int = 0,
) -> GraphSummary:
    r"""Condense a graph in seconds: cluster means with a teacher's soft labels.

    1. A small ensemble of APPNPs, or of GCNs where these predict the validation nodes
       better, is trained on the training labels and made to agree on the other nodes:
       it gives every node class probabilities P.
    2. Classes get nodes in proportion to the mass that P predicts over the graph.
    3. k-means within each predicted class on $[H, 3 P]$, with
       $H = (\hat A X + \hat A^2 X) / 2$ reduced to 64 dimensions.
    4. Each synthetic node is the mean of H over a cluster, its soft label the mean of
       P, sharpened: $y \propto \bar p^{1/T}$. There are no edges.

    Nothing is matched and nothing learned beyond the teacher, which is a stronger model
    than the one that is trained on the summary: its knowledge of the graph, unlabelled
    nodes included, is what the soft labels carry. Validation nodes, where there are
    any, stop the teacher early.

    Args:
        data: a PyG `Data` with `x`, `edge_index`, `y`, `train_mask`; not changed.
        ratio: synthetic nodes / nodes of the graph the method sees.
        nodes: synthetic nodes in all.
        per_class: synthetic nodes of each class. Give exactly one of the three.
        sharpen: T.
        emphasis: weight of P against H in the clustering.
        teacher: `"appnp"`, the ensembles, or `"hops"`, linear heads on propagated
            features: for any size. `"auto"` takes the heads for graphs of more than
            100,000 nodes or 2 million adjacency entries, where edges join unlike nodes,
            and for several labels; see `multidd.graph.methods.large.condense_by_hops`.
        view: `"low"`, H as above; `"own"`, a node's own features, for models that see
            no edges; `"auto"` lets validation nodes choose between the two.
        memory: bytes, or text such as `"8 GB"`, that may be taken beside the data;
            propagated features go to files where that is too little, and what fits no
            way is refused. None asks the machine.
        node_type: of a `HeteroData`, the nodes to condense; see `homogeneous`.
        inductive: see the training nodes and the edges between them only.
        progress: print the seconds of each stage; None prints on a terminal only.
        seed: of teacher and clustering.

    Returns:
        A `GraphSummary` with `y_soft`.

    Raises:
        ValueError: bad data, budget or setting; says what would fit.

    Reference:
        This library; after Gao et al., "Rethinking and Accelerating Graph
        Condensation", WWW 2025 (class-wise clusters), with the teacher of
        `multidd.graph.models.teachers.best_teacher`.

    Example:
        >>> import multidd
        >>> condense(multidd.samples.cora(), nodes=35).tensors["y_soft"].shape
        torch.Size([35, 7])
    """
    if not sharpen > 0:
        raise ValueError(f"sharpen must be above 0, got {sharpen}")
    started = time.perf_counter()
    data = data if node_type is None else homogeneous(data, node_type)
    route = Route.of(data, teacher, view, memory, inductive, progress)
    if route.by_hops:
        return condense_by_hops(
            route, ratio, nodes, per_class, sharpen, emphasis, seed=seed
        )
    graph = route.graph
    plan(graph, ratio, nodes, per_class, most=[graph.num_nodes] * graph.num_classes)
    p = best_teacher(graph, seed)
    p[graph.train] = F.one_hot(graph.y[graph.train], graph.num_classes).float()
    mass = torch.bincount(p.argmax(1), minlength=graph.num_classes).tolist()
    budget = plan(graph, ratio, nodes, per_class, shares=mass, most=mass)
    draw = _clusters(graph, p, budget, emphasis, sharpen, seed)
    settings = {"sharpen": sharpen, "emphasis": emphasis} | card_of(budget, inductive)
    return finished("condense", graph, draw, settings, seed, started)


def _clusters(
    graph: Graph, p: Tensor, budget: Budget, emphasis: float, sharpen: float, seed: int
) -> dict[str, Tensor]:
    once = propagate(graph.adjacency, graph.x, 1)
    h = (once + propagate(graph.adjacency, once, 1)) / 2
    rng = seeds.at(seed, "clusters")
    space = torch.cat([_reduced(h, rng), emphasis * p], dim=1)
    records = Records(space, p.argmax(1), graph.num_classes)
    picks = KMeans(restarts=2).pick(records, budget.counts, rng)
    soft = torch.sparse.mm(picks.weights, p) ** (1 / sharpen)
    return {
        "x": torch.sparse.mm(picks.weights, h),
        "y": picks.labels,
        "y_soft": soft / soft.sum(1, keepdim=True),
    }


def _reduced(h: Tensor, rng: torch.Generator, dims: int = 64) -> Tensor:
    """The first principal directions of rows whose root mean square length is one."""
    from sklearn.utils.extmath import randomized_svd  # loads slowly

    length = h.square().sum(1).mean().sqrt().clamp(min=1e-12)
    k = min(dims, *h.shape)
    u, s, _ = randomized_svd(h.numpy(), k, random_state=seeds.child(rng))
    return torch.from_numpy(np.ascontiguousarray(u * s)).float() / length
