"""Settings that the recipes of texts share, and those of selections among them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from multidd.engine.options import RunKeywords, RunSettings
from multidd.engine.recipe import split_options
from multidd.parameterizations.labels import Policy
from multidd.protocols import Selection
from multidd.selection.basic import Herding, KCenter, KMeans, Medoids, Random

__all__ = [
    "SELECTION_CARD",
    "SELECTION_SETTINGS",
    "STARTS",
    "Options",
    "Settings",
    "Source",
    "selection_options",
]

STARTS: dict[str, Selection] = {
    "kmeans": KMeans(restarts=1),
    "medoids": Medoids(restarts=1),
    "random": Random(),
    "herding": Herding(),
    "kcenter": KCenter(),
    "noise": Random(),
}


SELECTION_SETTINGS = (
    "total",
    "text",
    "pair",
    "label",
    "tokenizer",
    "pooling",
    "max_length",
    "weights",
)
"""What selections take of the shared settings."""

SELECTION_CARD = (*SELECTION_SETTINGS, "per_class", "counts", "encoder", "kernel")
"""What the cards of selections say of them."""


class Source(RunKeywords, total=False):
    """Where the texts come from, how they are encoded, and how many are made."""

    total: int | None
    tokenizer: Any
    pooling: Literal["mean", "cls"]
    max_length: int
    text: str
    pair: str | None
    label: str
    weights: bool


class Options(Source, total=False):
    """Settings that every recipe takes by name; their defaults differ by recipe.

    See `Settings` for what they mean, and `multidd.distill` for those of the run.
    """

    init: str
    labels: Policy
    lr_labels: float
    sampler: Literal["uniform", "class"]
    batch_size: int | None
    hidden: int
    val: float | int


@dataclass(frozen=True)
class Settings:
    """Settings that every recipe shares.

    Attributes:
        total: texts in all, in the place of `per_class`: each class by its size, one
            at least.
        tokenizer: of the model, where it does not lie beside it.
        pooling: of token vectors to a sentence's, `"mean"` or `"cls"`.
        max_length: most tokens of a text.
        text, pair, label: columns of the dataset.
        weights: rows get weights, by how many real texts each stands for.
        init: `"kmeans"`, `"medoids"`, `"random"`, `"herding"`, `"kcenter"`, `"noise"`.
        labels: `"hard"`, `"centered"` (fixed), `"onehot"` (learned from one-hot),
            `"teacher"` (learned from a teacher) or `"teacher_once"`.
        lr_labels: of Adam on the labels, where they are learned; that of the features
            unless given.
        sampler: real batches `"uniform"` over all texts, or by `"class"`.
        batch_size: real texts at a step (of each class, if by class); None takes all.
        hidden: units of the hidden layer of the head; 0 for a linear one.
        val: share or number of training texts held out for `select_best`; they are
            only held out where it is given.

    Raises:
        ValueError: a setting out of range.

    Example:
        >>> Settings(init="medoids").batch_size
        500
    """

    total: int | None = None
    tokenizer: Any = None
    pooling: Literal["mean", "cls"] = "mean"
    max_length: int = 128
    text: str = "text"
    pair: str | None = None
    label: str = "label"
    weights: bool = False
    init: str = "kmeans"
    labels: Policy = "hard"
    lr_labels: float | None = None
    sampler: Literal["uniform", "class"] = "uniform"
    batch_size: int | None = 500
    hidden: int = 0
    val: float | int = 0.1

    def __post_init__(self) -> None:
        if self.init not in STARTS:
            raise ValueError(f"init must be one of {', '.join(STARTS)}: {self.init!r}")
        if self.sampler not in ("uniform", "class"):
            raise ValueError(
                f"sampler must be 'uniform' or 'class', got {self.sampler!r}"
            )
        size = self.batch_size
        if size is not None and (not isinstance(size, int) or size < 1):
            raise ValueError(f"batch_size must be 1 or more, or None; got {size!r}")
        if not isinstance(self.hidden, int) or self.hidden < 0:
            raise ValueError(f"hidden must be 0 or more, got {self.hidden!r}")


def selection_options(
    method: str, options: Mapping[str, Any], seed: int = 0
) -> tuple[Settings, RunSettings]:
    """The shared settings of a selection, and the settings of its run.

    Args:
        method: its name, for the error.
        options: what the caller gave, by name.
        seed: seed of the run.

    Raises:
        TypeError: an option that selections do not take.

    Example:
        >>> selection_options("random", {"max_length": 64})[0].max_length
        64
    """
    unknown = sorted(set(options) - set(SELECTION_SETTINGS))
    if unknown:
        looped = set(unknown) & set(RunKeywords.__annotations__)
        why = "; there is no loop" if looped else ""
        raise TypeError(
            f"{method} takes no option {', '.join(unknown)}{why}; selections take "
            f"{', '.join(sorted(SELECTION_SETTINGS))}"
        )
    return split_options(Settings(), options, seed)
