"""Models that are trained while a summary is judged, and the protocols."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd import seeds
from multidd.evaluation.protocol import Protocol
from multidd.learning.functional import cost
from multidd.text.models.kernel_predictor import one_hot
from multidd.text.models.learners import learner

__all__ = ["NETWORKS", "PROTOCOLS", "Lesson", "logistic", "network", "softmax"]

TEXT = Protocol(name="text", epochs=200, lr=1e-3, batch=64, whole_batch=64)
"""200 steps of Adam on a summary, all of it in a batch up to 64 rows; six passes over
whole data."""

QUICK = replace(TEXT, name="quick", epochs=50)
"""A look in a fourth of the time."""

PROTOCOLS = {one.name: one for one in (TEXT, QUICK)}

NETWORKS = ("textcnn", "gru", "lstm")
"""Learners on static word vectors."""

PASSES = 6
"""Over whole data, for networks."""

STEEP = 100.0
"""Times the protocol's rate: a linear head on features of length one needs that."""

C = 10.0
"""Inverse penalty of the logistic regression."""

Answer = Callable[[Any], Tensor]


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a model is trained on.

    Attributes:
        x: `[m, d]` features, or `(ids, mask)` of word ids.
        y: `[m]`, classes.
        targets: `[m, c]`: one-hot, soft or centered.
        weight: `[m]`.
        centered: targets are centered: heads are trained by the squared error.
        whole: whole data.
    """

    x: Any
    y: Tensor
    targets: Tensor
    weight: Tensor
    centered: bool = False
    whole: bool = False


def logistic(lesson: Lesson) -> Answer:
    """Logistic regression on features, hard labels and weights.

    Args:
        lesson: of features.

    Returns:
        Features `[b, d]` to scores `[b, c]`.

    Example:
        >>> x, y = torch.eye(2), torch.arange(2)
        >>> made = logistic(Lesson(x, y, torch.eye(2), torch.ones(2)))
        >>> made(x).argmax(1).tolist()
        [0, 1]
    """
    from sklearn.linear_model import LogisticRegression  # loads slowly

    classes = lesson.targets.shape[1]
    there = lesson.y.unique()
    if len(there) == 1:
        alone = one_hot(there, classes)
        return lambda x: alone.expand(len(x), -1)
    model = LogisticRegression(C=C, max_iter=2000)
    mass = lesson.weight.cpu().numpy()
    model.fit(lesson.x.cpu().numpy(), lesson.y.cpu().numpy(), sample_weight=mass)

    def answer(x: Tensor) -> Tensor:
        scores = torch.zeros(len(x), classes)
        found = torch.from_numpy(model.predict_proba(x.cpu().numpy()))
        scores[:, torch.from_numpy(model.classes_)] = found.float()
        return scores

    return answer


def softmax(lesson: Lesson, protocol: Protocol, seed: int) -> Answer:
    """A linear head on features, trained on all rows at once by Adam.

    The loss is the weighted cross-entropy with the targets, or half the squared error
    where these are centered.

    Args:
        lesson: of features.
        protocol: its epochs, and its rate, a hundred times of which is taken.
        seed: of the start.

    Returns:
        Features `[b, d]` to scores `[b, c]`.

    Example:
        >>> lesson = Lesson(torch.eye(2), torch.arange(2), torch.eye(2), torch.ones(2))
        >>> softmax(lesson, TEXT, 0)(torch.eye(2)).argmax(1).tolist()
        [0, 1]
    """
    d, c = lesson.x.shape[1], lesson.targets.shape[1]
    rng = seeds.at(seed, "train/softmax", device=lesson.x.device)
    weight = 0.01 * torch.randn(c, d, generator=rng, device=rng.device)
    bias = torch.zeros(c, device=rng.device)
    parts = [weight.requires_grad_(), bias.requires_grad_()]
    adam = torch.optim.Adam(parts, lr=STEEP * protocol.lr)
    for _ in range(protocol.epochs):
        adam.zero_grad()
        _loss(F.linear(lesson.x, weight, bias), lesson, slice(None)).backward()
        adam.step()
    found = weight.detach(), bias.detach()
    return lambda x: F.linear(x, *found)


def network(
    name: str, lesson: Lesson, vectors: Tensor, protocol: Protocol, seed: int
) -> Answer:
    """A network on static word vectors, trained by Adam.

    Args:
        name: of `NETWORKS`.
        lesson: of word ids and masks.
        vectors: `[V + 1, d]`, the vector of each id; they stay as they are.
        protocol: its epochs, rate and batch.
        seed: of the start and of the batches.

    Returns:
        `(ids, mask)` to scores `[b, c]`.

    Example:
        >>> ids, mask = torch.tensor([[1], [2]]), torch.ones(2, 1)
        >>> lesson = Lesson((ids, mask), torch.arange(2), torch.eye(2), torch.ones(2))
        >>> vectors = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> quick = Protocol("quick", epochs=30, lr=0.01)
        >>> network("textcnn", lesson, vectors, quick, 0)((ids, mask)).argmax(1)
        tensor([0, 1])
    """
    net, rng = learner(name), seeds.at(seed, f"train/{name}")
    drawn = net.weights(rng, 1, vectors.shape[1], lesson.targets.shape[1])
    weights = {n: w[0].requires_grad_() for n, w in drawn.items()}
    adam = torch.optim.Adam(weights.values(), lr=protocol.lr)

    def scores(ids: Tensor, mask: Tensor) -> Tensor:
        width = max(1, int(mask.sum(1).max()))  # what no text of the batch fills
        x = F.embedding(ids[:, :width], vectors)
        return net.features(weights, x, mask[:, :width])[-1]

    ids, mask = lesson.x
    for rows in _batches(lesson, protocol, rng):
        adam.zero_grad()
        _loss(scores(ids[rows], mask[rows]), lesson, rows).backward()
        adam.step()

    def answer(given: tuple[Tensor, Tensor]) -> Tensor:
        parts = zip(*(part.split(256) for part in given), strict=True)
        with torch.no_grad():
            return torch.cat([scores(*part) for part in parts])

    return answer


def scores_of(found: Tensor, y: Tensor, classes: tuple[str, ...]) -> Mapping[str, Any]:
    """Accuracy, macro F1, and accuracy on each class.

    Args:
        found: `[n]`, predicted classes.
        y: `[n]`, true ones.
        classes: name of each class.

    Example:
        >>> found, y = torch.tensor([0, 0]), torch.tensor([0, 1])
        >>> round(scores_of(found, y, ("a", "b"))["macro_f1"], 3)
        0.333
    """
    told = {"accuracy": float((found == y).float().mean())}
    each = []
    for label, name in enumerate(classes):
        real, said = y == label, found == label
        if bool(real.any()):
            right = (real & said).sum()
            each.append(2 * right / (real.sum() + said.sum()))
            told[f"accuracy/{name}"] = float(right / real.sum())
    return told | {"macro_f1": float(torch.stack(each).mean())}


def _loss(logits: Tensor, lesson: Lesson, rows: Any) -> Tensor:
    targets, mass = lesson.targets[rows], lesson.weight[rows]
    each = cost(logits, targets, "mse" if lesson.centered else "cross_entropy")
    return (mass * each).sum() / mass.sum()


def _batches(lesson: Lesson, protocol: Protocol, rng: torch.Generator) -> list[Tensor]:
    """Rows of each step; on a summary as many steps as the protocol has epochs."""
    n = len(lesson.y)
    size = protocol.whole_batch if lesson.whole else protocol.batch
    size = min(n, size or n)
    each = -(-n // size)
    passes = PASSES if lesson.whole else -(-protocol.epochs // each)
    parts = [torch.randperm(n, generator=rng).split(size) for _ in range(passes)]
    rows = [part for one in parts for part in one]
    return rows if lesson.whole else rows[: protocol.epochs]
