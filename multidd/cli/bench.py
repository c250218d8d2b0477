"""`multidd bench`: one command for each modality that has published numbers."""

import pathlib
from collections.abc import Callable
from typing import Annotated

import typer

from multidd.cli.groups import by_modality
from multidd.modality import Modality

__all__ = ["bench"]

Only = Annotated[str | None, typer.Option(help="Lines whose name has this in it.")]
Runs = Annotated[int, typer.Option(help="Distillations of each line.", min=1)]
Trainings = Annotated[int, typer.Option(help="Trainings on each of them.", min=1)]
Table = Annotated[
    pathlib.Path | None, typer.Option(help="Markdown file, written line by line.")
]


def _command(entry: Modality) -> Callable[..., None] | None:
    """`multidd bench <name>`, with as many runs and trainings as the entry says."""
    if entry.bench is None:
        return None

    def command(
        only: Only = None,
        seeds: Runs = entry.bench.runs,
        trainings: Trainings = entry.bench.trainings,
        out: Table = None,
    ) -> None:
        from multidd.evaluation.benchmark import measure

        table = measure(
            entry.name, only=only, seeds=seeds, trainings=trainings, out=out
        )
        typer.echo(f"\n{table}")

    command.__doc__ = (
        f"{entry.about} beside published numbers, with seconds and peak memory."
    )
    return command


def threads(out: Table = None) -> None:
    """What threads cost and gain, alone and beside four busy processes."""
    from multidd.evaluation.thread_benchmark import as_text, measure

    typer.echo(f"\n{as_text(measure(out))}")


bench = by_modality(
    "Print a table of measured numbers.", _command, {"threads": threads}
)
