"""Node classification as a task of the core."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.classes import ClassIndex, by_class
from multidd.graph.data.graph import Graph, as_graph
from multidd.graph.models.backbones import SGC, Backbone, named_backbone
from multidd.graph.models.module_backbone import ModuleBackbone, edges_of
from multidd.graph.models.propagation import Propagation
from multidd.graph.models.spectrum import Eigenbasis, eigenbasis
from multidd.graph.summary.summary import GraphSummary
from multidd.graph.tasks.node_batch import NodeBatch, WholeGraphBatch
from multidd.learning.functional import map_tensors
from multidd.protocols import Draw, Params, Picks, Records, TaskDefaults
from multidd.settings import describe, tensor_digest
from multidd.storage.codecs import Codec
from multidd.summary import Card

EMPHASIS = 2.0
"""Weight of a teacher's probabilities beside features of length one in a selection."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Which nodes stand on the real side.

    Attributes:
        nodes: `[r]` indices.
        labels: `[r]` the class of each.
        weights: `[r]` how much each counts within its class.
        beliefs: `[r, c]` a teacher's probabilities, where there is one: selections
            compare nodes by these too.
    """

    nodes: Tensor
    labels: Tensor
    weights: Tensor
    beliefs: Tensor | None = None


def seen(graph: Graph, inductive: bool) -> Graph:
    """The graph that a method sees: all of it, or its training part."""
    return graph.subgraph(graph.train.nonzero().flatten()) if inductive else graph


def training_rows(graph: Graph) -> Rows:
    """The training nodes, with weight one."""
    nodes = graph.train.nonzero().flatten()
    return Rows(nodes, graph.y[nodes], torch.ones(len(nodes)))


def taught_rows(graph: Graph, probabilities: Tensor) -> Rows:
    """All nodes in their likeliest class; training nodes keep their own."""
    confidence, labels = probabilities.max(1)
    labels = torch.where(graph.train, graph.y, labels)
    confidence = torch.where(graph.train, 1.0, confidence)
    one_hot = F.one_hot(labels, graph.num_classes).float()
    beliefs = torch.where(graph.train[:, None], one_hot, probabilities)
    return Rows(torch.arange(graph.num_nodes), labels, confidence, beliefs)


def edges_between(
    picks: Picks, nodes: Tensor, adjacency: sp.csr_array, operator: sp.csr_array
) -> Tensor:
    """`[m, m]`, edges between records; between means the mass of edges from one's
    records to the other's, relative to the mass within each.

    Args:
        picks: m records, or means of records.
        nodes: the node behind each record.
        adjacency: of the graph.
        operator: the adjacency with self-loops, normalized.
    """
    if picks.real:
        at = nodes[picks.indices.cpu()].numpy()
        return torch.from_numpy(adjacency[at][:, at].toarray())
    rows, columns = picks.weights.coalesce().indices().cpu().numpy()
    size = (len(picks.labels), adjacency.shape[0])
    ones = np.ones(len(rows), np.float32)
    member = sp.csr_array((ones, (rows, nodes.numpy()[columns])), shape=size)
    mass = (member @ operator @ member.T).toarray()
    within = np.sqrt(np.clip(mass.diagonal(), 1e-6, None))
    between = np.clip(mass / within[:, None] / within, 0.0, 1.0)
    np.fill_diagonal(between, 0.0)
    return torch.from_numpy(between)


@dataclass(frozen=True, eq=False)
class NodeTask(TaskDefaults):
    """Condensing the nodes of one graph.

    Features are divided by `scale`, the root mean square length of the propagated
    features of the real rows, so that learning rates mean the same on every graph;
    the summary is in the space of the data again.

    Attributes:
        graph: what the method sees.
        rows: the real side: training nodes, or more with a teacher's labels.
        backbone: the model that is matched on.
        batch_size: real rows drawn for each class at a step; None takes all.
        structure: whether synthetic nodes start with the edges between the records
            they are made of.
        soft: real rows count with a teacher's probabilities, not its likeliest class.
        device: where tensors live.
        held: the real batch of every step; drawn anew where None.
        propagation: over `graph`, shared with teachers and with other tasks on it.
    """

    graph: Graph
    rows: Rows
    backbone: Backbone = SGC()
    batch_size: int | None = 256
    structure: bool = True
    soft: bool = False
    device: str = "cpu"
    held: NodeBatch | None = None
    propagation: Propagation | None = None

    @classmethod
    def of(
        cls,
        data: Any,
        *,
        backbone: str | Backbone = "sgc",
        probabilities: Tensor | None = None,
        inductive: bool = False,
        batch_size: int | None = 256,
        structure: bool = True,
        soft: bool = False,
        propagation: Propagation | None = None,
    ) -> Self:
        """The task of a PyG `Data`.

        Args:
            data: a PyG `Data`; see `multidd.graph.data.graph.as_graph`.
            backbone: `"sgc"`, `"gcn"` or settings of one.
            probabilities: `[n, c]` of a teacher: all nodes stand on the real side, each
                in its likeliest class (training nodes in their own), weighted by the
                teacher's confidence. Without it the training nodes stand alone.
            inductive: see the training nodes and the edges between them only.
            batch_size: real rows drawn for each class at a step; None takes all.
            structure: start with the edges between the records.
            soft: the real side has those probabilities for labels.
            propagation: over the graph that is seen, where there is one already.

        Returns:
            A `NodeTask`.

        Example:
            >>> import multidd
            >>> NodeTask.of(multidd.samples.cora()).num_classes
            7
        """
        graph = seen(as_graph(data), inductive)
        rows = training_rows(graph)
        if probabilities is not None:
            rows = taught_rows(graph, probabilities)
        return cls(
            graph,
            rows,
            named_backbone(backbone),
            batch_size,
            structure,
            soft,
            propagation=propagation,
        )

    def __post_init__(self) -> None:
        shared = self.propagation
        if (
            shared is None or shared.x is not self.graph.x
        ):  # also of a copy on another graph
            shared = Propagation(self.graph.adjacency, self.graph.x)
            object.__setattr__(self, "propagation", shared)
        if isinstance(self.backbone, ModuleBackbone):
            backbone = self.backbone.bound(self.graph.x.shape[1], self.num_classes)
            object.__setattr__(self, "backbone", backbone)

    @property
    def shareable(self) -> tuple[str, ...]:
        """By rows: synthetic nodes of all classes may have edges between them."""
        return ("rows",)

    @property
    def num_classes(self) -> int:
        """c."""
        return self.graph.num_classes

    @property
    def vectorize_models(self) -> bool:
        """Heads and small networks run stacked, modules of others one by one."""
        return not isinstance(self.backbone, ModuleBackbone)

    def to(self, device: str) -> Self:
        """The same task on another device."""
        return self if device == self.device else replace(self, device=device)

    def describe(self) -> dict[str, Any]:
        """Settings, and the fingerprint of data and rows."""
        return {
            "kind": "NodeTask",
            "data": self.graph.describe(),
            "backbone": describe(self.backbone),
            "batch_size": self.batch_size,
            "soft": self.soft,
            "rows": tensor_digest(self.rows.labels) + tensor_digest(self.rows.weights),
        }

    @cached_property
    def scale(self) -> float:
        """Root mean square length of the propagated features of the real rows."""
        hops = self.backbone.propagations + self.backbone.later
        x = self._propagated(hops)[self.rows.nodes]
        return max(float(x.square().sum(1).mean().sqrt()), 1e-12)

    def batch(self, rng: torch.Generator) -> NodeBatch:
        """Real rows, all of them or `batch_size` of each class."""
        if self.held is not None:
            return self.held
        sizes = torch.bincount(self.rows.labels, minlength=self.num_classes)
        if self.batch_size is None or int(sizes.max()) <= self.batch_size:
            return self._whole
        drawn = []
        for label in range(self.num_classes):
            members = (self.rows.labels == label).nonzero().flatten()
            order = torch.randperm(len(members), generator=rng, device=rng.device)
            drawn.append(members[order[: self.batch_size].cpu()])
        return self._block(torch.cat(drawn))

    def take(self, batch: NodeBatch, rows: Tensor) -> NodeBatch:
        """Some nodes of a batch, with their weights."""
        return batch.take(rows, self.num_classes)

    def synthetic(self, draw: Draw) -> NodeBatch:
        """A draw, propagated over its adjacency; differentiable."""
        if isinstance(self.backbone, ModuleBackbone):
            return WholeGraphBatch.of_draw(draw, self.num_classes)
        return NodeBatch.from_draw(draw, self.backbone, self.num_classes)

    def classes(self, batch: NodeBatch) -> ClassIndex:
        """The rows of each class."""
        return batch.classes

    def inputs(self, batch: NodeBatch) -> Tensor:
        """Features that are propagated no more, their mean square one, for kernels."""
        if batch.operators:
            raise ValueError(
                f"closed-form kernels need a backbone without later propagation, such "
                f"as 'sgc'; got {self.backbone}"
            )
        return batch.inputs * self.graph.x.shape[1] ** 0.5

    def targets(self, batch: NodeBatch) -> Tensor:
        """`[b, c]`, soft labels where there are any, else one-hot ones."""
        if batch.soft is not None:
            return batch.soft
        return F.one_hot(batch.labels, self.num_classes).to(batch.inputs.dtype)

    def weights(self, rng: torch.Generator, models: int) -> Params:
        """Fresh random weights."""
        d, c = self.graph.x.shape[1], self.num_classes
        return self.backbone.weights(rng, models, d, c, self._features)

    def losses(self, weights: Params, batch: NodeBatch) -> Tensor:
        """`[b]`, cross-entropy of each row under one model."""
        logits = self.features(weights, batch, 1)[-1]
        targets = batch.labels if batch.soft is None else batch.soft
        return F.cross_entropy(logits, targets, reduction="none")

    def features(
        self, weights: Params, batch: NodeBatch, last: int | None = None
    ) -> list[Tensor]:
        """`[b, h]` of each layer of one model, on the batch's own nodes."""
        if isinstance(self.backbone, ModuleBackbone):
            assert isinstance(batch, WholeGraphBatch)
            layers = self.backbone.layers(weights, batch.inputs, batch.edges, last)
            return [layer[batch.rows] for layer in layers]
        outputs = self.backbone.features(weights, batch.inputs, batch.operators)
        hidden = zip(outputs, batch.places, strict=False)
        layers = [f[rows] for f, rows in hidden] + outputs[len(batch.places) :]
        return layers if last is None else layers[-last:]

    def linear_features(self, batch: NodeBatch) -> tuple[Tensor, Tensor] | None:
        """Propagated features and targets, where the backbone is linear."""
        if not isinstance(self.backbone, SGC):
            return None
        return batch.inputs, self.targets(batch)

    def records(self) -> Records:
        """The real rows, compared by propagated features and by a teacher's beliefs."""
        rows, space = self.rows, self._features
        mass = None if bool((rows.weights == 1).all()) else rows.weights
        if rows.beliefs is not None:
            space = torch.cat([space, EMPHASIS * rows.beliefs.to(self.device)], dim=1)
        labels = rows.labels.to(self.device)
        mass = mass if mass is None else mass.to(self.device)
        return Records(space, labels, self.num_classes, mass)

    def eigenbasis(self, count: int, smooth: float) -> Eigenbasis:
        """Eigenvectors of the graph, computed once; see `multidd.graph.spectrum`."""
        if (count, smooth) not in self._eigenbases:
            x = self.graph.x / self.scale
            self._eigenbases[count, smooth] = eigenbasis(self.graph, x, count, smooth)
        return self._eigenbases[count, smooth].to(self.device)

    def from_selection(self, picks: Picks) -> Draw:
        """Real nodes, or means of propagated features; with the edges between them."""
        if picks.real:
            nodes = self.rows.nodes[picks.indices.cpu()]
            x = (self.graph.x[nodes] / self.scale).to(self.device)
        else:
            x = torch.sparse.mm(picks.weights.to(self._features.dtype), self._features)
        draw = {"x": x, "y": picks.labels}
        if self.structure:
            edges = edges_between(
                picks, self.rows.nodes, self.graph.adjacency, self._operator
            )
            draw["adjacency"] = edges.to(self.device, x.dtype)
        return draw

    def score(self, draw: Draw, rng: torch.Generator) -> float:
        """Validation accuracy of a ridge classifier on the propagated draw."""
        if not bool(self.graph.val.any()):
            raise ValueError("select_best needs validation nodes: data.val_mask")
        batch = replace(self, backbone=SGC()).synthetic(draw)
        targets = self.targets(batch)
        gram = batch.inputs @ batch.inputs.T
        ridge = 1e-2 * gram.diagonal().mean() * torch.eye(len(gram), device=gram.device)
        dual = torch.linalg.solve(gram + ridge, targets)
        x, y = self._validation
        return float(((x @ batch.inputs.T @ dual).argmax(1) == y).float().mean())

    @staticmethod
    def codec_of(name: str) -> Codec:
        """How a tensor of the summary is stored in few bits."""
        return GraphSummary.codec_of(name)

    def summary(self, draw: Draw, card: Card) -> GraphSummary:
        """The draw in the space of the data."""
        tensors = {name: tensor.detach().cpu() for name, tensor in draw.items()}
        tensors["x"] = tensors["x"] * self.scale
        return GraphSummary.of(tensors, card)

    def _propagated(self, hops: int) -> Tensor:
        """The features of all nodes, propagated once for each number of hops."""
        assert self.propagation is not None
        return self.propagation.features(hops)

    @cached_property
    def _eigenbases(self) -> dict[tuple[int, float], Eigenbasis]:
        return {}

    @cached_property
    def _features(self) -> Tensor:
        x = self._propagated(2)[self.rows.nodes]
        return (x / self.scale).to(self.device)

    @cached_property
    def _validation(self) -> tuple[Tensor, Tensor]:
        x = self._propagated(2)[self.graph.val]
        y = self.graph.y[self.graph.val]
        return (x / self.scale).to(self.device), y.to(self.device)

    @cached_property
    def _inputs(self) -> Tensor:
        hops = self.backbone.propagations
        return self._propagated(hops) / self.scale

    @property
    def _operator(self) -> sp.csr_array:
        assert self.propagation is not None
        return self.propagation.operator

    @cached_property
    def _whole(self) -> NodeBatch:
        return self._block(torch.arange(len(self.rows.labels)))

    def _block(self, chosen: Tensor) -> NodeBatch:
        """Some rows, with as much of the graph around them as the backbone reaches."""
        rows, labels = self.rows, self.rows.labels[chosen]
        nodes = rows.nodes[chosen].numpy()
        soft = rows.beliefs[chosen] if self.soft and rows.beliefs is not None else None
        classes = by_class(labels, self.num_classes, rows.weights[chosen])
        later, inputs = self.backbone.later, self._inputs
        if isinstance(self.backbone, ModuleBackbone):
            whole = WholeGraphBatch(
                inputs,
                (),
                (),
                labels,
                classes,
                soft,
                edges=edges_of(self.graph.adjacency),
                rows=rows.nodes[chosen],
            )
            return map_tensors(whole, lambda tensor: tensor.to(self.device))
        batch = NodeBatch.of(
            nodes, self._operator, later, inputs, labels, classes, soft
        )
        return map_tensors(batch, lambda tensor: tensor.to(self.device))
