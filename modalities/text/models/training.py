"""Models that are trained while summaries of texts are evaluated, and protocols."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd import seeds
from multidd.evaluation.evaluator import class_accuracies
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.training import TrainingSet
from multidd.learning.functional import cost
from multidd.text.models.kernel_predictor import one_hot
from multidd.text.models.learners import learner
from multidd.text.models.tokenization import passes

__all__ = [
    "NETWORKS",
    "PROTOCOLS",
    "TextTrainingSet",
    "logistic",
    "network",
    "softmax",
]

TEXT = Protocol(name="text", epochs=200, lr=1e-3, batch=64, whole_batch=64)
"""200 steps of Adam on a summary, all of it in a batch up to 64 rows; six passes over
whole data."""

QUICK = replace(TEXT, name="quick", epochs=50)
"""A look in a fourth of the time."""

PROTOCOLS = {one.name: one for one in (TEXT, QUICK)}

NETWORKS = ("textcnn", "gru", "lstm")
"""Learners on static word vectors."""

WHOLE_DATA_PASSES = 6
"""Passes over whole data, for networks."""

HEAD_RATE_FACTOR = 100.0
"""Times the protocol's rate: a linear head on features of length one needs that."""

EVAL_BATCH_SIZE = 256
"""Texts in one pass of a network without gradients."""

INVERSE_PENALTY = 10.0
"""C of the logistic regression."""

Answer = Callable[[Any], Tensor]


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

    def mean_cost(self, outputs: Tensor, rows: Any = slice(None)) -> Tensor:
        """The weighted mean of what outputs cost beside the targets of some rows."""
        targets, weight = self.targets[rows], self.weight[rows]
        return (weight * cost(outputs, targets, self.cost)).sum() / weight.sum()


def logistic(records: TextTrainingSet) -> Answer:
    """Logistic regression on features, hard labels and weights.

    Args:
        records: of features.

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
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=2000)
    x, y = records.inputs.cpu().numpy(), records.y.cpu().numpy()
    model.fit(x, y, sample_weight=records.weight.cpu().numpy())

    def answer(x: Tensor) -> Tensor:
        scores = torch.zeros(len(x), classes)
        chances = torch.from_numpy(model.predict_proba(x.cpu().numpy()))
        scores[:, torch.from_numpy(model.classes_)] = chances.float()
        return scores

    return answer


def softmax(records: TextTrainingSet, protocol: Protocol, seed: int) -> Answer:
    """A linear head on features, trained on all rows at once by Adam.

    The loss is the weighted cross-entropy with the targets, or half the squared error
    where these are centered.

    Args:
        records: of features.
        protocol: its epochs, and its rate, a hundred times of which is taken.
        seed: of the start.

    Returns:
        Features `[b, d]` to scores `[b, c]`.

    Example:
        >>> x, y = torch.eye(2), torch.arange(2)
        >>> records = TextTrainingSet(x, torch.eye(2), y=y, weight=torch.ones(2))
        >>> softmax(records, TEXT, 0)(torch.eye(2)).argmax(1).tolist()
        [0, 1]
    """
    d, c = records.inputs.shape[1], records.targets.shape[1]
    rng = seeds.at(seed, "train/softmax", device=records.inputs.device)
    weight = 0.01 * torch.randn(c, d, generator=rng, device=rng.device)
    bias = torch.zeros(c, device=rng.device)
    parts = [weight.requires_grad_(), bias.requires_grad_()]
    adam = torch.optim.Adam(parts, lr=HEAD_RATE_FACTOR * protocol.lr)
    for _ in range(protocol.epochs):
        adam.zero_grad()
        records.mean_cost(F.linear(records.inputs, weight, bias)).backward()
        adam.step()
    head = weight.detach(), bias.detach()
    return lambda x: F.linear(x, *head)


def network(
    name: str, records: TextTrainingSet, vectors: Tensor, protocol: Protocol, seed: int
) -> Answer:
    """A network on static word vectors, trained by Adam.

    Args:
        name: of `NETWORKS`.
        records: of word ids and masks.
        vectors: `[V + 1, d]`, the vector of each id; they stay as they are.
        protocol: its epochs, rate and batch.
        seed: of the start and of the batches.

    Returns:
        `(ids, mask)` to scores `[b, c]`.

    Example:
        >>> ids, mask = torch.tensor([[1], [2]]), torch.ones(2, 1)
        >>> y, weight = torch.arange(2), torch.ones(2)
        >>> records = TextTrainingSet((ids, mask), torch.eye(2), y=y, weight=weight)
        >>> vectors = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> quick = Protocol("quick", epochs=30, lr=0.01)
        >>> network("textcnn", records, vectors, quick, 0)((ids, mask)).argmax(1)
        tensor([0, 1])
    """
    net, rng = learner(name), seeds.at(seed, f"train/{name}")
    drawn = net.weights(rng, 1, vectors.shape[1], records.targets.shape[1])
    weights = {n: w[0].requires_grad_() for n, w in drawn.items()}
    adam = torch.optim.Adam(weights.values(), lr=protocol.lr)

    def scores(ids: Tensor, mask: Tensor) -> Tensor:
        width = max(1, int(mask.sum(1).max()))  # what no text of the batch fills
        x = F.embedding(ids[:, :width], vectors)
        return net.features(weights, x, mask[:, :width])[-1]

    ids, mask = records.inputs
    for rows in _batches(records, protocol, rng):
        adam.zero_grad()
        records.mean_cost(scores(ids[rows], mask[rows]), rows).backward()
        adam.step()

    def answer(words: tuple[Tensor, Tensor]) -> Tensor:
        ids, mask = words
        parts = list(passes(mask.sum(1), EVAL_BATCH_SIZE))
        with torch.no_grad():
            outputs = torch.cat([scores(ids[rows], mask[rows]) for rows in parts])
        return outputs[torch.cat(parts).argsort()]

    return answer


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


def _batches(
    records: TextTrainingSet, protocol: Protocol, rng: torch.Generator
) -> list[Tensor]:
    """Rows of each step; on a summary as many steps as the protocol has epochs."""
    n = len(records.y)
    size = protocol.whole_batch if records.whole else protocol.batch
    size = min(n, size or n)
    in_a_pass = -(-n // size)
    passes = WHOLE_DATA_PASSES if records.whole else -(-protocol.epochs // in_a_pass)
    orders = [torch.randperm(n, generator=rng) for _ in range(passes)]
    batches = [rows for order in orders for rows in order.split(size)]
    return batches if records.whole else batches[: protocol.epochs]
