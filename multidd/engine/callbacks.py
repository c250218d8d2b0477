"""Callbacks: a progress bar, and a function called now and then."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

__all__ = ["Every", "Progress"]


@dataclass
class Progress:
    """A bar on standard error with the loss and the time left.

    Attributes:
        label: text before the bar.
        shown: None shows it only on a terminal.

    Example:
        >>> Progress("gcond", shown=False).label
        'gcond'
    """

    label: str = ""
    shown: bool | None = None
    _bar: Any = field(default=None, repr=False)

    def on_start(self, run: Any) -> None:
        """Open the bar."""
        hidden = not sys.stderr.isatty() if self.shown is None else not self.shown
        self._bar = tqdm(
            total=run.steps,
            initial=run.step,
            desc=self.label,
            disable=hidden,
            leave=False,
            dynamic_ncols=True,
        )

    def on_step(self, run: Any) -> None:
        """Move the bar."""
        self._bar.set_postfix(loss=f"{run.history[-1]:.4g}", refresh=False)
        self._bar.update()

    def on_end(self, run: Any) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()


@dataclass(frozen=True)
class Every:
    """Call `function(run)` every `steps` steps; a True from it stops the run.

    Example:
        >>> Every(10, print).steps
        10
    """

    steps: int
    function: Callable[[Any], bool | None]

    def on_start(self, run: Any) -> None:
        """Nothing."""

    def on_step(self, run: Any) -> bool | None:
        """Call the function when its turn has come."""
        return self.function(run) if run.step % self.steps == 0 else None

    def on_end(self, run: Any) -> None:
        """Nothing."""
