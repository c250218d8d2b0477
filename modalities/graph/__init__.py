"""Graph condensation for node classification.

Methods: `gcond`, `gcond_x`, `doscond`, `gcdm`, `dm_x`, `sfgc`, `geom`, `gcsntk`,
`gdem`, `cgc`, `condense`; selections: `random`, `herding`, `kcenter`, `kmeans`. All
take a PyG `Data` and give a `GraphSummary`. `load` reads benchmark graphs, `Condense`
is a transform.
"""

from collections.abc import Callable

from multidd.graph._cgc import cgc
from multidd.graph._condense import condense
from multidd.graph._doscond import doscond
from multidd.graph._doscond_graphs import doscond_graphs
from multidd.graph._gcdm import dm_x, gcdm
from multidd.graph._gcond import gcond, gcond_x
from multidd.graph._gcsntk import gcsntk
from multidd.graph._gdem import gdem
from multidd.graph._selections import herding, kcenter, kmeans, random
from multidd.graph._sfgc import geom, sfgc
from multidd.graph.blocks import blocks
from multidd.graph.data import given, load, split
from multidd.graph.graph_set import GraphSet, split_graphs
from multidd.graph.hetero import homogeneous
from multidd.graph.judge import Judge
from multidd.graph.set_judge import SetJudge
from multidd.graph.set_reading import as_graph_set
from multidd.graph.set_summary import GraphSetSummary
from multidd.graph.set_task import GraphSetTask
from multidd.graph.summary import GraphSummary
from multidd.graph.task import NodeTask
from multidd.graph.transform import Condense

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

__all__ = [
    "Condense",
    "GraphSet",
    "GraphSetSummary",
    "GraphSetTask",
    "GraphSummary",
    "Judge",
    "NodeTask",
    "SetJudge",
    "as_graph_set",
    "blocks",
    "cgc",
    "condense",
    "dm_x",
    "doscond",
    "doscond_graphs",
    "gcdm",
    "gcond",
    "gcond_x",
    "gcsntk",
    "gdem",
    "geom",
    "given",
    "herding",
    "homogeneous",
    "kcenter",
    "kmeans",
    "load",
    "random",
    "sfgc",
    "split",
    "split_graphs",
]
