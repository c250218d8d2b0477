"""Interaction logs by name or path, offline."""

import os
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from multidd.arguments import public_function
from multidd.data.sources import below_root, bundled, not_here
from multidd.recsys.data.generators import power_law
from multidd.recsys.data.log import InteractionLog
from multidd.recsys.data.readers import read_log
from multidd.recsys.data.sources import open_events

__all__ = ["DATASETS", "SAMPLE", "load", "load_for_evaluation"]

SAMPLE = bundled("movietweetings_small.parquet")
"""2,290 users x 2,146 items of MovieTweetings, which ship with the library."""

GENERATED = "power-law:"

SEED = 42  # of the splits of benchmarks that come without one


@dataclass(frozen=True)
class LogSource:
    """A benchmark: its file below `MULTIDD_DATA/recsys`, and its columns.

    Attributes:
        file: path of the file.
        columns: role -> column.
    """

    file: str
    columns: Mapping[str, Any]


_TIMED = {
    "user": "user_id",
    "item": "item_id",
    "rating": "rating",
    "time": "timestamp",
}

DATASETS = {
    "ml-1m": LogSource(
        "ml-1m_official/ml1m_split.parquet",
        {"user": "user_id", "item": "item_id", "rating": "rating", "split": "split"},
    ),
    "ml-100k": LogSource(
        "ml-100k/ml100k_split_seed42.parquet", {**_TIMED, "split": "split"}
    ),
    "movietweetings": LogSource("movietweetings_100k/mt100k_5core.parquet", _TIMED),
}
"""Benchmarks by name. MovieLens must not be passed on, so it does not ship."""


@public_function
def load(name: str | os.PathLike[str], seed: int = 0, **columns: Any) -> InteractionLog:
    """An interaction log with its parts: a benchmark by name, or a file of one's own.

    `"ml-1m"` is MovieLens-1M with the split of the DISTILL-CF authors, `"ml-100k"`
    MovieLens-100k with a split of the same protocol, `"movietweetings"` the users and
    items of MovieTweetings-100K with five interactions at least; these are looked for
    below the folder `MULTIDD_DATA`. `"sample:movietweetings"` ships with the library.
    The two of MovieTweetings are split `"user-random"` with seed 42, as the published
    numbers for them are. `"power-law:1000x500x20000"` is a generated log of so many
    users, items and interactions, to try sizes on.

    Args:
        name: one of these, or the path of a file or folder that `read_log` reads.
        seed: of the split of a path that comes without one: no `split=` is given, and
            no column is called split. Benchmarks have their own.
        columns: for a path: `user=`, `item=` and the other keywords of `read_log`.

    Returns:
        The log, divided into training, validation and test.

    Raises:
        ValueError: unknown name; a file that holds no log.
        MultiddError: a benchmark that is not there.

    Example:
        >>> load("sample:movietweetings").count(0)
        39634
    """
    text = os.fspath(name)
    if text == "sample:movietweetings":
        return _read(text, SAMPLE, _TIMED)
    if text.startswith(GENERATED):
        return _generated(text)
    if text in DATASETS:
        return _read(text, _find(text, DATASETS[text]), DATASETS[text].columns)
    path = pathlib.Path(text)
    if not path.exists():
        raise ValueError(
            f"log must be one of {', '.join(DATASETS)}, sample:movietweetings, or the "
            f"path of a file or folder; got {text!r}"
        )
    log = read_log(path, **_with_split(path, columns))
    return log if log.part is not None else log.split(seed=seed)


@public_function
def load_for_evaluation(
    name: str | os.PathLike[str],
    *,
    seed: int = 0,
    user: str | None = None,
    item: str | None = None,
    rating: str | None = None,
    time: str | None = None,
    split: str | None = None,
    min_rating: float | None = None,
    min_user: int | None = None,
    min_item: int | None = None,
) -> tuple[InteractionLog, dict[str, Any]]:
    """A log by name or path, for methods and for `multidd.evaluate`.

    Args:
        name: what `load` takes.
        seed: of the split, for a path without one.
        user, item, rating, time, split: columns, for a path; as of `read_log`.
        min_rating, min_user, min_item: as of `read_log`.

    Returns:
        What methods take, and the keywords with which `evaluate` judges a summary.

    Example:
        >>> log, exam = load_for_evaluation("sample:movietweetings")
        >>> exam["on"] is log
        True
    """
    asked = {
        "user": user,
        "item": item,
        "rating": rating,
        "time": time,
        "split": split,
        "min_rating": min_rating,
        "min_user": min_user,
        "min_item": min_item,
    }
    named = {key: value for key, value in asked.items() if value is not None}
    text = os.fspath(name)
    if named and (text in DATASETS or text.startswith(("sample:", GENERATED))):
        raise ValueError(
            f"{', '.join(f'{key}=' for key in named)} are for paths; {text!r} has its "
            "own columns; leave them out, or give the path of its file"
        )
    log = load(name, seed, **named)
    some = {"users": 2000} if text.startswith(GENERATED) else {}
    return log, {"on": log} | some


def _read(name: str, file: pathlib.Path, columns: Mapping[str, Any]) -> InteractionLog:
    log = read_log(file, **columns, name=name)
    return log if log.part is not None else log.split("user-random", seed=SEED)


def _generated(name: str) -> InteractionLog:
    sizes = name.removeprefix(GENERATED).split("x")
    if len(sizes) != 3 or not all(size.isdecimal() for size in sizes):
        raise ValueError(
            f"a generated log is named {GENERATED}USERSxITEMSxINTERACTIONS, such as "
            f"{GENERATED}1000x500x20000; got {name!r}"
        )
    users, items, interactions = map(int, sizes)
    log = power_law(users, items, interactions, seed=SEED)
    return replace(log, name=name).split("user-random", seed=SEED)


def _with_split(path: pathlib.Path, columns: dict[str, Any]) -> dict[str, Any]:
    """The columns, and the one called split where none is named."""
    if columns.get("split") is None and "split" in open_events(path).names:
        return {**columns, "split": "split"}
    return columns


def _find(name: str, source: LogSource) -> pathlib.Path:
    file = below_root([f"recsys/{source.file}", source.file])
    if file is not None:
        return file
    raise not_here(name, f"recsys/{source.file}", "sample:movietweetings")
