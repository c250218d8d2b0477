"""Help of commands as plain text: options in groups, examples as they are typed.

Typer's own layout draws boxes with a library that takes longer to load than the rest of
the command line, and boxes do not copy well.
"""

from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup

__all__ = ["SETTINGS", "Command", "Group", "examples"]

SETTINGS: dict[str, Any] = {
    "rich_markup_mode": None,
    "no_args_is_help": True,
    "pretty_exceptions_enable": False,
    "context_settings": {
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
}
"""Of every `typer.Typer`."""


def examples(*lines: str) -> str:
    """Examples for the end of a help page, one a line.

    Example:
        >>> examples("multidd doctor")
        'Examples:\\n  multidd doctor'
    """
    return "\n".join(["Examples:", *(f"  {line}" for line in lines)])


def _write_sections(formatter: Any, rows: Iterable[tuple[str, Any]]) -> None:
    """Definition lists by the group that each row names, in the order of the first."""
    sections: dict[str, list[Any]] = {}
    for title, row in rows:
        sections.setdefault(title, []).append(row)
    for title, entries in sections.items():
        with formatter.section(title):
            formatter.write_dl(entries)


def _options(command: Any, ctx: Any) -> Iterable[tuple[str, Any]]:
    """Group and help of each parameter."""
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            is_option = parameter.param_type_name == "option"
            title = "Options" if is_option else "Arguments"
            yield getattr(parameter, "rich_help_panel", None) or title, record


def _epilog(command: Any, formatter: Any) -> None:
    if command.epilog:
        formatter.write_paragraph()
        formatter.write(f"{command.epilog}\n")


class Command(TyperCommand):
    """A command whose options stand in groups."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options by their groups."""
        _write_sections(formatter, _options(self, ctx))

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples, not folded."""
        _epilog(self, formatter)


class Group(TyperGroup):
    """A group whose commands stand in groups too."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write commands, then options, by their groups."""
        rows = []
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                about = command.get_short_help_str(formatter.width)
                title = getattr(command, "rich_help_panel", None) or "Commands"
                rows.append((title, (name, about)))
        _write_sections(formatter, rows)
        _write_sections(formatter, _options(self, ctx))

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples, not folded."""
        _epilog(self, formatter)

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands, in the order in which they were added."""
        return list(self.commands)
