"""Plain trainings: what a summary gives to models that a stranger trains.

Plain models are trained as anyone would, without the library's augmentations, kernels
or tricks with labels, on the summary, on random records of its size and on whole data.
The share of the gain is how far the summary goes from random records to whole data.
"""

import math
import statistics
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multidd import seeds
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.significance import mean_interval
from multidd.evaluation.training import train_until_plateau
from multidd.protocols import Evaluator

__all__ = [
    "PlainEvaluator",
    "PlainReport",
    "PlainScores",
    "plain_cross_entropy",
    "plain_targets",
    "train_plainly",
]

UPDATES = 400
"""Of a network on a summary."""

BATCH, RATE = 64, 1e-3

MIN_GAIN = 1e-6
"""Of whole data over random records; what is less is rounding of equal scores."""

WHOLE = Protocol("plain", epochs=UPDATES, lr=RATE, whole_patience=300, whole_cap=2000)
"""On whole data: until 300 updates have not raised the held-out score."""


@dataclass(frozen=True)
class PlainScores:
    """Scores of one plain training on the summary, on random records, on whole data.

    Attributes:
        training: its name.
        about: what it is, in one line.
        summary: of each seed; empty where the training cannot take the summary.
        random: of each seed, on random records of the summary's size.
        whole: on whole data.

    Example:
        >>> scores = PlainScores("mlp", "an MLP", (0.7, 0.8), (0.5, 0.6), (0.9,))
        >>> round(scores.share, 2), [round(one, 2) for one in scores.shares]
        (0.57, [0.57, 0.57])
    """

    training: str
    about: str
    summary: tuple[float, ...]
    random: tuple[float, ...]
    whole: tuple[float, ...]

    @property
    def shares(self) -> tuple[float, ...]:
        r"""Of each seed the share of the gain; none where there is no gain to share.

        $$\frac{a_s(\text{summary}) - a_s(\text{random})}
        {\bar a(\text{whole}) - \bar a(\text{random})}$$
        """
        if not (self.summary and self.random and self.whole):
            return ()
        gain = statistics.fmean(self.whole) - statistics.fmean(self.random)
        if gain <= MIN_GAIN:
            return ()
        pairs = zip(self.summary, self.random, strict=True)
        return tuple((score - chance) / gain for score, chance in pairs)

    @property
    def share(self) -> float:
        """Mean share of the gain; NaN where there is none to share."""
        return statistics.fmean(self.shares) if self.shares else math.nan


@dataclass(frozen=True)
class PlainReport:
    """What plain trainings gain by a summary.

    Attributes:
        scores: of each training.
        metric: the metric.
        digits: after the point, in the table.

    Example:
        >>> scores = PlainScores("mlp", "an MLP", (0.7, 0.8), (0.5, 0.6), (0.9,))
        >>> print(PlainReport((scores,), "accuracy").headline)
        Plain trainings gain 57 % of what whole data add to random records.
    """

    scores: tuple[PlainScores, ...]
    metric: str
    digits: int = 1

    @property
    def counted(self) -> tuple[PlainScores, ...]:
        """Trainings that have a share."""
        return tuple(one for one in self.scores if one.shares)

    @property
    def share(self) -> float:
        """Mean share of the gain over all trainings; NaN where none has one."""
        shares = [one.share for one in self.counted]
        return statistics.fmean(shares) if shares else math.nan

    @property
    def worst(self) -> PlainScores | None:
        """The training with the smallest share."""
        return min(self.counted, key=lambda one: one.share, default=None)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of the mean share at 95 %, over seeds; None of a single one."""
        by_seed = zip(*(one.shares for one in self.counted), strict=True)
        return mean_interval([statistics.fmean(shares) for shares in by_seed])

    @property
    def headline(self) -> str:
        """The share of the gain in one sentence."""
        worst = self.worst
        if worst is None:
            return "Plain trainings: whole data add nothing to random records here."
        share = f"{100 * self.share:.0f} %"
        if self.interval is not None and len(self.counted[0].shares) > 1:
            low, high = (f"{100 * end:.0f}" for end in self.interval)
            if low != high:
                share += f" (95 %: {low} to {high})"
        sentence = f"Plain trainings gain {share} of what whole data add to random "
        if len(self.counted) == 1:
            return f"{sentence}records."
        of_worst = f"{100 * worst.share:.0f} %"
        return f"{sentence}records; the worst, {worst.training}, {of_worst}."

    def to_dict(self) -> dict[str, Any]:
        """The trainings and the share of the gain as plain values, for JSON.

        Example:
            >>> PlainReport((), "accuracy").to_dict()["share"] is None
            True
        """
        worst = self.worst
        return {
            "share": None if worst is None else self.share,
            "interval": None if self.interval is None else list(self.interval),
            "worst": None if worst is None else worst.training,
            "trainings": [
                {
                    "training": one.training,
                    "about": one.about,
                    "summary": list(one.summary),
                    "random": list(one.random),
                    "whole": list(one.whole),
                    "share": one.share if one.shares else None,
                }
                for one in self.scores
            ],
        }


@runtime_checkable
class PlainEvaluator(Evaluator, typing.Protocol):
    """An evaluator that knows plain trainings."""

    @property
    def plain(self) -> Mapping[str, str]:
        """Plain trainings, which a stranger would do: name -> what it is."""

    @property
    def seedless_plain(self) -> Sequence[str]:
        """Plain trainings that a seed does not change."""

    def fit_plain(self, summary: Any, name: str, seed: int) -> float | None:
        """Score of a plain training; None where it cannot take the summary."""


def plain_targets(y: Tensor) -> Tensor:
    """Labels as a stranger's cross entropy takes them: classes, or probabilities.

    Args:
        y: `[m]` classes, or `[m, c]` soft labels; those that are no probabilities, such
            as centered ones, give their likeliest class.

    Example:
        >>> plain_targets(torch.tensor([[0.9, -0.1], [-0.1, 0.4]]))
        tensor([0, 1])
        >>> plain_targets(torch.tensor([[0.75, 0.25]]))
        tensor([[0.7500, 0.2500]])
    """
    if y.dim() == 1:
        return y
    sums = y.sum(1)
    is_distribution = bool((y >= 0).all()) and torch.allclose(
        sums, torch.ones_like(sums), atol=1e-3
    )
    return y.float() if is_distribution else y.argmax(1)


def plain_cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy of classes `[b]` or of probabilities `[b, c]`.

    Example:
        >>> scores = torch.zeros(1, 2)
        >>> round(float(plain_cross_entropy(scores, torch.tensor([1]))), 3)
        0.693
    """
    return F.cross_entropy(scores, targets)


Loss = Callable[[Tensor, Tensor], Tensor]
"""Outputs `[b, c]` and targets of as many records to what they cost, a number."""


def train_plainly(
    make: Callable[[], nn.Module],
    inputs: Callable[[Tensor], Any],
    targets: Tensor,
    score: Callable[[nn.Module], float],
    seed: int,
    *,
    whole: bool = False,
    augment: Callable[[Any, torch.Generator], Any] | None = None,
    updates: int | None = None,
    rate: float = RATE,
    loss: Loss = plain_cross_entropy,
    device: str | torch.device = "cpu",
) -> nn.Module:
    """Train a network by Adam and cross entropy on batches of 64.

    Args:
        make: a fresh network.
        inputs: rows `[b]` to what the network takes.
        targets: `[m]` classes or `[m, c]` probabilities.
        score: of the network on held-out records; whole data are trained on until it
            has stopped rising.
        seed: of weights and batches. Global random states stay as they are.
        whole: whether the records are whole data.
        augment: a random view of a batch, which lies on the device.
        updates: of a network on records that are not whole data; 400 unless given.
        rate: the learning rate.
        loss: of outputs `[b, c]` beside rows of `targets`.
        device: where it is trained; its first weights are drawn on the CPU.

    Returns:
        The network, in evaluation mode, on the device.

    Example:
        >>> x, y = torch.eye(2), torch.tensor([0, 1])
        >>> def make():
        ...     return nn.Linear(2, 2)
        >>> net = train_plainly(make, lambda rows: x[rows], y, lambda net: 0.0, seed=0)
        >>> net(x).argmax(1).tolist()
        [0, 1]
    """
    rng, targets = seeds.at(seed, "plain"), targets.to(device)
    updates = UPDATES if updates is None else updates
    with seeds.global_state([device]), torch.enable_grad():
        torch.manual_seed(seed)
        net = make().to(device)
        optimizer = torch.optim.Adam(net.parameters(), rate)

        def update(rows: Tensor, optimizer: torch.optim.Optimizer) -> None:
            x = inputs(rows).to(device)
            x = x if augment is None else augment(x, rng)
            optimizer.zero_grad()
            loss(net(x), targets[rows]).backward()
            optimizer.step()

        def draw() -> Tensor:
            if len(targets) <= BATCH:
                return torch.arange(len(targets))
            return torch.randint(len(targets), (BATCH,), generator=rng)

        if not whole:
            net.train()
            for _ in range(updates):
                update(draw(), optimizer)
            return net.eval()

        def held_out() -> float:
            value = score(net.eval())
            net.train()
            return value

        train_until_plateau(
            net.state_dict(keep_vars=False),
            net.parameters(),
            replace(WHOLE, lr=rate),
            lambda optimizer: update(draw(), optimizer),
            held_out,
        )
        return net.eval()
