"""Sources of model weights: fresh, trained as the run goes, pooled or frozen.

Each is frozen settings with `init` and `advance`; the state holds the weights of
`num_models` models side by side, their moments and their age, all of it saved.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from multidd.errors import CheckpointMismatchError
from multidd.learning.gradients import mean_gradients
from multidd.learning.optim import Adam, Optimizer
from multidd.parallel.sharing import training_shares
from multidd.protocols import Batch, Params, Task, Tree
from multidd.seeds import host

__all__ = ["Bank", "Fresh", "Frozen", "Online", "Pool", "States", "training_step"]


class States(Protocol):
    """Frozen settings that give the weights of models, `[k, ...]`, at each step."""

    @abstractmethod
    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """State at the start."""

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """The next state, the same by default; `synthetic` is a detached redraw."""
        return state


def check_batch_size(size: int | None) -> None:
    """Refuse a training step on no records.

    Raises:
        ValueError: a size below one.
    """
    if size is not None and size < 1:
        raise ValueError(f"batch_size must be 1 or more, or None for all; got {size}")


def training_step(
    task: Task[Any],
    weights: Params,
    moments: Tree,
    optimizer: Optimizer,
    batch: Batch | None,
    rng: torch.Generator,
    batch_size: int | None = None,
) -> tuple[Params, Tree]:
    """One training step of models side by side, under one view.

    Args:
        task: the task.
        weights: each `[k, ...]`.
        moments: the optimizer's, by name.
        optimizer: how they move.
        batch: what they train on; None draws a real batch.
        rng: of the batch and the view.
        batch_size: train on that many records of the batch, drawn anew; None takes all.

    Returns:
        The weights and moments after the step; the inputs stay as they are.
    """
    shared = training_shares(task) if batch is None else None
    batch = task.batch(rng) if batch is None else batch
    if batch_size is not None:
        total = len(task.targets(batch))
        rows = torch.randperm(total, generator=rng, device=rng.device)[:batch_size]
        batch = task.take(batch, rows) if batch_size < total else batch
    view = task.view(rng)
    if shared is None:
        gradients = mean_gradients(task, weights, view(batch))
    else:
        part = shared.cut(task, batch, "rows")
        gradients = mean_gradients(task, weights, view(part.batch))
        scaled = [part.weight.to(g.dtype) * g for g in gradients.values()]
        gradients = dict(zip(gradients, shared.sum(scaled), strict=True))
    moved = {
        name: optimizer.step(weight, gradients[name], moments[name])
        for name, weight in weights.items()
    }
    return {n: w for n, (w, _) in moved.items()}, {n: s for n, (_, s) in moved.items()}


@dataclass(frozen=True)
class Fresh(States):
    """New random weights at every step: the one-step form.

    Attributes:
        num_models: how many models side by side.

    Example:
        >>> Fresh(num_models=4)
        Fresh(num_models=4)
    """

    num_models: int = 1

    def __post_init__(self) -> None:
        if self.num_models < 1:
            raise ValueError(f"num_models must be 1 or more, got {self.num_models}")

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """State at the start."""
        return {"weights": task.weights(rng, self.num_models)}

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """Fresh weights."""
        return self.init(task, rng)


@dataclass(frozen=True)
class Bank(States):
    """A few sets of random weights, used in turn: the real side is computed once.

    Attributes:
        num_models: how many models side by side in a set.
        num_sets: how many sets; a run of many more steps meets each of them again.

    Example:
        >>> Bank(num_models=16, num_sets=8).num_sets
        8
    """

    num_models: int = 16
    num_sets: int = 8

    def __post_init__(self) -> None:
        if self.num_models < 1 or self.num_sets < 1:
            raise ValueError(
                "num_models and num_sets must be 1 or more, got "
                f"{self.num_models} and {self.num_sets}"
            )

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """All sets; `weights` are those whose turn it is."""
        drawn = [task.weights(rng, self.num_models) for _ in range(self.num_sets)]
        bank = {name: torch.stack([one[name] for one in drawn]) for name in drawn[0]}
        return self._turn({"bank": bank}, 0)

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """The next set."""
        return self._turn(state, int(state["turn"]) + 1)

    def _turn(self, state: Tree, turn: int) -> Tree:
        place = turn % self.num_sets
        weights = {name: tensor[place] for name, tensor in state["bank"].items()}
        return {**state, "weights": weights, "turn": torch.tensor(place)}


@dataclass(frozen=True)
class Online(States):
    """Weights trained between matches, on the synthetic or on the real set.

    Attributes:
        on: what they train on; `"synthetic"` is the detached redraw.
        num_models: how many models side by side.
        steps: training steps after each match.
        matches_per_net: matches after which the weights are fresh again.
        optimizer: how they train.
        batch_size: records of a batch that a training step takes; None takes all.

    Example:
        >>> Online(on="real", steps=5).matches_per_net
        20
    """

    on: Literal["synthetic", "real"] = "synthetic"
    num_models: int = 1
    steps: int = 15
    matches_per_net: int = 20
    optimizer: Optimizer = Adam(lr=0.01)
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.on not in ("synthetic", "real"):
            raise ValueError(f"on must be 'synthetic' or 'real', got {self.on!r}")
        if self.num_models < 1 or self.matches_per_net < 1 or self.steps < 0:
            raise ValueError(
                "num_models and matches_per_net must be 1 or more and steps 0 or "
                f"more; got {self.num_models}, {self.matches_per_net} and {self.steps}"
            )
        check_batch_size(self.batch_size)

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """State at the start."""
        weights = task.weights(rng, self.num_models)
        moments = {name: self.optimizer.init(w) for name, w in weights.items()}
        return {"weights": weights, "moments": moments, "age": torch.tensor(0)}

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """A few training steps, or fresh weights when the age is up."""
        age = state["age"] + 1
        if int(age) >= self.matches_per_net:
            return self.init(task, rng)
        batch = synthetic if self.on == "synthetic" else None
        weights, moments = state["weights"], state["moments"]
        for _ in range(self.steps):
            weights, moments = training_step(
                task, weights, moments, self.optimizer, batch, rng, self.batch_size
            )
        return {"weights": weights, "moments": moments, "age": age}


@dataclass(frozen=True)
class Pool(States):
    """A pool of models of different ages; each match takes some and trains them on.

    The models that were matched on train for `steps` steps, and start again when their
    age is up; then others are drawn. Ages at the start are spread evenly, so that the
    models do not all start again at once.

    Attributes:
        pool_size: models in the pool.
        num_models: how many are used at a time, drawn without replacement.
        on: what they train on; `"synthetic"` is the detached redraw.
        steps: training steps after each match.
        max_age: matches after which a model starts again.
        warmup_steps: training steps of each model at the start of the run.
        optimizer: how they train.
        batch_size: records of a batch that a training step takes; None takes all.

    Reference:
        Zhou, Nezhadarya, Ba, "Dataset Distillation using Neural Feature Regression",
        NeurIPS 2022; Zhao, Li, Qin, Yu, "Improved Distribution Matching for Dataset
        Condensation", CVPR 2023.

    Example:
        >>> Pool(pool_size=4, on="real").max_age
        100
    """

    pool_size: int = 10
    num_models: int = 1
    on: Literal["synthetic", "real"] = "synthetic"
    steps: int = 1
    max_age: int = 100
    warmup_steps: int = 0
    optimizer: Optimizer = Adam(lr=3e-4)
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.on not in ("synthetic", "real"):
            raise ValueError(f"on must be 'synthetic' or 'real', got {self.on!r}")
        check_batch_size(self.batch_size)
        if self.max_age < 1:
            raise ValueError(f"max_age must be 1 or more, got {self.max_age}")
        if not 1 <= self.num_models <= self.pool_size:
            raise ValueError(
                f"num_models must be 1 to pool_size ({self.pool_size}), got "
                f"{self.num_models}"
            )

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """All models, and those whose turn it is."""
        pool = task.weights(rng, self.pool_size)
        moments: Tree = {n: _stacked(self.optimizer, w) for n, w in pool.items()}
        if self.warmup_steps:
            pool, moments = self._train(
                task, pool, moments, None, self.warmup_steps, rng
            )
        ages = torch.arange(self.pool_size) * self.max_age // self.pool_size
        return self._turn({"pool": pool, "moments": moments, "ages": ages}, rng)

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """The models that were used, trained on or new; then others."""
        used, batch = state["used"], synthetic if self.on == "synthetic" else None
        check_places("used", used, self.pool_size)
        places = used.to(rng.device)
        moments: Tree = {n: _at(m, places) for n, m in state["moments"].items()}
        weights, moments = self._train(
            task, state["weights"], moments, batch, self.steps, rng
        )
        ages = state["ages"].clone()
        ages[used] += 1
        old = ages[used] >= self.max_age
        if bool(old.any()):
            fresh = task.weights(rng, self.num_models)
            new = old.to(rng.device)
            weights = {n: _where(new, fresh[n], w) for n, w in weights.items()}
            restarted = {n: _stacked(self.optimizer, w) for n, w in fresh.items()}
            moments = {
                n: {k: _where(new, restarted[n][k], t) for k, t in m.items()}
                for n, m in moments.items()
            }
            ages[used[old]] = 0
        pool = {n: _put(w, places, weights[n]) for n, w in state["pool"].items()}
        stored = {
            n: {k: _put(t, places, moments[n][k]) for k, t in m.items()}
            for n, m in state["moments"].items()
        }
        return self._turn({"pool": pool, "moments": stored, "ages": ages}, rng)

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
            weights, moments = training_step(
                task, weights, moments, self.optimizer, batch, rng, self.batch_size
            )
        return weights, moments

    def _turn(self, state: Tree, rng: torch.Generator) -> Tree:
        used = torch.randperm(self.pool_size, generator=host(rng))[: self.num_models]
        places = used.to(rng.device)
        weights = {name: w[places] for name, w in state["pool"].items()}
        return {**state, "used": used, "weights": weights}


@dataclass(frozen=True)
class Frozen(States):
    """Models trained on the real set before the first step, then left as they are.

    Attributes:
        num_models: how many models side by side.
        steps: training steps of each; 0 leaves random weights.
        optimizer: how they train.
        batch_size: records of a batch that a training step takes; None takes all.

    Example:
        >>> Frozen(steps=100)
        Frozen(num_models=1, steps=100, optimizer=Adam(lr=0.001, betas=(0.9, 0.999), ...
    """

    num_models: int = 1
    steps: int = 200
    optimizer: Optimizer = Adam(lr=1e-3)
    batch_size: int | None = None

    def __post_init__(self) -> None:
        check_batch_size(self.batch_size)

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """The trained weights."""
        weights = task.weights(rng, self.num_models)
        moments: Tree = {n: self.optimizer.init(w) for n, w in weights.items()}
        for _ in range(self.steps):
            weights, moments = training_step(
                task, weights, moments, self.optimizer, None, rng, self.batch_size
            )
        return {"weights": weights}


def _stacked(optimizer: Optimizer, tensor: Tensor) -> dict[str, Tensor]:
    """Moments of models side by side; a count has one entry for each model."""
    moments = optimizer.init(tensor)
    shape = (len(tensor),) + (1,) * (tensor.dim() - 1)
    return {
        name: part if part.dim() else part.expand(shape).clone().to(tensor.device)
        for name, part in moments.items()
    }


def check_places(name: str, places: Tensor, size: int) -> None:
    """Refuse places in a list that a state, which a checkpoint held, does not have.

    Raises:
        CheckpointMismatchError: names the entry of the state.

    Example:
        >>> check_places("turn", torch.tensor(1), 2)
    """
    least, most = int(places.min()), int(places.max())
    if least < 0 or most >= size:
        raise CheckpointMismatchError(
            f"tensor 'state::{name}' holds {least}..{most}; it must be 0..{size - 1}"
        )


def _at(moments: dict[str, Tensor], used: Tensor) -> dict[str, Tensor]:
    return {name: tensor[used] for name, tensor in moments.items()}


def _put(tensor: Tensor, used: Tensor, rows: Tensor) -> Tensor:
    changed = tensor.clone()
    changed[used] = rows
    return changed


def _where(choose: Tensor, new: Tensor, old: Tensor) -> Tensor:
    shape = (-1,) + (1,) * (old.dim() - 1)
    return torch.where(choose.view(shape), new, old)
