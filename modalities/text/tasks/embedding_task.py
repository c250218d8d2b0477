"""Text classification in the space of sentence embeddings, as a task of the core."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.classes import ClassIndex, by_class
from multidd.learning.functional import Cost, cost
from multidd.protocols import Draw, Params, Picks, Records, TaskDefaults
from multidd.settings import tensor_digest
from multidd.storage.codecs import Codec
from multidd.summary import Card
from multidd.text.data.texts import Texts
from multidd.text.models.kernel_predictor import DEFAULT, answers, kernel_model
from multidd.text.models.layers import Shapes, uniform
from multidd.text.summary.summary import TextSummary


@dataclass(frozen=True, eq=False)
class TextBatch:
    """Texts as an encoder sees them.

    Attributes:
        x: `[b, d]`, features.
        y: `[b]`.
        soft: `[b, c]`, soft labels, where there are any.
    """

    x: Tensor
    y: Tensor
    soft: Tensor | None = None


@dataclass(frozen=True, eq=False)
class TextTask(TaskDefaults):
    """Distilling labelled texts in the space of a frozen encoder.

    The model that is matched on is a linear softmax head on the features, whose
    gradients are closed form, or one with a hidden layer.

    Attributes:
        texts: the training texts.
        x: `[n, d]`, their features.
        batch_size: real texts at a step; of each class where the sampler says so. None
            takes all.
        sampler: draw batches `"uniform"` over all, or by `"class"`.
        hidden: units of a hidden ReLU layer; 0 for a linear head.
        loss: of a head on an example: cross-entropy, or half the squared error.
        kernel: settings of the kernel predictor that `score` trains.
        val: features and labels of held out texts, which `score` judges by.
        keep_texts: records that are collected keep their texts; not where they are the
            start of something learned.
        weigh: rows get weights: each counts for as many real texts as are nearest to
            it among the rows of their class, relative to the mean.
        device: where tensors live.
        held: the real batch of every step; drawn anew where None.

    Raises:
        ValueError: features that are not one finite row for each text; a setting that
            is out of range.

    Example:
        >>> labels = torch.tensor([0, 1, 0])
        >>> some = Texts(("a", "b", "c"), None, labels, ("x", "y"), (0, 1))
        >>> TextTask(some, torch.eye(3)).num_classes
        2
    """

    vectorize_models: ClassVar[bool] = True

    texts: Texts
    x: Tensor
    batch_size: int | None = 500
    sampler: Literal["uniform", "class"] = "uniform"
    hidden: int = 0
    loss: Cost = "cross_entropy"
    kernel: Mapping[str, Any] = field(default_factory=lambda: dict(DEFAULT))
    val: tuple[Tensor, Tensor] | None = None
    keep_texts: bool = True
    weigh: bool = False
    device: str = "cpu"
    held: TextBatch | None = None

    def __post_init__(self) -> None:
        if self.x.dim() != 2 or len(self.x) != len(self.texts):
            raise ValueError(
                f"features must be [{len(self.texts)}, d], one row for each text; got "
                f"{list(self.x.shape)}"
            )
        bad = ~torch.isfinite(self.x).all(1)
        if bool(bad.any()):
            raise ValueError(
                f"features of {int(bad.sum())} texts hold NaN or infinity, the first "
                f"of text {int(bad.nonzero()[0])}; look at the encoder"
            )
        if self.hidden < 0:
            raise ValueError(f"hidden must be 0 or more, got {self.hidden}")

    @property
    def num_classes(self) -> int:
        """c."""
        return self.texts.num_classes

    @property
    def shareable(self) -> tuple[str, ...]:
        """By classes and by rows: heads see each text by itself."""
        return ("classes", "rows")

    def to(self, device: str) -> Self:
        """The same task on another device."""
        if device == self.device:
            return self
        val = self.val and (self.val[0].to(device), self.val[1].to(device))
        return replace(self, x=self.x.to(device), val=val, device=device)

    def describe(self) -> dict[str, Any]:
        """Settings, and fingerprints of the texts and of their features."""
        names = ("batch_size", "sampler", "hidden", "loss", "keep_texts", "weigh")
        facts = {"names": list(self.texts.classes), "d": self.x.shape[1]}
        val = None if self.val is None else [tensor_digest(part) for part in self.val]
        return {
            "kind": "TextTask",
            "data": self.texts.describe() | facts,
            "features": tensor_digest(self.x),
            "kernel": dict(self.kernel),
            "val": val,
        } | {name: getattr(self, name) for name in names}

    @cached_property
    def y(self) -> Tensor:
        """`[n]`, the labels."""
        return self.texts.labels.to(self.device)

    def batch(self, rng: torch.Generator) -> TextBatch:
        """Real texts, all of them or as many as the sampler draws."""
        if self.held is not None:
            return self.held
        n, size = len(self.x), self.batch_size
        if size is None or (self.sampler == "uniform" and size >= n):
            return TextBatch(self.x, self.y)
        rows = self._drawn(size, rng)
        return TextBatch(self.x[rows], self.y[rows])

    def synthetic(self, draw: Draw) -> TextBatch:
        """A draw as it is."""
        return TextBatch(draw["x"], draw["y"], draw.get("y_soft"))

    def take(self, batch: TextBatch, rows: Tensor) -> TextBatch:
        """Some texts of a batch."""
        soft = None if batch.soft is None else batch.soft[rows]
        return TextBatch(batch.x[rows], batch.y[rows], soft)

    def classes(self, batch: TextBatch) -> ClassIndex:
        """The rows of each class."""
        return by_class(batch.y, self.num_classes)

    def inputs(self, batch: TextBatch) -> Tensor:
        """`[b, d]`, the features."""
        return batch.x

    def targets(self, batch: TextBatch) -> Tensor:
        """`[b, c]`, soft labels where there are any, else one-hot ones."""
        if batch.soft is not None:
            return batch.soft
        return F.one_hot(batch.y, self.num_classes).to(batch.x.dtype)

    def weights(self, rng: torch.Generator, models: int) -> Params:
        """Fresh random heads, drawn as PyTorch draws linear layers."""
        d, h = self.x.shape[1], self.hidden
        shapes: Shapes = {"inner": ((h, d), d), "inner_bias": ((h,), d)} if h else {}
        width = h or d
        shapes["weight"] = (self.num_classes, width), width
        shapes["bias"] = (self.num_classes,), width
        drawn = uniform(rng, models, shapes)
        return {name: w.to(self.device, self.x.dtype) for name, w in drawn.items()}

    def losses(self, weights: Params, batch: TextBatch) -> Tensor:
        """`[b]`, loss of each text under one head."""
        logits = self.features(weights, batch)[-1]
        return cost(logits, self.targets(batch), self.loss)

    def features(
        self, weights: Params, batch: TextBatch, last: int | None = None
    ) -> list[Tensor]:
        """`[b, h]` that the last layer sees, and the logits, of one head."""
        x = batch.x
        if self.hidden:
            x = (x @ weights["inner"].mT + weights["inner_bias"]).relu()
        layers = [x, x @ weights["weight"].mT + weights["bias"]]
        return layers[-last:] if last else layers

    def linear_features(self, batch: TextBatch) -> tuple[Tensor, Tensor] | None:
        """Features and targets of a linear softmax head."""
        if self.hidden or self.loss != "cross_entropy":
            return None
        return batch.x, self.targets(batch)

    def records(self) -> Records:
        """The training texts, compared by their features."""
        return Records(self.x, self.y, self.num_classes)

    def from_selection(self, picks: Picks) -> Draw:
        """Real texts, or means of their features."""
        if not picks.real:
            return {"x": torch.sparse.mm(picks.weights, self.x), "y": picks.labels}
        rows = picks.indices
        draw = {"x": self.x[rows], "y": picks.labels}
        return draw | ({"source": rows} if self.keep_texts else {})

    def score(self, draw: Draw, rng: torch.Generator) -> float:
        """Validation accuracy of the kernel predictor of the draw."""
        if self.val is None:
            raise ValueError("select_best needs validation texts: give val=")
        batch = self.synthetic(draw)
        model = kernel_model(batch.x, self.targets(batch), self.kernel)
        x, y = self.val
        return float((answers(model, x) == y.cpu()).float().mean())

    @staticmethod
    def codec_of(name: str) -> Codec:
        """How a tensor of the summary is stored in few bits."""
        return TextSummary.codec_of(name)

    def summary(self, draw: Draw, card: Card) -> TextSummary:
        """The draw; real ones with their texts."""
        if self.weigh:
            draw = draw | {"weight": self.cells(draw["x"], draw["y"])}
        source = draw.get("source")
        if source is None or bool((source < 0).any()):
            return TextSummary.of(draw, card)
        some = self.texts.take(source.cpu())
        return TextSummary.of(draw, card, some.texts, some.pairs)

    def cells(self, x: Tensor, y: Tensor) -> Tensor:
        """Real texts nearest to each row, relative to the mean, `[m]`; never 0.

        They are compared with the rows of their own class.

        Args:
            x: `[m, d]`, features of the rows.
            y: `[m]`, their classes.

        Example:
            >>> labels = torch.tensor([0, 1, 0])
            >>> some = Texts(("a", "b", "c"), None, labels, ("x", "y"), (0, 1))
            >>> task = TextTask(some, torch.tensor([[0.0], [9.0], [1.0]]))
            >>> task.cells(torch.tensor([[0.5], [9.0]]), torch.tensor([0, 1])).tolist()
            [1.3333333730697632, 0.6666666865348816]
        """
        count = torch.zeros(len(x), device=x.device)
        for label in range(self.num_classes):
            rows = (y == label).nonzero().flatten()
            if len(rows):
                near = torch.cdist(self.x[self.y == label], x[rows]).argmin(1)
                count[rows] += torch.bincount(near, minlength=len(rows))
        count = count.clamp(min=1)
        return count / count.mean()

    def _drawn(self, size: int, rng: torch.Generator) -> Tensor:
        """Rows of a real batch."""
        order = torch.randperm(len(self.x), generator=rng, device=rng.device)
        order = order.to(self.device)
        if self.sampler == "uniform":
            return order[:size]
        grouped = order[self.y[order].argsort(stable=True)]
        each = [rows[:size] for rows in grouped.split(self._class_sizes)]
        return torch.cat(each)

    @cached_property
    def _class_sizes(self) -> list[int]:
        return self.y.bincount(minlength=self.num_classes).tolist()
