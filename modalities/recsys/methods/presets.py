"""Settings of the papers for logs: what `preset="paper"` takes.

Values are those of the paper and of its authors' code; what neither says stays at the
default. `remains` says what is different from the paper under the preset too.
"""

from collections.abc import Mapping
from typing import Any

from multidd.engine.options import SelectBest
from multidd.engine.presets import PAPER, Preset, Presets

__all__ = ["PRESETS", "preset"]


def _distill_cf(users: int) -> Mapping[str, Any]:
    return {
        "steps": 500,
        "init": "random",
        "draws": 200,
        "gumbel_temperature": 10.0,
        "sampler": "independent",
        "lr": 0.04,
        "batch_size": None,
        "holdout": 0.0,
        "popularity_weight": 0.0,
        "scale": 1.0,
        "depth": 1,
        # The code looks every 25 steps, and stops 150 steps after the last gain.
        "select_best": SelectBest(every=25, patience=6),
    }


def _facts(data: Any, budget: Mapping[str, Any]) -> tuple[Any, int]:
    return data, 500


PRESETS = Presets(
    {
        "distill_cf": Preset(
            _distill_cf,
            "no penalty on the number of items; the best step is that of the "
            "validation score here; `length=` is none of the paper's.",
        )
    },
    _facts,
)
"""The paper of each method."""


def preset(method: str, *, data: Any = None, name: str = PAPER) -> dict[str, Any]:
    """The settings that a preset takes, by flat name.

    Args:
        method: one of `multidd.recsys.METHODS` that has a paper.
        data: a log; the paper has the same settings for all.
        name: of the preset.

    Returns:
        Name -> value of each parameter and option that the preset sets.

    Raises:
        ValueError: a method without a paper, or no such preset.

    Example:
        >>> paper = preset("distill_cf")
        >>> paper["steps"], paper["sampler"], paper["holdout"]
        (500, 'independent', 0.0)
    """
    return PRESETS.settings(method, data, {}, name)
