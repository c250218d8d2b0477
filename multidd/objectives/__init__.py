"""What is matched between the synthetic and the real set."""

from multidd.objectives.distribution import DistributionMatching
from multidd.objectives.gradient import GradientMatching

__all__ = ["DistributionMatching", "GradientMatching"]
