"""The public names of `multidd.recsys`, where they load on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from multidd.recsys.data.benchmarks import load, load_for_evaluation
from multidd.recsys.data.generators import power_law, with_noise
from multidd.recsys.data.log import InteractionLog
from multidd.recsys.data.readers import read_log
from multidd.recsys.data.sketch import sketch
from multidd.recsys.evaluation.evaluator import Evaluator
from multidd.recsys.evaluation.recommend import recommend
from multidd.recsys.methods.kernel import DistillCFOptions, distill_cf
from multidd.recsys.methods.presets import preset
from multidd.recsys.methods.registry import LEARNED, METHODS, distill
from multidd.recsys.methods.selection import (
    head,
    herding,
    interactions,
    kcenter,
    kmeans,
    random,
    svp,
)
from multidd.recsys.models.als import ALS
from multidd.recsys.models.base import Recommender, fit
from multidd.recsys.models.ease import EASE
from multidd.recsys.models.infinite_ae import InfiniteAE
from multidd.recsys.models.itemknn import ItemKNN
from multidd.recsys.models.lightgcn import LightGCN
from multidd.recsys.models.metrics import rank
from multidd.recsys.models.multvae import MultVAE
from multidd.recsys.models.poprec import PopRec
from multidd.recsys.models.tuning import tune
from multidd.recsys.summary.binarize import sharpened
from multidd.recsys.summary.external import from_arrays
from multidd.recsys.summary.privacy import nearest_overlap
from multidd.recsys.summary.summary import RecsysSummary
from multidd.recsys.tasks.user_task import UserTask

if TYPE_CHECKING:
    from multidd.recsys.summary.plotting import plot_curve


given = load_for_evaluation  # its name before
Judge = Evaluator  # its name before

__all__ = [
    "LEARNED",
    "METHODS",
    "ALS",
    "DistillCFOptions",
    "EASE",
    "Evaluator",
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
    "distill",
    "distill_cf",
    "fit",
    "from_arrays",
    "given",
    "head",
    "herding",
    "interactions",
    "kcenter",
    "kmeans",
    "load",
    "load_for_evaluation",
    "nearest_overlap",
    "plot_curve",
    "power_law",
    "preset",
    "random",
    "rank",
    "read_log",
    "recommend",
    "sharpened",
    "sketch",
    "svp",
    "tune",
    "with_noise",
]


def __getattr__(name: str) -> Any:
    if name == "plot_curve":  # matplotlib takes long to load
        return import_module("multidd.recsys.summary.plotting").plot_curve
    raise AttributeError(f"module 'multidd.recsys' has no attribute {name!r}")
