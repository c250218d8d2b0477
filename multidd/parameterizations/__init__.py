"""How a synthetic set is stored and drawn."""

from multidd.parameterizations.bernoulli import BernoulliAdjacency
from multidd.parameterizations.free import Free
from multidd.parameterizations.labels import Labels
from multidd.parameterizations.pairwise import PairwiseAdjacency
from multidd.parameterizations.tiles import Tiles

__all__ = ["BernoulliAdjacency", "Free", "Labels", "PairwiseAdjacency", "Tiles"]
