"""`evaluate`: train on the summary, test on real data, beside rows of equal size."""

import inspect
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, replace
from functools import cache as cached
from typing import Any

from multidd import modality
from multidd.arguments import public_function, whole_number
from multidd.engine.progress import Bar
from multidd.evaluation.audit.audit import audit_of, auditor
from multidd.evaluation.comparison import Summaries, compared
from multidd.evaluation.costs import Costs, costs_of
from multidd.evaluation.plain import PlainEvaluator, PlainReport
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.regime_plan import RegimePlan
from multidd.evaluation.regimes import LABEL_REGIMES, RegimeEvaluator
from multidd.evaluation.report import Report, Row, notes_on_whole
from multidd.evaluation.rows import PlainPlan, RowPlan
from multidd.evaluation.significance import compared_with_best, seed_spread
from multidd.evaluation.training_jobs import TrainingJobs
from multidd.evaluation.transfer import Transfer, made_with
from multidd.evaluation.whole_data import whole_scores
from multidd.protocols import Evaluator
from multidd.summary import DataSummary

__all__ = ["evaluate"]

KNOWN_REGIMES = ("plain", *LABEL_REGIMES)

REGIMES: Sequence[str] = ("plain",)
"""What every report has unless told otherwise."""


@public_function
def evaluate(
    summary: DataSummary | Sequence[DataSummary],
    on: Any,
    *,
    train: Any = None,
    val: Any = None,
    inductive: bool = False,
    models: Any = None,
    seeds: int | Sequence[int] = 3,
    protocol: str | Protocol | None = None,
    rows: Sequence[str] | None = None,
    regimes: Sequence[str] | None = None,
    audit: bool = False,
    device: str | None = None,
    cache: bool = True,
    progress: bool | None = None,
    compare: Summaries | None = None,
    executor: Executor | None = None,
) -> Report:
    """Train models on a summary and test them on real data.

    Rows of equal size (random, herding, k-center, k-means) stand beside it under the
    identical protocol, and whole data, which are trained on until the score on held-out
    data has stopped rising. Everything that is chosen is chosen on validation data;
    test data is looked at once for each training. A row that stands above whole data is
    named below the table.

    Args:
        summary: one summary, or several of one method (seeds): their scores are pooled.
        on: real data to test on; for graphs a PyG `Data` with its masks, for images
            `(x, y)` or what else `multidd.images.as_images` takes. Or an evaluator of
            the modality, such as `multidd.text.Evaluator(test, train=train,
            encoder=encoder)`, which has further settings and keeps what it prepares of
            the data for the next call.
        train: real data to take the rows beside it from, where `on` does not hold that
            too, as a graph does.
        val: real data that epochs are chosen on, for sets of graphs.
        inductive: test on the graph of the test nodes alone, for graphs.
        models: one or several: names, what makes an `nn.Module` of one's own (a class,
            or a function of the form of the data or of nothing), or estimators of
            scikit-learn, which are cloned and fitted on features; the modality's first
            one unless given. Scores of whole data are kept for models by name alone.
        seeds: how many trainings of each, or their seeds.
        protocol: name of a protocol of the modality, or a `Protocol`.
        rows: which rows stand beside; all the modality has unless given.
        regimes: `"plain"`: what the summary gives to models that a stranger trains,
            beside random records and whole data. `"HL"`, `"SL"` and `"SL+KD"`: the
            summary and the rows of its size with hard classes, with fixed soft labels
            of one teacher, and with its labels of each augmented view, under as many
            updates, and the scores of the field. `()` leaves all out; plain trainings
            unless given, where there are training data.
        audit: measure what the summary, of several the first, loses of the real data
            and tells of single records: epsilon, coverage, nearness and membership
            attacks, as `report.audit`.
        device: where models are trained, such as `"cuda"` or `"auto"`; the CPU unless
            given. What scikit-learn or SciPy solves stays on the CPU.
        cache: keep whole-data scores, by protocol and data, for the next call.
        progress: show a bar; None shows it on terminals and in notebooks.
        compare: further summaries, of any methods: a list, or a dict by name. They are
            judged alike, and one table, `report.comparison`, has all of them; see
            `multidd.compare`.
        executor: any `concurrent.futures.Executor` that does several trainings at a
            time, such as `multidd.parallel.workers(4)`; the data go to each worker
            once. The report is that of one process with as many threads.

    Returns:
        A `Report`.

    Raises:
        TypeError: a setting that the modality, or the evaluator given, does not take.
        ValueError: no summary, or of several methods; unknown model, protocol or row;
            data that does not fit.
        WorkerLostError: a worker was killed; the same call does what is missing.

    Example:
        >>> import multidd
        >>> data = multidd.samples.cora()
        >>> seventy = multidd.graph.kmeans(data, nodes=70)
        >>> quick = multidd.Protocol("quick", epochs=20, check_every=10)
        >>> report = evaluate(seventy, data, seeds=1, protocol=quick, rows=["random"])
        >>> 0.2 < report.accuracy("gcn") < 1
        True
    """
    summaries = _summaries(summary)
    methods = sorted({one.card.method for one in summaries})
    if len(methods) > 1:
        raise ValueError(
            f"the summaries are of {len(methods)} methods ({', '.join(methods)}) and "
            "their scores would be pooled; evaluate those of each method on their own"
        )
    settings = {"train": train, "val": val, "device": device}
    settings = {name: value for name, value in settings.items() if value is not None}
    settings |= {"inductive": True} if inductive else {}
    evaluator = _evaluator(summaries[0].kind, on, settings)
    if compare is not None:
        asked = {"models": models, "seeds": seeds, "protocol": protocol, "rows": rows}
        asked |= {"regimes": regimes, "cache": cache, "progress": progress}
        asked |= {"audit": audit, "executor": executor}
        return compared(evaluate, evaluator, summaries, compare, asked)
    for one in reversed(summaries):  # the first one decides what whole data is given to
        evaluator.check(one)
    models = _models(evaluator, models)
    baselines = _chosen("row", evaluator.rows if rows is None else rows, evaluator.rows)
    training = _protocol(protocol, evaluator.protocols)
    numbers = _seeds(seeds)
    regimes = _chosen("regime", REGIMES if regimes is None else regimes, KNOWN_REGIMES)
    method = summaries[0].card.method
    baselines = [name for name in baselines if name != method]  # it has its own row
    supported = {
        model: [name for name in baselines if evaluator.supports(name, model)]
        for model in models
    }

    @cached
    def baseline(name: str, seed: int) -> DataSummary | None:
        """Made once, for all models."""
        records: DataSummary | None = evaluator.row(name, summaries[0], seed)
        return records

    audited = auditor(evaluator) if audit else None
    sets = sum(map(len, supported.values())) + len(models) * len(summaries)
    table: list[Row] = []
    plain_names = []
    if "plain" in regimes and isinstance(evaluator, PlainEvaluator) and evaluator.rows:
        plain_names = list(evaluator.plain)

    def whole(model: str) -> Sequence[float]:
        """Scores of whole data: those of the table, or trained for the regimes."""
        for row in table:
            if (row.name, row.model) == ("whole", model):
                return row.values[evaluator.metric]
        return whole_scores(evaluator, model, training, numbers, cache)

    plan = None
    if label_names := [name for name in LABEL_REGIMES if name in regimes]:
        regime_evaluator = _regime_evaluator(evaluator, label_names)
        more = regime_evaluator.regime_rows if rows is None else ()
        beside = dict.fromkeys(["random", *baselines, *more])
        plan = RegimePlan(
            regime_evaluator,
            summaries,
            models,
            [name for name in beside if name != "whole"],
            baseline,
            whole,
            training,
            numbers,
            label_names,
            cache,
        )

    def row_plans() -> Iterator[RowPlan]:
        """The rows in their order; baselines are made as they are reached."""
        for model in models:
            for name in supported[model]:
                each = [(baseline(name, seed), seed) for seed in numbers]
                yield RowPlan(name, model, training, each)
            each = [(one, seed) for one in summaries for seed in numbers]
            yield RowPlan(method, model, training, each)

    plain_plans = [
        PlainPlan(name, method, summaries, baseline, numbers) for name in plain_names
    ]
    total = len(numbers) * (sets + len(plain_names) * (1 + len(summaries)))
    total += 0 if plan is None else plan.total
    plain = labelled = None
    with Bar("evaluate", total, progress) as bar:
        jobs = TrainingJobs(evaluator, cache, executor, bar.advance)
        rows_of_table: Iterable[RowPlan] = row_plans()
        if executor is not None:
            rows_of_table = list(rows_of_table)
            ahead = [one for row in rows_of_table for one in row.trainings]
            if isinstance(evaluator, PlainEvaluator):
                ahead += [t for one in plain_plans for t in one.trainings(evaluator)]
            jobs.prepare(ahead)
        for row in rows_of_table:
            is_summary = row.name == method
            table.append(row.row(jobs, evaluator, cache and not is_summary))
        if plain_plans and isinstance(evaluator, PlainEvaluator):
            scores = [one.scores(jobs, evaluator) for one in plain_plans]
            plain = PlainReport(tuple(scores), evaluator.metric, evaluator.digits)
        if plan is not None:
            labelled = replace(plan, trainings=jobs).report(bar.advance)
    comparisons = compared_with_best(table, method, evaluator.metric, evaluator.digits)
    ours = [row for row in table if row.name == method]
    by_model = [_by_summary(row, evaluator.metric, len(summaries)) for row in ours]
    label_seconds = None if labelled is None else labelled.teacher_seconds
    return Report(
        rows=tuple(table),
        protocol=asdict(training),
        data=evaluator.describe(),
        method=method,
        metric=evaluator.metric,
        extra_metrics=tuple(evaluator.extra_metrics),
        digits=evaluator.digits,
        footer=_footer(evaluator, models, training),
        notes=(
            *notes_on_whole(table, evaluator.metric, evaluator.digits),
            *_notes_on_bytes(summaries),
            *(comparison.sentence for comparison in comparisons),
        ),
        plain=plain,
        summary=summaries[0],
        regimes=labelled,
        costs=_costs(evaluator, summaries, table, training, label_seconds),
        transfer=_transfer(summaries, models, by_model),
        significance=tuple(comparisons),
        seeds=seed_spread(by_model[0]),
        audit=None
        if audited is None
        else audit_of(audited.audit_space(summaries[0], numbers[0]), numbers),
    )


def _by_summary(row: Row, metric: str, count: int) -> list[tuple[float, ...]]:
    """`[s][t]`, scores of each summary with each training seed."""
    values = row.values[metric]
    size = len(values) // count
    return [values[i : i + size] for i in range(0, len(values), size)]


def _regime_evaluator(evaluator: Evaluator, names: Sequence[str]) -> RegimeEvaluator:
    """The evaluator, once it can train under label regimes."""
    if not isinstance(evaluator, RegimeEvaluator):
        raise ValueError(
            f"{type(evaluator).__name__} knows no label regimes; leave out "
            f"{', '.join(names)}"
        )
    if "random" not in evaluator.rows:
        raise ValueError(
            f"the regimes {', '.join(names)} need the training data, which the teacher "
            "and the rows beside are taken from: give train="
        )
    return evaluator


def _costs(
    evaluator: Evaluator,
    summaries: Sequence[DataSummary],
    rows: Sequence[Row],
    protocol: Protocol,
    label_seconds: float | None,
) -> Costs:
    """The costs of the summaries, by the trainings of the first model."""
    method = summaries[0].card.method
    summary = next(row for row in rows if row.name == method)
    whole = [
        row.training_seconds
        for row in rows
        if (row.name, row.model) == ("whole", summary.model)
    ]
    updates: Any = getattr(evaluator, "updates", None)
    return costs_of(
        summaries,
        updates=updates and updates(summaries[0], summary.model, protocol),
        whole_seconds=whole[0] if whole else None,
        training_seconds=summary.training_seconds,
        label_seconds=label_seconds,
    )


def _transfer(
    summaries: Sequence[DataSummary],
    models: Sequence[str],
    scores: Sequence[Sequence[Sequence[float]]],
) -> Transfer | None:
    """The matrix over models; None of a single one."""
    if len(models) < 2:
        return None
    means = [[statistics.fmean(values) for values in of_model] for of_model in scores]
    return Transfer(
        tuple(models),
        tuple(made_with(one.card) for one in summaries),
        tuple(zip(*means, strict=True)),
    )


def _models(evaluator: Evaluator, models: Any) -> list[str]:
    """Names of the models asked for; those of the caller's own are made known."""
    if models is None:
        return list(evaluator.models[:1])
    choice = list(models) if isinstance(models, list | tuple) else [models]
    if not choice:
        raise ValueError(
            f"models names none; give one or several of {', '.join(evaluator.models)}, "
            f"or leave it out for {evaluator.models[0]}"
        )
    add: Any = getattr(evaluator, "add_model", None)
    names = []
    for model in choice:
        if not isinstance(model, str) and add is None:
            raise TypeError(
                f"{type(evaluator).__name__} trains models by name alone: "
                f"{', '.join(evaluator.models)}; got {model!r}"
            )
        names.append(model if isinstance(model, str) else add(model))
    added = getattr(evaluator, "custom_models", {})
    return _chosen("model", names, [*evaluator.models, *added])


def _evaluator(kind: str, on: Any, settings: Mapping[str, Any]) -> Evaluator:
    """The evaluator that was given, or the modality's of the data that was given."""
    if isinstance(on, Evaluator):
        if settings:
            raise TypeError(
                f"on is an evaluator, which has its own settings; give it "
                f"{', '.join(settings)}, not evaluate"
            )
        return on
    make = modality.parts(kind).evaluators[kind]
    unknown = [name for name in settings if name not in _parameters(make)]
    if unknown:
        raise TypeError(f"evaluating {kind} takes no {', '.join(unknown)}")
    evaluator: Evaluator = make(on, **settings)
    return evaluator


def _parameters(make: Any) -> Sequence[str]:
    return list(inspect.signature(make).parameters)


def _footer(evaluator: Evaluator, models: Sequence[str], protocol: Protocol) -> str:
    """What stands below the table; empty for the protocol's settings."""
    if set(models) <= set(evaluator.closed_form_models):
        return f"No protocol of training: {', '.join(models)} solved to the optimum."
    return evaluator.describe_protocol(protocol)


def _protocol(choice: str | Protocol | None, known: Mapping[str, Protocol]) -> Protocol:
    if isinstance(choice, Protocol):
        return choice
    name = next(iter(known)) if choice is None else choice
    if name not in known:
        raise ValueError(f"protocol must be one of {', '.join(known)}; got {name!r}")
    return known[name]


def _summaries(summary: Any) -> list[DataSummary]:
    """One summary or several of a kind, as a list."""
    summaries = list(summary) if isinstance(summary, list | tuple) else [summary]
    for one in summaries:
        if not isinstance(one, DataSummary):
            raise TypeError(
                f"evaluate takes a summary, or a list of them; got {one!r:.80}. A file "
                "is read by multidd.load"
            )
    if not summaries:
        raise ValueError("no summary was given")
    if len(kinds := sorted({one.kind for one in summaries})) > 1:
        raise ValueError(
            f"the summaries are of {len(kinds)} kinds ({', '.join(kinds)}); evaluate "
            "each on its own data"
        )
    each = {(one.digest(), one.card.seed, one.card.method) for one in summaries}
    if len(each) < len(summaries):
        raise ValueError(
            "the same summary was given twice, and its scores would count as those of "
            "several makings; leave one out"
        )
    return summaries


def _notes_on_bytes(summaries: Sequence[DataSummary]) -> list[str]:
    """That pooled summaries differ in bytes, of which the table names the first's."""
    least, most = (f(one.num_bytes for one in summaries) for f in (min, max))
    if most < 1.1 * least:
        return []
    return [
        f"The summaries take {least / 1024:.0f} to {most / 1024:.0f} KiB; the table "
        "names those of the first."
    ]


def _seeds(seeds: Any) -> list[int]:
    """The seeds, or as many as a number says; no two alike."""
    each = seeds if isinstance(seeds, list | tuple | range) else None
    if each is None:
        each = range(whole_number("seeds", seeds))
    numbers = [whole_number("seeds", number) for number in each]
    if not numbers:
        raise ValueError("seeds must be 1 or more, or a list of seeds; got none")
    if len(set(numbers)) < len(numbers):
        raise ValueError(
            f"seeds must differ, or one training counts as several; got {numbers}"
        )
    return numbers


def _chosen(noun: str, names: Sequence[str], known: Sequence[str]) -> list[str]:
    """The names asked for, each of which must be known."""
    if not isinstance(names, str | list | tuple):
        raise TypeError(f"{noun}s must be names, got {names!r}")
    names = [names] if isinstance(names, str) else list(dict.fromkeys(names))
    if names and not known:
        raise ValueError(f"a {noun} needs the training data: give train=; got {names}")
    for name in names:
        if name not in known:
            raise ValueError(f"{noun} must be one of {', '.join(known)}; got {name!r}")
    return names
