"""Gradient matching: GCOND, GCOND-X and DOSCOND."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

from multidd.data.splitting import check_count
from multidd.engine.options import RunOptions, RunSettings
from multidd.engine.recipe import Setup, learn
from multidd.engine.schedules import Alternate, Always, Schedule
from multidd.graph.data.graph_set import is_set
from multidd.graph.methods.edge_validation import PairwiseStructure, validate_edges
from multidd.graph.methods.graph_set_setup import refuse_node_settings
from multidd.graph.methods.graph_sets import (
    DOSCOND_GRAPHS_STEPS,
    DosCondGraphsOptions,
    doscond_graphs,
)
from multidd.graph.methods.options import (
    FEATURE_LR,
    Finish,
    GraphOptions,
    check_choice,
)
from multidd.graph.methods.presets import PRESETS
from multidd.graph.methods.setup import Request, feature_unit, prepare
from multidd.graph.models.backbones import SGC, Backbone, NamedModel, named_backbone
from multidd.graph.summary.summary import GraphSummary
from multidd.learning.optim import Adam, Optimizer
from multidd.learning.states import Bank, Fresh, Online, States
from multidd.objectives import GradientMatching
from multidd.objectives.distances import (
    Distance,
    NormalizedMSE,
    distance_by_name,
)
from multidd.parameterizations import BernoulliAdjacency, PairwiseAdjacency
from multidd.storage.atomic import PathLike

Edges: TypeAlias = Literal["validated", "bernoulli", "none"]

RELATIVE = "relative"
"""The squared distance of gradients, relative to that of the real graph."""


def _distance(name: str, per_column: bool = True) -> Distance:
    """The distance of gradients by its name here."""
    if name == RELATIVE:
        return NormalizedMSE(per_column=per_column)
    return distance_by_name(name)


@dataclass(frozen=True, kw_only=True)
class GCondXOptions(GraphOptions):
    """Settings of `gcond_x`, beside those of `GraphOptions`.

    Attributes:
        model: the network that is matched on: `"sgc"`, whose gradients have a closed
            form, `"gcn"`, settings of one, or what makes a PyG module of the caller's
            own from `(num_features, num_classes)`. Of `"sgc"` heads are random, from
            nearly flat to nearly sure predictions.
        lr: learning rate of the features, relative to the size of their entries: the
            same for few and for many features.
        distance: of gradients: `"relative"`, squared and relative to that of the real
            graph, or `"cosine"`, `"mse"` or `"l1"`.
        net_steps: training steps of one network on the synthetic graph between two
            matches, as in the paper; 0 has a bank of random heads instead.
        matches_per_net: matches before that network is drawn anew.

    Raises:
        ValueError: a name that is none of these, or a number out of range.

    Example:
        >>> GCondXOptions(lr=0.01).model
        'sgc'
    """

    model: NamedModel = "sgc"
    lr: float = FEATURE_LR
    distance: str = RELATIVE
    net_steps: int = 0
    matches_per_net: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        named_backbone(self.model)
        _distance(self.distance)
        check_count("net_steps", self.net_steps, minimum=0)
        check_count("matches_per_net", self.matches_per_net)

    def later_settings(self) -> dict[str, Any]:
        """For the card, where they are not the defaults: checkpoints of before, which
        do not name them, go on.

        Example:
            >>> GCondXOptions(distance="cosine").later_settings()
            {'distance': 'cosine'}
        """
        trained = ("net_steps", "matches_per_net") if self.net_steps else ()
        names = ("distance",) * (self.distance != RELATIVE) + trained
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class GCondOptions(GCondXOptions):
    """Settings of `gcond`, beside those of `GCondXOptions`.

    Attributes:
        structure: `"pairwise"` has all edges of the learned A', as the paper does;
            `"validated"` those that harm none of three networks on the validation
            nodes, which may be none: see `multidd.graph.gcond`.
        lr_adjacency: learning rate of the network behind the edges. Edges start from
            those between clusters, and little of that is to be unlearned.

    Raises:
        ValueError: a name that is none of these.

    Example:
        >>> GCondOptions(structure="pairwise").lr_adjacency
        0.0003
    """

    structure: PairwiseStructure = "validated"
    lr_adjacency: float = 3e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("structure", self.structure, get_args(PairwiseStructure))


@dataclass(frozen=True, kw_only=True)
class DosCondOptions(GraphOptions):
    r"""Settings of `doscond`, beside those of `GraphOptions`.

    For a set of graphs `structure`, `supervision` and `model` stay as they are.

    Attributes:
        structure: `"bernoulli"` edges, `"none"`, or `"validated"`: the Bernoulli ones
            where they harm none of three networks on the validation nodes, else none.
            Edges start unlikely where `init` has none.
        model: the network that is matched on: `"gcn"`, `"sgc"`, settings of one, or
            what makes a PyG module of the caller's own from `(num_features,
            num_classes)`.
        lr: learning rate of the features, relative to the size of their entries; None
            takes 0.02 for nodes, 0.08 for a set of graphs.
        distance: of gradients, `"relative"`, `"cosine"`, `"mse"` or `"l1"`; see
            `GCondXOptions`.
        lr_adjacency: learning rate of the logits of edges, which start at -5 where
            there is none: at a tenth of it none crosses zero in 100 steps.
        edge_temperature: $\tau$ at the first and at the last step; None takes 1 and
            0.1 for nodes, 1 and 0.01 for a set.
        finish: `"threshold"` keeps likely edges, `"sample"` draws them.

    Raises:
        ValueError: a name that is none of these.

    Example:
        >>> DosCondOptions(structure="none").finish
        'threshold'
    """

    structure: Edges = "validated"
    model: NamedModel = "gcn"
    lr: float | None = None
    distance: str = RELATIVE
    lr_adjacency: float = 0.1
    edge_temperature: tuple[float, float] | None = None
    finish: Finish = "threshold"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("structure", self.structure, get_args(Edges))
        named_backbone(self.model)
        _distance(self.distance)


@PRESETS
def gcond(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    steps: int = 100,
    options: GCondOptions = GCondOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> GraphSummary:
    r"""Condense a graph by gradient matching, with a learned adjacency (GCOND).

    Synthetic features X' and the network behind A' are moved until, for random models,
    each class asks for the same step on the synthetic graph as on the real one:

    $$\sum_c w_c \sum_o \lVert \nabla_{\theta_o} L^S_c - \nabla_{\theta_o} L^T_c
      \rVert^2 / \lVert \nabla_{\theta_o} L^T_c \rVert^2.$$

    Differs from the paper: it starts from class-wise k-means instead of random nodes
    (whose classes the authors' code also mixes up); the distance sees magnitudes (the
    cosine gains nothing over that start); the real side is all nodes, those without
    labels in the class of a linear teacher weighted by its confidence
    (`supervision="train"` takes the training nodes alone, as the paper does); the heads
    are a fixed bank of random ones instead of heads trained on X'; A' starts from the
    edges between clusters, its mean degree is held at one or below, and its network has
    no batch normalization. So 100 steps do. In the end edges have to prove themselves:
    networks without edge weights, such as GraphSAGE and GAT, take each of hundreds of
    light edges for a whole one, and average over strangers. So a GAT, a GraphSAGE and a
    GCN are trained with all edges, with those of weight 0.05 and of 0.5 and more, and
    with none; edges stay where none of the three is worse on the validation nodes and
    all together are better, which the card says. On Cora, CiteSeer and Photo none stay;
    `structure="pairwise"` keeps A' as it is learned, as the paper does. Under
    `preset="paper"`: edges start from those between clusters, their mean degree is held
    at one, and their network has no batch norm; the real side is whole, not sampled by
    neighbours; classes are not mixed up at the start.

    Args:
        data: a PyG `Data` with `x`, `edge_index`, `y`, `train_mask`; not changed.
        ratio: synthetic nodes / nodes of the graph the method sees: all of `data`, or
            its training nodes with `inductive=True`. 70 of Cora's 2,708 is 0.026.
        nodes: synthetic nodes in all.
        per_class: synthetic nodes of each class. Give exactly one of the three.
        steps: updates; one in five moves A', the others X'.
        options: further settings, see `multidd.graph.GCondOptions`.
        preset: `"paper"` takes the settings of the paper, which `multidd.graph.preset`
            tells; what is named beats them one by one, `options` all of the options.
        seed: seed of the run.
        device: where the run computes, such as `"cpu"` or `"cuda"`.
        progress: show the bar; None shows it on terminals and in notebooks.
        checkpoint: a folder to resume from and to save to.
        run: time limit, checkpoint interval, callbacks, best iterate.

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
        Request(data, ratio, nodes, per_class, options.inductive),
        options,
        model=_random_heads(options.model),
        structure=True,
        steps=steps,
        lr=options.lr,
        lr_adjacency=options.lr_adjacency,
        **options.later_settings(),
    )
    optimizers = {
        "x": Adam(lr=options.lr * feature_unit(setup)),
        "adjacency": Adam(lr=options.lr_adjacency),
    }
    # The paper takes turns by networks, ten and forty of them.
    turn = 10 * options.matches_per_net if options.net_steps else 1
    turns = Alternate((("adjacency", turn), ("x", 4 * turn)))
    pairs = replace(setup, parameterization=PairwiseAdjacency(setup.parameterization))
    settings = RunSettings(seed, device, progress, checkpoint, run, preset)
    summary = _match("gcond", pairs, optimizers, turns, steps, settings, options)
    if options.structure == "pairwise":
        return summary
    return validate_edges(summary, setup.task.graph, seed)


@PRESETS
def gcond_x(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    steps: int = 100,
    options: GCondXOptions = GCondXOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> GraphSummary:
    """Condense a graph by gradient matching, without edges (GCOND-X).

    `multidd.graph.gcond` with A' = I throughout; arguments and errors are the same.

    Differs from the paper: as `multidd.graph.gcond`. Under `preset="paper"`: the real
    side is whole, not sampled.

    Reference:
        Jin, Zhao, Zhang, Liu, Tang, Shah, "Graph Condensation for Graph Neural
        Networks", ICLR 2022, arXiv 2110.07580.

    Example:
        >>> import multidd
        >>> gcond_x(multidd.samples.cora(), per_class=2, steps=2).num_edges
        0
    """
    setup: Setup[Any, Any] = prepare(
        Request(data, ratio, nodes, per_class, options.inductive),
        options,
        model=_random_heads(options.model),
        structure=False,
        steps=steps,
        lr=options.lr,
        **options.later_settings(),
    )
    optimizers = {"x": Adam(lr=options.lr * feature_unit(setup))}
    settings = RunSettings(seed, device, progress, checkpoint, run, preset)
    return _match("gcond_x", setup, optimizers, Always(), steps, settings, options)


def _random_heads(model: NamedModel) -> Backbone:
    """`"sgc"` with heads from nearly flat to nearly sure predictions, or the model."""
    return SGC(weight_scale=(0.5, 4.0)) if model == "sgc" else named_backbone(model)


def _match(
    method: str,
    setup: Setup[Any, Any],
    optimizers: Mapping[str, Optimizer],
    schedule: Schedule,
    steps: int,
    run: RunSettings,
    options: GCondXOptions,
) -> GraphSummary:
    # Real gradients of a bank of wide models would not fit in memory.
    linear = isinstance(setup.task.backbone, SGC)
    states: States = Bank(num_models=16, num_sets=8) if linear else Fresh()
    if options.net_steps:
        loops = options.net_steps, options.matches_per_net
        states = Online("synthetic", 1, *loops, Adam(lr=0.01))
    return learn(
        method,
        setup,
        GradientMatching(_distance(options.distance), states),
        steps=steps,
        optimizer=optimizers,
        run=run,
        schedule=schedule,
    )


@PRESETS
def doscond(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    steps: int | None = None,
    options: DosCondOptions = DosCondOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> Any:
    r"""Condense a graph, or a set of them, by one-step gradient matching (DOSCOND).

    A fresh random model at every step, no inner training, and edges drawn from the
    binary concrete relaxation of a Bernoulli variable each:
    $A'_{ij} = \sigma((\Omega_{ij} + \log u - \log(1-u)) / \tau)$. A PyG dataset or a
    list of graphs gives a few graphs: see `multidd.graph.doscond_graphs`, which has
    further settings. What follows is about the nodes of one graph.

    Differs from the paper: the paper's node form has no edges (`structure="none"`) and
    its Bernoulli edges belong to graph classification (`structure="bernoulli"`); here
    both are learned by one recipe, with a rate of the edges ten times that of the
    paper, at which they move, and the edges stay where they harm no network on the
    validation nodes, as those of `multidd.graph.gcond`. The distance is normalized by
    the size of the real gradient, it starts from class-wise k-means, and a linear
    teacher labels the nodes without labels (`supervision="train"` goes without). Under
    `preset="paper"`: of a set, graphs keep the sizes of those they start from, and the
    temperature falls over all steps.

    Args:
        data: a PyG `Data` with `x`, `edge_index`, `y`, `train_mask`, or a set of
            graphs; not changed.
        ratio: synthetic nodes / nodes of the graph the method sees.
        nodes: synthetic nodes in all.
        per_class: synthetic nodes of each class. Give exactly one of the three.
        steps: updates; None takes 100 for nodes, as many as `doscond_graphs` for a set.
        options: further settings, see `multidd.graph.DosCondOptions`.
        preset: see `multidd.graph.gcond`.
        seed: seed of the run.
        device: where the run computes, such as `"cpu"` or `"cuda"`.
        progress: show the bar; None shows it on terminals and in notebooks.
        checkpoint: a folder to resume from and to save to.
        run: time limit, checkpoint interval, callbacks, best iterate.

    Returns:
        A `GraphSummary`, the edges that stay of weight one; a `GraphSetSummary` for a
        set.

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
    settings = RunSettings(seed, device, progress, checkpoint, run, preset)
    if is_set(data):
        default = DosCondOptions()
        refuse_node_settings(
            structure=options.structure != default.structure,
            supervision=options.supervision != default.supervision,
            nodes=nodes,
            inductive=options.inductive,
            model=options.model != default.model,
            distance=options.distance != default.distance,
        )
        names = ("init", "lr", "lr_adjacency", "edge_temperature", "finish")
        changes = {name: getattr(options, name) for name in names}
        changes = {name: value for name, value in changes.items() if value is not None}
        return doscond_graphs(
            data,
            ratio,
            per_class=per_class,
            steps=DOSCOND_GRAPHS_STEPS if steps is None else steps,
            options=DosCondGraphsOptions(**changes),
            preset=preset,
            **settings.keywords(),
        )
    steps = 100 if steps is None else steps
    lr = FEATURE_LR if options.lr is None else options.lr
    temperature = options.edge_temperature or (1.0, 0.1)
    has_edges = options.structure != "none"
    apart = {"distance": options.distance} if options.distance != RELATIVE else {}
    setup: Setup[Any, Any] = prepare(
        Request(data, ratio, nodes, per_class, options.inductive),
        options,
        model=named_backbone(options.model),
        structure=has_edges,
        steps=steps,
        lr=lr,
        lr_adjacency=options.lr_adjacency,
        temperature=temperature,
        finish=options.finish,
    )
    optimizers = {"x": Adam(lr=lr * feature_unit(setup))}
    if has_edges:
        optimizers["adjacency"] = Adam(lr=options.lr_adjacency)
        edges = BernoulliAdjacency(
            setup.parameterization,
            temperature=temperature,
            anneal=steps,
            finish=options.finish,
        )
        setup = replace(setup, parameterization=edges)
    summary: GraphSummary = learn(
        "doscond",
        setup,
        GradientMatching(_distance(options.distance, False), Fresh(num_models=1)),
        steps=steps,
        optimizer=optimizers,
        run=settings,
        settings={"structure": "bernoulli" if has_edges else "none"} | apart,
    )
    if options.structure != "validated":
        return summary
    return validate_edges(summary, setup.task.graph, seed)
