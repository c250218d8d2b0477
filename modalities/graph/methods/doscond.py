"""DOSCOND: one-step gradient matching, edges as Bernoulli variables."""

from typing import Any, Literal, Unpack

from multidd.engine.loop import RunOptions, distill
from multidd.graph.data.graph_set import is_set
from multidd.graph.methods.graph_set_setup import refuse_node_settings
from multidd.graph.methods.graph_sets import doscond_graphs
from multidd.graph.methods.setup import Init, Labels, prepare
from multidd.graph.models.backbones import Backbone
from multidd.graph.models.backbones import backbone as _backbone
from multidd.learning.optim import Adam
from multidd.learning.states import Fresh
from multidd.objectives import GradientMatching
from multidd.objectives.distances import NormalizedMSE
from multidd.parameterizations import BernoulliAdjacency


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
    **run: Unpack[RunOptions],
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
    given = {
        "steps": steps,
        "lr": lr,
        "lr_adjacency": lr_adjacency,
        "temperature": temperature,
    }
    if is_set(data):
        told: Any = {
            "structure": structure != "bernoulli",
            "labels": labels != "teacher",
        }
        told |= {"nodes": nodes, "inductive": inductive, "backbone": backbone != "gcn"}
        refuse_node_settings(**told)
        own: Any = {name: value for name, value in given.items() if value is not None}
        common: Any = {"finish": finish, "init": init, "seed": seed}
        return doscond_graphs(data, ratio, per_class=per_class, **common, **own, **run)
    steps = 100 if steps is None else steps
    lr = 0.02 if lr is None else lr
    lr_adjacency = 0.01 if lr_adjacency is None else lr_adjacency
    temperature = (1.0, 0.1) if temperature is None else temperature
    if structure not in ("bernoulli", "none"):
        raise ValueError(f"structure must be 'bernoulli' or 'none', got {structure!r}")
    setup = prepare(
        data,
        ratio,
        nodes,
        per_class,
        backbone=_backbone(backbone),
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
    rates = {"x": Adam(lr=lr * setup.unit)}
    parameterization: Any = setup.nodes
    if structure == "bernoulli":
        rates["adjacency"] = Adam(lr=lr_adjacency)
        parameterization = BernoulliAdjacency(
            setup.nodes, temperature=temperature, anneal=steps, finish=finish
        )
    return distill(
        setup.task,
        GradientMatching(NormalizedMSE(), Fresh(models=1)),
        parameterization,
        steps=steps,
        optimizer=rates,
        seed=seed,
        method="doscond",
        recipe=setup.recipe | {"structure": structure},
        spent=setup.seconds,
        **run,
    )
