"""The space of labelled records whose learners take one record at a time."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multidd import seeds
from multidd.evaluation.audit.space import (
    AuditSpace,
    Source,
    max_records,
    record_counts,
)
from multidd.evaluation.plain import plain_targets, train_plainly

__all__ = ["Learner", "LabelledSpace", "Records", "mlp"]

Answer = Callable[[Tensor], Tensor]
"""Records `[b, ...]` to scores `[b, c]`."""

MAX_WHOLE_ROWS = 5000
"""Records of the whole data, at most, that a closed-form learner takes, evenly spaced;
as many as the evaluators' kernel predictors."""

CHUNK = 2048


@dataclass(frozen=True, eq=False)
class Records:
    """Labelled records of one part.

    Attributes:
        take: rows `[b]` to records `[b, ...]` as learners take them.
        y: `[n]` classes, or `[n, c]` soft labels.
        weight: `[n]`, how much each counts; None of equal ones.
    """

    take: Callable[[Tensor], Tensor]
    y: Tensor
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.y)

    def some(self, rows: Tensor) -> "Records":
        """The records of the given rows."""
        weight = None if self.weight is None else self.weight[rows]
        return Records(lambda places: self.take(rows[places]), self.y[rows], weight)

    def to(self, device: str | torch.device) -> "Records":
        """The same where a learner takes them; rows are still named on the CPU."""
        weight = None if self.weight is None else self.weight.to(device)
        return Records(
            lambda rows: self.take(rows).to(device), self.y.to(device), weight
        )

    @property
    def x(self) -> Tensor:
        """All of them at once."""
        return self.take(torch.arange(len(self)))


@dataclass(frozen=True)
class Learner:
    """A learner of labelled records.

    Attributes:
        fit: records and a seed to an `Answer`.
        loss: `"squared error"`, beside the targets of the space; `"cross entropy"`; or
            `"binary cross entropy"`, the mean over labels, where records have several.
        exact: it is solved to the optimum: a seed changes nothing.
        max_rows: records of the whole data that it takes, evenly spaced; None takes all.
        fit_whole: the same as `fit` for whole data, where it is trained otherwise.
    """  # noqa: E501

    fit: Callable[[Records, int], Answer]
    loss: str
    exact: bool = True
    max_rows: int | None = MAX_WHOLE_ROWS
    fit_whole: Callable[[Records, int], Answer] | None = None


class LabelledSpace(AuditSpace):
    """Records of a summary, of its training data and of test data.

    Args:
        name: what distances are measured in; they are of flattened records.
        num_classes: c.
        summary: its records.
        train: training records.
        test: held-out records.
        learners: by name; the loss of the first is attacked.
        seed: of what is drawn.
        device: where learners are trained; records are compared on the CPU.
        targets: labels and c to what a squared error is of; one-hot labels less their
            mean unless given.

    Raises:
        ValueError: too few records.

    Example:
        >>> x, y = torch.arange(16.0)[:, None] / 8, torch.arange(16) % 2
        >>> real = Records(lambda rows: x[rows], y)
        >>> def fit(records, seed):
        ...     return lambda x: torch.zeros(len(x), 2)
        >>> learners = {"nothing": Learner(fit, "squared error")}
        >>> parts = real.some(torch.arange(2)), real, real
        >>> space = LabelledSpace("numbers", 2, *parts, learners)
        >>> space.members.shape, space.losses("summary", "nothing", 0)[0].unique()
        (torch.Size([14, 1]), tensor([0.5000]))
    """

    def __init__(
        self,
        name: str,
        num_classes: int,
        summary: Records,
        train: Records,
        test: Records,
        learners: Mapping[str, Learner],
        seed: int = 0,
        device: str = "cpu",
        targets: Callable[[Tensor, int], Tensor] | None = None,
    ) -> None:
        self.name, self.device = name, device
        self.targets = targets or centered_targets
        self.num_classes, self.learners = num_classes, learners
        self.summary, self.train = summary, train
        self.models = {model: one.loss for model, one in learners.items()}
        self.exact = [model for model, one in learners.items() if one.exact]
        width = train.take(torch.arange(1)).numel()
        count, independent = record_counts(len(train), len(test), len(summary), width)
        rng = seeds.at(seed, "audit/records")
        among = torch.randperm(len(train), generator=rng)[:count]
        apart = torch.randperm(len(test), generator=rng)
        self._members = train.some(among)
        # Differences of losses are looked at on more records: no member need match.
        self._tested = test.some(apart[: max(count, max_records(width))])
        self.members = self._members.x.flatten(1)
        self.held_out = test.some(apart[:count]).x.flatten(1)
        self._independent = test.some(apart[count:][:independent])
        size = min(len(summary), count)
        order = torch.randperm(count, generator=rng)
        self._random = self._members.some(order[:size])
        self._half = self._members.some(order[: count // 2])

    def training(self) -> Iterator[Tensor]:
        """All training records, chunk after chunk."""
        for rows in torch.arange(len(self.train)).split(CHUNK):
            yield self.train.take(rows).flatten(1)

    def features(self, source: Source) -> Tensor:
        """The records of a source, flattened."""
        return self._records(source).x.flatten(1)

    def losses(self, source: Source, model: str, seed: int) -> tuple[Tensor, Tensor]:
        """Of the members and of test records."""
        learner, records = self.learners[model], self._records(source)
        fit = learner.fit
        if source == "whole":
            fit = learner.fit_whole or fit
            if learner.max_rows is not None and learner.max_rows < len(records):
                rows = torch.linspace(0, len(records) - 1, learner.max_rows).long()
                records = records.some(rows)
        answer = fit(records.to(self.device), seed)
        parts = (self._members, self._tested)
        members, tested = (self._of(learner.loss, answer, part) for part in parts)
        return members, tested

    def _records(self, source: Source) -> Records:
        return {
            "summary": self.summary,
            "whole": self.train,
            "half": self._half,
            "random": self._random,
            "independent": self._independent,
        }[source]

    def _of(self, loss: str, answer: Answer, records: Records) -> Tensor:
        """`[n]`, the loss of each record."""
        parts = []
        with torch.no_grad():
            for rows in torch.arange(len(records)).split(CHUNK):
                x, y = records.take(rows).to(self.device), records.y[rows]
                scores = answer(x).float().cpu()
                if loss == "cross entropy":
                    parts.append(F.cross_entropy(scores, y, reduction="none"))
                    continue
                if loss == "binary cross entropy":
                    each = F.binary_cross_entropy_with_logits(
                        scores, y.float(), reduction="none"
                    )
                    parts.append(each.mean(1))
                    continue
                targets = self.targets(y, self.num_classes)
                parts.append((scores - targets).square().sum(1))
        return torch.cat(parts)


def centered_targets(y: Tensor, num_classes: int) -> Tensor:
    """Labels as kernel regression takes them: rows of mean zero.

    Args:
        y: `[m]` classes, or `[m, c]` labels, soft or centered already.
        num_classes: c.

    Example:
        >>> centered_targets(torch.tensor([1]), 2)
        tensor([[-0.5000,  0.5000]])
    """
    targets = F.one_hot(y, num_classes).float() if y.dim() == 1 else y.float()
    return targets - targets.mean(1, keepdim=True)


def signed_targets(y: Tensor, num_classes: int) -> Tensor:
    """Several labels as kernel regression takes them: half above zero or below.

    Args:
        y: `[m, c]` of 0 and 1, or shares.
        num_classes: c.

    Example:
        >>> signed_targets(torch.tensor([[0, 1]]), 2)
        tensor([[-0.5000,  0.5000]])
    """
    return y.float() - 0.5


HIDDEN = 256


def mlp(
    num_classes: int,
    rest: Records,
    held_out: Records,
    multi_label_score: Callable[[Tensor, Tensor], float] | None = None,
) -> Learner:
    """An MLP with one hidden layer of 256, trained by Adam and cross entropy.

    Args:
        num_classes: c.
        rest: whole data, without what is held out.
        held_out: what training on whole data stops by.
        multi_label_score: of labels `[b, c]` that are predicted and that are true,
            where records have several; then cross entropy is of each label.

    Returns:
        The learner; each seed gives other weights and batches.

    Example:
        >>> x, y = torch.eye(2), torch.arange(2)
        >>> records = Records(lambda rows: x[rows], y)
        >>> mlp(2, records, records).fit(records, 0)(x).argmax(1)
        tensor([0, 1])
    """

    def trained(
        records: Records, seed: int, whole: bool, device: torch.device
    ) -> Answer:
        width, judged = records.take(torch.arange(1)).numel(), held_out.to(device)

        def make() -> nn.Module:
            layers = (nn.Linear(width, HIDDEN), nn.ReLU())
            last = nn.Linear(HIDDEN, num_classes)
            return nn.Sequential(nn.Flatten(), *layers, last)

        def score(net: nn.Module) -> float:
            with torch.no_grad():
                scores = net(judged.x)
            if multi_label_score is not None:
                return multi_label_score(scores > 0, judged.y > 0.5)
            return float((scores.argmax(1) == judged.y).float().mean())

        settings: dict[str, Any] = {"whole": whole, "device": device}
        if multi_label_score is None:
            targets = plain_targets(records.y)
        else:
            targets = records.y.float()
            settings["loss"] = F.binary_cross_entropy_with_logits
        net = train_plainly(make, records.take, targets, score, seed, **settings)
        return net.eval()

    learner = Learner(
        lambda records, seed: trained(records, seed, False, records.y.device),
        "cross entropy" if multi_label_score is None else "binary cross entropy",
        exact=False,
        max_rows=None,
    )

    def fit_whole(records: Records, seed: int) -> Answer:
        return trained(rest, seed, True, records.y.device)

    return replace(learner, fit_whole=fit_whole)
