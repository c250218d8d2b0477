"""Progress as people and programs see it: one bar, one logger.

Every event of a run, a step of it, an evaluation, a part of a method without a loop, is
a record of the logger `"multidd"`, whose attribute `progress` is a dict; nothing is
said unless somebody listens. Bars are tqdm's, in terminals and in notebooks. A run that
will take more than a minute says so after its first steps.
"""

import logging
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Self

from tqdm.auto import tqdm

__all__ = [
    "LOGGER",
    "Bar",
    "Estimate",
    "announce",
    "duration",
    "is_shown",
    "print_above_bars",
]

LOGGER = logging.getLogger("multidd")
"""The one logger of the library. Starts and ends are of level INFO, steps of DEBUG."""

LOGGER.addHandler(logging.NullHandler())


def is_shown(shown: bool | None) -> bool:
    """Whether progress is to be seen; None shows it on terminals and in notebooks.

    Example:
        >>> is_shown(True), is_shown(False)
        (True, False)
    """
    if shown is not None:
        return shown
    return sys.stderr.isatty() or _in_notebook()


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return "IPKernelApp" in getattr(shell, "config", {})


def announce(text: str, shown: bool | None = None, **facts: Any) -> None:
    """Say that a part is done: a line on standard error, and a record.

    Args:
        text: the line.
        shown: None prints it on terminals and in notebooks only.
        **facts: of the record.

    Example:
        >>> announce("condense: teacher 1.2 s", shown=False, event="part", seconds=1.2)
    """
    if is_shown(shown):
        print(text, file=sys.stderr, flush=True)
    LOGGER.info(text, extra={"progress": facts})


def print_above_bars(text: str) -> None:
    """A line on standard error, above the bars that stand there.

    Args:
        text: the line.
    """
    tqdm.write(text, file=sys.stderr)


class Bar:
    """A bar on standard error, and a record of each of its steps.

    Args:
        task: what goes on: the name of a method, `"evaluate"`.
        steps: in all.
        shown: None shows the bar on terminals and in notebooks only.
        step: steps done before, of a run that is resumed.

    Example:
        >>> with Bar("dm", 2, shown=False) as bar:
        ...     bar.advance(loss=0.5)
        >>> bar.step
        1
    """

    def __init__(
        self, task: str, steps: int, shown: bool | None = None, step: int = 0
    ) -> None:
        self.task, self.steps, self.step = task, steps, step
        self._first, self._began = step, time.perf_counter()
        self._bar = tqdm(
            total=steps,
            initial=step,
            desc=task,
            disable=not is_shown(shown),
            leave=False,
            dynamic_ncols=True,
        )
        self._log(logging.INFO, "start")

    def advance(self, loss: float | None = None, **facts: Any) -> None:
        """One step is done.

        Args:
            loss: of the step, where there is one.
            **facts: further ones, for the record.
        """
        self.step += 1
        if loss is not None:
            self._bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
        self._bar.update()
        if LOGGER.isEnabledFor(logging.DEBUG):
            left = self.steps - self.step
            each = self._seconds / (self.step - self._first)
            facts = {"loss": loss, "eta": round(left * each, 3), **facts}
            self._log(logging.DEBUG, "step", **facts)

    def close(self) -> None:
        """Take the bar away; the record says how far it came."""
        self._bar.close()
        self._log(logging.INFO, "end")

    @property
    def _seconds(self) -> float:
        return time.perf_counter() - self._began

    def _log(self, level: int, event: str, **facts: Any) -> None:
        place = {"task": self.task, "step": self.step, "steps": self.steps}
        facts = {"event": event, **place, "seconds": round(self._seconds, 3), **facts}
        text = f"{self.task}: {event} at step {self.step} of {self.steps}"
        LOGGER.log(level, text, extra={"progress": facts})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


TOLD_SECONDS = 60.0
"""A run that takes more than this says so."""

LOOK_SECONDS = 2.0
"""Of steps behind the first, which also loads and compiles, for an estimate."""


def duration(seconds: float) -> str:
    """Seconds in words, to two digits or so.

    Example:
        >>> duration(75), duration(5400), duration(400_000)
        ('75 s', '90 min', '4.6 days')
    """
    for unit, size in (("s", 1.0), ("min", 60.0), ("h", 3600.0)):
        if seconds < 100 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.1f} days"


@dataclass
class Estimate:
    """Says how long a run will take, once, where that is more than a minute.

    It is one record of level INFO, of the event `"estimate"`: silent in code, a line on
    the command line.

    Attributes:
        task: the name of the method.
        steps: of the run in all.
        timeout: seconds after which it ends anyway; None has no limit.
        seconds: what it will take from the first step on; None until it is known.

    Example:
        >>> estimate = Estimate("dm", steps=10)
        >>> estimate.look(step=1)
        >>> estimate.seconds is None
        True
    """

    task: str
    steps: int
    timeout: float | None = None
    seconds: float | None = None
    _began: float = field(default_factory=lambda: time.perf_counter(), repr=False)
    _first: tuple[int, float] | None = field(default=None, repr=False)

    def look(self, step: int) -> None:
        """Look at the clock after a step, until there is an estimate.

        Args:
            step: steps done.
        """
        now = time.perf_counter()
        if self._first is None:
            self._first = step, now
            return
        first, then = self._first
        if self.seconds is not None or now - then < LOOK_SECONDS:
            return
        each = (now - then) / (step - first)
        self.seconds = now - self._began + each * (self.steps - step)
        if self.seconds <= TOLD_SECONDS:
            return
        text = (
            f"{self.task}: about {duration(self.seconds)} for {self.steps:,} steps of "
            f"{each:.2g} s"
        )
        if self.timeout is not None and self.timeout < self.seconds:
            part = max(1, round(self.steps * self.timeout / self.seconds))
            text += (
                f"; its timeout of {duration(self.timeout)} ends it after about "
                f"{part:,}"
            )
        facts = {"event": "estimate", "task": self.task, "step": step}
        facts |= {"steps": self.steps, "eta": round(self.seconds, 3)}
        LOGGER.info(text, extra={"progress": facts})
