"""Models trained by updates: one training, evaluated wherever it may stop."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Self, cast

import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from multidd import seeds
from multidd.evaluation.training import CAP_FACTOR
from multidd.numerics import small_training
from multidd.recsys.models.base import Model, Scorer, checked, popularity

__all__ = ["CAP_FACTOR", "STOPS", "Stepwise", "Training"]

STOPS = 8
"""How often a training is looked at."""


class Training(ABC):
    """State of a training that can be looked at wherever it may stop.

    Subclasses add what is learned, `optimizer` over it, and the two methods.

    Args:
        rows: `[m, I]` histories, as given to `Model.train`.
        weight: `[m]`, or None for ones.
        rng: draws whatever is random, on the device where it trains.

    Attributes:
        rows: `[m, I]`, checked, float32.
        weight: `[m]` float32 of mean one, on the device.
        prior: `[I]`, how popular each item is.
        done: updates so far.

    Raises:
        ValueError: what `checked` refuses.
    """

    optimizer: torch.optim.Optimizer

    def __init__(
        self, rows: csr_array, weight: NDArray | None, rng: torch.Generator
    ) -> None:
        self.rows, weights = checked(rows, weight)
        self.prior = popularity(self.rows, weights)
        self.weight = torch.from_numpy(weights / weights.mean()).to(rng.device)
        self.rng, self.done = rng, 0

    @abstractmethod
    def loss(self) -> Tensor:
        """Of the update that `done` counts last, on what it draws."""

    @abstractmethod
    def scorer(self) -> Scorer:
        """What has been learned so far; later updates do not change it."""

    def advance(self, until: int) -> None:
        """Train up to so many updates in all."""
        with small_training():
            while self.done < until:
                self.done += 1
                loss = self.loss()
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()


class Stepwise(Model):
    """Settings of a model whose field `updates` says how long it is trained.

    Its grid is that number alone, so that `tune` finds from one training where to stop.

    Example:
        >>> from multidd.recsys.models.multvae import MultVAE
        >>> [member.updates for member in MultVAE(updates=40).grid]
        [5, 10, 15, 20, 25, 30, 35, 40]
    """

    updates: int

    @abstractmethod
    def begin(
        self, rows: csr_array, weight: NDArray | None, rng: torch.Generator
    ) -> Training:
        """A training without an update yet; takes what `train` takes."""

    @property
    def grid(self) -> tuple[Self, ...]:
        """Eight times to stop: one training, seen at every eighth of its updates."""
        parts = range(1, STOPS + 1)
        stops = sorted({math.ceil(self.updates * part / STOPS) for part in parts})
        settings = cast(Any, self)  # a dataclass, as every model is
        return tuple(replace(settings, updates=stop) for stop in stops)

    def train(
        self, rows: csr_array, weight: NDArray | None, rng: torch.Generator
    ) -> Scorer:
        """Train all updates; whatever is random comes from the generator."""
        run = self.begin(rows, weight, rng)
        run.advance(self.updates)
        return run.scorer()

    def train_grid(
        self,
        rows: csr_array,
        weight: NDArray | None,
        seed: int,
        device: str | torch.device = "cpu",
    ) -> Iterator[tuple[Self, Scorer]]:
        """One training, seen wherever a member of the grid stops."""
        run = self.begin(rows, weight, seeds.at(seed, "train", device=device))
        for member in self.grid:
            run.advance(member.updates)
            yield member, run.scorer()

    def train_on(
        self,
        rows: csr_array,
        weight: NDArray | None,
        seed: int,
        device: str | torch.device = "cpu",
    ) -> Iterator[tuple[Self, Scorer]]:
        """The same training, seen at every eighth of `updates`, beyond them too.

        It ends at twenty times `updates`: whole data may need that many.
        """
        run = self.begin(rows, weight, seeds.at(seed, "train", device=device))
        settings = cast(Any, self)
        for part in range(1, CAP_FACTOR * STOPS + 1):
            member = replace(settings, updates=math.ceil(self.updates * part / STOPS))
            run.advance(member.updates)
            yield member, run.scorer()
