"""Preparation of every recipe: data checked, the real side labelled, a budget."""

import time
from typing import Any, Literal, TypeAlias

import torch

from multidd.engine.card import card_without_loop
from multidd.engine.recipe import Setup
from multidd.graph.data.graph import Graph, as_graph
from multidd.graph.methods.budget import Budget, check_budget, plan
from multidd.graph.models.backbones import Backbone
from multidd.graph.models.propagation import Propagation
from multidd.graph.models.teachers import linear_teacher
from multidd.graph.summary.summary import GraphSummary
from multidd.graph.tasks.node_task import NodeTask, seen
from multidd.parameterizations import Free
from multidd.protocols import Draw, Selection
from multidd.selection.basic import Herding, KCenter, KMeans, Random

Labels: TypeAlias = Literal["teacher", "train"]
Init: TypeAlias = Literal["kmeans", "random", "herding", "kcenter"]

STARTS: dict[str, Selection] = {
    "kmeans": KMeans(restarts=1),
    "random": Random(),
    "herding": Herding(),
    "kcenter": KCenter(),
}


def feature_unit(setup: Setup[NodeTask, Any]) -> float:
    """Root mean square entry of a feature row of length one: the unit of rates."""
    return float(setup.task.graph.x.shape[1]) ** -0.5


def prepare(
    data: Any,
    ratio: float | None,
    nodes: int | None,
    per_class: int | None,
    *,
    backbone: Backbone,
    init: Init,
    labels: Labels,
    structure: bool,
    inductive: bool,
    soft: bool = False,
    **settings: Any,
) -> Setup[NodeTask, Free]:
    """Check everything that a recipe was given, before the first step.

    Args:
        data: a PyG `Data`.
        ratio: synthetic nodes / nodes of the graph the method sees.
        nodes: synthetic nodes in all.
        per_class: synthetic nodes of each class.
        backbone: the model that is matched on.
        init: the selection to start from.
        labels: whether a teacher labels the nodes without labels.
        structure: whether to start with the edges between records.
        inductive: see the training nodes and the edges between them only.
        soft: the real side has the teacher's probabilities for labels.
        **settings: further settings, for the card.

    Returns:
        The `Setup`.

    Raises:
        ValueError: bad data, budget or setting.
    """
    started = time.perf_counter()
    if init not in STARTS:
        raise ValueError(f"init must be one of {', '.join(STARTS)}; got {init!r}")
    if labels not in ("teacher", "train"):
        raise ValueError(f"labels must be 'teacher' or 'train', got {labels!r}")
    graph = seen(as_graph(data), inductive)
    taught = labels == "teacher" and not bool(graph.train.all())
    sizes = graph.y[graph.train].bincount(minlength=graph.num_classes).tolist()
    check_budget(graph, ratio, nodes, per_class, None if taught else sizes)
    propagation = Propagation(graph.adjacency, graph.x)
    task = NodeTask.of(
        graph,
        backbone=backbone,
        probabilities=(
            linear_teacher(graph, propagation=propagation) if taught else None
        ),
        batch_size=2048,
        structure=structure,
        soft=soft and taught,
        propagation=propagation,
    )
    most = torch.bincount(task.rows.labels, minlength=graph.num_classes).tolist()
    budget = plan(graph, ratio, nodes, per_class, most=most)
    settings |= {"init": init, "labels": labels, "backbone": backbone}
    settings |= budget_settings(budget, inductive)
    free = Free(STARTS[init], budget.counts)
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
