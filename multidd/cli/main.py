"""The command line. Heavy packages load inside the commands that need them."""

import io
import os
import pathlib
import sys
import time
import warnings
from dataclasses import asdict
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer

import multidd
from multidd import modality
from multidd.cli.bench import bench
from multidd.cli.curve import curves
from multidd.cli.distill import Request, distill
from multidd.cli.doctor import doctor
from multidd.cli.evaluate import Data, Folder, compare, evaluate
from multidd.cli.groups import Out, Workers, guarded, pool
from multidd.cli.help import SETTINGS, Command, Group, examples
from multidd.cli.methods import methods, options_of
from multidd.cli.output import Json, Quiet, json_log, write
from multidd.cli.sketch import sketch
from multidd.cli.values import names_in
from multidd.errors import MultiddError, first_line, warn_once
from multidd.modality import Demo, Modality

EXAMPLES = {
    "": (
        "multidd demo                      # every modality, on data that ship with it",
        "multidd methods images.dm         # every setting of one method",
        "multidd distill images --data fashion-mnist --ipc 10 --out runs/fashion",
        "multidd distill --config runs/fashion --out runs/again    # repeat it",
        "multidd evaluate runs/fashion --models convnet,mlp --json",
        "multidd doctor                    # what is installed, and what is missing",
    ),
    "evaluate": (
        "multidd evaluate runs/cora --models gcn,sgc,appnp",
        "multidd evaluate runs/fashion --protocol quick --rows random,herding",
        "multidd evaluate runs/cora --json | jq .rows",
    ),
    "compare": (
        "multidd compare runs/dm runs/kip --models convnet,mlp --out runs/compared",
        "multidd compare runs/* --rows random --json | jq .rows",
    ),
    "recommend": ("multidd recommend runs/x --history 12,77,301 -k 10",),
    "show": ("multidd show runs/cora",),
    "verify": ("multidd verify runs/cora", "multidd verify runs/x --data log.parquet"),
    "demo": ("multidd demo --out runs/demo",),
    "methods": ("multidd methods", "multidd methods dm", "multidd methods --json"),
    "doctor": ("multidd doctor", "multidd doctor --json"),
}
"""Command -> examples at the end of its help page."""

ORDER = "demo distill sketch show evaluate compare verify recommend curve bench".split()
ORDER += ["methods", "doctor"]
"""Commands as the help page lists them."""


class _Root(Group):
    """All commands."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=ORDER.index)


app = typer.Typer(
    cls=_Root,
    help="Dataset distillation: a tiny synthetic dataset that trains models as well.",
    epilog=examples(*EXAMPLES[""]),
    **SETTINGS,
)
MAX_GAP = 0.02
"""Share by which a score may differ from the recorded one."""

MAKE, LOOK = "Make a summary", "Look at one"
MEASURE, FACTS = "Measure", "What there is"


def _add(group: str, *commands: Any) -> None:
    """Add commands to a group of the help page."""
    for command in commands:
        name = command.__name__
        epilog = examples(*EXAMPLES[name])
        settings: dict[str, Any] = {"cls": Command, "rich_help_panel": group}
        app.command(name, epilog=epilog, **settings)(guarded(command))


app.add_typer(distill, name="distill", rich_help_panel=MAKE)
app.add_typer(sketch, name="sketch", rich_help_panel=MAKE)


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


def recommend(
    folder: Folder,
    history: Annotated[
        str, typer.Option(help="Item ids by commas, as in the log.")
    ] = "",
    k: Annotated[int, typer.Option("-k", help="Items to recommend.", min=1)] = 10,
    as_json: Json = False,
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
    items = list(face.recommend(summary, names_in(history), k))
    write({"items": items}, "\n".join(map(str, items)), as_json)


def show(folder: Folder, as_json: Json = False) -> None:
    """Print what a summary is, its texts if any, and where its picture lies."""
    from multidd.cli.run_folder import RunFolder, describe, recorded_scores

    run = RunFolder(folder)
    summary = run.summary()
    scores = recorded_scores(summary.card)
    lines = [describe(summary)]
    lines += [f"{summary.listing()}\n"] if summary.listing() else []
    for model, score in scores.items():
        values = ", ".join(f"{100 * value:.1f}" for value in score["values"])
        lines.append(f"{model}: {score['metric']} % {values}")
    has_picture = run.picture.is_file() or run.draw(summary)
    lines += [f"picture: {run.picture}"] if has_picture else []
    result: dict[str, Any] = {"kind": summary.kind, "digest": summary.digest()}
    result |= {"bytes": summary.num_bytes, "card": asdict(summary.card)}
    result |= {"listing": summary.listing() or None}
    result |= {"picture": str(run.picture) if has_picture else None}
    write(result, "\n".join(lines), as_json)


def verify(folder: Folder, data: Data = None, as_json: Json = False) -> None:
    """Check a summary's file, and train to its recorded score again."""
    from multidd.cli import run_data
    from multidd.cli.run_folder import RunFolder, recorded_scores

    run = RunFolder(folder)
    summary = run.summary()
    result: dict[str, Any] = {"digest": summary.digest(), "scores": []}
    lines = [f"file: whole, sha-256 {summary.digest()[:16]}"]
    card = summary.card
    recorded = {} if card.protocol is None else recorded_scores(card)
    if card.score is None or card.protocol is None:
        lines.append(f"score: none recorded; run `multidd evaluate {folder}`")
    else:
        _, real = run_data.reopen(summary, run.source(), data)
    worst = ("", 0.0)
    for model, score in recorded.items():
        report = multidd.evaluate(
            summary,
            models=[model],
            seeds=score["seeds"],
            protocol=multidd.Protocol(**(card.protocol or {})),
            rows=[],
            regimes=[],
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
        lines.append(f"score: {model} {mean:.1f} %, {verdict} of what was recorded")
        facts = {"model": model, "metric": metric, "values": values, "gap": gap}
        result["scores"].append(facts)
        if gap > MAX_GAP and not worst[0]:
            worst = (model, gap)
    write(result, "\n".join(lines), as_json)
    if worst[0]:
        raise MultiddError(
            f"{worst[0]} trains to other scores than recorded ({worst[1]:.3f} apart); "
            "the data or the versions differ from those of the card"
        )


def demo(
    out: Out = pathlib.Path("runs/demo"),
    workers: Workers = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Distill the shipped samples, train on them, print the tables, draw them."""
    with pool(workers) as executor:
        results = [
            _demo(entry, entry.demo, out / entry.name, quiet, as_json, executor)
            for entry, _ in modality.with_parts()
            if entry.demo is not None
        ]
    if as_json:
        write({"modalities": results}, "", as_json)


def _demo(
    entry: Modality,
    demo: Demo,
    out: pathlib.Path,
    quiet: bool,
    silent: bool,
    executor: Any,
) -> dict[str, Any]:
    from multidd.cli.run_data import load_source
    from multidd.cli.run_folder import RunFolder

    def say(text: Any) -> None:
        if not silent:
            typer.echo(text)

    options = {**demo.options, "data": demo.data}
    steps, known = options.pop("steps", None), options_of(entry)
    asked = {name: value for name, value in options.items() if name in known}
    changes = {name: value for name, value in options.items() if name not in known}
    request = Request(entry, demo.method, out, 0, steps, asked, changes, resumes=False)
    say(demo.title)
    started = time.perf_counter()
    result, _ = request.run(quiet)
    say(f"done in {time.perf_counter() - started:.1f} s")
    folder = RunFolder(out)
    with folder.lock(), json_log(str(folder.log), is_own=True):
        summary = folder.summary()
        _, real = load_source(entry.name, folder.source())
        say("a model on each training set, tested on real data ...")
        judged: dict[str, Any] = {"regimes": [], "executor": executor}
        judged |= {"progress": False if quiet else None, **demo.evaluate}
        report = multidd.evaluate(summary, **judged, **real)
        say(f"\n{report}\n\n{summary}\n")
        folder.write_report(summary, report)
    if summary.listing():
        say(f"{summary.listing()}\n")
    say(f"table:   {folder.report}")
    say(f"page:    {folder.page}")
    say(f"picture: {folder.picture}\n" if "picture" in result["files"] else "")
    return {"modality": entry.name, "out": str(out), **report.to_dict()}


_add(MAKE, demo)
_add(LOOK, show, evaluate, compare, verify, recommend)
app.add_typer(curves, name="curve", rich_help_panel=MEASURE)
app.add_typer(bench, name="bench", rich_help_panel=MEASURE)
_add(FACTS, methods, doctor)


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
    rank = os.environ.get("RANK", "0") if "--ranks" in sys.argv else "0"
    who = "multidd" if rank == "0" else f"multidd: rank {rank}"
    notes = getattr(error, "__notes__", [])  # such as the job of a worker
    typer.echo(f"{who}: {' '.join([sentence, *notes])}", err=True)
    sys.exit(2)
