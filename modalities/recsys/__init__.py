"""Recommender systems: logs of interactions distilled to a few synthetic users.

Methods: `distill_cf`; selections: `random`, `head`, `herding`, `kcenter`, `kmeans`,
`svp`, `interactions`. All take an `InteractionLog`, which `read_log` makes, and give a
`RecsysSummary`. Models: `InfiniteAE`, `EASE`, `ItemKNN`, `PopRec`, `ALS`, `MultVAE`,
`LightGCN`.
"""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from multidd.recsys._distill_cf import distill_cf
from multidd.recsys._selections import (
    SELECTIONS,
    head,
    herding,
    interactions,
    kcenter,
    kmeans,
    random,
    svp,
)
from multidd.recsys.als import ALS
from multidd.recsys.data import given, load
from multidd.recsys.ease import EASE
from multidd.recsys.generated import power_law
from multidd.recsys.infinite_ae import InfiniteAE
from multidd.recsys.itemknn import ItemKNN
from multidd.recsys.judge import Judge
from multidd.recsys.lightgcn import LightGCN
from multidd.recsys.log import InteractionLog
from multidd.recsys.metrics import rank
from multidd.recsys.multvae import MultVAE
from multidd.recsys.noise import with_noise
from multidd.recsys.popularity import PopRec
from multidd.recsys.privacy import nearest_overlap
from multidd.recsys.reading import read_log
from multidd.recsys.recommender import Recommender, fit
from multidd.recsys.serving import recommend
from multidd.recsys.sharpening import sharpened
from multidd.recsys.summary import RecsysSummary
from multidd.recsys.task import UserTask
from multidd.recsys.tuning import tune

if TYPE_CHECKING:
    from multidd.recsys.plotting import plot_curve

METHODS: dict[str, Callable[..., RecsysSummary]] = {
    "distill_cf": distill_cf,
    **SELECTIONS,
}

LEARNED = ("distill_cf",)
"""Methods with a loop: they take `steps`, `checkpoint` and the like."""

__all__ = [
    "ALS",
    "EASE",
    "InfiniteAE",
    "InteractionLog",
    "ItemKNN",
    "Judge",
    "LightGCN",
    "MultVAE",
    "PopRec",
    "Recommender",
    "RecsysSummary",
    "UserTask",
    "distill_cf",
    "fit",
    "given",
    "head",
    "herding",
    "interactions",
    "kcenter",
    "kmeans",
    "load",
    "nearest_overlap",
    "plot_curve",
    "power_law",
    "random",
    "rank",
    "read_log",
    "recommend",
    "sharpened",
    "svp",
    "tune",
    "with_noise",
]


def __getattr__(name: str) -> Any:
    if name == "plot_curve":  # matplotlib takes long to load
        return import_module("multidd.recsys.plotting").plot_curve
    raise AttributeError(f"module 'multidd.recsys' has no attribute {name!r}")
