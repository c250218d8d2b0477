"""What a measurement tells of the machine."""

import sys

__all__ = ["peak_megabytes"]


def peak_megabytes() -> float:
    """The most memory that this process has held.

    Example:
        >>> peak_megabytes() > 1
        True
    """
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
