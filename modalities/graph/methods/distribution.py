"""GCDM and DM-X: distribution matching, with a learned adjacency and without."""

from collections.abc import Mapping
from typing import Any, Unpack

from multidd.engine.loop import RunOptions, distill
from multidd.graph.methods.setup import Init, Labels, Setup, prepare
from multidd.graph.models.backbones import Backbone
from multidd.graph.models.backbones import backbone as _backbone
from multidd.graph.summary.summary import GraphSummary
from multidd.learning.optim import Adam, Optimizer
from multidd.learning.states import Fresh
from multidd.objectives import DistributionMatching
from multidd.objectives.terms import Means
from multidd.parameterizations import Free, PairwiseAdjacency


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
    **run: Unpack[RunOptions],
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
    setup = prepare(
        data,
        ratio,
        nodes,
        per_class,
        backbone=_backbone(backbone),
        init=init,
        labels=labels,
        structure=True,
        inductive=inductive,
        steps=steps,
        models=models,
        lr=lr,
        lr_adjacency=lr_adjacency,
    )
    rates = {"x": Adam(lr=lr * setup.unit), "adjacency": Adam(lr=lr_adjacency)}
    pairs = PairwiseAdjacency(setup.nodes)
    return _match("gcdm", setup, pairs, rates, models, steps, seed, run)


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
    **run: Unpack[RunOptions],
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
    setup = prepare(
        data,
        ratio,
        nodes,
        per_class,
        backbone=_backbone(backbone),
        init=init,
        labels=labels,
        structure=False,
        inductive=inductive,
        steps=steps,
        models=models,
        lr=lr,
    )
    rates = {"x": Adam(lr=lr * setup.unit)}
    return _match("dm_x", setup, setup.nodes, rates, models, steps, seed, run)


def _match(
    method: str,
    setup: Setup,
    parameterization: Free | PairwiseAdjacency,
    rates: Mapping[str, Optimizer],
    models: int,
    steps: int,
    seed: int,
    run: RunOptions,
) -> GraphSummary:
    return distill(
        setup.task,
        DistributionMatching((Means("all"),), Fresh(models)),
        parameterization,
        steps=steps,
        optimizer=rates,
        seed=seed,
        method=method,
        recipe=setup.recipe,
        spent=setup.seconds,
        **run,
    )
