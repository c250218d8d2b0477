"""`multidd sketch`: a sample of data larger than memory, as one file."""

import inspect
import pathlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from multidd import modality
from multidd.cli.distill import options_from
from multidd.cli.groups import by_modality
from multidd.cli.help import examples
from multidd.cli.output import Json, write
from multidd.modality import Modality

__all__ = ["sketch"]

Paths = Annotated[
    list[pathlib.Path],
    typer.Argument(help="Files, or folders of shards.", show_default=False),
]
File = Annotated[
    pathlib.Path,
    typer.Option(help="The file; `multidd distill --data` reads it."),
]
Seed = Annotated[int, typer.Option(help="Another one keeps other records.")]
Workers = Annotated[int, typer.Option(help="Processes that read shards.", min=1)]


def _command(entry: Modality) -> Callable[..., None] | None:
    """`multidd sketch <name>`, with the options of the entry."""
    if entry.sketch is None:
        return None

    def command(
        paths: Paths,
        *,
        out: File,
        seed: Seed = 0,
        workers: Workers = 1,
        as_json: Json = False,
        **modality_options: Any,
    ) -> None:
        assert entry.sketch is not None
        settings = entry.sketch(**modality_options)
        parts = modality.parts(entry.name)
        assert parts.sketch is not None and parts.write_data is not None
        with _executor(workers) as executor:
            data = parts.sketch(paths, seed=seed, executor=executor, **settings)
        parts.write_data(data, out)
        facts = {"modality": entry.name, "data": repr(data), "out": str(out)}
        text = f"{data}\n{_in_words(data.sketch)}\nwritten: {out}"
        write({**facts, "sketch": dict(data.sketch)}, text, as_json)

    shared = list(inspect.signature(command).parameters.values())[:-1]
    listed = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in [shared[0], *options_from(entry, entry.sketch), *shared[1:]]
    ]
    command.__signature__ = inspect.Signature(listed)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in listed}
    command.__doc__ = (entry.sketch.__doc__ or entry.about).strip().splitlines()[0]
    return command


@contextmanager
def _executor(workers: int) -> Iterator[Executor | None]:
    """Processes of their own, or none where one is enough."""
    if workers == 1:
        yield None
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # Started afresh: a copy of this process would hold all that it has loaded.
    with ProcessPoolExecutor(workers, get_context("spawn")) as executor:
        yield executor


def _in_words(facts: Any) -> str:
    """What the sketch saw, a fact after another."""
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def _epilog(name: str) -> str:
    """Examples of `multidd sketch`, or of that of one modality."""
    if name:
        return examples(f"multidd sketch {name} shards --workers 4 --out FILE")
    return examples(
        "multidd sketch recsys logs --users 200000 --workers 4 --out sample.parquet",
        "multidd distill recsys --data sample.parquet --users 500 --out runs/sample",
    )


sketch = by_modality(
    "Keep a sample of data that are larger than memory, with exact counts.",
    _command,
    epilog=_epilog,
)
