"""`GraphSummary`: a condensed graph."""

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor
from torch_geometric.data import Data

from multidd import html
from multidd.card_schema import CLASSES, POSITIVE, card_schema
from multidd.protocols import Draw
from multidd.settings import versions
from multidd.storage.codecs import Codec
from multidd.storage.fields import Flag
from multidd.storage.schema import INTEGER, Fields, Forms, Schema, TensorField
from multidd.summary import Card, DataSummary

if TYPE_CHECKING:
    from multidd.graph.summary.properties import Properties


def _tensors(info: Mapping[str, Any], forms: Forms) -> Fields:
    return {
        "x": TensorField(("m", "d")),
        "y": TensorField(("m",), INTEGER, low=0, below="classes"),
        "y_soft": TensorField(("m", "classes"), low=-1e6, high=1e6, optional=True),
        "edge_index": TensorField((2, "e?"), INTEGER, low=0, below="m"),
        "edge_weight": TensorField(("e?",), low=0),
    }


SCHEMA = card_schema(
    {"nodes": POSITIVE, "train": POSITIVE, "classes": CLASSES},
    {"several": Flag()},
    tensors=_tensors,
    sizes=lambda info: {"classes": info["card"]["source"]["classes"]},
)
"""What a file of a condensed graph holds."""


@dataclass(frozen=True, eq=False, repr=False)
class GraphSummary(DataSummary):
    """A condensed graph: nodes, weighted edges, labels, and the card.

    Tensors: `x` `[m, d]` in the feature space of the data, `y` `[m]`, `y_soft` `[m, c]`
    where the method has soft labels, `edge_index` `[2, e]` and `edge_weight` `[e]`
    (symmetric, no self-loops; empty for a structure-free method).
    """

    kind: ClassVar[str] = "graph"
    schema: ClassVar[Schema] = SCHEMA

    @classmethod
    def of(cls, draw: Draw, card: Card) -> Self:
        """The summary of a draw: `x`, `y`, and `adjacency` `[m, m]` if it has one."""
        x, y = draw["x"].float(), draw["y"].long()
        edges, weight = torch.zeros(2, 0, dtype=torch.int64), torch.zeros(0)
        if "adjacency" in draw:
            edges = draw["adjacency"].nonzero().T.contiguous()
            weight = draw["adjacency"][edges[0], edges[1]].float()
        parts = {"x": x, "y": y, "edge_index": edges, "edge_weight": weight}
        if "y_soft" in draw:
            parts["y_soft"] = draw["y_soft"].float()
        return cls({name: t.contiguous() for name, t in parts.items()}, card)

    @staticmethod
    def codec_of(name: str) -> Codec:
        """Features fitted, zeros as they are; labels and edges in 4 bits or more."""
        return Codec("fitted", min_bits=2 if name == "x" else 4)

    @property
    def num_nodes(self) -> int:
        """m."""
        return len(self.tensors["x"])

    @property
    def num_edges(self) -> int:
        """Undirected edges."""
        return self.tensors["edge_index"].shape[1] // 2

    @property
    def num_classes(self) -> int:
        """c of the data it was made from."""
        return int(self.card.source["classes"])

    @property
    def multi_label(self) -> bool:
        """Whether nodes have several labels: then `y_soft` has the share of each."""
        return bool(self.card.settings.get("several", False))

    @property
    def adjacency(self) -> Tensor:
        """`[m, m]`, dense."""
        edges, weight = self.tensors["edge_index"], self.tensors["edge_weight"]
        dense = torch.zeros(self.num_nodes, self.num_nodes)
        dense[edges[0], edges[1]] = weight
        return dense

    def __repr__(self) -> str:
        source = self.card.source
        of_all = self.num_nodes / source["nodes"]
        of_train = self.num_nodes / source["train"]
        return (
            f"GraphSummary({self.card.method}, nodes={self.num_nodes}, "
            f"edges={self.num_edges}, classes={self.num_classes}, "
            f"ratio={of_all:.3g} of {source['nodes']:,} nodes = {of_train:.3g} of "
            f"{source['train']:,} training, {self.size_text}, "
            f"{self.card.seconds:.1f} s)"
        )

    def preview(self) -> str:
        """The nodes, alike is near, with their edges; how many each class has."""
        from multidd.graph.summary.plotting import sketch  # loads matplotlib

        y = self.tensors["y"]
        counts = y.bincount(minlength=self.num_classes).tolist()
        cells = [["class", "nodes"], *([str(c), n] for c, n in enumerate(counts))]
        return sketch(self) + html.table(cells, max_rows=12)

    def to_pyg(self, *, self_loops: bool = True) -> Data:
        """A plain PyG `Data`, trainable by any PyG code.

        Args:
            self_loops: every node gets an edge of weight one to itself. GCN, GAT, APPNP
                and SGC add the same edge themselves; GraphSAGE does not, and where a
                node has no other neighbour it would never train half of its weights,
                those that see the neighbours of real nodes.

        Returns:
            `Data` with `x`, `edge_index`, `edge_weight`, `y`, `train_mask` (all True),
            and `y_soft` where there are soft labels. New tensors, not shared.

        Example:
            >>> import multidd
            >>> cora = multidd.samples.cora()
            >>> multidd.graph.kmeans(cora, per_class=1).to_pyg().num_nodes
            7
        """
        data = Data(**{name: tensor.clone() for name, tensor in self.tensors.items()})
        if self_loops:
            nodes = torch.arange(self.num_nodes)
            loops = nodes.expand(2, -1)  # (2, m)
            data.edge_index = torch.cat([data.edge_index, loops], dim=1)
            data.edge_weight = torch.cat([data.edge_weight, torch.ones(len(nodes))])
        data.train_mask = torch.ones(self.num_nodes, dtype=torch.bool)
        return data

    @classmethod
    def from_pyg(cls, data: Data, *, source: dict[str, Any], method: str) -> Self:
        """A summary of a condensed graph that was made elsewhere.

        Args:
            data: with `x`, `y`, `edge_index`, and `edge_weight` and `y_soft` if any.
                Edges of weight one from a node to itself are left out: a summary's
                models add them.
            source: what it was condensed from: at least `nodes`, `train`, `classes`.
            method: name of the method.

        Returns:
            A `GraphSummary` that can be evaluated and saved like ours.

        Raises:
            ValueError: `source` lacks one of its three sizes.

        Example:
            >>> import multidd
            >>> summary = multidd.graph.kmeans(multidd.samples.cora(), per_class=1)
            >>> source = {"nodes": 2708, "train": 140, "classes": 7}
            >>> pyg = summary.to_pyg()
            >>> again = GraphSummary.from_pyg(pyg, source=source, method="km")
            >>> again.digest() == summary.digest()
            True
        """
        missing = sorted({"nodes", "train", "classes"} - set(source))
        if missing:
            raise ValueError(f"source lacks {', '.join(missing)}")
        x, edges = data.x.detach().cpu().float(), data.edge_index.detach().cpu()
        weight = getattr(data, "edge_weight", None)
        weight = torch.ones(edges.shape[1]) if weight is None else weight.detach().cpu()
        others = (edges[0] != edges[1]) | (weight != 1)
        parts = {
            "x": x.clone(),
            "y": data.y.detach().cpu().long().clone(),
            "edge_index": edges[:, others].long(),
            "edge_weight": weight[others].float(),
        }
        if getattr(data, "y_soft", None) is not None:
            parts["y_soft"] = data.y_soft.detach().cpu().float().clone()
        card = Card(method, {}, 0, dict(source), versions())
        return cls(parts, card)

    def sparsified(
        self, *, threshold: float | None = None, top: int | None = None
    ) -> Self:
        """The same nodes with fewer edges: a new summary.

        Args:
            threshold: edges of at least this weight are kept.
            top: of every node its so many heaviest edges are kept; an edge stays when
                either end keeps it. Give exactly one of the two.

        Returns:
            A `GraphSummary`; its card says what was done, and has no score.

        Raises:
            ValueError: neither or both, or out of range.

        Example:
            >>> import multidd
            >>> summary = multidd.graph.random(multidd.samples.cora(), nodes=140)
            >>> summary.num_edges > summary.sparsified(top=1).num_edges
            True
        """
        if (threshold is None) == (top is None):
            raise ValueError("give exactly one of threshold and top")
        edges, weight = self.tensors["edge_index"], self.tensors["edge_weight"]
        if threshold is not None:
            if not threshold >= 0:
                raise ValueError(f"threshold must be 0 or more, got {threshold}")
            strong = weight >= threshold
        else:
            strong = _heaviest(edges, weight, top or 0, self.num_nodes)
        parts = dict(self.tensors)
        parts |= {"edge_index": edges[:, strong], "edge_weight": weight[strong]}
        done = {"sparsified": {"threshold": threshold, "top": top}}
        settings = self.card.settings | done
        card = replace(self.card, settings=settings, score=None, protocol=None)
        return type(self)(parts, card)

    def facts(self, on: Any, train: Any = None) -> str:
        """`properties` beside the real graph's; see `DataSummary`."""
        return f"\n\n## Properties\n\n{self.properties(on).to_markdown()}\n"

    def properties(self, data: Any = None) -> "Properties":
        """Nodes, edges, degrees, homophily, spectrum, class balance, density and bytes.

        Args:
            data: the real graph, to stand beside.

        Returns:
            A `multidd.graph.summary.properties.Properties`: print it.

        Example:
            >>> import multidd
            >>> data = multidd.samples.cora()
            >>> summary = multidd.graph.random(data, nodes=70)
            >>> summary.properties(data)["nodes"]
            {'real': 2708, 'random': 70}
        """
        from multidd.graph.summary.properties import properties_of

        return properties_of(self, data)

    def plot(
        self, path: str | pathlib.Path | None = None, *, data: Data | None = None
    ) -> Any:
        """Draw the graph, its adjacency, and its degree and homophily.

        Args:
            path: a PNG, PDF or SVG to write; None only returns the figure.
            data: the real graph, to stand beside.

        Returns:
            The `matplotlib.figure.Figure`.
        """
        from multidd.graph.summary.plotting import plot_graph

        return plot_graph(self, path, data=data)


def _heaviest(edges: Tensor, weight: Tensor, top: int, nodes: int) -> Tensor:
    """`[e]`, whether an edge is among the `top` heaviest of either end; of equals,
    those with lower neighbours."""
    if top < 1:
        raise ValueError(f"top must be 1 or more, got {top}")
    order = weight.argsort(descending=True, stable=True)
    order = order[edges[0][order].argsort(stable=True)]
    source = edges[0][order]
    first = torch.searchsorted(source, torch.arange(nodes))
    rank = torch.arange(len(source)) - first[source]
    chosen = torch.zeros(len(weight), dtype=torch.bool)
    chosen[order] = rank < top
    key, back = edges[0] * nodes + edges[1], edges[1] * nodes + edges[0]
    return chosen | torch.isin(key, back[chosen])
