"""Distribution matching: GCDM and DM-X."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Unpack

from multidd.engine.options import RunKeywords, RunSettings
from multidd.engine.recipe import Setup, learn
from multidd.graph.methods.setup import Init, Labels, feature_unit, prepare
from multidd.graph.models.backbones import Backbone
from multidd.graph.models.backbones import backbone as as_backbone
from multidd.graph.summary.summary import GraphSummary
from multidd.learning.optim import Adam, Optimizer
from multidd.learning.states import Fresh
from multidd.objectives import DistributionMatching
from multidd.objectives.terms import Means
from multidd.parameterizations import PairwiseAdjacency


def gcdm(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    steps: int = 100,
    init: Init = "kmeans",
    labels: Labels = "teacher",
    backbone: str | Backbone = "gcn",
    models: int = 4,
    lr: float = 0.02,
    lr_adjacency: float = 3e-4,
    inductive: bool = False,
    seed: int = 0,
    **run: Unpack[RunKeywords],
) -> GraphSummary:
    r"""Condense a graph by matching receptive fields, with a learned adjacency (GCDM).

    Class means of the embeddings of every layer, under random models:
    $\sum_c w_c \sum_l \lVert \mu^S_{cl} - \mu^T_{cl} \rVert^2$.

    Where it departs from the paper: the models are fresh at each step and not trained
    in between, it starts from class-wise k-means, and a linear teacher labels the nodes
    without labels (`labels="train"` goes without).

    Args:
        data: a PyG `Data` with `x`, `edge_index`, `y`, `train_mask`; not changed.
        ratio: synthetic nodes / nodes of the graph the method sees.
        nodes: synthetic nodes in all.
        per_class: synthetic nodes of each class. Give exactly one of the three.
        steps: updates.
        init: selection to start from.
        labels: `"teacher"` or `"train"`.
        backbone: `"gcn"`, `"sgc"`, or settings of one.
        models: random models side by side at each step.
        lr: of X', relative to the size of its entries.
        lr_adjacency: of the network behind A'.
        inductive: see the training nodes and the edges between them only.
        seed: seed of the run.
        **run: see `multidd.distill`.

    Returns:
        A `GraphSummary`.

    Raises:
        ValueError: bad data, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Liu, Li, Chen, Song, "Graph Condensation via Receptive Field Distribution
        Matching", arXiv 2206.13697, 2022.

    Example:
        >>> import multidd
        >>> gcdm(multidd.samples.cora(), per_class=2, steps=2).num_nodes
        14
    """
    setup: Setup[Any, Any] = prepare(
        data,
        ratio,
        nodes,
        per_class,
        backbone=as_backbone(backbone),
        init=init,
        labels=labels,
        structure=True,
        inductive=inductive,
        steps=steps,
        models=models,
        lr=lr,
        lr_adjacency=lr_adjacency,
    )
    rates = {"x": Adam(lr=lr * feature_unit(setup)), "adjacency": Adam(lr=lr_adjacency)}
    pairs = replace(setup, parameterization=PairwiseAdjacency(setup.parameterization))
    settings = RunSettings.of_keywords(seed, run)
    return _match("gcdm", pairs, rates, models, steps, settings)


def dm_x(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    steps: int = 100,
    init: Init = "kmeans",
    labels: Labels = "teacher",
    backbone: str | Backbone = "gcn",
    models: int = 4,
    lr: float = 0.02,
    inductive: bool = False,
    seed: int = 0,
    **run: Unpack[RunKeywords],
) -> GraphSummary:
    """Condense a graph by distribution matching, without edges (DM-X).

    `multidd.graph.gcdm` with A' = I throughout; arguments and errors are the same.

    Reference:
        Zhao, Bilen, "Dataset Condensation with Distribution Matching", WACV 2023, arXiv
        2110.04181.

    Example:
        >>> import multidd
        >>> dm_x(multidd.samples.cora(), per_class=2, steps=2).num_edges
        0
    """
    setup: Setup[Any, Any] = prepare(
        data,
        ratio,
        nodes,
        per_class,
        backbone=as_backbone(backbone),
        init=init,
        labels=labels,
        structure=False,
        inductive=inductive,
        steps=steps,
        models=models,
        lr=lr,
    )
    rates = {"x": Adam(lr=lr * feature_unit(setup))}
    settings = RunSettings.of_keywords(seed, run)
    return _match("dm_x", setup, rates, models, steps, settings)


def _match(
    method: str,
    setup: Setup[Any, Any],
    rates: Mapping[str, Optimizer],
    models: int,
    steps: int,
    run: RunSettings,
) -> GraphSummary:
    objective = DistributionMatching((Means("all"),), Fresh(models))
    return learn(method, setup, objective, steps=steps, optimizer=rates, run=run)
