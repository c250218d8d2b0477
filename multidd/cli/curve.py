"""`multidd curve`: scores against budgets, one command for each modality."""

import pathlib
from collections.abc import Callable
from typing import Annotated, Any

import typer

from multidd import modality
from multidd.cli.completion import complete_models, complete_protocols
from multidd.cli.groups import Out, Workers, by_modality, pool
from multidd.cli.help import examples
from multidd.cli.output import Json, LogJson, Quiet, json_log, write
from multidd.cli.values import names_in
from multidd.modality import Modality

__all__ = ["curves", "numbers"]

Methods = Annotated[str, typer.Option(help="By commas; `multidd methods` lists them.")]
Data = Annotated[str, typer.Option(help="As of `multidd distill`.")]
Model = Annotated[
    str | None,
    typer.Option(
        help="What is trained; else the first.", autocompletion=complete_models
    ),
]
Rule = Annotated[
    str | None,
    typer.Option(
        help="How it is trained; else the first.", autocompletion=complete_protocols
    ),
]
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
    words = names_in(text)
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
        workers: Workers = None,
        quiet: Quiet = False,
        as_json: Json = False,
        log_json: LogJson = None,
    ) -> None:
        from multidd.evaluation.curve import curve

        with json_log(log_json), pool(workers) as executor:
            scores = curve(
                entry.name,
                {"data": data, "seed": 0},
                names_in(methods),
                budget,
                numbers(values, whole),
                model=model,
                protocol=protocol,
                seeds=seeds,
                trainings=trainings,
                out=out,
                progress=False if quiet else None,
                executor=executor,
            )
        facts: dict[str, Any] = {"budget": scores.budget, "model": scores.model}
        facts |= {"metric": scores.metric, "left_out": list(scores.left_out)}
        result = {**facts, "points": scores.records(), "out": str(out)}
        write(result, f"{scores}\ntable and picture: {out}", as_json)

    draw.__doc__ = f"Scores for each {budget}: a table, and a picture against bytes."
    return draw


def _epilog(name: str) -> str:
    """Examples of `multidd curve`, or of that of one modality."""
    name = name or modality.names()[0]
    defaults = modality.entry(name).curve
    if defaults is None:
        return examples(f"multidd curve {name} --out runs/curve")
    values = ",".join(map(str, defaults.values))
    methods = ",".join(defaults.methods)
    return examples(
        f"multidd curve {name} --methods {methods} --{defaults.option} {values}"
    )


curves = by_modality(
    "Draw scores against budgets, for several methods.", _command, epilog=_epilog
)
