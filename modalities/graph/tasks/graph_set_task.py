"""Graph classification as a task of the core."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.classes import ClassIndex
from multidd.graph.data.graph_set import GraphSet, as_graph_set
from multidd.graph.models.graph_backbones import PooledGCN, SetBatch, beside, padded
from multidd.graph.summary.graph_set_summary import GraphSetSummary
from multidd.protocols import Draw, Params, Picks, Records, TaskDefaults
from multidd.settings import describe
from multidd.storage.codecs import Codec
from multidd.summary import Card


@dataclass(frozen=True, eq=False)
class GraphSetTask(TaskDefaults):
    """Condensing a set of graphs to a few.

    A draw has `x` `[m, p, d]`, `y` `[m]`, `sizes` `[m]` (nodes of each; the others are
    padding) and `adjacency` `[m, p, p]`. Features are divided by `scale`, the root mean
    square length of a node's, so that learning rates mean the same on every set; the
    summary is in the space of the data again.

    Attributes:
        graphs: the training graphs.
        backbone: the model that is matched on.
        batch_size: graphs drawn for each class at a step; None takes all.
        max_nodes: the largest graphs that selections may choose; None sets no limit.
        val: graphs by which `score` tells iterates apart; None goes without.
        device: where tensors live.
        held: the real batch of every step; drawn anew where None.
    """

    graphs: GraphSet
    backbone: PooledGCN = PooledGCN()
    batch_size: int | None = 256
    max_nodes: int | None = None
    val: GraphSet | None = None
    device: str = "cpu"
    held: SetBatch | None = None

    @classmethod
    def of(cls, dataset: Any, *, val: Any = None, **settings: Any) -> Self:
        """The task of a PyG dataset or a list of `Data`.

        Args:
            dataset: the training graphs; see `multidd.graph.as_graph_set`.
            val: graphs for `select_best`, in the same form.
            **settings: `backbone`, `batch_size` and `max_nodes`, see above.

        Returns:
            A `GraphSetTask`.

        Example:
            >>> from torch_geometric.data import Data
            >>> x, edges = torch.eye(2), torch.tensor([[0], [1]])
            >>> pair = [Data(x=x, edge_index=edges, y=label) for label in (0, 1)]
            >>> GraphSetTask.of(pair).num_classes
            2
        """
        graphs = as_graph_set(dataset)
        held = None if val is None else as_graph_set(val, graphs.form)
        return cls(graphs, val=held, **settings)

    @property
    def num_classes(self) -> int:
        """c."""
        return self.graphs.form.classes

    @property
    def shareable(self) -> tuple[str, ...]:
        """By classes and by rows: graphs of a set have no edges between them."""
        return ("classes", "rows")

    def to(self, device: str) -> Self:
        """The same task on another device."""
        return self if device == self.device else replace(self, device=device)

    def describe(self) -> dict[str, Any]:
        """Settings, and the fingerprint of the graphs."""
        return {
            "kind": "GraphSetTask",
            "data": self.graphs.describe(),
            "backbone": describe(self.backbone),
            "batch_size": self.batch_size,
            "max_nodes": self.max_nodes,
            "val": None if self.val is None else self.val.describe(),
        }

    @cached_property
    def scale(self) -> float:
        """Root mean square length of a node's features."""
        size = self.graphs.x.square().sum(1).mean().sqrt()
        return max(float(size), 1e-12)

    def batch(self, rng: torch.Generator) -> SetBatch:
        """Real graphs, all of them or `batch_size` of each class."""
        if self.held is not None:
            return self.held
        if self.batch_size is None or max(self.graphs.counts) <= self.batch_size:
            return self._whole
        drawn = []
        for label in range(self.num_classes):
            members = (self.graphs.y == label).nonzero().flatten()
            order = torch.randperm(len(members), generator=rng, device=rng.device)
            drawn.append(members[order[: self.batch_size].cpu()])
        return self._block(self.graphs.take(torch.cat(drawn)))

    def take(self, batch: SetBatch, rows: Tensor) -> SetBatch:
        """Some graphs of a batch; those of a class of the whole are made once."""
        if batch is self.__dict__.get("_whole"):  # of large sets it is never made
            on_cpu = rows.device.type == "cpu"
            for known, part in self._parts:
                # On a device to compare rows is to wait for it.
                if known is rows or (on_cpu and torch.equal(known, rows)):
                    return part
        return batch.take(rows, self.num_classes)

    def synthetic(self, draw: Draw) -> SetBatch:
        """A draw, padded and dense; differentiable."""
        return padded(
            draw["x"],
            draw["adjacency"],
            draw["sizes"],
            draw["y"],
            self.num_classes,
            self.backbone.layers,
            draw.get("chances"),
        )

    def classes(self, batch: SetBatch) -> ClassIndex:
        """The graphs of each class."""
        return batch.classes

    def inputs(self, batch: SetBatch) -> Tensor:
        """`[b, layers d]`, what selections compare: means of propagated features."""
        hidden = [batch.inputs]
        for operator in batch.operators:
            hidden.append(operator @ hidden[-1])
        pairs = zip(batch.pools, hidden, strict=True)
        return torch.cat([(pool @ h).flatten(1) for pool, h in pairs], dim=1)

    def targets(self, batch: SetBatch) -> Tensor:
        """`[b, c]`, one-hot labels."""
        return F.one_hot(batch.labels, self.num_classes).to(batch.inputs.dtype)

    def weights(self, rng: torch.Generator, models: int) -> Params:
        """Fresh random weights."""
        form = self.graphs.form
        like = torch.empty(0, device=self.device)
        return self.backbone.weights(rng, models, form.features, form.classes, like)

    def losses(self, weights: Params, batch: SetBatch) -> Tensor:
        """`[b]`, cross-entropy of each graph under one model."""
        logits = self.features(weights, batch)[-1]
        return F.cross_entropy(logits, batch.labels, reduction="none")

    def features(
        self, weights: Params, batch: SetBatch, last: int | None = None
    ) -> list[Tensor]:
        """`[b, h]` of each layer of one model, means over the nodes."""
        layers = self.backbone.features(weights, batch)
        return layers if last is None else layers[-last:]

    def records(self) -> Records:
        """The training graphs that may be chosen, compared by means of features."""
        chosen = self._choosable.to(self.device)
        space = self.inputs(self._whole)[chosen]
        return Records(space, self._whole.labels[chosen], self.num_classes)

    def from_selection(self, picks: Picks) -> Draw:
        """Real graphs, padded to the largest of them.

        Raises:
            ValueError: means are asked for; a mean of graphs is no graph.
        """
        if not picks.real:
            raise ValueError(
                "a mean of graphs is no graph: start from real ones, such as Medoids() "
                "in the place of KMeans()"
            )
        chosen = self.graphs.take(self._choosable[picks.indices.cpu()])
        x, adjacency = chosen.padded()
        draw = {"x": x / self.scale, "sizes": chosen.sizes, "adjacency": adjacency}
        draw = {name: tensor.to(self.device) for name, tensor in draw.items()}
        return draw | {"y": picks.labels}

    def score(self, draw: Draw, rng: torch.Generator) -> float:
        """Validation accuracy of a ridge classifier on means of features."""
        if self.val is None:
            raise ValueError("select_best needs validation graphs: val=")
        batch = self.synthetic(draw)
        ours, targets = self.inputs(batch), self.targets(batch)
        gram = ours @ ours.T
        ridge = 1e-2 * gram.diagonal().mean() * torch.eye(len(gram), device=gram.device)
        dual = torch.linalg.solve(gram + ridge, targets)
        held_out = self._held
        predicted = (self.inputs(held_out) @ ours.T @ dual).argmax(1)
        return float((predicted == held_out.labels).float().mean())

    @staticmethod
    def codec_of(name: str) -> Codec:
        """How a tensor of the summary is stored in few bits."""
        return GraphSetSummary.codec_of(name)

    def summary(self, draw: Draw, card: Card) -> GraphSetSummary:
        """The draw in the space of the data."""
        parts = {name: tensor.detach().cpu() for name, tensor in draw.items()}
        return GraphSetSummary.of(parts | {"x": parts["x"] * self.scale}, card)

    def _block(self, graphs: GraphSet) -> SetBatch:
        return beside(graphs, self.backbone.layers, self.scale, self.device)

    @cached_property
    def _whole(self) -> SetBatch:
        return self._block(self.graphs)

    @cached_property
    def _parts(self) -> list[tuple[Tensor, SetBatch]]:
        """The graphs of each class of the whole, and their rows in it."""
        classes, parts = self._whole.classes, []
        for label in range(len(classes.index)):
            rows, _ = classes.rows_of(label)
            parts.append((rows, self._whole.take(rows, self.num_classes)))
        return parts

    @cached_property
    def _held(self) -> SetBatch:
        return self._block(self.val if self.val is not None else self.graphs)

    @cached_property
    def _choosable(self) -> Tensor:
        sizes = self.graphs.sizes
        limit = int(sizes.max()) if self.max_nodes is None else self.max_nodes
        return (sizes <= limit).nonzero().flatten()
