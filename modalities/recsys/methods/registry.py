"""Every method of the modality by name, which have a loop, and `distill`."""

from collections.abc import Callable
from typing import Any

from multidd.arguments import public_function
from multidd.engine.recipe import call_named
from multidd.recsys.methods.kernel import distill_cf
from multidd.recsys.methods.selection import SELECTIONS
from multidd.recsys.summary.summary import RecsysSummary

METHODS: dict[str, Callable[..., RecsysSummary]] = {
    "distill_cf": distill_cf,
    **SELECTIONS,
}


LEARNED = ("distill_cf",)
"""Methods with a loop: they take `steps`, `checkpoint` and the like."""

DEFAULT = "distill_cf"
"""What `distill` takes unless a method is named."""


@public_function
def distill(
    data: Any,
    users: int | None = None,
    *,
    method: str | None = None,
    seed: int = 0,
    **settings: Any,
) -> RecsysSummary:
    """Distill a log to a few users: by `distill_cf`, or by any other method.

    `distill_cf` unless another is named: on MovieLens 100K, 1M and MovieTweetings it is
    the best at every number of users that was measured (see the page of recommender
    benchmarks). `kmeans` comes next and takes a second.

    Args:
        data: an `InteractionLog`; validation and test items are never read.
        users: how many synthetic users; 500 of `distill_cf` unless given.
        method: one of `multidd.recsys.METHODS`; None takes `"distill_cf"`.
        seed: seed of every draw of the run.
        **settings: of the method by name, those of its `options` and `run` among them.

    Returns:
        A `RecsysSummary`.

    Raises:
        TypeError: a setting that the method does not have, or no log.
        ValueError: no such method; bad budget or setting.

    Example:
        >>> import multidd
        >>> log = multidd.recsys.power_law(60, 40, 600)
        >>> distill(log, 5, method="kmeans").num_users
        5
    """
    settings |= {"seed": seed}
    summary: RecsysSummary
    summary = call_named(METHODS, method, DEFAULT, data, {"users": users}, settings)
    return summary
