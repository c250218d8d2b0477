"""Settings of a model chosen on validation data."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from multidd import seeds
from multidd.arguments import public_function
from multidd.recsys.models.base import Model, Scorer, checked
from multidd.recsys.models.metrics import measure
from multidd.recsys.models.stepwise import STOPS, Stepwise

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, eq=False)
class Tuned(Generic[M]):
    """What was chosen.

    Attributes:
        model: the best settings, the first of equal ones.
        values: of each member of the grid, its value on validation data.
        scorer: what the best one learned.
        capped: a training of whole data ended while it may still have been rising.
    """

    model: M
    values: dict[M, float]
    scorer: Scorer
    capped: bool = False


@public_function
def tune(
    model: M,
    rows: csr_array,
    weight: NDArray | None,
    context: csr_array,
    target: csr_array,
    *,
    metric: str | None = None,
    users: int = 1000,
    rng: torch.Generator,
) -> tuple[M, dict[M, float]]:
    """Choose a model's settings from its grid by scores on validation users.

    Args:
        model: settings; its `grid` is tried.
        rows: `[m, I]` to train on: a log's training part, or synthetic users.
        weight: `[m]`, or None for ones.
        context: `[U, I]`, what is known of the real users.
        target: `[U, I]`, their validation items; users without any do not count.
        metric: what decides, one of lists such as `"hr@100"`, which is taken unless
            given, or a list of a tenth of the items where that is shorter: a list of
            all items finds everything.
        users: how many users decide: a random sample where there are more.
        rng: draws the sample and seeds the training, which is on its device.

    Returns:
        The best settings, the first of equal ones, and the value of each.

    Raises:
        ValueError: rows with other items than the context, users below 1, or what
            `measure` refuses.

    Example:
        >>> from multidd.recsys.models.itemknn import ItemKNN
        >>> rows = csr_array([[1, 1, 0], [0, 1, 1]])
        >>> context, target = csr_array([[1, 0, 0]]), csr_array([[0, 1, 0]])
        >>> best, values = tune(ItemKNN(), rows, None, context, target,
        ...     metric="hr@1", rng=torch.Generator())
        >>> values[best]
        1.0
    """
    tuned = best(
        model, rows, weight, context, target, metric=metric, users=users, rng=rng
    )
    return tuned.model, tuned.values


def best(
    model: M,
    rows: csr_array,
    weight: NDArray | None,
    context: csr_array,
    target: csr_array,
    *,
    metric: str | None = None,
    users: int = 1000,
    rng: torch.Generator,
    whole: bool = False,
) -> Tuned[M]:
    """As `tune`, with what the best settings learned, which need not train again.

    Of `whole` data a model that is trained by updates goes on until as many as its
    `updates` have not raised the value, twenty times `updates` at most.
    """
    if rows.shape[1] != context.shape[1] or users < 1:
        raise ValueError(
            "rows and context must have the same items and users be 1 or more; got "
            f"{rows.shape[1]} and {context.shape[1]} items, users={users}"
        )
    if metric is None:
        metric = f"hr@{min(100, max(1, rows.shape[1] // 10))}"
    some = _sample(np.flatnonzero(np.diff(csr_array(target).indptr)), users, rng)
    known, targets = csr_array(context)[some], csr_array(target)[some]
    matrix, weights = checked(rows, weight)
    count = np.bincount(matrix.indices, minlength=matrix.shape[1])
    numbers = {"popularity": count, "num_train": matrix.nnz}
    if not metric.startswith("psp"):
        numbers = {}
    values: dict[M, float] = {}
    chosen: tuple[M, Scorer] | None = None
    stepwise: Any = model if whole and isinstance(model, Stepwise) else None
    train = stepwise.train_on if stepwise else model.train_grid
    looks = 0  # since the best one
    place = {} if rng.device.type == "cpu" else {"device": rng.device}
    for member, scorer in train(matrix, weights, seeds.child(rng), **place):
        values[member] = measure(scorer, known, targets, metric, **numbers)
        looks += 1
        if chosen is None or values[member] > values[chosen[0]]:
            chosen, looks = (member, scorer), 0
        elif stepwise and looks == STOPS:
            break
    assert chosen is not None  # no grid is empty
    capped = stepwise is not None and looks < STOPS
    return Tuned(chosen[0], values, chosen[1], capped)


def _sample(who: NDArray, size: int, rng: torch.Generator) -> NDArray:
    if len(who) <= size:
        return who
    order = torch.randperm(len(who), generator=seeds.host(rng)).numpy()
    return np.sort(who[order[:size]])
