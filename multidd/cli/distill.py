"""`multidd distill` and `multidd bench`: one command for each modality."""

import functools
import pathlib
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Annotated, Any

import typer

from multidd.errors import RunInterrupted

__all__ = ["Out", "Quiet", "bench", "distill", "given", "guarded"]

distill = typer.Typer(help="Distill a dataset into a run folder.", no_args_is_help=True)
bench = typer.Typer(help="Print a table of measured numbers.", no_args_is_help=True)

Out = Annotated[pathlib.Path, typer.Option(help="Folder for the results.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]
Method = Annotated[str, typer.Option(help="`multidd methods` lists them.")]
Seed = Annotated[int, typer.Option(help="Seed of the run.")]
Column = Annotated[str | None, typer.Option(help="Its column; a usual name is found.")]
Steps = Annotated[
    int | None, typer.Option(help="Updates; the method's own unless given.", min=0)
]
Only = Annotated[str | None, typer.Option(help="Lines whose name has this in it.")]
Runs = Annotated[int, typer.Option(help="Distillations of each line.", min=1)]
Trainings = Annotated[int, typer.Option(help="Trainings on each of them.", min=1)]
Table = Annotated[
    pathlib.Path | None, typer.Option(help="Markdown file, written line by line.")
]


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Interrupts as exit codes: typer itself would end any of them with 1."""

    @functools.wraps(command)
    def wrapped(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except RunInterrupted as stopped:
            typer.echo(f"multidd: {stopped}", err=True)
            raise typer.Exit(128 + stopped.signum) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None

    return wrapped


def given(kind: str, source: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What methods of a modality take, and what a summary is judged on."""
    settings = {name: value for name, value in source.items() if name != "data"}
    train, exam = import_module(f"multidd.{kind}").given(source["data"], **settings)
    return train, exam


@distill.command("graph")
@guarded
def distill_graph(
    out: Out,
    method: Method = "gcond",
    data: Annotated[
        str, typer.Option(help="cora, citeseer, another benchmark, or its folder.")
    ] = "cora",
    ratio: Annotated[
        float | None, typer.Option(help="Synthetic nodes, as a share of the graph's.")
    ] = None,
    nodes: Annotated[int | None, typer.Option(help="Synthetic nodes in all.")] = None,
    per_class: Annotated[
        int | None, typer.Option(help="Synthetic nodes of each class.")
    ] = None,
    steps: Steps = None,
    seed: Seed = 0,
    inductive: Annotated[
        bool, typer.Option("--inductive", help="See training nodes only.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Condense a graph, to one of --ratio, --nodes and --per-class.

    The same command again goes on where it stopped.
    """
    source = {"data": data, "seed": seed, "inductive": inductive}
    budget = {"ratio": ratio, "nodes": nodes, "per_class": per_class}
    options = budget | {"inductive": inductive}
    _distill("graph", out, method, source, options, steps, quiet)


@distill.command("images")
@guarded
def distill_images(
    out: Out,
    method: Method = "dm",
    data: Annotated[
        str,
        typer.Option(
            help="mnist, cifar10, sample:fashion, another benchmark, a file, a folder, "
            "or a hub id."
        ),
    ] = "fashion-mnist",
    ipc: Annotated[int | None, typer.Option(help="Images per class.")] = None,
    budget_bytes: Annotated[
        int | None, typer.Option(help="Bytes in all, labels counted.")
    ] = None,
    balance: Annotated[
        str, typer.Option(help="Images per class: equal, or proportional to its size.")
    ] = "equal",
    steps: Steps = None,
    zca: Annotated[bool, typer.Option("--zca", help="Whiten the pixels.")] = False,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Distill images, to --ipc or to --budget-bytes.

    The same command again goes on where it stopped.
    """
    options = {"ipc": ipc, "budget_bytes": budget_bytes, "balance": balance, "zca": zca}
    _distill("images", out, method, {"data": data, "seed": seed}, options, steps, quiet)


@distill.command("recsys")
@guarded
def distill_recsys(
    out: Out,
    method: Method = "distill_cf",
    log: Annotated[
        str,
        typer.Option(
            help="A parquet, CSV or .inter file, a folder of parquet files, ml-1m, or "
            "another benchmark."
        ),
    ] = "sample:movietweetings",
    user: Column = None,
    item: Column = None,
    rating: Column = None,
    time: Column = None,
    split: Annotated[
        str | None, typer.Option(help="Column of train, val, test; else by chance.")
    ] = None,
    min_rating: Annotated[
        float | None, typer.Option(help="Leave out events rated below.")
    ] = None,
    min_user: Annotated[
        int | None, typer.Option(help="Leave out users with fewer items.")
    ] = None,
    min_item: Annotated[
        int | None, typer.Option(help="Leave out items with fewer users.")
    ] = None,
    users: Annotated[int, typer.Option(help="Synthetic users.")] = 500,
    length: Annotated[
        str | None,
        typer.Option(help="Items of each, or mean: zeros and ones, not fractions."),
    ] = None,
    steps: Steps = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Distill an interaction log to --users synthetic users.

    The same command again goes on where it stopped.
    """
    columns: dict[str, Any] = {
        "user": user,
        "item": item,
        "rating": rating,
        "time": time,
    }
    columns |= {"split": split, "min_rating": min_rating}
    columns |= {"min_user": min_user, "min_item": min_item}
    source = {"data": log, "seed": seed}
    source |= {name: value for name, value in columns.items() if value is not None}
    options: dict[str, Any] = {"users": users}
    if length is not None:
        if method != "distill_cf":
            raise ValueError(f"--length is for distill_cf, not for {method}")
        if not (length == "mean" or length.isdecimal()):
            raise ValueError(f"--length is a number or mean, got {length!r}")
        options["length"] = length if length == "mean" else int(length)
    _distill("recsys", out, method, source, options, steps, quiet)


@distill.command("text")
@guarded
def distill_text(
    out: Out,
    method: Method = "pursuit",
    data: Annotated[
        str,
        typer.Option(
            help="sample:sms, trec6, sst2, a parquet, CSV, TSV or JSON lines file, a "
            "folder, or a hub id."
        ),
    ] = "sample:sms",
    text: Column = None,
    pair: Annotated[
        str | None, typer.Option(help="Column of second texts, if any.")
    ] = None,
    label: Column = None,
    per_class: Annotated[
        int | None,
        typer.Option(help="Texts of each class; 10 without --total."),
    ] = None,
    total: Annotated[
        int | None, typer.Option(help="Texts in all, each class by its size.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The encoder: hub id or folder; else MiniLM.")
    ] = None,
    steps: Steps = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Distill labelled texts, to --per-class or to --total.

    The same command again goes on where it stopped.
    """
    columns = {"text": text, "pair": pair, "label": label}
    source = {"data": data, "seed": seed}
    source |= {name: value for name, value in columns.items() if value is not None}
    if per_class is None and total is None:
        per_class = 10
    options = {"per_class": per_class, "total": total, "model": model}
    _distill("text", out, method, source, options, steps, quiet)


def _distill(
    kind: str,
    out: pathlib.Path,
    method: str,
    source: dict[str, Any],
    options: dict[str, Any],
    steps: int | None,
    quiet: bool,
) -> None:
    from multidd.cli.run_folder import RunFolder

    folder, module = RunFolder(out), import_module(f"multidd.{kind}")
    folder.check()
    if method not in module.METHODS:
        known = ", ".join(module.METHODS)
        raise ValueError(f"--method must be one of {known}; got {method!r}")
    if method in module.LEARNED:
        options = options | {"checkpoint": str(out / "checkpoint")}
        options |= {"progress": False if quiet else None}
        options |= {} if steps is None else {"steps": steps}
    elif steps is not None:
        raise ValueError(f"{method} takes no steps; leave --steps out")
    train, _ = given(kind, source)
    made = module.METHODS[method](train, **options, seed=source["seed"])
    folder.keep(made, source)
    made.plot(folder.picture, data=train)
    typer.echo(made)
    listed = ", texts (summary.txt)" if made.listing() else ""
    typer.echo(f"summary, report{listed} and picture: {out}")


def _benched(kind: str, task: str, runs: int = 3, each: int = 1) -> None:
    """Add `multidd bench <kind>`, of so many runs and trainings unless told."""

    def measure(
        only: Only = None,
        seeds: Runs = runs,
        trainings: Trainings = each,
        out: Table = None,
    ) -> None:
        import_module("multidd.evaluation.benchmark").main(
            kind, only=only, seeds=seeds, trainings=trainings, out=out
        )

    told = f"{task} beside published numbers, with seconds and peak memory."
    bench.command(kind, help=told)(guarded(measure))


_benched("graph", "Graph condensation", runs=5, each=3)
_benched("images", "Image distillation")
_benched("recsys", "Recommender summaries")
_benched("text", "Text distillation", runs=5)
