"""The command line. Heavy packages load inside the commands that need them."""

import io
import os
import pathlib
import sys
import time
import warnings
from importlib import import_module
from typing import Annotated, NoReturn

import typer

import multidd
from multidd import modality
from multidd.cli.bench import bench
from multidd.cli.curve import curves
from multidd.cli.distill import distill
from multidd.cli.groups import Out, Quiet, guarded
from multidd.errors import MultiddError, first_line, warn_once
from multidd.modality import Demo, Modality, Parts

app = typer.Typer(
    help="Dataset distillation: a tiny synthetic dataset that trains models as well.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(distill, name="distill")
app.add_typer(bench, name="bench")
app.add_typer(curves, name="curve")

Folder = Annotated[pathlib.Path, typer.Argument(help="Folder made by `distill`.")]
Data = Annotated[
    str | None,
    typer.Option(help="Where the real data are now; those of the run unless given."),
]
Seeds = Annotated[int, typer.Option(help="Trainings of each model.", min=1)]


@app.callback(invoke_without_command=True)
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.")
    ] = False,
) -> None:
    if version:
        typer.echo(f"multidd {multidd.__version__}")
        raise typer.Exit


@app.command()
@guarded
def evaluate(
    folder: Folder,
    models: Annotated[
        str | None,
        typer.Option(help="By commas, such as gcn,sgc for a graph, convnet,kernel."),
    ] = None,
    seeds: Seeds = 3,
    protocol: Annotated[
        str | None, typer.Option(help="How they are trained, such as quick for images.")
    ] = None,
    rows: Annotated[
        str | None, typer.Option(help='Rows beside it, by commas; "" for none.')
    ] = None,
    data: Data = None,
    quiet: Quiet = False,
) -> None:
    """Train models on a summary and test them on the real data, with rows beside it."""
    from multidd.cli import run_data
    from multidd.cli.run_folder import RunFolder

    run = RunFolder(folder)
    summary, source = run.summary(), run.source()
    # What is refused so far leaves the folder as it is.
    _, real = run_data.reopen(summary, source, data)
    with run.lock():
        run.check_same(summary, source)
        report = multidd.evaluate(
            summary,
            models=None if models is None else _names(models),
            seeds=seeds,
            protocol=protocol,
            rows=None if rows is None else _names(rows),
            progress=False if quiet else None,
            **real,
        )
        typer.echo(report)  # before it is written: a full disk loses nothing
        facts = summary.facts(real["on"], real.get("train"))
        run.write_report(summary, report, facts)
    typer.echo(f"report: {run.report}")


@app.command()
@guarded
def recommend(
    folder: Folder,
    history: Annotated[
        str, typer.Option(help="Item ids by commas, as in the log.")
    ] = "",
    k: Annotated[int, typer.Option("-k", help="Items to recommend.", min=1)] = 10,
) -> None:
    """Recommend items to someone with a history, from synthetic users alone."""
    from multidd.cli.run_folder import RunFolder

    summary = RunFolder(folder).summary()
    name = modality.name_of(summary.kind)
    face = import_module(modality.entry(name).face)
    if not hasattr(face, "recommend"):
        raise ValueError(
            f"{folder} holds {summary.kind}; only summaries of interaction logs "
            "recommend"
        )
    for item in face.recommend(summary, _names(history), k):
        typer.echo(item)


@app.command()
@guarded
def show(folder: Folder) -> None:
    """Print what a summary is, its texts if any, and where its picture lies."""
    from multidd.cli.run_folder import RunFolder, describe, recorded_scores

    run = RunFolder(folder)
    summary = run.summary()
    typer.echo(describe(summary))
    if summary.listing():
        typer.echo(f"{summary.listing()}\n")
    for model, score in recorded_scores(summary.card).items():
        values = ", ".join(f"{100 * value:.1f}" for value in score["values"])
        typer.echo(f"{model}: {score['metric']} % {values}")
    if run.picture.is_file() or run.draw(summary):
        typer.echo(f"picture: {run.picture}")


@app.command()
@guarded
def verify(folder: Folder, data: Data = None) -> None:
    """Check a summary's file, and train to its recorded score again."""
    from multidd.cli import run_data
    from multidd.cli.run_folder import RunFolder, recorded_scores

    run = RunFolder(folder)
    summary = run.summary()
    typer.echo(f"file: whole, sha-256 {summary.digest()[:16]}")
    card = summary.card
    if card.score is None or card.protocol is None:
        typer.echo(f"score: none recorded; run `multidd evaluate {folder}`")
        return
    _, real = run_data.reopen(summary, run.source(), data)
    for model, score in recorded_scores(card).items():
        report = multidd.evaluate(
            summary,
            models=[model],
            seeds=score["seeds"],
            protocol=multidd.Protocol(**card.protocol),
            rows=[],
            **real,
        )
        metric = score["metric"]
        if metric not in report.row(model).values:
            raise MultiddError(
                f"card.score.{model}.metric in {run.path} is {metric!r}; this "
                f"evaluation gives {', '.join(report.row(model).values)}"
            )
        values = report.row(model).values[metric]
        gap = max(abs(a - b) for a, b in zip(values, score["values"], strict=True))
        verdict = "equal" if gap == 0 else f"within {100 * gap:.1f} points"
        mean = 100 * report.value(model, score["metric"])
        typer.echo(f"score: {model} {mean:.1f} %, {verdict} of what was recorded")
        if gap > 0.02:
            raise MultiddError(
                f"{model} trains to other scores than recorded ({gap:.3f} apart); the "
                "data or the versions differ from those of the card"
            )


@app.command()
@guarded
def methods() -> None:
    """List the methods of every modality."""
    from multidd.evaluation.table import aligned

    lines = [["modality", "method", "what it does"]]
    for entry, parts in modality.with_parts():
        for name, function in parts.methods.items():
            first = (function.__doc__ or "").strip().partition("\n")[0]
            lines.append([entry.name, name, first])
    typer.echo(aligned(lines))


@app.command()
@guarded
def demo(out: Out = pathlib.Path("runs/demo"), quiet: Quiet = False) -> None:
    """Distill the shipped samples, train on them, print the tables, draw them."""
    for entry, parts in modality.with_parts():
        if entry.demo is not None:
            _demo(entry, parts, entry.demo, out / entry.name, quiet)


def _demo(
    entry: Modality, parts: Parts, demo: Demo, out: pathlib.Path, quiet: bool
) -> None:
    from multidd.cli.run_data import load_source
    from multidd.cli.run_folder import RunFolder
    from multidd.engine.recipe import call

    folder = RunFolder(out)
    with folder.lock():
        typer.echo(demo.title)
        started = time.perf_counter()
        source = {"data": demo.data, "seed": 0}
        train, real = load_source(entry.name, source)
        progress = False if quiet else None
        run = {"progress": progress} if demo.method in parts.with_loop else {}
        summary = call(parts.methods[demo.method], train, **run, **demo.options)
        typer.echo(f"done in {time.perf_counter() - started:.1f} s")
        folder.write(summary, source)
        has_picture = folder.draw(summary, train)
        typer.echo("a model on each training set, tested on real data ...")
        report = multidd.evaluate(summary, progress=progress, **demo.evaluate, **real)
        typer.echo(f"\n{report}\n\n{summary}\n")
        folder.write_report(summary, report)
    if summary.listing():
        typer.echo(f"{summary.listing()}\n")
    typer.echo(f"table:   {folder.report}")
    typer.echo(f"picture: {folder.picture}\n" if has_picture else "")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def main() -> None:
    """Run the command line; errors are one sentence, interrupts are 130 and 143."""
    # A notebook sets one for its own kernel, whose package need not be here.
    os.environ["MPLBACKEND"] = "agg"
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # letters that it lacks become "?"
            stream.reconfigure(errors="replace")
    try:
        with warnings.catch_warnings():
            warn_once()
            app()
    except (MultiddError, ValueError, TypeError, OSError, MemoryError) as error:
        _end(error, str(error) or "the memory is not enough; take fewer data")
    except RuntimeError as error:
        # torch has no class of its own for a CPU without memory.
        if "allocate memory" not in str(error) and "out of memory" not in str(error):
            raise
        _end(error, f"the memory is not enough: {first_line(error)}; take fewer data")


def _end(error: Exception, sentence: str) -> NoReturn:
    """Leave with one sentence; with a traceback where one is asked for."""
    if "--debug" in sys.argv:
        raise error
    typer.echo(f"multidd: {sentence}", err=True)
    sys.exit(2)
