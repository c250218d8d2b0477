"""The evaluator of sets of condensed graphs, for `multidd.evaluate`."""

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from multidd.engine.options import RunSettings
from multidd.errors import MultiddWarning
from multidd.evaluation.evaluator import BaseEvaluator, class_counts
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.regimes import RegimeScore
from multidd.evaluation.teacher import Teacher
from multidd.graph.data.graph_set import Form, GraphSet, as_graph_set
from multidd.graph.methods.graph_set_setup import selected
from multidd.graph.models.graph_networks import SET_MODELS
from multidd.graph.models.training import (
    GRAPH_SET_PROTOCOLS,
    GraphEvaluationSet,
    train_on_graphs,
)
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
        graphs = self.train if summary is None else summary.graphs
        if graphs is None:
            raise ValueError("whole data needs the training graphs: give train=")
        return train_on_graphs(
            model, graphs, self._val, self._test, protocol, seed, whole=summary is None
        )

    def teacher(self, protocol: Protocol, cache: bool) -> None:
        """None: a classifier of graphs takes no soft labels here."""
        return None

    def regime_note(self, regime: str, summary: GraphSetSummary, model: str) -> str:
        """Why graphs cannot be trained on under a regime; empty where they can."""
        return "" if regime == "HL" else "graphs of a set are trained on by class alone"

    def fit_regime(
        self,
        summary: GraphSetSummary,
        regime: str,
        model: str,
        protocol: Protocol,
        seed: int,
        teacher: Teacher | None,
    ) -> RegimeScore:
        """Train a classifier on graphs by their classes, and test it once."""
        scores = self.fit(summary, model, protocol, seed)
        return RegimeScore(scores["accuracy"], scores["val_accuracy"])

    def updates(self, summary: Any, model: str, protocol: Protocol) -> int:
        """Batches of all epochs."""
        return protocol.updates(len(summary.graphs))

    def name_of(self, model: Any) -> str:
        """Refuse a model of the caller's own.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            f"sets of graphs are evaluated by {', '.join(self.models)}; models of your "
            f"own are for the nodes of one graph, got {model!r}"
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
