"""Objectives: what is matched between the synthetic and the real set."""

from multidd.objectives.contrast import Contrast
from multidd.objectives.decoupled import Recovery
from multidd.objectives.distances import (
    L1,
    MSE,
    ColumnCosine,
    CosineMagnitude,
    LayerCosine,
    NormalizedMSE,
)
from multidd.objectives.distribution import DistributionMatching
from multidd.objectives.gradient import GradientMatching
from multidd.objectives.kernel import KernelRidge, RidgeSearch
from multidd.objectives.mix import Mix, Part
from multidd.objectives.representative import Representative
from multidd.objectives.terms import (
    MMD,
    Centralization,
    Characteristic,
    Covariance,
    CrossEntropy,
    Discrimination,
    Means,
)
from multidd.objectives.trajectory import TrajectoryMatching
from multidd.objectives.trajectory_diagnostics import TrajectoryMonitor
from multidd.objectives.unroll import Unroll

__all__ = [
    "Centralization",
    "Characteristic",
    "ColumnCosine",
    "Contrast",
    "CosineMagnitude",
    "Covariance",
    "CrossEntropy",
    "Discrimination",
    "DistributionMatching",
    "GradientMatching",
    "KernelRidge",
    "L1",
    "LayerCosine",
    "MMD",
    "MSE",
    "Means",
    "Mix",
    "NormalizedMSE",
    "Part",
    "Recovery",
    "Representative",
    "RidgeSearch",
    "TrajectoryMatching",
    "TrajectoryMonitor",
    "Unroll",
]
