"""Kernel ridge regression: GC-SNTK."""

from dataclasses import replace
from typing import Any, Literal, Unpack

from multidd.engine.options import RunKeywords, RunSettings
from multidd.engine.recipe import Setup, learn, with_label_policy
from multidd.graph.methods.setup import Init, Labels, feature_unit, prepare
from multidd.graph.models.backbones import SGC
from multidd.graph.summary.summary import GraphSummary
from multidd.learning.kernel_sources import Infinite
from multidd.learning.optim import Adam
from multidd.objectives import KernelRidge
from multidd.parameterizations import PairwiseAdjacency


def gcsntk(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    steps: int = 100,
    structure: Literal["none", "pairwise"] = "none",
    init: Init = "kmeans",
    labels: Labels = "teacher",
    hops: int = 2,
    depth: int = 2,
    ridge: float = 0.1,
    lr: float = 0.02,
    lr_labels: float = 0.01,
    lr_adjacency: float = 3e-4,
    inductive: bool = False,
    seed: int = 0,
    **run: Unpack[RunKeywords],
) -> GraphSummary:
    r"""Condense a graph by kernel ridge regression on its structure (GC-SNTK).

    The labels of the real nodes, predicted by regression on the synthetic ones in
    closed form: $\lVert Y - K_{TS} (K_{SS} + \lambda \tfrac{\mathrm{tr} K_{SS}}{m}
    I)^{-1} Y' \rVert^2$, with K the tangent kernel of an infinitely wide network on
    features that are aggregated over the graph. X' and the labels Y' are learned: a
    model that trains to the end at each step, and no loop inside the loop.

    Where it departs from the paper: all aggregations stand before the layers, as in the
    simplified kernels that its authors later gave. They then act on features, and no
    product of the two adjacencies with each other is ever made, which limits the paper
    to small graphs; they are symmetrically normalized, as in the GCN that is tested. It
    starts from class-wise k-means, not from uniform noise; a linear teacher gives the
    nodes without labels probabilities (`labels="train"` goes without); Y' stays
    probabilities, so that any model can be trained on it. The paper scores a summary by
    its own regression, which `multidd.evaluate(..., models=["kernel"])` does; a GCN
    trained on it is another score.

    Args:
        data: a PyG `Data` with `x`, `edge_index`, `y`, `train_mask`; not changed.
        ratio: synthetic nodes / nodes of the graph the method sees.
        nodes: synthetic nodes in all.
        per_class: synthetic nodes of each class. Give exactly one of the three.
        steps: updates.
        structure: `"none"`, or `"pairwise"` edges that a network makes of X'.
        init: selection to start from.
        labels: `"teacher"` or `"train"`.
        hops: aggregations.
        depth: hidden layers of the kernel's network.
        ridge: $\lambda$.
        lr: of X', relative to the size of its entries.
        lr_labels: of Y'.
        lr_adjacency: of the network behind A'.
        inductive: see the training nodes and the edges between them only.
        seed: seed of the run.
        **run: see `multidd.distill`.

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
    if structure not in ("none", "pairwise"):
        raise ValueError(f"structure must be 'none' or 'pairwise', got {structure!r}")
    setup: Setup[Any, Any] = prepare(
        data,
        ratio,
        nodes,
        per_class,
        backbone=SGC(hops),
        init=init,
        labels=labels,
        structure=structure == "pairwise",
        inductive=inductive,
        soft=True,
        steps=steps,
        depth=depth,
        ridge=ridge,
        lr=lr,
        lr_labels=lr_labels,
        lr_adjacency=lr_adjacency,
    )
    rates = {
        "x": Adam(lr=lr * feature_unit(setup)),
        "y_soft": Adam(lr=lr_labels, simplex=True),
    }
    form = setup.parameterization
    if structure == "pairwise":
        rates["adjacency"] = Adam(lr=lr_adjacency)
        form = PairwiseAdjacency(form)
    return learn(
        "gcsntk",
        replace(setup, parameterization=with_label_policy(form, "onehot")),
        KernelRidge(Infinite(depth), ridge=ridge),
        steps=steps,
        optimizer=rates,
        run=RunSettings.of_keywords(seed, run),
        settings={"structure": structure},
    )
