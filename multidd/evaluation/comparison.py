"""`ComparisonReport`: several summaries of several methods in one table."""

import copy
import math
import pathlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from multidd.evaluation.document import (
    as_box,
    as_latex,
    as_markdown,
    as_page,
    as_text,
    document_of,
    write_forms,
)
from multidd.evaluation.report import Report, Row
from multidd.evaluation.sections import in_words
from multidd.evaluation.significance import paired_difference
from multidd.evaluation.table import terminal_width
from multidd.evaluation.training_jobs import Remembered
from multidd.protocols import Evaluator
from multidd.summary import DataSummary

__all__ = [
    "ComparisonReport",
    "Summaries",
    "compared",
    "named_groups",
    "remembering",
]

E = TypeVar("E", bound=Evaluator)

Summaries = (
    DataSummary
    | Sequence[DataSummary | Sequence[DataSummary]]
    | Mapping[str, DataSummary | Sequence[DataSummary]]
)
"""Summaries by name, or one after the other; a list among them is pooled."""


@dataclass(frozen=True, repr=False)
class ComparisonReport:
    """Several summaries under the same models and protocol, their baselines once.

    Baselines have the size of a summary: where sizes differ, each size has its own.

    Attributes:
        reports: name -> the report of each summary, in the order of the call.
        commands: what makes it again, for pages.

    Example:
        >>> def report(name, score):
        ...     rows = (
        ...         Row("random", "mlp", {"accuracy": (0.5, 0.52)}, 10, 4096),
        ...         Row(name, "mlp", {"accuracy": (score, score)}, 10, 4096),
        ...     )
        ...     return Report(rows, {"name": "quick"}, {}, name, "accuracy")
        >>> sets = {"dm": report("dm", 0.6), "kip": report("kip", 0.7)}
        >>> both = ComparisonReport(sets)
        >>> both
        ComparisonReport(accuracy %: dm mlp 60.0, kip mlp 70.0)
        >>> [row["row"] for row in both.records()]
        ['random', 'dm', 'kip']
    """

    reports: Mapping[str, Report]
    commands: tuple[str, ...] = ()

    @property
    def metric(self) -> str:
        """The metric that decides."""
        return self._first.metric

    @property
    def names(self) -> list[str]:
        """Of the summaries."""
        return list(self.reports)

    @property
    def _first(self) -> Report:
        return next(iter(self.reports.values()))

    @property
    def models(self) -> list[str]:
        """What was trained."""
        rows = [row for report in self.reports.values() for row in report.rows]
        return list(dict.fromkeys(row.model for row in rows))

    def records(self) -> list[dict[str, Any]]:
        """A dict for each row: of each model the baselines by size, then the summaries.

        `share` and `worst_share` are of plain trainings, where there are some.
        """
        return [record for model in self.models for record in self._of(model)]

    def _of(self, model: str) -> list[dict[str, Any]]:
        baselines: dict[tuple[Any, ...], tuple[Row, list[str]]] = {}
        summaries = []
        for name, report in self.reports.items():
            for row in report.rows:
                if row.model != model:
                    continue
                if row.name == report.method:
                    summaries.append(_record(name, row, self.metric, report))
                    continue
                # Rows of the same records have the same scores: they stand once.
                baselines.setdefault(_key(row), (row, []))[1].append(name)
        counts = Counter(key[:4] for key in baselines)
        rows = []
        for key, (row, beside) in baselines.items():
            label = row.name
            if label in self.reports:
                label += " (baseline)"
            if counts[key[:4]] > 1:
                label += f" (for {', '.join(beside)})"
            rows.append(_record(label, row, self.metric))
        ordered = sorted(rows, key=lambda record: record["size"] or 0)
        return ordered + summaries

    def notes(self) -> list[str]:
        """The best summary of each model beside the next, and sizes that differ."""
        notes = []
        for model in self.models:
            of_model = [
                (name, report.row(model))
                for name, report in self.reports.items()
                if any(
                    r.name == report.method and r.model == model for r in report.rows
                )
            ]
            ranked = sorted(of_model, key=lambda one: -one[1].mean(self.metric))
            if len(ranked) > 1:
                notes.append(_best(ranked, model, self.metric, self._first.digits))
        sizes = {
            (r["size"], r["bytes"]) for r in self.records() if not r["is_baseline"]
        }
        if len(sizes) > 1:
            notes.append(
                "The summaries are not of one size: compare scores of equal bytes, and "
                "each with the baselines of its size."
            )
        of_each = [
            f"{name}: {note}"
            for name, report in self.reports.items()
            for note in report.notes
        ]
        return list(dict.fromkeys([*notes, *of_each]))

    def to_dict(self) -> dict[str, Any]:
        """Names, rows and notes as plain values, for JSON."""
        return {
            "names": self.names,
            "metric": self.metric,
            "rows": self.records(),
            "notes": self.notes(),
        }

    @property
    def headline(self) -> str:
        """Which summary is the best one by the first model, in one sentence."""
        return self.notes()[0] if len(self.reports) > 1 else self._first.headline

    def to_document(self) -> dict[str, Any]:
        """What `report.json` holds of it: a document without rows of one summary."""
        first = self._first
        report = {
            "metric": self.metric,
            "digits": first.digits,
            "protocol": first.protocol,
            "data": first.data,
            "footer": first.to_dict()["footer"],
            "comparison": self.to_dict(),
        }
        return document_of(None, report, self.headline, self.commands)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` with one line for each row."""
        import pandas

        return pandas.DataFrame(self.records()).drop(columns="values")

    def to_markdown(self) -> str:
        """The notes, then the table, in Markdown."""
        return as_markdown(self.to_document())

    def to_latex(self) -> str:
        r"""The table in LaTeX; needs `\usepackage{booktabs}`."""
        return as_latex(self.to_document())

    def to_html(self) -> str:
        """The whole page: one HTML file that needs no network."""
        return as_page(self.to_document())

    def save(self, path: str | pathlib.Path) -> pathlib.Path:
        """Write `report.html`, `report.md` and `report.json`, or one of them.

        Args:
            path: a folder, or a file that ends in .html, .md, .json or .tex.

        Returns:
            The path of the page, or of the file.
        """
        return write_forms(path, self.to_document())

    def _repr_html_(self) -> str:
        """The table and charts as notebooks show them."""
        return as_box(self.to_document(), repr(self))

    def __str__(self) -> str:
        return as_text(self.to_document(), terminal_width())

    def __repr__(self) -> str:
        means = ", ".join(
            f"{name} {row.model} {100 * row.mean(self.metric):.1f}"
            for name, report in self.reports.items()
            for row in report.rows
            if row.name == report.method
        )
        return f"ComparisonReport({self.metric} %: {means})"


def _record(
    name: str, row: Row, metric: str, report: Report | None = None
) -> dict[str, Any]:
    """A row of the table; of a summary with its report."""
    plain = None if report is None else report.plain
    worst = None if plain is None else plain.worst
    return {
        "row": name,
        "model": row.model,
        "method": None if report is None else report.method,
        "is_baseline": report is None,
        "values": list(row.values[metric]),
        "mean": row.mean(metric),
        "sd": row.sd(metric),
        "size": row.size,
        "bytes": row.num_bytes,
        "distill_seconds": row.distill_seconds,
        "share": None if plain is None or math.isnan(plain.share) else plain.share,
        "worst_share": None if worst is None else worst.share,
    }


def _best(
    ranked: Sequence[tuple[str, Row]], model: str, metric: str, digits: int
) -> str:
    """The best summary of a model, and by how much, seed by seed."""
    (best, first), (second, other) = ranked[:2]
    scores = in_words(first.values[metric], digits)
    sentence = f"Best of {len(ranked)} by {model}: {best}, {metric} {scores}"
    if len(first.values[metric]) != len(other.values[metric]):
        return f"{sentence}; then {second}."
    difference = paired_difference(first.values[metric], other.values[metric])
    if not first.sd(metric) and not other.sd(metric) and difference.pairs > 1:
        # Both are solved, not trained: seeds say nothing of chance.
        if difference.mean == 0:
            return f"{sentence}; {second} equals it."
        gap = f"{100 * difference.mean:+.{digits}f}"
        return f"{sentence}; {gap} above {second}, with every seed."
    is_shown = difference.is_better is None or difference.is_better
    doubt = "" if is_shown else ", which is not shown to be more than chance"
    return f"{sentence}; {difference.described(digits)} above {second}{doubt}."


# --- what is compared -----------------------------------------------------------------


def named_groups(summaries: Any, names: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Summaries by name; those without a name are called by their method.

    Args:
        summaries: as of `multidd.compare`.
        names: that others have already.

    Raises:
        TypeError: something else than summaries.
        ValueError: none, or of several methods in one group.

    Example:
        >>> from multidd.summary import Card
        >>> dm = DataSummary({}, Card("dm", {}, 0, {}, {}))
        >>> list(named_groups([dm, [dm, dm]])), list(named_groups({"mine": dm}))
        (['dm', 'dm-2'], ['mine'])
    """
    if isinstance(summaries, DataSummary):
        summaries = [summaries]
    named: list[tuple[str | None, Any]]
    if isinstance(summaries, Mapping):
        named = [(str(name), one) for name, one in summaries.items()]
    else:
        named = [(None, one) for one in summaries]
    if not named:
        raise ValueError("there is nothing to compare: no summary was given")
    groups: dict[str, list[Any]] = {}
    for name, one in named:
        group = [one] if isinstance(one, DataSummary) else list(one)
        if not group or not all(isinstance(part, DataSummary) for part in group):
            raise TypeError(
                "compare takes summaries, lists of summaries of one method, or a dict "
                f"of them by name; got {one!r}"
            )
        label = base = group[0].card.method if name is None else name
        count = 1
        while label in groups or label in names:
            count += 1
            label = f"{base}-{count}"
        groups[label] = group
    return groups


def compared(
    evaluate: Callable[..., Report],
    evaluator: Evaluator,
    summaries: Sequence[DataSummary],
    others: Any,
    settings: Mapping[str, Any],
) -> Report:
    """The report of summaries of one method, with others in a table beside them.

    Args:
        evaluate: judges summaries of one method.
        evaluator: of the data; what is equal in several reports is trained once.
        summaries: of one method.
        others: as of `named_groups`; none stand beside where there are none.
        settings: of `evaluate`, the same for all.

    Raises:
        ValueError: summaries of several kinds.
    """
    first = summaries[0].card.method
    groups = {first: summaries}
    groups |= named_groups(others, names=[first]) if others else {}
    kinds = {name: group[0].kind for name, group in groups.items()}
    if len(set(kinds.values())) > 1:
        listed = ", ".join(f"{name} is {kind}" for name, kind in kinds.items())
        raise ValueError(
            f"summaries of one kind can be compared; {listed}: compare each kind apart"
        )
    twin = remembering(evaluator)
    reports: dict[str, Report] = {}
    seconds: dict[Any, float] = {}
    for name, group in groups.items():
        report = evaluate(group, twin, **settings)
        # A row that was trained for an earlier summary took as long as it did then.
        rows = tuple(
            replace(
                row,
                training_seconds=seconds.setdefault(_key(row), row.training_seconds),
            )
            for row in report.rows
        )
        reports[name] = replace(report, rows=rows)
    return replace(reports[first], comparison=ComparisonReport(reports))


def _key(row: Row) -> tuple[Any, ...]:
    """Equal of rows of equal records: they have equal scores."""
    values = tuple(sorted(row.values.items()))
    return row.name, row.model, row.size, row.num_bytes, values


def remembering(evaluator: E) -> E:
    """A copy of an evaluator that trains the same thing once.

    Several summaries of one size have the same baselines: the scores of equal records
    under the same card, model, protocol and seed are equal.

    Args:
        evaluator: of a modality; it stays as it is.
    """
    twin = copy.copy(evaluator)
    for name in ("fit", "fit_plain", "fit_regime"):
        if hasattr(twin, name):
            setattr(twin, name, Remembered(name, twin))
    return twin
