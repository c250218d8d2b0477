"""Which groups of parameters move at which step."""

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Alternate", "Always", "Schedule"]


class Schedule(Protocol):
    """Any frozen settings with `moves`."""

    def moves(self, group: str, step: int) -> bool:
        """Whether `group` moves at `step`; an idle group keeps its moments."""


@dataclass(frozen=True)
class Always:
    """Every group moves at every step.

    Example:
        >>> Always().moves("x", 7)
        True
    """

    def moves(self, group: str, step: int) -> bool:
        """True."""
        return True


@dataclass(frozen=True)
class Alternate:
    """Groups take turns: `(("adjacency", 10), ("x", 40))` is GCOND's schedule.

    Attributes:
        turns: pairs of a group and its number of steps; the round repeats. Groups that
            are not named move at every step.

    Example:
        >>> turns = Alternate((("adjacency", 1), ("x", 2)))
        >>> [turns.moves("x", step) for step in range(4)]
        [False, True, True, False]
    """

    turns: tuple[tuple[str, int], ...]

    def moves(self, group: str, step: int) -> bool:
        """Whether it is the turn of `group`."""
        if group not in dict(self.turns):
            return True
        order = [name for name, length in self.turns for _ in range(length)]
        return order[step % len(order)] == group
