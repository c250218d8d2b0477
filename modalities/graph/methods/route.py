"""Which way `condense` goes about a graph, and whether it fits into memory."""

import time
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.graph.data.graph import Graph, as_graph
from multidd.graph.methods.resources import Room, as_bytes, entries_of
from multidd.graph.methods.stages import Stages
from multidd.graph.models.linear_teacher import margin
from multidd.graph.models.propagation import propagate
from multidd.graph.tasks.rows import seen

Teacher: TypeAlias = Literal["auto", "appnp", "hops"]
View: TypeAlias = Literal["auto", "low", "own"]

LARGE_NODES, LARGE_ENTRIES = 100_000, 2_000_000
"""Above either, `teacher="auto"` is `"hops"`: an epoch of the ensemble would take more
than ten seconds on two cores."""

MISLED_ROWS = 2000
"""Training nodes that a look at the edges takes."""


def is_large(graph: Graph) -> bool:
    """Whether a graph has more than 100,000 nodes or 2 million entries in its
    adjacency (two for each edge).

    Example:
        >>> import multidd
        >>> is_large(as_graph(multidd.samples.cora()))
        False
    """
    return graph.num_nodes > LARGE_NODES or graph.adjacency.nnz > LARGE_ENTRIES


def misled(graph: Graph) -> bool:
    """Whether edges join unlike nodes: a ridge classifier on a node's own features is
    better on validation nodes, by more than `margin`, than one on propagated ones.

    False without validation nodes.

    Example:
        >>> import multidd
        >>> misled(as_graph(multidd.samples.cora()))
        False
    """
    rows = graph.train.nonzero().flatten()[:MISLED_ROWS]
    val = graph.val.nonzero().flatten()
    if not len(val):
        return False
    once = propagate(graph.adjacency, graph.x, 1)
    low = once + propagate(graph.adjacency, once, 1)
    found = [_ridge_accuracy(graph, x, rows, val) for x in (graph.x, low)]
    return found[0] > found[1] + margin(len(val))


def _ridge_accuracy(graph: Graph, x: Tensor, rows: Tensor, val: Tensor) -> float:
    mean = x[rows].mean(0)
    own, other = x[rows] - mean, x[val] - mean
    gram = own @ own.T
    ridge = 1e-2 * gram.diagonal().mean().clamp(min=1e-12) * torch.eye(len(rows))
    targets = F.one_hot(graph.y[rows], graph.num_classes).float()
    logits = other @ (own.T @ torch.linalg.solve(gram + ridge, targets))
    return float((logits.argmax(1) == graph.y[val]).float().mean())


@dataclass(frozen=True, eq=False)
class Route:
    """How `condense` goes about a graph.

    Attributes:
        graph: what it sees.
        by_hops: whether by `condense_by_hops`.
        columns: features to propagate at a time, where the hops go to files.
        stages: seconds so far.
        view: which features the synthetic nodes are means of.
        inductive: whether the graph is its training part.
        began: when.
    """

    graph: Graph
    by_hops: bool
    columns: int | None
    stages: Stages
    view: View
    inductive: bool
    began: float

    @classmethod
    def of(
        cls,
        data: Any,
        teacher: Teacher = "auto",
        view: View = "auto",
        memory: int | float | str | None = None,
        inductive: bool = False,
        progress: bool | None = None,
    ) -> "Route":
        """Check settings and memory, read the graph, and choose.

        Raises:
            TypeError, ValueError: as `as_graph`; a setting that is not one; too little
                memory.
        """
        began, room = time.perf_counter(), as_bytes(memory)
        for name, value, known in (
            ("teacher", teacher, ("auto", "appnp", "hops")),
            ("view", view, ("auto", "low", "own")),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {known}, got {value!r}")
        if teacher == "appnp" and view == "own":
            raise ValueError(
                "view='own' is for edges that mislead, which teacher='appnp' trusts; "
                "leave teacher out"
            )
        stages = Stages("condense", progress)
        columns = _columns(data, room)
        with stages("reading"):
            graph = seen(as_graph(data, several=True), inductive)
        if graph.several is not None and teacher == "appnp":
            raise ValueError(
                "teacher='appnp' needs one class for each node; leave teacher out"
            )
        by_hops = teacher == "hops" or graph.several is not None
        if teacher == "auto" and not by_hops:
            by_hops = is_large(graph) or columns is not None or view == "own"
            if not by_hops and view == "auto" and misled(graph):
                # Heads see both hops apart, and where the edges lead from class to
                # class do well on them; the mean of the two tells nothing there.
                by_hops, view = True, "own"
        return cls(graph, by_hops, columns, stages, view, inductive, began)


def _columns(data: Any, memory: int | None) -> int | None:
    """Whether propagated features go to files; before anything is allocated."""
    x, y = getattr(data, "x", None), getattr(data, "y", None)
    entries = data.adjacency.nnz if isinstance(data, Graph) else entries_of(data)
    if not isinstance(x, Tensor) or x.dim() != 2 or entries is None or y is None:
        return None  # as_graph says what is wrong
    labels = torch.as_tensor(y)
    c = labels.shape[1] if labels.dim() == 2 else int(labels.max()) + 1
    return Room.of(len(x), entries, x.shape[1], c).choose(memory)
