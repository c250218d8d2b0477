"""Sections of a report, made from its plain form: a title, sentences and a table.

Text, Markdown, LaTeX and HTML show the same sections. A part of a report that is not
there, or None, has none.
"""

import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multidd.evaluation.table import spread

__all__ = ["Section", "in_words", "plain_cells", "row_cells", "sections"]

REGIMES = ("HL", "SL", "SL+KD")

TITLES = {
    "comparison": "Summaries compared",
    "regimes": "Label regimes",
    "scores": "Scores of the field",
    "significance": "Against the best row beside it",
    "transfer": "Transfer",
    "per_class": "Scores by class",
    "curve": "Scores against budgets",
    "costs": "Costs",
    "seeds": "Seeds",
    "audit": "What the summary leaks and covers",
}
"""Part of the plain form -> title of its section, in order."""

Document = Mapping[str, Any]
Cells = list[list[str]]


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        name: of the part, such as `"regimes"`.
        title: in words.
        notes: sentences that stand above the table.
        cells: of the table, the first line a head; none where there is no table.
    """

    name: str
    title: str
    notes: tuple[str, ...] = ()
    cells: tuple[tuple[str, ...], ...] = ()


def sections(report: Document) -> list[Section]:
    """The sections behind the first table, of the parts that are there.

    Args:
        report: its plain form, as of `Report.to_dict()`.

    Example:
        >>> seeds = {"making_sd": 0.01, "training_sd": 0.002}
        >>> seeds |= {"making_seeds": 3, "training_seeds": 2}
        >>> [section.title for section in sections({"seeds": seeds, "costs": None})]
        ['Seeds']
    """
    parts_by = {
        "comparison": _comparison,
        "regimes": _regimes,
        "scores": _scores,
        "significance": _significance,
        "transfer": _transfer,
        "per_class": _per_class,
        "curve": _curve,
        "costs": _costs,
        "seeds": _seeds,
        "audit": _audit,
    }
    parts = []
    for name, title in TITLES.items():
        notes, cells = parts_by[name](report)
        if notes or len(cells) > 1:
            rows = tuple(map(tuple, cells)) if len(cells) > 1 else ()
            parts.append(Section(name, title, tuple(notes), rows))
    return parts + _beside_real_data(report.get("facts") or "")


def _beside_real_data(text: str) -> list[Section]:
    """What `DataSummary.facts` says: headings, each with lines and a table.

    A head without words gets `name`, so that each column has one.
    """
    parts: list[Section] = []
    for block in re.split(r"^## ", text, flags=re.M)[1:]:
        title, *lines = [line.strip() for line in block.splitlines() if line.strip()]
        tabled = [line for line in lines if line.startswith("|")]
        cells = [
            tuple(
                cell.strip() or "name" * (place == 0) for cell in line[1:-1].split("|")
            )
            for place, line in enumerate(tabled)
            if place != 1  # the rule below the head
        ]
        notes = tuple(line for line in lines if line not in tabled)
        parts.append(Section(f"facts-{len(parts) + 1}", title, notes, tuple(cells)))
    return parts


# --- the first tables ---------------------------------------------------------------


def row_cells(report: Document) -> Cells:
    """A line for each training set and model, the first line a head.

    Args:
        report: its plain form.
    """
    digits = report.get("digits", 1)
    metrics = [report["metric"], *report.get("extra_metrics", ())]
    head = ["row", "model", *(f"{metric} %" for metric in metrics)]
    cells = [[*head, "runs", "size", "KiB", "making s", "training s"]]
    for row in report["rows"]:
        values = row["values"]
        size = "all" if row["size"] is None else str(row["size"])
        size += f" ({row['form']})" if row.get("form") else ""
        cells.append(
            [
                row["row"],
                row["model"],
                *(spread(values[metric], digits) for metric in metrics),
                str(len(values[report["metric"]])),
                size,
                kibibytes(row["bytes"]),
                seconds(row["distill_seconds"]),
                seconds(row["training_seconds"]),
            ]
        )
    return cells


def plain_cells(report: Document) -> Cells:
    """A line for each plain training, the first line a head; none without them.

    Args:
        report: its plain form.
    """
    plain = report.get("plain")
    if not plain:
        return []
    digits = report.get("digits", 1)
    head = ["plain training", f"{report['metric']} %", "random", "whole", "share %"]
    cells = [head]
    for one in plain["trainings"]:
        values = (one["summary"], one["random"], one["whole"])
        texts = [spread(some, digits) if some else "cannot" for some in values]
        share = "" if one["share"] is None else per_cent(one["share"], 0)
        cells.append([one["training"], *texts, share])
    return cells


# --- parts ----------------------------------------------------------------------------

Part = tuple[Sequence[str], Cells]


def _regimes(report: Document) -> Part:
    lines = report.get("regimes") or []
    if not lines:
        return (), []
    digits = report.get("digits", 1)
    named = [one["regime"] for one in lines]
    regimes = [r for r in dict.fromkeys([*REGIMES, *named]) if r in named]
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for one in lines:
        scores = spread(one["values"], digits) if one["values"] else "cannot"
        rows.setdefault((one["model"], one["row"]), {})[one["regime"]] = scores
    cells = [["row", "model", *(f"{regime} %" for regime in regimes)]]
    for (model, row), scores_by in rows.items():
        cells.append([row, model, *(scores_by.get(r, "") for r in regimes)])
    notes: dict[str, list[str]] = {}
    for one in lines:
        if one.get("note"):
            place = f"{one['row']}, {one['regime']}"
            places = notes.setdefault(one["note"], [])
            places += [place] if place not in places else []
    updates = {one["updates"] for one in lines if one.get("updates")}
    about = [
        "HL: hard labels; SL: fixed soft labels; SL+KD: a teacher labels each view."
    ]
    if report.get("teacher"):
        about.append(f"The teacher: {report['teacher']}.")
    if len(updates) == 1:
        about.append(f"Every set was trained on for {updates.pop():,} updates.")
    about += [f"{'; '.join(places)}: {note}" for note, places in notes.items()]
    return about, cells


def _scores(report: Document) -> Part:
    lines = report.get("scores") or []
    cells = [["model", "labels", "HLR", "IOR", "IOR, 95 %", "p", "LRS", "ARS"]]
    for one in lines:
        cells.append(
            [
                one["model"],
                one.get("labels") or "",
                _number(one["hlr"]),
                _number(one["ior"]),
                _interval(one.get("interval"), _number),
                p_value(one.get("p_value")),
                _number(one["lrs"]),
                _number(one["ars"]),
            ]
        )
    about = [
        "In fractions. HLR: whole data less the summary, both with hard labels; IOR: "
        "the summary less random records, with the same labels; LRS and ARS: both in "
        "one number, without and with augmentation."
    ]
    return (about if lines else ()), _filled(cells)


def _significance(report: Document) -> Part:
    lines = report.get("significance") or []
    head = ["model", "best row", "difference %", "95 %", "p", "test", "pairs"]
    cells = [head]
    for one in lines:
        cells.append(
            [
                one["model"],
                one["best_row"],
                f"{100 * one['difference']:+.1f}",
                _interval(one.get("interval"), per_cent),
                p_value(one.get("p_value")),
                one.get("test") or "",
                str(one["pairs"]),
            ]
        )
    return [one["sentence"] for one in lines if one.get("sentence")], cells


def _transfer(report: Document) -> Part:
    transfer = report.get("transfer")
    if not transfer:
        return (), []
    models, matrix = transfer["models"], transfer["matrix"]
    cells = [["row", *(f"{model} %" for model in models), "mean %"]]
    for name, line in zip(transfer_rows(report), matrix, strict=True):
        cells.append([name, *(per_cent(value) for value in [*line, _mean(line)])])
    mean = f"Mean over models {per_cent(transfer['mean'])} %"
    return [f"{mean}, the worst {transfer['worst']}."], cells


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def transfer_rows(report: Document) -> list[str]:
    """Names of the rows of the transfer matrix."""
    transfer = report["transfer"]
    count = len(transfer["matrix"])
    names = transfer.get("rows") or []
    if len(names) == count:
        return [str(name) for name in names]
    method = str(report.get("method"))
    return [method] if count == 1 else [f"{method} {i + 1}" for i in range(count)]


def class_scores(report: Document) -> dict[str, dict[str, float]]:
    """Model -> class -> mean score of the summary, where there are such scores."""
    prefix, method = f"{report.get('metric')}/", report.get("method")
    scores: dict[str, dict[str, float]] = {}
    for row in report.get("rows") or ():
        if row["row"] == method:
            scores[row["model"]] = {
                name.removeprefix(prefix): statistics.fmean(values)
                for name, values in row["values"].items()
                if name.startswith(prefix) and values
            }
    return {model: classes for model, classes in scores.items() if classes}


def _per_class(report: Document) -> Part:
    scores = class_scores(report)
    names = list(dict.fromkeys(name for one in scores.values() for name in one))
    cells = [["class", *(f"{model} %" for model in scores)]]
    for name in names:
        cells.append([name, *(per_cent(one.get(name)) for one in scores.values())])
    return (), cells


def _curve(report: Document) -> Part:
    curve = report.get("curve")
    if not curve:
        return (), []
    cells = [["method", curve["budget"], "size", f"{curve['metric']} %", "KiB"]]
    for point in curve["points"]:
        budget = "" if point["budget"] is None else f"{point['budget']:g}"
        size = "all" if point["size"] is None else str(point["size"])
        scores = spread(point["values"], report.get("digits", 1))
        cells.append([point["method"], budget, size, scores, kibibytes(point["bytes"])])
    left_out = [f"Left out: {one}." for one in curve.get("left_out", ())]
    return [f"Model {curve['model']}.", *left_out], cells


def _costs(report: Document) -> Part:
    costs = report.get("costs")
    if not costs:
        return (), []
    stored = costs.get("bytes") or {}
    trainings = costs.get("break_even_trainings")
    paid = "" if trainings is None else f"{math.ceil(trainings):,}"
    peak = costs.get("peak_bytes")
    facts = {
        "seconds of making": seconds(costs.get("seconds")),
        "needs before it": ", ".join(costs.get("needs") or ()),
        "seconds of a teacher": seconds(costs.get("teacher_seconds")),
        "peak MiB of making": "" if peak is None else f"{peak / 2**20:,.0f}",
        **{
            "KiB in all" if name == "total" else f"KiB of {name}": kibibytes(size)
            for name, size in stored.items()
        },
        "updates of a training": _count(costs.get("updates") or None),
        "trainings until making has paid": paid,
    }
    cells = [["cost", "value"], *([n, v] for n, v in facts.items() if v)]
    never = "Making does not pay by saved trainings, or that was not measured."
    return ([never] if trainings is None else ()), cells


def _seeds(report: Document) -> Part:
    seeds = report.get("seeds")
    if not seeds:
        return (), []
    cells = [["seeds of", "seeds", "deviation %"]]
    for name in ("making", "training"):
        sd = per_cent(seeds.get(f"{name}_sd"))
        cells.append([name, _count(seeds.get(f"{name}_seeds")), sd])
    return (), cells


def _audit(report: Document) -> Part:
    audit = report.get("audit") or {}
    parts = {name: part for name, part in audit.items() if isinstance(part, Mapping)}
    notes = [part["sentence"] for part in parts.values() if part.get("sentence")]
    cells = [["measure", "value"]]
    for name, part in parts.items():
        for key, value in _flat(part):
            if key != "sentence":
                cells.append([f"{name}: {key.replace('_', ' ')}", value])
    return notes, cells


def _comparison(report: Document) -> Part:
    comparison = report.get("comparison")
    if not comparison:
        return (), []
    digits = report.get("digits", 1)
    metric = f"{comparison['metric']} %"
    head = ["row", "method", "model", metric, "runs", "size", "KiB", "making s"]
    cells = [[*head, "share %", "worst share %"]]
    for row in comparison["rows"]:
        cells.append(
            [
                row["row"],
                "" if row["method"] in (None, row["row"]) else row["method"],
                row["model"],
                spread(row["values"], digits),
                str(len(row["values"])),
                "all" if row["size"] is None else str(row["size"]),
                kibibytes(row["bytes"]),
                seconds(row["distill_seconds"]),
                per_cent(row["share"], 0),
                per_cent(row["worst_share"], 0),
            ]
        )
    return comparison["notes"], _filled(cells)


def _filled(cells: Cells) -> Cells:
    """The table without columns that have a head alone."""
    filled = [i for i in range(len(cells[0])) if any(line[i] for line in cells[1:])]
    return [[line[i] for i in filled] for line in cells]


# --- numbers in words -----------------------------------------------------------------


def in_words(values: Sequence[float], digits: int = 1) -> str:
    """Mean and deviation of shares as a sentence has them.

    Example:
        >>> in_words([0.5, 0.52]), in_words([0.5])
        ('51.0 ± 1.4 %', '50.0 % (1 seed)')
    """
    mean, _, seeds = spread(values, digits).partition(" (")
    return f"{mean} % ({seeds}" if seeds else f"{mean} %"


def per_cent(value: float | None, digits: int = 1) -> str:
    """A share in per cent; nothing for None and what is not finite.

    Example:
        >>> per_cent(0.123), per_cent(None)
        ('12.3', '')
    """
    if value is None or not math.isfinite(value):
        return ""
    return f"{100 * value:.{digits}f}"


def p_value(value: float | None) -> str:
    """A p-value to three digits.

    Example:
        >>> p_value(0.0321), p_value(1e-9)
        ('0.032', '<0.001')
    """
    if value is None:
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def kibibytes(size: float | None) -> str:
    """Bytes as KiB, one digit where they are less than one.

    Example:
        >>> kibibytes(31_840), kibibytes(120), kibibytes(None)
        ('31', '0.1', '')
    """
    if size is None:
        return ""
    return f"{size / 1024:.1f}" if 0 < size < 1024 else f"{size / 1024:.0f}"


def seconds(value: float | None) -> str:
    """Seconds to a tenth; nothing for None.

    Example:
        >>> seconds(2.04), seconds(0.01)
        ('2.0', '<0.1')
    """
    if value is None:
        return ""
    return f"{value:.1f}" if value >= 0.05 else "<0.1"


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.3f}"


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _interval(ends: Sequence[float] | None, form: Any) -> str:
    return "" if not ends else f"{form(ends[0])} to {form(ends[1])}"


def _flat(part: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Names and values of all there is, also in dicts and lists of dicts inside."""
    for key, value in part.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name} ")
        elif isinstance(value, list | tuple):
            yield from _flat_list(name, value)
        elif value is not None:
            yield name, _plain_value(value)


def _flat_list(name: str, values: Sequence[Any]) -> Iterable[tuple[str, str]]:
    for place, value in enumerate(values):
        if isinstance(value, Mapping):
            label = value.get("model", place + 1)
            inside = {key: one for key, one in value.items() if key != "model"}
            yield from _flat(inside, f"{name} {label} ")
    scalars = [one for one in values if one is not None]
    plain = [_plain_value(one) for one in scalars if not isinstance(one, Mapping)]
    if len(plain) == 2 and name.strip().endswith("interval"):
        yield name, " to ".join(plain)
    elif plain:
        yield name, ", ".join(plain)


def _plain_value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
