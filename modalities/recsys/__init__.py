"""Recommender systems: logs of interactions distilled to a few synthetic users."""

from multidd.recsys._distill_cf import distill_cf
from multidd.recsys.generated import power_law
from multidd.recsys.infinite_ae import InfiniteAE
from multidd.recsys.log import InteractionLog
from multidd.recsys.reading import read_log
from multidd.recsys.summary import RecsysSummary
from multidd.recsys.task import UserTask

__all__ = [
    "InfiniteAE",
    "InteractionLog",
    "RecsysSummary",
    "UserTask",
    "distill_cf",
    "power_law",
    "read_log",
]
