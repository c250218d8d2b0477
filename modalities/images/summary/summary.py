"""`ImageSummary`: distilled images."""

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.images.data.pixels import as_pixels, thumbnails
from multidd.images.data.preprocessing import PREFIX, Preprocessing
from multidd.images.summary.schema import SCHEMA
from multidd.parameterizations import decoding
from multidd.protocols import Draw
from multidd.settings import versions
from multidd.storage.codecs import Codec
from multidd.storage.schema import Schema
from multidd.summary import Card, DataSummary


def check_tensors(x: Tensor, y: Tensor, source: Mapping[str, Any]) -> None:
    """Refuse images and labels that are not of the data in `source`.

    Raises:
        ValueError: says what does not fit.
    """
    missing = sorted({"images", "classes", "shape", "labels"} - set(source))
    if missing:
        raise ValueError(f"source lacks {', '.join(missing)}")
    if not len(x) or len(x) != len(y) or list(x.shape[1:]) != list(source["shape"]):
        raise ValueError(
            f"x must be [{len(y)}, {', '.join(map(str, source['shape']))}], one "
            f"image for each label and at least one; got {list(x.shape)}"
        )
    if not x.is_floating_point():
        raise ValueError(
            f"x must be floating point, in the space of preprocessing; got {x.dtype}"
        )
    classes = source["classes"]
    if y.dim() == 2 and y.is_floating_point() and y.shape[1] == classes:
        return
    if y.dim() != 1 or y.is_floating_point():
        raise ValueError(
            f"y must be whole numbers [m], or floats [m, {classes}]; got {y.dtype} "
            f"{list(y.shape)}"
        )
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= classes:
        raise ValueError(f"y must be 0..{classes - 1}, got {low}..{high}")


LABELS = ("hard", "soft", "centered")


@dataclass(frozen=True, eq=False, repr=False)
class ImageSummary(DataSummary):
    """Distilled images: what is stored, its labels, its preprocessing, and the card.

    Tensors: `x` `[m, ch, h, w]` in the normalized space, `y` `[m]`, `y_soft` `[m, c]`
    where labels are soft (or one row for each decoded image), `y_views` and
    `view_seeds` where views are labelled, and `preprocessing.*`. With a decoder
    (`card.decoder`) `x` is what is stored, or stands in the codes, bases and weights
    that are; `to_tensors` decodes them.
    """

    kind: ClassVar[str] = "images"
    schema: ClassVar[Schema] = SCHEMA

    @classmethod
    def of(cls, draw: Draw, card: Card, preprocessing: Preprocessing) -> Self:
        """The summary of a draw."""
        draw_tensors = {n: t.float() if n != "y" else t.long() for n, t in draw.items()}
        parts = draw_tensors | preprocessing.tensors()
        tensors = {n: t.detach().cpu().contiguous().clone() for n, t in parts.items()}
        return cls(tensors, card)

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(ch, h, w)` of an image."""
        channels, height, width = self.card.source["shape"]
        return channels, height, width

    @property
    def num_classes(self) -> int:
        """c of the data it was made from."""
        return int(self.card.source["classes"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Name of each class."""
        names = self.card.source.get("names") or self.card.source["labels"]
        return tuple(str(name) for name in names)

    @property
    def num_images(self) -> int:
        """Images that models are trained on, decoded."""
        return len(self.tensors["y"]) * decoding.records_per_item(self.card.decoder)

    def counts(self, name: str) -> bool:
        """Images or codes, labels, bases and decoders do; preprocessing belongs to the
        data."""
        return not name.startswith(PREFIX)

    @staticmethod
    def codec_of(name: str) -> Codec:
        """Images fitted channel by channel; labels in 4 bits or more."""
        if name.startswith(PREFIX):
            return Codec("exact")
        if name.startswith("y_"):
            return Codec("fitted", min_bits=4)
        return Codec("fitted", (1,) if name == "x" else ())

    @property
    def preprocessing(self) -> Preprocessing:
        """What was done to real images, and is to be done to test images."""
        return Preprocessing.of(self.tensors)

    def __repr__(self) -> str:
        stored = len(self.tensors["y"])
        size = " x ".join(map(str, self.shape))
        noun = decoding.item_name(self.card.decoder)
        same = self.num_images == stored and noun == "images"
        decoded = "" if same else f", decoded to {self.num_images}"
        return (
            f"ImageSummary({self.card.method}, {noun}={stored}{decoded}, {size}, "
            f"classes={self.num_classes}, labels={self.card.labels}, 1 for "
            f"{self.card.source['images'] / stored:,.0f} of "
            f"{self.card.source['images']:,} real images, "
            f"{self.size_text}, {self.card.seconds:.1f} s)"
        )

    def to_tensors(self) -> tuple[Tensor, Tensor]:
        """What models are trained on, in the summary's own normalized space.

        Returns:
            `x` `[m, ch, h, w]`, decoded, and `y` `[m]`, or `[m, c]` where labels are
            soft or centered (`card.labels`). New tensors, not shared.

        Example:
            >>> import multidd
            >>> train, test = multidd.samples.fashion()
            >>> x, y = multidd.images.random(train, ipc=1).to_tensors()
            >>> x.shape, y.shape
            (torch.Size([10, 1, 28, 28]), torch.Size([10]))
        """
        y = self.tensors.get("y_soft", self.tensors["y"])
        tensors = {n: t for n, t in self.tensors.items() if _decoded(n)}
        x = decoding.decode(self.card.decoder, tensors)["x"]
        # Images of one code share its label, or have each their own.
        y = y.repeat_interleave(len(x) // len(y), dim=0)
        return (x.clone() if x is tensors.get("x") else x), y

    @classmethod
    def from_tensors(
        cls,
        x: Tensor,
        y: Tensor,
        *,
        source: Mapping[str, Any],
        method: str,
        preprocessing: Preprocessing | None = None,
        labels: str | None = None,
    ) -> Self:
        """A summary of images that were distilled elsewhere.

        Args:
            x: `[m, ch, h, w]`, in the space of `preprocessing`.
            y: `[m]` class numbers, or `[m, c]` soft labels.
            source: what it was distilled from, as `Images.describe` tells it: at least
                `images`, `classes`, `shape` and `labels`.
            method: name of the method.
            preprocessing: what turns real pixels in 0..1 into the space of x; none is
                done unless given.
            labels: `"hard"`, `"soft"` or `"centered"`; told by y unless given.

        Returns:
            An `ImageSummary` that can be evaluated and saved like ours.

        Raises:
            ValueError: `source` lacks something, or shapes, classes or labels do not
                fit.

        Example:
            >>> source = {"images": 60000, "classes": 2, "shape": [1, 8, 8]}
            >>> source["labels"] = [0, 1]
            >>> x, y = torch.zeros(2, 1, 8, 8), torch.tensor([0, 1])
            >>> ImageSummary.from_tensors(x, y, source=source, method="mine").num_images
            2
        """
        check_tensors(x, y, source)
        channels = x.shape[1]
        plain = Preprocessing(torch.zeros(channels), torch.ones(channels))
        hard = y if y.dim() == 1 else y.argmax(1)
        draw = {"x": x, "y": hard} | ({"y_soft": y} if y.dim() == 2 else {})
        kind = labels or ("hard" if y.dim() == 1 else "soft")
        if (kind == "hard") != (y.dim() == 1) or kind not in LABELS:
            raise ValueError(
                f"labels must be 'hard' for y [m], 'soft' or 'centered' for y [m, c]; "
                f"got {kind!r} for y {list(y.shape)}"
            )
        card = Card(method, {}, 0, dict(source), versions(), labels=kind)
        return cls.of(draw, card, preprocessing or plain)

    def transform(self, x: Any) -> Tensor:
        """Real images in the summary's space.

        Args:
            x: array or tensor `[b, ch, h, w]`, `[b, h, w, ch]`, or `[b, h, w]` of gray
                images; uint8 in 0..255, or floating point in 0..1.

        Returns:
            `[b, ch, h, w]` float32, normalized (and whitened where the summary is).

        Raises:
            ValueError: images of another size or range, or NaN pixels.

        Example:
            >>> import multidd
            >>> train, test = multidd.samples.fashion()
            >>> summary = multidd.images.random(train, ipc=1)
            >>> summary.transform(test.x[:5, 0]).shape
            torch.Size([5, 1, 28, 28])
        """
        pixels = as_pixels(x)
        if tuple(pixels.shape[1:]) != self.shape:
            raise ValueError(
                f"the summary was made from images of {list(self.shape)}, got "
                f"{list(pixels.shape[1:])}"
            )
        if isinstance(x, Tensor):
            pixels = pixels.to(x.device)
        if pixels.dtype == torch.uint8:
            pixels = pixels.float() / 255
        return self.preprocessing.apply(pixels)

    def pictures(self) -> Tensor:
        """`[m, ch, h, w]` in 0..1, decoded, clamped: what a person looks at."""
        return self.preprocessing.invert(self.to_tensors()[0]).clamp(0, 1)

    def preview(self) -> str:
        """Pictures of each class in turn, decoded where codes are stored."""
        pictures, y = self.pictures(), self.tensors["y"]
        labels = y.repeat_interleave(len(pictures) // len(y))
        return thumbnails(pictures, labels, self.classes)

    def prune(
        self,
        ipc: int,
        *,
        model: str = "convnet",
        epochs: int = 50,
        models: int = 3,
        seed: int = 0,
    ) -> "ImageSummary":
        r"""A smaller summary: the images that models trained on this one predict best.

        Each stored image is scored by $\lVert \mathrm{softmax} f(x) - y \rVert$, the
        mean over a few models, and in every class the low ones stay.

        Differs from the paper: scores are those at the end of training, not the mean
        over its best early epochs.

        Args:
            ipc: stored images that stay of each class; of codes, images of each class
                whose bytes may be taken, bases and decoders counted.
            model: one of `multidd.images.MODELS`.
            epochs: of training, 32 wide, at a rate of 0.01.
            models: how many.
            seed: of the first model; those of the others follow.

        Returns:
            A new summary, whose card tells it under `settings["pruned"]`.

        Raises:
            ValueError: there are not more than that; or what all codes share is larger.

        Reference:
            He, Xiao, Zhou, Tsang, "You Only Condense Once: Two Rules for Pruning
            Condensed Datasets", NeurIPS 2023.

        Example:
            >>> import multidd
            >>> train, test = multidd.samples.fashion()
            >>> summary = multidd.images.random(train, ipc=3)
            >>> summary.prune(ipc=1, epochs=1, models=1).num_images
            10
        """
        from multidd.images.methods.pruning import prune

        return prune(self, ipc, model, epochs, models, seed)

    def to_dataset(self) -> Any:
        """A Hugging Face `datasets.Dataset`: image, label, and soft_label if any.

        Images are 8-bit and clamped, so a little off; `to_tensors` is exact.

        Returns:
            A `Dataset` with the features `Image`, `ClassLabel` and a list of floats.

        Example:
            >>> import multidd
            >>> train, test = multidd.samples.fashion()
            >>> multidd.images.random(train, ipc=1).to_dataset().features["label"].names
            ['T-shirt/top', 'Trouser', ...]
        """
        from multidd.images.summary.export import to_dataset

        return to_dataset(self)

    def grid(
        self,
        path: str | pathlib.Path | None = None,
        *,
        data: Any = None,
        max_per_class: int = 10,
    ) -> Any:
        """Draw the images, one row for each class, named by it.

        Args:
            path: a PNG, PDF or SVG to write; None only returns the figure.
            data: real images; one of each class then stands in front of its row.
            max_per_class: images of a class that are drawn.

        Returns:
            The `matplotlib.figure.Figure`.
        """
        from multidd.images.summary.plotting import draw_grid

        return draw_grid(self, path, data, max_per_class)

    def plot(self, path: str | pathlib.Path | None = None, *, data: Any = None) -> Any:
        """`grid`, under the name that every modality has."""
        return self.grid(path, data=data)


def _decoded(name: str) -> bool:
    """Whether decoding needs a tensor: not preprocessing, nor labels but the class."""
    other = name.startswith((PREFIX, "y_", "view_"))
    return not other


def targets_of(summary: ImageSummary, soft: bool) -> tuple[Tensor, Tensor, bool]:
    """Decoded images, `[m, c]` targets, and whether these are centered."""
    x, y = summary.to_tensors()
    if y.dim() == 2 and soft:
        return x, y.float(), summary.card.labels == "centered"
    hard = y if y.dim() == 1 else y.argmax(1)
    return x, F.one_hot(hard, summary.num_classes).float(), False
