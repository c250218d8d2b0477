"""Work on many workers, and one run on many devices."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multidd.parallel.jobs import mapped as mapped
    from multidd.parallel.pools import ray_executor as ray_executor
    from multidd.parallel.pools import workers as workers
    from multidd.parallel.rank_group import ranks as ranks

__all__ = ["mapped", "ranks", "ray_executor", "workers"]

_MODULES = {
    "mapped": "jobs",
    "ranks": "rank_group",
    "ray_executor": "pools",
    "workers": "pools",
}
"""Name -> its module, loaded when asked for: workers that only read need no torch."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
