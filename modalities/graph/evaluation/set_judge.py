"""How condensed graphs are judged: what `multidd.evaluate` asks of sets of graphs."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch

from multidd.evaluation.protocol import Protocol
from multidd.graph.data.graph_set import Form, GraphSet
from multidd.graph.data.set_reading import as_graph_set
from multidd.graph.methods.graph_set_setup import selected
from multidd.graph.models.graph_networks import SET_MODELS
from multidd.graph.models.set_training import PROTOCOLS, Exam, train
from multidd.graph.summary.graph_set_summary import GraphSetSummary

ROWS = ("whole", "random", "herding", "kcenter", "kmeans")


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
    protocols: Mapping[str, Protocol] = PROTOCOLS
    metric = "accuracy"
    rows: tuple[str, ...] = ROWS

    def __init__(self, on: Any, *, val: Any = None, train: Any = None) -> None:
        if val is None:
            raise ValueError(
                "evaluating on graphs needs val=, graphs to choose the epoch by (test "
                "graphs never choose); multidd.graph.split_graphs makes three parts"
            )
        self._given = {"test": on, "val": val}
        self.train = None if train is None else as_graph_set(train)
        self.rows = () if train is None else ROWS
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
        return train(model, lesson, self._val, self._test, protocol, seed)

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
    def _val(self) -> Exam:
        return Exam(self._parts["val"])

    @cached_property
    def _test(self) -> Exam:
        return Exam(self._parts["test"])
