"""Training by a protocol: what the models of every modality share."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from multidd import seeds
from multidd.evaluation.protocol import Protocol as TrainingProtocol
from multidd.learning.functional import Cost
from multidd.numerics import small_training

__all__ = [
    "CAP_FACTOR",
    "BestScore",
    "EvaluationSet",
    "TrainingSet",
    "epochs",
    "make_optimizer",
    "row_batches",
    "train_and_choose_epoch",
    "train_until_plateau",
]

LOOKS = 10
"""Looks at held-out data within the patience of a protocol."""

CAP_FACTOR = 20
"""Times its epochs that a protocol trains on whole data, at most, at each rate."""


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """What a model is trained on.

    Attributes:
        inputs: the records as the modality's models take them.
        targets: `[n, c]`: one-hot, soft or centered.
        centered: targets are centered: train by the squared error.
        whole: whole data, not a summary.
    """

    inputs: Any
    targets: Tensor
    centered: bool = False
    whole: bool = False

    @property
    def cost(self) -> Cost:
        """What an output costs beside its target."""
        return "mse" if self.centered else "cross_entropy"


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """What a model is validated or tested on.

    Attributes:
        inputs: the records as the modality's models take them.
        labels: `[n]`, or `[n, c]` of 0 and 1 where records have several.
    """

    inputs: Any
    labels: Tensor

    @property
    def metric(self) -> str:
        """What `score` is."""
        return "accuracy"

    def predict(self, model: Callable[..., Tensor]) -> Tensor:
        """`[n]`, the likeliest class of each record."""
        with torch.no_grad():
            return model(self.inputs).argmax(1)

    def score(self, model: Callable[..., Tensor]) -> float:
        """Share of records whose likeliest class is theirs."""
        return float((self.predict(model) == self.labels).float().mean())


class BestScore:
    """The best validation score so far.

    Example:
        >>> best = BestScore()
        >>> [best.improves(score) for score in (0.5, 0.5, 0.7)]
        [True, False, True]
    """

    def __init__(self) -> None:
        self.value = -math.inf

    def improves(self, score: float) -> bool:
        """Whether a score is better than all before it; then it is the best one."""
        better = score > self.value
        self.value = score if better else self.value
        return better


def make_optimizer(
    parameters: Iterable[Tensor], protocol: TrainingProtocol, rate: float
) -> torch.optim.Optimizer:
    """The protocol's optimizer at a learning rate.

    Args:
        parameters: what it moves.
        protocol: its kind, momentum and decay.
        rate: the learning rate.

    Example:
        >>> weights = nn.PReLU().parameters()
        >>> type(make_optimizer(weights, TrainingProtocol("p"), 0.1)).__name__
        'Adam'
    """
    decay = protocol.weight_decay
    if protocol.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=rate, weight_decay=decay, fused=True)
    return torch.optim.SGD(
        parameters, lr=rate, momentum=protocol.momentum, weight_decay=decay, fused=True
    )


def epochs(
    model: nn.Module, protocol: TrainingProtocol
) -> Iterator[tuple[int, torch.optim.Optimizer]]:
    """Numbers of the epochs, from 1, each with the optimizer to train by.

    Its rate falls along a cosine to zero, or at half of the epochs a new optimizer
    starts at `lr_drop` times the rate.

    Args:
        model: whose parameters are trained.
        protocol: how.

    Example:
        >>> short = TrainingProtocol("short", epochs=2, lr=1.0, lr_drop=0.1)
        >>> net = nn.PReLU()
        >>> [adam.param_groups[0]["lr"] for _, adam in epochs(net, short)]
        [1.0, 0.1]
    """
    optimizer = make_optimizer(model.parameters(), protocol, protocol.lr)
    for epoch in range(1, protocol.epochs + 1):
        if protocol.schedule == "cosine":
            angle = math.pi * (epoch - 1) / protocol.epochs
            optimizer.param_groups[0]["lr"] = 0.5 * protocol.lr * (1 + math.cos(angle))
        elif epoch == protocol.epochs // 2 + 1:
            rate = protocol.lr * protocol.lr_drop
            optimizer = make_optimizer(model.parameters(), protocol, rate)
        yield epoch, optimizer


def train_until_plateau(
    state: Mapping[str, Tensor],
    parameters: Iterable[Tensor],
    protocol: TrainingProtocol,
    train_epoch: Callable[[torch.optim.Optimizer], None],
    score: Callable[[], float],
    look_every: int | None = None,
) -> dict[str, float]:
    """Train on whole data until a held-out score has stopped rising; keep the best.

    A ceiling must not depend on how long a summary is trained. After `whole_patience`
    epochs without a better score the rate falls by `lr_drop`, from the best state;
    after as many again training ends. At each rate there are `whole_cap` epochs at
    most.

    Args:
        state: all tensors of the model, which share memory with it; those of the best
            score in the end.
        parameters: what the optimizer moves.
        protocol: how.
        train_epoch: trains one epoch by an optimizer.
        score: of the model as it is, on held-out data.
        look_every: epochs between two scores; a tenth of the patience unless given.

    Returns:
        `epoch` of the best score, counted from 1, the score as `held_out`, and
        `capped`, 1 where a cap ended what may still have been rising, else 0.

    Example:
        >>> weight = torch.zeros(1, requires_grad=True)
        >>> def train_epoch(optimizer):
        ...     optimizer.zero_grad()
        ...     (weight - 1).square().sum().backward()
        ...     optimizer.step()
        >>> protocol = TrainingProtocol("p", epochs=10, lr=0.1, optimizer="sgd")
        >>> result = train_until_plateau(
        ...     {"w": weight.detach()}, [weight], protocol, train_epoch,
        ...     lambda: round(-abs(weight.item() - 1), 2),
        ... )
        >>> round(weight.item(), 1), result["capped"]
        (1.0, 0)
    """
    parameters = list(parameters)
    patience = protocol.whole_patience or protocol.epochs
    cap = protocol.whole_cap or CAP_FACTOR * protocol.epochs
    look = look_every or max(1, patience // LOOKS)
    best, best_state = BestScore(), {n: t.clone() for n, t in state.items()}
    epoch, capped, result = 0, 0, dict[str, float]()
    for rate in sorted({protocol.lr, protocol.lr * protocol.lr_drop}, reverse=True):
        _restore(state, best_state)
        optimizer = make_optimizer(parameters, protocol, rate)
        first = last_rise = epoch
        while epoch - last_rise < patience:
            if epoch - first >= cap:
                capped = 1
                break
            for _ in range(min(look, cap - (epoch - first))):
                train_epoch(optimizer)
                epoch += 1
            value = score()
            if best.improves(value):
                last_rise, result = epoch, {"epoch": epoch, "held_out": value}
                best_state = {n: t.clone() for n, t in state.items()}
    _restore(state, best_state)
    return result | {"capped": capped}


def _restore(state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in state.items():
            tensor.copy_(values[name])


def row_batches(count: int, size: int, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Rows of the batches of one pass, on the CPU; all at once where they fit in one.

    Args:
        count: n.
        size: of a batch; 0 takes all rows.
        rng: draws the order, on its own device.

    Example:
        >>> [len(rows) for rows in row_batches(5, 2, torch.Generator())]
        [2, 2, 1]
    """
    if not size or count <= size:
        return (torch.arange(count),)
    order = torch.randperm(count, generator=seeds.host(rng))
    return order.split(size)


class Scored(Protocol):
    """Anything that scores a model: an `EvaluationSet`."""

    @property
    def metric(self) -> str:
        """What `score` is."""

    def score(self, model: Callable[..., Tensor]) -> float:
        """Score of a model."""


def train_and_choose_epoch(
    model: nn.Module,
    protocol: TrainingProtocol,
    train_pass: Callable[[torch.optim.Optimizer], None],
    val: Scored,
    test: Scored,
    whole: bool = False,
) -> Mapping[str, float]:
    """Train by the protocol; choose the epoch on `val`, report `test` there.

    Args:
        model: is trained in place.
        protocol: how.
        train_pass: trains one epoch by an optimizer.
        val: what chooses; looked at every `check_every` epochs.
        test: what is reported.
        whole: the training set is whole data: train until `val` stops rising.

    Returns:
        The metric on test, the same on validation data as `val_METRIC`, and the
        `epoch` chosen, counted from 1; of whole data `capped` too.
    """
    if whole:
        with small_training():
            chosen = train_until_plateau(
                model.state_dict(),
                model.parameters(),
                protocol,
                train_pass,
                lambda: val.score(model),
                protocol.check_every,
            )
            chosen[f"val_{val.metric}"] = chosen.pop("held_out")
            return {val.metric: test.score(model)} | chosen
    best, scores = BestScore(), dict[str, float]()
    with small_training():
        for epoch, optimizer in epochs(model, protocol):
            train_pass(optimizer)
            if epoch % protocol.check_every and epoch != protocol.epochs:
                continue
            score = val.score(model)
            if best.improves(score):
                scores = {
                    val.metric: test.score(model),
                    f"val_{val.metric}": score,
                    "epoch": epoch,
                }
    return scores
