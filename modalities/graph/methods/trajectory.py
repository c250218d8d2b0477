"""Trajectory matching: SFGC and GEOM."""

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

from multidd.data.splitting import check_count
from multidd.engine.options import RunOptions, RunSettings
from multidd.engine.recipe import Setup, Trajectories, learn, with_label_policy
from multidd.graph.methods.options import FEATURE_LR, GraphOptions
from multidd.graph.methods.presets import PRESETS
from multidd.graph.methods.setup import Request, feature_unit, prepare
from multidd.graph.models.backbones import GCN, NamedModel, named_backbone
from multidd.graph.summary.summary import GraphSummary
from multidd.learning.experts import Experts, FinalExperts, Trainer
from multidd.learning.optim import SGD, Adam
from multidd.learning.unroll import Backprop
from multidd.storage.atomic import PathLike

EXPERTS = Experts(Trainer(epochs=6, steps=10, optimizer=SGD(lr=0.5, momentum=0.9)), 3)
"""Three short trajectories of full batches."""

NARROW = GCN(width=32)
"""Wide enough for a few dozen nodes, and N steps of it fit into memory."""


@dataclass(frozen=True, kw_only=True)
class SFGCOptions(GraphOptions):
    """Settings of `sfgc`, beside those of `GraphOptions`.

    Attributes:
        model: whose trajectories are matched: `"gcn"`, `"sgc"`, settings of one, or
            what makes a PyG module of the caller's own from `(num_features,
            num_classes)`.
        experts: which experts, and where they are kept; see
            `multidd.learning.experts.Experts`.
        start_epochs: first and last epoch from which a match may start.
        expert_epochs: M, epochs of an expert that a match spans.
        syn_steps: N, training steps on the synthetic nodes.
        lr_net: learning rate of these steps at the start; it is learned.
        lr: learning rate of the features, relative to the size of their entries.
        lr_lr: of Adam on the logarithm of `lr_net`.
        backprop: how the gradient of the N steps is computed; see
            `multidd.learning.unroll`.
        executor: any `concurrent.futures.Executor`, to record experts in parallel.

    Example:
        >>> SFGCOptions(syn_steps=10).start_epochs
        (0, 1)
    """

    model: NamedModel = NARROW
    experts: Experts = EXPERTS
    start_epochs: tuple[int, int] = (0, 1)
    expert_epochs: int = 2
    syn_steps: int = 20
    lr_net: float = 1.0
    lr: float = FEATURE_LR
    lr_lr: float = 0.01
    backprop: Backprop = "checkpointed"
    executor: Executor | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        named_backbone(self.model)


@dataclass(frozen=True, kw_only=True)
class GEOMOptions(SFGCOptions):
    """Settings of `geom`, beside those of `SFGCOptions`.

    Attributes:
        first_end: last start epoch at the first step.
        growth_steps: steps over which it grows to the last of `start_epochs`.
        lr_labels: learning rate of the labels.

    Example:
        >>> GEOMOptions().growth_steps
        40
    """

    first_end: int = 0
    growth_steps: int = 40
    lr_labels: float = 0.01


@PRESETS
def sfgc(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    steps: int = 60,
    options: SFGCOptions = SFGCOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> GraphSummary:
    r"""Condense a graph to nodes without edges by matching trajectories (SFGC).

    $\lVert \hat\theta_{t+N} - \theta^*_{t+M} \rVert^2 / \lVert \theta^*_t -
    \theta^*_{t+M} \rVert^2$: N steps on the synthetic nodes, at a learned rate, go as
    far as an expert's M epochs on the whole graph. Experts are recorded once and kept
    in the cache. Synthetic nodes see themselves only, so that a step on them propagates
    nothing.

    Differs from the paper: instead of 200 experts of up to 2,500 epochs, N of 400 to
    500, 2,000 updates and the iterate chosen by a kernel's score, three experts of 60
    full batches, networks 32 wide, a few dozen updates by Adam, the last iterate
    (`select_best` chooses), the start by class-wise k-means of propagated features; and
    experts learn from all nodes, those without labels in the class of a linear teacher
    (`supervision="train"` takes the training nodes alone). Under `preset="paper"`:
    experts are kept at every tenth batch, and the last iterate stays; `select_best`
    chooses by validation nodes.

    Args:
        data: a PyG `Data` with `x`, `edge_index`, `y`, `train_mask`; not changed.
        ratio: synthetic nodes / nodes of the graph the method sees.
        nodes: synthetic nodes in all.
        per_class: synthetic nodes of each class. Give exactly one of the three.
        steps: updates.
        options: further settings, see `multidd.graph.SFGCOptions`.
        preset: see `multidd.graph.gcond`.
        seed: seed of the run; not of the experts.
        device: where the run computes, such as `"cpu"` or `"cuda"`.
        progress: show the bar; None shows it on terminals and in notebooks.
        checkpoint: a folder to resume from and to save to.
        run: time limit, checkpoint interval, callbacks, best iterate.

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
        >>> short = SFGCOptions(
        ...     experts=Experts(Trainer(epochs=1, steps=1), count=1),
        ...     start_epochs=(0, 0), expert_epochs=1, syn_steps=2)
        >>> data = multidd.samples.cora()
        >>> sfgc(data, per_class=2, steps=1, options=short).num_edges
        0
    """
    request = Request(data, ratio, nodes, per_class, options.inductive)
    settings = RunSettings(seed, device, progress, checkpoint, run, preset)
    return _match("sfgc", request, options, steps, settings)


@PRESETS
def geom(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    steps: int = 60,
    options: GEOMOptions = GEOMOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> GraphSummary:
    """Condense a graph by trajectories with a growing window and soft labels (GEOM).

    `multidd.graph.sfgc` whose learner starts at early epochs first and at later, harder
    ones as the run goes, and whose nodes have soft labels: they start as the experts'
    probabilities at their last epoch and are learned too.

    Differs from the paper: beside what `sfgc` says, experts see all nodes from their
    first epoch, not the easy ones before the hard ones, since a match at an early epoch
    is easy as it is; labels are the mean over the experts and stay probabilities;
    experts learn from the linear teacher's probabilities, not from classes; there is no
    term that brings embeddings together. Under `preset="paper"`: experts see all nodes
    from their first epoch, the window is the default, labels stay probabilities, and
    nothing brings embeddings together.

    Args:
        data: a PyG `Data` with `x`, `edge_index`, `y`, `train_mask`; not changed.
        ratio: synthetic nodes / nodes of the graph the method sees.
        nodes: synthetic nodes in all.
        per_class: synthetic nodes of each class. Give exactly one of the three.
        steps: updates.
        options: further settings, see `multidd.graph.GEOMOptions`.
        preset: see `multidd.graph.gcond`.
        seed: seed of the run.
        device: where the run computes, such as `"cpu"` or `"cuda"`.
        progress: show the bar; None shows it on terminals and in notebooks.
        checkpoint: a folder to resume from and to save to.
        run: time limit, checkpoint interval, callbacks, best iterate.

    Returns:
        A `GraphSummary` with `y_soft`, without edges.

    Reference:
        Zhang, Zhang, Wang, Guo, Liang, Bresson, Jin, You, "Navigating Complexity:
        Toward Lossless Graph Condensation via Expanding Window Matching", ICML 2024.

    Example:
        >>> import multidd
        >>> short = GEOMOptions(
        ...     experts=Experts(Trainer(epochs=1, steps=1), count=1),
        ...     start_epochs=(0, 0), expert_epochs=1, syn_steps=2)
        >>> data = multidd.samples.cora()
        >>> geom(data, per_class=2, steps=1, options=short).card.labels
        'soft'
    """
    request = Request(data, ratio, nodes, per_class, options.inductive)
    settings = RunSettings(seed, device, progress, checkpoint, run, preset)
    return _match("geom", request, options, steps, settings, growing=options)


def _match(
    method: str,
    request: Request,
    options: SFGCOptions,
    steps: int,
    run: RunSettings,
    growing: GEOMOptions | None = None,
) -> GraphSummary:
    """Record the experts that are missing, then match; with `growing`, labels too."""
    check_count("steps", steps, minimum=0)
    rates, grow = {"lr": options.lr}, None
    if growing is not None:
        rates |= {"lr_labels": growing.lr_labels}
        grow = (growing.first_end, growing.growth_steps)
    trajectories = Trajectories(
        options.experts,
        options.start_epochs,
        options.expert_epochs,
        options.syn_steps,
        options.lr_net,
        options.lr_lr,
        options.backprop,
        grow=grow,
    )
    objective = trajectories.objective()
    setup: Setup[Any, Any] = prepare(
        request,
        options,
        model=named_backbone(options.model),
        structure=False,
        soft=growing is not None,
        steps=steps,
        **{**trajectories.settings(), **rates},
    )
    setup = trajectories.record(setup, run, options.executor)
    features = {"x": Adam(lr=options.lr * feature_unit(setup))}
    optimizer = features | trajectories.optimizer()
    if growing is not None:
        teacher = FinalExperts(options.experts)
        form = with_label_policy(setup.parameterization, "teacher", teacher=teacher)
        setup = replace(setup, parameterization=form)
        optimizer["y_soft"] = Adam(lr=growing.lr_labels, simplex=True)
    return learn(method, setup, objective, steps=steps, optimizer=optimizer, run=run)
