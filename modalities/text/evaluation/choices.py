"""Settings of distilled texts that are chosen on held-out training data."""

from typing import Any

from multidd.evaluation.settings_choice import SettingsChoice
from multidd.text.data.benchmarks import load
from multidd.text.data.texts import Texts

SHARE = 0.2
"""Of each class, held out."""


def held_out(data: str, seed: int) -> tuple[Texts, dict[str, Any]]:
    """Training texts, and others of them to judge on; test texts are not looked at.

    Args:
        data: name of the texts.
        seed: of the division.

    Returns:
        The texts to distill, and the keywords of the evaluator.

    Example:
        >>> train, exam = held_out("sample:sms", 0)
        >>> len(train), len(exam["on"])
        (3332, 833)
    """
    train, judged = load(data).train.split(SHARE, seed)
    return train, {"on": judged, "train": train}


READ = (("trec6", {"per_class": 5}), ("trec6", {"per_class": 10}))
READ_MORE = (*READ, ("sample:sms", {"per_class": 10}))

ONE = (("trec6", {"per_class": 1}), ("sample:sms", {"per_class": 1}))

BOTH = ("kernel", "logistic")
"""The summary's own predictor, and plain training on its hard labels."""


def _pursuit(**settings: tuple[Any, ...]) -> SettingsChoice:
    return SettingsChoice("pursuit", settings, READ_MORE, models=BOTH)


def _learned(method: str, **settings: tuple[Any, ...]) -> SettingsChoice:
    return SettingsChoice(method, settings, ONE, models=BOTH)


CHOICES = (
    _pursuit(hard_weight=(0.0, 0.5, 1.0, 2.0, 4.0)),
    _pursuit(hard_ridge=(0.01, 0.03, 0.1, 0.3, 1.0)),
    _pursuit(class_weight=(0.0, 0.5, 1.0)),
    _pursuit(ridge=(1e-6, 1e-5, 1e-4, 1e-3)),
    _pursuit(gamma=(0.25, 0.5, 1.0, 2.0)),
    _pursuit(swaps=(0, 1, 2, 4)),
    _learned("kip", lr=(0.003, 0.01, 0.03)),
    _learned("kip", gamma=(0.5, 1.0, 2.0)),
    _learned("kip", steps=(200, 400, 800)),
    _learned("dm", lr=(0.003, 0.01, 0.03)),
    _learned("dc", lr=(0.003, 0.01, 0.03)),
    _learned("mtt", lr=(0.003, 0.01, 0.03)),
    _learned("frepo", lr=(0.003, 0.01, 0.03)),
)
"""In the order of the table. The grid was written down before any of it was run."""
