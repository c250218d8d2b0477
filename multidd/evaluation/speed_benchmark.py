"""`multidd bench speed`: seconds of a step beside those that its arithmetic takes.

Of a method with a loop the operations of one step are counted, and the seconds that
these take as plain products and passes of a network on this machine are its floor.
Selections, and what a modality names beside its methods, are timed as a whole.
"""

import os
import pathlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from multidd import modality, seeds
from multidd.engine.options import RunOptions
from multidd.engine.recipe import call
from multidd.evaluation.line_measuring import measure_lines, recorded_lines
from multidd.evaluation.lines import Line, PublishedLines
from multidd.evaluation.table import aligned, markdown
from multidd.protocols import Records, Selection
from multidd.selection import Herding, KCenter
from multidd.sketches.costs import peak_megabytes

__all__ = ["COLUMNS", "NAME", "Clock", "convolution_rate", "lines", "main", "page"]

NAME = "speed"
"""Of the file of results."""

COLUMNS = ("line", "seconds", "of", "GFLOP", "floor s", "reached", "peak MB", "others")
"""Of the table; `reached` is the floor's share of the seconds, and `others` the seconds
of other code on other machines, by its own report or by a trial."""

CORE = "selection"
SELECTIONS: dict[str, Selection] = {"herding": Herding(), "kcenter": KCenter()}
FEATURES = (20_000, 512)

CORE_LINES = (
    Line("20000x512", {"picks": 500}, "herding", "1.2 (trial)"),
    Line("20000x512", {"picks": 500}, "kcenter", "1.2 (trial)"),
)

_READING = """\
Seconds are those of one step, the median of several after the first, or of the whole.
The floor of a step is its convolutions at the rate of a plain pass of a network of that
width forth and back, and its products at that of a product of large matrices, both
measured in the same process just before; what a step does beside these (normalization,
activations, augmentation, sparse products, draws) has no floor and counts as lost."""


class Operations(TorchDispatchMode):
    """Counts the floating point operations of products and convolutions.

    PyTorch's own counter asks which module an operation is of, which it cannot where
    gradients are asked for inside of a step.

    Example:
        >>> with Operations() as counts:
        ...     _ = torch.ones(2, 3) @ torch.ones(3, 4)
        >>> counts.by_kind
        {'mm': 48}
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_kind: dict[str, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if packet in flop_registry:
            count = flop_registry[packet](*args, **(kwargs or {}), out_val=result)
            name = packet.__name__
            self.by_kind[name] = self.by_kind.get(name, 0) + int(count)
        return result


@dataclass
class Clock:
    """A callback that times the steps of a run, and counts operations of the second.

    Attributes:
        seconds: of each step from the third on.
        operations: those of the second, by kind.
    """

    seconds: list[float] = field(default_factory=list)
    operations: dict[str, int] = field(default_factory=dict)
    _since: float = 0.0
    _counter: Operations | None = None

    def on_start(self, run: Any) -> None:
        """Nothing."""

    def on_step(self, run: Any) -> None:
        """Take the time; count from the first step to the second."""
        passed = time.perf_counter() - self._since
        if run.step == 1:
            self._counter = Operations()
            self._counter.__enter__()
        elif run.step == 2:
            self._leave()
        else:
            self.seconds.append(passed)
        self._since = time.perf_counter()

    def on_end(self, run: Any) -> None:
        """Count no further, whatever ended the run."""
        self._leave()

    def _leave(self) -> None:
        if self._counter is None:
            return
        counter, self._counter = self._counter, None
        counter.__exit__(None, None, None)
        self.operations = counter.by_kind

    @property
    def convolved(self) -> int:
        """Operations of convolutions, forth and back."""
        return sum(n for kind, n in self.operations.items() if "convolution" in kind)

    @property
    def multiplied(self) -> int:
        """Operations of products."""
        return sum(self.operations.values()) - self.convolved


def product_rate(size: int = 1024) -> float:
    """Operations a second of a product of square matrices.

    Args:
        size: rows of each.

    Example:
        >>> product_rate(64) > 0
        True
    """
    one = torch.ones(size, size)
    return 2 * size**3 / _least(lambda: one @ one)


def convolution_rate(width: int = 128, images: int = 64) -> float:
    """Operations a second of a plain pass of three convolutions, forth and back.

    Args:
        width: channels.
        images: of 28 x 28 pixels in a batch.

    Example:
        >>> convolution_rate(2, 1) > 0
        True
    """
    blocks: list[nn.Module] = []
    with seeds.global_state():
        for channels in (1, width, width):
            layer = nn.Conv2d(channels, width, 3, padding=1)
            blocks += [layer, nn.GroupNorm(width, width), nn.ReLU(), nn.AvgPool2d(2)]
    net, x = nn.Sequential(*blocks), torch.ones(images, 1, 28, 28)

    def both() -> None:
        net(x).sum().backward()

    with Operations() as counts:
        both()
    return sum(counts.by_kind.values()) / _least(both)


def _least(work: Callable[[], Any], times: int = 5) -> float:
    """The fewest seconds of several tries, after one to warm up."""
    work()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def lines() -> Iterator[tuple[str, Line]]:
    """Selections, and the lines of every modality that lists some, with its name.

    Example:
        >>> len({f"{kind} {line.name}" for kind, line in lines()}) == len(list(lines()))
        True
    """
    for line in CORE_LINES:
        yield CORE, line
    for entry, parts in modality.with_parts():
        for line in PublishedLines.of(parts.published).speed:
            yield entry.name, line


def main(
    *, only: str | None = None, steps: int = 5, out: pathlib.Path | None = None
) -> list[dict[str, str]]:
    """Measure the lines whose name contains `only`, print them, write them.

    Args:
        only: part of the names; None measures all.
        steps: that are timed of a method with a loop, or how often the whole is.
        out: a JSON file, in which lines take the place of older ones, written after
            each line; the docs make their table of it.

    Returns:
        The lines measured now, by column.

    Raises:
        ValueError: no line has such a name; says which there are.
    """
    measured, _ = measure_lines(NAME, lines(), _measured, {"steps": steps}, only, out)
    cells = [[*COLUMNS], *([row[key] for key in COLUMNS] for row in measured)]
    print(f"\n{aligned(cells, None, ('others', 'peak MB'))}")
    return measured


def page(path: str | os.PathLike[str]) -> str:
    """The measured lines of a file as Markdown, and how to read them.

    Args:
        path: a file that `multidd bench speed --out` wrote.

    Raises:
        ValueError: a line that the command does not have.
    """
    results = recorded_lines(NAME, lines(), path)
    if not results.lines:
        return (
            "Nothing was measured yet: `multidd bench speed --out speed.json` does.\n"
        )
    machines = dict.fromkeys(line.machine for line in results.lines.values())
    return "\n\n".join([markdown(results.table(COLUMNS)), _READING, *machines]) + "\n"


def _measured(kind: str, line: Line, steps: int) -> dict[str, str]:
    """The cells of a line, in a process of its own."""
    cells = {"line": f"{kind} {line.name}", "others": line.published}
    if kind == CORE:
        ((_, picks),) = line.budget.items()
        work = _selection(line.method, picks)
        return cells | _as_a_whole(work, steps)
    parts = modality.parts(kind)
    train, _ = parts.load_for_evaluation(line.data, seed=0)
    works = PublishedLines.of(parts.published).speed_work
    if line.method in works:
        return cells | _as_a_whole(works[line.method](train), steps)
    rates = product_rate(), convolution_rate(int(line.options.get("width", 32)))
    clock = Clock()
    run = RunOptions(callbacks=(clock,))
    options = {"steps": steps + 2, "run": run, "progress": False, **line.options}
    call(parts.methods[line.method], train, **line.budget, **options)
    return cells | _of_steps(clock, *rates)


def _of_steps(clock: Clock, products: float, convolutions: float) -> dict[str, str]:
    """Cells of a run's steps at these rates."""
    seconds = statistics.median(clock.seconds)
    floor = clock.multiplied / products + clock.convolved / convolutions
    total = clock.multiplied + clock.convolved
    return {
        "seconds": f"{seconds:.3g}",
        "of": "a step",
        "GFLOP": f"{total / 1e9:,.1f}",
        "floor s": f"{floor:.2g}",
        "reached": f"{100 * floor / seconds:.0f} %",
        "peak MB": f"{peak_megabytes():.0f}",
    }


def _as_a_whole(work: Callable[[], Any], times: int) -> dict[str, str]:
    """Cells of what has no steps: the fewest seconds of several tries."""
    seconds = _least(work, times)
    cells = {"GFLOP": "", "floor s": "", "reached": ""}
    return {
        "seconds": f"{seconds:.3g}",
        "of": "the whole",
        **cells,
        "peak MB": f"{peak_megabytes():.0f}",
    }


def _selection(method: str, picks: int) -> Callable[[], Any]:
    """A selection from normal features of one class."""
    rng = seeds.at(0, "speed")
    x = torch.randn(FEATURES, generator=rng)
    labels: Tensor = torch.zeros(len(x), dtype=torch.int64)
    records = Records(x, labels, 1)
    return lambda: SELECTIONS[method].pick(records, (picks,), seeds.at(0, "picks"))
