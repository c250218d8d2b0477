"""Scores against bytes: `multidd bench bytes`.

A distilled set as it is and in ever fewer bits, and beside each the largest selections
of real records, and of their means, that take no more bytes when they are stored in as
many bits; last the set that was learned with the fewest bits. Whole data stand there
too, with the bytes that they take when they are coded without loss.
"""

import inspect
import pathlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from multidd import modality
from multidd.engine.progress import announce
from multidd.engine.recipe import call
from multidd.evaluation.evaluate import evaluate
from multidd.evaluation.evaluator import largest
from multidd.evaluation.lines import Line, PublishedLines, with_name
from multidd.evaluation.results import CoreShare, MeasuredLine, Results
from multidd.evaluation.table import markdown, spread
from multidd.storage.codecs import Codec
from multidd.storage.files import check_writable
from multidd.storage.packing import pack
from multidd.summary import DataSummary

__all__ = ["BITS", "CONTROLS", "measure", "page"]

BITS = (32, 8, 4, 3, 2)
"""Of a number; 32 is a summary as methods make it."""
CONTROLS = ("random", "kmeans")
IN_BYTES = "budget_bytes"
"""Budget of a line whose set fills it in as many bits as it likes."""
COLUMNS = ["set", "method", "bits", "items", "KiB", "score", "error"]
NAME = "bytes"
"""What a file of results calls its modality."""


@dataclass(frozen=True)
class Stored:
    """A set as it is stored, for all seeds of a line.

    Attributes:
        summaries: one for each seed.
        bits: of a number.
    """

    summaries: tuple[DataSummary, ...]
    bits: int

    @property
    def num_bytes(self) -> int:
        """The mean size."""
        return round(statistics.fmean(one.num_bytes for one in self.summaries))

    @property
    def max_error(self) -> float:
        """The largest difference of any number from what it was."""
        packings = [one.packing for one in self.summaries if one.packing]
        errors = [e for packing in packings for e in packing.max_error.values()]
        return max(errors, default=0.0)


def compressed(summary: DataSummary, bits: int) -> DataSummary:
    """The set in so many bits; as it is with 32.

    Example:
        >>> import multidd
        >>> summary = multidd.graph.random(multidd.samples.cora(), per_class=1)
        >>> compressed(summary, 32) is summary
        True
    """
    return summary if bits == max(BITS) else summary.compress(bits=bits)


def measure(
    *,
    only: str | None = None,
    seeds: int = 1,
    trainings: int = 3,
    bits: Sequence[int] = BITS,
    kib: Sequence[int] = (),
    out: pathlib.Path | None = None,
) -> list[dict[str, str]]:
    """Measure the sets whose name contains `only`, and add them to `out`.

    Args:
        only: part of a name such as `cora 70 condense`; None measures all.
        seeds: distillations of each.
        trainings: on each of them.
        bits: of `BITS`, which to measure; a set is learned with the fewest only where
            these are among them.
        kib: sizes to measure too, by `summary.compress(budget_bytes=)`.
        out: a `.json` file, written again after each row.

    Returns:
        The cells of each row.

    Raises:
        ValueError: no set has such a name, other bits, or `out` is no `.json` file.
    """
    if not (bits or kib) or not set(bits) <= set(BITS):
        raise ValueError(
            f"bits must be of {', '.join(map(str, BITS))}; got {list(bits)}"
        )
    every = [(kind, line) for kind in modality.names() for line in _lines(kind).bytes]
    by_name = [(line.name, (kind, line)) for kind, line in every]
    chosen = with_name(by_name, only, "set")
    if out is not None:
        if out.suffix != ".json":
            raise ValueError(f"out must be a .json file, got {str(out)!r}")
        check_writable(out.parent)
    rows = []
    for kind, line in chosen:
        share = CoreShare()
        for cells in _measured(kind, line, seeds, trainings, bits, kib):
            announce(
                "  ".join(cells.values()), shown=True, event="line", line=line.name
            )
            rows.append(cells)
            if out is not None:
                command = f"multidd bench bytes --only '{line.name}' --seeds {seeds}"
                if set(bits) != set(BITS):
                    command += f" --bits {','.join(map(str, bits)) or 'none'}"
                if kib:
                    command += f" --kib {','.join(map(str, kib))}"
                command += f" --trainings {trainings}"
                recorded = MeasuredLine.now(cells, command, share)
                name = " ".join(cells[key] for key in ("set", "method", "bits"))
                Results.read(out, NAME).with_line(name, recorded).write(out)
    return rows


def page(path: str | pathlib.Path) -> str:
    """The rows of a file as Markdown tables, one for each set.

    Args:
        path: a file that `multidd bench bytes --out` wrote.
    """
    results = Results.read(path, NAME)
    table = results.table(COLUMNS)
    parts = []
    for name in dict.fromkeys(row[0] for row in table[1:]):
        rows = [row[1:] for row in table[1:] if row[0] == name]
        parts.append(f"**{name}**\n\n{markdown([table[0][1:], *rows])}")
    machines = dict.fromkeys(line.machine for line in results.lines.values())
    return "\n\n".join([*parts, *machines]) + "\n"


def _lines(kind: str) -> PublishedLines:
    return PublishedLines.of(modality.parts(kind).published)


def _measured(
    kind: str,
    line: Line,
    seeds: int,
    trainings: int,
    bits_asked: Sequence[int],
    kib: Sequence[int],
) -> Iterator[dict[str, str]]:
    """A row for whole data, and for each number of bits, and each size, the set and its
    controls."""
    parts = modality.parts(kind)
    loaded = [parts.load_for_evaluation(line.data, seed=seed) for seed in range(seeds)]
    ((name, budget),) = line.budget.items()
    if name == IN_BYTES:
        yield from _filled(kind, line, loaded, trainings)
        return

    def distilled(method: str, seed: int, size: int, **run: int) -> DataSummary:
        options = {**(line.options if method == line.method else {}), **run}
        train = loaded[seed][0]
        summary: DataSummary = call(
            parts.methods[method], train, **{name: size}, seed=seed, **options
        )
        return summary

    def small(bits: int, method: str, seed: int, size: int) -> DataSummary:
        return compressed(distilled(method, seed, size), bits)

    def row(method: str, stored: Stored, label: str = "") -> dict[str, str]:
        return _row(kind, line, method, stored, label, loaded, trainings)

    sets = tuple(distilled(line.method, seed, budget) for seed in range(seeds))
    yield _whole_row(kind, line, sets[0], loaded[0], trainings)

    def controls(stored: Stored, label: str = "") -> Iterator[dict[str, str]]:
        for method in CONTROLS:
            smaller = [
                largest(
                    partial(small, stored.bits, method, seed), stored.num_bytes, budget
                )
                for seed in range(seeds)
            ]
            fitting = tuple(one for one in smaller if one is not None)
            if len(fitting) == seeds:
                yield row(method, Stored(fitting, stored.bits), label)

    for bits in (one for one in BITS if one in bits_asked):
        stored = Stored(tuple(compressed(one, bits) for one in sets), bits)
        yield row(line.method, stored)
        yield from controls(stored)
    for size in kib:
        fitted = tuple(one.compress(budget_bytes=1024 * size) for one in sets)
        most = max(one.packing.bits for one in fitted if one.packing is not None)
        label = f"{most}, within {size:,} KiB"
        stored = Stored(fitted, most)
        yield row(line.method, stored, label)
        yield from controls(stored, label)
    low = min(BITS)
    looped = "steps" in inspect.signature(parts.methods[line.method]).parameters
    if looped and low in bits_asked:
        aware = tuple(
            distilled(line.method, seed, budget, bits=low) for seed in range(seeds)
        )
        yield row(f"{line.method}, learned so", Stored(aware, low))


def _filled(
    kind: str,
    line: Line,
    loaded: Sequence[tuple[Any, Mapping[str, Any]]],
    trainings: int,
) -> Iterator[dict[str, str]]:
    """A row for a set that fills its budget in bytes, and for its controls.

    Whole data are left out: the networks that judge such sets take hours for them.
    """
    parts, published = modality.parts(kind), _lines(kind)
    method = parts.methods.get(line.method) or parts.distill
    assert method is not None  # a line of DISTILL is of a modality that has it
    budget = line.budget[IN_BYTES]
    sets = tuple(
        call(method, train, budget_bytes=budget, seed=seed, **line.options)
        for seed, (train, _) in enumerate(loaded)
    )
    bits = max(one.packing.bits for one in sets if one.packing is not None)
    label = f"{bits}, within {budget / 1024:,.1f} KiB"
    stored = Stored(sets, bits)
    yield _row(kind, line, line.method, stored, label, loaded, trainings)
    ((name, smallest),) = published.smallest.items()
    every = {**parts.methods, **published.methods}
    for control in (*CONTROLS, *published.bytes_controls):

        def small(size: int, seed: int, control: str = control) -> DataSummary:
            size_option = {name: size}
            return compressed(
                call(every[control], loaded[seed][0], **size_option, seed=seed), bits
            )

        fitting = [
            largest(partial(small, seed=seed), stored.num_bytes, smallest)
            for seed in range(len(loaded))
        ]
        smaller = tuple(one for one in fitting if one is not None)
        if len(smaller) == len(loaded):
            few = Stored(smaller, bits)
            yield _row(kind, line, control, few, label, loaded, trainings)


def _row(
    kind: str,
    line: Line,
    method: str,
    stored: Stored,
    label: str,
    loaded: Sequence[tuple[Any, Mapping[str, Any]]],
    trainings: int,
) -> dict[str, str]:
    """The cells of a set as it is stored."""
    scores, size = _scores(kind, line, stored.summaries, loaded, trainings)
    return {
        "set": line.name,
        "method": method,
        "bits": label or str(stored.bits),
        "items": size,
        "KiB": f"{stored.num_bytes / 1024:,.1f}",
        "score": scores,
        "error": f"{stored.max_error:.2g}",
    }


def _scores(
    kind: str,
    line: Line,
    summaries: tuple[DataSummary, ...],
    loaded: Sequence[tuple[Any, Mapping[str, Any]]],
    trainings: int,
) -> tuple[str, str]:
    """Mean and deviation over all trainings, and the size of the first set."""
    evaluator = modality.parts(kind).evaluators[summaries[0].kind]
    values: list[float] = []
    size = ""
    for seed, summary in enumerate(summaries):
        report = evaluate(
            summary,
            models=line.models or None,
            protocol=line.protocol,
            seeds=trainings,
            rows=(),
            regimes=(),
            progress=False,
            **loaded[seed][1],
        )
        (row,) = [one for one in report.rows if one.name == report.method]
        values += row.values[report.metric]
        size = size or str(row.size)
    return spread(values, evaluator.digits), size


def _whole_row(
    kind: str,
    line: Line,
    summary: DataSummary,
    loaded: tuple[Any, Mapping[str, Any]],
    trainings: int,
) -> dict[str, str]:
    """Whole training data, as short as they are without loss."""
    train, exam = loaded
    evaluator = modality.parts(kind).evaluators[summary.kind]
    report = evaluate(
        summary,
        models=line.models or None,
        protocol=line.protocol,
        seeds=trainings,
        rows=("whole",),
        regimes=(),
        progress=False,
        **exam,
    )
    (whole,) = [one for one in report.rows if one.name == "whole"]
    tensors = _lines(kind).whole_tensors(train)
    packing = pack(tensors, 8, lambda name: Codec("exact"), 0)
    return {
        "set": line.name,
        "method": "whole",
        "bits": "exact",
        "items": "all",
        "KiB": f"{packing.num_bytes() / 1024:,.1f}",
        "score": spread(whole.values[report.metric], evaluator.digits),
        "error": "0",
    }
