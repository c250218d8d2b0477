"""The evaluator of distilled texts: what `multidd.evaluate` asks of this modality."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.engine.card import CardInfo
from multidd.engine.loop import select
from multidd.evaluation.audit.space import AuditSpace
from multidd.evaluation.custom_models import (
    check_custom,
    custom_name,
    fit_estimator,
    is_estimator,
)
from multidd.evaluation.evaluator import LabelledEvaluator, class_counts
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.regimes import RegimeScore, with_labels_of
from multidd.evaluation.teacher import TEACHER_SEED, State, Teacher, stored_state
from multidd.evaluation.training import EvaluationSet
from multidd.learning.modules import FunctionalModule
from multidd.text.data.readers import as_texts
from multidd.text.data.texts import Texts
from multidd.text.evaluation.audit import text_space
from multidd.text.evaluation.plain import PLAIN, tfidf_classes
from multidd.text.evaluation.regimes import NO_VIEWS, taught_views
from multidd.text.evaluation.replay import replayed_classes
from multidd.text.methods import selection
from multidd.text.methods.pursuit import PursuitOptions
from multidd.text.models import training
from multidd.text.models.encoder import encoder_of
from multidd.text.models.feature_cache import features
from multidd.text.models.kernel_predictor import DEFAULT, answers, kernel_model, one_hot
from multidd.text.models.training import NETWORKS, PROTOCOLS, TextTrainingSet, Views
from multidd.text.models.vocabulary import Table
from multidd.text.models.word_vectors import StaticTable
from multidd.text.summary.summary import TextSummary
from multidd.text.tasks.embedding_task import TextTask
from multidd.text.tasks.token_batch import Shown

ROWS = ("whole", "random", "herding", "kcenter", "medoids", "kmeans")

ROWS_WITHOUT_TEXTS = ("kmeans",)

MAX_KERNEL_ROWS = 5000
"""Texts, at most, that the kernel predictor takes for whole data."""


class Evaluator(LabelledEvaluator[TextSummary]):
    """Trains models on distilled texts, and tests them on real ones.

    Models: `"kernel"`, the summary's own kernel predictor; `"logistic"`, logistic
    regression on features, by hard labels; `"softmax"`, a linear head on features, by
    soft ones; `"textcnn"`, `"gru"` and `"lstm"` on static word vectors, which need the
    texts; `"replay"`, a fresh learner of the kind that the set was learned for, after
    its learned steps. Features are those of the summary's encoder. Models of the
    caller's own go on features too: estimators of scikit-learn, and what makes an
    `nn.Module` from `(num_features, num_classes)`.

    Args:
        on: test texts, in any form that `multidd.text.as_texts` takes. Labels mean what
            they meant in the data of the summary.
        train: training texts, which the rows beside are taken from. None goes without.
        encoder: the summary's encoder, where its name alone does not find it: an
            `Encoder`, what `Encoder.of` takes, or a function of texts.
        vectors: word vectors, as `StaticTable.of` takes them; GloVe unless given.
        text, pair, label: columns of `on` and `train`.
        device: where models are trained; texts are encoded on the CPU.
    """

    models = ("kernel", "logistic", "softmax", *NETWORKS, "replay")
    closed_form_models = ("kernel", "logistic")
    protocols: Mapping[str, Protocol] = PROTOCOLS
    rows: Sequence[str] = ROWS
    extra_metrics = ("macro_f1",)
    default_kernel = DEFAULT
    plain: Mapping[str, str] = PLAIN
    seedless_plain = tuple(PLAIN)
    regime_rows: Sequence[str] = ("pursuit",)

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
        device: str = "cpu",
    ) -> None:
        super().__init__(on, train, device)
        self._columns: dict[str, Any] = {"text": text, "pair": pair, "label": label}
        self._encoder_source, self._vectors = encoder, vectors
        self.encoder: Any = None
        self._encoder_card: dict[str, Any] = {}

    def describe(self) -> dict[str, Any]:
        """Fingerprints of the texts, and the key of the encoder."""
        return super().describe() | {"encoder": self.encoder.key}

    def supports(self, row: str, model: str) -> bool:
        """Whether a row can train a model.

        Networks on words need texts, and only a set that learned its steps has any to
        replay.
        """
        return model != "replay" and not (
            row in ROWS_WITHOUT_TEXTS and model in NETWORKS
        )

    def read(self, data: Any, values: tuple[Any, ...]) -> Texts:
        """The texts; `values[i]` are the labels of class i."""
        return as_texts(data, values=values, **self._columns)

    def check_records(self, summary: TextSummary) -> None:
        """Refuse a summary of another encoder."""
        card = dict(summary.card.settings.get("encoder") or {})
        if self.encoder is None:
            self.encoder = encoder_of(summary.card, self._encoder_source)
            self._encoder_card = card
        x = summary.tensors["x"]
        if x.dim() == 2 and x.shape[1] != self.encoder.dim:
            raise ValueError(
                f"the summary has {x.shape[1]} features, the encoder "
                f"{self.encoder.name!r} gives {self.encoder.dim}; pass encoder= as it "
                "was in the making"
            )
        if card.get("key") != self._encoder_card.get("key"):
            raise ValueError(
                "the summaries were made with different encoders; evaluate each on its "
                "own"
            )
        self._encoder_card = card

    def row(self, name: str, summary: TextSummary, seed: int) -> TextSummary | None:
        """A selection of as many texts of each class; None stands for whole data."""
        if name == "whole":
            return None
        counts = class_counts(summary, summary.num_classes)
        recipe = {"encoder": self._encoder_card, "kernel": self.kernel_of(summary)}
        if name == "pursuit":  # no seed changes what it chooses

            def pursued() -> TextSummary:
                card, chooser = CardInfo(name, recipe), PursuitOptions().chooser
                return select(self._task, chooser, counts, card=card)

            return self.prepared.get((name, *counts, repr(recipe)), pursued)
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
        test, _, chosen = self._classes(summary, model, protocol, seed)
        results = training.scores_of(test, self.test.labels, self.test.classes)
        return dict(results) | dict(chosen)

    def _classes(
        self,
        summary: TextSummary | None,
        model: str,
        protocol: Protocol,
        seed: int,
        teacher: Teacher | None = None,
    ) -> tuple[Tensor, Callable[[], Tensor], Mapping[str, float]]:
        """Classes of the test texts, of those held out, and what training chose."""
        if model in NETWORKS:
            records = self._words(summary, model, protocol)
            val = self._held_out_words if summary is None else None
            words, chosen = training.network(
                model, records, self._vectors_there, protocol, seed, val
            )
            test = words(self._word_ids("test", self.test)).argmax(1).cpu()

            def held_out_classes() -> Tensor:
                return words(self._held_out_words.inputs).argmax(1).cpu()

            return test, held_out_classes, chosen
        if model == "replay":
            assert summary is not None
            test = replayed_classes(
                summary,
                self.encoder,
                lambda: self._table,
                self._shown,
                seed,
                self.device,
            )
            return test, lambda: test, {}
        scores, chosen = self._fitted(summary, model, protocol, seed, teacher)

        def held_out() -> Tensor:
            return answers(scores, self._split_features[1].inputs)

        return answers(scores, self._test_features), held_out, chosen

    def teacher(self, protocol: Protocol, cache: bool) -> Teacher:
        """A linear head on embeddings, trained on whole data by the protocol."""
        rest, held_out = self._split_features
        d, c = rest.inputs.shape[1], self.test.num_classes
        template = {"weight": torch.zeros(c, d), "bias": torch.zeros(c)}

        def train() -> State:
            return training.linear_head(rest, protocol, TEACHER_SEED, held_out)[0]

        key = {"data": self.describe(), "protocol": asdict(protocol)} | self.place
        head, seconds = stored_state(key | {"model": "softmax"}, template, train, cache)
        head = {name: weight.to(self.device) for name, weight in head.items()}
        return Teacher("softmax", seconds, lambda x: F.linear(x, **head).softmax(1))

    def regime_note(self, regime: str, summary: TextSummary, model: str) -> str:
        """Why texts cannot be trained on under a regime; empty where they can."""
        custom = self.custom_models.get(model)
        if model == "replay":
            return NO_VIEWS[model]
        if model in NETWORKS and summary.texts is None:
            return "there are embeddings and no texts"
        if regime == "SL" and (model == "logistic" or is_estimator(custom)):
            return f"{model} is fitted on classes, not on soft labels"
        if regime != "SL+KD":
            return ""
        if model in NETWORKS:
            return "the teacher reads embeddings of texts, and views of words have none"
        if is_estimator(custom):
            return f"{model} is fitted on classes, not on soft labels"
        return NO_VIEWS.get(model, "")

    def fit_regime(
        self,
        summary: TextSummary,
        regime: str,
        model: str,
        protocol: Protocol,
        seed: int,
        teacher: Teacher | None,
    ) -> RegimeScore:
        """Train a model on texts under a regime, and test it once."""
        protocol = replace(protocol, soft_labels=True)
        views = teacher if regime == "SL+KD" else None
        if regime == "SL" and teacher is not None:
            labels = teacher.probabilities(self._features(summary, model).inputs)
        else:
            labels = None
        summary = with_labels_of(regime, summary, labels)
        test, held_out, _ = self._classes(summary, model, protocol, seed, views)
        held_out_labels = self.training_data.labels[self.split_rows[1]]
        return RegimeScore(
            float((test == self.test.labels).float().mean()),
            float((held_out() == held_out_labels).float().mean()),
        )

    def updates(self, summary: Any, model: str, protocol: Protocol) -> int:
        """One for each epoch; 0 of what is solved at once."""
        solved = model in (*self.closed_form_models, "replay")
        solved = solved or is_estimator(self.custom_models.get(model))
        return 0 if solved else protocol.epochs

    def fit_plain(
        self, summary: TextSummary | None, name: str, seed: int
    ) -> float | None:
        """Accuracy of logistic regression; by TF-IDF None of a set without texts."""
        if name == "tfidf":
            data: Texts | TextSummary = summary or self.training_data
            if data.texts is None:
                return None
            labels = data.labels if isinstance(data, Texts) else data.tensors["y"]
            weight = torch.ones(len(labels)) if summary is None else summary.weight
            tested = _joined(self.test)
            classes = tfidf_classes(_joined(data), labels, weight, tested)
        else:
            scores = training.logistic(self._features(summary, "logistic"))
            classes = answers(scores, self._test_features)
        return float((classes == self.test.labels).float().mean())

    def audit_space(self, summary: TextSummary, seed: int = 0) -> AuditSpace:
        """Embeddings, the kernel predictor, logistic regression and an MLP."""
        records = self._features(summary, "kernel")
        _, y = summary.to_tensors()
        tested = self._test_features.cpu()
        real = (self._task.x, self._task.y), (tested, self.test.labels)
        return text_space(
            (records.inputs.cpu(), y, summary.weight),
            *real,
            self.split_rows,
            self.kernel_of(summary),
            self.test.num_classes,
            self.encoder.name,
            seed,
            self.device,
        )

    def name_of(self, model: Any) -> str:
        """What a table calls a model: the class of its modules, or of an estimator.

        Raises:
            TypeError, ValueError: a model that does not fit features of the encoder.
        """
        check_custom(model)
        if is_estimator(model):
            return custom_name(model)
        d, c = self.encoder.dim, self.test.num_classes
        return FunctionalModule(model, (d, c), (torch.zeros(4, d),), c).name

    def model_key(self, model: str) -> str:
        """The name of a model, with what decides it beside the protocol."""
        if model in NETWORKS:
            return f"{model} {self._table.key}"
        return super().model_key(model)

    def _fitted(
        self,
        summary: TextSummary | None,
        model: str,
        protocol: Protocol,
        seed: int,
        teacher: Teacher | None = None,
    ) -> tuple[Any, Mapping[str, float]]:
        custom = self.custom_models.get(model)
        if is_estimator(custom):
            records = self._features(summary, model)
            x, targets = records.inputs, records.targets
            answer = fit_estimator(custom, x, targets, weight=records.weight, seed=seed)
            return lambda rows: one_hot(answer(rows), targets.shape[1]), {}
        if custom is not None and summary is None:
            rest, held_out = self._split_features
            return training.module(custom, rest, protocol, seed, held_out)
        if custom is not None:
            records = self._features(summary, model)
            views = _views(records, teacher)
            return training.module(custom, records, protocol, seed, views=views)
        if model == "softmax" and summary is None:
            rest, held_out = self._split_features
            return training.softmax(rest, protocol, seed, held_out)
        if model == "logistic" and summary is None:
            return self._logistic
        records = self._features(summary, model)
        if model == "kernel":
            kernel = self.kernel_of(summary)
            return kernel_model(records.inputs, records.targets, kernel), {}
        if model == "logistic":
            return training.logistic(records), {}
        return training.softmax(records, protocol, seed, views=_views(records, teacher))

    def _features(self, summary: TextSummary | None, model: str) -> TextTrainingSet:
        if summary is None:
            x, y = self._task.x, self._task.y
            if model == "kernel" and len(x) > MAX_KERNEL_ROWS:
                rows = torch.linspace(0, len(x) - 1, MAX_KERNEL_ROWS).long()
                x, y = x[rows], y[rows]
            return self._whole(x, y)
        x = summary.tensors["x"]
        if x.dim() == 3:  # (m, L, e), vectors of tokens

            def encode() -> Tensor:
                mask, types = summary.tensors["mask"], summary.tensors.get("types")
                with torch.no_grad():
                    encoded: Tensor = self.encoder.through(x, mask, types)
                return encoded

            x = self.prepared.get(("encoded", x), encode)
        return self._records(summary, x)

    def _words(
        self, summary: TextSummary | None, model: str, protocol: Protocol
    ) -> TextTrainingSet:
        if summary is None:
            rest = self.training_data.take(self.split_rows[0])
            return self._whole(self._word_ids("rest", rest), rest.labels)
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
        return self._records(summary, self._table.ids(words), protocol.soft_labels)

    def _whole(self, inputs: Any, y: Tensor) -> TextTrainingSet:
        targets = one_hot(y, self.test.num_classes)
        weight = torch.ones(len(y))
        records = TextTrainingSet(inputs, targets, whole=True, y=y, weight=weight)
        return records.to(self.device)

    def _records(
        self, summary: TextSummary, inputs: Any, soft: bool = True
    ) -> TextTrainingSet:
        y, weight = summary.tensors["y"], summary.weight
        _, targets = summary.to_tensors()
        if targets.dim() == 1 or not soft:
            hard = one_hot(y, self.test.num_classes)
            records = TextTrainingSet(inputs, hard, y=y, weight=weight)
        else:
            centered = summary.card.labels == "centered"
            records = TextTrainingSet(inputs, targets, centered, y=y, weight=weight)
        return records.to(self.device)

    def _word_ids(self, name: str, texts: Texts) -> tuple[Tensor, Tensor]:
        """Word ids of real texts and their mask, made once, on the device."""

        def make() -> tuple[Tensor, Tensor]:
            ids, mask = self._table.ids(texts)
            return ids.to(self.device), mask.to(self.device)

        return self.prepared.get(("ids", name), make)

    def _shown(self, table: Table) -> Shown:
        """The test texts as learners on token vectors see them, made once."""
        return self.prepared.get(
            ("shown", type(table)),
            lambda: Shown.of(self.test, table, False, self.device),
        )

    @cached_property
    def _task(self) -> TextTask:
        return TextTask(self.training_data, features(self.encoder, self.training_data))

    @cached_property
    def _split_features(self) -> tuple[TextTrainingSet, EvaluationSet]:
        """Features of the training texts to train on, and of those held out."""
        x, y = self._task.x, self._task.y
        rest, held_out = self.split_rows
        val = x[held_out].to(self.device), y[held_out].to(self.device)
        return self._whole(x[rest], y[rest]), EvaluationSet(*val)

    @cached_property
    def _logistic(self) -> tuple[Any, Mapping[str, float]]:
        """Solved on whole data, with C from texts held out: the same for every seed."""
        c = training.best_inverse_penalty(*self._split_features)
        x, y = self._task.x, self._task.y
        return training.logistic(self._whole(x, y), c), {"inverse_penalty": c}

    @property
    def _held_out_words(self) -> EvaluationSet:
        held_out = self.training_data.take(self.split_rows[1])
        labels = held_out.labels.to(self.device)
        return EvaluationSet(self._word_ids("held out", held_out), labels)

    @cached_property
    def _test_features(self) -> Tensor:
        return features(self.encoder, self.test).to(self.device)

    @cached_property
    def _vectors_there(self) -> Tensor:
        """Static word vectors, on the device."""
        return self._table.vectors.to(self.device)

    @cached_property
    def _table(self) -> StaticTable:
        return StaticTable.of(self._vectors)


def _views(records: TextTrainingSet, teacher: Teacher | None) -> Views | None:
    if teacher is None:
        return None
    return taught_views(records.inputs, teacher.probabilities)


def _joined(texts: Any) -> list[str]:
    """Texts, or pairs as one text each."""
    if texts.pairs is None:
        return list(texts.texts)
    return [" ".join(pair) for pair in zip(texts.texts, texts.pairs, strict=True)]
