"""The lines of `multidd bench recsys`."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from multidd.evaluation.lines import Line
from multidd.evaluation.scale_benchmark import NumbersLine
from multidd.recsys.data.log import InteractionLog
from multidd.recsys.evaluation.evaluator import MODELS, ROWS
from multidd.recsys.evaluation.scale import distilled_line, sketch_line
from multidd.recsys.methods import selection
from multidd.recsys.models.infinite_ae import InfiniteAE
from multidd.recsys.summary.storage import as_matrix, store
from multidd.recsys.summary.summary import RecsysSummary

SMALLEST = {"users": 1}
"""A budget that any log has."""

BESIDE = ("nystrom",)
"""Rows that make no summary of their own."""

TIMED = True
"""Lines of whole data tell what training and testing cost: that is what summaries are
compared with."""


def random_bytes(data: Any, kib: int, *, seed: int = 0) -> RecsysSummary:
    """Random users of so many bytes.

    Args:
        data: an `InteractionLog`.
        kib: at most so many KiB.
        seed: of the draw.

    Example:
        >>> import multidd
        >>> log = multidd.recsys.power_law(60, 40, 600)
        >>> random_bytes(log, 2).num_bytes <= 2048
        True
    """
    return selection.of_bytes(data, 1024 * kib, seed)


def fit_and_predict(log: InteractionLog) -> Callable[[], Tensor]:
    """Training of an infinite autoencoder on a log, and its scores of all users.

    Example:
        >>> import multidd
        >>> fit_and_predict(multidd.recsys.power_law(60, 40, 600))().shape
        torch.Size([60, 40])
    """
    return lambda: InfiniteAE().fit(log).scores(log.train)


METHODS = {"random_bytes": random_bytes}
"""Controls that are no method of their own."""

SELECTIONS = tuple(row for row in ROWS if row != "random_bytes")

SIZED = True
"""Rows of as many users differ in bytes."""

BINARY = {"length": "mean"}

PAPER = {
    "holdout": 0.0,
    "popularity_weight": 0.0,
    "scale": 1.0,
    "batch_size": None,
    "init": "random",
    "sampler": "independent",
}
"""DISTILL-CF as its authors have it."""

AUTHORS = "31.91, 33.39, 60.91, 43.33 (authors' code)"


def _models(data: str, names: dict[str, str]) -> tuple[Line, ...]:
    """Whole data, each model."""
    return tuple(
        Line(data, {}, "whole", published, models=(model,))
        for model, published in names.items()
    )


def _row(data: str, users: int, model: str = "infinite_ae") -> tuple[Line, ...]:
    """Every selection, and the distilled set, with as many users."""
    budget = {"users": users}
    chosen = SELECTIONS if model == "infinite_ae" else SELECTIONS[:-1]
    return (
        *(Line(data, budget, name, models=(model,)) for name in chosen),
        Line(data, budget, "distill_cf", models=(model,)),
    )


FIVE, FIFTY, FORTY = {"users": 500}, {"users": 50}, {"users": 40}

FULL = {
    "holdout": 0.0,
    "popularity_weight": 0.0,
    "batch_size": None,
    "init": "random",
    "steps": 20,
}
STEP = "4.40 s a step (authors' code)"

LARGE = "power-law:1000000x50000x50000000"
TENTH = "power-law:100000x50000x5000000"

LINES = (
    *_models(
        "ml-1m",
        {
            "infinite_ae": AUTHORS,
            "ease": "32.26, 34.07, 59.98, 43.17 (trial)",
            "poprec": "13.51, 14.35, 30.83, 19.99 (trial)",
            "multvae": "NDCG@10 22.14",
        },
    ),
    Line("ml-1m", FIVE, "random", "25.93, 27.46 (trial)", models=("infinite_ae",)),
    Line("ml-1m", FIVE, "head", "19.20, 20.15 (trial)", models=("infinite_ae",)),
    *(
        Line("ml-1m", FIVE, name, models=("infinite_ae",))
        for name in ("herding", "kcenter", "kmeans", "svp", "interactions", "nystrom")
    ),
    Line("ml-1m", FIVE, "distill_cf", "31.15, 32.52", models=("infinite_ae",)),
    *(
        Line("ml-1m", FIVE, method, models=(model,))
        for model in ("ease", "multvae")
        for method in ("random", "kmeans", "distill_cf")
    ),
    Line("ml-1m", FORTY, "random", models=("infinite_ae",)),
    Line("ml-1m", FORTY, "kmeans", models=("infinite_ae",)),
    Line(
        "ml-1m",
        FORTY,
        "distill_cf",
        "27.9 (read off a figure)",
        models=("infinite_ae",),
    ),
    *(
        Line("ml-1m", FIVE, "distill_cf", options=BINARY, models=(model,))
        for model in ("infinite_ae", "ease")
    ),
    Line("ml-1m", FIVE, "distill_cf", STEP, FULL, ("infinite_ae",), note="step time"),
    *_models(
        "ml-100k",
        {
            "infinite_ae": "32.99, 33.73, 70.80, 46.91 (authors' code)",
            "ease": "34.22, 34.93, 72.14, 48.17 (trial)",
            "itemknn": "",
            "poprec": "15.61, 15.38, 43.72, 25.86 (trial)",
            "als": "",
            "multvae": "",
            "lightgcn": "",
        },
    ),
    *(line for users in (10, 50, 200, 500) for line in _row("ml-100k", users)),
    Line(
        "ml-100k",
        FIFTY,
        "distill_cf",
        "32.44, 33.02 (trial)",
        PAPER,
        models=("infinite_ae",),
    ),
    *(
        Line("ml-100k", FIFTY, "distill_cf", options=options, models=("infinite_ae",))
        for options in (
            {"sampler": "independent"},
            {"sampler": "expected"},
            {"sampler": "mean"},
            {"init": "random"},
            {"holdout": 0.0},
            {"popularity_weight": 0.0},
            {"scale": 1.0},
        )
    ),
    *_row("ml-100k", 50, "ease"),
    *(
        Line("ml-100k", FIFTY, "distill_cf", options=BINARY, models=(model,))
        for model in ("infinite_ae", "ease", "als", "multvae", "lightgcn")
    ),
    *(
        Line("ml-100k", FIFTY, "random", models=(model,))
        for model in ("als", "multvae", "lightgcn")
    ),
    *_models("movietweetings", dict.fromkeys(MODELS, "")),
    *(line for users in (10, 50, 200, 500) for line in _row("movietweetings", users)),
    # As many real users as take the bytes of the distilled ones above.
    *(
        Line(data, {"kib": kib}, "random_bytes", models=("infinite_ae",))
        for data, kib in (
            ("ml-1m", 579),
            ("ml-1m", 518),
            ("ml-100k", 33),
            ("ml-100k", 66),
            ("ml-100k", 329),
            ("movietweetings", 94),
        )
    ),
    Line(LARGE, {"users": 200}, "random", models=("infinite_ae",)),
    Line(LARGE, {"users": 200}, "distill_cf", models=("infinite_ae",)),
    *(
        Line(data, {"users": 200}, "distill_cf", "", {"steps": 20}, ("infinite_ae",))
        for data in (LARGE, TENTH)
    ),
)

PAPER_LINES = (Line("sample:movietweetings", FIFTY, "distill_cf"),)
"""The lines of `multidd bench paper`."""


REGIMES = tuple(
    Line("sample:movietweetings", FIFTY, name)
    for name in ("kmeans", "distill_cf", "head", "svp", "interactions")
)
"""The lines of `multidd bench regimes`."""


BYTES = tuple(
    Line("sample:movietweetings", budget, "distill_cf", models=("infinite_ae",))
    for budget in (FIFTY, {"users": 45}, {"users": 10})
) + (Line("ml-1m", {"users": 500}, "distill_cf", models=("infinite_ae",)),)

SPEED = (
    Line("ml-1m", {}, "infinite_ae", "4.2 (authors' code)"),
    Line("ml-1m", FIVE, "distill_cf"),
    Line(
        "ml-1m",
        FIVE,
        "distill_cf",
        "3.9 (authors' code)",
        {"sampler": "independent", "batch_size": None, "holdout": 0.0},
    ),
)
"""Lines of `multidd bench speed`."""

SPEED_WORK = {"infinite_ae": fit_and_predict}

SCALE = (
    NumbersLine("sketch of 20 million events, 2 workers", sketch_line),
    NumbersLine("100 million events to 500 users", distilled_line),
)
"""Lines of `multidd bench scale`."""


def whole_tensors(log: InteractionLog) -> dict[str, Tensor]:
    """All training histories."""
    return store(as_matrix(log.train))


WHOLE_TENSORS = whole_tensors


def same_split(data: str) -> bool:
    """True: every benchmark has its own split."""
    return True
