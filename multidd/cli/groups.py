"""Groups of commands with one command for each modality, built when asked for."""

import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Annotated, Any

import typer

from multidd import modality
from multidd.cli.help import SETTINGS, Command, Group
from multidd.errors import RunInterrupted
from multidd.modality import Modality

__all__ = ["Out", "Workers", "by_modality", "guarded", "pool"]

Out = Annotated[pathlib.Path, typer.Option(help="Folder for the results.")]

Workers = Annotated[
    int | None,
    typer.Option(help="Processes that work side by side, for what can.", min=1),
]


@contextmanager
def pool(count: int | None) -> Iterator[Any]:
    """So many processes as an executor; None where one process does all.

    Example:
        >>> with pool(None) as executor:
        ...     executor is None
        True
    """
    if count is None or count == 1:
        yield None
        return
    from multidd.parallel import workers

    with workers(count) as executor:
        yield executor


Builder = Callable[[Modality], Callable[..., None] | None]
Words = list[str]


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Interrupts as exit codes: typer itself would end any of them with 1."""

    @functools.wraps(command)
    def wrapped(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except RunInterrupted as stopped:
            typer.echo(f"multidd: {stopped}", err=True)
            raise typer.Exit(128 + stopped.signum) from None
        except KeyboardInterrupt as stopped:
            # What stands already, such as results of jobs.
            notes = getattr(stopped, "__notes__", ["files that stand are whole"])
            typer.echo(f"multidd: interrupted; {'; '.join(notes)}", err=True)
            raise typer.Exit(130) from None

    return wrapped


def by_modality(
    help_text: str,
    build: Builder,
    others: Mapping[str, Callable[..., None]] = MappingProxyType({}),
    *,
    epilog: Callable[[str], str] | None = None,
    route: Callable[[Words], Words] = lambda words: words,
) -> typer.Typer:
    """A group with a command for each modality.

    Args:
        help_text: what the group does.
        build: makes the command of an entry; None where a modality has none. Its
            docstring is the command's help.
        others: commands beside those of modalities, by name.
        epilog: examples for the help page of the command of this name; `""` names the
            group's own page.
        route: changes the words behind the group's name before they are read.

    Returns:
        The group, for `typer.Typer.add_typer`.
    """

    class Modalities(Group):
        """Looks commands up in the registry of modalities."""

        def parse_args(self, ctx: Any, args: Words) -> Words:
            words = args if ctx.resilient_parsing else route(args)
            return super().parse_args(ctx, words)

        def list_commands(self, ctx: Any) -> list[str]:
            named = [e.name for e in modality.entries() if build(e) is not None]
            return [*named, *others]

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            command = others.get(cmd_name)
            if cmd_name in modality.names():
                command = build(modality.entry(cmd_name))
            if command is None:
                return None
            single = typer.Typer(add_completion=False, **SETTINGS)
            examples = epilog(cmd_name) if epilog else None
            single.command(cmd_name, cls=Command, epilog=examples)(guarded(command))
            return typer.main.get_command(single)

    examples = epilog("") if epilog else None
    return typer.Typer(cls=Modalities, help=help_text, epilog=examples, **SETTINGS)
