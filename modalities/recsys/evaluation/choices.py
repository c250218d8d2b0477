"""Settings of recommender summaries that are chosen on held-out training data."""

from typing import Any

from multidd.evaluation.settings_choice import SettingsChoice
from multidd.recsys.data.benchmarks import load
from multidd.recsys.data.log import InteractionLog
from multidd.recsys.data.splits import TEST
from multidd.recsys.methods import selection
from multidd.recsys.summary.summary import RecsysSummary


def held_out(data: str, seed: int) -> tuple[InteractionLog, dict[str, Any]]:
    """A log without its test items, divided anew: what stands for test is known.

    Each user's training and validation items are shuffled and divided in the shares of
    the benchmarks. Ridge and step are chosen on the new validation items, as in any
    run; the items that take the place of test items decide between settings.

    Args:
        data: name of a log.
        seed: of the division.

    Returns:
        The log, and the keywords of the evaluator.

    Example:
        >>> log, exam = held_out("sample:movietweetings", 0)
        >>> whole = load("sample:movietweetings")
        >>> log.num_interactions == whole.count(0) + whole.count(1)
        True
    """
    log = load(data)
    assert log.part is not None  # of a benchmark
    known = log.select(log.part != TEST)
    log = known.split("user-random", (0.8, 0.1, 0.1), seed)
    return log, {"on": log}


def kmeans_of_width(
    data: InteractionLog, users: int, width: int = selection.WIDTH, *, seed: int = 0
) -> RecsysSummary:
    """Means of users, who are compared by so many numbers.

    Args:
        data: the interactions.
        users: how many means.
        width: numbers of a user.
        seed: of the starts.

    Example:
        >>> import multidd
        >>> log = multidd.recsys.power_law(60, 40, 600)
        >>> kmeans_of_width(log, 5, width=8).num_users
        5
    """
    return selection.of_count(
        "kmeans",
        log=data,
        users=users,
        seed=seed,
        features=lambda: selection.embedding(data, width),
    )


METHODS = {"kmeans_of_width": kmeans_of_width}
"""Methods with a setting that their own signature does not show."""

FEW = (("ml-100k", {"users": 10}), ("ml-1m", {"users": 40}))
"""Up to a fiftieth of the users, which have a rate and steps of their own."""

MORE = (("ml-100k", {"users": 50}), ("sample:movietweetings", {"users": 50}))

ALL = (*MORE, ("ml-1m", {"users": 40}))

WHOLE = {"length": "mean"}

CHOICES = (
    # What the README calls worth a point or a part of one.
    SettingsChoice("distill_cf", {"holdout": (0.0, 0.25, 0.5, 0.75)}, ALL),
    SettingsChoice("distill_cf", {"popularity_weight": (0.0, 0.25, 0.5, 1.0)}, ALL),
    # None takes 20, and 5 with `length`.
    SettingsChoice("distill_cf", {"scale": (1.0, 5.0, 10.0, None, 40.0)}, ALL),
    SettingsChoice(
        "distill_cf", {"init": ("random", "herding", "kcenter", "kmeans")}, ALL
    ),
    # None takes 0.04 and 75 steps, with few users 0.15 and 150 steps.
    SettingsChoice("distill_cf", {"lr": (0.02, None, 0.08, 0.15)}, MORE),
    SettingsChoice("distill_cf", {"steps": (40, None, 150)}, MORE),
    SettingsChoice("distill_cf", {"lr": (0.04, 0.08, None, 0.3)}, FEW),
    SettingsChoice("distill_cf", {"steps": (75, None, 300)}, FEW),
    SettingsChoice("distill_cf", {"gumbel_temperature": (1.0, 3.0, 10.0, 30.0)}, MORE),
    # None takes 200.
    SettingsChoice("distill_cf", {"draws": (50, 100, None, 400)}, MORE),
    SettingsChoice("distill_cf", {"sampler": ("shared", "expected", "mean")}, MORE),
    SettingsChoice("distill_cf", {"batch_size": (250, 500, 1000, None)}, MORE),
    SettingsChoice("distill_cf", {"depth": (1, 2)}, MORE),
    # Whole histories: None takes a rate of 0.1, a scale of 5 and 150 steps.
    SettingsChoice("distill_cf", {"lr": (0.05, None, 0.2)}, MORE[:1], WHOLE),
    SettingsChoice("distill_cf", {"scale": (1.0, None, 20.0)}, MORE[:1], WHOLE),
    SettingsChoice("distill_cf", {"steps": (75, None, 300)}, MORE[:1], WHOLE),
    SettingsChoice("kmeans_of_width", {"width": (16, 32, 64, 128)}, ALL),
)
"""In the order of the table. The grid was written down before any of it was run."""
