"""Preparation of every recipe: data checked, the real side labelled, a budget."""

import time
from dataclasses import dataclass
from typing import Any

import torch

from multidd.engine.card import card_without_loop
from multidd.engine.recipe import Setup
from multidd.graph.data.graph import Graph, as_graph
from multidd.graph.methods.budget import Budget, check_budget, plan
from multidd.graph.methods.options import GraphOptions
from multidd.graph.models.backbones import Backbone
from multidd.graph.models.propagation import Propagation
from multidd.graph.models.teachers import linear_teacher
from multidd.graph.summary.summary import GraphSummary
from multidd.graph.tasks.node_task import NodeTask, seen
from multidd.parameterizations import Free
from multidd.protocols import Draw, Selection
from multidd.selection.basic import Herding, KCenter, KMeans, Random

STARTS: dict[str, Selection] = {
    "kmeans": KMeans(restarts=1),
    "random": Random(),
    "herding": Herding(),
    "kcenter": KCenter(),
}


def feature_unit(setup: Setup[NodeTask, Any]) -> float:
    """Root mean square entry of a feature row of length one: the unit of rates."""
    return float(setup.task.graph.x.shape[1]) ** -0.5


@dataclass(frozen=True, eq=False)
class Request:
    """A graph, and the synthetic nodes that are asked for.

    Attributes:
        data: a PyG `Data`.
        ratio: synthetic nodes / nodes of the graph the method sees.
        nodes: synthetic nodes in all.
        per_class: synthetic nodes of each class.
        inductive: see the training nodes and the edges between them only.
    """

    data: Any
    ratio: float | None
    nodes: int | None
    per_class: int | None
    inductive: bool

    @property
    def budget(self) -> tuple[float | None, int | None, int | None]:
        """The three budgets, of which one is to be given."""
        return self.ratio, self.nodes, self.per_class


def prepare(
    request: Request,
    options: GraphOptions,
    *,
    model: Backbone,
    structure: bool,
    soft: bool = False,
    **settings: Any,
) -> Setup[NodeTask, Free]:
    """Check everything that a recipe was given, before the first step.

    Args:
        request: the graph and the budget.
        options: settings that all methods share.
        model: the model that is matched on.
        structure: whether to start with the edges between records.
        soft: the real side has the teacher's probabilities for labels.
        **settings: further settings, by the names that cards know.

    Returns:
        The `Setup`.

    Raises:
        ValueError: bad data, budget or setting.
    """
    started = time.perf_counter()
    graph = seen(as_graph(request.data), request.inductive)
    by_teacher = options.supervision == "teacher" and not bool(graph.train.all())
    sizes = graph.y[graph.train].bincount(minlength=graph.num_classes).tolist()
    check_budget(graph, *request.budget, None if by_teacher else sizes)
    propagation = Propagation(graph.adjacency, graph.x)
    task = NodeTask.of(
        graph,
        backbone=model,
        probabilities=(
            linear_teacher(graph, propagation=propagation) if by_teacher else None
        ),
        batch_size=2048,
        structure=structure,
        soft=soft and by_teacher,
        propagation=propagation,
    )
    class_counts = torch.bincount(
        task.rows.labels, minlength=graph.num_classes
    ).tolist()
    budget = plan(graph, *request.budget, max_counts=class_counts)
    settings |= {"init": options.init, "labels": options.supervision}
    settings |= {"backbone": task.backbone} | budget_settings(budget, request.inductive)
    free = Free(STARTS[options.init], budget.counts)
    return Setup(task, free, settings, time.perf_counter() - started)


def budget_settings(budget: Budget, inductive: bool) -> dict[str, Any]:
    """What a card says of the budget."""
    return {
        "nodes": budget.nodes,
        "ratio": budget.ratio,
        "ratio_train": budget.ratio_train,
        "inductive": inductive,
    }


def graph_summary(
    method: str,
    graph: Graph,
    draw: Draw,
    settings: dict[str, Any],
    seed: int,
    started: float,
) -> GraphSummary:
    """The summary of a method without a loop.

    Args:
        method: its name.
        graph: what it saw.
        draw: the synthetic nodes.
        settings: for the card.
        seed: of its draws.
        started: `time.perf_counter()` when it began.
    """
    card = card_without_loop(
        method,
        settings,
        graph.describe(),
        seed=seed,
        started=started,
        labels="soft" if "y_soft" in draw else "hard",
    )
    return GraphSummary.of(draw, card)
