"""Settings that methods for graphs share."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Init: TypeAlias = Literal["kmeans", "random", "herding", "kcenter"]
Supervision: TypeAlias = Literal["teacher", "train"]
Finish: TypeAlias = Literal["threshold", "sample"]

FEATURE_LR = 0.02
"""Learning rate of features, relative to the root mean square of an entry."""


@dataclass(frozen=True, kw_only=True)
class GraphOptions:
    """Settings of every method with a loop for the nodes of a graph.

    Attributes:
        init: the selection to start from: `"kmeans"`, `"random"`, `"herding"` or
            `"kcenter"`. The centroids of `"kmeans"` are closest to what is learned.
        supervision: which real nodes are matched: `"teacher"` takes all, those without
            labels in the class of a linear teacher, weighted by its confidence;
            `"train"` takes the training nodes alone, as the papers do, and is worse
            where they are few.
        inductive: see the training nodes and the edges between them only.

    Raises:
        ValueError: a name that is none of these.

    Example:
        >>> GraphOptions(init="random").supervision
        'teacher'
    """

    init: Init = "kmeans"
    supervision: Supervision = "teacher"
    inductive: bool = False

    def __post_init__(self) -> None:
        check_init(self.init)
        check_choice("supervision", self.supervision, get_args(Supervision))


def check_init(name: str) -> None:
    """Refuse a selection to start from that there is not.

    Raises:
        ValueError: says which there are.
    """
    if name not in get_args(Init):
        raise ValueError(
            f"init must be one of {', '.join(get_args(Init))}; got {name!r}"
        )


def check_choice(field: str, value: object, known: tuple[object, ...]) -> None:
    """Refuse a value that is none of the known ones.

    Args:
        field: name of the setting, for the error.
        value: its value.
        known: the values that it may have.

    Raises:
        ValueError: says which there are.
    """
    if value not in known:
        pair = " or ".join(repr(name) for name in known)
        names = pair if len(known) == 2 else f"one of {known}"
        raise ValueError(f"{field} must be {names}, got {value!r}")
