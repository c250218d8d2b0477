"""Settings that recipes take by name, apart from those of their run."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from multidd.engine.loop import RunOptions

__all__ = ["split_options"]

S = TypeVar("S")


def split_options(defaults: S, options: Mapping[str, Any]) -> tuple[S, dict[str, Any]]:
    """A recipe's settings with what the caller gave, and the options of the run.

    Args:
        defaults: the recipe's own, a frozen dataclass.
        options: by name: of its fields, and of `RunOptions`.

    Raises:
        TypeError: an option that is neither.

    Example:
        >>> from multidd.learning.optim import SGD
        >>> split_options(SGD(lr=0.1), {"lr": 0.2, "timeout": 60.0})[1]
        {'timeout': 60.0}
    """
    settings: Any = defaults
    own = {f.name for f in fields(settings)}
    run = set(RunOptions.__annotations__)
    unknown = sorted(set(options) - own - run)
    if unknown:
        raise TypeError(
            f"no option is called {', '.join(unknown)}; there are "
            f"{', '.join(sorted(own | run))}"
        )
    given = {name: value for name, value in options.items() if name in own}
    rest = {name: value for name, value in options.items() if name in run}
    return replace(settings, **given), rest
