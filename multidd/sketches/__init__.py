"""Sketches of data larger than a machine: a map over shards, and a merge."""

from multidd.sketches.bottom import BottomK, SampledRecord
from multidd.sketches.hashing import hash_ids, hash_record, mix, seed_key
from multidd.sketches.kmeans import Clusters, kmeans
from multidd.sketches.labelled import LabelledSketch
from multidd.sketches.merging import Sketch, merged, sketched
from multidd.sketches.shards import open_shard, shards_of

__all__ = [
    "BottomK",
    "SampledRecord",
    "Clusters",
    "LabelledSketch",
    "Sketch",
    "kmeans",
    "hash_ids",
    "hash_record",
    "merged",
    "mix",
    "open_shard",
    "seed_key",
    "shards_of",
    "sketched",
]
