"""Recommendations from synthetic users alone."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from multidd.arguments import public_function
from multidd.recsys.models.base import Model
from multidd.recsys.models.infinite_ae import InfiniteAE
from multidd.recsys.summary.summary import RecsysSummary

__all__ = ["recommend"]


@public_function
def recommend(
    summary: RecsysSummary,
    items: Sequence[Any] = (),
    k: int = 10,
    *,
    model: Model | None = None,
) -> list[Any]:
    """The k best new items for someone with a history; no log is needed.

    Args:
        summary: synthetic users.
        items: original ids of what was liked; ids that are numbers may be given as
            text.
        k: items wanted.
        model: what is trained on the summary; an `InfiniteAE` with the summary's own
            ridge unless given.

    Returns:
        Original ids, best first; none of `items`.

    Raises:
        ValueError: unknown ids; names the first ones.

    Example:
        >>> import multidd
        >>> log = multidd.recsys.power_law(60, 40, 600)
        >>> summary = multidd.recsys.distill_cf(log, users=5, steps=2)
        >>> len(recommend(summary, [3, "7"], k=4))
        4
    """
    trained = (InfiniteAE() if model is None else model).fit(summary)
    return trained.recommend_history(_typed(items, summary.item_ids), k)


def _typed(items: Sequence[Any], ids: np.ndarray) -> list[Any]:
    """Numbers that came as text, as numbers, where ids are numbers."""
    if ids.dtype.kind not in "iu":
        return [str(item) for item in items]
    try:
        return [
            int(item) if isinstance(item, str) else operator.index(item)
            for item in items
        ]
    except (TypeError, ValueError):
        raise ValueError(
            f"item ids are whole numbers, such as {ids[0]}; got {list(items)!r}"
        ) from None
