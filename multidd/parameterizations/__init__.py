"""How a synthetic set is stored and drawn."""

from multidd.parameterizations.bernoulli import BernoulliAdjacency
from multidd.parameterizations.free import Free
from multidd.parameterizations.gumbel import GumbelHistories
from multidd.parameterizations.labels import Labels
from multidd.parameterizations.pairwise import PairwiseAdjacency
from multidd.parameterizations.tiles import Tiles
from multidd.parameterizations.top import TopHistories

__all__ = [
    "BernoulliAdjacency",
    "Free",
    "GumbelHistories",
    "Labels",
    "PairwiseAdjacency",
    "Tiles",
    "TopHistories",
]
