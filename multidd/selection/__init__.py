"""Selections: real records chosen or averaged without a loop."""

from multidd.selection.basic import Herding, KCenter, KMeans, Medoids, Random, Scored
from multidd.selection.pursuit import Pursuit

__all__ = ["Herding", "KCenter", "KMeans", "Medoids", "Pursuit", "Random", "Scored"]
