"""How a condensed graph is judged: what `multidd.evaluate` asks of this modality."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import scipy.sparse as sp
import torch
import torch.nn.functional as F

from multidd.evaluation.protocol import Protocol
from multidd.graph.data.graph import Graph, as_graph
from multidd.graph.data.graph_set import Form, GraphSet, as_graph_set
from multidd.graph.methods import selection
from multidd.graph.methods.graph_set_setup import selected
from multidd.graph.models.graph_networks import SET_MODELS
from multidd.graph.models.kernel_predictor import regress
from multidd.graph.models.networks import MODELS, Inputs
from multidd.graph.models.training import (
    GRAPH_SET_PROTOCOLS,
    PROTOCOLS,
    Exam,
    GraphSetExam,
    Lesson,
    train,
    train_on_graphs,
)
from multidd.graph.summary.graph_set_summary import GraphSetSummary
from multidd.graph.summary.summary import GraphSummary
from multidd.graph.tasks.node_task import seen

ROWS = ("whole", "random", "herding", "kcenter", "kmeans")


class Judge:
    """Trains models on a summary, or on a row beside it, and tests them on real nodes.

    The model `"kernel"` is regression with the kernel of GC-SNTK: nothing is trained.

    Args:
        on: a PyG `Data` with validation and test masks.
        train: None; the graph holds its training nodes.
        inductive: test on the graph of the test nodes alone.

    Raises:
        ValueError: no validation or test nodes.
    """

    models = (*MODELS, "kernel")
    protocols: Mapping[str, Protocol] = PROTOCOLS
    metric = "accuracy"
    rows = ROWS

    def __init__(self, on: Any, *, train: Any = None, inductive: bool = False) -> None:
        if train is not None:
            raise ValueError(
                "a graph holds its training nodes: leave train out, set data.train_mask"
            )
        self.graph = as_graph(on, several=True)
        if self.graph.several is not None:
            self.metric = "micro_f1"
        self.inductive = inductive
        for name in ("val", "test"):
            if not bool(getattr(self.graph, name).any()):
                raise ValueError(
                    f"evaluating needs {name} nodes; set data.{name}_mask (iterations "
                    "are chosen on validation nodes, never on test nodes)"
                )

    def describe(self) -> dict[str, Any]:
        """The data's fingerprint."""
        return self.graph.describe() | {"inductive": self.inductive}

    def check(self, summary: GraphSummary) -> None:
        """Refuse a summary that does not fit this graph.

        Raises:
            ValueError: other features or classes.
        """
        d, c = self.graph.x.shape[1], self.graph.num_classes
        ours = summary.tensors["x"].shape[1], summary.num_classes
        if ours != (d, c):
            raise ValueError(
                f"the summary has {ours[0]} features and {ours[1]} classes, the data "
                f"has {d} and {c}; evaluate it on the data it was made from"
            )
        if (self.graph.several is not None) != summary.several:
            kinds = ("one class", "several labels")
            own, made = kinds[not summary.several], kinds[summary.several]
            raise ValueError(f"nodes of the data have {own}, of the summary {made}")

    def row(self, name: str, summary: GraphSummary, seed: int) -> GraphSummary | None:
        """A selection with the summary's class counts; None stands for whole data."""
        if name == "whole":
            return None
        if self.graph.several is not None:
            return selection.of_several(
                name, self.graph, summary.num_nodes, self.inductive, seed
            )
        counts = torch.bincount(summary.tensors["y"], minlength=self.graph.num_classes)
        return selection.of_counts(
            name, self.graph, counts.tolist(), self.inductive, seed
        )

    def fit(
        self, summary: GraphSummary | None, model: str, protocol: Protocol, seed: int
    ) -> Mapping[str, float]:
        """Train `model` on a summary, or on whole data, and test it."""
        lesson = self._whole if summary is None else self._lesson(summary, protocol)
        if model == "kernel":
            if self.graph.several is not None:
                raise ValueError("the model 'kernel' is for nodes of one class each")
            return regress(lesson, self._val, self._test)
        return train(model, lesson, self._val, self._test, protocol, seed)

    @staticmethod
    def size(summary: GraphSummary | None) -> tuple[int | None, int | None]:
        """Nodes and bytes of a row."""
        if summary is None:
            return None, None
        return summary.num_nodes, summary.num_bytes

    def _lesson(self, summary: GraphSummary, protocol: Protocol) -> Lesson:
        parts = summary.tensors
        ends = tuple(parts["edge_index"].numpy())
        size = (summary.num_nodes, summary.num_nodes)
        adjacency = sp.csr_array((parts["edge_weight"].numpy(), ends), shape=size)
        targets = F.one_hot(parts["y"], self.graph.num_classes).float()
        if (protocol.soft_labels or summary.several) and "y_soft" in parts:
            targets = parts["y_soft"]
        rows = torch.arange(summary.num_nodes)
        return Lesson(Inputs(parts["x"], adjacency), rows, targets)

    @cached_property
    def _whole(self) -> Lesson:
        graph = seen(self.graph, self.inductive)
        rows = graph.train.nonzero().flatten()
        if graph.several is not None:
            return Lesson(self._inputs(graph), rows, graph.several[rows])
        targets = F.one_hot(graph.y[rows], graph.num_classes).float()
        return Lesson(self._inputs(graph), rows, targets)

    @cached_property
    def _full(self) -> Inputs:
        return Inputs(self.graph.x, self.graph.adjacency)

    def _inputs(self, graph: Graph) -> Inputs:
        whole = graph is self.graph
        return self._full if whole else Inputs(graph.x, graph.adjacency)

    def _exam(self, name: str) -> Exam:
        nodes = getattr(self.graph, name).nonzero().flatten()
        graph = self.graph.subgraph(nodes) if self.inductive else self.graph
        rows = torch.arange(len(nodes)) if self.inductive else nodes
        labels = graph.y if graph.several is None else graph.several
        return Exam(self._inputs(graph), rows, labels[rows])

    @cached_property
    def _val(self) -> Exam:
        return self._exam("val")

    @cached_property
    def _test(self) -> Exam:
        return self._exam("test")


GRAPH_SET_ROWS = ("whole", "random", "herding", "kcenter", "kmeans")


class SetJudge:
    """Trains classifiers on condensed graphs, or on a row beside, and tests them.

    Args:
        on: graphs to test on.
        val: graphs to choose the epoch by.
        train: graphs that the rows beside are taken from; None goes without rows.

    Raises:
        ValueError: no validation graphs, or sets of graphs that do not fit together.
    """

    models = SET_MODELS
    protocols: Mapping[str, Protocol] = GRAPH_SET_PROTOCOLS
    metric = "accuracy"
    rows: tuple[str, ...] = GRAPH_SET_ROWS

    def __init__(self, on: Any, *, val: Any = None, train: Any = None) -> None:
        if val is None:
            raise ValueError(
                "evaluating on graphs needs val=, graphs to choose the epoch by (test "
                "graphs never choose); multidd.graph.split_graphs makes three parts"
            )
        self._given = {"test": on, "val": val}
        self.train = None if train is None else as_graph_set(train)
        self.rows = () if train is None else GRAPH_SET_ROWS
        self._parts: dict[str, GraphSet] = {}
        if self.train is not None:
            self._fit_to(self.train.form)

    def describe(self) -> dict[str, Any]:
        """Fingerprints of the parts."""
        parts = {name: part.describe() for name, part in self._parts.items()}
        return parts | {"train": None if self.train is None else self.train.describe()}

    def check(self, summary: GraphSetSummary) -> None:
        """Refuse a summary that does not fit these graphs.

        Raises:
            ValueError: other features or classes.
        """
        form = summary.form if self.train is None else self.train.form
        if summary.form != form:
            raise ValueError(
                f"the summary has {summary.form.features} features and "
                f"{summary.num_classes} classes, the data has {form.features} and "
                f"{form.classes}, or degrees are told otherwise; evaluate it on the "
                "data it was made from"
            )
        self._fit_to(form)

    def row(
        self, name: str, summary: GraphSetSummary, seed: int
    ) -> GraphSetSummary | None:
        """A selection with the summary's class counts; None stands for whole data."""
        if name == "whole" or self.train is None:
            return None
        y = summary.tensors["y"]
        counts = torch.bincount(y, minlength=summary.num_classes).tolist()
        return selected(name, self.train, counts, seed)

    def fit(
        self,
        summary: GraphSetSummary | None,
        model: str,
        protocol: Protocol,
        seed: int,
    ) -> Mapping[str, float]:
        """Train `model` on a summary, or on whole data, and test it."""
        lesson = self.train if summary is None else summary.graphs
        if lesson is None:
            raise ValueError("whole data needs the training graphs: give train=")
        return train_on_graphs(model, lesson, self._val, self._test, protocol, seed)

    @staticmethod
    def size(summary: GraphSetSummary | None) -> tuple[int | None, int | None]:
        """Graphs and bytes of a row."""
        return (None, None) if summary is None else (len(summary), summary.num_bytes)

    def _fit_to(self, form: Form) -> None:
        """Read the parts in the form of the training graphs."""
        if not self._parts:
            self._parts = {
                name: as_graph_set(given, form) for name, given in self._given.items()
            }

    @cached_property
    def _val(self) -> GraphSetExam:
        return GraphSetExam(self._parts["val"])

    @cached_property
    def _test(self) -> GraphSetExam:
        return GraphSetExam(self._parts["test"])
