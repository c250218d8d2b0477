"""The evaluator of sets of condensed graphs, for `multidd.evaluate`."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

from multidd import seeds
from multidd.engine.options import RunSettings
from multidd.errors import MultiddWarning
from multidd.evaluation.audit.space import AuditSpace
from multidd.evaluation.evaluator import BaseEvaluator, class_counts
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.regimes import RegimeScore
from multidd.evaluation.teacher import TEACHER_SEED, State, Teacher, stored_state
from multidd.graph.data.graph_set import Form, GraphSet, as_graph_set
from multidd.graph.evaluation.audit import graph_set_space
from multidd.graph.evaluation.graph_set_plain import (
    GRAPH_SET_PLAIN,
    PlainGraphs,
    pooled_classes,
    train_graph_network,
)
from multidd.graph.evaluation.regimes import probabilities_of, taught_graph_views
from multidd.graph.methods.graph_set_setup import selected
from multidd.graph.models.graph_networks import (
    LAYERS,
    SET_MODELS,
    SetInputs,
    build_graph_network,
)
from multidd.graph.models.training import (
    GRAPH_SET_PROTOCOLS,
    GraphEvaluationSet,
    GraphTrainingSet,
    fit_graph_network,
    train_on_graphs,
)
from multidd.graph.models.wl_refinement import Levels
from multidd.graph.summary.graph_set_summary import GraphSetSummary

ROWS = ("whole", "random", "herding", "kcenter", "kmeans")


class GraphSetEvaluator(BaseEvaluator[GraphSetSummary]):
    """Trains classifiers on condensed graphs, and tests them on real graphs.

    Args:
        on: graphs to test on.
        val: graphs to choose the epoch by.
        train: graphs that the rows beside are taken from; None goes without rows.
        device: where models are trained.

    Raises:
        ValueError: no validation graphs, or sets of graphs that do not fit together.
    """

    models = SET_MODELS
    protocols: Mapping[str, Protocol] = GRAPH_SET_PROTOCOLS
    rows: Sequence[str] = ROWS
    plain: Mapping[str, str] = GRAPH_SET_PLAIN
    seedless_plain: Sequence[str] = ("logistic",)

    def __init__(
        self, on: Any, *, val: Any = None, train: Any = None, device: str = "cpu"
    ) -> None:
        super().__init__(device)
        if val is None:
            raise ValueError(
                "evaluating on graphs needs val=, graphs to choose the epoch by (test "
                "graphs never choose); multidd.graph.split_graphs makes three parts"
            )
        self._sources = {"test": on, "val": val}
        self.train = None if train is None else as_graph_set(train)
        self.rows = () if train is None else type(self).rows
        self._parts: dict[str, GraphSet] = {}
        if self.train is not None:
            self._read(self.train.form)

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
        self._read(form)

    def row(
        self, name: str, summary: GraphSetSummary, seed: int
    ) -> GraphSetSummary | None:
        """A selection with the summary's class counts; None stands for whole data."""
        if name == "whole" or self.train is None:
            return None
        counts = class_counts(summary, summary.num_classes)
        return selected(name, self.train, counts, RunSettings(seed))

    def fit(
        self,
        summary: GraphSetSummary | None,
        model: str,
        protocol: Protocol,
        seed: int,
    ) -> Mapping[str, float]:
        """Train `model` on a summary, or on whole data, and test it."""
        if summary is None:
            records = GraphTrainingSet(self._training, self._training.y, whole=True)
        else:
            records = GraphTrainingSet(summary.graphs, summary.tensors["y"])
        return self._fitted(records, model, protocol, seed)

    def _fitted(
        self, records: GraphTrainingSet, model: str, protocol: Protocol, seed: int
    ) -> Mapping[str, float]:
        return train_on_graphs(model, records, self._val, self._test, protocol, seed)

    def teacher(self, protocol: Protocol, cache: bool) -> Teacher:
        """The first model, trained on whole data by the protocol."""
        name, form = self.models[0], self._training.form
        rng = seeds.at(TEACHER_SEED, f"train/{name}", device=self.device)
        net = build_graph_network(
            name, form.features, form.classes, rng, width=protocol.width
        )

        def train() -> State:
            whole = GraphTrainingSet(self._training, self._training.y, whole=True)
            trained, _ = fit_graph_network(
                name, whole, self._val, self._test, protocol, TEACHER_SEED
            )
            return dict(trained.state_dict())

        key = {"data": self.describe(), "protocol": asdict(protocol), "model": name}
        key |= self.place
        state, seconds = stored_state(key, net.state_dict(), train, cache)
        net.load_state_dict(state)
        return Teacher(name, seconds, lambda inputs: probabilities_of(net, inputs))

    def regime_note(self, regime: str, summary: GraphSetSummary, model: str) -> str:
        """Empty: every classifier of graphs takes classes, soft labels and views."""
        return ""

    def fit_regime(
        self,
        summary: GraphSetSummary,
        regime: str,
        model: str,
        protocol: Protocol,
        seed: int,
        teacher: Teacher | None,
    ) -> RegimeScore:
        """Train a classifier on graphs under a regime, and test it once."""
        graphs = summary.graphs
        records = GraphTrainingSet(graphs, graphs.y)
        if regime == "SL" and teacher is not None:
            inputs = SetInputs(Levels(graphs, LAYERS, self.device))
            labels = teacher.probabilities(inputs)
            records = GraphTrainingSet(graphs, labels)
        if regime == "SL+KD" and teacher is not None:
            records = taught_graph_views(graphs, teacher.probabilities)
        scores = self._fitted(records, model, protocol, seed)
        return RegimeScore(scores["accuracy"], scores["val_accuracy"])

    def updates(self, summary: Any, model: str, protocol: Protocol) -> int:
        """Batches of all epochs."""
        return protocol.updates(len(summary.graphs))

    def fit_plain(self, summary: GraphSetSummary | None, name: str, seed: int) -> float:
        """Accuracy on the test graphs of a plain training."""
        graphs = self._training if summary is None else summary.graphs
        test = self._plain("test")
        if name == "logistic":
            predicted = pooled_classes(graphs)(test.graphs)
            return float((predicted == test.graphs.y).float().mean())
        records = self._plain("train") if summary is None else PlainGraphs(graphs)
        held_out, whole = self._plain("val"), summary is None
        net = train_graph_network(name, records, held_out, seed, whole, self.device)
        return test.accuracy(net)

    def audit_space(self, summary: GraphSetSummary, seed: int = 0) -> AuditSpace:
        """Means of propagated features, the kernel predictor and an MLP on them."""
        val, test = (self._parts[name] for name in ("val", "test"))
        return graph_set_space(
            summary.graphs, self._training, val, test, seed, self.device
        )

    def name_of(self, model: Any) -> str:
        """Refuse a model of the caller's own.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            f"sets of graphs are evaluated by {', '.join(self.models)}; models of your "
            f"own are for the nodes of one graph, got {model!r}"
        )

    @property
    def _training(self) -> GraphSet:
        """The training graphs.

        Raises:
            ValueError: there are none.
        """
        if self.train is None:
            raise ValueError(
                "whole data needs the training graphs: give train=, or leave out "
                "whole data, the rows beside, regimes and audit=True"
            )
        return self.train

    def _plain(self, name: str) -> PlainGraphs:
        """A part as plain networks take it, made once."""
        part = self._training if name == "train" else self._parts[name]
        size = part.x.numel() * part.x.element_size()
        return self.prepared.get(
            f"plain {name}", lambda: PlainGraphs(part), num_bytes=size
        )

    def _read(self, form: Form) -> None:
        """Read the parts in the form of the training graphs."""
        if not self._parts:
            self._parts = {
                name: as_graph_set(source, form)
                for name, source in self._sources.items()
            }
            train = self.train
            if train and self._parts["test"].describe() == train.describe():
                warnings.warn(
                    "the test graphs are the training graphs: the score is not of "
                    "unseen graphs; multidd.graph.split_graphs makes three parts",
                    MultiddWarning,
                    stacklevel=4,
                )

    @cached_property
    def _val(self) -> GraphEvaluationSet:
        return GraphEvaluationSet(self._parts["val"], self.device)

    @cached_property
    def _test(self) -> GraphEvaluationSet:
        return GraphEvaluationSet(self._parts["test"], self.device)
