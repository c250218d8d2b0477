"""Every method of the modality by name, and which of them have a loop."""

from collections.abc import Callable

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
