"""Work on many workers, and one run on many devices."""

from multidd.parallel.jobs import mapped
from multidd.parallel.pools import ray_executor, workers
from multidd.parallel.ranks import ranks as ranks

__all__ = ["mapped", "ranks", "ray_executor", "workers"]
