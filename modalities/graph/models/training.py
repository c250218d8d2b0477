"""Training a model on one graph while it is judged on another: one protocol."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd import seeds
from multidd.evaluation.protocol import Protocol
from multidd.graph.data.graph_set import GraphSet
from multidd.graph.models.graph_networks import LAYERS, SetInputs, build_graph_network
from multidd.graph.models.linear_teacher import micro_f1
from multidd.graph.models.networks import Inputs, build
from multidd.graph.models.wl_refinement import Levels
from multidd.numerics import small_training

GCOND = Protocol(
    name="gcond",
    epochs=600,
    lr=0.01,
    lr_drop=0.1,
    weight_decay=5e-4,
    dropout=0.5,
    width=256,
    check_every=5,
)
"""The GCond protocol: 600 full-batch iterations of Adam, at half of them a new Adam at
a tenth of the rate, the iteration chosen by validation accuracy on the real graph."""

PROTOCOLS = {"gcond": GCOND}


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a model is trained on: a graph, the rows that count and their targets."""

    inputs: Inputs
    rows: Tensor
    targets: Tensor


@dataclass(frozen=True, eq=False)
class Exam:
    """What it is judged on: a graph, the rows that count and their labels: `[b]`, or
    `[b, c]` of 0 and 1 where nodes have several."""

    inputs: Inputs
    rows: Tensor
    labels: Tensor

    @property
    def metric(self) -> str:
        """What `score` is."""
        return "accuracy" if self.labels.dim() == 1 else "micro_f1"

    def score(self, model: Any) -> float:
        """Share of rows whose likeliest class is theirs, or micro-F1 of all labels."""
        with torch.no_grad():
            logits = model(self.inputs)[self.rows]
        if self.labels.dim() == 2:
            return micro_f1(logits > 0, self.labels > 0)
        return float((logits.argmax(1) == self.labels).float().mean())


def train(
    name: str, lesson: Lesson, val: Exam, test: Exam, protocol: Protocol, seed: int
) -> Mapping[str, float]:
    """Train by `protocol`; choose the iteration on `val`, report `test` there.

    Returns:
        `accuracy` on test (`micro_f1` where nodes have several labels), the same on
        validation nodes as `val_accuracy`, and the `epoch` chosen, counted from 1.
    """
    d, c = lesson.inputs.num_features, lesson.targets.shape[1]
    device = lesson.targets.device
    rng = seeds.at(seed, f"train/{name}", device=device)
    model = build(name, d, c, rng, width=protocol.width, dropout=protocol.dropout)
    best: dict[str, float] = {}
    chosen = -1.0
    several = val.labels.dim() == 2
    loss_of = F.binary_cross_entropy_with_logits if several else F.cross_entropy
    with small_training():
        optimizer = _adam(model, protocol, protocol.lr)
        for epoch in range(1, protocol.epochs + 1):
            if epoch == protocol.epochs // 2 + 1:
                optimizer = _adam(model, protocol, protocol.lr * protocol.lr_drop)
            loss = loss_of(model(lesson.inputs, rng)[lesson.rows], lesson.targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if epoch % protocol.check_every and epoch != protocol.epochs:
                continue
            score = val.score(model)
            if score > chosen:
                chosen, metric = score, val.metric
                best = {metric: test.score(model), f"val_{metric}": score}
                best["epoch"] = epoch
    return best


def _adam(model: Any, protocol: Protocol, lr: float) -> torch.optim.Adam:
    return torch.optim.Adam(
        model.parameters(), lr=lr, weight_decay=protocol.weight_decay, fused=True
    )


DOSCOND = Protocol(
    name="doscond",
    epochs=500,
    lr=1e-3,
    lr_drop=0.1,
    width=128,
    batch=128,
)
"""The DosCond protocol: three layers of width 128, the mean over nodes, Adam with
batches of 128 graphs, a tenth of the rate after half of 500 epochs, the epoch chosen by
validation accuracy."""

GRAPH_SET_PROTOCOLS = {"doscond": DOSCOND}

FEW = 8
"""Batches in a pass up to which each of them runs on the nodes of all graphs."""


class GraphSetExam:
    """Graphs to judge by."""

    def __init__(self, graphs: GraphSet) -> None:
        self.inputs, self.labels = SetInputs(Levels(graphs, LAYERS)), graphs.y

    def accuracy(self, model: torch.nn.Module) -> float:
        """Share of graphs whose likeliest class is theirs."""
        with torch.no_grad():
            found = model(self.inputs).argmax(1)
        return float((found == self.labels).float().mean())


def train_on_graphs(
    name: str,
    lesson: GraphSet,
    val: GraphSetExam,
    test: GraphSetExam,
    protocol: Protocol,
    seed: int,
) -> Mapping[str, float]:
    """Train by `protocol`; choose the epoch on `val`, report `test` there.

    Returns:
        `accuracy` on test, `val_accuracy`, and the `epoch` chosen, counted from 1.
    """
    rng = seeds.at(seed, f"train/{name}")
    form = lesson.form
    model = build_graph_network(
        name,
        form.features,
        form.classes,
        rng,
        width=protocol.width,
        dropout=protocol.dropout,
    )
    best: dict[str, float] = {"val_accuracy": -1.0}
    with small_training():
        optimizer = _batch_adam(model, protocol, protocol.lr)
        whole = SetInputs(Levels(lesson, LAYERS))
        for epoch in range(1, protocol.epochs + 1):
            if epoch == protocol.epochs // 2 + 1:
                optimizer = _batch_adam(model, protocol, protocol.lr * protocol.lr_drop)
            for inputs, labels in _batches(whole, lesson, protocol.batch, rng):
                loss = F.cross_entropy(model(inputs, rng), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if epoch % protocol.check_every and epoch != protocol.epochs:
                continue
            score = val.accuracy(model)
            if score > best["val_accuracy"]:
                found = test.accuracy(model)
                best = {"accuracy": found, "val_accuracy": score, "epoch": epoch}
    return best


def _batches(
    whole: SetInputs, lesson: GraphSet, size: int, rng: torch.Generator
) -> Iterator[tuple[SetInputs, Tensor]]:
    """One pass over the graphs, in an order of its own; all at once if they fit."""
    if not size or len(lesson) <= size:
        yield whole, lesson.y
        return
    for graphs in torch.randperm(len(lesson), generator=rng).split(size):
        if len(lesson) <= FEW * size:  # most kinds of node are in any batch
            yield whole.only(graphs), lesson.y[graphs]
            continue
        part = lesson.take(graphs)
        yield SetInputs(Levels(part, LAYERS)), part.y


def _batch_adam(
    model: torch.nn.Module, protocol: Protocol, lr: float
) -> torch.optim.Optimizer:
    return torch.optim.Adam(
        model.parameters(), lr=lr, weight_decay=protocol.weight_decay, fused=True
    )
