"""Trainings on whole data, kept between calls: scores and seconds by data and way."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from multidd.evaluation.plain import PlainEvaluator
from multidd.evaluation.protocol import Protocol
from multidd.protocols import Evaluator
from multidd.settings import versions
from multidd.storage.cache import read_cached, write_cached
from multidd.storage.fields import Number, Record
from multidd.summary import DataSummary

__all__ = [
    "fit_scores",
    "known_plain_score",
    "known_scores",
    "plain_score",
    "plain_whole_score",
    "whole_scores",
    "write_plain_score",
    "write_scores",
]

_PLAIN_FIELDS = Record({"score": Number(low=-1e9, high=1e9)})
_SECONDS = "seconds of training"
"""Stands beside the scores of whole data in the cache."""


def fit_scores(
    evaluator: Evaluator,
    records: DataSummary | None,
    model: str,
    protocol: Protocol,
    seed: int,
    cache: bool,
) -> tuple[Mapping[str, float], float]:
    """Of one training, and its seconds; those of whole data are kept between calls."""
    started = time.perf_counter()
    # The code of a model of one's own may change under its name.
    added = getattr(evaluator, "custom_models", {})
    if records is not None or not cache or model in added:
        fitted = evaluator.fit(records, model, protocol, seed)
        return fitted, time.perf_counter() - started
    key = _whole_key(evaluator, model, protocol, seed)
    if (known := _known(evaluator, key)) is not None:
        scores, spent = known
        # Older entries do not tell what their training took.
        return scores, time.perf_counter() - started if spent is None else spent
    scores = dict(evaluator.fit(None, model, protocol, seed))
    spent = time.perf_counter() - started
    write_cached("whole", key, {**scores, _SECONDS: spent})
    return scores, spent


def _whole_key(
    evaluator: Evaluator, model: str, protocol: Protocol, seed: int
) -> dict[str, Any]:
    return {
        "data": evaluator.describe(),
        **getattr(evaluator, "place", {}),
        "protocol": asdict(replace(protocol, soft_labels=True)),
        # What a model name stands for, where the evaluator's summary decides that.
        "model": evaluator.model_key(model),
        "seed": seed,
        "versions": versions(),
    }


def known_scores(
    evaluator: Evaluator, model: str, protocol: Protocol, seed: int
) -> tuple[dict[str, float], float | None] | None:
    """Scores of a training on whole data that an earlier call kept, and its seconds."""
    return _known(evaluator, _whole_key(evaluator, model, protocol, seed))


def _known(
    evaluator: Evaluator, key: dict[str, Any]
) -> tuple[dict[str, float], float | None] | None:
    number = Number(low=-1e9, high=1e9)
    values = Record({evaluator.metric: number}, others=number)
    scores = read_cached("whole", key, values)
    return None if scores is None else (scores, scores.pop(_SECONDS, None))


def write_scores(
    evaluator: Evaluator,
    model: str,
    protocol: Protocol,
    seed: int,
    scores: Mapping[str, float],
    seconds: float,
) -> None:
    """Keep scores of a training on whole data for the next call."""
    key = _whole_key(evaluator, model, protocol, seed)
    write_cached("whole", key, {**scores, _SECONDS: seconds})


def whole_scores(
    evaluator: Evaluator,
    model: str,
    protocol: Protocol,
    seeds: Sequence[int],
    cache: bool = True,
) -> list[float]:
    """Scores of whole data, of each seed; kept between calls.

    Args:
        evaluator: has checked a summary.
        model: what is trained.
        protocol: how.
        seeds: of the trainings.
        cache: read and write the files that keep them.
    """
    fits = [fit_scores(evaluator, None, model, protocol, seed, cache) for seed in seeds]
    return [scores[evaluator.metric] for scores, _ in fits]


def plain_whole_score(
    evaluator: PlainEvaluator, name: str, seed: int, cache: bool
) -> float:
    """The score of one plain training on whole data, kept between calls."""
    key = _plain_key(evaluator, name, seed)
    known = _known_plain(key) if cache else None
    if known is not None:
        return known
    score = evaluator.fit_plain(None, name, seed)
    assert score is not None, f"{name} cannot take whole data"
    if cache:
        write_cached("plain", key, {"score": score})
    return score


def plain_score(
    evaluator: PlainEvaluator, records: DataSummary, name: str, seed: int
) -> float:
    """The score of one plain training on records, kept between calls.

    Args:
        evaluator: has checked a summary of the same data.
        records: a summary, or a row beside one.
        name: of the training.
        seed: of it.

    Raises:
        ValueError: the training cannot take such records.
    """
    key = {**_plain_key(evaluator, name, seed), "records": records.digest()}
    known = _known_plain(key)
    if known is not None:
        return known
    score = evaluator.fit_plain(records, name, seed)
    if score is None:
        raise ValueError(f"the plain training {name!r} cannot take these records")
    write_cached("plain", key, {"score": score})
    return score


def _plain_key(evaluator: PlainEvaluator, name: str, seed: int) -> dict[str, Any]:
    return {
        "data": evaluator.describe(),
        **getattr(evaluator, "place", {}),
        "training": evaluator.plain[name],
        "seed": seed,
        "versions": versions(),
    }


def known_plain_score(evaluator: PlainEvaluator, name: str, seed: int) -> float | None:
    """The score of a plain training on whole data that an earlier call kept."""
    return _known_plain(_plain_key(evaluator, name, seed))


def _known_plain(key: dict[str, Any]) -> float | None:
    entry = read_cached("plain", key, _PLAIN_FIELDS)
    return None if entry is None else float(entry["score"])


def write_plain_score(
    evaluator: PlainEvaluator, name: str, seed: int, score: float
) -> None:
    """Keep the score of a plain training on whole data for the next call."""
    write_cached("plain", _plain_key(evaluator, name, seed), {"score": score})
