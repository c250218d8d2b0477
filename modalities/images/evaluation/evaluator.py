"""How distilled images are judged: what `multidd.evaluate` asks of this modality."""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.data.splitting import apportion
from multidd.errors import MultiddWarning
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.report import PER_CLASS
from multidd.images.data.images import MIRRORED, Images, as_images
from multidd.images.data.preprocessing import Preprocessing
from multidd.images.methods.budget import item_bytes
from multidd.images.methods.relabeling import views_of
from multidd.images.models.kernel_predictor import DEFAULT, kernel_model
from multidd.images.models.networks import MODELS
from multidd.images.models.training import PROTOCOLS, Exam, Lesson, train
from multidd.images.summary.summary import ImageSummary, targets_of
from multidd.parameterizations import decoding

ROWS = ("whole", "random", "herding", "kcenter", "kmeans")

HELD_OUT = 2000
"""Training images, at most, and a tenth, that learning rates are chosen on."""

REGRESSED = 5000
"""Images, at most, that the kernel predictor takes for whole data."""

TOGETHER = 500
"""Test images that the kernel predictor sees at a time."""


class Judge:
    """Trains models on a summary, or on a row beside it, and tests them on real images.

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
    solved = ("kernel",)  # in closed form or to the optimum, by no protocol
    protocols: Mapping[str, Protocol] = PROTOCOLS
    metric = "accuracy"
    rows: tuple[str, ...] = ROWS

    def __init__(
        self,
        on: Any,
        *,
        train: Any = None,
        mirror: bool | None = None,
        device: str = "cpu",
    ) -> None:
        self._given = (on, train)
        self._mirror, self.device = mirror, device
        self.rows = () if train is None else ROWS
        self.test: Images | None = None
        self.train: Images | None = None
        self.kernel = dict(DEFAULT)

    def describe(self) -> dict[str, Any]:
        """Fingerprints of the test and, where given, of the training images."""
        if self.test is None:
            raise ValueError("check a summary first: it says what the labels mean")
        train = None if self.train is None else self.train.describe()
        return self.test.describe() | {"train": train, "mirror": self.mirror}

    def check(self, summary: ImageSummary) -> None:
        """Read the images as the summary's labels say, and refuse what does not fit.

        Raises:
            ValueError: images of another size, or of other classes.
        """
        values = tuple(summary.card.source["labels"])
        if self.test is None:
            self._read(values, summary)
        assert self.test is not None
        if self.test.values != values:
            raise ValueError(
                f"the summaries are of different classes: {list(self.test.values)} and "
                f"{list(values)}; evaluate each on its own"
            )
        for what, images in (("test", self.test), ("training", self.train)):
            if images is not None and images.shape != summary.shape:
                raise ValueError(
                    f"the summary was made from images of {_size(summary.shape)}, the "
                    f"{what} images are {_size(images.shape)}; resize them, or "
                    "evaluate on the data it was made from"
                )

    def row(self, name: str, summary: ImageSummary, seed: int) -> ImageSummary | None:
        """A selection of as many images, or of codes as many bytes; None stands for
        whole data."""
        if name == "whole":
            return None
        from multidd.images.methods import selection

        counts = _beside(summary)
        made = selection.of_counts(name, self._train, counts, summary, seed)
        settings = made.card.settings | {"kernel": _kernel(summary)}
        return replace(made, card=replace(made.card, settings=settings))

    def fit(
        self, summary: ImageSummary | None, model: str, protocol: Protocol, seed: int
    ) -> Mapping[str, float]:
        """Train `model` on a summary, or on whole data, and test it once.

        Returns:
            `accuracy`, `accuracy/NAME` of each class, and what training chose.
        """
        found: Mapping[str, float] = {}
        if model == "kernel":
            answer = self._regress(summary, seed)
        else:
            answer, found = self._train_on(summary, model, protocol, seed)
        assert self.test is not None
        exam = Exam(self._through(summary, self.test), self.test.labels)
        size = TOGETHER if model == "kernel" else None
        right = exam.answers(answer, size) == self.test.labels
        return self._by_class(right, self.test) | dict(found)

    def model_key(self, model: str) -> str:
        """The name of a model; with its settings where a summary decides those."""
        if model != "kernel":
            return model
        return f"kernel {json.dumps(self.kernel, sort_keys=True)}"

    @staticmethod
    def size(summary: ImageSummary | None) -> tuple[int | None, int | None]:
        """Stored images and bytes of a row."""
        if summary is None:
            return None, None
        return len(summary.tensors["y"]), summary.num_bytes

    @property
    def mirror(self) -> bool:
        """Whether a mirrored image keeps its class."""
        known = [one.mirror for one in (self.test, self.train) if one is not None]
        return any(known) if self._mirror is None else self._mirror

    def _read(self, values: Sequence[Any], summary: ImageSummary) -> None:
        on, train = self._given
        self.test = as_images(on, values=values)
        self.train = None if train is None else as_images(train, values=values)
        self.kernel = _kernel(summary)
        if self._mirror is None and summary.card.source.get("name") in MIRRORED:
            self._mirror = True
        self._names = summary.classes

    def _train_on(
        self, summary: ImageSummary | None, model: str, protocol: Protocol, seed: int
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
        chooses = chooses and self.train is not None
        val = None
        if chooses:
            held = self._split[1]
            val = Exam(self._through(summary, held), held.labels)
        lesson = self._lesson(summary, protocol, chooses)
        assert self.test is not None
        return train(model, lesson, val, protocol, seed, self.test.shape, self.device)

    def _lesson(
        self, summary: ImageSummary | None, protocol: Protocol, chooses: bool
    ) -> Lesson:
        if summary is None:
            images = self._split[0] if chooses else self._train
            targets = F.one_hot(images.labels, images.num_classes).float()
            through = self._through(None, images)
            return Lesson(through, targets, whole=True, mirror=self.mirror)
        x, targets, centered = targets_of(summary, protocol.soft_labels)
        x = x.to(self.device)
        shown = views_of(summary, x) if protocol.soft_labels else None
        return Lesson(
            lambda rows: x[rows], targets, centered, False, self.mirror, shown
        )

    def _regress(self, summary: ImageSummary | None, seed: int) -> Any:
        kernel = self.kernel if summary is None else _kernel(summary)
        if summary is None:
            x, targets = self._some
            centered = False
        else:
            x, targets, centered = targets_of(summary, True)
        targets = targets if centered else targets - 1 / targets.shape[1]
        place = self.device
        return kernel_model(x.to(place), targets.to(place), kernel, seed=seed)

    def _through(
        self, summary: ImageSummary | None, images: Images
    ) -> Callable[[Tensor], Tensor]:
        """Rows of real images to the space of a summary; of whole data, to its own."""
        made = self._whole if summary is None else summary.preprocessing
        made = made.to(self.device)
        return lambda rows: made.apply(images.pixels(rows).to(self.device))

    def _by_class(self, right: Tensor, test: Images) -> dict[str, float]:
        found = {"accuracy": float(right.float().mean())}
        for label, name in enumerate(self._names):
            own = right[test.labels == label]
            if len(own):
                found[PER_CLASS + name] = float(own.float().mean())
        return found

    @property
    def _train(self) -> Images:
        if self.train is None:
            raise ValueError("rows beside need the training data: give train=")
        return self.train

    @cached_property
    def _split(self) -> tuple[Images, Images]:
        images = self._train
        return images.split(min(HELD_OUT, max(1, len(images) // 10)))

    @cached_property
    def _whole(self) -> Preprocessing:
        return Preprocessing.fit(self._train)

    @cached_property
    def _some(self) -> tuple[Tensor, Tensor]:
        """Evenly spaced training images, as many as can be regressed on."""
        images = self._train
        rows = torch.linspace(0, len(images) - 1, min(REGRESSED, len(images))).long()
        targets = F.one_hot(images.labels[rows], images.num_classes).float()
        return self._whole.apply(images.pixels(rows)), targets


def _beside(summary: ImageSummary) -> list[int]:
    """Images of each class in a row beside: as many as are stored; where codes are, as
    many as their bytes hold, decoders counted."""
    counts = summary.tensors["y"].bincount(minlength=summary.num_classes).tolist()
    if decoding.noun(summary.card.decoder) == "images":
        return counts
    total = max(summary.num_bytes // item_bytes(summary.shape), len(counts))
    return apportion(total, counts, [total] * len(counts))


def _kernel(summary: ImageSummary) -> dict[str, Any]:
    return dict(summary.card.settings.get("kernel") or DEFAULT)


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
