"""What a checkpoint must hold so that a run can go on from it.

Its tensors are compared with those of a fresh start of the run, by name, type, shape
and, where it is known, range: whatever a file claims, the run knows what it needs.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from torch import Tensor

from multidd.engine.run import Run
from multidd.errors import CheckpointMismatchError
from multidd.storage.fields import Flag, FreeJSON, Items, Maybe, Number, Record, Text
from multidd.storage.schema import Form, forms_of, refuse

INFO = Record(
    {
        "settings": Record({"recipe": Record(others=FreeJSON())}, others=FreeJSON()),
        "best_score": Maybe(Number()),
        "stale": Number(low=0, whole=True),
        "finished": Flag(),
        "seconds": Number(low=0),
        "order": Items(Text()),
        "ranks": Number(low=1, whole=True),
    },
    optional=frozenset({"ranks"}),
)
"""What a checkpoint says of a run, beside its step and its tensors."""

_ANOTHER = (
    "use another folder, or delete this file to go on from the one before it, if any"
)


def check_fits(
    path: Path,
    run: Run,
    fresh: Mapping[str, Tensor],
    step: int,
    tensors: Mapping[str, Tensor],
    info: dict[str, Any],
) -> None:
    """Refuse a checkpoint that a run cannot go on from.

    Args:
        path: of its file.
        run: which wants to go on.
        fresh: tensors of a fresh start of the run.
        step: of the checkpoint.
        tensors: of the checkpoint.
        info: of the checkpoint, as `INFO` says.

    Raises:
        CheckpointMismatchError: steps or tensors are not those of this run.
        SchemaError: what it says of the run does not fit together.
    """
    _check_progress(path, run, step, tensors, info)
    _check_forms(path, run, fresh, step, tensors, info)


def _check_progress(
    path: Path, run: Run, step: int, tensors: Mapping[str, Tensor], info: dict[str, Any]
) -> None:
    """Refuse numbers that do not fit each other."""
    order, names = info["order"], set(tensors)
    if len(order) != len(names) or set(order) != names:
        wrong = sorted(set(order) ^ names) or [n for n in order if order.count(n) > 1]
        refuse(path, f"info.order does not name each tensor once: {wrong[0]!r:.80}")
    if step > run.steps:
        raise CheckpointMismatchError(
            f"{path}: step is {step}, and this run has {run.steps} steps; {_ANOTHER}"
        )
    if info["stale"] > step + 1:
        refuse(path, f"info.stale is {info['stale']} after {step} steps")
    if run.select_best is None and info["best_score"] is not None:
        refuse(path, "info.best_score is a number, and this run has no select_best")


def _check_forms(
    path: Path,
    run: Run,
    fresh: Mapping[str, Tensor],
    step: int,
    tensors: Mapping[str, Tensor],
    info: dict[str, Any],
) -> None:
    """Refuse tensors that are not of the form that a fresh start has."""
    params = "params::"
    forms = forms_of(fresh)
    best = {"best::": Form("F32", (0,))}
    if info["best_score"] is not None:
        named = {n.removeprefix(params): f for n, f in forms.items() if params in n}
        best = {f"best::{name}": form for name, form in named.items()}
    forms |= best | {"history": Form("F64", (step,))}
    actual = forms_of(tensors)
    varying = varying_names(run.objective)
    for name in sorted(forms | actual):
        was, now = actual.get(name), forms.get(name)
        if was and now and name.split("::")[-1] in varying:
            was, now = (replace(form, shape=form.shape[1:]) for form in (was, now))
        if was != now:
            texts = ["(absent)" if form is None else str(form) for form in (was, now)]
            done = " (info.finished is true)" * info["finished"]
            _mismatch(path, name, f"is {texts[0]}, and in this run {texts[1]}{done}")
    for name, tensor in tensors.items():
        low, high = _range(name, fresh.get(name), run.task)
        if tensor.numel() and not low <= (least := tensor.min().item()):
            _mismatch(path, name, f"holds {least:,}; it must be {low:,} or more")
        if tensor.numel() and not (most := tensor.max().item()) <= high:
            _mismatch(path, name, f"holds {most:,}; it must be {high:,} or less")


def _mismatch(path: Path, name: str, fault: str) -> NoReturn:
    raise CheckpointMismatchError(f"{path}: tensor {name!r} {fault}; {_ANOTHER}")


MAX_INDEX = 2**24
"""Above any whole number that no optimizer moves: tokens, nodes, places."""


def _range(name: str, start: Tensor | None, task: Any) -> tuple[float, float]:
    """What the values of a tensor must lie between."""
    *above, last = name.split("::")
    if last in ("square", "count"):  # of optimizers, also of those in a state
        return 0, math.inf
    if start is None or not start.numel():
        return -math.inf, math.inf
    if start.is_floating_point() or start.is_complex():
        return -math.inf, math.inf
    if above != ["params"]:  # places and counts in a state
        return min(int(start.min()), 0), math.inf
    if last == "y":
        return 0, task.num_classes - 1
    # Masks and types are 0 or 1; other whole numbers depend on what was selected.
    least, most = int(start.min()), int(start.max())
    return min(least, 0), 1 if 0 <= least <= most <= 1 else MAX_INDEX


def varying_names(objective: Any) -> frozenset[str]:
    """Entries of a state whose first size changes from step to step, parts included.

    Example:
        >>> varying_names(object())
        frozenset()
    """
    parts = [getattr(objective, "objective", None), *getattr(objective, "parts", ())]
    names = frozenset(getattr(objective, "varying", ()))
    return names.union(*(varying_names(one) for one in parts if one is not None))
