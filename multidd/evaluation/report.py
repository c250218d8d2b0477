"""`Report`: the table of an evaluation."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from multidd import html
from multidd.evaluation.audit.audit import Audit
from multidd.evaluation.plain import PlainReport
from multidd.evaluation.significance import Difference, paired_difference
from multidd.evaluation.table import aligned, folded, markdown, terminal_width

__all__ = ["Report", "Row"]

PER_CLASS = "accuracy/"
"""Metrics by this name and that of a class are accuracies on it."""

PLAIN_DROP = ("whole", "random")

DROP = ("training s", "making s", "KiB", "runs", "size")
"""Columns that a narrow terminal goes without, the least important first."""

DEFAULTS = {"optimizer": "adam", "schedule": "step"}


@dataclass(frozen=True)
class Row:
    """One row of a report: one training set, one model.

    Attributes:
        name: whole, a selection, or the method.
        model: what was trained.
        values: scores of each training, by metric.
        size: records; None for whole data.
        num_bytes: bytes of all tensors; None for whole data.
        distill_seconds: of making the training set; None for whole data.
        training_seconds: of one training, its validation included.
        form: what the records are, where they are not stored as they are: `40 tiles`.
    """

    name: str
    model: str
    values: dict[str, tuple[float, ...]]
    size: int | None = None
    num_bytes: int | None = None
    distill_seconds: float | None = None
    training_seconds: float = 0.0
    form: str = ""

    def mean(self, metric: str) -> float:
        """Mean over trainings."""
        return statistics.fmean(self.values[metric])

    def sd(self, metric: str) -> float:
        """Standard deviation over trainings; 0 for a single one."""
        scores = self.values[metric]
        return statistics.stdev(scores) if len(scores) > 1 else 0.0


@dataclass(frozen=True, repr=False)
class Report:
    """The scores of an evaluation, to print or to take to pandas or Markdown.

    Attributes:
        rows: one for each training set and model.
        protocol: settings of the training, identical for all rows.
        data: fingerprint of the real data.
        method: name of the row of the summary.
        metric: the metric that decides, the first of the table.
        extra_metrics: further metrics of the table.
        digits: after the point, in the table.
        footer: what stands below the table, in the place of the protocol's settings.
        notes: what stands below that: `notes_on_whole`, `notes_on_baselines`.
        plain: what plain trainings gain; None where that was left out.
        audit: what the summary loses and tells; None unless it was asked for.

    Example:
        >>> row = Row("gcond", "gcn", {"accuracy": (0.8, 0.82)}, 70, 400_000, 2.0, 3.0)
        >>> report = Report((row,), {"name": "gcond"}, {}, "gcond", "accuracy")
        >>> round(report.accuracy("gcn"), 2)
        0.81
        >>> report
        Report(gcond, accuracy %: gcn 81.0, rows=1)
    """

    rows: tuple[Row, ...]
    protocol: dict[str, Any]
    data: dict[str, Any]
    method: str
    metric: str
    extra_metrics: tuple[str, ...] = ()
    digits: int = 1
    footer: str = ""
    notes: tuple[str, ...] = ()
    plain: PlainReport | None = None
    audit: Audit | None = None

    def row(self, model: str, name: str | None = None) -> Row:
        """The row of a model; the summary's own unless a row is named.

        Raises:
            KeyError: no such row.
        """
        name = self.method if name is None else name
        for row in reversed(self.rows):
            if (row.name, row.model) == (name, model):
                return row
        known = sorted({f"{row.name}/{row.model}" for row in self.rows})
        raise KeyError(f"no row {name}/{model}; there are {', '.join(known)}")

    def value(self, model: str, metric: str, row: str | None = None) -> float:
        """Mean of a metric over trainings."""
        return self.row(model, row).mean(metric)

    def accuracy(self, model: str, row: str | None = None) -> float:
        """Mean test accuracy, between 0 and 1."""
        return self.value(model, "accuracy", row)

    def per_class(self, model: str, row: str | None = None) -> dict[str, float]:
        """Mean test accuracy on each class, where the modality measures it.

        Args:
            model: what was trained.
            row: name of a row; the summary's own unless given.

        Returns:
            Class name to accuracy between 0 and 1, in the order of the classes.

        Raises:
            KeyError: no such row, or no accuracies by class.

        Example:
            >>> values = {"accuracy": (0.7,), "accuracy/cat": (0.6,)}
            >>> values |= {"accuracy/dog": (0.8,)}
            >>> row = Row("dm", "convnet", values)
            >>> report = Report((row,), {"name": "dsa"}, {}, "dm", "accuracy")
            >>> report.per_class("convnet")
            {'cat': 0.6, 'dog': 0.8}
        """
        chosen = self.row(model, row)
        metrics = [metric for metric in chosen.values if metric.startswith(PER_CLASS)]
        if not metrics:
            raise KeyError(f"row {chosen.name}/{model} has no accuracies by class")
        return {
            metric.removeprefix(PER_CLASS): chosen.mean(metric) for metric in metrics
        }

    def records(self) -> list[dict[str, Any]]:
        """The rows as dicts, for tables and files."""
        return [
            {
                "row": row.name,
                "model": row.model,
                "mean": row.mean(self.metric),
                "sd": row.sd(self.metric),
                "runs": len(row.values[self.metric]),
                "size": row.size,
                "bytes": row.num_bytes,
                "distill_seconds": row.distill_seconds,
                "training_seconds": row.training_seconds,
                **{metric: row.mean(metric) for metric in self.extra_metrics},
            }
            for row in self.rows
        ]

    def to_dict(self) -> dict[str, Any]:
        """The whole report as plain values, for JSON.

        Example:
            >>> row = Row("gcond", "gcn", {"accuracy": (0.8, 0.82)})
            >>> report = Report((row,), {"name": "gcond"}, {}, "gcond", "accuracy")
            >>> report.to_dict()["rows"][0]["values"]
            {'accuracy': [0.8, 0.82]}
        """
        rows = [
            record | {"values": {name: list(v) for name, v in row.values.items()}}
            for record, row in zip(self.records(), self.rows, strict=True)
        ]
        return {
            "method": self.method,
            "metric": self.metric,
            "rows": rows,
            "protocol": self.protocol,
            "data": self.data,
            "notes": list(self.notes),
            "plain": None if self.plain is None else self.plain.to_dict(),
            "audit": None if self.audit is None else self.audit.to_dict(),
        }

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` with one line for each row."""
        import pandas

        return pandas.DataFrame(self.records())

    def to_markdown(self) -> str:
        """Plain trainings first, then a Markdown table, the protocol below it."""
        parts = [markdown(self._cells()), self._foot()]
        if self.plain is not None:
            parts = [self.plain.headline, markdown(_plain_cells(self.plain)), *parts]
        return "\n\n".join(parts) + "\n"

    def _repr_html_(self) -> str:
        """The tables as notebooks show them."""
        foot = "".join(html.note(line) for line in self._foot().splitlines())
        parts = [html.table(self._cells()), foot]
        if self.plain is not None:
            headline = html.note(self.plain.headline)
            parts = [headline, html.table(_plain_cells(self.plain)), *parts]
        return html.box(repr(self), *parts)

    def __str__(self) -> str:
        return self.to_text(terminal_width())

    def to_text(self, width: int | None = None) -> str:
        """The tables as text, what plain trainings gain first, the protocol last.

        Args:
            width: characters of a line; None has no limit.
        """
        drop = [*DROP, *(f"{metric} %" for metric in reversed(self.extra_metrics))]
        table = aligned(self._cells(), width, drop)
        parts = [f"{table}\n{folded(self._foot(), width)}"]
        if self.plain is not None:
            plain = aligned(_plain_cells(self.plain), width, PLAIN_DROP)
            parts = [folded(self.plain.headline, width), plain, *parts]
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        means = ", ".join(
            f"{row.model} {100 * row.mean(self.metric):.1f}"
            for row in self.rows
            if row.name == self.method
        )
        return f"Report({self.method}, {self.metric} %: {means}, rows={len(self.rows)})"

    @property
    def _metrics(self) -> tuple[str, ...]:
        return (self.metric, *self.extra_metrics)

    def _cells(self) -> list[list[str]]:
        metrics = [f"{metric} %" for metric in self._metrics]
        head = ["row", "model", *metrics, "runs", "size", "KiB", "making s"]
        return [[*head, "training s"], *(self._line(row) for row in self.rows)]

    def _line(self, row: Row) -> list[str]:
        return [
            row.name,
            row.model,
            *(
                spread(row.values[m], self.digits)
                for m in (self.metric, *self.extra_metrics)
            ),
            str(len(row.values[self.metric])),
            "all" if row.size is None else _size(row),
            "" if row.num_bytes is None else f"{row.num_bytes / 1024:.0f}",
            "" if row.distill_seconds is None else _seconds(row.distill_seconds),
            _seconds(row.training_seconds),
        ]

    def _foot(self) -> str:
        settings = ", ".join(
            f"{k} {v}" for k, v in self.protocol.items() if _is_named(k, v)
        )
        alone = "" if len({r.name for r in self.rows}) > 1 else " No rows beside it."
        protocol = f"Protocol {self.protocol['name']!r}: {settings}."
        return "\n".join([f"{self.footer or protocol}{alone}", *self.notes])


def notes_on_whole(rows: Sequence[Row], metric: str, digits: int = 1) -> list[str]:
    """What a reader must know of the rows of whole data: they may be no ceiling.

    Args:
        rows: of a report.
        metric: that decides.
        digits: after the point.

    Returns:
        A sentence for each model whose whole data were still rising when a cap ended
        their training, and one for each row that stands above them.

    Example:
        >>> whole = Row("whole", "gcn", {"accuracy": (0.80,), "capped": (1.0,)})
        >>> few = Row("gcond", "gcn", {"accuracy": (0.82,)})
        >>> for note in notes_on_whole([whole, few], "accuracy"):
        ...     print(note)
        Whole data, gcn: the cap ended a training that was still rising; no ceiling.
        Above whole data, gcn: gcond 82.0 > 80.0.
    """
    notes = []
    for whole in (row for row in rows if row.name == "whole"):
        if any(whole.values.get("capped", ())):
            notes.append(
                f"Whole data, {whole.model}: the cap ended a training that was still "
                "rising; no ceiling."
            )
        ceiling = f"{100 * whole.mean(metric):.{digits}f}"
        above = [
            f"{row.name} {100 * row.mean(metric):.{digits}f}"
            for row in rows
            if row.model == whole.model and row.mean(metric) > whole.mean(metric)
        ]
        if above:
            named = ", ".join(above)
            notes.append(f"Above whole data, {whole.model}: {named} > {ceiling}.")
    return notes


def notes_on_baselines(
    rows: Sequence[Row], method: str, metric: str, digits: int = 1
) -> list[str]:
    """How a method's row stands to the best one beside it, seed by seed.

    Args:
        rows: of a report.
        method: name of the row of the summary.
        metric: that decides.
        digits: after the point.

    Returns:
        A sentence for each model that has a row of as many trainings beside.

    Example:
        >>> rows = [
        ...     Row("kmeans", "gcn", {"accuracy": (0.80, 0.82)}),
        ...     Row("gcond", "gcn", {"accuracy": (0.81, 0.84)}),
        ... ]
        >>> notes_on_baselines(rows, "gcond", "accuracy")[0].split(":")[0]
        'Not shown to be better than kmeans, gcn'
    """
    notes = []
    for summary in (row for row in rows if row.name == method):
        scores = summary.values[metric]
        beside = [
            row
            for row in rows
            if row.model == summary.model
            and row.name not in ("whole", method)
            and len(row.values[metric]) == len(scores)
        ]
        if not beside:
            continue
        best = max(beside, key=lambda row: row.mean(metric))
        difference = paired_difference(scores, best.values[metric])
        notes.append(
            f"{_verdict(difference)} {best.name}, {summary.model}: "
            f"{difference.described(digits)}."
        )
    return notes


def _verdict(difference: Difference) -> str:
    if difference.mean <= 0:
        return "No better than"
    if difference.is_better is None:
        return "Beside"
    return "Better than" if difference.is_better else "Not shown to be better than"


def _plain_cells(plain: PlainReport) -> list[list[str]]:
    """A row for each plain training, the first line a head."""
    head = ["plain training", f"{plain.metric} %", "random", "whole", "share %"]
    cells = [head]
    for one in plain.scores:
        values = (one.summary, one.random, one.whole)
        texts = [spread(some, plain.digits) if some else "cannot" for some in values]
        share = f"{100 * one.share:.0f}" if one.shares else ""
        cells.append([one.training, *texts, share])
    return cells


def _size(row: Row) -> str:
    return f"{row.size} ({row.form})" if row.form else str(row.size)


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f}" if seconds >= 0.05 else "<0.1"


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean and standard deviation of shares, in per cent.

    Example:
        >>> spread([0.5, 0.52])
        '51.0 ± 1.4'
        >>> spread([0.5])
        '50.0 (1 seed)'
    """
    mean = 100 * statistics.fmean(values)
    if len(values) == 1:
        return f"{mean:.{digits}f} (1 seed)"
    sd = 100 * statistics.stdev(values)
    return f"{mean:.{digits}f} ± {sd:.{digits}f}"


def _is_named(name: str, value: Any) -> bool:
    """Whether a setting is named below a table: not where it is off, or as always."""
    off = not isinstance(value, bool) and value in (0, "", (), [])
    return name != "name" and not off and DEFAULTS.get(name) != value
