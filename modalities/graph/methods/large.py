"""Condensing by propagated features alone: for graphs of any size and kind.

`condense` comes here for graphs that are too large for its ensemble, for those whose
edges join unlike nodes, and for nodes with several labels.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from multidd import seeds
from multidd.graph.data.graph import Graph
from multidd.graph.methods.budget import Budget, plan
from multidd.graph.methods.route import Route
from multidd.graph.methods.setup import card_of, finished
from multidd.graph.models.linear_teacher import Beliefs, hop_teacher
from multidd.graph.models.propagated_features import SAMPLE, Hops, hops_of
from multidd.graph.summary.summary import GraphSummary
from multidd.protocols import Draw
from multidd.selection.basic import KMeans, fill_empty

LLOYD, DIMS = 10_000, 64
"""Members of a class that k-means takes at once; of more it sees batches."""


def condense_by_hops(
    route: Route,
    ratio: float | None,
    nodes: int | None,
    per_class: int | None,
    sharpen: float,
    emphasis: float,
    seed: int,
) -> GraphSummary:
    r"""Cluster means of propagated features with the soft labels of linear heads.

    The features are propagated twice in parts of bounded memory, in RAM or, where that
    does not fit, in files. `multidd.graph.models.linear_teacher.hop_teacher` gives probabilities;
    within each predicted class mini-batch k-means runs on the features (their first 64
    principal directions) and the probabilities, as in `condense`. Cost is linear in
    edges and in nodes.

    Args:
        route: of `Route.of`.
        ratio, nodes, per_class, sharpen, emphasis, seed: as of `condense`.

    Returns:
        A `GraphSummary` with `y_soft`; `card.stages` has the seconds of each part.
    """
    graph, stages = route.graph, route.stages
    rough = _plan(graph, ratio, nodes, per_class, [graph.num_nodes] * graph.num_classes)
    with ExitStack() as held:
        with stages("propagation"):
            hops = held.enter_context(hops_of(graph, route.columns))
        with stages("teacher"):
            beliefs = hop_teacher(graph, hops, seed)
        if route.view != "auto":
            beliefs = replace(beliefs, view=route.view)
        with stages("clusters"):
            groups = _groups(graph, beliefs)
            mass = np.bincount(groups, minlength=graph.num_classes).tolist()
            budget = rough
            if graph.several is None:
                budget = _plan(graph, ratio, nodes, per_class, mass, shares=mass)
            draw = _means(graph, hops, beliefs, groups, budget, emphasis, seed)
    draw["y_soft"] = sharpened(draw["y_soft"], sharpen, graph.several is not None)
    settings = {"sharpen": sharpen, "emphasis": emphasis, "teacher": "hops"}
    settings |= {"view": beliefs.view, "smoothing": beliefs.smoothing}
    settings |= {"several": graph.several is not None}
    settings |= card_of(budget, route.inductive)
    with stages("card"):
        made = finished("condense", graph, draw, settings, seed, route.began)
    card = replace(made.card, stages=dict(stages.seconds))
    return replace(made, card=card)


def sharpened(p: Tensor, temperature: float, several: bool) -> Tensor:
    r"""$p^{1/T}$, normalized over classes, or over yes and no of each label.

    Example:
        >>> sharpened(torch.tensor([[0.2, 0.8]]), 0.5, several=False).round(decimals=2)
        tensor([[0.0600, 0.9400]])
    """
    yes = p ** (1 / temperature)
    if several:
        return yes / (yes + (1 - p) ** (1 / temperature))
    return yes / yes.sum(1, keepdim=True)


def _plan(
    graph: Graph,
    ratio: float | None,
    nodes: int | None,
    per_class: int | None,
    most: list[int],
    shares: Sequence[int] | None = None,
) -> Budget:
    if graph.several is None:
        return plan(graph, ratio, nodes, per_class, shares=shares, most=most)
    if per_class is not None:
        raise ValueError(
            "per_class needs one class for each node, and these have several labels; "
            "give nodes= or ratio="
        )
    one = replace(graph, num_classes=1, several=None)
    return plan(one, ratio, nodes, most=[graph.num_nodes])


def _groups(graph: Graph, beliefs: Beliefs) -> np.ndarray:
    """`[n]`, the class that k-means counts a node to; one where nodes have several."""
    if graph.several is not None:
        return np.zeros(graph.num_nodes, np.int64)
    return beliefs.p.argmax(axis=1)


def _means(
    graph: Graph,
    hops: Hops,
    beliefs: Beliefs,
    groups: np.ndarray,
    budget: Budget,
    emphasis: float,
    seed: int,
) -> Draw:
    """Mean features and mean probabilities of the clusters of every class."""
    rng = seeds.at(seed, "clusters")
    space = _Space(hops, beliefs, emphasis, rng)
    m, d, c = budget.nodes, graph.x.shape[1], graph.num_classes
    x, soft, size = torch.zeros(m, d), torch.zeros(m, c), torch.zeros(m, 1)
    labels, first = [], 0
    for label, count in enumerate(budget.counts):
        members = np.flatnonzero(groups == label)
        cluster = first + space.clusters(members, count, rng)
        for start in range(0, len(members), SAMPLE):
            own, at = members[start : start + SAMPLE], cluster[start : start + SAMPLE]
            x.index_add_(0, at, hops.view(beliefs.view, own))
            soft.index_add_(0, at, torch.from_numpy(beliefs.p[own]))
            size.index_add_(0, at, torch.ones(len(own), 1))
        labels += [label] * count
        first += count
    soft = soft / size
    y = soft.argmax(1) if graph.several is not None else torch.tensor(labels)
    return {"x": x / size, "y": y, "y_soft": soft}


class _Space:
    """Where nodes are compared: principal directions of features, and beliefs."""

    def __init__(
        self, hops: Hops, beliefs: Beliefs, emphasis: float, rng: torch.Generator
    ) -> None:
        self.hops, self.beliefs, self.emphasis = hops, beliefs, emphasis
        n, d = hops.x.shape
        rows = torch.randperm(n, generator=rng)[:SAMPLE].sort().values
        h = hops.view(beliefs.view, rows.numpy())
        length = h.square().sum(1).mean().sqrt().clamp(min=1e-12)
        self.turn = torch.eye(d) / length
        if d > DIMS:
            from sklearn.utils.extmath import randomized_svd  # loads slowly

            k = min(DIMS, *h.shape)
            found = randomized_svd(h.numpy(), k, random_state=seeds.child(rng))[2]
            self.turn = torch.from_numpy(np.ascontiguousarray(found.T)).float() / length

    def rows(self, nodes: np.ndarray) -> Tensor:
        """`[b, DIMS + c]` of some nodes."""
        h = self.hops.view(self.beliefs.view, nodes) @ self.turn
        p = torch.from_numpy(self.beliefs.p[nodes])
        return torch.cat([h, self.emphasis * p], dim=1)

    def clusters(self, members: np.ndarray, count: int, rng: torch.Generator) -> Tensor:
        """Cluster of each member; every cluster has one at least."""
        if len(members) <= LLOYD:
            x = self.rows(members)
            return KMeans(restarts=1).clusters(x, torch.ones(len(x)), count, rng)
        from sklearn.cluster import MiniBatchKMeans  # loads slowly, used only here

        drawn = torch.randperm(len(members), generator=rng)[:SAMPLE].sort().values
        batches = MiniBatchKMeans(
            count, batch_size=4096, n_init=1, random_state=seeds.child(rng)
        )
        batches.fit(self.rows(members[drawn.numpy()]).numpy())
        centers = torch.from_numpy(batches.cluster_centers_).float()
        parts = [members[i : i + SAMPLE] for i in range(0, len(members), SAMPLE)]
        near = [_nearest(self.rows(part), centers) for part in parts]
        return fill_empty(torch.cat(near), count)


def _nearest(x: Tensor, centers: Tensor) -> Tensor:
    return (x @ centers.T - centers.square().sum(1) / 2).argmax(1)
