"""Stages of a method without a loop: timed, shown, and ended by the time limit."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from multidd.engine.progress import announce
from multidd.errors import OutOfTimeError

__all__ = ["Stages"]


@dataclass
class Stages:
    """Times of named parts, and a time limit that is looked at between them.

    Attributes:
        label: said before each line: the method.
        shown: print a line when a part is done; None prints it on terminals and in
            notebooks only.
        timeout: seconds after which no further part begins; None has no limit.
        spent: seconds that were taken before.
        seconds: of each part so far.

    Example:
        >>> stages = Stages("condense", shown=False)
        >>> with stages("reading"):
        ...     pass
        >>> list(stages.seconds)
        ['reading']
    """

    label: str
    shown: bool | None = None
    timeout: float | None = None
    spent: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    _began: float = field(default_factory=time.perf_counter, repr=False)

    @property
    def late(self) -> bool:
        """Whether the time is over."""
        if self.timeout is None:
            return False
        return self.spent + time.perf_counter() - self._began >= self.timeout

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count a part; parts of one name add up.

        Raises:
            OutOfTimeError: the time was over before the part began.
        """
        if self.late:
            raise OutOfTimeError(
                f"{self.label} had {self.timeout} s, which were over before its part "
                f"{name!r}; give a longer timeout, or fewer data"
            )
        began = time.perf_counter()
        yield
        seconds = time.perf_counter() - began
        self.seconds[name] = round(self.seconds.get(name, 0.0) + seconds, 3)
        line = f"{self.label}: {name} {seconds:.1f} s"
        facts = {"task": self.label, "part": name, "seconds": round(seconds, 3)}
        announce(line, self.shown, event="part", **facts)
