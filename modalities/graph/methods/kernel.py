"""Kernel ridge regression: GC-SNTK."""

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

from multidd.engine.options import RunOptions, RunSettings
from multidd.engine.recipe import Setup, learn, with_label_policy
from multidd.graph.methods.options import FEATURE_LR, GraphOptions, check_choice
from multidd.graph.methods.presets import PRESETS
from multidd.graph.methods.setup import Request, feature_unit, prepare
from multidd.graph.models.backbones import SGC
from multidd.graph.summary.summary import GraphSummary
from multidd.learning.kernel_sources import Infinite
from multidd.learning.optim import Adam
from multidd.objectives import KernelRidge
from multidd.parameterizations import PairwiseAdjacency
from multidd.storage.atomic import PathLike

Edges: TypeAlias = Literal["none", "pairwise"]


@dataclass(frozen=True, kw_only=True)
class GCSNTKOptions(GraphOptions):
    r"""Settings of `gcsntk`, beside those of `GraphOptions`.

    Attributes:
        structure: `"none"`, or `"pairwise"` edges that a network makes of X'.
        hops: aggregations before the layers; two, as in the GCN that is tested.
        depth: hidden layers of the kernel's network.
        ridge: $\lambda$, relative to the mean of the kernel's diagonal.
        lr: learning rate of the features, relative to the size of their entries.
        lr_labels: learning rate of the labels.
        lr_adjacency: learning rate of the network behind the edges.

    Raises:
        ValueError: a name that is none of these.

    Example:
        >>> GCSNTKOptions(structure="pairwise").ridge
        0.1
    """

    structure: Edges = "none"
    hops: int = 2
    depth: int = 2
    ridge: float = 0.1
    lr: float = FEATURE_LR
    lr_labels: float = 0.01
    lr_adjacency: float = 3e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("structure", self.structure, get_args(Edges))


@PRESETS
def gcsntk(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    steps: int = 100,
    options: GCSNTKOptions = GCSNTKOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> GraphSummary:
    r"""Condense a graph by kernel ridge regression on its structure (GC-SNTK).

    The labels of the real nodes, predicted by regression on the synthetic ones in
    closed form: $\lVert Y - K_{TS} (K_{SS} + \lambda \tfrac{\mathrm{tr} K_{SS}}{m}
    I)^{-1} Y' \rVert^2$, with K the tangent kernel of an infinitely wide network on
    features that are aggregated over the graph. X' and the labels Y' are learned: a
    model that trains to the end at each step, and no loop inside the loop.

    Differs from the paper: all aggregations stand before the layers, as in the
    simplified kernels that its authors later gave. They then act on features, and no
    product of the two adjacencies with each other is ever made, which limits the paper
    to small graphs; they are symmetrically normalized, as in the GCN that is tested. It
    starts from class-wise k-means, not from uniform noise; a linear teacher gives the
    nodes without labels probabilities (`supervision="train"` goes without); Y' stays
    probabilities, so that any model can be trained on it. The paper scores a summary by
    its own regression, which `multidd.evaluate(..., models=["kernel"])` does; a GCN
    trained on it is another score. Under `preset="paper"`: it starts from nodes, not
    from noise; labels stay probabilities; all aggregations stand before the layers.

    Args:
        data: a PyG `Data` with `x`, `edge_index`, `y`, `train_mask`; not changed.
        ratio: synthetic nodes / nodes of the graph the method sees.
        nodes: synthetic nodes in all.
        per_class: synthetic nodes of each class. Give exactly one of the three.
        steps: updates.
        options: further settings, see `multidd.graph.GCSNTKOptions`.
        preset: see `multidd.graph.gcond`.
        seed: seed of the run.
        device: where the run computes, such as `"cpu"` or `"cuda"`.
        progress: show the bar; None shows it on terminals and in notebooks.
        checkpoint: a folder to resume from and to save to.
        run: time limit, checkpoint interval, callbacks, best iterate.

    Returns:
        A `GraphSummary` with `y_soft`.

    Raises:
        ValueError: bad data, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Wang, Fan, Li, Ma, Li, "Fast Graph Condensation with Structure-based Neural
        Tangent Kernel", WWW 2024, arXiv 2310.11046.

    Example:
        >>> import multidd
        >>> gcsntk(multidd.samples.cora(), per_class=2, steps=2).tensors["y_soft"].shape
        torch.Size([14, 7])
    """
    has_edges = options.structure == "pairwise"
    setup: Setup[Any, Any] = prepare(
        Request(data, ratio, nodes, per_class, options.inductive),
        options,
        model=SGC(options.hops),
        structure=has_edges,
        soft=True,
        steps=steps,
        depth=options.depth,
        ridge=options.ridge,
        lr=options.lr,
        lr_labels=options.lr_labels,
        lr_adjacency=options.lr_adjacency,
    )
    optimizers = {
        "x": Adam(lr=options.lr * feature_unit(setup)),
        "y_soft": Adam(lr=options.lr_labels, simplex=True),
    }
    form = setup.parameterization
    if has_edges:
        optimizers["adjacency"] = Adam(lr=options.lr_adjacency)
        form = PairwiseAdjacency(form)
    return learn(
        "gcsntk",
        replace(setup, parameterization=with_label_policy(form, "onehot")),
        KernelRidge(Infinite(options.depth), ridge=options.ridge),
        steps=steps,
        optimizer=optimizers,
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        settings={"structure": options.structure},
    )
