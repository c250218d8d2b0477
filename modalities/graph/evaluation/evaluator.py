"""The evaluator of condensed graphs, for `multidd.evaluate`."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

import scipy.sparse as sp
import torch
import torch.nn.functional as F

from multidd import seeds
from multidd.errors import MultiddWarning
from multidd.evaluation.audit.space import AuditSpace
from multidd.evaluation.custom_models import (
    check_custom,
    custom_name,
    fit_estimator,
    is_estimator,
)
from multidd.evaluation.evaluator import BaseEvaluator, class_counts
from multidd.evaluation.plain import plain_targets
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.regimes import STORED, RegimeScore, with_labels_of
from multidd.evaluation.teacher import TEACHER_SEED, State, Teacher, stored_state
from multidd.graph.data.graph import Graph, as_graph
from multidd.graph.evaluation.audit import node_space
from multidd.graph.evaluation.plain import PLAIN, PlainGraph, train_network
from multidd.graph.evaluation.regimes import probabilities_of, taught_views
from multidd.graph.methods import selection
from multidd.graph.models.kernel_predictor import regress
from multidd.graph.models.linear_teacher import micro_f1
from multidd.graph.models.module_backbone import ModuleBackbone
from multidd.graph.models.networks import MODELS, Inputs, build
from multidd.graph.models.propagation import Propagation, Sparse
from multidd.graph.models.training import (
    PROTOCOLS,
    NodeEvaluationSet,
    NodeTrainingSet,
    fit_network,
    train,
)
from multidd.graph.summary.summary import GraphSummary
from multidd.graph.tasks.node_task import NodeTask, seen

ROWS = ("whole", "random", "herding", "kcenter", "kmeans")


class Evaluator(BaseEvaluator[GraphSummary]):
    """Trains models on a condensed graph, and tests them on real nodes.

    The model `"kernel"` is regression with the kernel of GC-SNTK: nothing is trained.

    Args:
        on: a PyG `Data` with validation and test masks.
        train: None; the graph holds its training nodes.
        inductive: test on the graph of the test nodes alone.
        device: where models are trained; rows beside are selected on the CPU.

    Raises:
        ValueError: no validation or test nodes.
    """

    models = (*MODELS, "kernel")
    protocols: Mapping[str, Protocol] = PROTOCOLS
    rows: Sequence[str] = ROWS
    plain: Mapping[str, str] = PLAIN

    def __init__(
        self,
        on: Any,
        *,
        train: Any = None,
        inductive: bool = False,
        device: str = "cpu",
    ) -> None:
        super().__init__(device)
        if train is not None:
            raise ValueError(
                "a graph holds its training nodes: leave train out, set data.train_mask"
            )
        self.graph = as_graph(on, multi_label=True)
        if self.graph.multi_label is not None:
            self.metric = "micro_f1"
        self.inductive = inductive
        for name in ("val", "test"):
            if not bool(getattr(self.graph, name).any()):
                raise ValueError(
                    f"evaluating needs {name} nodes; set data.{name}_mask (iterations "
                    "are chosen on validation nodes, never on test nodes)"
                )
        seen_nodes = int((self.graph.test & self.graph.train).sum())
        if seen_nodes:
            warnings.warn(
                f"{seen_nodes} of {int(self.graph.test.sum())} test nodes are training "
                "nodes: the score is not of unseen nodes; set data.test_mask to others",
                MultiddWarning,
                stacklevel=3,
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
        form = summary.tensors["x"].shape[1], summary.num_classes
        if form != (d, c):
            raise ValueError(
                f"the summary has {form[0]} features and {form[1]} classes, the data "
                f"has {d} and {c}; evaluate it on the data it was made from"
            )
        if (self.graph.multi_label is not None) != summary.multi_label:
            kinds = ("one class", "several labels")
            of_data, of_summary = (
                kinds[not summary.multi_label],
                kinds[summary.multi_label],
            )
            raise ValueError(
                f"nodes of the data have {of_data}, of the summary {of_summary}"
            )

    def row(self, name: str, summary: GraphSummary, seed: int) -> GraphSummary | None:
        """A selection with the summary's class counts; None stands for whole data."""
        if name == "whole":
            return None
        if self.graph.multi_label is not None:
            graph, count = self._seen, summary.num_nodes
            propagation = self._keep("propagation", self._propagation)
            return selection.of_several(
                name, graph, propagation, count, self.inductive, seed
            )
        counts = class_counts(summary, self.graph.num_classes)
        task = self._keep("task", lambda: NodeTask.of(self._seen))
        return selection.of_counts(name, task, counts, seed)

    def fit(
        self, summary: GraphSummary | None, model: str, protocol: Protocol, seed: int
    ) -> Mapping[str, float]:
        """Train `model` on a summary, or on whole data, and test it."""
        records = self._whole if summary is None else self._records(summary, protocol)
        return self._fitted(records, model, protocol, seed)

    def _fitted(
        self, records: NodeTrainingSet, model: str, protocol: Protocol, seed: int
    ) -> Mapping[str, float]:
        """Scores of a model trained on nodes, with `val_accuracy`."""
        if model == "kernel":
            if self.graph.multi_label is not None:
                raise ValueError("the model 'kernel' is for nodes of one class each")
            return regress(records, self._val, self._test)
        custom = self.custom_models.get(model)
        if is_estimator(custom):
            return self._fit_estimator(records, custom, seed)
        return train(model, records, self._val, self._test, protocol, seed, custom)

    def teacher(self, protocol: Protocol, cache: bool) -> Teacher:
        """The first model, trained on whole data by the protocol."""
        name, d, c = self.models[0], self.graph.x.shape[1], self.graph.num_classes
        rng = seeds.at(TEACHER_SEED, f"train/{name}", device=self.device)
        net = build(name, d, c, rng, width=protocol.width)

        def train() -> State:
            trained, _ = fit_network(
                name, self._whole, self._val, self._test, protocol, TEACHER_SEED
            )
            return dict(trained.state_dict())

        key = {"data": self.describe(), "protocol": asdict(protocol), "model": name}
        key |= self.place
        state, seconds = stored_state(key, net.state_dict(), train, cache)
        net.load_state_dict(state)
        multi_label = self.graph.multi_label is not None
        return Teacher(
            name, seconds, lambda inputs: probabilities_of(net, inputs, multi_label)
        )

    def has_soft_labels(self, summary: GraphSummary) -> bool:
        """Whether nodes have shares of labels, and not 0 or 1 of each."""
        if self.graph.multi_label is None:
            return super().has_soft_labels(summary)
        shares = summary.tensors["y_soft"]
        return bool(((shares != 0) & (shares != 1)).any())

    def fit_regime(
        self,
        summary: GraphSummary,
        regime: str,
        model: str,
        protocol: Protocol,
        seed: int,
        teacher: Teacher | None,
    ) -> RegimeScore:
        """Train a model on nodes under a regime, and test it once.

        Where nodes have several labels, those are hard that half of a node or more has.
        """
        protocol = replace(protocol, soft_labels=True)
        records = self._records(summary, protocol)
        labels = None
        if regime == "SL" and teacher is not None:
            labels = teacher.probabilities(records.inputs)
        if self.graph.multi_label is None:
            summary = with_labels_of(regime, summary, labels)
            records = self._records(summary, protocol)
        elif labels is not None:
            records = replace(records, targets=labels)
        elif regime != STORED:
            records = replace(records, targets=(records.targets >= 0.5).float())
        if regime == "SL+KD" and teacher is not None:
            x = summary.tensors["x"]
            records = taught_views(records, x, teacher.probabilities)
        scores = self._fitted(records, model, protocol, seed)
        return RegimeScore(scores[self.metric], scores[f"val_{self.metric}"])

    def updates(self, summary: Any, model: str, protocol: Protocol) -> int:
        """One for each epoch; 0 of the kernel predictor and of estimators."""
        solved = model == "kernel" or is_estimator(self.custom_models.get(model))
        return 0 if solved else protocol.epochs

    def audit_space(self, summary: GraphSummary, seed: int = 0) -> AuditSpace:
        """Features propagated twice, the kernel predictor and an MLP on them."""
        protocol = next(iter(self.protocols.values()))
        y = summary.tensors.get("y_soft", summary.tensors["y"])
        whole, classes = self._whole, self.graph.num_classes
        multi_label = self.graph.multi_label is not None
        return node_space(
            (self._records(summary, protocol).inputs, y),
            (whole.inputs, whole.rows, _labels(self._seen)[whole.rows.cpu()]),
            (self._val.inputs, self._val.rows, self._val.labels),
            (self._test.inputs, self._test.rows, self._test.labels),
            classes,
            seed,
            multi_label,
            self.device,
        )

    def name_of(self, model: Any) -> str:
        """What a table calls a model: the class of its modules, or of an estimator.

        Raises:
            TypeError, ValueError: a model that does not fit the graph.
        """
        check_custom(model)
        if is_estimator(model):
            if self.graph.multi_label is not None:
                raise ValueError("estimators are for nodes of one class each")
            return custom_name(model)
        form = self.graph.x.shape[1], self.graph.num_classes
        return str(ModuleBackbone(model).bound(*form).describe()["kind"])

    def _fit_estimator(
        self, records: NodeTrainingSet, estimator: Any, seed: int
    ) -> Mapping[str, float]:
        """Fit an estimator on features propagated twice, as those of an SGC."""
        x = _twice(records.inputs)[records.rows.cpu().numpy()]
        answer = fit_estimator(estimator, x, records.targets, seed=seed)
        scores = []
        for nodes in (self._test, self._val):
            classes = answer(_twice(nodes.inputs)[nodes.rows.cpu().numpy()])
            scores.append(float((classes == nodes.labels.cpu()).float().mean()))
        return {"accuracy": scores[0], "val_accuracy": scores[1]}

    def fit_plain(self, summary: GraphSummary | None, name: str, seed: int) -> float:
        """Score on the test nodes of a plain network, after its last epoch."""
        multi_label = self.graph.multi_label is not None
        if summary is None:
            seen_graph, rows = self._seen, self._seen.train.nonzero().flatten()
            graph = self.prepared.get(
                "plain seen", lambda: PlainGraph.of(seen_graph.x, seen_graph.adjacency)
            )
            targets = _labels(seen_graph)[rows]
        else:
            parts = summary.tensors
            graph = PlainGraph(parts["x"], parts["edge_index"], parts["edge_weight"])
            rows = torch.arange(summary.num_nodes)
            labels = parts.get("y_soft", parts["y"])
            targets = labels if multi_label else plain_targets(labels)
        classes = self.graph.num_classes
        graph, targets = graph.to(self.device), targets.to(self.device)
        rows = rows.to(self.device)
        net = train_network(name, graph, targets, rows, classes, seed, multi_label)
        test, tested_graph = self._test, self._graph_of("test")
        tested = self.prepared.get(
            "plain test", lambda: PlainGraph.of(tested_graph.x, tested_graph.adjacency)
        )
        with torch.no_grad():
            tested = tested.to(self.device)
            scores = tested.through(net, name)[test.rows]
        if multi_label:
            return micro_f1(scores > 0, test.labels > 0)
        return float((scores.argmax(1) == test.labels).float().mean())

    def _records(self, summary: GraphSummary, protocol: Protocol) -> NodeTrainingSet:
        parts = summary.tensors
        ends = tuple(parts["edge_index"].numpy())
        size = (summary.num_nodes, summary.num_nodes)
        adjacency = sp.csr_array((parts["edge_weight"].numpy(), ends), shape=size)
        targets = F.one_hot(parts["y"], self.graph.num_classes).float()
        if (protocol.soft_labels or summary.multi_label) and "y_soft" in parts:
            targets = parts["y_soft"]
        rows = torch.arange(summary.num_nodes, device=self.device)
        inputs = Inputs(parts["x"], adjacency, self.device)
        return NodeTrainingSet(inputs, targets.to(self.device), rows=rows)

    def _keep(self, key: str, make: Any) -> Any:
        """What is propagated over the graph, kept unless the features are too many."""
        size = self.graph.x.numel() * self.graph.x.element_size()
        return self.prepared.get(key, make, num_bytes=size)

    def _propagation(self) -> Propagation:
        return Propagation(self._seen.adjacency, self._seen.x)

    @cached_property
    def _seen(self) -> Graph:
        """The graph that methods see."""
        return seen(self.graph, self.inductive)

    @cached_property
    def _whole(self) -> NodeTrainingSet:
        graph = self._seen
        rows = graph.train.nonzero().flatten()
        if graph.multi_label is not None:
            targets = graph.multi_label[rows]
        else:
            targets = F.one_hot(graph.y[rows], graph.num_classes).float()
        return NodeTrainingSet(
            self._inputs(graph),
            targets.to(self.device),
            whole=True,
            rows=rows.to(self.device),
        )

    @cached_property
    def _full(self) -> Inputs:
        return Inputs(self.graph.x, self.graph.adjacency, self.device)

    def _inputs(self, graph: Graph) -> Inputs:
        if graph is self.graph:
            return self._full
        return Inputs(graph.x, graph.adjacency, self.device)

    def _graph_of(self, name: str) -> Graph:
        """The graph on which nodes of a part are judged."""
        if not self.inductive:
            return self.graph
        return self.graph.subgraph(getattr(self.graph, name).nonzero().flatten())

    def _evaluation_set(self, name: str) -> NodeEvaluationSet:
        nodes = getattr(self.graph, name).nonzero().flatten()
        graph = self._graph_of(name)
        rows = torch.arange(len(nodes)) if self.inductive else nodes
        return NodeEvaluationSet(
            self._inputs(graph),
            _labels(graph)[rows].to(self.device),
            rows=rows.to(self.device),
        )

    @cached_property
    def _val(self) -> NodeEvaluationSet:
        return self._evaluation_set("val")

    @cached_property
    def _test(self) -> NodeEvaluationSet:
        return self._evaluation_set("test")


def _labels(graph: Graph) -> torch.Tensor:
    """`[n]` classes, or `[n, c]` where nodes have several labels."""
    return graph.y if graph.multi_label is None else graph.multi_label


def _twice(inputs: Inputs) -> Any:
    """Features propagated twice, a matrix or an array."""
    twice = inputs.twice
    return twice.matrix if isinstance(twice, Sparse) else twice.cpu().numpy()
