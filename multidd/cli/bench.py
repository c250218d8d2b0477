"""`multidd bench`: one command for each modality that has published numbers."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import typer

from multidd.cli.groups import Workers, by_modality, pool
from multidd.cli.help import examples
from multidd.cli.output import Json, LogJson, json_log, write
from multidd.cli.values import NONE, TextValue, names_in, read_value
from multidd.modality import Modality

__all__ = ["bench"]

Only = Annotated[str | None, typer.Option(help="Lines whose name has this in it.")]
Runs = Annotated[int, typer.Option(help="Distillations of each line.", min=1)]
Trainings = Annotated[int, typer.Option(help="Trainings on each of them.", min=1)]
Table = Annotated[
    pathlib.Path | None,
    typer.Option(
        help="File, written line by line: Markdown of these lines, or .json, in which "
        "they take the place of older ones."
    ),
]

Makings = Annotated[int, typer.Option(help="Makings of each line.", min=1)]
Lines = Annotated[
    pathlib.Path | None,
    typer.Option(help="JSON file, in which lines replace older ones."),
]
WithTable = Annotated[
    pathlib.Path | None,
    typer.Option(help="A .json file, with a Markdown file of the table beside it."),
]
MarkdownTable = Annotated[
    pathlib.Path | None, typer.Option(help="Markdown file of the table.")
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
        workers: Workers = None,
        as_json: Json = False,
        log_json: LogJson = None,
    ) -> None:
        from multidd.evaluation.benchmark import measure

        runs = {"seeds": seeds, "trainings": trainings}
        with json_log(log_json), pool(workers) as executor:
            table = measure(entry.name, only=only, out=out, executor=executor, **runs)
        result = {"lines": table.records(), "notes": table.notes}
        write({**result, "machine": table.machine}, f"\n{table}", as_json)

    command.__doc__ = (
        f"{entry.about} beside published numbers, with seconds and peak memory."
    )
    return command


def threads(
    out: MarkdownTable = None, as_json: Json = False, log_json: LogJson = None
) -> None:
    """What threads cost and gain, alone and beside four busy processes."""
    from multidd.evaluation.results import machine
    from multidd.evaluation.thread_benchmark import as_text, measure

    with json_log(log_json):
        head, *rows = measure(out)
    lines = [dict(zip(head, row, strict=True)) for row in rows]
    text = f"\n{as_text([head, *rows])}"
    write({"lines": lines, "notes": [], "machine": machine()}, text, as_json)


def scale(
    only: Only = None,
    out: WithTable = None,
    as_json: Json = False,
    log_json: LogJson = None,
) -> None:
    """What more workers gain."""
    from multidd.evaluation.scale_benchmark import COLUMNS, measure

    with json_log(log_json):
        rows = measure(only=only, out=out)
    _write_rows(COLUMNS, rows, ("result",), as_json)


def gpu(
    only: Only = None,
    device: Annotated[
        str, typer.Option(help="A GPU, or cpu for small lines that try the command.")
    ] = "auto",
    minutes: Annotated[float, typer.Option(help="For all lines, nearly.")] = 10.0,
    out: WithTable = None,
    as_json: Json = False,
    log_json: LogJson = None,
) -> None:
    """Seconds of a step on one GPU beside the CPU's."""
    from multidd.evaluation.gpu_benchmark import COLUMNS, measure

    with json_log(log_json):
        rows = measure(device=device, minutes=minutes, only=only, out=out)
    _write_rows(COLUMNS, rows, (), as_json)


def against_bytes(
    only: Only = None,
    seeds: Runs = 1,
    trainings: Trainings = 3,
    bits: Annotated[
        str | None,
        typer.Option(help="Such as 3 or 4,2, of 32, 8, 4, 3 and 2; or none."),
    ] = None,
    kib: Annotated[
        str | None,
        typer.Option(help="Sizes in KiB that the set is to fit, such as 30."),
    ] = None,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(help="A .json file, in which rows take the place of older ones."),
    ] = None,
    as_json: Json = False,
    log_json: LogJson = None,
) -> None:
    """Scores in ever fewer bits, beside real data of as many bytes."""
    from multidd.evaluation.bytes_benchmark import BITS, COLUMNS, measure

    with json_log(log_json):
        chosen: Sequence[int] = BITS
        if bits is not None:
            chosen = [] if bits == NONE else _whole_numbers("bits", bits)
        sizes = [] if kib is None else _whole_numbers("kib", kib)
        rows = measure(
            only=only,
            seeds=seeds,
            trainings=trainings,
            bits=chosen,
            kib=sizes,
            out=out,
        )
    _write_rows(COLUMNS, rows, ("error", "items"), as_json)


def _write_rows(
    columns: Sequence[str],
    rows: Sequence[Mapping[str, str]],
    drop: Sequence[str],
    as_json: bool,
) -> None:
    """A table of measured rows; narrow terminals drop columns."""
    from multidd.evaluation.results import machine
    from multidd.evaluation.table import aligned, terminal_width

    cells = [[*columns], *([row[key] for key in columns] for row in rows)]
    text = f"\n{aligned(cells, terminal_width(), drop)}\n\n{machine()}"
    write({"lines": rows, "notes": [], "machine": machine()}, text, as_json)


def _whole_numbers(name: str, text: str) -> list[int]:
    """Numbers by commas."""
    return [read_value(name, int, TextValue(word)) for word in names_in(text)]


def _epilog(name: str) -> str:
    """Examples of `multidd bench`, or of one of its tables."""
    if not name:
        return examples(
            "multidd bench images --only dm --seeds 1", "multidd bench graph"
        )
    if name == "regimes":
        return examples("multidd bench regimes --only graph --out regimes.json")
    if name == "plain":
        return examples("multidd bench plain --only 'mnist 10' --out plain.json")
    if name == "speed":
        return examples("multidd bench speed --only kcenter --out speed.json")
    if name == "paper":
        return examples("multidd bench paper --only graph --out paper.json")
    if name == "scale":
        return examples("multidd bench scale --out scale.json")
    if name == "gpu":
        return examples(
            "multidd bench gpu --minutes 10 --out gpu.json",
            "multidd bench gpu --device cpu --only 'dm'",
        )
    options = "" if name == "threads" else " --seeds 1 --trainings 1"
    return examples(f"multidd bench {name}{options} --out {name}.md")


def settings(
    kind: Annotated[str, typer.Argument(metavar="MODALITY", help="Such as recsys.")],
    only: Annotated[
        str | None, typer.Option(help="Choices whose name has this in it.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Splits and distillations.", min=1)] = 3,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(help="JSON file of scores, with a Markdown file beside it."),
    ] = None,
    workers: Workers = None,
) -> None:
    """Candidates for settings, judged on held-out training data."""
    from multidd.evaluation.settings_choice import main

    with pool(workers) as executor:
        main(kind, only=only, seeds=seeds, out=out, executor=executor)


def regimes(
    only: Only = None,
    seeds: Makings = 3,
    trainings: Trainings = 1,
    out: Lines = None,
) -> None:
    """Methods of every modality with hard labels, soft labels and a teacher."""
    from multidd.evaluation.regimes_benchmark import main

    main(only=only, seeds=seeds, trainings=trainings, out=out)


def speed(
    only: Only = None,
    steps: Annotated[
        int, typer.Option(help="Steps that are timed, or tries of a whole.", min=1)
    ] = 5,
    out: Lines = None,
) -> None:
    """Seconds of a step beside those that its arithmetic takes."""
    from multidd.evaluation.speed_benchmark import main

    main(only=only, steps=steps, out=out)


def plain(
    only: Only = None,
    seeds: Makings = 3,
    out: Lines = None,
) -> None:
    """What sets give to models that a stranger trains, beside random and whole data."""
    from multidd.evaluation.plain_benchmark import main

    main(only=only, seeds=seeds, out=out)


def paper(
    only: Only = None,
    seeds: Annotated[int, typer.Option(help="Makings of each line.", min=1)] = 2,
    out: Lines = None,
) -> None:
    """The settings of papers against the defaults, in equal seconds."""
    from multidd.evaluation.paper_benchmark import main

    main(only=only, seeds=seeds, out=out)


bench = by_modality(
    "Print a table of measured numbers.",
    _command,
    {
        "threads": threads,
        "scale": scale,
        "bytes": against_bytes,
        "gpu": gpu,
        "settings": settings,
        "regimes": regimes,
        "plain": plain,
        "speed": speed,
        "paper": paper,
    },
    epilog=_epilog,
)
