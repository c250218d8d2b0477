"""A set of labelled graphs, validated, for graph classification."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset

from multidd import seeds
from multidd.arguments import public_function
from multidd.data.labels import class_numbers, count_classes, number_array
from multidd.errors import MultiddWarning
from multidd.graph.data.adjacency import adjacency_digest, adjacency_of
from multidd.graph.data.graph import as_tensor, checked_features
from multidd.settings import tensor_digest

__all__ = ["Form", "GraphSet", "as_graph_set", "is_set", "listed", "split_graphs"]


MAX_DEGREES = 63
"""Largest degree with an indicator of its own, where graphs have no features."""


@dataclass(frozen=True)
class Form:
    """What all parts of a dataset share, so that a model of one runs on the others.

    Attributes:
        features: d.
        classes: c.
        degrees: largest degree with an indicator of its own, where features are made
            of degrees (larger ones share it); None where graphs have features.
    """

    features: int
    classes: int
    degrees: int | None = None


@dataclass(frozen=True, eq=False)
class GraphSet:
    """n undirected graphs, side by side as one graph of all their nodes.

    Attributes:
        x: `[nodes of all, d]` float32.
        adjacency: block-diagonal scipy CSR of zeros and ones, symmetric, zero diagonal.
        sizes: `[n]`, nodes of each graph, one at least.
        y: `[n]` integers.
        form: features and classes.
    """

    x: Tensor
    adjacency: sp.csr_array
    sizes: Tensor
    y: Tensor
    form: Form

    def __len__(self) -> int:
        """n."""
        return len(self.y)

    @property
    def counts(self) -> list[int]:
        """Graphs of each class."""
        return torch.bincount(self.y, minlength=self.form.classes).tolist()

    @property
    def density(self) -> float:
        """Mean over graphs of the share of node pairs with an edge."""
        first = self.sizes.cumsum(0) - self.sizes
        each = torch.from_numpy(np.diff(self.adjacency.indptr)).double()
        totals = torch.cat([each.new_zeros(1), each.cumsum(0)])
        edges = totals[first + self.sizes] - totals[first]
        return float((edges / self.sizes.double().square()).mean())

    def take(self, graphs: Tensor) -> "GraphSet":
        """Some of the graphs (indices), in their order."""
        last = self.sizes.cumsum(0)
        ends = zip((last - self.sizes)[graphs], last[graphs], strict=True)
        parts = [torch.arange(int(a), int(b)) for a, b in ends]
        nodes = torch.cat([torch.zeros(0, dtype=torch.int64), *parts])
        at = nodes.numpy()
        adjacency = sp.csr_array(self.adjacency[at][:, at])
        sizes, y = self.sizes[graphs], self.y[graphs]
        return GraphSet(self.x[nodes], adjacency, sizes, y, self.form)

    def padded(self) -> tuple[Tensor, Tensor]:
        """`x` `[n, p, d]` and adjacency `[n, p, p]`, p nodes of the largest graph."""
        n, p = len(self), int(self.sizes.max())
        graph = torch.arange(n).repeat_interleave(self.sizes)
        place = torch.arange(len(graph)) - (self.sizes.cumsum(0) - self.sizes)[graph]
        x, adjacency = torch.zeros(n, p, self.x.shape[1]), torch.zeros(n, p, p)
        x[graph, place] = self.x
        rows, columns = (torch.from_numpy(i).long() for i in self.adjacency.nonzero())
        adjacency[graph[rows], place[rows], place[columns]] = 1.0
        return x, adjacency

    def describe(self) -> dict[str, Any]:
        """Sizes and digests: which data this is, and how its features were made."""
        return {
            "graphs": len(self),
            "nodes": len(self.x),
            "edges": int(self.adjacency.nnz),
            "features": self.form.features,
            "classes": self.form.classes,
            "degrees": self.form.degrees,
            "x": tensor_digest(self.x),
            "y": tensor_digest(self.y),
            "sizes": tensor_digest(self.sizes),
            "adjacency": adjacency_digest(self.adjacency),
        }


def is_set(data: Any) -> bool:
    """Whether methods take `data` for a set of graphs: several, or none.

    A list or dataset of one graph is more likely that graph by mistake.

    Example:
        >>> is_set([Data(), Data()]), is_set([Data()]), is_set(Data())
        (True, False, False)
    """
    if isinstance(data, GraphSet):
        return True
    return isinstance(data, list | tuple | Dataset) and len(data) != 1


@public_function
def split_graphs(
    dataset: Any, *, val: float = 0.1, test: float = 0.1, seed: int = 0
) -> tuple[list[Data], list[Data], list[Data]]:
    """Graphs to train on, to choose by and to test on, drawn at random.

    Args:
        dataset: a PyG dataset or a list of `Data`.
        val: share of the graphs to choose by.
        test: share of the graphs to test on; shares are rounded up.
        seed: of the draw.

    Returns:
        Three lists of the dataset's graphs.

    Raises:
        ValueError: shares that leave nothing to train on.

    Example:
        >>> train, val, test = split_graphs([Data() for _ in range(25)])
        >>> len(train), len(val), len(test)
        (19, 3, 3)
    """
    graphs = listed(dataset)
    n = len(graphs)
    held = [int(np.ceil(share * n - 1e-9)) for share in (test, val)]
    if min(val, test) < 0 or sum(held) >= n:
        raise ValueError(
            f"val={val} and test={test} of {n} graphs are {held[1]} and {held[0]}; "
            "leave some to train on"
        )
    order = torch.randperm(n, generator=seeds.at(seed, "split")).tolist()
    drawn = [graphs[i] for i in order]
    first, second = held[0], sum(held)
    return drawn[second:], drawn[first:second], drawn[:first]


def listed(dataset: Any) -> list[Data]:
    """The graphs of a dataset.

    Raises:
        TypeError: not a sequence of `Data`.
        ValueError: it is empty.

    Example:
        >>> len(listed((Data(), Data())))
        2
    """
    if isinstance(dataset, Data) or not isinstance(dataset, list | tuple | Dataset):
        raise TypeError(
            "a set of graphs is a PyG dataset or a list of torch_geometric.data.Data, "
            f"got {type(dataset).__name__}"
        )
    graphs = list(dataset)
    for i, graph in enumerate(graphs):
        if not isinstance(graph, Data):
            raise TypeError(f"graph {i} is a {type(graph).__name__}, not a PyG Data")
    if not graphs:
        raise ValueError("the set has no graphs; give two of two classes at least")
    return graphs


@public_function
def as_graph_set(dataset: Any, like: Form | int | None = None) -> GraphSet:
    """Check graphs and bring them into the form of `GraphSet`; they are not changed.

    Directed edges are made undirected, duplicate edges merged, self-loops dropped (a
    model adds one to every node); nodes and graphs without edges stay. Where no graph
    has features, they are one-hot degrees, large degrees sharing the last column.
    Weights and attributes of edges are not used, which a warning says.

    Args:
        dataset: a PyG dataset, or a list of `Data` with `edge_index`, `y` (one integer
            each) and maybe `x`.
        like: form of the training graphs, or their classes, for graphs that are not
            learned from by themselves; None for graphs to learn from, of which there
            must be two of two classes.

    Returns:
        A `GraphSet`.

    Raises:
        TypeError: not a sequence of `Data`.
        ValueError: no graphs, an empty graph, features of several sizes, a class
            without graphs, or entries out of range or not finite; says where.

    Example:
        >>> edges = torch.tensor([[0, 1], [1, 2]])
        >>> path = Data(edge_index=edges, y=torch.tensor(0), num_nodes=3)
        >>> point = Data(edge_index=edges[:, :0], y=torch.tensor(1), num_nodes=1)
        >>> as_graph_set([path, point]).x.tolist()
        [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    form = like if isinstance(like, Form) else None
    if isinstance(dataset, GraphSet):
        return _fitting(dataset, form)
    graphs = listed(dataset)
    sizes = torch.tensor([_size(i, graph) for i, graph in enumerate(graphs)])
    if like is None:
        _warn_of_weights(graphs)
    adjacency = _adjacency(graphs, sizes)
    y = torch.tensor([_label(i, graph) for i, graph in enumerate(graphs)])
    x, degrees = _features(graphs, adjacency, form)
    classes = like if isinstance(like, int) else int(y.max()) + 1
    if like is None and len(y) > 1:
        _check_classes(y)
    whole = GraphSet(x, adjacency, sizes, y, Form(x.shape[1], classes, degrees))
    if like is None:
        _check_learnable(whole)
    return _fitting(whole, form)


def _size(i: int, graph: Data) -> int:
    if graph.x is None and graph.edge_index is None and "num_nodes" not in graph:
        raise ValueError(f"graph {i} has neither x, edge_index nor num_nodes")
    shape = [graph.num_nodes or 0] if graph.x is None else np.shape(graph.x)
    if graph.x is not None and hasattr(graph.x, "shape"):
        shape = graph.x.shape  # NumPy sees no shape in a matrix of SciPy's
    if not len(shape) or not shape[0]:
        raise ValueError(f"graph {i} is empty: it has no nodes; leave it out")
    return int(shape[0])


def _label(i: int, graph: Data) -> int:
    y, array, number = graph.y, np.zeros(0), None
    if y is not None:
        array = number_array(y, name=f"graph {i}: data.y", noun="graph").reshape(-1)
    if len(array) == 1:
        number = class_numbers(array, noun=f"graph {i}: entry")
    if number is None or int(number) < 0:
        dtype = getattr(y, "dtype", array.dtype)
        got = "nothing" if y is None else f"{dtype} of shape {list(np.shape(y))}"
        got = f"{array[0]}" if len(array) == 1 else got
        raise ValueError(
            f"graph {i} needs y, one integer 0..c-1, got {got}; several targets, "
            "regression and labels below zero are not supported"
        )
    return int(number)


def _adjacency(graphs: Sequence[Data], sizes: Tensor) -> sp.csr_array:
    """The edges of all graphs, in blocks along the diagonal."""
    blocks, first = [torch.zeros(2, 0, dtype=torch.int64)], 0
    for i, (graph, size) in enumerate(zip(graphs, sizes.tolist(), strict=True)):
        edges = as_tensor(graph.edge_index, f"graph {i}: edge_index")
        if edges is None or edges.dim() != 2 or edges.shape[0] != 2:
            got = None if edges is None else list(edges.shape)
            raise ValueError(f"graph {i} needs edge_index [2, edges], got {got}")
        if edges.numel() and not 0 <= int(edges.min()) <= int(edges.max()) < size:
            raise ValueError(
                f"graph {i} has {size} nodes (0..{size - 1}), but edge_index goes from "
                f"{int(edges.min())} to {int(edges.max())}"
            )
        blocks.append(edges.detach().cpu().long() + first)
        first += size
    return adjacency_of(torch.cat(blocks, dim=1), None, first)


def _warn_of_weights(graphs: Sequence[Data]) -> None:
    ignored = sorted(
        {n for g in graphs for n in ("edge_attr", "edge_weight") if n in g}
    )
    if ignored:
        names = " and ".join(ignored)
        warnings.warn(
            f"{names} of the graphs are not used: edges of a set of graphs are there "
            "or not",
            MultiddWarning,
            stacklevel=3,
        )


def _features(
    graphs: Sequence[Data], adjacency: sp.csr_array, form: Form | None
) -> tuple[Tensor, int | None]:
    """`[nodes, d]`, and the largest degree where they are made of degrees."""
    have = [graph.x is not None for graph in graphs]
    if any(have) and not all(have):
        without = have.index(False)
        raise ValueError(
            f"graph {without} has no x, graph {have.index(True)} has; give all graphs "
            "features, or none"
        )
    if all(have):
        return _own_features(graphs), None
    degree = torch.from_numpy(np.diff(adjacency.indptr)).long()
    max_degree = min(int(degree.max()), MAX_DEGREES)
    if form is not None and form.degrees is not None:
        max_degree = form.degrees
    elif not max_degree:
        raise ValueError("no graph has features or edges: nothing tells them apart")
    column = degree.clamp(max=max_degree)
    return torch.nn.functional.one_hot(column, max_degree + 1).float(), max_degree


def _own_features(graphs: Sequence[Data]) -> Tensor:
    rows = []
    for i, graph in enumerate(graphs):
        try:
            rows.append(checked_features(graph))
        except ValueError as error:
            raise ValueError(f"graph {i}: {error}") from None
    widths = [row.shape[1] for row in rows]
    for i, width in enumerate(widths):
        if width != widths[0]:
            raise ValueError(
                f"graph {i} has {width} features, graph 0 has {widths[0]}; all graphs "
                "of a set need the same ones"
            )
    return torch.cat(rows)


def _check_learnable(graphs: GraphSet) -> None:
    """Refuse a set that nothing can be learned from."""
    if len(graphs) < 2:
        raise ValueError(
            "the set has one graph, and a classifier needs two at least; to condense "
            "the nodes of one graph pass the Data itself"
        )
    if graphs.form.classes < 2:
        raise ValueError("all graphs have class 0; there is nothing to classify")


def _check_classes(y: Tensor) -> None:
    """Refuse labels that leave out a class."""
    if int(y.min()) == int(y.max()) > 0:
        raise ValueError(
            f"all graphs have class {int(y[0])}; there is nothing to classify"
        )
    count_classes(
        y,
        y >= 0,
        noun="graph",
        learned_noun="graphs",
        advice="relabel the set without these classes",
    )


def _fitting(graphs: GraphSet, form: Form | None) -> GraphSet:
    """`graphs` in the form of the training graphs, or refuse them."""
    if form is None or graphs.form == form:
        return graphs
    if (graphs.form.features, graphs.form.degrees) != (form.features, form.degrees):
        origin = "made of degrees" if form.degrees is not None else "of their own"
        raise ValueError(
            f"the graphs have {graphs.form.features} features, the training graphs "
            f"{form.features} {origin}; give graphs of one dataset"
        )
    if int(graphs.y.max()) >= form.classes:
        raise ValueError(
            f"a graph has class {int(graphs.y.max())}, the training graphs have "
            f"{form.classes} classes (0..{form.classes - 1})"
        )
    return replace(graphs, form=form)
