"""Every method of the modality by name, which have a loop, and `distill`."""

from collections.abc import Callable
from typing import Any

from multidd.arguments import public_function
from multidd.engine.recipe import call_named
from multidd.graph.data.graph_set import is_set
from multidd.graph.methods.condense import condense
from multidd.graph.methods.distribution import dm_x, gcdm
from multidd.graph.methods.gradient import doscond, gcond, gcond_x
from multidd.graph.methods.kernel import gcsntk
from multidd.graph.methods.partition import cgc
from multidd.graph.methods.selection import herding, kcenter, kmeans, random
from multidd.graph.methods.spectral import gdem
from multidd.graph.methods.trajectory import geom, sfgc
from multidd.graph.summary.summary import GraphSummary

METHODS: dict[str, Callable[..., GraphSummary]] = {
    "gcond": gcond,
    "gcond_x": gcond_x,
    "doscond": doscond,
    "gcdm": gcdm,
    "dm_x": dm_x,
    "sfgc": sfgc,
    "geom": geom,
    "gcsntk": gcsntk,
    "gdem": gdem,
    "cgc": cgc,
    "condense": condense,
    "random": random,
    "herding": herding,
    "kcenter": kcenter,
    "kmeans": kmeans,
}


LEARNED = (
    "gcond",
    "gcond_x",
    "doscond",
    "gcdm",
    "dm_x",
    "sfgc",
    "geom",
    "gcsntk",
    "gdem",
)
"""Methods with a loop: they take `steps`, `checkpoint` and the like."""

DEFAULT = "gcond_x"
"""What `distill` takes unless a method is named."""

SET_DEFAULT = "kmeans"
"""The same for a set of graphs."""


@public_function
def distill(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    method: str | None = None,
    seed: int = 0,
    **settings: Any,
) -> Any:
    """Condense a graph, or a set of them: by `gcond_x`, or by any other method.

    `gcond_x` unless another is named: of the methods that were judged under seven kinds
    of models it is the best on average, in seconds (see the page of graph benchmarks).
    Where only a GCN will be trained, `condense` is a little above it; `gcond` gives a
    graph with edges. A set of graphs goes to `kmeans`, real graphs nearest to
    centroids: `doscond`, which learns from these on, was not above them under networks
    that it did not match.

    Args:
        data: a PyG `Data` with `x`, `edge_index`, `y`, `train_mask`, or a set of
            graphs; not changed.
        ratio: synthetic nodes / nodes of the graph the method sees.
        nodes: synthetic nodes in all.
        per_class: synthetic nodes, or graphs, of each class. Give one of the three.
        method: one of `multidd.graph.METHODS`; None takes the best of the table.
        seed: seed of every draw of the run.
        **settings: of the method by name, those of its `options` and `run` among them.

    Returns:
        A `GraphSummary`; a `GraphSetSummary` for a set.

    Raises:
        TypeError: a setting that the method does not have.
        ValueError: no such method; bad data, budget or setting.

    Example:
        >>> import multidd
        >>> distill(multidd.samples.cora(), 0.01, steps=2)
        GraphSummary(gcond_x, nodes=27, ...)
    """
    budget = {"ratio": ratio, "nodes": nodes, "per_class": per_class}
    default = SET_DEFAULT if is_set(data) else DEFAULT
    return call_named(METHODS, method, default, data, budget, {"seed": seed} | settings)
