"""`multidd distill`: one command for each modality, with the options of its entry."""

import inspect
import pathlib
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_type_hints

import typer

from multidd import modality
from multidd.cli.groups import Out, Quiet, by_modality
from multidd.errors import ModalityError
from multidd.modality import Modality

__all__ = ["distill"]

Method = Annotated[str, typer.Option(help="`multidd methods` lists them.")]
Steps = Annotated[
    int | None, typer.Option(help="Updates; the method's own unless given.", min=0)
]
Seed = Annotated[int, typer.Option(help="Seed of the run.")]


def _command(entry: Modality) -> Callable[..., None]:
    """`multidd distill <name>`: options of the entry between those of every method."""

    def command(
        out: Out,
        method: Method = entry.method,
        steps: Steps = None,
        seed: Seed = 0,
        quiet: Quiet = False,
        **modality_options: Any,
    ) -> None:
        source, settings = entry.options(method, **modality_options)
        note = {"data": source["data"], "seed": seed} | source
        _distill(entry.name, out, method, note, settings, steps, quiet)

    modality_options = _own_options(entry)
    shared = list(inspect.signature(command).parameters.values())[:-1]
    if taken := {p.name for p in shared} & {p.name for p in modality_options}:
        raise ModalityError(
            f"the modality {entry.name!r} has options that every modality has: "
            f"{', '.join(sorted(taken))}"
        )
    # Typer reads options from the signature: method first, then the modality's own.
    listed = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in [*shared[:2], *modality_options, *shared[2:]]
    ]
    command.__signature__ = inspect.Signature(listed)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in listed}
    first = (entry.options.__doc__ or entry.about).strip().splitlines()[0]
    command.__doc__ = f"{first}\n\nThe same command again goes on where it stopped."
    return command


def _own_options(entry: Modality) -> list[inspect.Parameter]:
    """The parameters behind `method` as options of typer."""
    hints = get_type_hints(entry.options, include_extras=True)
    modality_options = []
    for parameter in list(inspect.signature(entry.options).parameters.values())[1:]:
        name, hint = parameter.name, hints.get(parameter.name)
        plain, *texts = get_args(hint)[:2] if hasattr(hint, "__metadata__") else (hint,)
        if not (texts and isinstance(texts[0], str)):
            raise ModalityError(
                f"the modality {entry.name!r} has an option {name!r} without a help "
                f'text: annotate it as Annotated[type, "help"]'
            )
        # A flag of one name: typer would add --no-<name>.
        flag = [f"--{name.replace('_', '-')}"] if plain is bool else []
        option = typer.Option(*flag, help=texts[0])
        modality_options.append(parameter.replace(annotation=Annotated[plain, option]))
    return modality_options


def _distill(
    name: str,
    out: pathlib.Path,
    method: str,
    source: dict[str, Any],
    settings: dict[str, Any],
    steps: int | None,
    quiet: bool,
) -> None:
    from multidd.cli import run_data
    from multidd.cli.run_folder import RunFolder
    from multidd.engine.recipe import call

    parts = modality.parts(name)
    if method not in parts.methods:
        known = ", ".join(parts.methods)
        raise ValueError(f"--method must be one of {known}; got {method!r}")
    if method in parts.with_loop:
        settings = settings | {"checkpoint": str(out / "checkpoint")}
        settings |= {"progress": False if quiet else None}
        settings |= {} if steps is None else {"steps": steps}
    elif steps is not None:
        raise ValueError(f"{method} takes no steps; leave --steps out")
    folder = RunFolder(out)
    with folder.lock():
        source = run_data.record(name, source)
        train, _ = run_data.load_source(name, source)
        summary = call(parts.methods[method], train, **settings, seed=source["seed"])
        summary = run_data.with_files(summary, source)
        folder.write(summary, source)
        files = ["summary", "report"]
        files += ["texts (summary.txt)"] if summary.listing() else []
        files += ["picture"] if folder.draw(summary, train) else []
    typer.echo(summary)
    typer.echo(f"{', '.join(files[:-1])} and {files[-1]}: {out}")


distill = by_modality("Distill a dataset into a run folder.", _command)
