"""`compare`: several summaries of several methods, judged alike, in one table."""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

from multidd.arguments import public_function
from multidd.evaluation.comparison import ComparisonReport, Summaries, named_groups
from multidd.evaluation.evaluate import evaluate
from multidd.evaluation.protocol import Protocol

__all__ = ["compare"]


@public_function
def compare(
    summaries: Summaries,
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
    executor: Executor | None = None,
) -> ComparisonReport:
    """Put several summaries of several methods in one table, judged alike.

    Models are trained on each by the same protocol and seeds, and baselines of equal
    size stand beside them once; where sizes differ, each size has its own. The share of
    the gain by plain trainings stands beside, where they are not left out.

    Args:
        summaries: a list, whose members are called by their methods, or a dict by name.
            A list among them is pooled, as `evaluate` does.
        on: real data to test on, or an evaluator, as of `evaluate`.
        train: as of `evaluate`, and so are all further settings.
        val: see there.
        inductive: see there.
        models: see there.
        seeds: see there.
        protocol: see there.
        rows: see there.
        regimes: see there.
        audit: see there.
        device: see there.
        cache: see there.
        progress: see there.
        executor: see there.

    Returns:
        A `ComparisonReport`, to print, to save or to take to pandas; its `reports` are
        those of each summary.

    Raises:
        TypeError: something else than summaries.
        ValueError: no summary, or what `evaluate` refuses.

    Example:
        >>> import multidd
        >>> data = multidd.samples.cora()
        >>> sets = [multidd.graph.random(data, nodes=14)]
        >>> sets += [multidd.graph.herding(data, nodes=14)]
        >>> both = compare(sets, data, models="kernel", rows=[], regimes=(), seeds=1)
        >>> both.names
        ['random', 'herding']
    """
    groups = named_groups(summaries)
    first, *others = groups.values()
    report = evaluate(
        first,
        on,
        train=train,
        val=val,
        inductive=inductive,
        models=models,
        seeds=seeds,
        protocol=protocol,
        rows=rows,
        regimes=regimes,
        audit=audit,
        device=device,
        cache=cache,
        progress=progress,
        executor=executor,
        compare=others,
    )
    assert report.comparison is not None, "evaluate compares what it is given"
    reports = report.comparison.reports.values()
    return ComparisonReport(dict(zip(groups, reports, strict=True)))
