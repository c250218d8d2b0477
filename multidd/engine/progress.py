"""Progress as people and programs see it: one bar, one logger.

Every event of a run, a step of it, an evaluation, a part of a method without a loop, is
a record of the logger `"multidd"`, whose attribute `progress` is a dict; nothing is
said unless somebody listens. Bars are tqdm's, in terminals and in notebooks.
"""

import logging
import sys
import time
from typing import Any, Self

from tqdm.auto import tqdm

__all__ = ["LOGGER", "Bar", "announce", "is_shown"]

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
