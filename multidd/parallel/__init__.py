"""One run on many devices, under `torchrun`: `ranks`."""

from multidd.parallel.ranks import ranks as ranks

__all__ = ["ranks"]
