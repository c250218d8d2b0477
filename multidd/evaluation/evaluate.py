"""`evaluate`: train on the summary, test on real data, beside rows of equal size."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from tqdm import tqdm

from multidd import modality
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.report import Report, Row
from multidd.settings import versions
from multidd.storage.cache import recall, remember
from multidd.summary import DataSummary

__all__ = ["evaluate"]


def evaluate(
    summary: DataSummary | Sequence[DataSummary],
    on: Any,
    *,
    train: Any = None,
    models: Sequence[str] | None = None,
    seeds: int | Sequence[int] = 3,
    protocol: str | Protocol | None = None,
    rows: Sequence[str] | None = None,
    cache: bool = True,
    progress: bool | None = None,
    **options: Any,
) -> Report:
    """Train models on a summary and test them on real data.

    Rows of equal size (random, herding, k-center, k-means) and whole data stand beside
    it under the identical protocol. Everything that is chosen is chosen on validation
    data; test data is looked at once for each training.

    Args:
        summary: one summary, or several of one method (seeds): their scores are pooled.
        on: real data to test on; for graphs a PyG `Data` with its masks, for images
            `(x, y)` or what else `multidd.images.as_images` takes.
        train: real data to take the rows beside it from, where `on` does not hold that
            too, as a graph does.
        models: names of models; the modality's first one unless given.
        seeds: how many trainings of each, or their seeds.
        protocol: name of a protocol of the modality, or a `Protocol`.
        rows: which rows stand beside; all the modality has unless given.
        cache: keep whole-data scores, by protocol and data, for the next call.
        progress: show a bar; None shows it on a terminal only.
        **options: of the modality's judge, such as `inductive=True` for graphs.

    Returns:
        A `Report`.

    Raises:
        ValueError: no summary, or of several methods; unknown model, protocol or row;
            data that does not fit.

    Example:
        >>> import multidd
        >>> data = multidd.samples.cora()
        >>> made = multidd.graph.kmeans(data, nodes=70)
        >>> quick = multidd.Protocol("quick", epochs=20, check_every=10)
        >>> report = evaluate(made, data, seeds=1, protocol=quick, rows=["random"])
        >>> 0.2 < report.accuracy("gcn") < 1
        True
    """
    summaries = [summary] if isinstance(summary, DataSummary) else list(summary)
    if not summaries:
        raise ValueError("no summary was given")
    methods = sorted({one.card.method for one in summaries})
    if len(methods) > 1:
        raise ValueError(
            f"the summaries are of {len(methods)} methods ({', '.join(methods)}) and "
            "their scores would be pooled; evaluate those of each method on their own"
        )
    if train is not None:
        options["train"] = train
    kind = summaries[0].kind
    judge = modality.parts(kind).evaluators[kind](on, **options)
    for one in summaries:
        judge.check(one)
    models = _known("model", models or judge.models[:1], judge.models)
    beside = _known("row", judge.rows if rows is None else rows, judge.rows)
    chosen = _protocol(protocol, judge.protocols)
    numbers = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not numbers:
        raise ValueError("seeds must be 1 or more, or a list of seeds; got none")
    name = summaries[0].card.method
    beside = [row for row in beside if row != name]  # it stands there itself
    has = getattr(judge, "has", lambda row, model: True)
    there = {model: [row for row in beside if has(row, model)] for model in models}
    many = sum(map(len, there.values())) + len(models) * len(summaries)
    total = len(numbers) * many
    bar = tqdm(total=total, desc="evaluate", leave=False, disable=_hidden(progress))
    found: list[Row] = []
    with bar:
        for model in models:
            for row in there[model]:
                made = [judge.row(row, summaries[0], seed) for seed in numbers]
                jobs = list(zip(made, numbers, strict=True))
                found.append(_row(judge, row, model, chosen, jobs, cache, bar))
            jobs = [(one, seed) for one in summaries for seed in numbers]
            found.append(_row(judge, name, model, chosen, jobs, False, bar))
    return Report(
        tuple(found),
        asdict(chosen),
        judge.describe(),
        name,
        judge.metric,
        getattr(judge, "also", ()),
        getattr(judge, "digits", 1),
        _told(judge, models, chosen),
    )


def _told(judge: Any, models: Sequence[str], protocol: Protocol) -> str:
    """What stands below the table; empty for the protocol's settings."""
    if set(models) <= set(getattr(judge, "solved", ())):
        return f"No protocol of training: {', '.join(models)} solved to the optimum."
    return str(judge.told(protocol)) if hasattr(judge, "told") else ""


def _row(
    judge: Any,
    name: str,
    model: str,
    protocol: Protocol,
    jobs: Sequence[tuple[DataSummary | None, int]],
    cache: bool,
    bar: Any,
) -> Row:
    values: dict[str, list[float]] = {}
    started = time.perf_counter()
    for records, seed in jobs:
        scores = _fit(judge, records, model, protocol, seed, cache)
        for metric, value in scores.items():
            values.setdefault(metric, []).append(value)
        bar.update()
    seconds = (time.perf_counter() - started) / len(jobs)
    size, size_bytes = judge.size(jobs[0][0])
    making = None
    if jobs[0][0] is not None:
        making = sum(r.card.seconds for r, _ in jobs if r is not None) / len(jobs)
    kept = {metric: tuple(found) for metric, found in values.items()}
    return Row(name, model, kept, size, size_bytes, making, seconds)


def _fit(
    judge: Any,
    records: DataSummary | None,
    model: str,
    protocol: Protocol,
    seed: int,
    cache: bool,
) -> Mapping[str, float]:
    if records is not None or not cache:
        return judge.fit(records, model, protocol, seed)
    key = {
        "data": judge.describe(),
        "protocol": asdict(replace(protocol, soft_labels=True)),
        # What a model name stands for, where the judge's summary decides that.
        "model": getattr(judge, "model_key", str)(model),
        "seed": seed,
        "versions": versions(),
    }
    kept = recall("whole", key)
    if kept is None:
        kept = dict(judge.fit(None, model, protocol, seed))
        remember("whole", key, kept)
    return kept


def _protocol(choice: str | Protocol | None, known: Mapping[str, Protocol]) -> Protocol:
    if isinstance(choice, Protocol):
        return choice
    name = next(iter(known)) if choice is None else choice
    if name not in known:
        raise ValueError(f"protocol must be one of {', '.join(known)}; got {name!r}")
    return known[name]


def _known(what: str, names: Sequence[str], known: Sequence[str]) -> list[str]:
    names = [names] if isinstance(names, str) else list(names)
    if names and not known:
        raise ValueError(f"a {what} needs the training data: give train=; got {names}")
    for name in names:
        if name not in known:
            raise ValueError(f"{what} must be one of {', '.join(known)}; got {name!r}")
    return names


def _hidden(progress: bool | None) -> bool | None:
    """tqdm's own word for: on a terminal only."""
    return None if progress is None else not progress
