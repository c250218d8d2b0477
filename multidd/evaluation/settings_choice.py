"""Settings of methods, chosen on held-out training data: `multidd bench settings`.

A default that was chosen with test scores in view flatters every number beside it. A
modality lists its `CHOICES`, each a few candidates for one setting of a method; all are
judged on data that is cut out of the training part, and test data are never read.
"""

import itertools
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, fields, is_dataclass
from inspect import Parameter, signature
from typing import Any

from multidd import modality
from multidd.engine.recipe import call
from multidd.errors import DivergedError
from multidd.evaluation.evaluate import evaluate
from multidd.evaluation.lines import Line
from multidd.evaluation.results import CoreShare, MeasuredLine, Results
from multidd.evaluation.table import aligned, markdown, spread
from multidd.parallel.jobs import mapped
from multidd.storage.files import check_writable, write_text

__all__ = ["HeldOut", "Scores", "SettingsChoice", "defaults", "main", "page"]

Cell = tuple[str, Mapping[str, int]]


@dataclass(frozen=True)
class SettingsChoice:
    """A few candidates for the settings of a method, on some data and budgets.

    Attributes:
        method: name of the method.
        settings: name of a setting -> its candidates, among them its default; of
            several settings every combination is tried.
        cells: name of the data and budget, such as `("mnist", {"ipc": 1})`.
        options: settings that all candidates share, such as fewer steps.
        models: models whose mean score decides; the modality's first one unless given.
        protocol: that they are trained by; the modality's first one unless given.

    Raises:
        ValueError: a setting without candidates, or one that all share too.

    Example:
        >>> choice = SettingsChoice("dm", {"lr": (1.0, 3.0)}, [("mnist", {"ipc": 1})])
        >>> choice.candidates
        ({'lr': 1.0}, {'lr': 3.0})
    """

    method: str
    settings: Mapping[str, Sequence[Any]]
    cells: Sequence[Cell]
    options: Mapping[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    protocol: str | None = None

    def __post_init__(self) -> None:
        empty = [name for name, values in self.settings.items() if len(values) < 2]
        twice = sorted(set(self.settings) & set(self.options))
        if empty or twice or not self.settings:
            raise ValueError(
                "settings must name two candidates or more for each setting, and none "
                f"that options has; got {dict(self.settings)} and {dict(self.options)}"
            )

    @property
    def name(self) -> str:
        """The method, what is chosen, and the model where one alone decides.

        Example:
            >>> SettingsChoice("dm", {"lr": (1, 3)}, [], {"steps": 9}).name
            'dm lr (steps=9)'
        """
        shared = ", ".join(f"{key}={value}" for key, value in self.options.items())
        judge = f", {self.models[0]}" if len(self.models) == 1 else ""
        shared = f" ({shared})" if shared else ""
        return f"{self.method} {', '.join(self.settings)}{shared}{judge}"

    @property
    def candidates(self) -> tuple[dict[str, Any], ...]:
        """Every combination, the first setting slowest."""
        return tuple(
            dict(zip(self.settings, values, strict=True))
            for values in itertools.product(*self.settings.values())
        )

    def default(self, method: Callable[..., Any]) -> int:
        """Place of the method's own defaults among the candidates.

        Raises:
            ValueError: they are not among them, so nothing could be said of them.
        """
        known = defaults(method)
        values = {name: known.get(name) for name in self.settings}
        if values not in self.candidates:
            raise ValueError(
                f"{self.name} must have the defaults {values} among its candidates; "
                f"got {self.candidates}"
            )
        return self.candidates.index(values)

    def line(self, cell: Cell, candidate: Mapping[str, Any]) -> Line:
        """The candidate on some data, under the name that tables use."""
        data, budget = cell
        options = {**self.options, **candidate}
        return Line(data, budget, self.method, "", options, self.models, self.protocol)


def defaults(method: Callable[..., Any]) -> dict[str, Any]:
    """The default of every setting of a method, those inside `options` too.

    Example:
        >>> from multidd.learning.optim import SGD
        >>> def method(data, *, steps=2, options=SGD(lr=0.1)):
        ...     return steps
        >>> known = defaults(method)
        >>> known["steps"], known["lr"]
        (2, 0.1)
    """
    values: dict[str, Any] = {}
    for name, parameter in signature(method).parameters.items():
        value = parameter.default
        if name == "options" and is_dataclass(value):
            values |= {f.name: getattr(value, f.name) for f in fields(value)}
        elif value is not Parameter.empty:
            values[name] = value
    return values


@dataclass(frozen=True)
class Scores:
    """Scores of the candidates of one choice, by cell, in the order of the seeds.

    Attributes:
        choice: what was tried.
        default: place of the default among the candidates.
        by_cell: cell -> for each candidate its scores, shares of one.
        digits: after the point.

    Example:
        >>> choice = SettingsChoice("dm", {"lr": (1, 3)}, [])
        >>> scores = Scores(choice, 0, {"mnist 1": [(0.5, 0.6), (0.7, 0.9)]})
        >>> scores.over_default(1)
        [0.2, 0.3]
        >>> scores.verdict
        'dm lr: the default lr=1 does not stand: lr=3 is above by 25.0 ± 7.1 in 2 runs.'
    """

    choice: SettingsChoice
    default: int
    by_cell: Mapping[str, Sequence[Sequence[float]]]
    digits: int = 1

    def over_default(self, place: int) -> list[float]:
        """Score of a candidate minus that of the default, for each cell and seed.

        Both were made of the same split with the same seed, so what a split is worth
        takes no part; seeds that only one of them has are left out.
        """
        return [
            round(score - base, 9)
            for rows in self.by_cell.values()
            for score, base in zip(rows[place], rows[self.default], strict=False)
        ]

    @property
    def best(self) -> int:
        """The candidate of the highest mean; the default where none is above it."""
        means = [
            statistics.fmean(self.over_default(place) or [0.0])
            for place in range(len(self.choice.candidates))
        ]
        return self.default if max(means) <= 0 else means.index(max(means))

    @property
    def stands(self) -> bool | None:
        """Whether the best is above the default by one standard deviation of their
        differences at most; None where one run alone decides nothing."""
        above = self.over_default(self.best)
        if self.best == self.default:
            return True
        if len(above) < 2:
            return None
        return statistics.fmean(above) <= statistics.stdev(above)

    @property
    def verdict(self) -> str:
        """What the scores say of the default, as a sentence."""
        runs = self.over_default(self.best)
        default = _named(self.choice, self.default)
        subject = f"{self.choice.name}: the default {default}"
        if self.best == self.default:
            return f"{subject} stands, and is the best in {_runs(runs)}."
        above = f"{_named(self.choice, self.best)} is above by "
        above += f"{spread(runs, self.digits)}"
        if self.stands is None:
            return f"{subject} is undecided: {above}."
        stands = "stands" if self.stands else "does not stand"
        return f"{subject} {stands}: {above} in {_runs(runs)}."

    def table(self) -> list[list[str]]:
        """The head and a row for each candidate."""
        rows = [["candidate", *self.by_cell, "over the default", ""]]
        for place, _ in enumerate(self.choice.candidates):
            above = "" if place == self.default else self._above(place)
            marks = ["default"] * (place == self.default)
            marks += ["best"] * (place == self.best)
            cells = self.by_cell.values()
            scores = [spread(cell[place], self.digits) for cell in cells]
            label = _named(self.choice, place)
            rows.append([label, *scores, above, ", ".join(marks)])
        return rows

    def _above(self, place: int) -> str:
        text = spread(self.over_default(place), self.digits)
        return text if text.startswith("-") else f"+{text}"


class HeldOut:
    """Scores of single lines on held-out training data; equal ones are run once.

    Args:
        kind: the modality.

    Raises:
        ValueError: the modality lists no choices.
    """

    def __init__(self, kind: str) -> None:
        self.parts = modality.parts(kind)
        if self.parts.choices is None:
            raise ValueError(f"{kind} lists no settings to choose")
        self.kind, self.choices = kind, self.parts.choices
        self.methods = {**self.parts.methods, **getattr(self.choices, "METHODS", {})}
        self._data: dict[tuple[str, int], tuple[Any, Any]] = {}
        self._scores: dict[str, tuple[float, float]] = {}

    def __reduce__(self) -> Any:
        return HeldOut, (self.kind,)

    def measured(self, line: Line, seed: int) -> tuple[float, float]:
        """Score of a line, a share of one, and the seconds of distilling.

        A run that diverges scores 0.
        """
        key = self._key(line, seed)
        if key not in self._scores:
            self._scores[key] = self._run(line, seed)
        return self._scores[key]

    def _key(self, line: Line, seed: int) -> str:
        """Equal of runs with the same settings."""
        known = defaults(self.methods[line.method])
        changed = {k: v for k, v in line.options.items() if known.get(k, line) != v}
        key = repr((line.data, line.budget, line.method, sorted(changed.items())))
        return key + repr((line.models, line.protocol, seed))

    def measure_all(
        self,
        lines: Sequence[Line],
        seeds: int,
        executor: Executor,
        note: Callable[[Line, CoreShare], None],
    ) -> None:
        """Run lines by an executor.

        Args:
            lines: what is run.
            seeds: of each.
            executor: each line with each seed is a job; equal ones are one.
            note: is called with each line of which all seeds were run.
        """
        runs = {self._key(line, s): (line, s) for line in lines for s in range(seeds)}
        keys, jobs, share = list(runs), list(runs.values()), CoreShare()
        waiting = list(lines)

        def take(number: int, result: tuple[float, float]) -> None:
            self._scores[keys[number]] = result
            for line in list(waiting):
                if all(self._key(line, seed) in self._scores for seed in range(seeds)):
                    waiting.remove(line)
                    note(line, share)

        names = [f"{line.name} seed {seed}" for line, seed in jobs]
        mapped(
            _held_out_score, jobs, executor, names=names, shared=self, on_result=take
        )

    def _run(self, line: Line, seed: int) -> tuple[float, float]:
        if (line.data, seed) not in self._data:
            train, exam = self.choices.held_out(line.data, seed)
            evaluator = self.parts.evaluators[self.kind](**exam)
            self._data[line.data, seed] = train, evaluator
        train, evaluator = self._data[line.data, seed]
        started = time.perf_counter()
        method = self.methods[line.method]
        try:
            summary = call(method, train, **line.budget, seed=seed, **line.options)
        except DivergedError:
            return 0.0, time.perf_counter() - started
        report = evaluate(
            summary,
            evaluator,
            models=line.models or None,
            protocol=line.protocol,
            seeds=[seed],
            rows=[],
            progress=False,
        )
        values = [row.values[evaluator.metric][0] for row in report.rows]
        return statistics.fmean(values), summary.card.seconds


def _held_out_score(held_out: HeldOut, job: tuple[Line, int]) -> tuple[float, float]:
    """In a worker, whose copy keeps the data that it has cut."""
    return held_out.measured(*job)


def main(
    kind: str,
    *,
    only: str | None = None,
    seeds: int = 3,
    out: pathlib.Path | None = None,
    executor: Executor | None = None,
) -> None:
    """Run the candidates of every choice, print their scores and what they say.

    Args:
        kind: the modality.
        only: choices on data whose name contains this, such as `"mnist 1 dm lr"`; None
            takes all.
        seeds: splits of the training part, each with a distillation of its own.
        out: a JSON file of the scores, which keeps those of earlier calls, and a
            Markdown file of the same name beside it.
        executor: any `concurrent.futures.Executor`: each candidate with each seed is a
            job. Seconds are then those beside the others.

    Raises:
        ValueError: no choice has such a name; says which there are.
    """
    if out is not None:
        check_writable(out.parent)
    held_out = HeldOut(kind)
    every = list(_units(held_out.choices.CHOICES))
    units = [unit for unit in every if only is None or only in _unit_name(*unit)]
    if not units:
        names = "\n".join(_unit_name(*unit) for unit in every)
        raise ValueError(f"no choice has {only!r} in its name; there are\n{names}")
    results = Results(kind) if out is None else Results.read(out, kind)
    command = f"multidd bench settings {kind} --seeds {seeds}"
    each = [
        choice.line(cell, one) for choice, cell in units for one in choice.candidates
    ]

    def note(line: Line, share: CoreShare) -> None:
        """Print and write a line of which all seeds were run."""
        nonlocal results
        measured = _measured(held_out, line, seeds, command, share)
        results = results.with_line(line.name, measured)
        print(line.name, *measured.cells.values(), file=sys.stderr, flush=True)
        if out is not None:
            results.write(out)
            write_text(out.with_suffix(".md"), _report(held_out, results, True))

    if executor is None:
        for line in each:
            note(line, CoreShare())
    else:
        held_out.measure_all(each, seeds, executor, note)
    print("\n" + _report(held_out, results, False))


def page(kind: str, path: str | os.PathLike[str]) -> str:
    """The scores of a file as Markdown: tables, and what they say of each default.

    Args:
        kind: the modality.
        path: a file that `multidd bench settings --out` wrote.

    Raises:
        ValueError: scores of a candidate that the command does not have.
    """
    held_out, results = HeldOut(kind), Results.read(path, kind)
    known = {
        choice.line(cell, candidate).name
        for choice, cell in _units(held_out.choices.CHOICES)
        for candidate in choice.candidates
    }
    if others := [name for name in results.lines if name not in known]:
        raise ValueError(
            f"{path} has {others[0]!r}, which `multidd bench settings {kind}` does not "
            "have; take it out of the file"
        )
    return _report(held_out, results, True)


def _measured(
    held_out: HeldOut, line: Line, seeds: int, command: str, share: CoreShare
) -> MeasuredLine:
    runs = [held_out.measured(line, seed) for seed in range(seeds)]
    cells = {
        "scores": " ".join(f"{score:.6f}" for score, _ in runs),
        "seconds": f"{statistics.median(seconds for _, seconds in runs):.1f}",
    }
    return MeasuredLine.now(cells, command, share)


def _report(held_out: HeldOut, results: Results, as_markdown: bool) -> str:
    """Table and verdict of every choice of which all candidates were run."""
    evaluator = held_out.parts.evaluators[held_out.kind]
    texts = [f"# Settings of {held_out.kind}: held-out {evaluator.metric} %"]
    for choice in held_out.choices.CHOICES:
        cells: dict[str, list[list[float]]] = {}
        for cell in choice.cells:
            names = [choice.line(cell, one).name for one in choice.candidates]
            if all(name in results.lines for name in names):
                rows = [results.lines[name].cells["scores"].split() for name in names]
                label = " ".join([cell[0], *map(str, cell[1].values())])
                cells[label] = [[float(score) for score in row] for row in rows]
        if cells:
            default = choice.default(held_out.methods[choice.method])
            scores = Scores(choice, default, cells, evaluator.digits)
            table = markdown if as_markdown else aligned
            texts.append(f"{table(scores.table())}\n\n{scores.verdict}")
    where = sorted({line.where for line in results.lines.values()})
    machines = sorted({line.machine for line in results.lines.values()})
    texts.append(f"Measured at {'; '.join(where)}. {' '.join(machines)}")
    return "\n\n".join(texts) + "\n"


def _units(choices: Sequence[SettingsChoice]) -> Iterator[tuple[SettingsChoice, Cell]]:
    return ((choice, cell) for choice in choices for cell in choice.cells)


def _unit_name(choice: SettingsChoice, cell: Cell) -> str:
    return " ".join([cell[0], *map(str, cell[1].values()), choice.name])


def _named(choice: SettingsChoice, place: int) -> str:
    return ", ".join(f"{k}={v}" for k, v in choice.candidates[place].items())


def _runs(values: Sequence[float]) -> str:
    return f"{len(values)} run{'s' * (len(values) != 1)}"
