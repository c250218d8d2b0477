"""Trajectory matching: SFGC and GEOM."""

from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, Unpack

from multidd.data.splitting import check_count
from multidd.engine.options import RunKeywords, RunSettings
from multidd.engine.recipe import Setup, Trajectories, learn, with_label_policy
from multidd.graph.methods.setup import Init, Labels, feature_unit, prepare
from multidd.graph.models.backbones import GCN, Backbone
from multidd.graph.models.backbones import backbone as as_backbone
from multidd.graph.summary.summary import GraphSummary
from multidd.learning.experts import Experts, FinalExperts, Trainer
from multidd.learning.optim import SGD, Adam
from multidd.learning.unroll import Backprop

EXPERTS = Experts(Trainer(epochs=6, steps=10, optimizer=SGD(lr=0.5, momentum=0.9)), 3)
"""Three short trajectories of full batches."""

NARROW = GCN(width=32)


def sfgc(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    steps: int = 60,
    init: Init = "kmeans",
    labels: Labels = "teacher",
    backbone: str | Backbone = NARROW,
    experts: Experts = EXPERTS,
    start: tuple[int, int] = (0, 1),
    epochs: int = 2,
    inner: int = 20,
    rate: float = 1.0,
    lr: float = 0.02,
    lr_rate: float = 0.01,
    memory: Backprop = "checkpointed",
    executor: Executor | None = None,
    inductive: bool = False,
    seed: int = 0,
    **run: Unpack[RunKeywords],
) -> GraphSummary:
    r"""Condense a graph to nodes without edges by matching trajectories (SFGC).

    $\lVert \hat\theta_{t+N} - \theta^*_{t+M} \rVert^2 / \lVert \theta^*_t -
    \theta^*_{t+M} \rVert^2$: N steps on the synthetic nodes, at a learned rate, go as
    far as an expert's M epochs on the whole graph. Experts are recorded once and kept
    in the cache. Synthetic nodes see themselves only, so that a step on them propagates
    nothing.

    Where it departs from the paper (200 experts of up to 2,500 epochs, N of 400 to 500,
    2,000 updates, the iterate chosen by a kernel's score): three experts of 60 full
    batches, networks 32 wide, a few dozen updates by Adam, the last iterate
    (`select_best` chooses), the start by class-wise k-means of propagated features; and
    experts learn from all nodes, those without labels in the class of a linear teacher
    (`labels="train"` takes the training nodes alone).

    Args:
        data: a PyG `Data` with `x`, `edge_index`, `y`, `train_mask`; not changed.
        ratio: synthetic nodes / nodes of the graph the method sees.
        nodes: synthetic nodes in all.
        per_class: synthetic nodes of each class. Give exactly one of the three.
        steps: updates.
        init: selection to start from.
        labels: `"teacher"` or `"train"`.
        backbone: whose trajectories: `"gcn"`, `"sgc"`, or settings of one.
        experts: which experts, and where they are kept; see
            `multidd.learning.experts.Experts`.
        start: first and last epoch at which the learner starts.
        epochs: M.
        inner: N.
        rate: the learner's rate at the start.
        lr: of X', relative to the size of its entries.
        lr_rate: of Adam on the logarithm of the rate.
        memory: what is kept of the N steps; see `multidd.learning.unroll`.
        executor: any `concurrent.futures.Executor`, to record experts in parallel.
        inductive: see the training nodes and the edges between them only.
        seed: seed of the run; not of the experts.
        **run: see `multidd.distill`.

    Returns:
        A `GraphSummary` without edges.

    Raises:
        ValueError: bad data, budget or setting; N steps that do not fit into memory;
            says what would fit.
        StorageError: an expert cannot be written; those before it are kept.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Zheng, Zhang, Chen, Nguyen, Zhu, Pan, "Structure-free Graph Condensation: From
        Large-scale Graphs to Condensed Graph-free Data", NeurIPS 2023, arXiv
        2306.02664.

    Example:
        >>> import multidd
        >>> few = Experts(Trainer(epochs=1, steps=1), count=1)
        >>> one = {"experts": few, "start": (0, 0), "epochs": 1, "inner": 2}
        >>> sfgc(multidd.samples.cora(), per_class=2, steps=1, **one).num_edges
        0
    """
    follow = Trajectories(experts, start, epochs, inner, rate, lr_rate, memory)
    budget = (ratio, nodes, per_class)
    start_from = (init, labels, backbone, inductive)
    settings = RunSettings.of_keywords(seed, run)
    return _follow(
        "sfgc",
        data,
        budget,
        start_from,
        follow,
        {"lr": lr},
        steps,
        settings,
        executor,
    )


def geom(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    steps: int = 60,
    init: Init = "kmeans",
    labels: Labels = "teacher",
    backbone: str | Backbone = NARROW,
    experts: Experts = EXPERTS,
    start: tuple[int, int] = (0, 1),
    first: int = 0,
    growing: int = 40,
    epochs: int = 2,
    inner: int = 20,
    rate: float = 1.0,
    lr: float = 0.02,
    lr_rate: float = 0.01,
    lr_labels: float = 0.01,
    memory: Backprop = "checkpointed",
    executor: Executor | None = None,
    inductive: bool = False,
    seed: int = 0,
    **run: Unpack[RunKeywords],
) -> GraphSummary:
    """Condense a graph by trajectories with a growing window and soft labels (GEOM).

    `multidd.graph.sfgc` whose learner starts at early epochs first and at later, harder
    ones as the run goes, and whose nodes have soft labels: they start as the experts'
    probabilities at their last epoch and are learned too.

    Where it departs from the paper, beside what `sfgc` says: experts see all nodes from
    their first epoch, not the easy ones before the hard ones, since a match at an early
    epoch is easy as it is; labels are the mean over the experts and stay probabilities;
    experts learn from the linear teacher's probabilities, not from classes; there is no
    term that brings embeddings together.

    Args:
        data, ratio, nodes, per_class, steps, init, labels, backbone, experts, start,
            epochs, inner, rate, lr, lr_rate, memory, executor, inductive, seed, **run:
            see `multidd.graph.sfgc`.
        first: last epoch at which the learner starts at the first step.
        growing: steps in which it grows to the last of `start`.
        lr_labels: of Adam on the labels.

    Returns:
        A `GraphSummary` with `y_soft`, without edges.

    Reference:
        Zhang, Zhang, Wang, Guo, Liang, Bresson, Jin, You, "Navigating Complexity:
        Toward Lossless Graph Condensation via Expanding Window Matching", ICML 2024.

    Example:
        >>> import multidd
        >>> few = Experts(Trainer(epochs=1, steps=1), count=1)
        >>> one = {"experts": few, "start": (0, 0), "first": 0, "epochs": 1, "inner": 2}
        >>> geom(multidd.samples.cora(), per_class=2, steps=1, **one).card.labels
        'soft'
    """
    grow = (first, growing)
    follow = Trajectories(
        experts, start, epochs, inner, rate, lr_rate, memory, grow=grow
    )
    budget = (ratio, nodes, per_class)
    start_from = (init, labels, backbone, inductive)
    settings = RunSettings.of_keywords(seed, run)
    return _follow(
        "geom",
        data,
        budget,
        start_from,
        follow,
        {"lr": lr, "lr_labels": lr_labels},
        steps,
        settings,
        executor,
    )


def _follow(
    method: str,
    data: Any,
    budget: tuple[float | None, int | None, int | None],
    start_from: tuple[Init, Labels, str | Backbone, bool],
    follow: Trajectories,
    rates: dict[str, float],
    steps: int,
    run: RunSettings,
    executor: Executor | None,
) -> GraphSummary:
    """Record the experts that are missing, then match; `rates` are those of Adam."""
    check_count("steps", steps, least=0)
    objective = follow.objective()
    init, labels, backbone, inductive = start_from
    soft = "lr_labels" in rates
    setup: Setup[Any, Any] = prepare(
        data,
        *budget,
        backbone=as_backbone(backbone),
        init=init,
        labels=labels,
        structure=False,
        inductive=inductive,
        soft=soft,
        steps=steps,
        **{**follow.settings(), **rates},
    )
    setup = follow.record(setup, run, executor)
    optimizer = {"x": Adam(lr=rates["lr"] * feature_unit(setup))} | follow.optimizer()
    if soft:
        teacher, form = FinalExperts(follow.experts), setup.parameterization
        form = with_label_policy(form, "teacher", teacher=teacher)
        setup = replace(setup, parameterization=form)
        optimizer["y_soft"] = Adam(lr=rates["lr_labels"], simplex=True)
    return learn(method, setup, objective, steps=steps, optimizer=optimizer, run=run)
