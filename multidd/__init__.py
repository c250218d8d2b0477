"""multidd: dataset distillation in every modality.

`import multidd` is light: it loads neither torch nor PyG. Names and modalities
load on first use (`multidd.graph`, `multidd.distill`, `multidd.load`, ...).
"""

import pathlib
from importlib import import_module
from typing import TYPE_CHECKING, Any

from multidd._version import __version__ as __version__

# In a bare checkout the adapters lie in ../modalities; an installed copy has them
# inside this package already.
_root = pathlib.Path(__file__).resolve().parent.parent
if (_root / "pyproject.toml").is_file() and (_root / "modalities").is_dir():
    __path__.append(str(_root / "modalities"))

_MODULES = (
    "graph",
    "images",
    "kernels",
    "objectives",
    "parameterizations",
    "recsys",
    "samples",
    "text",
)
_NAMES = {
    "distill": "engine.loop",
    "select": "engine.loop",
    "RunOptions": "engine.options",
    "SelectBest": "engine.options",
    "evaluate": "evaluation.evaluate",
    "Protocol": "evaluation.protocol",
    "load": "summary",
    "DataSummary": "summary",
    "cite": "citation",
}

if TYPE_CHECKING:
    import multidd.graph as graph
    import multidd.images as images
    import multidd.recsys as recsys
    import multidd.text as text
    from multidd import kernels, objectives, parameterizations, samples
    from multidd.citation import cite
    from multidd.engine.loop import distill, select
    from multidd.engine.options import RunOptions, SelectBest
    from multidd.evaluation.evaluate import evaluate
    from multidd.evaluation.protocol import Protocol
    from multidd.summary import DataSummary, load

__all__ = [
    "DataSummary",
    "Protocol",
    "RunOptions",
    "SelectBest",
    "cite",
    "distill",
    "evaluate",
    "graph",
    "images",
    "kernels",
    "load",
    "objectives",
    "parameterizations",
    "recsys",
    "samples",
    "select",
    "text",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"multidd.{name}")
    if name in _NAMES:
        return getattr(import_module(f"multidd.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'multidd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
