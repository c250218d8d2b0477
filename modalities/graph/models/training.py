"""Protocols by which models of graphs are trained while summaries are evaluated."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multidd import seeds
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.training import (
    EvaluationSet,
    TrainingSet,
    row_batches,
    train_and_choose_epoch,
)
from multidd.graph.data.graph_set import GraphSet
from multidd.graph.models.graph_networks import LAYERS, SetInputs, build_graph_network
from multidd.graph.models.linear_teacher import micro_f1
from multidd.graph.models.module_backbone import TrainedModule
from multidd.graph.models.networks import Inputs, build
from multidd.graph.models.wl_refinement import Levels
from multidd.learning.modules import ModuleFactory
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

MAX_JOINT_BATCHES = 8
"""Batches in a pass up to which each of them runs on the nodes of all graphs."""


@dataclass(frozen=True, eq=False)
class NodeTrainingSet(TrainingSet):
    """Nodes that a model is trained on.

    Attributes:
        inputs: the `Inputs` of their graph.
        rows: the nodes that count, those of `targets`.
        draw_view: a generator to the graph as one update sees it, and labels in the
            place of `targets`.
    """

    rows: Tensor = field(kw_only=True)
    draw_view: Callable[[torch.Generator], tuple[Inputs, Tensor]] | None = None

    def shown(self, rng: torch.Generator) -> tuple[Inputs, Tensor]:
        """The graph and the labels of one update."""
        if self.draw_view is None:
            return self.inputs, self.targets
        return self.draw_view(rng)


@dataclass(frozen=True, eq=False)
class NodeEvaluationSet(EvaluationSet):
    """Nodes that a model is validated or tested on.

    Attributes:
        inputs: the `Inputs` of their graph.
        labels: `[b]`, or `[b, c]` of 0 and 1 where nodes have several.
        rows: the nodes that count, those of `labels`.
    """

    rows: Tensor = field(kw_only=True)

    @property
    def metric(self) -> str:
        """What `score` is."""
        return "accuracy" if self.labels.dim() == 1 else "micro_f1"

    def logits(self, model: Callable[..., Tensor]) -> Tensor:
        """`[b, c]`."""
        with torch.no_grad():
            return model(self.inputs)[self.rows]

    def predict(self, model: Callable[..., Tensor]) -> Tensor:
        """`[b]`, the likeliest class of each node."""
        return self.logits(model).argmax(1)

    def score(self, model: Callable[..., Tensor]) -> float:
        """Share of nodes whose likeliest class is theirs, or micro-F1 of all labels."""
        if self.labels.dim() == 2:
            return micro_f1(self.logits(model) > 0, self.labels > 0)
        return super().score(model)


def train(
    name: str,
    records: NodeTrainingSet,
    val: NodeEvaluationSet,
    test: NodeEvaluationSet,
    protocol: Protocol,
    seed: int,
    factory: ModuleFactory | None = None,
) -> Mapping[str, float]:
    """Train by `protocol`; choose the iteration on `val`, report `test` there.

    Args:
        name: of the model.
        records, val, test: nodes to train, choose and report on.
        protocol: how.
        seed: of weights and dropout.
        factory: makes the model, where it is none of `multidd.graph.models.networks`.

    Returns:
        `accuracy` on test (`micro_f1` where nodes have several labels), the same on
        validation nodes as `val_accuracy`, and the `epoch` chosen, counted from 1.
    """
    return fit_network(name, records, val, test, protocol, seed, factory)[1]


def fit_network(
    name: str,
    records: NodeTrainingSet,
    val: NodeEvaluationSet,
    test: NodeEvaluationSet,
    protocol: Protocol,
    seed: int,
    factory: ModuleFactory | None = None,
) -> tuple[nn.Module, Mapping[str, float]]:
    """As `train`, with the network: of whole data that of the best epoch, else of the
    last one."""
    d, c = records.inputs.num_features, records.targets.shape[1]
    rng = seeds.at(seed, f"train/{name}", device=records.targets.device)
    model: nn.Module
    if factory is None:
        model = build(name, d, c, rng, width=protocol.width, dropout=protocol.dropout)
    else:
        model = TrainedModule(factory, d, c, rng)
    multi_label = val.labels.dim() == 2
    loss_of = F.binary_cross_entropy_with_logits if multi_label else F.cross_entropy

    def train_pass(optimizer: torch.optim.Optimizer) -> None:
        inputs, targets = records.shown(rng)
        loss = loss_of(model(inputs, rng)[records.rows], targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    scores = train_and_choose_epoch(
        model, protocol, train_pass, val, test, whole=records.whole
    )
    return model, scores


class GraphEvaluationSet(EvaluationSet):
    """Graphs that a classifier is validated or tested on.

    Args:
        graphs: with their labels.
        device: where the classifier is.
    """

    def __init__(self, graphs: GraphSet, device: str = "cpu") -> None:
        super().__init__(SetInputs(Levels(graphs, LAYERS, device)), graphs.y.to(device))


@dataclass(frozen=True, eq=False)
class GraphTrainingSet:
    """Graphs that a classifier is trained on.

    Attributes:
        graphs: the graphs.
        targets: `[n]` classes, or `[n, c]` probabilities.
        whole: whole data, not a summary.
        draw_view: some graphs and a generator to those graphs as one update sees them,
            and labels in the place of `targets`.
    """

    graphs: GraphSet
    targets: Tensor
    whole: bool = False
    draw_view: (
        Callable[[GraphSet, torch.Generator], tuple[SetInputs, Tensor]] | None
    ) = None


def train_on_graphs(
    name: str,
    records: GraphTrainingSet,
    val: GraphEvaluationSet,
    test: GraphEvaluationSet,
    protocol: Protocol,
    seed: int,
) -> Mapping[str, float]:
    """Train by `protocol`; choose the epoch on `val`, report `test` there.

    Whole data are trained on until the score on `val` has stopped rising. The
    classifier is trained where the validation graphs are.

    Returns:
        `accuracy` on test, `val_accuracy`, and the `epoch` chosen, counted from 1.
    """
    return fit_graph_network(name, records, val, test, protocol, seed)[1]


def fit_graph_network(
    name: str,
    records: GraphTrainingSet,
    val: GraphEvaluationSet,
    test: GraphEvaluationSet,
    protocol: Protocol,
    seed: int,
) -> tuple[nn.Module, Mapping[str, float]]:
    """As `train_on_graphs`, with the network: of whole data that of the best epoch,
    else of the last one."""
    device = val.labels.device
    rng = seeds.at(seed, f"train/{name}", device=device)
    form = records.graphs.form
    model: nn.Module = build_graph_network(
        name,
        form.features,
        form.classes,
        rng,
        width=protocol.width,
        dropout=protocol.dropout,
    )
    with small_training():
        inputs = SetInputs(Levels(records.graphs, LAYERS, device))

    def train_pass(optimizer: torch.optim.Optimizer) -> None:
        for some, labels in _batches(inputs, records, protocol.batch, rng):
            loss = F.cross_entropy(model(some, rng), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    scores = train_and_choose_epoch(
        model, protocol, train_pass, val, test, records.whole
    )
    return model, scores


def _batches(
    inputs: SetInputs, records: GraphTrainingSet, size: int, rng: torch.Generator
) -> Iterator[tuple[SetInputs, Tensor]]:
    """One pass over the graphs, in an order of its own; all at once if they fit."""
    graphs, targets, device = records.graphs, records.targets, rng.device
    batches = row_batches(len(graphs), size, rng)
    if records.draw_view is not None:
        for rows in batches:
            some = graphs if len(batches) == 1 else graphs.take(rows)
            yield records.draw_view(some, rng)
        return
    if len(batches) == 1:
        yield inputs, targets.to(device)
        return
    for rows in batches:
        labels = targets[rows].to(device)
        if len(graphs) <= MAX_JOINT_BATCHES * size:  # most nodes are in any batch
            yield inputs.only(rows), labels
            continue
        yield SetInputs(Levels(graphs.take(rows), LAYERS, device)), labels
