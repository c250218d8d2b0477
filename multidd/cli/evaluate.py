"""`multidd evaluate` and `multidd compare`: run folders judged on their real data."""

import pathlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import typer

import multidd
from multidd.cli.completion import complete_models, complete_protocols
from multidd.cli.groups import Workers, pool
from multidd.cli.output import Json, LogJson, Quiet, json_log, write
from multidd.cli.values import names_in
from multidd.errors import MultiddError

__all__ = ["Data", "Folder", "compare", "evaluate"]

Folder = Annotated[pathlib.Path, typer.Argument(help="Folder made by `distill`.")]
Folders = Annotated[
    list[pathlib.Path], typer.Argument(help="Folders made by `distill`, of one data.")
]
Data = Annotated[
    str | None,
    typer.Option(help="Where the real data are now; those of the run unless given."),
]
Seeds = Annotated[int, typer.Option(help="Trainings of each model.", min=1)]
Models = Annotated[
    str | None,
    typer.Option(
        help="By commas, such as gcn,sgc for a graph, convnet,kernel.",
        autocompletion=complete_models,
    ),
]
Rule = Annotated[
    str | None,
    typer.Option(
        help="How they are trained, such as quick for images.",
        autocompletion=complete_protocols,
    ),
]
Rows = Annotated[
    str | None, typer.Option(help='Rows beside it, by commas; "" for none.')
]
Regimes = Annotated[
    str | None,
    typer.Option(
        help='By commas: plain (trainings of others), HL, SL, SL+KD; "" for none.'
    ),
]
Audit = Annotated[
    bool,
    typer.Option(
        "--audit", help="Measure what it leaks, covers and loses of the real data."
    ),
]
Out = Annotated[
    pathlib.Path | None,
    typer.Option(help="Folder for report.html, report.md and report.json."),
]

CurveFolder = Annotated[
    pathlib.Path | None,
    typer.Option(
        "--curve", help="Folder of `multidd curve`, whose scores join the page."
    ),
]

SEEDS = 3
"""Trainings of each model, unless told otherwise."""

FINGERPRINTS = ("sha256", "split", "x", "y", "adjacency", "masks")
"""Entries of a card's source that decide what its scores were measured on."""


def evaluate(
    folder: Folder,
    models: Models = None,
    seeds: Seeds = SEEDS,
    protocol: Rule = None,
    rows: Rows = None,
    regimes: Regimes = None,
    audit: Audit = False,
    data: Data = None,
    curve: CurveFolder = None,
    workers: Workers = None,
    quiet: Quiet = False,
    as_json: Json = False,
    log_json: LogJson = None,
) -> None:
    """Train models on a summary and test them on the real data, with rows beside it."""
    from multidd.cli import run_data
    from multidd.cli.run_folder import RunFolder
    from multidd.evaluation.report_schema import read_curve

    asked = _Asked(models, seeds, protocol, rows, regimes, audit, data)
    run = RunFolder(folder)
    points = None if curve is None else read_curve(curve)
    summary, source = run.summary(), run.source()
    # What is refused so far leaves the folder as it is.
    _, real = run_data.reopen(summary, source, data)
    with run.lock(), json_log(log_json), json_log(str(run.log), is_own=True):
        run.check_same(summary, source)
        settings = asked.settings(quiet)
        with pool(workers) as executor:
            report = multidd.evaluate(summary, **settings, executor=executor, **real)
        # Printed before it is written: a full disk loses nothing.
        facts = summary.facts(real["on"], real.get("train"))
        files = {"report": str(run.report), "page": str(run.page)}
        write({**report.to_dict(), **files}, report, as_json)
        words = asked.words()
        words += [] if curve is None else ["--curve", str(curve)]
        again = shlex.join(["multidd", "evaluate", str(folder), *words])
        commands = (*run.commands(), again)
        run.write_report(summary, replace(report, commands=commands), facts, points)
    if not as_json:
        typer.echo(f"report: {run.page}")


def compare(
    folders: Folders,
    models: Models = None,
    seeds: Seeds = SEEDS,
    protocol: Rule = None,
    rows: Rows = None,
    regimes: Regimes = None,
    audit: Audit = False,
    data: Data = None,
    out: Out = None,
    workers: Workers = None,
    quiet: Quiet = False,
    as_json: Json = False,
    log_json: LogJson = None,
) -> None:
    """Put several summaries of the same data in one table, judged alike."""
    from multidd.cli import run_data
    from multidd.cli.run_folder import RunFolder
    from multidd.storage.files import check_writable

    asked = _Asked(models, seeds, protocol, rows, regimes, audit, data)
    runs = [RunFolder(folder) for folder in folders]
    summaries = _named(runs)
    _check_same_data(summaries)
    first = runs[0]
    _, real = run_data.reopen(first.summary(), first.source(), data)
    if out is not None:
        check_writable(out)
    settings = asked.settings(quiet)
    with json_log(log_json), pool(workers) as executor:
        comparison = multidd.compare(summaries, **settings, executor=executor, **real)
    again = shlex.join(["multidd", "compare", *map(str, folders), *asked.words()])
    comparison = replace(comparison, commands=(again,))
    result = {**comparison.to_dict(), "report": None if out is None else str(out)}
    write(result, comparison, as_json)
    if out is not None:
        page = comparison.save(out)
        if not as_json:
            typer.echo(f"report: {page}")


def _named(runs: Sequence[Any]) -> dict[str, Any]:
    """The summary of each folder by the folder's name; by its path where two agree."""
    names = [run.path.resolve().name for run in runs]
    if len({run.path.resolve() for run in runs}) < len(runs):
        raise ValueError("a folder is named twice; name each one once")
    return {
        name if names.count(name) == 1 else str(run.path): run.summary()
        for name, run in zip(names, runs, strict=True)
    }


def _check_same_data(summaries: Mapping[str, Any]) -> None:
    """Refuse summaries whose scores would be measured on other data.

    Raises:
        MultiddError: says which two, and in what they differ.
    """
    (first, reference), *others = summaries.items()
    for name, summary in others:
        if summary.kind != reference.kind:
            raise MultiddError(
                f"{name} is of the kind {summary.kind}, {first} of {reference.kind}; "
                "compare runs of one kind"
            )
        sources = reference.card.source, summary.card.source
        for key in FINGERPRINTS:
            values = [source.get(key) for source in sources]
            if None not in values and values[0] != values[1]:
                raise MultiddError(
                    f"{name} was made from other data than {first} ({key} is "
                    f"{values[1]}, not {values[0]}); compare runs of the same data"
                )


@dataclass(frozen=True)
class _Asked:
    """What options say of an evaluation."""

    models: str | None
    seeds: int
    protocol: str | None
    rows: str | None
    regimes: str | None
    audit: bool
    data: str | None

    def settings(self, quiet: bool) -> dict[str, Any]:
        """As `multidd.evaluate` takes them."""
        texts = {"models": self.models, "rows": self.rows, "regimes": self.regimes}
        lists = {name: None if t is None else names_in(t) for name, t in texts.items()}
        more = {"seeds": self.seeds, "protocol": self.protocol, "audit": self.audit}
        return {**lists, **more, "progress": False if quiet else None}

    def words(self) -> list[str]:
        """The options that were given, to give them again."""
        values = asdict(self)
        audit = values.pop("audit")
        values["seeds"] = None if self.seeds == SEEDS else str(self.seeds)
        words = [
            word
            for name, value in values.items()
            if value is not None
            for word in (f"--{name}", value)
        ]
        return [*words, "--audit"] if audit else words
