"""The evaluator of distilled images, for `multidd.evaluate`."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.data.splitting import apportion
from multidd.errors import MultiddWarning
from multidd.evaluation.audit.space import AuditSpace
from multidd.evaluation.custom_models import (
    check_custom,
    custom_name,
    fit_estimator,
    is_estimator,
)
from multidd.evaluation.evaluator import (
    LabelledEvaluator,
    class_accuracies,
    class_counts,
)
from multidd.evaluation.plain import plain_targets, train_plainly
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.regimes import RegimeScore, with_labels_of
from multidd.evaluation.teacher import TEACHER_SEED, State, Teacher, stored_state
from multidd.images.data.images import MIRRORED, Images, as_images
from multidd.images.data.preprocessing import Preprocessing
from multidd.images.evaluation.audit import image_space
from multidd.images.evaluation.regimes import probabilities, shown_to, teacher_labels
from multidd.images.methods import selection
from multidd.images.methods.budget import item_bytes
from multidd.images.methods.relabeling import views_of
from multidd.images.models.kernel_predictor import DEFAULT, kernel_model
from multidd.images.models.module_backbone import backbone_by
from multidd.images.models.networks import MODELS
from multidd.images.models.plain import (
    MAX_LOGISTIC_ROWS,
    PLAIN,
    augmented,
    logistic_on_pixels,
    network,
)
from multidd.images.models.training import (
    PROTOCOLS,
    ImageEvaluationSet,
    ImageTrainingSet,
    train,
    untrained,
)
from multidd.images.summary.summary import ImageSummary, targets_of
from multidd.images.tasks.image_task import ImageTask
from multidd.parameterizations import decoding
from multidd.settings import tensor_digest

ROWS = ("whole", "random", "herding", "kcenter", "kmeans")

MAX_KERNEL_ROWS = 5000
"""Images, at most, that the kernel predictor takes for whole data."""

KERNEL_BLOCK = 500
"""Test images that the kernel predictor sees at a time."""

Predictor: TypeAlias = Callable[[ImageEvaluationSet], Tensor]
"""Real images to the class of each, `[n]`."""


class Evaluator(LabelledEvaluator[ImageSummary]):
    """Trains models on distilled images, and tests them on real ones.

    The model `"kernel"` is the summary's own kernel predictor: nothing is trained.

    Args:
        on: test images, in any form that `multidd.images.as_images` takes. Labels mean
            what they meant in the data of the summary.
        train: training images: what the rows beside are taken from, and what learning
            rates are chosen on where the protocol says so. None goes without both.
        mirror: whether a mirrored image keeps its class; known for the benchmarks.
        device: where models are trained.
    """

    models = (*MODELS, "kernel")
    closed_form_models = ("kernel",)
    protocols: Mapping[str, Protocol] = PROTOCOLS
    rows: Sequence[str] = ROWS
    default_kernel = DEFAULT

    def __init__(
        self,
        on: Any,
        *,
        train: Any = None,
        mirror: bool | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(on, train, device)
        self._mirror = mirror

    def describe(self) -> dict[str, Any]:
        """Fingerprints of the test and, where given, of the training images."""
        return super().describe() | {"mirror": self.mirror}

    def read(self, data: Any, values: tuple[Any, ...]) -> Images:
        """The images; `values[i]` are the labels of class i."""
        return as_images(data, values=values)

    def check_records(self, summary: ImageSummary) -> None:
        """Refuse a summary of images of another size."""
        self._names = summary.classes
        tiles = _tile_factor(summary) ** 2
        if self.train is not None:
            self.rows = ROWS
            if 1 < tiles <= int(self.train.counts.min()):
                self.rows = (*ROWS[:2], "random_tiles", *ROWS[2:])
        if self._mirror is None and summary.card.source.get("name") in MIRRORED:
            self._mirror = True
        for noun, images in (("test", self.test), ("training", self.train)):
            if images is not None and images.shape != summary.shape:
                raise ValueError(
                    f"the summary was made from images of {_size(summary.shape)}, the "
                    f"{noun} images are {_size(images.shape)}; resize them, or "
                    "evaluate on the data it was made from"
                )

    def row(self, name: str, summary: ImageSummary, seed: int) -> ImageSummary | None:
        """A selection of as many images, or of codes as many bytes; None stands for
        whole data. `random_tiles` are there for summaries that store tiles."""
        if name == "whole":
            return None
        task, counts = self._task(summary), _baseline_counts(summary)
        if name == "random_tiles":
            factor = _tile_factor(summary)
            baseline = selection.random_tiles(task, counts, factor, seed)
        else:
            baseline = selection.of_counts(name, task, counts, seed)
        settings = baseline.card.settings | {"kernel": self.kernel_of(summary)}
        return replace(baseline, card=replace(baseline.card, settings=settings))

    def form(self, summary: ImageSummary | None) -> str:
        """How many tiles, or that codes are stored."""
        if summary is None:
            return ""
        decoder = summary.card.decoder
        if _tile_factor(summary) > 1:
            tiles = decoding.records_per_item(decoder) * len(summary.tensors["y"])
            return f"{tiles} tiles"
        name = decoding.item_name(decoder)
        return "" if name == "images" else name

    def fit(
        self, summary: ImageSummary | None, model: str, protocol: Protocol, seed: int
    ) -> Mapping[str, float]:
        """Train `model` on a summary, or on whole data, and test it once.

        Returns:
            `accuracy`, `accuracy/NAME` of each class, and what training chose.
        """
        predict, size, chosen = self._trained(summary, model, protocol, seed)
        test = self._evaluation_set("test", self.test, summary, size)
        scores = class_accuracies(predict(test), test.labels, self._names)
        return scores | dict(chosen)

    def _trained(
        self,
        summary: ImageSummary | None,
        model: str,
        protocol: Protocol,
        seed: int,
        teacher: Teacher | None = None,
    ) -> tuple[Predictor, int | None, Mapping[str, float]]:
        """What predicts classes, images at a time, and what training chose."""
        if is_estimator(self.custom_models.get(model)):
            estimator = self.custom_models[model]
            return self._fitted(summary, estimator, seed), KERNEL_BLOCK, {}
        if model == "kernel":
            net = self._regress(summary, seed)
            return lambda images: images.predict(net), KERNEL_BLOCK, {}
        net, chosen = self._train_on(summary, model, protocol, seed, teacher)
        return lambda images: images.predict(net), None, chosen

    def teacher(self, protocol: Protocol, cache: bool) -> Teacher:
        """The first model, trained on whole data by the protocol."""
        name, shape, c = self.models[0], self.test.shape, self.test.num_classes
        net = untrained(name, shape, c, protocol, TEACHER_SEED)

        def train() -> State:
            trained, _ = self._train_on(None, name, protocol, TEACHER_SEED)
            return dict(trained.state_dict())

        key = {"data": self.describe(), "protocol": asdict(protocol), "model": name}
        key |= self.place
        state, seconds = stored_state(key, net.state_dict(), train, cache)
        net.load_state_dict(state)
        net = net.to(self.device).eval()
        return Teacher(name, seconds, lambda x: probabilities(net, x))

    def fit_regime(
        self,
        summary: ImageSummary,
        regime: str,
        model: str,
        protocol: Protocol,
        seed: int,
        teacher: Teacher | None,
    ) -> RegimeScore:
        """Train a model on images under a regime, and test it once."""
        protocol = replace(protocol, soft_labels=True)
        views = teacher if regime == "SL+KD" else None
        if regime == "SL" and teacher is not None:
            x, _ = summary.to_tensors()
            labels = self._labels(summary, teacher)(x)
        else:
            labels = None
        summary = with_labels_of(regime, summary, labels)
        predict, size, _ = self._trained(summary, model, protocol, seed, views)

        def accuracy(name: str, images: Images) -> float:
            records = self._evaluation_set(name, images, summary, size)
            return float((predict(records) == records.labels).float().mean())

        return RegimeScore(accuracy("test", self.test), accuracy("val", self._held_out))

    def updates(self, summary: Any, model: str, protocol: Protocol) -> int:
        """Batches of all epochs; 0 of the kernel predictor and of estimators."""
        if model == "kernel" or is_estimator(self.custom_models.get(model)):
            return 0
        return protocol.updates(summary.num_images)

    def _labels(
        self, summary: ImageSummary, teacher: Teacher
    ) -> Callable[[Tensor], Tensor]:
        """Images in the space of a summary to the probabilities of a teacher."""
        shown = shown_to(self._whole, summary.preprocessing, self.device)
        return lambda x: teacher.probabilities(shown(x.to(self.device)))

    plain: Mapping[str, str] = PLAIN
    seedless_plain = ("logistic",)

    def fit_plain(self, summary: ImageSummary | None, name: str, seed: int) -> float:
        """Test accuracy of a plain network, or of logistic regression on pixels."""
        if summary is None:
            x, y = None, self._rest.labels
        else:
            x, y = summary.to_tensors()
        targets, test = (
            plain_targets(y),
            self._evaluation_set("test", self.test, summary),
        )

        def inputs(rows: Tensor) -> Tensor:
            if x is None:
                return self._whole.apply(self._rest.pixels(rows))
            return x[rows]

        if name == "logistic":
            rows = torch.linspace(
                0, len(targets) - 1, min(len(targets), MAX_LOGISTIC_ROWS)
            ).long()
            net = logistic_on_pixels(inputs(rows), targets[rows], self.test.num_classes)
        else:
            held_out = None
            if summary is None:
                held_out = self._evaluation_set("val", self._held_out, None)
            net = train_plainly(
                network(name, self.test.shape, self.test.num_classes),
                inputs,
                targets,
                held_out.score if held_out is not None else lambda net: 0.0,
                seed,
                whole=summary is None,
                augment=augmented(self.mirror) if name == "cnn_norm" else None,
                device=self.device,
            )
        with torch.no_grad():
            return test.score(net)

    def audit_space(self, summary: ImageSummary, seed: int = 0) -> AuditSpace:
        """Pixels after the summary's preprocessing, its kernel predictor, an MLP."""
        kernel = self.kernel_of(summary)
        real = self.training_data, self.test, self.split_rows
        return image_space(summary, *real, kernel, seed, self.device)

    def name_of(self, model: Any) -> str:
        """What a table calls a model: the class of its modules, or of an estimator."""
        check_custom(model)
        if is_estimator(model):
            return custom_name(model)
        backbone = backbone_by(model)
        form = self.test.shape, self.test.num_classes
        return str(backbone.card_settings(*form)["model"])

    def _fitted(
        self, summary: ImageSummary | None, estimator: Any, seed: int
    ) -> Predictor:
        """An estimator fitted on flattened images, by the likeliest class of each."""
        records = self._records(summary, next(iter(self.protocols.values())))
        x = records.inputs(torch.arange(len(records.targets))).flatten(1)
        answer = fit_estimator(estimator, x, records.targets, seed=seed)

        def predict(images: ImageEvaluationSet) -> Tensor:
            parts = torch.arange(len(images.labels)).split(KERNEL_BLOCK)
            return torch.cat([answer(images.inputs(rows).flatten(1)) for rows in parts])

        return predict

    @property
    def mirror(self) -> bool:
        """Whether a mirrored image keeps its class."""
        known = [one.mirror for one in (self.test, self.train) if one is not None]
        return any(known) if self._mirror is None else self._mirror

    def _train_on(
        self,
        summary: ImageSummary | None,
        model: str,
        protocol: Protocol,
        seed: int,
        teacher: Teacher | None = None,
    ) -> tuple[Any, Mapping[str, float]]:
        chooses = bool(protocol.lrs) or protocol.snapshots > 1
        if chooses and self.train is None:
            warnings.warn(
                f"protocol {protocol.name!r} chooses on a split of the training data, "
                f"and there is none: the learning rate is {protocol.lr}, the epoch the "
                "last; give train= to choose",
                MultiddWarning,
                stacklevel=3,
            )
        # Whole data always: they are trained on until they score no higher there.
        chooses = summary is None or (chooses and self.train is not None)
        val = None
        if chooses:
            val = self._evaluation_set("val", self._held_out, summary)
        records = self._records(summary, protocol)
        if teacher is not None and summary is not None:
            x = records.inputs(torch.arange(len(records.targets)))
            label = self._labels(summary, teacher)
            views = teacher_labels(x, protocol, self.mirror, label)
            records = replace(records, draw_views=views)
        return train(
            model,
            records,
            val,
            protocol,
            seed,
            self.test.shape,
            self.device,
            self.custom_models.get(model),
        )

    def _records(
        self, summary: ImageSummary | None, protocol: Protocol
    ) -> ImageTrainingSet:
        if summary is None:
            images = self._rest
            targets = F.one_hot(images.labels, images.num_classes).float()
            space = self._whole.to(self.device)

            def normalized(rows: Tensor) -> Tensor:
                return space.apply(images.pixels(rows).to(self.device))

            return ImageTrainingSet(normalized, targets, whole=True, mirror=self.mirror)
        x, targets, centered = targets_of(summary, protocol.soft_labels)
        x = x.to(self.device)
        return ImageTrainingSet(
            lambda rows: x[rows],
            targets,
            centered,
            mirror=self.mirror,
            draw_views=views_of(summary, x) if protocol.soft_labels else None,
        )

    def _regress(self, summary: ImageSummary | None, seed: int) -> Any:
        if summary is None:
            (x, targets), centered = self._kernel_rows, False
        else:
            x, targets, centered = targets_of(summary, True)
        targets = targets if centered else targets - 1 / targets.shape[1]
        x, targets = x.to(self.device), targets.to(self.device)
        return kernel_model(x, targets, self.kernel_of(summary), seed=seed)

    def _evaluation_set(
        self,
        name: str,
        images: Images,
        summary: ImageSummary | None,
        batch_size: int | None = None,
    ) -> ImageEvaluationSet:
        """Real images in the space of a summary; of whole data, in its own.

        Each batch is normalized once for all trainings in the same space.
        """
        space = self._whole if summary is None else summary.preprocessing
        key = (name, batch_size, *map(tensor_digest, space.tensors().values()))
        space, size = space.to(self.device), 4 * images.x.numel()

        def normalized(rows: Tensor) -> Tensor:
            return space.apply(images.pixels(rows).to(self.device))

        if not self.prepared.fits(size):
            return ImageEvaluationSet(normalized, images.labels, batch_size)
        batches: dict[tuple[int, int], Tensor]
        batches = self.prepared.get(key, dict, num_bytes=size)

        def normalized_once(rows: Tensor) -> Tensor:
            place = int(rows[0]), len(rows)  # rows of a batch follow each other
            if place not in batches:
                batches[place] = normalized(rows)
            return batches[place]

        return ImageEvaluationSet(normalized_once, images.labels, batch_size)

    def _task(self, summary: ImageSummary) -> ImageTask:
        """The training images in the space of a summary."""
        space = summary.preprocessing
        key = ("task", *map(tensor_digest, space.tensors().values()))
        size = 4 * self.training_data.x.numel()
        return self.prepared.get(
            key, lambda: ImageTask(self.training_data, space), num_bytes=size
        )

    @cached_property
    def _rest(self) -> Images:
        return self.training_data.subset(self.split_rows[0])

    @cached_property
    def _held_out(self) -> Images:
        return self.training_data.subset(self.split_rows[1])

    @cached_property
    def _whole(self) -> Preprocessing:
        return Preprocessing.fit(self.training_data)

    @cached_property
    def _kernel_rows(self) -> tuple[Tensor, Tensor]:
        """Evenly spaced training images, as many as can be regressed on."""
        images = self.training_data
        count = min(MAX_KERNEL_ROWS, len(images))
        rows = torch.linspace(0, len(images) - 1, count).long()
        targets = F.one_hot(images.labels[rows], images.num_classes).float()
        return self._whole.apply(images.pixels(rows)), targets


def _baseline_counts(summary: ImageSummary) -> list[int]:
    """Images of each class in a row beside: as many as are stored; where codes are, as
    many as their bytes hold, decoders counted."""
    counts = class_counts(summary, summary.num_classes)
    if decoding.item_name(summary.card.decoder) == "images":
        return counts
    total = max(summary.tensor_bytes // item_bytes(summary.shape), len(counts))
    return apportion(total, counts, [total] * len(counts))


def _tile_factor(summary: ImageSummary) -> int:
    """Tiles along each side of a stored image; 1 where none are stored."""
    decoder = summary.card.decoder
    return int(decoder["factor"]) if decoder.get("kind") == "tiles" else 1


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
