"""Callbacks: a progress bar, and a function called now and then."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from multidd.engine.progress import Bar, Estimate

__all__ = ["Every", "Progress"]


@dataclass
class Progress:
    """A bar on standard error with the loss and the time left.

    A run that will take more than a minute says so once, whether the bar is shown.

    Attributes:
        label: text before the bar.
        shown: None shows it on terminals and in notebooks only.
        timeout: seconds after which the run ends; None has no limit.

    Example:
        >>> Progress("gcond", shown=False).label
        'gcond'
    """

    label: str = ""
    shown: bool | None = None
    timeout: float | None = None
    _bar: Any = field(default=None, repr=False)
    _estimate: Any = field(default=None, repr=False)

    def on_start(self, run: Any) -> None:
        """Open the bar."""
        self._bar = Bar(self.label, run.steps, self.shown, run.step)
        self._estimate = Estimate(self.label, run.steps, self.timeout)

    def on_step(self, run: Any) -> None:
        """Move the bar."""
        self._bar.advance(loss=run.history[-1])
        self._estimate.look(run.step)

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
