"""Image classification as a task of the core."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd import seeds
from multidd.classes import ClassIndex, by_class
from multidd.images.data.augment import Augmentation
from multidd.images.data.images import Images, as_images, as_pixels
from multidd.images.data.preprocessing import Preprocessing
from multidd.images.models.backbone import Backbone
from multidd.images.summary.summary import ImageSummary
from multidd.learning.functional import Cost, cost
from multidd.learning.optim import Adam
from multidd.learning.states import training_step
from multidd.protocols import Draw, Params, Picks, Records, TaskDefaults, Tree, View
from multidd.storage.codecs import Codec
from multidd.summary import Card

KEPT = 2**28
"""Bytes up to which the normalized images are kept, not made anew for each batch."""

KEPT_ON_DEVICE = 2**32
"""Bytes up to which images lie on a GPU as they are stored; batches of larger sets are
copied from pinned memory, and normalized there."""


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Images in the normalized space.

    Attributes:
        x: `[b, ch, h, w]`.
        y: `[b]`.
        soft: `[b, c]`, soft labels, where there are any.
    """

    x: Tensor
    y: Tensor
    soft: Tensor | None = None


@dataclass(frozen=True, eq=False)
class ImageTask(TaskDefaults):
    """Distilling labelled images.

    Attributes:
        images: the training images.
        preprocessing: what turns pixels into the space of the summary.
        backbone: the model that is matched on.
        batch_size: real images of each class at a step, or in all; None takes all.
        sampler: whether `batch_size` counts `"class"` by class or images drawn
            `"uniform"` over all.
        augment: views that are drawn, one for each class at a step.
        loss: of a model on an example: cross-entropy, or half the squared error.
        val: held out images that `score` judges by.
        device: where tensors live.
        held: the real batch of every step; drawn anew where None.
    """

    decodes: ClassVar[bool] = True
    lower_precision: ClassVar[bool] = True
    compiles: ClassVar[bool] = True

    images: Images
    preprocessing: Preprocessing
    backbone: Backbone = Backbone()
    batch_size: int | None = 128
    sampler: Literal["class", "uniform"] = "class"
    augment: Augmentation = Augmentation(())
    loss: Cost = "cross_entropy"
    val: Images | None = None
    device: str = "cpu"
    held: ImageBatch | None = None

    @classmethod
    def of(cls, train: Any, *, zca: bool = False, **settings: Any) -> Self:
        """The task of training images in any form.

        Args:
            train: what `multidd.images.as_images` takes.
            zca: whiten the pixels too.
            **settings: other attributes.

        Returns:
            An `ImageTask`.

        Example:
            >>> x = torch.zeros(4, 8, 8, dtype=torch.uint8)
            >>> ImageTask.of((x, [0, 1, 0, 1])).num_classes
            2
        """
        images = as_images(train)
        return cls(images, Preprocessing.fit(images, zca=zca), **settings)

    @property
    def num_classes(self) -> int:
        """c."""
        return self.images.num_classes

    @property
    def shareable(self) -> tuple[str, ...]:
        """By classes and by rows, unless images of a batch depend on each other."""
        mixes = self.backbone.mixes_records(self.images.shape, self.num_classes)
        return () if mixes else ("classes", "rows")

    def to(self, device: str) -> Self:
        """The same task on another device."""
        return self if device == self.device else replace(self, device=device)

    def describe(self) -> dict[str, Any]:
        """Settings, and the fingerprint of the images."""
        return {
            "kind": "ImageTask",
            "data": self.images.describe() | {"names": list(self.images.classes)},
            "preprocessing": self.preprocessing.describe(),
            "backbone": self.backbone.settings(self.images.shape, self.num_classes),
            "batch_size": self.batch_size,
            "sampler": self.sampler,
            "augment": str(self.augment),
            "loss": self.loss,
            "val": None if self.val is None else self.val.describe(),
        }

    def batch(self, rng: torch.Generator) -> ImageBatch:
        """Real images, all of them or as many as the sampler draws."""
        if self.held is not None:
            return self.held
        rows = self._drawn(rng)
        by_class = self.batch_size is not None and self.sampler == "class"
        labels = self._drawn_labels if by_class else self._labels[rows]
        return ImageBatch(self.normalized(rows), labels)

    def synthetic(self, draw: Draw) -> ImageBatch:
        """A draw as it is."""
        return ImageBatch(draw["x"], draw["y"], draw.get("y_soft"))

    def take(self, batch: ImageBatch, rows: Tensor) -> ImageBatch:
        """Some images of a batch."""
        soft = None if batch.soft is None else batch.soft[rows]
        return ImageBatch(batch.x[rows], batch.y[rows], soft)

    def view(self, rng: torch.Generator) -> View:
        """One operation, with parameters for each class, for any batch."""
        if not self.augment.operations:
            return lambda batch: batch
        drawn = self.augment.draw(rng, self.num_classes)
        return lambda batch: replace(batch, x=drawn(batch.x, batch.y))

    def classes(self, batch: ImageBatch) -> ClassIndex:
        """The rows of each class."""
        return by_class(batch.y, self.num_classes)

    def inputs(self, batch: ImageBatch) -> Tensor:
        """`[b, ch, h, w]`, the normalized images."""
        return batch.x

    def targets(self, batch: ImageBatch) -> Tensor:
        """`[b, c]`, soft labels where there are any, else one-hot ones."""
        if batch.soft is not None:
            return batch.soft
        return F.one_hot(batch.y, self.num_classes).to(batch.x.dtype)

    def weights(self, rng: torch.Generator, models: int) -> Params:
        """Fresh random weights."""
        return self.backbone.weights(rng, models, self.images.shape, self.num_classes)

    def losses(self, weights: Params, batch: ImageBatch) -> Tensor:
        """`[b]`, loss of each image under one model."""
        logits = self.features(weights, batch, 1)[-1]
        return cost(logits, self.targets(batch), self.loss)

    def features(
        self, weights: Params, batch: ImageBatch, last: int | None = None
    ) -> list[Tensor]:
        """`[b, h]` of each block of one model, the logits last."""
        return self.backbone.features(weights, batch.x, self.num_classes, last)

    def detached_gradients(
        self, weights: Params, batch: ImageBatch, classes: ClassIndex
    ) -> Params | None:
        """Gradients of each class's mean loss by hand, for a ConvNet on a CPU."""
        targets, class_gradients = self.targets(batch), []
        for label in range(len(classes.index)):
            rows, share = classes.rows_of(label)
            one = self.backbone.gradients(
                weights, batch.x[rows], targets[rows], share, self.loss
            )
            if one is None:
                return None
            class_gradients.append(one)
        return {n: torch.stack([one[n] for one in class_gradients]) for n in weights}

    def records(self) -> Records:
        """The training images, compared by their normalized pixels."""
        x = self.normalized(torch.arange(len(self.images))).flatten(1)
        return Records(x, self.images.labels.to(self.device), self.num_classes)

    def from_selection(self, picks: Picks) -> Draw:
        """Real images, or means of them."""
        if picks.real:
            return {"x": self.normalized(picks.indices), "y": picks.labels}
        places, weights = picks.weights.coalesce().indices(), picks.weights.values()
        m, shape = len(picks.labels), self.images.shape
        x = torch.zeros(m, *shape, device=self.device)
        for part in torch.arange(len(weights)).split(4096):
            rows, columns = places[:, part]
            values = weights[part].float()[:, None, None, None].to(self.device)
            x.index_add_(0, rows, values * self.normalized(columns))
        return {"x": x, "y": picks.labels}

    def score(self, draw: Draw, rng: torch.Generator) -> float:
        """Validation accuracy of the backbone after 60 steps of Adam on the draw."""
        if self.val is None:
            raise ValueError("select_best needs validation images: give val=")
        batch = self.synthetic(draw)
        task = replace(self, loss="mse") if batch.soft is not None else self
        adam, weights = Adam(lr=3e-3), self.weights(rng, 1)
        moments: Tree = {name: adam.init(w) for name, w in weights.items()}
        for _ in range(60):
            weights, moments = training_step(task, weights, moments, adam, batch, rng)
        one = {name: w[0] for name, w in weights.items()}
        x = self.preprocessing.apply(self.val.pixels()).to(self.device)
        y = self.val.labels.to(self.device)
        with torch.no_grad():
            predictions = self.features(one, ImageBatch(x, y), 1)[-1].argmax(1)
        return float((predictions == y).float().mean())

    @staticmethod
    def codec_of(name: str) -> Codec:
        """How a tensor of the summary is stored in few bits."""
        return ImageSummary.codec_of(name)

    def summary(self, draw: Draw, card: Card) -> ImageSummary:
        """The draw, with its preprocessing."""
        return ImageSummary.of(draw, card, self.preprocessing)

    def _drawn(self, rng: torch.Generator) -> Tensor:
        """Rows of a real batch, on the device where `rng` draws."""
        n, size = len(self.images), self.batch_size
        if size is None:
            return torch.arange(n, device=self.device)
        every = self._members
        if self._on_host:  # rows that are drawn on the device would be waited for
            rng, every = seeds.host(rng), self._members_of_host
        if self.sampler == "uniform":
            return torch.randperm(n, generator=rng, device=rng.device)[:size]
        drawn = []
        for members in every:
            order = torch.randperm(len(members), generator=rng, device=rng.device)
            drawn.append(members[order[:size]])
        return torch.cat(drawn)

    @cached_property
    def _drawn_labels(self) -> Tensor:
        """Of a batch that is drawn by class: the same at each step."""
        some = [members[: self.batch_size] for members in self._members]
        return self._labels[torch.cat(some)]

    @cached_property
    def _labels(self) -> Tensor:
        return self.images.labels.to(self.device)

    @cached_property
    def _members(self) -> list[Tensor]:
        return [members.to(self.device) for members in self._members_of_host]

    @cached_property
    def _members_of_host(self) -> list[Tensor]:
        labels, classes = self.images.labels, range(self.num_classes)
        return [(labels == label).nonzero().flatten() for label in classes]

    def normalized(self, rows: Tensor) -> Tensor:
        """`[b, ch, h, w]`, real images of the given rows, on any device."""
        if 4 * self.images.x.numel() <= KEPT:
            return self._everything.index_select(0, rows.to(self.device))
        if torch.device(self.device).type == "cpu":
            return self.preprocessing.apply(self.images.pixels(rows.cpu()))
        if not self._on_host:
            stored = self._stored.index_select(0, rows.to(self.device))
        else:
            part = self.images.x[rows.cpu()]
            part = part.pin_memory() if torch.cuda.is_available() else part
            stored = part.to(self.device, non_blocking=True)
        return self._preprocessing_there.apply(as_pixels(stored))

    @property
    def _on_host(self) -> bool:
        """Whether a GPU computes on images that are too many to lie there."""
        x = self.images.x
        if torch.device(self.device).type == "cpu" or 4 * x.numel() <= KEPT:
            return False
        return x.numel() * x.element_size() > KEPT_ON_DEVICE

    @cached_property
    def _stored(self) -> Tensor:
        return self.images.x.to(self.device)

    @cached_property
    def _preprocessing_there(self) -> Preprocessing:
        return self.preprocessing.to(self.device)

    @cached_property
    def _everything(self) -> Tensor:
        return self.preprocessing.apply(self.images.pixels()).to(self.device)
