"""Seconds of each part of a long computation, told as it goes."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Stages:
    """Times of named parts.

    Attributes:
        label: said before each line.
        shown: print a line when a part is done; None prints on a terminal only.
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
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count a part; parts of one name add up."""
        began = time.perf_counter()
        yield
        spent = time.perf_counter() - began
        self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 3)
        if sys.stderr.isatty() if self.shown is None else self.shown:
            print(f"{self.label}: {name} {spent:.1f} s", file=sys.stderr, flush=True)
