"""Models that are trained while summaries of texts are evaluated, and protocols."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd import seeds
from multidd.evaluation.evaluator import class_accuracies
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.training import (
    EvaluationSet,
    TrainingSet,
    make_optimizer,
    train_until_plateau,
)
from multidd.learning.functional import cost
from multidd.learning.modules import ModuleFactory, make_module, seeded
from multidd.text.models.kernel_predictor import one_hot
from multidd.text.models.learners import learner
from multidd.text.models.tokenization import passes

__all__ = [
    "NETWORKS",
    "PROTOCOLS",
    "TextTrainingSet",
    "logistic",
    "Views",
    "linear_head",
    "module",
    "network",
    "softmax",
]

TEXT = Protocol(
    name="text",
    epochs=200,
    lr=1e-3,
    batch=64,
    whole_batch=64,
    whole_patience=1000,
    whole_cap=20_000,
)
"""200 steps of Adam on a summary, all of it in a batch up to 64 rows; on whole data
until 1,000 batches of 64 have not raised the accuracy on texts held out."""

QUICK = replace(TEXT, name="quick", epochs=50, whole_patience=200, whole_cap=4000)
"""A look in a fourth of the time."""

PROTOCOLS = {one.name: one for one in (TEXT, QUICK)}

NETWORKS = ("textcnn", "gru", "lstm")
"""Learners on static word vectors."""

HEAD_RATE_FACTOR = 100.0
"""Times the protocol's rate: a linear head on features of length one needs that."""

EVAL_BATCH_SIZE = 256
"""Texts in one pass of a network without gradients."""

INVERSE_PENALTY = 10.0
"""C of the logistic regression."""

INVERSE_PENALTIES = (1.0, 10.0, 100.0, 1000.0)
"""What C of whole data is chosen from, on texts held out."""

Answer = Callable[[Any], Tensor]

Views = Callable[[torch.Generator], tuple[Tensor, Tensor]]
"""A generator to features of all rows as one update sees them `[m, d]`, and labels
`[m, c]`."""


@dataclass(frozen=True, eq=False)
class TextTrainingSet(TrainingSet):
    """Texts that a model is trained on.

    Attributes:
        inputs: `[m, d]` features, or `(ids, mask)` of word ids.
        targets: `[m, c]`: one-hot, soft or centered.
        centered: targets are centered: heads are trained by the squared error.
        whole: whole data.
        y: `[m]`, classes.
        weight: `[m]`.
    """

    y: Tensor = field(kw_only=True)
    weight: Tensor = field(kw_only=True)

    def to(self, device: str | torch.device) -> "TextTrainingSet":
        """The same on another device."""
        inputs = self.inputs
        if isinstance(inputs, tuple):
            there: Any = tuple(part.to(device) for part in inputs)
        else:
            there = inputs.to(device)
        parts = {name: getattr(self, name) for name in ("targets", "y", "weight")}
        moved = {name: tensor.to(device) for name, tensor in parts.items()}
        return replace(self, inputs=there, **moved)

    def mean_cost(
        self,
        outputs: Tensor,
        rows: Any = slice(None),
        labels: Tensor | None = None,
    ) -> Tensor:
        """The weighted mean of what outputs cost beside the targets of some rows, or
        beside labels in their place."""
        targets = self.targets[rows] if labels is None else labels
        weight = self.weight[rows]
        return (weight * cost(outputs, targets, self.cost)).sum() / weight.sum()

    def shown(
        self, views: Views | None, rng: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Features as an update sees them, and labels in the place of the targets."""
        return (self.inputs, None) if views is None else views(rng)


def logistic(
    records: TextTrainingSet, inverse_penalty: float = INVERSE_PENALTY
) -> Answer:
    """Logistic regression on features, hard labels and weights.

    Args:
        records: of features.
        inverse_penalty: C.

    Returns:
        Features `[b, d]` to scores `[b, c]`.

    Example:
        >>> x, y = torch.eye(2), torch.arange(2)
        >>> records = TextTrainingSet(x, torch.eye(2), y=y, weight=torch.ones(2))
        >>> logistic(records)(x).argmax(1).tolist()
        [0, 1]
    """
    from sklearn.linear_model import LogisticRegression  # loads slowly

    classes = records.targets.shape[1]
    present = records.y.unique()
    if len(present) == 1:
        only = one_hot(present, classes)
        return lambda x: only.expand(len(x), -1)
    model = LogisticRegression(C=inverse_penalty, max_iter=2000)
    x, y = records.inputs.cpu().numpy(), records.y.cpu().numpy()
    model.fit(x, y, sample_weight=records.weight.cpu().numpy())

    def answer(x: Tensor) -> Tensor:
        scores = torch.zeros(len(x), classes)
        chances = torch.from_numpy(model.predict_proba(x.cpu().numpy()))
        scores[:, torch.from_numpy(model.classes_)] = chances.float()
        return scores.to(x.device)

    return answer


def best_inverse_penalty(records: TextTrainingSet, val: EvaluationSet) -> float:
    """C of the logistic regression that scores best on texts held out.

    Args:
        records: of features.
        val: features held out.

    Example:
        >>> x, y = torch.eye(2), torch.arange(2)
        >>> records = TextTrainingSet(x, torch.eye(2), y=y, weight=torch.ones(2))
        >>> best_inverse_penalty(records, EvaluationSet(x, y))
        1.0
    """
    scores = {c: val.score(logistic(records, c)) for c in INVERSE_PENALTIES}
    return max(scores, key=scores.__getitem__)


def softmax(
    records: TextTrainingSet,
    protocol: Protocol,
    seed: int,
    val: EvaluationSet | None = None,
    views: Views | None = None,
) -> tuple[Answer, Mapping[str, float]]:
    """A linear head on features, trained on all rows at once by Adam.

    The loss is the weighted cross-entropy with the targets, or half the squared error
    where these are centered. Whole data are trained on until the accuracy on `val` has
    stopped rising.

    Args:
        records: of features.
        protocol: its epochs, and its rate, a hundred times of which is taken.
        seed: of the start.
        val: features held out, for whole data.
        views: what each update sees in the place of the records.

    Returns:
        Features `[b, d]` to scores `[b, c]`, and of whole data what training chose.

    Example:
        >>> x, y = torch.eye(2), torch.arange(2)
        >>> records = TextTrainingSet(x, torch.eye(2), y=y, weight=torch.ones(2))
        >>> softmax(records, TEXT, 0)[0](torch.eye(2)).argmax(1).tolist()
        [0, 1]
    """
    head, chosen = linear_head(records, protocol, seed, val, views)
    return lambda x: F.linear(x, **head), chosen


def linear_head(
    records: TextTrainingSet,
    protocol: Protocol,
    seed: int,
    val: EvaluationSet | None = None,
    views: Views | None = None,
) -> tuple[dict[str, Tensor], Mapping[str, float]]:
    """The weights of `softmax`, which takes the same: `weight` and `bias`.

    Example:
        >>> x, y = torch.eye(2), torch.arange(2)
        >>> records = TextTrainingSet(x, torch.eye(2), y=y, weight=torch.ones(2))
        >>> sorted(linear_head(records, TEXT, 0)[0])
        ['bias', 'weight']
    """
    d, c = records.inputs.shape[1], records.targets.shape[1]
    rng = seeds.at(seed, "train/softmax", device=records.inputs.device)
    weight = 0.01 * torch.randn(c, d, generator=rng, device=rng.device)
    bias = torch.zeros(c, device=rng.device)
    weights = {"weight": weight.requires_grad_(), "bias": bias.requires_grad_()}
    head = {name: w.detach() for name, w in weights.items()}
    protocol = replace(protocol, lr=HEAD_RATE_FACTOR * protocol.lr)

    def loss() -> Tensor:
        x, labels = records.shown(views, rng)
        return records.mean_cost(F.linear(x, weight, bias), labels=labels)

    def answer(x: Tensor) -> Tensor:
        return F.linear(x, **head)

    return head, _train(weights, records, protocol, loss, answer, val)


def module(
    factory: ModuleFactory,
    records: TextTrainingSet,
    protocol: Protocol,
    seed: int,
    val: EvaluationSet | None = None,
    views: Views | None = None,
) -> tuple[Answer, Mapping[str, float]]:
    """A module of the caller's own on features, trained by Adam on all rows at once.

    Whole data are trained on until the accuracy on `val` has stopped rising.

    Args:
        factory: makes it, from `(num_features, num_classes)` or from nothing.
        records: of features.
        protocol: its epochs and its rate.
        seed: of the start, and of dropout.
        val: features held out, for whole data.
        views: what each update sees in the place of the records.

    Returns:
        Features `[b, d]` to scores `[b, c]`, and of whole data what training chose.

    Example:
        >>> x, y = torch.eye(2), torch.arange(2)
        >>> records = TextTrainingSet(x, torch.eye(2), y=y, weight=torch.ones(2))
        >>> quick = Protocol("quick", epochs=30, lr=0.1)
        >>> answer, _ = module(torch.nn.Linear, records, quick, 0)
        >>> answer(x).argmax(1).tolist()
        [0, 1]
    """
    x, c = records.inputs, records.targets.shape[1]
    rng = seeds.at(seed, "train/module", device=x.device)
    net = make_module(factory, (x.shape[1], c), rng, (x[:2],)).to(x.device)
    weights = dict(net.named_parameters())

    def loss() -> Tensor:
        features, labels = records.shown(views, rng)
        return records.mean_cost(net.train()(features), labels=labels)

    def answer(rows: Tensor) -> Tensor:
        with torch.no_grad():
            scores: Tensor = net.eval()(rows)
        return scores

    with seeded(rng):
        return answer, _train(weights, records, protocol, loss, answer, val)


def network(
    name: str,
    records: TextTrainingSet,
    vectors: Tensor,
    protocol: Protocol,
    seed: int,
    val: EvaluationSet | None = None,
) -> tuple[Answer, Mapping[str, float]]:
    """A network on static word vectors, trained by Adam.

    Whole data are trained on until the accuracy on `val` has stopped rising.

    Args:
        name: of `NETWORKS`.
        records: of word ids and masks.
        vectors: `[V + 1, d]`, the vector of each id; they stay as they are, and are
            where the network is trained.
        protocol: its epochs, rate and batch.
        seed: of the start and of the batches.
        val: `(ids, mask)` held out, for whole data.

    Returns:
        `(ids, mask)` to scores `[b, c]`, and of whole data what training chose.

    Example:
        >>> ids, mask = torch.tensor([[1], [2]]), torch.ones(2, 1)
        >>> y, weight = torch.arange(2), torch.ones(2)
        >>> records = TextTrainingSet((ids, mask), torch.eye(2), y=y, weight=weight)
        >>> vectors = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> quick = Protocol("quick", epochs=30, lr=0.01)
        >>> answer, _ = network("textcnn", records, vectors, quick, 0)
        >>> answer((ids, mask)).argmax(1)
        tensor([0, 1])
    """
    net, rng = learner(name), seeds.at(seed, f"train/{name}", device=vectors.device)
    drawn = net.weights(rng, 1, vectors.shape[1], records.targets.shape[1])
    weights = {n: w[0].requires_grad_() for n, w in drawn.items()}

    def scores(ids: Tensor, mask: Tensor) -> Tensor:
        width = max(1, int(mask.sum(1).max()))  # what no text of the batch fills
        x = F.embedding(ids[:, :width], vectors)
        return net.features(weights, x, mask[:, :width])[-1]

    ids, mask = records.inputs
    size = protocol.whole_batch if records.whole else protocol.batch
    batches = _batches(len(ids), size, rng)

    def loss() -> Tensor:
        rows = next(batches)
        return records.mean_cost(scores(ids[rows], mask[rows]), rows)

    def answer(words: tuple[Tensor, Tensor]) -> Tensor:
        ids, mask = words
        parts = list(passes(mask.sum(1), EVAL_BATCH_SIZE))
        with torch.no_grad():
            outputs = torch.cat([scores(ids[rows], mask[rows]) for rows in parts])
        return outputs[torch.cat(parts).argsort()]

    return answer, _train(weights, records, protocol, loss, answer, val)


def scores_of(
    predicted: Tensor, y: Tensor, classes: tuple[str, ...]
) -> Mapping[str, float]:
    """Accuracy, macro F1, and accuracy on each class.

    Args:
        predicted: `[n]`, predicted classes.
        y: `[n]`, true ones.
        classes: name of each class.

    Example:
        >>> predicted, y = torch.tensor([0, 0]), torch.tensor([0, 1])
        >>> round(scores_of(predicted, y, ("a", "b"))["macro_f1"], 3)
        0.333
    """
    f1 = []
    for label in y.unique():  # of classes that are there
        real, said = y == label, predicted == label
        f1.append(2 * (real & said).sum() / (real.sum() + said.sum()))
    macro = float(torch.stack(f1).mean())
    return class_accuracies(predicted, y, classes) | {"macro_f1": macro}


def _train(
    weights: Mapping[str, Tensor],
    records: TextTrainingSet,
    protocol: Protocol,
    loss: Callable[[], Tensor],
    answer: Answer,
    val: EvaluationSet | None,
) -> Mapping[str, float]:
    """One step for each epoch; on whole data until `val` scores no higher."""

    def train_epoch(optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    if records.whole and val is not None:
        state = {name: w.detach() for name, w in weights.items()}
        chosen = train_until_plateau(
            state, weights.values(), protocol, train_epoch, lambda: val.score(answer)
        )
        chosen["val_accuracy"] = chosen.pop("held_out")
        return chosen
    adam = make_optimizer(weights.values(), protocol, protocol.lr)
    for _ in range(protocol.epochs):
        train_epoch(adam)
    return {}


def _batches(count: int, size: int, rng: torch.Generator) -> Iterator[Tensor]:
    """Rows of batches, pass after pass, each in an order of its own."""
    while True:
        order = torch.randperm(count, generator=seeds.host(rng)).to(rng.device)
        yield from order.split(min(count, size or count))
