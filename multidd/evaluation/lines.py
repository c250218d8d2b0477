"""The lines of a benchmark: a method on a data set, judged by one or more models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self, TypeVar

from torch import Tensor

__all__ = ["Line", "PublishedLines", "with_name"]

T = TypeVar("T")


@dataclass(frozen=True)
class Line:
    """One line of a table: a method on a data set, judged by one or more models.

    Attributes:
        data: name of the data set.
        budget: the method's budget, such as `{"ipc": 10}`; empty for whole data.
        method: name of the method.
        published: what its authors report, or who else did.
        options: settings other than the defaults.
        models: models whose mean is taken; the modality's first one unless given.
        protocol: that they are trained by; the modality's first one unless given.
        stage: what is done with the set before it is judged, by its name in the
            modality's `STAGES`, such as `"words"` for texts.
        note: what else the name says.
    """

    data: str
    budget: Mapping[str, int]
    method: str
    published: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    protocol: str | None = None
    stage: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        """What the table and `--only` call it."""
        options = ", ".join(f"{key}={value}" for key, value in self.options.items())
        size = " ".join(str(value) for value in self.budget.values()) or "all"
        models = f", {self.models[0]}" if len(self.models) == 1 else ""
        if len(self.models) > 1:
            models = f", mean of {len(self.models)} models"
        named = f"{self.data} {size} {self.method}{f' ({options})' if options else ''}"
        more = "".join(f", {part}" for part in (self.stage, self.note) if part)
        return f"{named}{models}{more}"


@dataclass(frozen=True)
class PublishedLines:
    """The lines of a modality, and how they are measured.

    Attributes:
        lines: in the order of the table.
        smallest: budget of the summary beside which whole data are judged.
        same_split: whether a data set has one split for all seeds, by its name.
        beside: rows of an evaluation that are lines too, such as other methods' models.
        methods: further methods by name, of sets that others published.
        stages: what is done with a set before it is judged, by name: it gets the
            summary and the name of the data.
        timed: tell what training on whole data costs.
        sized: tell the bytes of each set.
        carded: take the seconds of the card, not those of the call.
        bytes: sets whose scores `multidd bench bytes` measures against their bytes.
        bytes_controls: further controls, among `methods`, of sets that fill a budget in
            bytes.
        scale: lines of `multidd bench scale`.
        speed: lines of `multidd bench speed`.
        speed_work: what such a line times that is no method, by name: it gets the
            training data and gives what is timed.
        gpu: lines of `multidd bench gpu`.
        whole_tensors: training data -> what is stored of them, for their bytes.
    """

    lines: Sequence[Line]
    smallest: Mapping[str, int] = field(default_factory=dict)
    same_split: Callable[[str], bool] = lambda data: False
    beside: Sequence[str] = ()
    methods: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    stages: Mapping[str, Callable[[Any, str], Any]] = field(default_factory=dict)
    timed: bool = False
    sized: bool = False
    carded: bool = False
    bytes: Sequence[Line] = ()
    bytes_controls: Sequence[str] = ()
    scale: Sequence[Any] = ()
    speed: Sequence[Line] = ()
    speed_work: Mapping[str, Callable[[Any], Callable[[], Any]]] = field(
        default_factory=dict
    )
    gpu: Sequence[Any] = ()
    whole_tensors: Callable[[Any], Mapping[str, Tensor]] = lambda train: {}

    @classmethod
    def of(cls, source: Any) -> Self:
        """What a module or object has under these names in capitals, else the default.

        Args:
            source: has `LINES`, and a function `same_split`.

        Example:
            >>> from multidd.images.evaluation import published
            >>> PublishedLines.of(published).sized
            True
        """
        names = {f.name: f.name.upper() for f in fields(cls)}
        names["same_split"] = "same_split"
        present = {name: key for name, key in names.items() if hasattr(source, key)}
        return cls(**{name: getattr(source, key) for name, key in present.items()})


def with_name(
    by_name: Sequence[tuple[str, T]], only: str | None, noun: str = "line"
) -> list[T]:
    """What has a text in its name.

    Args:
        by_name: names, and what they stand for.
        only: part of the names; None takes all.
        noun: what a message calls it.

    Raises:
        ValueError: no name has it; says which there are.

    Example:
        >>> with_name([("cora 70", 1), ("fashion 10", 2)], "cora")
        [1]
    """
    chosen = [one for name, one in by_name if only is None or only in name]
    if not chosen:
        names = "\n".join(name for name, _ in by_name)
        raise ValueError(f"no {noun} has {only!r} in its name; there are\n{names}")
    return chosen
