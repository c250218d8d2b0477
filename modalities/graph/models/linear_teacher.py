"""A teacher for graphs of any size: linear heads on propagated features."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from multidd import seeds
from multidd.graph.data.graph import Graph
from multidd.graph.models.propagated_features import SAMPLE, Hops
from multidd.graph.models.propagation import product, scales
from multidd.numerics import flush_denormals

DECAYS = (1e-4, 1e-2)
"""Of every head at first; of the best one again."""

VIEWS = ("own", "low", "all")
BATCH, STEPS, RATE = 2048, 200, 0.03
SMOOTH = 8
"""Smoothing steps at most."""


@dataclass(frozen=True, eq=False)
class TeacherOutput:
    """Class probabilities of every node, as a teacher predicts them.

    Attributes:
        p: `[n, c]` probabilities; of each label on its own where nodes have several.
        view: `"own"` where a node's own features tell more of the classes than
            propagated ones by more than `margin`: neighbours mislead; else `"low"`.
        smoothing: how often p was averaged over neighbours.
        scores: on validation nodes, by what the heads saw; empty without any.
    """

    p: np.ndarray
    view: str
    smoothing: int
    scores: dict[str, float]


def hop_teacher(
    graph: Graph, hops: Hops, seed: int = 0, device: str = "cpu"
) -> TeacherOutput:
    r"""Linear heads on $X$, on $(\hat A X, \hat A^2 X)$ and on all three.

    They train on batches of labelled nodes, at most 65,536 of them. The best on
    validation nodes gives every node probabilities, which are averaged over neighbours,
    $P \leftarrow 0.9 \hat A P + 0.1 P_0$, for as long as that helps on validation
    nodes. Without validation nodes it is the head on all three, smoothed twice, and the
    view is `"low"`.

    Args:
        graph: with training labels.
        hops: its features.
        seed: of batches.
        device: where heads train and predict; neighbours are averaged on the CPU.

    Returns:
        The `TeacherOutput`; training nodes have their own labels.

    Example:
        >>> import multidd
        >>> from multidd.graph.data.graph import as_graph
        >>> from multidd.graph.models.propagated_features import hops_of
        >>> graph = as_graph(multidd.graph.blocks(300, 900, 8, 3))
        >>> with hops_of(graph) as hops:
        ...     hop_teacher(graph, hops).p.shape
        (300, 3)
    """
    heads = _Heads(graph, hops, seed, device)
    val = _sampled(graph.val, seed, "val")
    best, scores = heads.choose(val)
    apart = scores and scores["own"] > scores["low"] + margin(len(val))
    view = "own" if apart else "low"
    start = heads.predict(best)
    p, steps = _smoothed(graph, start, max(scores.values(), default=None))
    p[graph.train.numpy()] = _targets(graph, graph.train.nonzero().flatten()).numpy()
    return TeacherOutput(p, view, steps, scores)


def margin(nodes: int) -> float:
    """A gain on so many validation nodes that is more than chance.

    Example:
        >>> margin(400), margin(10**6)
        (0.05, 0.02)
    """
    return max(0.02, nodes**-0.5)


def score(graph: Graph, p: Tensor, rows: Tensor) -> float:
    """Accuracy of probabilities on some nodes; micro-F1 where nodes have several
    labels."""
    if graph.multi_label is None:
        return float((p.argmax(1) == graph.y[rows].to(p.device)).float().mean())
    return micro_f1(p > 0.5, graph.multi_label[rows].to(p.device) > 0)


def micro_f1(predicted: Tensor, truth: Tensor) -> float:
    r"""$2 TP / (2 TP + FP + FN)$ over all nodes and labels.

    Example:
        >>> micro_f1(torch.tensor([[True, False]]), torch.tensor([[True, True]]))
        0.6666666666666666
    """
    both = int((predicted & truth).sum())
    either = int(predicted.sum()) + int(truth.sum())
    return 2 * both / either if either else 1.0


def _targets(graph: Graph, rows: Tensor) -> Tensor:
    if graph.multi_label is not None:
        return graph.multi_label[rows]
    return F.one_hot(graph.y[rows], graph.num_classes).float()


def _sampled(mask: Tensor, seed: int, name: str) -> Tensor:
    """The nodes of a mask, or so many of them by chance, in order."""
    rows = mask.nonzero().flatten()
    if len(rows) <= SAMPLE:
        return rows
    order = torch.randperm(len(rows), generator=seeds.at(seed, f"hops/{name}"))
    return rows[order[:SAMPLE].sort().values]


@dataclass(frozen=True, eq=False)
class _Head:
    """`[d', c]` and `[c]`, on the columns of its view."""

    weight: Tensor
    bias: Tensor
    columns: slice


class _Heads:
    """Heads of three views, trained on rows of length one in each of three parts."""

    def __init__(self, graph: Graph, hops: Hops, seed: int, device: str) -> None:
        self.graph, self.hops, self.seed, self.device = graph, hops, seed, device
        rows = _sampled(graph.train, seed, "train")
        x, d = hops.all(rows.numpy()).to(device), graph.x.shape[1]
        sizes = [part.square().sum(1).mean().sqrt() for part in x.split(d, dim=1)]
        unit = torch.stack(sizes).clamp(min=1e-12).reciprocal()
        self.unit = unit.repeat_interleave(d)
        self.x, self.targets = x.mul_(self.unit), _targets(graph, rows).to(device)
        self.columns = dict(zip(VIEWS, _slices(d), strict=True))

    def choose(self, val: Tensor) -> tuple[_Head, dict[str, float]]:
        """The best head, and the score of every view; none without nodes to judge on,
        and then the head on everything."""
        if not len(val):
            return self._train("all", DECAYS[0]), {}
        x = self.hops.all(val.numpy()).to(self.device).mul_(self.unit)
        heads = {view: self._train(view, DECAYS[0]) for view in VIEWS}
        scores = {view: self._score(heads[view], x, val) for view in VIEWS}
        first = max(VIEWS, key=lambda view: scores[view])
        again = self._train(first, DECAYS[1])
        tuned_score = self._score(again, x, val)
        if tuned_score <= scores[first]:
            return heads[first], scores
        return again, scores | {first: tuned_score}

    def predict(self, head: _Head) -> np.ndarray:
        """`[n, c]` probabilities of one head, some rows at a time."""
        n = self.graph.num_nodes
        p = np.empty((n, self.graph.num_classes), np.float32)
        for start in range(0, n, SAMPLE):
            rows = slice(start, min(start + SAMPLE, n))
            x = self.hops.all(rows).to(self.device).mul_(self.unit)
            p[rows] = self._probabilities(head, x).cpu().numpy()
        return p

    def _train(self, view: str, decay: float) -> _Head:
        """Adam on batches of labelled nodes, by the gradient in closed form."""
        columns = self.columns[view]
        x, c = self.x[:, columns], self.graph.num_classes
        head = _Head(x.new_zeros(x.shape[1], c), x.new_zeros(c), columns)
        moments = [torch.zeros_like(t) for t in (head.weight, head.bias) for _ in "ab"]
        rng = seeds.at(self.seed, f"hops/{view}", device=self.device)
        with flush_denormals():
            for step in range(1, STEPS + 1):
                batch, y = x, self.targets
                if len(x) > BATCH:
                    drawn = torch.randint(
                        len(x), (BATCH,), generator=rng, device=rng.device
                    )
                    batch, y = x[drawn], y[drawn]
                apart = (self._link(batch @ head.weight + head.bias) - y) / len(batch)
                down = batch.T @ apart + decay * head.weight
                rate = RATE * (1 - (step - 1) / STEPS)
                _adam(head.weight, down, moments[:2], rate, step)
                _adam(head.bias, apart.sum(0), moments[2:], rate, step)
        return head

    def _score(self, head: _Head, x: Tensor, rows: Tensor) -> float:
        return score(self.graph, self._probabilities(head, x), rows)

    def _probabilities(self, head: _Head, x: Tensor) -> Tensor:
        return self._link(x[:, head.columns] @ head.weight + head.bias)

    def _link(self, logits: Tensor) -> Tensor:
        multi_label = self.graph.multi_label is not None
        return logits.sigmoid() if multi_label else logits.softmax(-1)


def _slices(d: int) -> tuple[slice, slice, slice]:
    """Columns of each view among X and both hops."""
    return slice(0, d), slice(d, 3 * d), slice(0, 3 * d)


def _adam(
    tensor: Tensor, gradient: Tensor, moments: list[Tensor], rate: float, step: int
) -> None:
    first, second = moments
    first.lerp_(gradient, 0.1)
    second.lerp_(gradient.square(), 0.001)
    size = (second / (1 - 0.999**step)).sqrt() + 1e-8
    tensor -= rate / (1 - 0.9**step) * first / size


def _smoothed(
    graph: Graph, start: np.ndarray, before: float | None
) -> tuple[np.ndarray, int]:
    """Probabilities averaged over neighbours while validation gains, and how often."""
    if graph.multi_label is not None or not graph.adjacency.nnz:
        return start, 0
    rows, scale = graph.val.nonzero().flatten(), scales(graph.adjacency)
    best, now, steps = start, start, 0
    if before is not None:  # the head was scored on some of them
        before = score(graph, torch.from_numpy(start[rows.numpy()]), rows)
    for step in range(1, (SMOOTH if before is not None else 2) + 1):
        now = product(graph.adjacency, scale, now, np.empty_like(start))
        now *= 0.9
        now += 0.1 * start
        if before is not None:
            gain = score(graph, torch.from_numpy(now[rows.numpy()]), rows)
            if gain <= before:
                break
            before = gain
        best, steps = now, step
    total = best.sum(axis=1, keepdims=True)
    return best / np.maximum(total, 1e-12), steps
