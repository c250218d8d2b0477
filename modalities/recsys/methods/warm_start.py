"""Rows that stay, and rows that start from some users of a large log."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from multidd.parameterizations import Free, GumbelHistories, TopHistories
from multidd.protocols import Draw, Params, Task
from multidd.recsys.tasks.user_task import UserTask

__all__ = ["FreeOfSome", "Kept"]


@dataclass(frozen=True)
class FreeOfSome(Free):
    """Rows started from some of the users of a large log, where to compare all of them
    would take longer than to learn from them.

    Attributes:
        most: users that the start looks at, drawn uniformly; all where there are fewer.
    """

    most: int = 50_000

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """The records of the start."""
        assert isinstance(task, UserTask)
        return super().init(task.among(self.most, rng), rng)


@dataclass(frozen=True, eq=False)
class Kept:
    """An older summary's rows in front of those that are learned.

    Attributes:
        base: the rows that are learned.
        rows: `[m', I]`, those that stay.
    """

    base: GumbelHistories | TopHistories
    rows: Tensor = field(repr=False)

    @property
    def groups(self) -> tuple[str, ...]:
        """Those of the base."""
        return self.base.groups

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """The base's start, and the rows."""
        params = self.base.init(task, rng)
        return params | {"kept": self.rows.to(params["y"].device)}

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """The rows, then a draw of the base."""
        return _joined(params, self.base.draw(_own(params), rng, step))

    def final(self, params: Params, rng: torch.Generator) -> Draw:
        """The rows, then what the base's summary keeps."""
        return _joined(params, self.base.final(_own(params), rng))

    def decode(self, kept: Draw) -> Draw:
        """The same."""
        return kept


def _own(params: Params) -> Params:
    return {name: tensor for name, tensor in params.items() if name != "kept"}


def _joined(params: Params, drawn: Draw) -> Draw:
    rows, x, y = params["kept"], drawn["x"], drawn["y"]
    return {
        "x": torch.cat([rows.to(x.dtype), x]),
        "y": torch.cat([y.new_zeros(len(rows)), y]),
    }
