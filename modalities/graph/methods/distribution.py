"""Distribution matching: GCDM and DM-X."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from multidd.engine.options import RunOptions, RunSettings
from multidd.engine.recipe import Setup, learn
from multidd.graph.methods.edge_validation import PairwiseStructure, validate_edges
from multidd.graph.methods.options import FEATURE_LR, GraphOptions, check_choice
from multidd.graph.methods.presets import PRESETS
from multidd.graph.methods.setup import Request, feature_unit, prepare
from multidd.graph.models.backbones import NamedModel, named_backbone
from multidd.graph.summary.summary import GraphSummary
from multidd.learning.optim import Adam, Optimizer
from multidd.learning.states import Fresh
from multidd.objectives import DistributionMatching
from multidd.objectives.terms import Means
from multidd.parameterizations import PairwiseAdjacency
from multidd.storage.atomic import PathLike


@dataclass(frozen=True, kw_only=True)
class DMXOptions(GraphOptions):
    """Settings of `dm_x`, beside those of `GraphOptions`.

    Attributes:
        model: whose features are matched: `"gcn"`, `"sgc"`, settings of one, or
            what makes a PyG module of the caller's own from `(num_features,
            num_classes)`.
        num_models: random models side by side at each step; four even out what one
            happens to see.
        lr: learning rate of the features, relative to the size of their entries.

    Example:
        >>> DMXOptions(model="sgc").num_models
        4
    """

    model: NamedModel = "gcn"
    num_models: int = 4
    lr: float = FEATURE_LR

    def __post_init__(self) -> None:
        super().__post_init__()
        named_backbone(self.model)


@dataclass(frozen=True, kw_only=True)
class GCDMOptions(DMXOptions):
    """Settings of `gcdm`, beside those of `DMXOptions`.

    Attributes:
        structure: `"pairwise"` has all edges of the learned A', as the paper does;
            `"validated"` those that harm none of three networks on the validation
            nodes, which may be none: see `multidd.graph.gcond`.
        lr_adjacency: learning rate of the network behind the edges. Edges start from
            those between clusters, and little of that is to be unlearned.

    Raises:
        ValueError: a name that is none of these.

    Example:
        >>> GCDMOptions(structure="pairwise").lr_adjacency
        0.0003
    """

    structure: PairwiseStructure = "validated"
    lr_adjacency: float = 3e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("structure", self.structure, get_args(PairwiseStructure))


@PRESETS
def gcdm(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    steps: int = 100,
    options: GCDMOptions = GCDMOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> GraphSummary:
    r"""Condense a graph by matching receptive fields, with a learned adjacency (GCDM).

    Class means of the embeddings of every layer, under random models:
    $\sum_c w_c \sum_l \lVert \mu^S_{cl} - \mu^T_{cl} \rVert^2$.

    Differs from the paper: the models are fresh at each step and not trained in
    between, it starts from class-wise k-means, a linear teacher labels the nodes
    without labels (`supervision="train"` goes without), and edges stay where they harm
    no network on the validation nodes, as those of `multidd.graph.gcond`
    (`structure="pairwise"` keeps all). Under `preset="paper"`: edges start from those
    between clusters, their mean degree is held at one; models are not trained in
    between; steps and rates are the defaults.

    Args:
        data: a PyG `Data` with `x`, `edge_index`, `y`, `train_mask`; not changed.
        ratio: synthetic nodes / nodes of the graph the method sees.
        nodes: synthetic nodes in all.
        per_class: synthetic nodes of each class. Give exactly one of the three.
        steps: updates.
        options: further settings, see `multidd.graph.GCDMOptions`.
        preset: see `multidd.graph.gcond`.
        seed: seed of the run.
        device: where the run computes, such as `"cpu"` or `"cuda"`.
        progress: show the bar; None shows it on terminals and in notebooks.
        checkpoint: a folder to resume from and to save to.
        run: time limit, checkpoint interval, callbacks, best iterate.

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
        Request(data, ratio, nodes, per_class, options.inductive),
        options,
        model=named_backbone(options.model),
        structure=True,
        steps=steps,
        models=options.num_models,
        lr=options.lr,
        lr_adjacency=options.lr_adjacency,
    )
    optimizers = {
        "x": Adam(lr=options.lr * feature_unit(setup)),
        "adjacency": Adam(lr=options.lr_adjacency),
    }
    pairs = replace(setup, parameterization=PairwiseAdjacency(setup.parameterization))
    settings = RunSettings(seed, device, progress, checkpoint, run, preset)
    summary = _match("gcdm", pairs, optimizers, options.num_models, steps, settings)
    if options.structure == "pairwise":
        return summary
    return validate_edges(summary, setup.task.graph, seed)


@PRESETS
def dm_x(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    steps: int = 100,
    options: DMXOptions = DMXOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> GraphSummary:
    """Condense a graph by distribution matching, without edges (DM-X).

    `multidd.graph.gcdm` with A' = I throughout; arguments and errors are the same.

    Differs from the paper: that of DM is for images; the receptive fields of nodes take
    their place, as in `multidd.graph.gcdm`. Under `preset="paper"`: steps and rates are
    the defaults.

    Reference:
        Zhao, Bilen, "Dataset Condensation with Distribution Matching", WACV 2023, arXiv
        2110.04181.

    Example:
        >>> import multidd
        >>> dm_x(multidd.samples.cora(), per_class=2, steps=2).num_edges
        0
    """
    setup: Setup[Any, Any] = prepare(
        Request(data, ratio, nodes, per_class, options.inductive),
        options,
        model=named_backbone(options.model),
        structure=False,
        steps=steps,
        models=options.num_models,
        lr=options.lr,
    )
    optimizers = {"x": Adam(lr=options.lr * feature_unit(setup))}
    settings = RunSettings(seed, device, progress, checkpoint, run, preset)
    return _match("dm_x", setup, optimizers, options.num_models, steps, settings)


def _match(
    method: str,
    setup: Setup[Any, Any],
    optimizers: Mapping[str, Optimizer],
    num_models: int,
    steps: int,
    run: RunSettings,
) -> GraphSummary:
    objective = DistributionMatching((Means("all"),), Fresh(num_models))
    return learn(method, setup, objective, steps=steps, optimizer=optimizers, run=run)
