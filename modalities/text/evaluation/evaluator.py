"""How distilled texts are judged: what `multidd.evaluate` asks of this modality."""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from multidd.evaluation.protocol import Protocol
from multidd.text.data.readers import as_texts
from multidd.text.data.texts import Texts
from multidd.text.evaluation.replay import taught
from multidd.text.models import training
from multidd.text.models.encoder import encoder_of
from multidd.text.models.feature_cache import features
from multidd.text.models.kernel_predictor import DEFAULT, answers, kernel_model, one_hot
from multidd.text.models.training import NETWORKS, PROTOCOLS, Lesson
from multidd.text.models.word_vectors import StaticTable
from multidd.text.summary.summary import TextSummary
from multidd.text.tasks.embedding_task import TextTask

ROWS = ("whole", "random", "herding", "kcenter", "medoids", "kmeans")

BARE = ("kmeans",)
"""Rows without texts."""

REGRESSED = 5000
"""Texts, at most, that the kernel predictor takes for whole data."""


class Judge:
    """Trains models on a summary, or on a row beside it, and tests them on real texts.

    Models: `"kernel"`, the summary's own kernel predictor; `"logistic"`, logistic
    regression on features, by hard labels; `"softmax"`, a linear head on features, by
    soft ones; `"textcnn"`, `"gru"` and `"lstm"` on static word vectors, which need the
    texts; `"replay"`, a fresh learner of the kind that the set was learned for, after
    its learned steps. Features are those of the summary's encoder.

    Args:
        on: test texts, in any form that `multidd.text.as_texts` takes. Labels mean what
            they meant in the data of the summary.
        train: training texts, which the rows beside are taken from. None goes without.
        encoder: the summary's encoder, where its name alone does not find it: an
            `Encoder`, or what `Encoder.of` takes.
        vectors: word vectors, as `StaticTable.of` takes them; GloVe unless given.
        text, pair, label: columns of `on` and `train`.
    """

    models = ("kernel", "logistic", "softmax", *NETWORKS, "replay")
    solved = ("kernel", "logistic")  # in closed form or to the optimum, by no protocol
    protocols: Mapping[str, Protocol] = PROTOCOLS
    metric = "accuracy"
    rows: tuple[str, ...] = ROWS
    also = ("macro_f1",)

    def __init__(
        self,
        on: Any,
        *,
        train: Any = None,
        encoder: Any = None,
        vectors: Any = None,
        text: str = "text",
        pair: str | None = None,
        label: str = "label",
    ) -> None:
        self._given = (on, train)
        self._columns: dict[str, Any] = {"text": text, "pair": pair, "label": label}
        self._encoder, self._vectors = encoder, vectors
        self.rows = () if train is None else ROWS
        self.test: Texts | None = None
        self.train: Texts | None = None
        self.encoder: Any = None
        self._told: dict[str, Any] = {}
        self.kernel = dict(DEFAULT)

    def describe(self) -> dict[str, Any]:
        """Fingerprints of the texts, and the keys of encoder and word vectors."""
        if self.test is None:
            raise ValueError("check a summary first: it says what the labels mean")
        train = None if self.train is None else self.train.describe()
        own = {"train": train, "encoder": self.encoder.key}
        return self.test.describe() | own

    def has(self, row: str, model: str) -> bool:
        """Whether a row can train a model: networks on words need texts, and only a set
        that learned its steps has any to replay."""
        return model != "replay" and not (row in BARE and model in NETWORKS)

    def check(self, summary: TextSummary) -> None:
        """Read the texts as the summary's labels say, and refuse what does not fit.

        Raises:
            ValueError: texts of other classes; another encoder than the summary's.
        """
        values = tuple(summary.card.source["labels"])
        told = dict(summary.card.settings.get("encoder") or {})
        if self.test is None:
            on, train = self._given
            self.test = as_texts(on, values=values, **self._columns)
            if train is not None:
                self.train = as_texts(train, values=values, **self._columns)
            self.encoder = encoder_of(summary.card, self._encoder)
            self.kernel, self._told = _kernel(summary), told
            self._check_width(summary)
        if self.test.values != values:
            raise ValueError(
                f"the summaries are of different classes: {list(self.test.values)} and "
                f"{list(values)}; evaluate each on its own"
            )
        if told.get("key") != self._told.get("key"):
            raise ValueError(
                "the summaries were made with different encoders; evaluate each on its "
                "own"
            )

    def row(self, name: str, summary: TextSummary, seed: int) -> TextSummary | None:
        """A selection of as many texts of each class; None stands for whole data."""
        if name == "whole":
            return None
        from multidd.text.methods import selection

        counts = summary.tensors["y"].bincount(minlength=summary.num_classes).tolist()
        recipe = {"encoder": self._told, "kernel": _kernel(summary)}
        return selection.of_counts(name, self._task, counts, recipe, seed)

    def fit(
        self, summary: TextSummary | None, model: str, protocol: Protocol, seed: int
    ) -> Mapping[str, float]:
        """Train `model` on a summary, or on whole data, and test it once.

        Returns:
            `accuracy`, `macro_f1`, and `accuracy/NAME` of each class.

        Raises:
            ValueError: a network on words, and a summary without texts.
        """
        assert self.test is not None
        if model in NETWORKS:
            lesson = self._words(summary, model, protocol)
            answer = training.network(
                model, lesson, self._table.vectors, protocol, seed
            )
            found = answer(self._table.ids(self.test)).argmax(1)
        elif model == "replay":
            assert summary is not None
            found = taught(summary, self.encoder, lambda: self._table, seed)(self.test)
        else:
            found = answers(self._fitted(summary, model, protocol, seed), self._x)
        return training.scores_of(found, self.test.labels, self.test.classes)

    def model_key(self, model: str) -> str:
        """The name of a model, with what decides it beside the protocol."""
        if model == "kernel":
            return f"kernel {json.dumps(self.kernel, sort_keys=True)}"
        return f"{model} {self._table.key}" if model in NETWORKS else model

    @staticmethod
    def size(summary: TextSummary | None) -> tuple[int | None, int | None]:
        """Rows and bytes of a training set."""
        return (None, None) if summary is None else (len(summary), summary.num_bytes)

    def _fitted(
        self, summary: TextSummary | None, model: str, protocol: Protocol, seed: int
    ) -> Any:
        lesson = self._features(summary, model)
        if model == "kernel":
            kernel = self.kernel if summary is None else _kernel(summary)
            return kernel_model(lesson.x, lesson.targets, kernel)
        if model == "logistic":
            return training.logistic(lesson)
        return training.softmax(lesson, protocol, seed)

    def _features(self, summary: TextSummary | None, model: str) -> Lesson:
        if summary is None:
            x, y = self._task.x, self._task.y
            if model == "kernel" and len(x) > REGRESSED:
                rows = torch.linspace(0, len(x) - 1, REGRESSED).long()
                x, y = x[rows], y[rows]
            return Lesson(
                x, y, one_hot(y, self._classes), torch.ones(len(y)), whole=True
            )
        x = summary.tensors["x"]
        if x.dim() == 3:
            with torch.no_grad():
                mask, types = summary.tensors["mask"], summary.tensors.get("types")
                x = self.encoder.through(x, mask, types)
        return self._lesson(summary, x)

    def _words(
        self, summary: TextSummary | None, model: str, protocol: Protocol
    ) -> Lesson:
        if summary is None:
            train, y = self._train, self._train.labels
            targets, mass = one_hot(y, self._classes), torch.ones(len(y))
            return Lesson(self._table.ids(train), y, targets, mass, whole=True)
        if summary.texts is None:
            raise ValueError(
                f"{model!r} trains on texts, and {summary!r} holds embeddings; take "
                "'kernel', 'logistic' or 'softmax', or decode the set first"
            )
        words = Texts(
            summary.texts,
            summary.pairs,
            summary.tensors["y"],
            self.test.classes if self.test else (),
            self.test.values if self.test else (),
        )
        return self._lesson(summary, self._table.ids(words), protocol.soft_labels)

    def _lesson(self, summary: TextSummary, x: Any, soft: bool = True) -> Lesson:
        y = summary.tensors["y"]
        _, targets = summary.to_tensors()
        if targets.dim() == 1 or not soft:
            return Lesson(x, y, one_hot(y, self._classes), summary.weight)
        centered = summary.card.labels == "centered"
        return Lesson(x, y, targets, summary.weight, centered)

    def _check_width(self, summary: TextSummary) -> None:
        x = summary.tensors["x"]
        if x.dim() == 2 and x.shape[1] != self.encoder.dim:
            raise ValueError(
                f"the summary has {x.shape[1]} features, the encoder "
                f"{self.encoder.name!r} gives {self.encoder.dim}; pass encoder= as it "
                "was in the making"
            )

    @property
    def _classes(self) -> int:
        assert self.test is not None
        return self.test.num_classes

    @property
    def _train(self) -> Texts:
        if self.train is None:
            raise ValueError("rows beside need the training data: give train=")
        return self.train

    @cached_property
    def _task(self) -> TextTask:
        return TextTask(self._train, features(self.encoder, self._train))

    @cached_property
    def _x(self) -> Tensor:
        return features(self.encoder, self.test)

    @cached_property
    def _table(self) -> StaticTable:
        return StaticTable.of(self._vectors)


def _kernel(summary: TextSummary) -> dict[str, Any]:
    return dict(summary.card.settings.get("kernel") or DEFAULT)
