"""Settings that methods for texts share, under one name and with one meaning."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from multidd.arguments import is_whole
from multidd.data.splitting import check_count
from multidd.parameterizations.labels import Policy
from multidd.protocols import Selection
from multidd.selection.basic import Herding, KCenter, KMeans, Medoids, Random

__all__ = ["STARTS", "TextOptions", "TextSelectionOptions"]

STARTS: dict[str, Selection] = {
    "kmeans": KMeans(restarts=1),
    "medoids": Medoids(restarts=1),
    "random": Random(),
    "herding": Herding(),
    "kcenter": KCenter(),
    "noise": Random(),
}

CARD_KEYS = {
    "text": "text",
    "pair": "pair",
    "label": "label",
    "weights": "weights",
    "init": "init",
    "labels": "labels",
    "lr_labels": "lr_labels",
    "sampler": "sampler",
    "batch_size": "batch_size",
    "width": "hidden",
    "val_share": "val",
}
"""Names of the shared settings, and those under which cards know them."""


@dataclass(frozen=True, kw_only=True)
class TextSelectionOptions:
    """Settings of `random`, `herding`, `kcenter`, `medoids` and `kmeans`.

    Attributes:
        tokenizer: of the encoder, where it does not lie beside it.
        pooling: of token vectors to a sentence's, `"mean"` or `"cls"`; an `Encoder`
            has its own.
        max_length: most tokens of a text; what is longer is cut.
        text, pair, label: columns of the data.
        weights: rows get weights, by how many real texts of their class are nearest to
            each.

    Example:
        >>> TextSelectionOptions(max_length=64).pooling
        'mean'
    """

    tokenizer: Any = None
    pooling: Literal["mean", "cls"] = "mean"
    max_length: int = 128
    text: str = "text"
    pair: str | None = None
    label: str = "label"
    weights: bool = False

    def shared_settings(self, total: int | None) -> dict[str, Any]:
        """The shared settings for the card, by the names that it knows.

        Args:
            total: texts in all, of the run.

        Example:
            >>> TextSelectionOptions().shared_settings(9)["total"]
            9
        """
        settings = {
            key: getattr(self, name)
            for name, key in CARD_KEYS.items()
            if hasattr(self, name)
        }
        return {"total": total} | settings


@dataclass(frozen=True, kw_only=True)
class TextOptions(TextSelectionOptions):
    """Settings that every method with a loop shares; defaults differ by method.

    Attributes:
        init: `"kmeans"`, `"medoids"`, `"random"`, `"herding"`, `"kcenter"`, `"noise"`.
        labels: `"hard"`, `"centered"` (fixed), `"onehot"` (learned from one-hot),
            `"teacher"` (learned from a teacher) or `"teacher_once"`.
        lr_labels: of Adam on the labels, where they are learned; None takes that of
            what is learned beside them.
        sampler: real batches `"uniform"` over all texts, or by `"class"`.
        batch_size: real texts at a step (of each class, if by class); None takes all.
        width: units of the hidden layer of the head; 0 for a linear one, which is
            enough behind a good encoder.
        val_share: share or number of training texts held out for `select_best`; they
            are only held out where it is given.

    Raises:
        ValueError: a setting out of range.

    Example:
        >>> TextOptions(init="medoids").batch_size
        500
    """

    init: str = "kmeans"
    labels: Policy = "hard"
    lr_labels: float | None = None
    sampler: Literal["uniform", "class"] = "uniform"
    batch_size: int | None = 500
    width: int = 0
    val_share: float | int = 0.1

    def __post_init__(self) -> None:
        if self.init not in STARTS:
            raise ValueError(f"init must be one of {', '.join(STARTS)}: {self.init!r}")
        if self.sampler not in ("uniform", "class"):
            raise ValueError(
                f"sampler must be 'uniform' or 'class', got {self.sampler!r}"
            )
        size = self.batch_size
        if size is not None and (not is_whole(size) or size < 1):
            raise ValueError(f"batch_size must be 1 or more, or None; got {size!r}")
        if not is_whole(self.width) or self.width < 0:
            raise ValueError(f"width must be 0 or more, got {self.width!r}")
        for name in ("num_models", "pool_size"):
            if hasattr(self, name):
                check_count(name, getattr(self, name))

    @classmethod
    def of_selection(cls, options: TextSelectionOptions) -> "TextOptions":
        """The settings of a task of which only a selection is made.

        Args:
            options: of the selection; those of a loop are returned as they are.

        Example:
            >>> TextOptions.of_selection(TextSelectionOptions(weights=True)).weights
            True
        """
        if isinstance(options, TextOptions):
            return options
        names = [f.name for f in fields(TextSelectionOptions)]
        return TextOptions(**{name: getattr(options, name) for name in names})
