"""Dataset distillation in every modality.

`import multidd` is light: it loads neither torch nor PyG. Names and modalities
load on first use (`multidd.graph`, `multidd.distill`, `multidd.load`, ...).
"""

import os
import pathlib
from importlib import import_module
from typing import TYPE_CHECKING, Any

from multidd._version import __version__ as __version__

# Threads that spin for long while they wait cost a shared machine many times what they
# save; some microseconds of it cost nothing. Torch reads this when it is loaded.
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
    os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}

# In a bare checkout the adapters lie in ../modalities; an installed copy has them
# inside this package already.
_root = pathlib.Path(__file__).resolve().parent.parent
_is_checkout = (_root / "pyproject.toml").is_file() and (_root / "modalities").is_dir()
CHECKOUT = _root if _is_checkout else None
if CHECKOUT is not None:
    __path__.append(str(CHECKOUT / "modalities"))

_MODULES = (
    "kernels",
    "learning",
    "objectives",
    "parallel",
    "parameterizations",
    "samples",
    "selection",
)
_NAMES = {
    "distill": "engine.loop",
    "select": "engine.loop",
    "RunOptions": "engine.options",
    "SelectBest": "engine.options",
    "compare": "evaluation.compare",
    "evaluate": "evaluation.evaluate",
    "methods": "evaluation.method_table",
    "rank_agreement": "evaluation.rank_agreement",
    "Protocol": "evaluation.protocol",
    "load": "summary",
    "DataSummary": "summary",
    "cite": "citation",
}

if TYPE_CHECKING:
    from multidd import graph as graph
    from multidd import images as images
    from multidd import kernels as kernels
    from multidd import learning as learning
    from multidd import objectives as objectives
    from multidd import parallel as parallel
    from multidd import parameterizations as parameterizations
    from multidd import recsys as recsys
    from multidd import samples as samples
    from multidd import selection as selection
    from multidd import text as text
    from multidd.citation import cite as cite
    from multidd.engine.loop import distill as distill
    from multidd.engine.loop import select as select
    from multidd.engine.options import RunOptions as RunOptions
    from multidd.engine.options import SelectBest as SelectBest
    from multidd.evaluation.compare import compare as compare
    from multidd.evaluation.evaluate import evaluate as evaluate
    from multidd.evaluation.method_table import methods as methods
    from multidd.evaluation.protocol import Protocol as Protocol
    from multidd.evaluation.rank_agreement import rank_agreement as rank_agreement
    from multidd.summary import DataSummary as DataSummary
    from multidd.summary import load as load


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(f"multidd.{_NAMES[name]}"), name)
    if name == "__all__":
        modality_names = import_module("multidd.modality").own_names()
        return sorted([*_MODULES, *_NAMES, *modality_names])
    if not name.startswith("_"):
        module = f"multidd.{name}"
        try:
            return import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
        registry = import_module("multidd.modality")
        if name in registry.names():
            return import_module(registry.entry(name).face)
    raise AttributeError(f"module 'multidd' has no attribute {name!r}")


def __dir__() -> list[str]:
    names = import_module("multidd.modality").names()
    return sorted({*globals(), *_MODULES, *_NAMES, *names})
