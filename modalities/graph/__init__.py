"""Graph condensation for node classification.

Methods: `gcond`, `gcond_x`, `doscond`, `gcdm`, `dm_x`, `condense`; selections:
`random`, `herding`, `kcenter`, `kmeans`. All take a PyG `Data` and give a
`GraphSummary`. `load` reads benchmark graphs.
"""

from collections.abc import Callable

from multidd.graph._condense import condense
from multidd.graph._doscond import doscond
from multidd.graph._gcdm import dm_x, gcdm
from multidd.graph._gcond import gcond, gcond_x
from multidd.graph._selections import herding, kcenter, kmeans, random
from multidd.graph.blocks import blocks
from multidd.graph.data import given, load, split
from multidd.graph.hetero import homogeneous
from multidd.graph.judge import Judge
from multidd.graph.summary import GraphSummary
from multidd.graph.task import NodeTask

METHODS: dict[str, Callable[..., GraphSummary]] = {
    "gcond": gcond,
    "gcond_x": gcond_x,
    "doscond": doscond,
    "gcdm": gcdm,
    "dm_x": dm_x,
    "condense": condense,
    "random": random,
    "herding": herding,
    "kcenter": kcenter,
    "kmeans": kmeans,
}

LEARNED = ("gcond", "gcond_x", "doscond", "gcdm", "dm_x")
"""Methods with a loop: they take `steps`, `checkpoint` and the like."""

__all__ = [
    "GraphSummary",
    "Judge",
    "NodeTask",
    "blocks",
    "condense",
    "dm_x",
    "doscond",
    "gcdm",
    "gcond",
    "gcond_x",
    "given",
    "herding",
    "homogeneous",
    "kcenter",
    "kmeans",
    "load",
    "random",
    "split",
]
