"""`multidd curve`: scores against budgets, one command for each modality."""

import pathlib
from collections.abc import Callable
from typing import Annotated

import typer

from multidd.cli.distill import Out, guarded

__all__ = ["curves"]

curves = typer.Typer(
    help="Draw scores against budgets, for several methods.", no_args_is_help=True
)

Methods = Annotated[str, typer.Option(help="By commas; `multidd methods` lists them.")]
Data = Annotated[str, typer.Option(help="As of `multidd distill`.")]
Model = Annotated[str | None, typer.Option(help="What is trained; else the first.")]
Rule = Annotated[str | None, typer.Option(help="How it is trained; else the first.")]
Runs = Annotated[int, typer.Option(help="Summaries of each method and budget.", min=1)]
Each = Annotated[int, typer.Option(help="Trainings on each of them.", min=1)]


def numbers(text: str, whole: bool) -> list[float]:
    """Numbers by commas.

    Raises:
        ValueError: not numbers above 0, or not whole ones where those are wanted.

    Example:
        >>> numbers("0.013, 0.026", whole=False)
        [0.013, 0.026]
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    try:
        found: list[float] = [int(p) if whole else float(p) for p in parts]
    except ValueError:
        found = []
    if not found or min(found) <= 0:
        kind = "whole numbers" if whole else "numbers"
        raise ValueError(f"budgets are {kind} above 0 by commas, got {text!r}")
    return found


def _curved(
    kind: str, option: str, budget: str, first: tuple[str, str, str], whole: bool = True
) -> None:
    """Add `multidd curve <kind>`; `first` are data, methods and budgets unless told."""

    def draw(
        out: Out = pathlib.Path("runs/curve"),
        data: Data = first[0],
        methods: Methods = first[1],
        values: Annotated[
            str, typer.Option(f"--{option}", help="Budgets, by commas.")
        ] = first[2],
        model: Model = None,
        protocol: Rule = None,
        seeds: Runs = 1,
        trainings: Each = 3,
    ) -> None:
        from multidd.evaluation.curve import curve

        found = curve(
            kind,
            {"data": data, "seed": 0},
            [name.strip() for name in methods.split(",") if name.strip()],
            budget,
            numbers(values, whole),
            model=model,
            protocol=protocol,
            seeds=seeds,
            trainings=trainings,
            out=out,
        )
        typer.echo(found)
        typer.echo(f"table and picture: {out}")

    told: Callable[..., None] = guarded(draw)
    curves.command(kind, help=f"Scores against {budget}: a table and a picture.")(told)


_curved(
    "graph",
    "ratios",
    "ratio",
    ("cora", "condense,gcond_x,random,herding", "0.013,0.026,0.0517"),
    whole=False,
)
_curved("images", "ipcs", "ipc", ("sample:fashion", "dm,random,herding", "1,5,10"))
_curved(
    "recsys",
    "users",
    "users",
    ("sample:movietweetings", "distill_cf,random,kmeans", "20,50,100"),
)
_curved(
    "text",
    "per-class",
    "per_class",
    ("sample:sms", "pursuit,random,herding", "5,10,20"),
)
