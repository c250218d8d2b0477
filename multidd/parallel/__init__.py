"""Independent work on many workers: one gatherer, and pools that are set right."""

from multidd.parallel.jobs import mapped

__all__ = ["mapped"]
