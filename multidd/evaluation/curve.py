"""Scores against bytes and budgets: one line for each method, of any modality."""

import json
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import product
from typing import Any

from multidd import html, modality
from multidd.engine.progress import announce
from multidd.engine.recipe import call
from multidd.evaluation.evaluate import evaluate
from multidd.evaluation.table import (
    aligned,
    folded,
    markdown,
    spread,
    terminal_width,
)
from multidd.parallel.jobs import mapped
from multidd.plotting import GREY, categorical, finished
from multidd.storage.atomic import output_path
from multidd.storage.fields import json_value
from multidd.storage.files import check_writable, write_text

__all__ = ["Curve", "Point", "curve"]

MARKS = "osD^vP*X"


@dataclass(frozen=True)
class Point:
    """One method at one budget.

    Attributes:
        method: its name.
        budget: the number asked for.
        size: records of the summary.
        values: scores of all trainings.
        seconds: of making it, the mean over seeds.
        num_bytes: of the summary.
    """

    method: str
    budget: float
    size: int
    values: tuple[float, ...]
    seconds: float
    num_bytes: int

    @property
    def mean(self) -> float:
        """Of the scores."""
        return statistics.fmean(self.values)


@dataclass(frozen=True, repr=False)
class Curve:
    """What `curve` found; print it, or draw it.

    Attributes:
        points: in the order of the methods, then of the budgets.
        budget: the budget's name, such as `"ratio"`.
        model: what was trained.
        metric: what the scores are.
        whole: scores on whole data; empty where the modality has no such row.
        left_out: what was asked for and refused, with the reason.

    Example:
        >>> point = Point("random", 0.01, 27, (0.6, 0.62), 0.1, 4096)
        >>> Curve((point,), "ratio", "gcn", "accuracy", (0.81,))
        Curve(random; ratio 0.01; gcn)
    """

    points: tuple[Point, ...]
    budget: str
    model: str
    metric: str
    whole: tuple[float, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def methods(self) -> list[str]:
        """Their names, in order."""
        return list(dict.fromkeys(point.method for point in self.points))

    @property
    def budgets(self) -> list[float]:
        """The budgets asked for, ascending."""
        return sorted({point.budget for point in self.points})

    def to_markdown(self) -> str:
        """A Markdown table."""
        return f"{markdown(self._cells())}\n\n{self._foot()}\n"

    def _repr_html_(self) -> str:
        """Scores against budgets as notebooks show them."""
        lines = [
            html.curve([100 * p.mean for p in self._of(method)], f"{method} %")
            for method in self.methods
        ]
        foot = "".join(html.note(line) for line in self._foot().splitlines())
        return html.box(repr(self), html.table(self._cells()), *lines, foot)

    def _of(self, method: str) -> list[Point]:
        """The points of a method, by budget."""
        points = [point for point in self.points if point.method == method]
        return sorted(points, key=lambda point: point.budget)

    def __str__(self) -> str:
        width = terminal_width()
        table = aligned(self._cells(), width, ("making s", "KiB", "size"))
        return f"{table}\n{folded(self._foot(), width)}"

    def __repr__(self) -> str:
        budgets = ", ".join(f"{value:g}" for value in self.budgets)
        named = ", ".join(self.methods)
        return f"Curve({named}; {self.budget} {budgets}; {self.model})"

    def records(self) -> list[dict[str, Any]]:
        """The points as dicts, whole data first, for tables and files."""
        whole: dict[str, Any] = {"method": "whole", "budget": None}
        whole |= {"size": None, "bytes": None}
        whole |= {"values": list(self.whole), "seconds": None}
        points = [
            {
                "method": point.method,
                "budget": point.budget,
                "size": point.size,
                "bytes": point.num_bytes,
                "values": list(point.values),
                "seconds": point.seconds,
            }
            for point in self.points
        ]
        return [*([whole] if self.whole else []), *points]

    def to_dict(self) -> dict[str, Any]:
        """The curve as plain values, for JSON."""
        return {
            "budget": self.budget,
            "model": self.model,
            "metric": self.metric,
            "left_out": list(self.left_out),
            "points": self.records(),
        }

    def plot(
        self, path: str | pathlib.Path | None = None, *, against: str = "bytes"
    ) -> Any:
        """Draw mean scores, bars of one deviation, whole data dashed.

        Against bytes, methods of one budget stand side by side where they take as many
        bytes: few fractional rows are not few numbers.

        Args:
            path: a PNG, PDF or SVG to write; None only returns the figure.
            against: `"bytes"` of the summaries, or `"budget"`.

        Returns:
            The `matplotlib.figure.Figure`.

        Raises:
            ValueError: another `against`.
        """
        if against not in ("bytes", "budget"):
            raise ValueError(f"against must be 'bytes' or 'budget', got {against!r}")
        by_bytes = against == "bytes"
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.subplots()
        if self.whole:
            level = 100 * statistics.fmean(self.whole)
            axes.axhline(level, color=GREY, ls="--", lw=1.5, label="whole data")
        for number, method in enumerate(self.methods):
            points = self._of(method)
            bars = [
                100 * statistics.stdev(p.values) if len(p.values) > 1 else 0.0
                for p in points
            ]
            axes.errorbar(
                [p.num_bytes / 1024 if by_bytes else p.budget for p in points],
                [100 * p.mean for p in points],
                bars,
                color=categorical(number),
                marker=MARKS[number % len(MARKS)],
                capsize=3,
                label=method,
            )
        axes.set_xscale("log")
        if not by_bytes:
            axes.set_xticks(self.budgets, [f"{value:g}" for value in self.budgets])
            axes.minorticks_off()
        label = "KiB" if by_bytes else self.budget
        axes.set(xlabel=label, ylabel=f"test {self.metric} %, {self.model}")
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9)
        return finished(figure, path)

    def write(self, folder: str | pathlib.Path | None, *, picture: bool = True) -> None:
        """Write `curve.md`, `.json` and `.png` into a folder.

        Args:
            folder: None writes nothing.
            picture: draw it, which takes a second.
        """
        if folder is not None:
            path = output_path(folder)
            write_text(path / "curve.md", self.to_markdown())
            facts = json.dumps(json_value(self.to_dict()), ensure_ascii=False)
            write_text(path / "curve.json", facts + "\n")
            if picture:
                self.plot(path / "curve.png")

    def _cells(self) -> list[list[str]]:
        head = ["method", self.budget, "size", f"{self.metric} %", "KiB", "making s"]
        lines = [
            [
                point.method,
                f"{point.budget:g}",
                str(point.size),
                spread(point.values),
                f"{point.num_bytes / 1024:.0f}",
                f"{point.seconds:.1f}",
            ]
            for point in self.points
        ]
        whole = [["whole", "", "all", spread(self.whole), "", ""]] if self.whole else []
        return [head, *whole, *lines]

    def _foot(self) -> str:
        runs = len(self.points[0].values)
        description = (
            f"Model {self.model}, {runs} trainings of each; deviations are of these."
        )
        return "\n".join([description, *(f"Left out: {one}." for one in self.left_out)])


def curve(
    kind: str,
    source: Mapping[str, Any],
    methods: Sequence[str],
    budget: str,
    values: Sequence[float],
    *,
    model: str | None = None,
    seeds: int = 1,
    trainings: int = 2,
    protocol: Any = None,
    out: str | pathlib.Path | None = None,
    options: Mapping[str, Any] | None = None,
    progress: bool | None = None,
    executor: Executor | None = None,
) -> Curve:
    """Make a summary by every method at every budget, and judge each.

    Args:
        kind: the modality, such as `"graph"`.
        source: what its `load_for_evaluation` takes; `data` names the data set.
        methods: names of methods or selections.
        budget: the name of a budget that is a number, such as `"ratio"` or `"ipc"`.
        values: the budgets.
        model: what is trained; the modality's first one unless given.
        seeds: summaries of each.
        trainings: on each of them.
        protocol: name of a protocol of the modality, or a `Protocol`.
        out: a folder for `curve.md`, `curve.json` and `curve.png`, written anew after
            each point.
        options: further settings for every method.
        progress: a line of progress for each point; where standard error is a terminal
            unless given.
        executor: any `concurrent.futures.Executor`, such as
            `multidd.parallel.workers(4)`: each method at each budget is a job.

    Returns:
        A `Curve`.

    Raises:
        ValueError: an unknown method, no budgets, or none that fits. Of some that fit,
            the others are left out and told.
        WorkerLostError: a worker was killed; `out` has the points that had ended.

    Example:
        >>> import multidd
        >>> quick = multidd.Protocol("quick", epochs=20, check_every=10)
        >>> where = {"data": "sample:cora"}
        >>> result = curve("graph", where, ["random"], "nodes", [7], protocol=quick)
        >>> result.points[0].size, len(result.whole)
        (7, 2)
    """
    parts = modality.parts(kind)
    for method in methods:
        if method not in parts.methods:
            known = ", ".join(parts.methods)
            raise ValueError(f"method must be one of {known}; got {method!r}")
    if not methods or not values:
        raise ValueError("give one method and one budget at least")
    if out is not None:
        check_writable(out)
    settings = {name: value for name, value in source.items() if name != "data"}
    train, exam = parts.load_for_evaluation(source["data"], **settings)
    evaluator = parts.evaluators[kind]
    model = evaluator.models[0] if model is None else model
    judged: dict[str, Any] = {"models": [model], "protocol": protocol} | exam
    judged |= {"seeds": trainings, "progress": progress if executor is None else False}
    plan = _Plan(kind, train, judged, seeds, dict(options or {}), budget)
    cells = list(product(methods, values))
    outcomes: dict[int, _Outcome] = {}

    def take(number: int, facts: Mapping[str, Any]) -> None:
        outcomes[number] = _Outcome(*cells[number], facts)
        if executor is not None:
            method, value = cells[number]
            text = f"curve: {method} at {budget}={value:g}"
            announce(text, progress, event="point", method=method, budget=value)
        drawn = _curve(outcomes, budget, model)
        if drawn is not None and "refusal" not in facts:
            # A kill loses the point at work alone.
            drawn.write(out, picture=False)

    has_whole = "whole" in evaluator.rows
    if executor is None:
        for number, cell in enumerate(cells):
            first = has_whole and not any(one.is_point for one in outcomes.values())
            take(number, _measured(plan, (*cell, first)))
    else:
        jobs = [(*cell, has_whole and not number) for number, cell in enumerate(cells)]
        names = [f"{method} at {budget}={value:g}" for method, value in cells]
        mapped(_measured, jobs, executor, names=names, shared=plan, on_result=take)
        points = [number for number, one in sorted(outcomes.items()) if one.is_point]
        if has_whole and points and 0 not in points:  # it was refused whole data too
            take(points[0], _measured(plan, (*cells[points[0]], True)))
    result = _curve(outcomes, budget, model)
    if result is None:
        left_out = [one.refusal(budget) for _, one in sorted(outcomes.items())]
        raise ValueError(f"nothing is left to draw: {'; '.join(left_out)}")
    result.write(out)
    return result


@dataclass(frozen=True)
class _Plan:
    """What all points share."""

    kind: str
    train: Any
    judged: Mapping[str, Any]
    seeds: int
    options: Mapping[str, Any]
    budget: str


@dataclass(frozen=True)
class _Outcome:
    """What became of a method at a budget: a point, or why there is none."""

    method: str
    value: float
    facts: Mapping[str, Any]

    @property
    def is_point(self) -> bool:
        return "refusal" not in self.facts

    def refusal(self, budget: str) -> str:
        return f"{self.method} at {budget}={self.value:g}: {self.facts['refusal']}"

    def point(self) -> Point:
        names = ("size", "values", "seconds", "num_bytes")
        size, values, seconds, num_bytes = (self.facts[name] for name in names)
        return Point(self.method, self.value, size, tuple(values), seconds, num_bytes)


def _measured(plan: _Plan, job: tuple[str, float, bool]) -> dict[str, Any]:
    """Make the summaries of a method at a budget and judge them, maybe beside whole
    data; also in another process."""
    method, value, beside_whole = job
    asked = {**plan.options, plan.budget: value}
    make = modality.parts(plan.kind).methods[method]
    try:
        summaries = [
            call(make, plan.train, **asked, seed=seed) for seed in range(plan.seeds)
        ]
    except ValueError as error:  # a budget that this method cannot fill
        return {"refusal": str(error)}
    rows = ["whole"] if beside_whole else []
    report = evaluate(summaries, rows=rows, regimes=(), **plan.judged)
    metric, (model,) = report.metric, plan.judged["models"]
    whole = [row for row in report.rows if row.name == "whole"]  # replays have none
    row = report.row(model)
    return {
        "metric": metric,
        "size": row.size or 0,
        "values": list(row.values[metric]),
        "seconds": statistics.fmean(one.card.seconds for one in summaries),
        "num_bytes": row.num_bytes or 0,
        "whole": list(whole[0].values[metric]) if whole else [],
    }


def _curve(outcomes: Mapping[int, _Outcome], budget: str, model: str) -> Curve | None:
    """The curve of the points that there are; None without any."""
    each = [one for _, one in sorted(outcomes.items())]
    points = [one for one in each if one.is_point]
    if not points:
        return None
    whole = next((one.facts["whole"] for one in points if one.facts["whole"]), ())
    left_out = tuple(one.refusal(budget) for one in each if not one.is_point)
    metric = points[0].facts["metric"]
    drawn = tuple(one.point() for one in points)
    return Curve(drawn, budget, model, metric, tuple(whole), left_out)
