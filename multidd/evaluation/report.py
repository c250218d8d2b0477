"""`Report`: the table of an evaluation."""

import pathlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from multidd.evaluation.audit.audit import Audit
from multidd.evaluation.costs import Costs
from multidd.evaluation.document import (
    as_box,
    as_latex,
    as_markdown,
    as_page,
    as_text,
    document_of,
    write_forms,
)
from multidd.evaluation.plain import PlainReport
from multidd.evaluation.regimes import RegimeReport, regimes_to_dict
from multidd.evaluation.sections import in_words
from multidd.evaluation.significance import (
    Comparison,
    SeedSpread,
    compared_with_best,
)
from multidd.evaluation.table import terminal_width
from multidd.evaluation.transfer import Transfer
from multidd.summary import DataSummary

if TYPE_CHECKING:
    from multidd.evaluation.comparison import ComparisonReport
    from multidd.evaluation.curve import Curve

__all__ = ["Report", "Row"]

PER_CLASS = "accuracy/"
"""Metrics by this name and that of a class are accuracies on it."""

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
        regimes: sets under the label regimes, and the scores of the field; None where
            that was left out.
        costs: of making, storing and training; None of a report made by hand.
        transfer: scores over several models; None of a single one.
        significance: the method beside the best row of each model.
        seeds: how much of the spread is making's and how much training's; None without
            several of both.
        comparison: this summary beside others; None unless some were compared.
        summary: the summary, or the first of several, for pages; None goes without.
        commands: what makes the report again, for pages.
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
    regimes: RegimeReport | None = None
    costs: Costs | None = None
    transfer: Transfer | None = None
    significance: tuple[Comparison, ...] = ()
    seeds: SeedSpread | None = None
    comparison: "ComparisonReport | None" = None
    summary: DataSummary | None = field(default=None, compare=False)
    commands: tuple[str, ...] = ()
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
                "worst": min(row.values[self.metric]),
                "runs": len(row.values[self.metric]),
                "size": row.size,
                "form": row.form,
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
        comparison = self.comparison
        return {
            "method": self.method,
            "metric": self.metric,
            "extra_metrics": list(self.extra_metrics),
            "digits": self.digits,
            "rows": rows,
            "protocol": self.protocol,
            "data": self.data,
            "footer": self._protocol_line(),
            "notes": list(self.notes),
            "plain": None if self.plain is None else self.plain.to_dict(),
            **regimes_to_dict(self.regimes),
            "costs": None if self.costs is None else self.costs.to_dict(),
            "transfer": None if self.transfer is None else self.transfer.to_dict(),
            "significance": [one.to_dict() for one in self.significance],
            "seeds": None if self.seeds is None else self.seeds.to_dict(),
            "comparison": None if comparison is None else comparison.to_dict(),
            "audit": None if self.audit is None else self.audit.to_dict(),
        }

    @property
    def headline(self) -> str:
        """The report in one sentence: the share of the gain, or the first model."""
        if self.plain is not None:
            return self.plain.headline
        rows = [row for row in self.rows if row.name == self.method]
        if not rows:
            return ""
        score = in_words(rows[0].values[self.metric], self.digits)
        return f"{self.method}: {rows[0].model} reaches {self.metric} {score}."

    def to_document(self, curve: "Curve | None" = None) -> dict[str, Any]:
        """All that `report.json` holds: `to_dict()`, the summary, how to repeat it.

        Args:
            curve: scores against budgets that belong to it.

        Example:
            >>> row = Row("gcond", "gcn", {"accuracy": (0.8, 0.82)})
            >>> report = Report((row,), {"name": "gcond"}, {}, "gcond", "accuracy")
            >>> report.to_document()["headline"]
            'gcond: gcn reaches accuracy 81.0 ± 1.4 %.'
        """
        return document_of(
            self.summary, self.to_dict(), self.headline, self.commands, curve
        )

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` with one line for each row."""
        import pandas

        return pandas.DataFrame(self.records())

    def to_markdown(self) -> str:
        """Plain trainings first, then the table and its protocol, then the rest."""
        return as_markdown(self.to_document())

    def to_latex(self) -> str:
        r"""Its tables in LaTeX, one after the other; needs `\usepackage{booktabs}`.

        Example:
            >>> row = Row("gcond", "gcn", {"accuracy": (0.8, 0.82)})
            >>> report = Report((row,), {"name": "gcond"}, {}, "gcond", "accuracy")
            >>> print(report.to_latex().splitlines()[7])
            gcond & gcn & 81.0 $\pm$ 1.4 & 2 & all &  &  & \textless{}0.1 \\
        """
        return as_latex(self.to_document())

    def to_html(self, curve: "Curve | None" = None) -> str:
        """The whole page: one HTML file that needs no network.

        Args:
            curve: scores against budgets that belong to it.

        Example:
            >>> row = Row("gcond", "gcn", {"accuracy": (0.8, 0.82)})
            >>> report = Report((row,), {"name": "gcond"}, {}, "gcond", "accuracy")
            >>> report.to_html().count("<table")
            1
        """
        return as_page(self.to_document(curve), self.summary)

    def save(
        self, path: str | pathlib.Path, curve: "Curve | None" = None
    ) -> pathlib.Path:
        """Write `report.html`, `report.md` and `report.json`, or one of them.

        Args:
            path: a folder, or a file that ends in .html, .md, .json or .tex.
            curve: scores against budgets that belong to it.

        Returns:
            The path of the page, or of the file.

        Raises:
            ValueError: another ending.
            StorageError: a file cannot be written; an older one stays whole.

        Example:
            >>> import tempfile
            >>> row = Row("gcond", "gcn", {"accuracy": (0.8, 0.82)})
            >>> report = Report((row,), {"name": "gcond"}, {}, "gcond", "accuracy")
            >>> report.save(tempfile.mkdtemp()).name
            'report.html'
        """
        return write_forms(path, self.to_document(curve), self.summary)

    def _repr_html_(self) -> str:
        """The tables and charts as notebooks show them."""
        return as_box(self.to_document(), repr(self))

    def __str__(self) -> str:
        return self.to_text(terminal_width())

    def to_text(self, width: int | None = None) -> str:
        """The tables as text, what plain trainings gain first, the protocol last.

        Args:
            width: characters of a line; None has no limit.
        """
        return as_text(self.to_document(), width)

    def __repr__(self) -> str:
        means = ", ".join(
            f"{row.model} {100 * row.mean(self.metric):.1f}"
            for row in self.rows
            if row.name == self.method
        )
        return f"Report({self.method}, {self.metric} %: {means}, rows={len(self.rows)})"

    def _protocol_line(self) -> str:
        settings = ", ".join(
            f"{k} {v}" for k, v in self.protocol.items() if _is_named(k, v)
        )
        alone = "" if len({r.name for r in self.rows}) > 1 else " No rows beside it."
        protocol = f"Protocol {self.protocol['name']!r}: {settings}."
        return f"{self.footer or protocol}{alone}"


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
        A sentence for each model that has a row beside the summary's.

    Example:
        >>> rows = [
        ...     Row("kmeans", "gcn", {"accuracy": (0.80, 0.82)}),
        ...     Row("gcond", "gcn", {"accuracy": (0.81, 0.84)}),
        ... ]
        >>> notes_on_baselines(rows, "gcond", "accuracy")[0].split(":")[0]
        'Not shown to be better than kmeans, gcn'
    """
    comparisons = compared_with_best(rows, method, metric, digits)
    return [comparison.sentence for comparison in comparisons]


def _is_named(name: str, value: Any) -> bool:
    """Whether a setting is named below a table: not where it is off, or as always."""
    off = not isinstance(value, bool) and value in (0, "", (), [])
    return name != "name" and not off and DEFAULTS.get(name) != value
