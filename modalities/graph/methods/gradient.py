"""Gradient matching: GCOND, GCOND-X and DOSCOND."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, Unpack

from multidd.engine.options import RunKeywords, RunSettings
from multidd.engine.recipe import Setup, learn
from multidd.engine.schedules import Alternate, Always, Schedule
from multidd.graph.data.graph_set import is_set
from multidd.graph.methods.graph_set_setup import refuse_node_settings
from multidd.graph.methods.graph_sets import doscond_graphs
from multidd.graph.methods.setup import Init, Labels, feature_unit, prepare
from multidd.graph.models.backbones import SGC, Backbone
from multidd.graph.models.backbones import backbone as as_backbone
from multidd.graph.summary.summary import GraphSummary
from multidd.learning.optim import Adam, Optimizer
from multidd.learning.states import Bank, Fresh, States
from multidd.objectives import GradientMatching
from multidd.objectives.distances import NormalizedMSE
from multidd.parameterizations import BernoulliAdjacency, PairwiseAdjacency

RATE = 0.02
"""Learning rate of the features, relative to the root mean square of an entry."""


def gcond(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    steps: int = 100,
    init: Init = "kmeans",
    labels: Labels = "teacher",
    backbone: str | Backbone = "sgc",
    lr: float = RATE,
    lr_adjacency: float = 3e-4,
    inductive: bool = False,
    seed: int = 0,
    **run: Unpack[RunKeywords],
) -> GraphSummary:
    r"""Condense a graph by gradient matching, with a learned adjacency (GCOND).

    Synthetic features X' and the network behind A' are moved until, for random models,
    each class asks for the same step on the synthetic graph as on the real one:

    $$\sum_c w_c \sum_o \lVert \nabla_{\theta_o} L^S_c - \nabla_{\theta_o} L^T_c
      \rVert^2 / \lVert \nabla_{\theta_o} L^T_c \rVert^2.$$

    Where it departs from the paper, and why: it starts from class-wise k-means instead
    of random nodes (whose classes the authors' code also mixes up); the distance sees
    magnitudes (the cosine gains nothing over that start); the real side is all nodes,
    those without labels in the class of a linear teacher weighted by its confidence
    (`labels="train"` takes the training nodes alone, as the paper does); the heads are
    a fixed bank of random ones instead of heads trained on X'; A' starts from the edges
    between clusters, its mean degree is held at one or below, and its network has no
    batch normalization. So 100 steps do.

    Args:
        data: a PyG `Data` with `x`, `edge_index`, `y`, `train_mask`; not changed.
        ratio: synthetic nodes / nodes of the graph the method sees: all of `data`, or
            its training nodes with `inductive=True`. 70 of Cora's 2,708 is 0.026.
        nodes: synthetic nodes in all.
        per_class: synthetic nodes of each class. Give exactly one of the three.
        steps: updates; one in five moves A', the others X'.
        init: selection to start from: `"kmeans"`, `"random"`, `"herding"`, `"kcenter"`.
        labels: `"teacher"` or `"train"`, see above.
        backbone: `"sgc"` (closed-form gradients), `"gcn"`, or settings of one.
        lr: of X', relative to the size of its entries.
        lr_adjacency: of the network behind A'.
        inductive: see the training nodes and the edges between them only.
        seed: seed of the run.
        **run: `checkpoint`, `callbacks`, `select_best`, `timeout`, `device`,
            `progress`, `checkpoint_every`; see `multidd.distill`.

    Returns:
        A `GraphSummary`; `.to_pyg()` gives a plain `Data`.

    Raises:
        ValueError: bad data, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Jin, Zhao, Zhang, Liu, Tang, Shah, "Graph Condensation for Graph Neural
        Networks", ICLR 2022, arXiv 2110.07580.

    Example:
        >>> import multidd
        >>> gcond(multidd.samples.cora(), ratio=0.01, steps=2).num_nodes
        27
    """
    setup: Setup[Any, Any] = prepare(
        data,
        ratio,
        nodes,
        per_class,
        backbone=_heads(backbone),
        init=init,
        labels=labels,
        structure=True,
        inductive=inductive,
        steps=steps,
        lr=lr,
        lr_adjacency=lr_adjacency,
    )
    rates = {"x": Adam(lr=lr * feature_unit(setup)), "adjacency": Adam(lr=lr_adjacency)}
    turns = Alternate((("adjacency", 1), ("x", 4)))
    pairs = replace(setup, parameterization=PairwiseAdjacency(setup.parameterization))
    settings = RunSettings.of_keywords(seed, run)
    return _match("gcond", pairs, rates, turns, steps, settings)


def gcond_x(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    steps: int = 100,
    init: Init = "kmeans",
    labels: Labels = "teacher",
    backbone: str | Backbone = "sgc",
    lr: float = RATE,
    inductive: bool = False,
    seed: int = 0,
    **run: Unpack[RunKeywords],
) -> GraphSummary:
    """Condense a graph by gradient matching, without edges (GCOND-X).

    `multidd.graph.gcond` with A' = I throughout; arguments, errors and departures from
    the paper are the same.

    Reference:
        Jin, Zhao, Zhang, Liu, Tang, Shah, "Graph Condensation for Graph Neural
        Networks", ICLR 2022, arXiv 2110.07580.

    Example:
        >>> import multidd
        >>> gcond_x(multidd.samples.cora(), per_class=2, steps=2).num_edges
        0
    """
    setup: Setup[Any, Any] = prepare(
        data,
        ratio,
        nodes,
        per_class,
        backbone=_heads(backbone),
        init=init,
        labels=labels,
        structure=False,
        inductive=inductive,
        steps=steps,
        lr=lr,
    )
    rates = {"x": Adam(lr=lr * feature_unit(setup))}
    settings = RunSettings.of_keywords(seed, run)
    return _match("gcond_x", setup, rates, Always(), steps, settings)


def _heads(choice: str | Backbone) -> Backbone:
    """Random heads from nearly flat to nearly sure predictions, unless told others."""
    return SGC(weight_scale=(0.5, 4.0)) if choice == "sgc" else as_backbone(choice)


def _match(
    method: str,
    setup: Setup[Any, Any],
    rates: Mapping[str, Optimizer],
    schedule: Schedule,
    steps: int,
    run: RunSettings,
) -> GraphSummary:
    # Real gradients of a bank of wide models would not fit in memory.
    linear = isinstance(setup.task.backbone, SGC)
    states: States = Bank(num_models=16, num_sets=8) if linear else Fresh()
    return learn(
        method,
        setup,
        GradientMatching(NormalizedMSE(per_column=True), states),
        steps=steps,
        optimizer=rates,
        run=run,
        schedule=schedule,
    )


def doscond(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    steps: int | None = None,
    structure: Literal["bernoulli", "none"] = "bernoulli",
    init: Init = "kmeans",
    labels: Labels = "teacher",
    backbone: str | Backbone = "gcn",
    lr: float | None = None,
    lr_adjacency: float | None = None,
    temperature: tuple[float, float] | None = None,
    finish: Literal["threshold", "sample"] = "threshold",
    inductive: bool = False,
    seed: int = 0,
    **run: Unpack[RunKeywords],
) -> Any:
    r"""Condense a graph, or a set of them, by one-step gradient matching (DOSCOND).

    A fresh random model at every step, no inner training, and edges drawn from the
    binary concrete relaxation of a Bernoulli variable each:
    $A'_{ij} = \sigma((\Omega_{ij} + \log u - \log(1-u)) / \tau)$. A PyG dataset or a
    list of graphs gives a few graphs: see `multidd.graph.doscond_graphs`, which has
    further settings. What follows is about the nodes of one graph.

    Where it departs from the paper: the paper's node form has no edges
    (`structure="none"`) and its Bernoulli edges belong to graph classification; here
    both are one recipe. The distance is normalized by the size of the real gradient, it
    starts from class-wise k-means, and a linear teacher labels the nodes without labels
    (`labels="train"` goes without).

    Args:
        data: a PyG `Data` with `x`, `edge_index`, `y`, `train_mask`, or a set of
            graphs; not changed.
        ratio: synthetic nodes / nodes of the graph the method sees.
        nodes: synthetic nodes in all.
        per_class: synthetic nodes of each class. Give exactly one of the three.
        steps: updates; 100 for nodes, as many as `doscond_graphs` takes for a set.
        structure: `"bernoulli"` edges, or `"none"`.
        init: selection to start from; edges start unlikely where it has none.
        labels: `"teacher"` or `"train"`.
        backbone: `"gcn"`, `"sgc"`, or settings of one.
        lr: of X', relative to the size of its entries; 0.02 for nodes.
        lr_adjacency: of the logits; 0.01 for nodes.
        temperature: $\tau$ at the first and at the last step; 1 and 0.1 for nodes.
        finish: `"threshold"` keeps likely edges, `"sample"` draws them.
        inductive: see the training nodes and the edges between them only.
        seed: seed of the run.
        **run: see `multidd.distill`.

    Returns:
        A `GraphSummary` whose edges have weight one; a `GraphSetSummary` for a set.

    Raises:
        ValueError: bad data, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Jin, Tang, Jiang, Li, Zhang, Tang, Yin, "Condensing Graphs via One-Step Gradient
        Matching", KDD 2022, arXiv 2206.07746.

    Example:
        >>> import multidd
        >>> doscond(multidd.samples.cora(), per_class=2, steps=2).num_nodes
        14
    """
    if is_set(data):
        refuse_node_settings(
            structure=structure != "bernoulli",
            labels=labels != "teacher",
            nodes=nodes,
            inductive=inductive,
            backbone=backbone != "gcn",
        )
        settings: Any = {
            "steps": steps,
            "lr": lr,
            "lr_adjacency": lr_adjacency,
            "temperature": temperature,
        }
        settings = {name: v for name, v in settings.items() if v is not None}
        settings |= {"finish": finish, "init": init, "seed": seed}
        return doscond_graphs(data, ratio, per_class=per_class, **settings, **run)
    steps = 100 if steps is None else steps
    lr = 0.02 if lr is None else lr
    lr_adjacency = 0.01 if lr_adjacency is None else lr_adjacency
    temperature = (1.0, 0.1) if temperature is None else temperature
    if structure not in ("bernoulli", "none"):
        raise ValueError(f"structure must be 'bernoulli' or 'none', got {structure!r}")
    setup: Setup[Any, Any] = prepare(
        data,
        ratio,
        nodes,
        per_class,
        backbone=as_backbone(backbone),
        init=init,
        labels=labels,
        structure=structure == "bernoulli",
        inductive=inductive,
        steps=steps,
        lr=lr,
        lr_adjacency=lr_adjacency,
        temperature=temperature,
        finish=finish,
    )
    rates = {"x": Adam(lr=lr * feature_unit(setup))}
    if structure == "bernoulli":
        rates["adjacency"] = Adam(lr=lr_adjacency)
        form = BernoulliAdjacency(
            setup.parameterization,
            temperature=temperature,
            anneal=steps,
            finish=finish,
        )
        setup = replace(setup, parameterization=form)
    return learn(
        "doscond",
        setup,
        GradientMatching(NormalizedMSE(), Fresh(num_models=1)),
        steps=steps,
        optimizer=rates,
        run=RunSettings.of_keywords(seed, run),
        settings={"structure": structure},
    )
