"""Learners: optimizers, model states, inner loops, experts and their kernels."""

from multidd.learning.experts import (
    GSAM,
    Experts,
    FinalExperts,
    Recording,
    Trainer,
    record,
)
from multidd.learning.inner_loop import InnerLoop
from multidd.learning.kernel_sources import Features, Infinite, Plain
from multidd.learning.optim import SGD, Adam, RunningClip
from multidd.learning.states import Bank, Fresh, Frozen, Online, Pool
from multidd.learning.unroll import train

__all__ = [
    "Adam",
    "Bank",
    "Experts",
    "Features",
    "FinalExperts",
    "Fresh",
    "Frozen",
    "GSAM",
    "Infinite",
    "InnerLoop",
    "Online",
    "Plain",
    "Pool",
    "Recording",
    "RunningClip",
    "SGD",
    "Trainer",
    "record",
    "train",
]
