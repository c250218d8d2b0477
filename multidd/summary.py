"""`DataSummary`: a distilled set with its card, saved and loaded."""

import json
import pathlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self

from torch import Tensor

from multidd import html, modality
from multidd.arguments import public_function
from multidd.errors import (
    CorruptFileError,
    MultiddWarning,
    SchemaError,
    WrongKindError,
)
from multidd.settings import current_parameters
from multidd.storage import files
from multidd.storage.atomic import user_path
from multidd.storage.fields import (
    Either,
    Field,
    Flag,
    FreeJSON,
    Items,
    Maybe,
    Number,
    Record,
    Text,
)
from multidd.storage.limits import Limits
from multidd.storage.schema import Fields, Forms, Schema, forms_of, refuse

FILE = "summary.safetensors"


@dataclass(frozen=True, repr=False)
class Card:
    """How a summary was made, and what reproduces its score.

    Attributes:
        method: name of the recipe.
        settings: every setting of the recipe, as JSON.
        seed: the run's seed.
        source: fingerprint and sizes of the data it was made from.
        versions: of what decides the bits.
        labels: `"hard"`, `"soft"`, or `"centered"` (each row of labels has mean zero).
        decoder: how stored records become those that models run on; empty for itself.
        preprocessing: what was done to the data before it was handed in, if known.
        steps: steps of the loop; 0 for a selection.
        seconds: wall time of the making.
        stages: seconds of its parts, where a method tells them.
        threads: torch threads of the run.
        history: loss of each step.
        protocol: settings of the training that gave `score`, once evaluated.
        score: what that training reached.

    Example:
        >>> Card("dm", {"lr": 1.0}, 0, {}, {}, steps=100, seconds=2.5)
        Card(dm, seed=0, labels=hard, steps=100, 1 setting, 2.5 s)
    """

    method: str
    settings: dict[str, Any]
    seed: int
    source: dict[str, Any]
    versions: dict[str, str]
    labels: str = "hard"
    decoder: dict[str, Any] = field(default_factory=dict)
    preprocessing: dict[str, Any] = field(default_factory=dict)
    steps: int = 0
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    threads: int = 0
    history: tuple[float, ...] = ()
    protocol: dict[str, Any] | None = None
    score: dict[str, Any] | None = None

    def __repr__(self) -> str:
        scored = f", scores of {', '.join(self.score)}" if self.score else ""
        noun = "setting" if len(self.settings) == 1 else "settings"
        return (
            f"Card({self.method}, seed={self.seed}, labels={self.labels}, "
            f"steps={self.steps}, {len(self.settings)} {noun}, {self.seconds:.1f} s"
            f"{scored})"
        )

    def _repr_html_(self) -> str:
        """The card as notebooks show it."""
        return html.box(f"Card of {self.method}", self.to_html())

    def to_html(self) -> str:
        """Seed, steps, loss and scores, and settings and source to open."""
        shown = {
            "seed": self.seed,
            "labels": self.labels,
            "steps": self.steps or None,
            "seconds": f"{self.seconds:.1f}",
            "multidd": self.versions.get("multidd"),
        }
        parts = [html.facts(shown), html.curve(self.history, "loss")]
        if self.score:
            scores = [[name, json.dumps(value)] for name, value in self.score.items()]
            parts.append(html.table([["score", "values"], *scores], max_rows=8))
        for title in ("settings", "source"):
            pairs = [[n, json.dumps(v)] for n, v in getattr(self, title).items()]
            lines = html.table([[title, "value"], *pairs], max_rows=60)
            parts.append(html.details(title, lines))
        return "".join(parts)


# --- the schema of a card -----------------------------------------------------

COUNT = Number(low=0, high=10**9, whole=True)
"""A number of things or of steps."""
POSITIVE = Number(low=1, high=2**53, whole=True)
"""A size of real data."""
CLASSES = Number(low=1, high=10**6, whole=True)
"""A number of classes."""
ANYTHING = Record(others=FreeJSON())
"""A dict that only its writer reads."""
_RATE = Number(low=0, high=10**6)
_SHARE = Number(low=0, high=1)
_UPDATES = Number(low=0, high=10**7, whole=True)

_PROTOCOL: dict[str, Field] = {
    "name": Text(max_length=200),
    "epochs": _UPDATES,
    "lr": _RATE,
    "lr_drop": _RATE,
    "weight_decay": _RATE,
    "dropout": _SHARE,
    "width": Number(low=1, high=2**16, whole=True),
    "check_every": Number(low=1, high=10**9, whole=True),
    "soft_labels": Flag(),
    "optimizer": Text(choices=("adam", "sgd")),
    "momentum": _SHARE,
    "schedule": Text(choices=("step", "cosine")),
    "batch": _UPDATES,
    "whole_batch": _UPDATES,
    "whole_patience": _UPDATES,
    "whole_cap": _UPDATES,
    "augment": Text(max_length=200),
    "lrs": Items(_RATE, max_count=100),
    "snapshots": Number(low=0, high=10**4, whole=True),
    "centered_lr": _RATE,
}
PROTOCOL = Record(_PROTOCOL, optional=frozenset(_PROTOCOL) - {"name"})
"""Settings of a training, as a card has them: those of `multidd.Protocol`."""

SCORES = Record(
    {
        "metric": Text(max_length=200),
        "values": Items(Number(), max_count=10**5),
        "seeds": Items(Number(low=-(2**63), high=2**64, whole=True), max_count=10**5),
    }
)
"""What trainings of one model reached, as a card has it."""

_CARD: dict[str, Field] = {
    "method": Text(max_length=1000),
    "settings": ANYTHING,
    "seed": Number(low=-(2**63), high=2**64, whole=True),
    "source": ANYTHING,
    "versions": Record(others=Text(max_length=1000)),
    "labels": Text(choices=("hard", "soft", "centered")),
    "decoder": ANYTHING,
    "preprocessing": ANYTHING,
    "steps": COUNT,
    "seconds": Number(low=0),
    "stages": Record(others=Number(low=0)),
    "threads": COUNT,
    "history": Items(Number()),
    "protocol": Maybe(PROTOCOL),
    "score": Maybe(Record(others=Either(SCORES, Number()))),
}
CARD = Record(
    _CARD,
    # An older version wrote fewer fields.
    optional=frozenset(_CARD) - set("method settings seed source versions".split()),
)
"""A card as it lies in a file."""


def card_schema(
    source: Mapping[str, Field] | None = None,
    settings: Mapping[str, Field] | None = None,
    *,
    optional: Sequence[str] = (),
    tensors: Callable[[Mapping[str, Any], Forms], Fields] | None = None,
    sizes: Callable[[Mapping[str, Any]], Mapping[str, int]] = lambda info: {},
    agreement: Callable[[Mapping[str, Any], Forms], str | None] | None = None,
    relation: Callable[..., str | None] = lambda info, tensors: None,
    decoded_bytes: Callable[[Mapping[str, Any], Forms], int] = lambda info, forms: 0,
) -> Schema:
    """The schema of a kind of summary.

    Args:
        source: what `card.source` must say; it may say more.
        settings: what those of `card.settings` must be that are used again.
        optional: entries of `source` that may be missing.
        tensors: the field of each tensor; see `multidd.storage.schema.Schema`, also for
            the others.
        sizes: names of sizes.
        agreement: a fault between card and header.
        relation: a fault between tensors.
        decoded_bytes: bytes of the decoded records.

    Example:
        >>> card_schema({"nodes": POSITIVE}).info.fields["card"].fields["source"]
        Record(fields={'nodes': ...
    """
    known = settings or {}
    card = CARD.extended(
        {
            "source": ANYTHING.extended(source or {}, optional),
            "settings": ANYTHING.extended(known, known),
        }
    )

    def quarrel(info: Mapping[str, Any], forms: Forms) -> str | None:
        return _quarrel(info) or (agreement(info, forms) if agreement else None)

    return Schema(
        Record({"card": card}), tensors, sizes, quarrel, relation, decoded_bytes
    )


def _quarrel(info: Mapping[str, Any]) -> str | None:
    """Scores that are not one for each seed."""
    for model, score in (info["card"].get("score") or {}).items():
        if not isinstance(score, Mapping):  # a number that somebody noted
            continue
        values, seeds = len(score["values"]), len(score["seeds"])
        if values != seeds or not seeds:
            return (
                f"card.score.{model} has {values} values for {seeds} seeds; it must "
                "have one for each, and at least one"
            )
    return None


def names_fault(source: Mapping[str, Any], *keys: str) -> str | None:
    """What is wrong with lists that must have an entry for each class."""
    for key in keys:
        if source.get(key) is not None and len(source[key]) != source["classes"]:
            return (
                f"card.source.{key} has {len(source[key])} entries; it must have one "
                f"for each of card.source.classes = {source['classes']}"
            )
    return None


CLASS_VALUES = Items(Either(Number(whole=True), Text()), min_count=1, max_count=10**6)
"""Labels or names of classes."""


@dataclass(frozen=True, eq=False, repr=False)
class DataSummary:
    """A distilled set: its tensors and the card that describes how it was made.

    Attributes:
        kind: of its files.
        schema: what a file of that kind holds; any tensors unless a modality says more.
        tensors: named tensors, on the CPU.
        card: how it was made.
    """

    kind: ClassVar[str] = "data"
    schema: ClassVar[Schema] = card_schema()

    tensors: Mapping[str, Tensor]
    card: Card

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors, labels and adjacency counted."""
        return sum(t.numel() * t.element_size() for t in self.tensors.values())

    def digest(self) -> str:
        """SHA-256 of the tensors: equal exactly when they are, bit for bit."""
        return files.digest(self.tensors)

    def plot(self, path: str | pathlib.Path | None = None, *, data: Any = None) -> Any:
        """Draw it; each modality says what.

        Args:
            path: a PNG, PDF or SVG to write; None only returns the figure.
            data: the real data, to stand beside.

        Returns:
            The `matplotlib.figure.Figure`.

        Raises:
            NotImplementedError: this modality draws nothing.
        """
        raise NotImplementedError(f"a {self.kind} summary has no picture")

    def _repr_html_(self) -> str:
        """The summary as notebooks show it: a first look at its records, its card."""
        return html.box(repr(self), self.preview(), self.card.to_html())

    def preview(self) -> str:
        """A first look at its records, as HTML; empty where a modality draws none."""
        return ""

    def listing(self) -> str:
        """Its records as text, where people can read them so; else empty."""
        return ""

    def facts(self, on: Any, train: Any = None) -> str:
        """What is to be told of it beside real data, as Markdown; else empty.

        Args:
            on: real data, as `multidd.evaluate` takes it.
            train: the training part, where that is apart.
        """
        return ""

    def save(self, path: str | pathlib.Path) -> pathlib.Path:
        """Write one file, aside and renamed.

        Args:
            path: a file name, or a folder, which gets `summary.safetensors`.

        Returns:
            The file's path.

        Raises:
            SchemaError: card, types or shapes are not those of such a summary, so that
                the file could not be read again. Values that are not are only named in
                a warning.
            StorageError: the file cannot be written; an older one stays whole.
        """
        path = user_path(path)
        path = path if path.suffix == ".safetensors" else path / FILE
        info = {"card": asdict(self.card)}
        sizes = self.schema.check_header(path, info, forms_of(self.tensors))
        files.check_writable(path.parent)
        files.write(path, self.tensors, info, kind=self.kind)
        try:
            self.schema.check_values(path, info, self.tensors, sizes)
        except SchemaError as error:
            text = f"this file was written, and will not be read again: {error}"
            warnings.warn(text, MultiddWarning, stacklevel=2)
        return path

    @classmethod
    def load(
        cls,
        path: str | pathlib.Path,
        *,
        allow_nonfinite: bool = False,
        limits: Limits | None = None,
    ) -> Self:
        """Read a summary of this modality; see `multidd.load`."""
        summary = load(path, allow_nonfinite=allow_nonfinite, limits=limits)
        if not isinstance(summary, cls):
            raise WrongKindError(
                f"{path} holds a {summary.kind} summary, a {cls.kind} one was asked "
                f"for; use multidd.load(path)"
            )
        return summary


@public_function
def load(
    path: str | pathlib.Path,
    *,
    allow_nonfinite: bool = False,
    limits: Limits | None = None,
) -> "DataSummary":
    """Read a summary of any modality; the file says which.

    Args:
        path: a file, or a folder that holds `summary.safetensors`.
        allow_nonfinite: take a file that holds NaN or infinity.
        limits: what reading may take; `Limits.current()` unless given.

    Returns:
        The modality's summary, such as a `multidd.graph.GraphSummary`.

    Raises:
        FileNotFoundError: there is no such file.
        CorruptFileError: the file is damaged or not ours.
        SchemaError: it is whole, and a field of it is not what it must be.
        FileVersionError: it was written by a newer version.
        WrongKindError: it holds something else than a summary.
        ModalityError: the package of its modality does not load.
        NonFiniteError: it holds NaN or infinity.

    Example:
        >>> import tempfile, multidd
        >>> folder = tempfile.mkdtemp()
        >>> summary = multidd.graph.random(multidd.samples.cora(), per_class=1)
        >>> _ = summary.save(folder)
        >>> multidd.load(folder).digest() == summary.digest()
        True
    """
    path = user_path(path)
    path = path / FILE if path.is_dir() else path
    kind, _, _ = files.peek(path, limits=limits)
    cls = _class_of(kind, path)
    tensors, info = files.read(
        path,
        kind=kind,
        schema=cls.schema,
        allow_nonfinite=allow_nonfinite,
        limits=limits,
    )
    try:
        return cls(tensors, card_of(info["card"]))
    except (CorruptFileError, ValueError) as error:  # what only the class can tell
        refuse(path, str(error))
        raise


def card_of(fields: Mapping[str, Any]) -> Card:
    """The card of checked JSON, by today's names of settings.

    Example:
        >>> card_of({"method": "m", "settings": {}, "seed": 0, "source": {},
        ...          "versions": {}, "history": [0.5]}).history
        (0.5,)
    """
    values = dict(fields)
    values["settings"] = current_parameters(values["method"], values["settings"])
    values["history"] = tuple(values.get("history", ()))
    return Card(**values)


def _class_of(kind: str, path: pathlib.Path) -> type[DataSummary]:
    """The class of summaries of a kind."""
    name = modality.name_of(kind)
    if name not in modality.names():
        raise WrongKindError(
            f"{path} holds {kind!r}, not a summary; modalities installed here: "
            f"{', '.join(modality.names())}"
        )
    summaries = modality.parts(name).summaries
    if kind not in summaries:
        raise WrongKindError(
            f"{path} holds {kind!r}, which this version does not read; kinds of "
            f"{name} summaries: {', '.join(summaries)}"
        )
    return summaries[kind]
