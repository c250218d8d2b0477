"""Where an objective's model weights come from: fresh, or trained as the run goes.

Each is frozen settings with `init` and `advance`; the state holds the weights of
`models` models side by side, their moments and their age, all of it saved. `Pool` and
`Frozen` are in `multidd.learning.pool`.
"""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from multidd.learning.gradients import mean_gradients
from multidd.learning.optim import Adam, Optimizer
from multidd.protocols import Batch, Params, Task, Tree

__all__ = ["Bank", "Fresh", "Frozen", "Online", "Pool", "States", "learn"]


class States(Protocol):
    """Any frozen settings with these two; the state's `weights` are `[k, ...]`."""

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """State at the start."""

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """The next state; `synthetic` is a detached redraw."""


def check_rows(rows: int | None) -> None:
    """Refuse a training step on no rows.

    Raises:
        ValueError: `rows` below one.
    """
    if rows is not None and rows < 1:
        raise ValueError(f"rows must be 1 or more, or None for all; got {rows}")


def learn(
    task: Task[Any],
    weights: Params,
    moments: Tree,
    optimizer: Optimizer,
    batch: Batch | None,
    rng: torch.Generator,
    rows: int | None = None,
) -> tuple[Params, Tree]:
    """One training step of models side by side, under one view.

    Args:
        task: the task.
        weights: each `[k, ...]`.
        moments: the optimizer's, by name.
        optimizer: how they move.
        batch: what they train on; None draws a real batch.
        rng: of the batch and the view.
        rows: train on that many rows of the batch, drawn anew; None takes all.

    Returns:
        The weights and moments after the step; the inputs stay as they are.
    """
    batch = task.batch(rng) if batch is None else batch
    if rows is not None:
        total = len(task.targets(batch))
        chosen = torch.randperm(total, generator=rng, device=rng.device)[:rows]
        batch = task.take(batch, chosen) if rows < total else batch
    gradients = mean_gradients(task, weights, task.view(rng)(batch))
    moved = {
        name: optimizer.step(weight, gradients[name], moments[name])
        for name, weight in weights.items()
    }
    return {n: w for n, (w, _) in moved.items()}, {n: s for n, (_, s) in moved.items()}


@dataclass(frozen=True)
class Fresh:
    """New random weights at every step: the one-step form.

    Attributes:
        models: how many models side by side.

    Example:
        >>> Fresh(models=4)
        Fresh(models=4)
    """

    models: int = 1

    def __post_init__(self) -> None:
        if self.models < 1:
            raise ValueError(f"models must be 1 or more, got {self.models}")

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """State at the start."""
        return {"weights": task.weights(rng, self.models)}

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """Fresh weights."""
        return self.init(task, rng)


@dataclass(frozen=True)
class Bank:
    """A few sets of random weights, used in turn: the real side is computed once.

    Attributes:
        models: how many models side by side in a set.
        sets: how many sets; a run of many more steps meets each of them again.

    Example:
        >>> Bank(models=16, sets=8).sets
        8
    """

    models: int = 16
    sets: int = 8

    def __post_init__(self) -> None:
        if self.models < 1 or self.sets < 1:
            raise ValueError(
                f"models and sets must be 1 or more, got {self.models} and {self.sets}"
            )

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """All sets; `weights` are those whose turn it is."""
        drawn = [task.weights(rng, self.models) for _ in range(self.sets)]
        bank = {name: torch.stack([one[name] for one in drawn]) for name in drawn[0]}
        return self._turn({"bank": bank}, 0)

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """The next set."""
        return self._turn(state, int(state["turn"]) + 1)

    def _turn(self, state: Tree, turn: int) -> Tree:
        place = turn % self.sets
        weights = {name: tensor[place] for name, tensor in state["bank"].items()}
        return {**state, "weights": weights, "turn": torch.tensor(place)}


@dataclass(frozen=True)
class Online:
    """Weights trained between matches, on the synthetic or on the real set.

    Attributes:
        on: what they train on; `"synthetic"` is the detached redraw.
        models: how many models side by side.
        steps: training steps after each match.
        restart: matches after which the weights are fresh again.
        optimizer: how they train.
        rows: rows of a batch that a training step takes; None takes all.

    Example:
        >>> Online(on="real", steps=5).restart
        20
    """

    on: Literal["synthetic", "real"] = "synthetic"
    models: int = 1
    steps: int = 15
    restart: int = 20
    optimizer: Optimizer = Adam(lr=0.01)
    rows: int | None = None

    def __post_init__(self) -> None:
        if self.on not in ("synthetic", "real"):
            raise ValueError(f"on must be 'synthetic' or 'real', got {self.on!r}")
        if self.models < 1 or self.restart < 1 or self.steps < 0:
            raise ValueError(
                "models and restart must be 1 or more and steps 0 or more; got "
                f"{self.models}, {self.restart} and {self.steps}"
            )
        check_rows(self.rows)

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """State at the start."""
        weights = task.weights(rng, self.models)
        moments = {name: self.optimizer.init(w) for name, w in weights.items()}
        return {"weights": weights, "moments": moments, "age": torch.tensor(0)}

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """A few training steps, or fresh weights when the age is up."""
        age = state["age"] + 1
        if int(age) >= self.restart:
            return self.init(task, rng)
        given = synthetic if self.on == "synthetic" else None
        weights, moments = state["weights"], state["moments"]
        for _ in range(self.steps):
            weights, moments = learn(
                task, weights, moments, self.optimizer, given, rng, self.rows
            )
        return {"weights": weights, "moments": moments, "age": age}


@dataclass(frozen=True)
class Pool:
    """A pool of models of different ages; each match takes some and trains them on.

    The models that were matched on train for `steps` steps, and start again when their
    age is up; then others are drawn. Ages at the start are spread evenly, so that the
    models do not all start again at once.

    Attributes:
        size: models in the pool.
        models: how many are used at a time, drawn without replacement.
        on: what they train on; `"synthetic"` is the detached redraw.
        steps: training steps after each match.
        max_age: matches after which a model starts again.
        warm: training steps of each model at the start of the run.
        optimizer: how they train.
        rows: rows of a batch that a training step takes; None takes all.

    Reference:
        Zhou, Nezhadarya, Ba, "Dataset Distillation using Neural Feature Regression",
        NeurIPS 2022; Zhao, Li, Qin, Yu, "Improved Distribution Matching for Dataset
        Condensation", CVPR 2023.

    Example:
        >>> Pool(size=4, on="real").max_age
        100
    """

    size: int = 10
    models: int = 1
    on: Literal["synthetic", "real"] = "synthetic"
    steps: int = 1
    max_age: int = 100
    warm: int = 0
    optimizer: Optimizer = Adam(lr=3e-4)
    rows: int | None = None

    def __post_init__(self) -> None:
        if self.on not in ("synthetic", "real"):
            raise ValueError(f"on must be 'synthetic' or 'real', got {self.on!r}")
        check_rows(self.rows)
        if self.max_age < 1:
            raise ValueError(f"max_age must be 1 or more, got {self.max_age}")
        if not 1 <= self.models <= self.size:
            raise ValueError(
                f"models must be 1 to size ({self.size}), got {self.models}"
            )

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """All models, and those whose turn it is."""
        pool = task.weights(rng, self.size)
        moments: Tree = {n: _stacked(self.optimizer, w) for n, w in pool.items()}
        if self.warm:
            pool, moments = self._train(task, pool, moments, None, self.warm, rng)
        ages = torch.arange(self.size) * self.max_age // self.size
        return self._turn({"pool": pool, "moments": moments, "ages": ages}, rng)

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """The models that were used, trained on or new; then others."""
        used, given = state["used"], synthetic if self.on == "synthetic" else None
        moments: Tree = {n: _at(m, used) for n, m in state["moments"].items()}
        weights, moments = self._train(
            task, state["weights"], moments, given, self.steps, rng
        )
        ages = state["ages"].clone()
        ages[used] += 1
        old = ages[used] >= self.max_age
        if bool(old.any()):
            fresh = task.weights(rng, self.models)
            weights = {n: _where(old, fresh[n], w) for n, w in weights.items()}
            again = {n: _stacked(self.optimizer, w) for n, w in fresh.items()}
            moments = {
                n: {k: _where(old, again[n][k], t) for k, t in m.items()}
                for n, m in moments.items()
            }
            ages[used[old]] = 0
        pool = {n: _put(w, used, weights[n]) for n, w in state["pool"].items()}
        kept = {
            n: {k: _put(t, used, moments[n][k]) for k, t in m.items()}
            for n, m in state["moments"].items()
        }
        return self._turn({"pool": pool, "moments": kept, "ages": ages}, rng)

    def _train(
        self,
        task: Task[Any],
        weights: Params,
        moments: Tree,
        batch: Batch | None,
        steps: int,
        rng: torch.Generator,
    ) -> tuple[Params, Tree]:
        for _ in range(steps):
            weights, moments = learn(
                task, weights, moments, self.optimizer, batch, rng, self.rows
            )
        return weights, moments

    def _turn(self, state: Tree, rng: torch.Generator) -> Tree:
        order = torch.randperm(self.size, generator=rng, device=rng.device)
        used = order[: self.models].cpu()
        weights = {name: w[used] for name, w in state["pool"].items()}
        return {**state, "used": used, "weights": weights}


@dataclass(frozen=True)
class Frozen:
    """Models trained on the real set before the first step, then left as they are.

    Attributes:
        models: how many models side by side.
        steps: training steps of each; 0 leaves random weights.
        optimizer: how they train.
        rows: rows of a batch that a training step takes; None takes all.

    Example:
        >>> Frozen(steps=100)
        Frozen(models=1, steps=100, optimizer=Adam(lr=0.001, betas=(0.9, 0.999), ...
    """

    models: int = 1
    steps: int = 200
    optimizer: Optimizer = Adam(lr=1e-3)
    rows: int | None = None

    def __post_init__(self) -> None:
        check_rows(self.rows)

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """The trained weights."""
        weights = task.weights(rng, self.models)
        moments: Tree = {n: self.optimizer.init(w) for n, w in weights.items()}
        for _ in range(self.steps):
            weights, moments = learn(
                task, weights, moments, self.optimizer, None, rng, self.rows
            )
        return {"weights": weights}

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """The same."""
        return state


def _stacked(optimizer: Optimizer, tensor: Tensor) -> dict[str, Tensor]:
    """Moments of models side by side; a count has one entry for each model."""
    moments = optimizer.init(tensor)
    shape = (len(tensor),) + (1,) * (tensor.dim() - 1)
    return {k: t if t.dim() else t.expand(shape).clone() for k, t in moments.items()}


def _at(moments: dict[str, Tensor], used: Tensor) -> dict[str, Tensor]:
    return {name: tensor[used] for name, tensor in moments.items()}


def _put(tensor: Tensor, used: Tensor, rows: Tensor) -> Tensor:
    changed = tensor.clone()
    changed[used] = rows
    return changed


def _where(choose: Tensor, new: Tensor, old: Tensor) -> Tensor:
    shape = (-1,) + (1,) * (old.dim() - 1)
    return torch.where(choose.view(shape).to(old.device), new, old)
