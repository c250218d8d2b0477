"""What is matched between the synthetic and the real set."""

from multidd.objectives.contrast import Contrast
from multidd.objectives.decoupled import Recovery
from multidd.objectives.distribution import DistributionMatching
from multidd.objectives.gradient import GradientMatching
from multidd.objectives.kernel import KernelRidge
from multidd.objectives.mix import Mix
from multidd.objectives.representative import Representative
from multidd.objectives.trajectory import TrajectoryMatching
from multidd.objectives.unroll import Unroll

__all__ = [
    "Contrast",
    "DistributionMatching",
    "GradientMatching",
    "KernelRidge",
    "Mix",
    "Recovery",
    "Representative",
    "TrajectoryMatching",
    "Unroll",
]
