"""Lines of all modalities, each measured in a fresh process and kept in a file."""

import os
import pathlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from multidd.engine.progress import announce
from multidd.errors import warn_once
from multidd.evaluation.lines import Line, with_name
from multidd.evaluation.results import CoreShare, MeasuredLine, Results
from multidd.storage.files import check_writable

__all__ = ["measure_lines", "recorded_lines"]


def measure_lines(
    bench: str,
    lines: Iterable[tuple[str, Line]],
    measure: Callable[..., Mapping[str, str]],
    settings: Mapping[str, int],
    only: str | None,
    out: pathlib.Path | None,
) -> tuple[list[dict[str, str]], Results]:
    """Measure the lines whose name contains `only`, and tell each as it ends.

    Args:
        bench: name of the table, in `multidd bench <name>` and in the file.
        lines: name of a modality and a line of it, for each line.
        measure: called in a fresh process, whose peak memory is then that of the line,
            with modality, line and settings; gives cells by column. It stands in a
            module.
        settings: options of the command by name, in the order of the parameters of
            `measure`.
        only: part of the names, which begin with the modality; None measures all.
        out: a JSON file, in which lines take the place of older ones, written after
            each line.

    Returns:
        The lines measured now, by column, and those of the file with them.

    Raises:
        ValueError: no line has such a name; says which there are.
    """
    every = [(f"{kind} {line.name}", kind, line) for kind, line in lines]
    chosen = with_name([(one[0], one) for one in every], only)
    results = Results(bench)
    if out is not None:
        check_writable(out.parent)
        results = Results.read(out, bench)
    options = " ".join(f"--{name} {value}" for name, value in settings.items())
    measured = []
    for name, kind, line in chosen:
        share = CoreShare()
        with ProcessPoolExecutor(1, get_context("spawn"), warn_once) as fresh:
            cells = fresh.submit(measure, kind, line, *settings.values()).result()
        command = f"multidd bench {bench} --only {name!r} {options}"
        recorded = MeasuredLine.now(cells, command, share)
        results = results.with_line(name, recorded)
        measured.append({"line": name, **cells})
        announce(f"{name}  {'  '.join(cells.values())}", shown=True, event="line")
        if out is not None:
            results.write(out)
    return measured, results


def recorded_lines(
    bench: str, lines: Iterable[tuple[str, Line]], path: str | os.PathLike[str]
) -> Results:
    """The lines of a file that `measure_lines` wrote, in the order of the command.

    Args:
        bench: name of the table.
        lines: name of a modality and a line of it, for each line.
        path: the file; without it there are no lines.

    Raises:
        ValueError: a line that the command does not have.
    """
    results = Results.read(path, bench)
    known = [f"{kind} {line.name}" for kind, line in lines]
    if others := [name for name in results.lines if name not in known]:
        raise ValueError(
            f"{path} has {others[0]!r}, which `multidd bench {bench}` does not have; "
            "take it out of the file"
        )
    return results.ordered(known)
