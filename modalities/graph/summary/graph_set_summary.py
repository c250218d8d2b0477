"""`GraphSetSummary`: a condensed set of graphs."""

import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch_geometric.data import Data

from multidd.card_schema import CLASSES, COUNT, POSITIVE, card_schema
from multidd.graph.data.graph_set import Form, GraphSet, as_graph_set
from multidd.protocols import Draw
from multidd.settings import versions
from multidd.storage.fields import Maybe
from multidd.storage.schema import INTEGER, Fields, Forms, Schema, TensorField
from multidd.summary import Card, DataSummary


def _tensors(info: Mapping[str, Any], forms: Forms) -> Fields:
    return {
        "x": TensorField(("m", "p", "d")),
        "sizes": TensorField(("m",), INTEGER, low=1),
        "y": TensorField(("m",), INTEGER, low=0, below="classes"),
        "edges": TensorField((3, "e?"), INTEGER, low=0),
    }


def _relation(info: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str | None:
    """Nodes and edges that no graph has."""
    sizes, (graph, *ends) = tensors["sizes"], tensors["edges"]
    m, p = tensors["x"].shape[:2]
    if int(sizes.max()) > p:
        return f"'sizes' holds {int(sizes.max())}; x has {p} nodes for each graph"
    if len(graph) and int(graph.max()) >= m:
        return f"'edges' names graph {int(graph.max())}; there are {m}, from 0 on"
    for end in ends:
        if bool((end >= sizes[graph]).any()):
            place = int((end >= sizes[graph]).nonzero()[0])
            return (
                f"'edges' has an edge at node {int(end[place])} of graph "
                f"{int(graph[place])}, which has {int(sizes[graph[place]])} nodes"
            )
    return None


SCHEMA = card_schema(
    {"graphs": POSITIVE, "classes": CLASSES, "degrees": Maybe(COUNT)},
    optional=("degrees",),
    tensors=_tensors,
    sizes=lambda info: {"classes": info["card"]["source"]["classes"]},
    relation=_relation,
)
"""What a file of a condensed set of graphs holds."""


@dataclass(frozen=True, eq=False, repr=False)
class GraphSetSummary(DataSummary):
    """A few graphs that stand for a dataset of them, and the card.

    Tensors: `x` `[m, p, d]` in the feature space of the data, zero where a graph has
    fewer than p nodes; `sizes` `[m]`, nodes of each; `y` `[m]`; `edges` `[3, e]`, for
    each edge its graph and two nodes of it, both ways round.
    """

    kind: ClassVar[str] = "graph.sets"
    schema: ClassVar[Schema] = SCHEMA

    @classmethod
    def of(cls, draw: Draw, card: Card) -> Self:
        """The summary of a draw: `x`, `sizes`, `y` and `adjacency` `[m, p, p]`."""
        x, sizes = draw["x"].float(), draw["sizes"].long()
        inside = torch.arange(x.shape[1]) < sizes[:, None]
        pairs = inside[:, :, None] & inside[:, None]
        parts = {
            "x": torch.where(inside[:, :, None], x, 0.0),
            "sizes": sizes,
            "y": draw["y"].long(),
            "edges": ((draw["adjacency"] > 0.5) & pairs).nonzero().T,
        }
        return cls({name: t.contiguous() for name, t in parts.items()}, card)

    def __len__(self) -> int:
        """m."""
        return len(self.tensors["y"])

    @property
    def num_edges(self) -> int:
        """Undirected edges of all graphs."""
        return self.tensors["edges"].shape[1] // 2

    @property
    def num_classes(self) -> int:
        """c of the data it was made from."""
        return int(self.card.source["classes"])

    @property
    def form(self) -> Form:
        """Features and classes; how features were made where the data has none."""
        source = self.card.source
        d = self.tensors["x"].shape[2]
        return Form(d, self.num_classes, source.get("degrees"))

    @property
    def graphs(self) -> GraphSet:
        """The graphs side by side."""
        return as_graph_set(self.to_pyg(), like=self.num_classes)

    def __repr__(self) -> str:
        nodes, edges = self.tensors["sizes"].float().mean(), self.num_edges / len(self)
        return (
            f"GraphSetSummary({self.card.method}, graphs={len(self)} for "
            f"{self.card.source['graphs']:,}, classes={self.num_classes}, "
            f"nodes={nodes:.1f} and edges={edges:.1f} of a graph, "
            f"{self.size_text}, {self.card.seconds:.1f} s)"
        )

    def preview(self) -> str:
        """The first graphs, colored by their class."""
        from multidd.graph.summary.plotting import sketch_graphs

        return sketch_graphs(self)

    def to_pyg(self) -> list[Data]:
        """Plain PyG graphs, trainable by any PyG code.

        Returns:
            m `Data` with `x`, `edge_index` (both ways round) and `y` `[1]`. New
            tensors, not shared.

        Example:
            >>> x, edges = torch.eye(2), torch.tensor([[0, 1], [1, 0]])
            >>> pair = [Data(x=x, edge_index=edges, y=label) for label in (0, 1)]
            >>> source = {"graphs": 9, "classes": 2}
            >>> summary = GraphSetSummary.from_pyg(pair, source=source, method="hand")
            >>> [graph.num_nodes for graph in summary.to_pyg()]
            [2, 2]
        """
        parts, graphs = self.tensors, []
        for i, size in enumerate(parts["sizes"].tolist()):
            edges = parts["edges"][1:, parts["edges"][0] == i]
            x, y = parts["x"][i, :size].clone(), parts["y"][i : i + 1].clone()
            graphs.append(Data(x=x, edge_index=edges.contiguous(), y=y))
        return graphs

    @classmethod
    def from_pyg(
        cls, graphs: Sequence[Data], *, source: dict[str, Any], method: str
    ) -> Self:
        """A summary of condensed graphs that were made elsewhere.

        Args:
            graphs: a list of `Data` with `x`, `edge_index` and `y`.
            source: what they were condensed from: at least `graphs` and `classes`.
            method: name of the method.

        Returns:
            A `GraphSetSummary` that can be evaluated and saved like ours.

        Raises:
            ValueError: `source` lacks one of its two sizes, or a graph is bad.

        Example:
            >>> x, edges = torch.eye(2), torch.tensor([[0, 1], [1, 0]])
            >>> pair = [Data(x=x, edge_index=edges, y=label) for label in (0, 1)]
            >>> source = {"graphs": 9, "classes": 2}
            >>> summary = GraphSetSummary.from_pyg(pair, source=source, method="hand")
            >>> len(summary), summary.num_edges
            (2, 2)
        """
        missing = sorted({"graphs", "classes"} - set(source))
        if missing:
            raise ValueError(f"source lacks {', '.join(missing)}")
        graph_set = as_graph_set(graphs, like=int(source["classes"]))
        x, adjacency = graph_set.padded()
        draw = {
            "x": x,
            "adjacency": adjacency,
            "sizes": graph_set.sizes,
            "y": graph_set.y,
        }
        return cls.of(draw, Card(method, {}, 0, dict(source), versions()))

    def plot(self, path: str | pathlib.Path | None = None, *, data: Any = None) -> Any:
        """Draw some graphs of each class, and how large and dense they are.

        Args:
            path: a PNG, PDF or SVG to write; None only returns the figure.
            data: the real graphs, to stand beside.

        Returns:
            The `matplotlib.figure.Figure`.
        """
        from multidd.graph.summary.plotting import plot_graphs

        return plot_graphs(self, path, data=data)
