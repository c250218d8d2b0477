"""`multidd distill`: one command for each modality, with the options of its entry."""

import inspect
import pathlib
import shlex
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, get_args, get_type_hints

import typer

from multidd import modality
from multidd.cli import run_config
from multidd.cli.completion import of_entry
from multidd.cli.groups import by_modality, pool
from multidd.cli.help import examples
from multidd.cli.methods import RESERVED, method_of, options_of
from multidd.cli.output import (
    Json,
    LogJson,
    Quiet,
    estimates,
    json_log,
    write,
)
from multidd.cli.values import TextValue
from multidd.errors import ModalityError, MultiddWarning
from multidd.modality import DISTILL, Modality

__all__ = ["distill", "options_from"]

METHOD, DATA, RUN = "Method", "Data and budget", "Run"
"""Groups of options in help pages."""

Steps = Annotated[
    int | None,
    typer.Option(
        help="Updates; the method's own unless given.", min=0, rich_help_panel=METHOD
    ),
]
PresetName = Annotated[
    str | None,
    typer.Option(
        help='"paper" takes the settings of the method\'s paper; --set beats them.',
        rich_help_panel=METHOD,
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of the method; once for each. `multidd methods NAME` lists "
        "them.",
        rich_help_panel=METHOD,
    ),
]
RunWorkers = Annotated[
    int | None,
    typer.Option(help="Processes that record experts.", min=1, rich_help_panel=RUN),
]
Seed = Annotated[int, typer.Option(help="Seed of the run.", rich_help_panel=RUN)]
AcrossRanks = Annotated[
    bool,
    typer.Option(
        "--ranks",
        help="Share the run between the processes that torchrun started.",
        rich_help_panel=RUN,
    ),
]

_CONFIG = "multidd.run_config"
"""Where the context of a command keeps the file that it was told."""


def _command(entry: Modality) -> Callable[..., None]:
    """`multidd distill <name>`: options of the entry between those of every method."""
    about = "`multidd methods` lists them."
    if entry.method == DISTILL:
        about = f"{about} distill makes several and keeps what scores best."
    method_option = typer.Option(
        help=about,
        rich_help_panel=METHOD,
        autocompletion=of_entry(entry, "methods"),
    )
    out_option = typer.Option(help="Folder for the results.", rich_help_panel=RUN)
    config_option = typer.Option(
        "--config",
        help="A run.toml, or a run folder: its settings, where no option says "
        "otherwise.",
        is_eager=True,
        callback=_defaults(entry.name),
        rich_help_panel=RUN,
    )

    def command(
        ctx: typer.Context,
        method: Annotated[str, method_option] = entry.method,
        preset: PresetName = None,
        steps: Steps = None,
        set_: Changes = None,
        *,
        out: Annotated[pathlib.Path, out_option],
        seed: Seed = 0,
        config: Annotated[pathlib.Path | None, config_option] = None,
        ranks: AcrossRanks = False,
        workers: RunWorkers = None,
        quiet: Quiet = False,
        as_json: Json = False,
        log_json: LogJson = None,
        **modality_options: Any,
    ) -> None:
        changes = _changes(entry, set_ or ())
        read = ctx.meta.get(_CONFIG)
        for name in run_config.DATA:
            if read is not None and name in read.values and not _typed(ctx, name):
                run_config.check_data(read, read.values[name])
        changes = {**(read.settings if read else {}), **changes}
        request = Request(
            entry, method, out, seed, steps, modality_options, changes, preset=preset
        )
        with _sharing(ranks) as is_first:
            with json_log(log_json if is_first else None):
                result, text = request.run(quiet, workers)
            if is_first:
                write(result, text, as_json)

    modality_options = options_from(entry, entry.options)[1:]
    shared = list(inspect.signature(command).parameters.values())[:-1]
    if taken := {p.name for p in shared} & {p.name for p in modality_options}:
        raise ModalityError(
            f"the modality {entry.name!r} has options that every modality has: "
            f"{', '.join(sorted(taken))}"
        )
    # Typer reads options from the signature: the modality's own stand behind --set.
    listed = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in [*shared[:5], *modality_options, *shared[5:]]
    ]
    command.__signature__ = inspect.Signature(listed)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in listed}
    first = (entry.options.__doc__ or entry.about).strip().splitlines()[0]
    command.__doc__ = f"{first}\n\nThe same command again goes on where it stopped."
    return command


@contextmanager
def _sharing(across: bool) -> Iterator[bool]:
    """The ranks of `torchrun` where they were asked for; whether this is the first."""
    if not across:
        yield True
        return
    from multidd.parallel import ranks

    with ranks() as group, warnings.catch_warnings():
        if not group.is_first:  # rank 0 says them
            warnings.simplefilter("ignore", MultiddWarning)
        yield group.is_first


def options_from(
    entry: Modality, function: Callable[..., Any]
) -> list[inspect.Parameter]:
    """The parameters of a function of an entry as options of typer.

    Args:
        entry: of the modality.
        function: whose parameters are annotated with a type and a help text; the method
            of `Modality.options` needs none.

    Raises:
        ModalityError: one has no help text.
    """
    hints = get_type_hints(function, include_extras=True)
    modality_options = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "method":
            modality_options.append(parameter)
            continue
        name, hint = parameter.name, hints.get(parameter.name)
        plain, *texts = get_args(hint)[:2] if hasattr(hint, "__metadata__") else (hint,)
        if not (texts and isinstance(texts[0], str)):
            raise ModalityError(
                f"the modality {entry.name!r} has an option {name!r} without a help "
                f'text: annotate it as Annotated[type, "help"]'
            )
        # A flag of one name: typer would add --no-<name>.
        flag = [f"--{name.replace('_', '-')}"] if plain is bool else []
        names = of_entry(entry, "data") if name in run_config.DATA else None
        option = typer.Option(
            *flag, help=texts[0], rich_help_panel=DATA, autocompletion=names
        )
        modality_options.append(parameter.replace(annotation=Annotated[plain, option]))
    return modality_options


def _changes(entry: Modality, words: Sequence[str]) -> dict[str, Any]:
    """`--set` by name; what has an option of its own is refused."""
    changes: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = name.strip().replace("-", "_")
        if not (name and equals):
            raise ValueError(f"--set takes NAME=VALUE, got {word!r}")
        changes[name] = TextValue(value)
    _refuse_options(entry, changes)
    return changes


def _refuse_options(entry: Modality, names: Mapping[str, Any]) -> None:
    options = options_of(entry)
    for name in names:
        if name in options:
            raise ValueError(f"{name} is no setting of --set; give {options[name]}")
        if name in RESERVED:
            raise ValueError(f"{name} is no setting of --set; the command gives it")


# --- settings from a file ---------------------------------------------------------


def _defaults(name: str) -> Callable[..., Any]:
    """The callback of `--config`: its values stand where no option is given."""

    def callback(ctx: typer.Context, value: pathlib.Path | None) -> Any:
        if value is None or ctx.resilient_parsing:
            return value
        config = run_config.read(value)
        if config.modality != name:
            raise ValueError(
                f"{config.path} is of the modality {config.modality!r}, not of {name!r}"
            )
        _refuse_options(modality.entry(name), config.settings)
        ctx.meta[_CONFIG] = config
        ctx.default_map = {**(ctx.default_map or {}), **config.values}
        return value

    return callback


def _typed(ctx: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _routed(words: list[str]) -> list[str]:
    """`distill --config FILE` as `distill <modality of the file> --config FILE`."""
    if not words or words[0] in modality.names():
        return words
    for number, word in enumerate(words):
        option, equals, path = word.partition("=")
        if option == "--config" and (equals or words[number + 1 :]):
            name = run_config.read(path if equals else words[number + 1]).modality
            return [name, *words]
    return words


# --- the run ----------------------------------------------------------------------


class Request:
    """A summary that is asked for, and the folder that holds all of it.

    Attributes:
        entry: the modality.
        method: name of the method.
        out: the folder.
        seed, steps: of the run; None takes the method's steps.
        options: of `multidd distill <modality>`, by name.
        changes: further settings of the method, by name.
        preset: name of the settings that the method takes where no other are named.
        resumes: whether the run has a checkpoint in the folder.
    """

    def __init__(
        self,
        entry: Modality,
        method: str,
        out: pathlib.Path,
        seed: int,
        steps: int | None,
        options: Mapping[str, Any],
        changes: Mapping[str, Any],
        *,
        preset: str | None = None,
        resumes: bool = True,
    ) -> None:
        self.resumes, self.preset = resumes, preset
        self.entry, self.method, self.out, self.options = entry, method, out, options
        source, self.settings = entry.options(method, **options)
        self.source = {"data": source["data"], "seed": seed} | source
        self.seed, self.steps, self.changes = seed, steps, changes

    def run(
        self, quiet: bool, workers: int | None = None
    ) -> tuple[dict[str, Any], str]:
        """Distill into the folder: what there is to print, for programs and people."""
        from multidd.cli import run_data
        from multidd.cli.parameters import parameters, settings_of
        from multidd.cli.run_folder import RunFolder
        from multidd.engine.presets import with_preset
        from multidd.engine.recipe import call
        from multidd.parallel.rank_group import current

        name = self.entry.name
        parts = modality.parts(name)
        method = method_of(name, parts, self.method)
        settings_of(self.method, method, self.changes)  # refused before data are read
        if self.preset is not None and self.method == DISTILL:
            raise ValueError("--preset is of a method: give --method")
        run: dict[str, Any] = {"progress": False if quiet else None}
        run |= {} if self.preset is None else {"preset": self.preset}
        if parts.has_loop(self.method):
            run |= {"checkpoint": str(self.out / "checkpoint")} if self.resumes else {}
            run |= {} if self.steps is None else {"steps": self.steps}
        elif self.steps is not None:
            raise ValueError(f"{self.method} takes no steps; leave --steps out")
        folder, group = RunFolder(self.out), current()
        log = str(folder.log) if group.is_first else None
        names = [parameter.name for parameter in parameters(method)]
        if workers is not None and "executor" not in names:
            raise ValueError(
                f"{self.method} has no experts that workers could record; leave "
                "--workers out"
            )
        with (
            pool(workers) as executor,
            group.first_enters(folder.lock()),
            json_log(log, is_own=True),
            estimates(quiet or not group.is_first),
        ):
            run |= {} if executor is None else {"executor": executor}
            source = run_data.record(name, self.source)
            train, _ = run_data.load_source(name, source)
            named = self._named(method)
            train, preset = with_preset(method, train, named | run)
            changes = settings_of(self.method, method, self.changes, preset)
            flat = preset | changes
            summary = call(method, train, **flat, seed=self.seed)
            if not group.is_first:
                return {}, ""
            summary = run_data.with_files(summary, source)
            folder.write(summary, source)
            self._write_config(method, flat, source, summary)
            files = {"summary": folder.summary_path, "report": folder.report}
            files |= {"settings": folder.config}
            files |= {"texts": folder.listing} if summary.listing() else {}
            files |= {"picture": folder.picture} if folder.draw(summary, train) else {}
        more = {"page": folder.page, "json": folder.document, "log": folder.log}
        return self._result(summary, files, more)

    def _named(self, method: Callable[..., Any]) -> dict[str, Any]:
        """The method's settings among the options; a preset beats those that nobody
        asked to be other than they are."""
        from multidd.engine.presets import presets_of

        if self.preset is None or presets_of(method) is None:
            return self.settings
        signature = inspect.signature(self.entry.options).parameters
        usual = [
            name
            for name, value in self.options.items()
            if value == signature[name].default
        ]
        return {k: v for k, v in self.settings.items() if k not in usual}

    def _write_config(
        self,
        method: Callable[..., Any],
        flat: Mapping[str, Any],
        source: Mapping[str, Any],
        summary: Any,
    ) -> None:
        """Write `run.toml`: all settings, also those that were not given."""
        from multidd.cli.parameters import parameters, plain_values

        settings = plain_values(method, flat)
        for name in (*RESERVED, *self.settings, *options_of(self.entry)):
            settings.pop(name, None)
        top: dict[str, Any] = {"method": self.method, "seed": self.seed}
        top |= {} if self.preset is None else {"preset": self.preset}
        if modality.parts(self.entry.name).has_loop(self.method):
            defaults = {one.name: one.default for one in parameters(method)}
            steps = flat.get("steps", defaults["steps"])
            top |= {} if steps is None else {"steps": steps}
            # They decide the last bits; last, whether they were named or not.
            settings.pop("threads", None)
            settings["threads"] = summary.card.threads
        else:
            settings.pop("checkpoint_every", None)
        options = dict(self.options)
        if self.preset is not None:  # what it took for options that nobody named
            options |= {name: flat[name] for name in options if name in flat}
        if "path" in source:
            from multidd.cli.run_data import CARD_KEY

            key = next(name for name in run_config.DATA if name in options)
            options[key] = source["path"]
            top["data_sha256"] = source[CARD_KEY]
        for key in {"encoder"} & set(options):
            options[key] = run_config.absolute(options[key])
        for key in set(run_config.PLACE_SETTINGS) & set(self.changes):
            first, _, last = key.rpartition(".")
            table = settings[first] if first else settings
            table[last] = run_config.absolute(str(self.changes[key]))
        run_config.write(self.out, self.entry, top, options, settings)

    def _result(
        self,
        summary: Any,
        files: Mapping[str, pathlib.Path],
        more: Mapping[str, pathlib.Path],
    ) -> tuple[dict[str, Any], str]:
        card = summary.card
        result = {
            "modality": self.entry.name,
            "method": card.method,
            "seed": card.seed,
            "steps": card.steps,
            "seconds": card.seconds,
            "loss": card.history[-1] if card.history else None,
            "bytes": summary.num_bytes,
            "digest": summary.digest(),
            "summary": repr(summary),
            "out": str(self.out),
            "files": {name: str(path) for name, path in {**files, **more}.items()},
        }
        names = ["texts (summary.txt)" if n == "texts" else n for n in files]
        listed = f"{', '.join(names[:-1])} and {names[-1]}"
        return result, f"{summary}\n{listed}: {self.out}"


def _epilog(name: str) -> str:
    """Examples of `multidd distill`, or of that of one modality."""
    if name not in modality.names():
        return examples(
            "multidd distill images --data fashion-mnist --ipc 10 --out runs/fashion",
            "multidd distill --config runs/fashion/run.toml --out runs/again",
            "multidd distill --config runs/fashion --set lr=0.5 --out runs/slower",
        )
    entry = modality.entry(name)
    start = f"multidd distill {name} --out runs/x"
    demo = entry.demo
    if demo is None:
        return examples(start)
    options = {k: v for k, v in demo.options.items() if k in options_of(entry)}
    key = next((k for k in run_config.DATA if k in options_of(entry)), "data")
    words = [f"--{key}", demo.data]
    for option, value in options.items():
        words += [options_of(entry)[option], str(value)]
    return examples(
        f"{start} {shlex.join(words)}",
        f"multidd methods {name}.{demo.method}    # its settings",
        f"multidd distill {name} --config runs/x/run.toml --out runs/again",
    )


distill = by_modality(
    "Distill a dataset into a run folder.", _command, epilog=_epilog, route=_routed
)
