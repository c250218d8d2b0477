"""Settings that every recipe for images shares."""

from dataclasses import dataclass
from typing import Any, Literal

from multidd.engine.options import RunKeywords
from multidd.images.data.augment import OPERATIONS
from multidd.images.models.backbone import Backbone
from multidd.parameterizations.labels import Policy
from multidd.protocols import Selection
from multidd.selection.basic import Herding, KCenter, KMeans, Random

__all__ = [
    "DSA",
    "STARTS",
    "Options",
    "Settings",
    "backbone_of",
]

STARTS: dict[str, Selection] = {
    "random": Random(),
    "kmeans": KMeans(restarts=1),
    "herding": Herding(),
    "kcenter": KCenter(),
    "noise": Random(),
}

DSA = "_".join(OPERATIONS)
"""All operations of differentiable siamese augmentation."""


class Options(RunKeywords, total=False):
    """Settings that every recipe takes by name; their defaults differ by recipe.

    See `Settings` for what they mean, and `multidd.distill` for those of the run.
    """

    budget_bytes: int | None
    balance: Literal["equal", "proportional"]
    init: str
    factor: int
    labels: Policy
    lr_labels: float
    sampler: Literal["class", "uniform", "representative"]
    batch_size: int | None
    augment: str
    flip: bool | None
    zca: bool
    model: str
    width: int | tuple[int, ...] | None
    depth: int | None
    norm: str
    val: float | int


@dataclass(frozen=True)
class Settings:
    """Settings that every recipe shares.

    Attributes:
        budget_bytes: bytes in all, labels counted, in the place of `ipc`.
        balance: images per class `"equal"`, or `"proportional"` to its size.
        init: `"random"`, `"kmeans"`, `"herding"`, `"kcenter"` or `"noise"`.
        factor: cut each stored image into `factor` x `factor` tiles, each decoded to
            a full image (multi-formation); 1 stores images as they are.
        labels: `"hard"`, `"centered"`, `"onehot"` (learned from one-hot), `"teacher"`
            (learned from a teacher) or `"teacher_once"`.
        lr_labels: of Adam on the labels, where they are learned.
        sampler: real batches by `"class"`, `"uniform"`, or `"representative"` ones.
        batch_size: real images of each class at a step (in all, if uniform); None
            takes all.
        augment: operations joined by underscores, or `"none"`.
        flip: mirror images too, where `augment` says flip; None asks the dataset
            (`Images.mirror`: not digits, nor arrays of unknown origin).
        zca: whiten the pixels.
        model, width, depth, norm: the model that is matched on.
        val: share or number of training images held out for `select_best`; they
            are only held out where it is given.
    """

    budget_bytes: int | None = None
    balance: Literal["equal", "proportional"] = "equal"
    init: str = "random"
    factor: int = 1
    labels: Policy = "hard"
    lr_labels: float = 0.01
    sampler: Literal["class", "uniform", "representative"] = "class"
    batch_size: int | None = 128
    augment: str = "none"
    flip: bool | None = None
    zca: bool = False
    model: str = "convnet"
    width: int | tuple[int, ...] | None = 32
    depth: int | None = None
    norm: str = "instance"
    val: float | int = 0.1

    def __post_init__(self) -> None:
        if self.init not in STARTS:
            raise ValueError(f"init must be one of {', '.join(STARTS)}: {self.init!r}")
        if self.sampler not in ("class", "uniform", "representative"):
            raise ValueError(
                "sampler must be 'class', 'uniform' or 'representative', got "
                f"{self.sampler!r}"
            )
        if not isinstance(self.factor, int) or self.factor < 1:
            raise ValueError(f"factor must be 1 or more, got {self.factor!r}")
        size = self.batch_size
        if size is not None and (not isinstance(size, int) or size < 1):
            raise ValueError(f"batch_size must be 1 or more, or None; got {size!r}")


def backbone_of(settings: Settings, **more: Any) -> Backbone:
    """The backbone by the shared settings.

    Args:
        settings: the shared settings.
        **more: settings of the backbone beyond those.
    """
    shared = (settings.model, settings.width, settings.depth, settings.norm)
    return Backbone(*shared, **more)
