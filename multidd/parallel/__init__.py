"""Independent work on many workers: one gatherer, and pools that are set right."""

from multidd.parallel.jobs import mapped
from multidd.parallel.pools import ray_executor, workers

__all__ = ["mapped", "ray_executor", "workers"]
