"""All methods in one table: family, year, needs, and what was measured of each.

Scores come from `measured.json`, which ships with the library and is made from the
results of `multidd bench` by

    python -m multidd.evaluation.method_table docs/benchmarks multidd/measured.json
"""

import inspect
import json
import os
import pathlib
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from multidd import modality as registry
from multidd.citation import works
from multidd.evaluation.lines import Line, PublishedLines
from multidd.evaluation.results import MeasuredLine, Results
from multidd.storage.atomic import write_text

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["measured_scores", "methods"]

SCORES = "measured.json"

COLUMNS = (
    "modality",
    "method",
    "family",
    "year",
    "about",
    "steps",
    "needs",
    "score",
    "random",
    "line",
    "measured",
    "use",
)

USES = {
    "condense": "a set in one pass over a graph, for the largest ones",
    "decoupled": "images that a trained teacher chooses or recovers, and labels",
    "distribution": "the features that networks see, trained little or not",
    "factorized": "more images in the same bytes: codes and a shared decoder",
    "gradient": "the steps that networks would take on real records",
    "graph_sets": "a few small graphs that stand for many",
    "kernel": "training in closed form, by a kernel or on features",
    "latent": "images that a decoder draws",
    "partition": "a set in one pass over a graph, without a loop",
    "pursuit": "real records that a learner does well on",
    "selection": "real records, and the baseline beside everything learned",
    "spectral": "a graph whose spectrum is that of the real one",
    "tokens": "token vectors for a frozen encoder",
    "trajectory": "whole trainings of experts, recorded once",
    "unroll": "the training of a network on the set, steps and all",
}
"""What methods of a family are for, where their docstring does not say it."""


def methods(modality: str | None = None) -> "DataFrame":
    """All methods, one a row: a `pandas.DataFrame`.

    Columns: `modality`, `method`, `family` (the file of the recipe, as in the table of
    families), `year` of its first paper, `about` in one line, default `steps` (none of
    a selection), what it `needs` beside the data (a teacher, experts), `score` and
    that of `random` records on the same line, `line`: data, size and settings of the
    measurement, `measured`: commit and day, and its `use`.

    A score stands in the setting in which most methods of the modality were measured
    beside random records; there at the fewest settings other than the defaults. It is
    no ranking: settings differ, and the pages of benchmarks have all lines with their
    spread. Scores are accuracies in percent, of recommenders HR@10.

    Args:
        modality: `"graph"`, `"images"`, ...; all installed ones unless given.

    Raises:
        ValueError: no such modality.

    Example:
        >>> table = methods("graph")
        >>> table.loc["gcond", "family"], int(table.loc["gcond", "year"])
        ('gradient', 2022)
    """
    import pandas as pd

    names = registry.names() if modality is None else [modality]
    scores = json.loads(files("multidd").joinpath(SCORES).read_text("utf-8"))
    rows = [row for name in names for row in _rows(name, scores.get(name, {}))]
    table = pd.DataFrame(rows, columns=list(COLUMNS), index=[r["method"] for r in rows])
    return table.astype({"year": "Int64", "steps": "Int64"})


def measured_scores(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What `measured.json` holds: modality -> method -> score, and where from.

    Args:
        folder: with `NAME.json` of each modality, as `multidd bench --out` writes them.
    """
    scores: dict[str, Any] = {}
    for name in registry.own_names():
        results = Results.read(pathlib.Path(folder) / f"{name}.json", name)
        published = PublishedLines.of(registry.parts(name).published)
        known = registry.parts(name).methods
        lines = [line for line in published.lines if line.name in results.lines]
        scores[name] = {
            line.method: _score(line, beside, results.lines)
            for line, beside in _chosen(lines, known)
        }
    return scores


def _chosen(lines: list[Line], known: Mapping[str, Any]) -> Iterator[tuple[Line, Line]]:
    """The line of each method, and that of random records in the same setting."""
    plain = [line for line in lines if line.method in known]
    beside = {
        _setting(line): line
        for line in plain
        if line.method == "random" and not line.options
    }
    plain = [line for line in plain if _setting(line) in beside]
    counts = Counter(
        setting for setting, _ in {(_setting(line), line.method) for line in plain}
    )
    for method in known:
        own_lines = [line for line in plain if line.method == method]
        if own_lines:
            line = min(
                own_lines, key=lambda one: (-counts[_setting(one)], len(one.options))
            )
            yield line, beside[_setting(line)]


def _setting(line: Line) -> tuple[Any, ...]:
    """What a line shares with those that it may stand beside."""
    budget = tuple(line.budget.items())
    return line.data, budget, line.models, line.protocol, line.stage, line.note


def _score(
    line: Line, beside: Line, measured: Mapping[str, MeasuredLine]
) -> dict[str, Any]:
    record = measured[line.name]
    return {
        "score": _value(record.cells),
        "random": _value(measured[beside.name].cells),
        "line": line.name,
        "measured": f"{record.commit}, {record.day}",
    }


def _value(cells: Mapping[str, str]) -> float:
    """The mean of the first metric of a line."""
    text = next(cell for name, cell in cells.items() if name.startswith("test "))
    return float(text.split()[0])


def _rows(name: str, scores: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    parts = registry.parts(name)
    for method, function in parts.methods.items():
        parameters = inspect.signature(function).parameters
        family = function.__module__.rpartition(".")[2]
        text = inspect.getdoc(function) or ""
        steps = parameters["steps"].default if "steps" in parameters else None
        row = {
            "modality": name,
            "method": method,
            "family": family,
            "year": _year(method),
            "about": text.splitlines()[0] if text else "",
            "steps": steps,
            "needs": ", ".join(_needs(parameters)),
            "use": _use(text) or USES.get(family, ""),
        }
        yield row | scores.get(method, dict.fromkeys(("score", "random"), float("nan")))


def _year(method: str) -> int | None:
    """Of the first work that a method is cited for."""
    match = re.search(r"year = \{(\d{4})\}", works().get(method, ""))
    return int(match[1]) if match else None


def _needs(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    """What a method trains before its first step, by its default settings."""
    options = parameters["options"].default if "options" in parameters else None
    values: dict[str, Any] = {}
    if is_dataclass(options):
        values = {f.name: getattr(options, f.name) for f in fields(options)}
    needs = {
        "experts": "experts" in values,
        "teacher": bool({"teacher_steps", "teacher"} & set(values))
        or values.get("supervision") == "teacher"
        or str(values.get("labels", "")).startswith("teacher"),
        "autoencoder": "autoencoder" in values,
        "encoder": "encoder" in parameters,
    }
    return [name for name, needed in needs.items() if needed]


def _use(text: str) -> str:
    """What a docstring says that a method is for, its first sentence."""
    part = re.search(r"What it is for: (.*?)(?:[.:] |[.:]\n|\n\n|$)", text, re.S)
    return " ".join(part[1].split()) if part else ""


def main(argv: list[str]) -> None:
    """Write `measured.json`: the folder of results, and the file."""
    folder, path = argv
    scores = measured_scores(folder)
    write_text(pathlib.Path(path), json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
