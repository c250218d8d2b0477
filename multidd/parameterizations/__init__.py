"""Parameterizations: how a synthetic set is stored and drawn."""

from multidd.parameterizations.adjacency import BernoulliAdjacency, PairwiseAdjacency
from multidd.parameterizations.bases import Bases
from multidd.parameterizations.decoder_nets import DecoderFit, DecoderNet
from multidd.parameterizations.decoders import Conditional, SharedDecoder
from multidd.parameterizations.free import Free, FromTensors
from multidd.parameterizations.generators import Generator, Latent
from multidd.parameterizations.hallucinators import Hallucinators
from multidd.parameterizations.histories import GumbelHistories, TopHistories
from multidd.parameterizations.labels import Labels
from multidd.parameterizations.mixtures import Mixtures
from multidd.parameterizations.tiles import Tiles

__all__ = [
    "Bases",
    "BernoulliAdjacency",
    "Conditional",
    "DecoderFit",
    "DecoderNet",
    "Free",
    "FromTensors",
    "Generator",
    "GumbelHistories",
    "Hallucinators",
    "Labels",
    "Latent",
    "Mixtures",
    "PairwiseAdjacency",
    "SharedDecoder",
    "Tiles",
    "TopHistories",
]
