"""Training a graph classifier on some graphs while it is judged on others."""

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd import seeds
from multidd.evaluation.protocol import Protocol
from multidd.graph.data.graph_set import GraphSet
from multidd.graph.models.graph_networks import LAYERS, SetInputs, build
from multidd.graph.models.wl_refinement import Levels
from multidd.numerics import small_training

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

PROTOCOLS = {"doscond": DOSCOND}

FEW = 8
"""Batches in a pass up to which each of them runs on the nodes of all graphs."""


class Exam:
    """Graphs to judge by."""

    def __init__(self, graphs: GraphSet) -> None:
        self.inputs, self.labels = SetInputs(Levels(graphs, LAYERS)), graphs.y

    def accuracy(self, model: torch.nn.Module) -> float:
        """Share of graphs whose likeliest class is theirs."""
        with torch.no_grad():
            found = model(self.inputs).argmax(1)
        return float((found == self.labels).float().mean())


def train(
    name: str, lesson: GraphSet, val: Exam, test: Exam, protocol: Protocol, seed: int
) -> Mapping[str, float]:
    """Train by `protocol`; choose the epoch on `val`, report `test` there.

    Returns:
        `accuracy` on test, `val_accuracy`, and the `epoch` chosen, counted from 1.
    """
    rng = seeds.at(seed, f"train/{name}")
    form = lesson.form
    model = build(
        name,
        form.features,
        form.classes,
        rng,
        width=protocol.width,
        dropout=protocol.dropout,
    )
    best: dict[str, float] = {"val_accuracy": -1.0}
    with small_training():
        optimizer = _adam(model, protocol, protocol.lr)
        whole = SetInputs(Levels(lesson, LAYERS))
        for epoch in range(1, protocol.epochs + 1):
            if epoch == protocol.epochs // 2 + 1:
                optimizer = _adam(model, protocol, protocol.lr * protocol.lr_drop)
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


def _adam(
    model: torch.nn.Module, protocol: Protocol, lr: float
) -> torch.optim.Optimizer:
    return torch.optim.Adam(
        model.parameters(), lr=lr, weight_decay=protocol.weight_decay, fused=True
    )
