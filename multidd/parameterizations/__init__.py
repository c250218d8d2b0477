"""How a synthetic set is stored and drawn."""

from multidd.parameterizations.bernoulli import BernoulliAdjacency
from multidd.parameterizations.free import Free
from multidd.parameterizations.pairwise import PairwiseAdjacency

__all__ = ["BernoulliAdjacency", "Free", "PairwiseAdjacency"]
