"""The command line. Heavy packages load inside the commands that need them."""

import functools
import pathlib
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import typer

import multidd
from multidd.errors import MultiddError, RunInterrupted

app = typer.Typer(
    help="Dataset distillation: a tiny synthetic dataset that trains models as well.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
distill = typer.Typer(help="Distill a dataset into a run folder.", no_args_is_help=True)
app.add_typer(distill, name="distill")
bench = typer.Typer(help="Print a table of measured numbers.", no_args_is_help=True)
app.add_typer(bench, name="bench")

Out = Annotated[pathlib.Path, typer.Option(help="Folder for the results.")]
Folder = Annotated[pathlib.Path, typer.Argument(help="Folder made by `distill`.")]
Seeds = Annotated[int, typer.Option(help="Trainings of each model.", min=1)]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Interrupts as exit codes: typer itself would end any of them with 1."""

    @functools.wraps(command)
    def guarded(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except RunInterrupted as stopped:
            typer.echo(f"multidd: {stopped}", err=True)
            raise typer.Exit(128 + stopped.signum) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None

    return guarded


@app.callback(invoke_without_command=True)
def _options(
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
    version: Annotated[bool, typer.Option(help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"multidd {multidd.__version__}")
        raise typer.Exit


@distill.command("graph")
@_guarded
def distill_graph(
    out: Out,
    method: Annotated[str, typer.Option(help="See `multidd methods`.")] = "gcond",
    data: Annotated[str, typer.Option(help="Name or folder of a graph.")] = "cora",
    ratio: Annotated[float | None, typer.Option(help="Of the graph's nodes.")] = None,
    nodes: Annotated[int | None, typer.Option(help="Synthetic nodes.")] = None,
    per_class: Annotated[int | None, typer.Option(help="Of each class.")] = None,
    steps: Annotated[int | None, typer.Option(help="Updates.", min=0)] = None,
    seed: Annotated[int, typer.Option(help="Seed of the run.")] = 0,
    inductive: Annotated[bool, typer.Option(help="See training nodes only.")] = False,
    quiet: Quiet = False,
) -> None:
    """Condense a graph. The same command again goes on where it stopped."""
    from multidd.runs import RunFolder

    folder = RunFolder(out)
    folder.check()
    graph = import_module("multidd.graph")
    if method not in graph.METHODS:
        known = ", ".join(graph.METHODS)
        raise ValueError(f"--method must be one of {known}; got {method!r}")
    source = {"data": data, "seed": seed, "inductive": inductive}
    loaded = graph.load(data, seed=seed)
    options: dict[str, Any] = {"inductive": inductive, "seed": seed}
    if method in graph.LEARNED:
        options |= {"checkpoint": str(out / "checkpoint")}
        options |= {"progress": False if quiet else None}
        options |= {} if steps is None else {"steps": steps}
    elif steps is not None:
        raise ValueError(f"{method} takes no steps; leave --steps out")
    made = graph.METHODS[method](
        loaded, ratio, nodes=nodes, per_class=per_class, **options
    )
    folder.keep(made, source)
    made.plot(folder.picture, data=loaded)
    typer.echo(made)
    typer.echo(f"summary, report and picture: {out}")


@app.command()
@_guarded
def evaluate(
    folder: Folder,
    models: Annotated[str, typer.Option(help="Names, by commas.")] = "gcn",
    seeds: Seeds = 3,
    rows: Annotated[str | None, typer.Option(help="Rows beside it, by commas.")] = None,
    quiet: Quiet = False,
) -> None:
    """Train models on a summary and test them on the real data, with rows beside it."""
    from multidd.runs import RunFolder

    run = RunFolder(folder)
    summary, source = run.summary(), run.source()
    report = multidd.evaluate(
        summary,
        _data(summary, source),
        models=_names(models),
        seeds=seeds,
        rows=None if rows is None else _names(rows),
        progress=False if quiet else None,
        inductive=source["inductive"],
    )
    run.keep_report(summary, report)
    typer.echo(report)
    typer.echo(f"report: {run.report}")


@app.command()
@_guarded
def show(folder: Folder) -> None:
    """Print what a summary is and where its picture lies."""
    from multidd.runs import RunFolder, describe

    run = RunFolder(folder)
    summary = run.summary()
    typer.echo(describe(summary))
    for model, score in (summary.card.score or {}).items():
        values = ", ".join(f"{100 * value:.1f}" for value in score["values"])
        typer.echo(f"{model}: {score['metric']} % {values}")
    if not run.picture.is_file():
        summary.plot(run.picture)  # type: ignore[attr-defined]
    typer.echo(f"picture: {run.picture}")


@app.command()
@_guarded
def verify(folder: Folder) -> None:
    """Check a summary's file, and train to its recorded score again."""
    from multidd.runs import RunFolder

    run = RunFolder(folder)
    summary = run.summary()
    typer.echo(f"file: whole, sha-256 {summary.digest()[:16]}")
    card = summary.card
    if card.score is None or card.protocol is None:
        typer.echo(f"score: none recorded; run `multidd evaluate {folder}`")
        return
    source = run.source()
    data = _data(summary, source)
    for model, score in card.score.items():
        report = multidd.evaluate(
            summary,
            data,
            models=[model],
            seeds=score["seeds"],
            protocol=multidd.Protocol(**card.protocol),
            rows=[],
            inductive=source["inductive"],
        )
        again = report.row(model).values[score["metric"]]
        gap = max(abs(a - b) for a, b in zip(again, score["values"], strict=True))
        told = "equal" if gap == 0 else f"within {100 * gap:.1f} points"
        mean = 100 * report.value(model, score["metric"])
        typer.echo(f"score: {model} {mean:.1f} %, {told} of what was recorded")
        if gap > 0.02:
            raise MultiddError(
                f"{model} trains to other scores than recorded ({gap:.3f} apart); the "
                "data or the versions differ from those of the card"
            )


@app.command()
@_guarded
def methods() -> None:
    """List the methods of every modality."""
    from multidd.report import aligned

    graph = import_module("multidd.graph")
    lines = [["modality", "method", "what it does"]]
    for name, function in graph.METHODS.items():
        first = (function.__doc__ or "").strip().splitlines()[0]
        lines.append(["graph", name, first])
    typer.echo(aligned(lines))


@app.command()
@_guarded
def demo(out: Out = pathlib.Path("runs/demo"), quiet: Quiet = False) -> None:
    """Condense the shipped Cora, train a GCN on it, print the table, draw it."""
    from multidd.runs import RunFolder

    folder = RunFolder(out)
    folder.check()
    typer.echo("Cora: 2,708 papers, condensed to 70 synthetic ones ...")
    started = time.perf_counter()
    data = multidd.samples.cora()
    progress = False if quiet else None
    summary = multidd.graph.gcond(data, ratio=0.026, progress=progress)
    typer.echo(f"done in {time.perf_counter() - started:.1f} s")
    folder.keep(summary, {"data": "sample:cora", "seed": 0, "inductive": False})
    summary.plot(folder.picture, data=data)
    typer.echo("a GCN on each training set, tested on the 1,000 real test papers ...")
    report = multidd.evaluate(summary, data, progress=progress)
    folder.keep_report(summary, report)
    typer.echo(f"\n{report}\n\n{summary}\n")
    typer.echo(f"table:   {folder.report}\npicture: {folder.picture}")


@bench.command("graph")
@_guarded
def bench_graph(
    only: Annotated[str | None, typer.Option(help="Rows whose name has this.")] = None,
    seeds: Annotated[int, typer.Option(help="Condensation seeds.", min=1)] = 5,
    trainings: Annotated[int, typer.Option(help="Trainings of each.", min=1)] = 3,
    out: Annotated[pathlib.Path | None, typer.Option(help="Markdown file.")] = None,
) -> None:
    """Graph condensation beside published numbers, with seconds and peak memory."""
    import_module("multidd.graph.bench").main(only, seeds, trainings, out)


def _data(summary: Any, source: dict[str, Any]) -> Any:
    name = source["data"]
    if name.startswith("sample:"):
        return getattr(multidd.samples, name.removeprefix("sample:"))()
    return import_module(f"multidd.{summary.kind}").load(name, seed=source["seed"])


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def main() -> None:
    """Run the command line; errors are one sentence, interrupts are 130 and 143."""
    try:
        app()
    except (MultiddError, ValueError, TypeError, OSError) as error:
        if "--debug" in sys.argv:
            raise
        typer.echo(f"multidd: {error}", err=True)
        sys.exit(2)
