"""Several objectives in one run, weighted and scheduled."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multidd.parallel.sharing import loss_part
from multidd.protocols import (
    Batch,
    Objective,
    Params,
    Task,
    Tree,
    learned_tensors,
    ways_to_share,
)


@dataclass(frozen=True)
class Part:
    """One objective of a `Mix`.

    Attributes:
        objective: what is matched.
        weight: factor on its loss.
        first: first step at which it counts.
        last: first step at which it does not count any more; None never ends.
        every: steps between two that count.

    Example:
        >>> from multidd.objectives import GradientMatching
        >>> Part(GradientMatching(), first=10, every=2).counts(12)
        True
    """

    objective: Objective
    weight: float = 1.0
    first: int = 0
    last: int | None = None
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every must be 1 or more, got {self.every}")

    def counts(self, step: int) -> bool:
        """Whether it counts at `step`."""
        inside = self.first <= step and (self.last is None or step < self.last)
        return inside and (step - self.first) % self.every == 0


@dataclass(frozen=True)
class Mix(Objective):
    r"""Weighted sum of objectives, each with its own schedule.

    $\sum_j w_j(\mathrm{step})\, L_j$. A part that does not count at a step is not
    computed; its models stand still.

    Attributes:
        parts: the objectives with their weights and schedules.

    Example:
        >>> from multidd.objectives import DistributionMatching, GradientMatching
        >>> first = Part(DistributionMatching(), last=100)
        >>> len(Mix((first, Part(GradientMatching(), 0.1))).parts)
        2
    """

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        parts = self.parts if isinstance(self.parts, tuple) else ()
        if not parts or not all(isinstance(part, Part) for part in parts):
            raise ValueError(f"parts must be a tuple of Part, got {self.parts!r}")

    def learned(self) -> Params:
        """What the parts learn, by the number of the part."""
        tensors: Params = {}
        for place, part in enumerate(self.parts):
            learned = learned_tensors(part.objective)
            tensors |= {f"{place}.{name}": tensor for name, tensor in learned.items()}
        return tensors

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """Each part's state, and the step."""
        states = {
            str(place): part.objective.init(task, rng)
            for place, part in enumerate(self.parts)
        }
        return {**states, "step": torch.tensor(0)}

    def loss(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tensor:
        """Weighted sum of the parts that count; exactly 0 where none does."""
        losses = [
            part.weight
            * loss_part(part.objective, task, self._inner(state, place), synthetic, rng)
            for place, part in self._counting(state)
        ]
        if losses:
            return torch.stack(losses).sum()
        return 0 * task.inputs(synthetic).sum()

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """The next state of the parts that counted."""
        moved = {
            str(place): part.objective.advance(
                task, self._inner(state, place), synthetic, rng
            )
            for place, part in self._counting(state)
        }
        rest = {name: part for name, part in state.items() if name != "learned"}
        return {**rest, **moved, "step": state["step"] + 1}

    def shareable(self, task: Task[Any]) -> tuple[str, ...]:
        """As its parts can, each by itself; what cannot be cut all ranks compute."""
        ways = [ways_to_share(part.objective, task) for part in self.parts]
        return tuple(way for way in ("classes", "rows") if any(way in w for w in ways))

    def _counting(self, state: Tree) -> list[tuple[int, Part]]:
        step = int(state["step"])
        return [(i, part) for i, part in enumerate(self.parts) if part.counts(step)]

    def _inner(self, state: Tree, place: int) -> Tree:
        """The state of one part, with what it learns."""
        prefix, learned = f"{place}.", state.get("learned", {})
        tensors = {
            name.removeprefix(prefix): tensor
            for name, tensor in learned.items()
            if name.startswith(prefix)
        }
        return {**state[str(place)], **({"learned": tensors} if tensors else {})}
