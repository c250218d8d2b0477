"""Settings that methods for images share, under one name and with one meaning."""

from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

from multidd.arguments import is_whole
from multidd.data.splitting import check_count
from multidd.images.data.augment import OPERATIONS
from multidd.images.models.backbone import Backbone
from multidd.images.models.module_backbone import ImageModel, backbone_by
from multidd.learning.optim import SGD, Adam, Optimizer
from multidd.parameterizations.labels import Policy
from multidd.protocols import Selection
from multidd.selection.basic import Herding, KCenter, KMeans, Random
from multidd.settings import describe

__all__ = [
    "DSA",
    "STARTS",
    "ClassBalance",
    "ImageOptions",
    "ImageSelectionOptions",
    "Sampler",
    "backbone_of",
    "image_optimizer",
]

ClassBalance: TypeAlias = Literal["equal", "proportional"]
Sampler: TypeAlias = Literal["class", "uniform", "representative"]

STARTS: dict[str, Selection] = {
    "random": Random(),
    "kmeans": KMeans(restarts=1),
    "herding": Herding(),
    "kcenter": KCenter(),
    "noise": Random(),
}

DSA = "_".join(OPERATIONS)
"""All operations of differentiable siamese augmentation."""

CARD_KEYS = {
    "class_balance": "balance",
    "init": "init",
    "factor": "factor",
    "labels": "labels",
    "lr_labels": "lr_labels",
    "sampler": "sampler",
    "batch_size": "batch_size",
    "augment": "augment",
    "flip": "flip",
    "zca": "zca",
    "model": "model",
    "width": "width",
    "depth": "depth",
    "norm": "norm",
    "val_share": "val",
}
"""Names of the shared settings, and those under which cards know them."""


@dataclass(frozen=True, kw_only=True)
class ImageSelectionOptions:
    """Settings of `random`, `herding`, `kcenter` and `kmeans`.

    Attributes:
        class_balance: images per class `"equal"`, or `"proportional"` to its size.
        zca: whiten the pixels.

    Example:
        >>> ImageSelectionOptions(zca=True)
        ImageSelectionOptions(class_balance='equal', zca=True)
    """

    class_balance: ClassBalance = "equal"
    zca: bool = False


@dataclass(frozen=True, kw_only=True)
class ImageOptions(ImageSelectionOptions):
    """Settings that every method with a loop shares; defaults differ by method.

    Attributes:
        init: `"random"`, `"kmeans"`, `"herding"`, `"kcenter"` or `"noise"`.
        factor: cut each stored image into `factor` x `factor` tiles, each decoded to
            a full image (multi-formation); 1 stores images as they are.
        labels: `"hard"`, `"centered"`, `"onehot"` (learned from one-hot), `"teacher"`
            (learned from a teacher) or `"teacher_once"`.
        lr_labels: of Adam on the labels, where they are learned; None takes that of
            what is learned beside them.
        sampler: real batches by `"class"`, `"uniform"`, or `"representative"` ones.
        batch_size: real images of each class at a step (in all, if uniform); None
            takes all.
        augment: operations joined by underscores, or `"none"`.
        flip: mirror images too, where `augment` says flip; None asks the dataset
            (`Images.mirror`: not digits, nor arrays of unknown origin).
        model: the network that is matched on: a name of `multidd.images.MODELS`, or
            what makes an `nn.Module` of the caller's own, a class or function that
            takes `(shape, num_classes)` or nothing.
        width, depth, norm: of a network by name; width 32, a quarter of the papers', is
            what a CPU trains in seconds.
        val_share: share or number of training images held out for `select_best`; they
            are only held out where it is given.

    Raises:
        ValueError: a setting that no method could use.

    Example:
        >>> ImageOptions(width=64).batch_size
        128
    """

    init: str = "random"
    factor: int = 1
    labels: Policy = "hard"
    lr_labels: float | None = 0.01
    sampler: Sampler = "class"
    batch_size: int | None = 128
    augment: str = "none"
    flip: bool | None = None
    model: ImageModel = "convnet"
    width: int | tuple[int, ...] | None = 32
    depth: int | None = None
    norm: str = "instance"
    val_share: float | int = 0.1

    def __post_init__(self) -> None:
        if self.init not in STARTS:
            raise ValueError(f"init must be one of {', '.join(STARTS)}: {self.init!r}")
        if self.sampler not in ("class", "uniform", "representative"):
            raise ValueError(
                "sampler must be 'class', 'uniform' or 'representative', got "
                f"{self.sampler!r}"
            )
        if not is_whole(self.factor) or self.factor < 1:
            raise ValueError(f"factor must be 1 or more, got {self.factor!r}")
        self._check_batch_size()
        for name in ("num_models", "pool_size"):
            if hasattr(self, name):
                check_count(name, getattr(self, name))

    def _check_batch_size(self) -> None:
        size = self.batch_size
        if size is not None and (not is_whole(size) or size < 1):
            raise ValueError(f"batch_size must be 1 or more, or None; got {size!r}")

    def shared_settings(self, budget_bytes: int | None) -> dict[str, Any]:
        """The shared settings for the card, by the names that it knows.

        Args:
            budget_bytes: that of the run.

        Example:
            >>> ImageOptions(val_share=0.2).shared_settings(None)["val"]
            0.2
        """
        shared = {key: getattr(self, name) for name, key in CARD_KEYS.items()}
        settings: dict[str, Any] = describe({"budget_bytes": budget_bytes} | shared)
        return settings

    def method_settings(self, **card_keys: str) -> dict[str, Any]:
        """The settings that a method has beside the shared ones, for the card.

        Args:
            **card_keys: the key of a setting that the card knows by another name.

        Example:
            >>> from multidd.images import DMOptions
            >>> DMOptions().method_settings(matches_per_net="reuse")
            {'lr': 1.0, 'momentum': 0.5, 'reuse': 1}
        """
        shared = {f.name for f in fields(ImageOptions)}
        names = [f.name for f in fields(self) if f.name not in shared]
        return {card_keys.get(name, name): getattr(self, name) for name in names}


def backbone_of(options: ImageOptions, **more: Any) -> Backbone:
    """The backbone by the shared settings.

    Args:
        options: the shared settings.
        **more: settings of the backbone beyond those.
    """
    form = (options.width, options.depth, options.norm)
    return backbone_by(options.model, *form, **more)


def image_optimizer(lr: float, momentum: float | None, **more: Any) -> Optimizer:
    """What moves the images: SGD where there is a momentum, as in papers, else Adam.

    Args:
        lr: its rate.
        momentum: of SGD; None takes Adam.
        **more: further settings of both.

    Example:
        >>> image_optimizer(100.0, 0.5).momentum
        0.5
    """
    if momentum is None:
        return Adam(lr=lr, **more)
    return SGD(lr=lr, momentum=momentum, **more)


@dataclass(frozen=True, kw_only=True)
class SGDOptions(ImageOptions):
    """Settings of distribution matching that moves the images by SGD.

    Attributes:
        lr: step size of the images times their number per class, in their normalized
            space.
        momentum: of the images.
    """

    lr: float = 1.0
    momentum: float = 0.5
    augment: str = DSA
