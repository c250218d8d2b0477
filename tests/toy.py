"""A small task on vectors or on tiny images; `tests.tables` says what is tried on it.

Records are some flowers of Iris (Fisher, 1936; it ships with scikit-learn), in float64,
with unequal classes. Where a draw has an adjacency, `x` becomes the mean over
neighbours, so that gradients flow into the adjacency too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from sklearn.datasets import load_iris
from torch import Tensor

import multidd
from multidd import seeds
from multidd.classes import ClassIndex, by_class
from multidd.engine.recipe import call
from multidd.kernels import ridge_path
from multidd.learning.optim import Adam
from multidd.parameterizations import Free
from multidd.protocols import Draw, Params, Picks, Records, View
from multidd.selection.basic import Random
from multidd.settings import tensor_digest
from multidd.summary import Card, DataSummary

COUNTS = (2, 3, 1)
SIZES = (13, 9, 6)
GRID_SIZES = (13, 12, 6)
HIDDEN = 5


@cache
def iris(
    sizes: tuple[int, ...] = SIZES,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features and labels, for training and for validation."""
    x, y = (torch.from_numpy(part) for part in load_iris(return_X_y=True))
    x = (x.double() - x.mean(0)) / x.std(0)
    groups = [(y == label).nonzero().flatten() for label in range(3)]
    rows = torch.cat([g[:n] for g, n in zip(groups, sizes, strict=True)])
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
    held = torch.cat([group[30:] for group in groups])
    return x[rows], y[rows].long(), x[held], y[held].long()


@dataclass(frozen=True, eq=False, repr=False)
class ToySummary(DataSummary):
    """A draw, kept bit for bit."""

    kind: ClassVar[str] = "toy"


@dataclass(frozen=True, eq=False)
class ToyBatch:
    """`[b, ...]` features, `[b]` labels, the rows of each class, soft labels."""

    x: Tensor
    y: Tensor
    classes: ClassIndex
    soft: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Toy:
    """Vectors under a linear softmax head, or under a network of one hidden layer.

    Attributes:
        model: `"linear"` or `"mlp"`.
        closed: say that a linear head is linear, so that closed forms are used.
        batch_size: real rows drawn for each class at a step; None takes all.
        x, y: the real records; Iris unless given.
        mass: weight of each real record within its class.
        edges: whether the start of a synthetic set has an adjacency.
        vectorize_models: whether the core may stack models and classes.
        shift: size of the random shift that is this task's augmentation.
        held: the real batch of every step; drawn anew where None.
        grid: records are images `[n, 1, 4, 4]`, products of two features; there are a
            few more of them.
    """

    decodes: ClassVar[bool] = True

    model: str = "linear"
    closed: bool = True
    batch_size: int | None = None
    x: Tensor | None = None
    y: Tensor | None = None
    mass: Tensor | None = None
    edges: bool = True
    num_classes: int = 3
    vectorize_models: bool = True
    shift: float = 0.0
    held: ToyBatch | None = None
    grid: bool = False

    def to(self, device: str) -> Self:
        """Itself: tests run on the CPU."""
        assert torch.device(device).type == "cpu"
        return self

    @property
    def data(self) -> tuple[Tensor, Tensor]:
        """The real records."""
        x, y, _, _ = iris(GRID_SIZES if self.grid else SIZES)
        x, y = (x if self.x is None else self.x), (y if self.y is None else self.y)
        return (x[:, None, :, None] * x[:, None, None] if self.grid else x), y

    def describe(self) -> dict[str, Any]:
        x, y = self.data
        source = {"n": len(x), "x": tensor_digest(x), "y": tensor_digest(y)}
        settings = {"model": self.model, "batch_size": self.batch_size}
        return {"kind": "Toy", "data": source} | settings

    def batch(self, rng: torch.Generator) -> ToyBatch:
        if self.held is not None:
            return self.held
        x, y = self.data
        rows = torch.arange(len(x))
        if self.batch_size is not None:
            order = torch.randperm(len(x), generator=rng)
            groups = [order[y[order] == c] for c in range(self.num_classes)]
            rows = torch.cat([group[: self.batch_size] for group in groups])
        mass = None if self.mass is None else self.mass[rows]
        return ToyBatch(x[rows], y[rows], by_class(y[rows], self.num_classes, mass))

    def with_fixed_batch(self, batch: ToyBatch) -> Self:
        return replace(self, held=batch)

    def take(self, batch: ToyBatch, rows: Tensor) -> ToyBatch:
        y, soft = batch.y[rows], None if batch.soft is None else batch.soft[rows]
        return ToyBatch(batch.x[rows], y, by_class(y, self.num_classes), soft)

    def view(self, rng: torch.Generator) -> View:
        x = self.data[0]
        by = self.shift * torch.randn(x.shape[1:], generator=rng).to(x)
        return lambda batch: replace(batch, x=batch.x + by)

    def inputs(self, batch: ToyBatch) -> Tensor:
        return batch.x

    def targets(self, batch: ToyBatch) -> Tensor:
        if batch.soft is not None:
            return batch.soft
        return F.one_hot(batch.y, self.num_classes).to(batch.x.dtype)

    def synthetic(self, draw: Draw) -> ToyBatch:
        x, adjacency = draw["x"], draw.get("adjacency")
        if adjacency is not None:
            near = adjacency + torch.eye(len(x), dtype=x.dtype)
            x = (near / near.sum(1, keepdim=True)) @ x
        classes = by_class(draw["y"], self.num_classes)
        return ToyBatch(x, draw["y"], classes, draw.get("y_soft"))

    def classes(self, batch: ToyBatch) -> ClassIndex:
        return batch.classes

    def weights(self, rng: torch.Generator, models: int) -> Params:
        x, c, h = self.data[0], self.num_classes, HIDDEN
        d, kind = x[0].numel(), x.dtype

        def normal(*shape: int) -> Tensor:
            return torch.randn(models, *shape, generator=rng, dtype=kind)

        if self.model == "linear":
            return {"weight": normal(c, d), "bias": normal(c)}
        inner = {"inner": normal(h, d), "inner_bias": normal(h)}
        return inner | {"weight": normal(c, h), "bias": normal(c)}

    def losses(self, weights: Params, batch: ToyBatch) -> Tensor:
        logits = self.features(weights, batch)[-1]
        return -(logits.log_softmax(1) * self.targets(batch)).sum(1)

    def features(
        self, weights: Params, batch: ToyBatch, last: int | None = None
    ) -> list[Tensor]:
        hidden = batch.x.flatten(1)
        if self.model == "mlp":
            hidden = torch.tanh(hidden @ weights["inner"].T + weights["inner_bias"])
        layers = [hidden, hidden @ weights["weight"].T + weights["bias"]]
        return layers if last is None else layers[-last:]

    def detached_gradients(
        self, weights: Params, batch: ToyBatch, classes: ClassIndex
    ) -> None:
        return None

    def linear_features(self, batch: ToyBatch) -> tuple[Tensor, Tensor] | None:
        if self.model != "linear" or not self.closed:
            return None
        return batch.x.flatten(1), self.targets(batch)

    def records(self) -> Records:
        x, y = self.data
        return Records(x.flatten(1), y, self.num_classes, self.mass)

    def from_selection(self, picks: Picks) -> Draw:
        real = self.data[0]
        x = picks.weights.to_dense() @ real.flatten(1)
        draw = {"x": x.view(-1, *real.shape[1:]), "y": picks.labels}
        if self.edges and not self.grid:
            near = (torch.cdist(x, x) < 1.0).to(x.dtype)
            draw["adjacency"] = near.fill_diagonal_(0)
        return draw

    def score(self, draw: Draw, rng: torch.Generator) -> float:
        """Mean log-probability of held-out flowers, by distance to class means."""
        batch = self.synthetic(draw)
        means = batch.classes.mean(batch.x.flatten(1))
        _, _, x, y = iris()
        logits = -torch.cdist(x, means).square()
        return -float(F.cross_entropy(logits, y))

    def choose_ridge(
        self, kernel: Any, synthetic: ToyBatch, ridges: Sequence[float]
    ) -> float:
        """The ridge of the smallest squared error on held-out flowers."""
        _, _, x, y = iris()
        x = (x[:, :, None] * x[:, None]).flatten(1) if self.grid else x
        x = x.to(synthetic.x.dtype)
        within = kernel.of(synthetic.x.flatten(1))
        across = kernel.of(x, synthetic.x.flatten(1))
        goal = F.one_hot(y, self.num_classes).to(x.dtype)
        duals = ridge_path(within, self.targets(synthetic), ridges)
        costs = (across @ duals - goal).square().sum((1, 2))
        return ridges[int(costs.argmin())]

    def summary(self, draw: Draw, card: Card) -> ToySummary:
        before = {name: t.detach().clone() for name, t in draw.items()}
        return ToySummary(before, card)


def free(counts: Sequence[int] = COUNTS, **settings: Any) -> Free:
    """Free records from a random start."""
    return Free(Random(), counts, **settings)


MODELS = ("linear", "mlp")
FAST = Adam(lr=0.05)


def label(value: Any) -> str:
    """A test id."""
    return value if isinstance(value, str) else type(value).__name__


def real_batch(toy: Toy) -> ToyBatch:
    """The whole real side."""
    return replace(toy, batch_size=None).batch(torch.Generator())


def drawn(task: Toy, seed: int = 0) -> ToyBatch:
    """A synthetic set near real records."""
    params = free().init(task, seeds.at(seed, "params"))
    noise = torch.randn(params["x"].shape, generator=seeds.at(seed, "noise")).double()
    return task.synthetic(params | {"x": params["x"] + 0.1 * noise})


def distill(task: Any, objective: Any, form: Any, **options: Any) -> Any:
    """`multidd.distill`, with every setting of the run by its own name."""
    parts = {"objective": objective, "parameterization": form}
    return call(multidd.distill, task, **parts, **options)
