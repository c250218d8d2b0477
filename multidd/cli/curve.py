"""`multidd curve`: scores against budgets, one command for each modality."""

import pathlib
from collections.abc import Callable
from typing import Annotated

import typer

from multidd.cli.groups import Out, by_modality
from multidd.modality import Modality

__all__ = ["curves", "numbers"]

Methods = Annotated[str, typer.Option(help="By commas; `multidd methods` lists them.")]
Data = Annotated[str, typer.Option(help="As of `multidd distill`.")]
Model = Annotated[str | None, typer.Option(help="What is trained; else the first.")]
Rule = Annotated[str | None, typer.Option(help="How it is trained; else the first.")]
Runs = Annotated[int, typer.Option(help="Summaries of each method and budget.", min=1)]
Each = Annotated[int, typer.Option(help="Trainings on each of them.", min=1)]


def numbers(text: str, whole: bool) -> list[float]:
    """Numbers by commas.

    Raises:
        ValueError: not numbers above 0, or not whole ones where those are asked for.

    Example:
        >>> numbers("0.013, 0.026", whole=False)
        [0.013, 0.026]
    """
    words = [part.strip() for part in text.split(",") if part.strip()]
    try:
        budgets: list[float] = [int(w) if whole else float(w) for w in words]
    except ValueError:
        budgets = []
    if not budgets or min(budgets) <= 0:
        kind = "whole numbers" if whole else "numbers"
        raise ValueError(f"budgets are {kind} above 0 by commas, got {text!r}")
    return budgets


def _command(entry: Modality) -> Callable[..., None] | None:
    """`multidd curve <name>`, with the defaults of the entry."""
    defaults = entry.curve
    if defaults is None:
        return None
    budget, whole = defaults.budget, defaults.whole
    first_methods = ",".join(defaults.methods)
    first_values = ",".join(map(str, defaults.values))

    def draw(
        out: Out = pathlib.Path("runs/curve"),
        data: Data = defaults.data,
        methods: Methods = first_methods,
        values: Annotated[
            str, typer.Option(f"--{defaults.option}", help="Budgets, by commas.")
        ] = first_values,
        model: Model = None,
        protocol: Rule = None,
        seeds: Runs = 1,
        trainings: Each = 3,
    ) -> None:
        from multidd.evaluation.curve import curve

        scores = curve(
            entry.name,
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
        typer.echo(scores)
        typer.echo(f"table and picture: {out}")

    draw.__doc__ = f"Scores against {budget}: a table and a picture."
    return draw


curves = by_modality("Draw scores against budgets, for several methods.", _command)
