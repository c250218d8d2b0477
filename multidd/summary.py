"""`DataSummary`: a distilled set with its card, saved and loaded."""

import json
import pathlib
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Self

from torch import Tensor

from multidd import html, modality
from multidd.arguments import public_function
from multidd.card_schema import card_schema
from multidd.errors import (
    CorruptFileError,
    MultiddWarning,
    SchemaError,
    WrongKindError,
)
from multidd.settings import current_parameters
from multidd.storage import files
from multidd.storage.atomic import output_path, user_path
from multidd.storage.codecs import Codec
from multidd.storage.limits import Limits
from multidd.storage.packing import Packing, pack, pack_within
from multidd.storage.schema import Schema, forms_of, refuse

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
        """Bytes of the tensors that count, labels and adjacency among them; of a
        compressed summary those in its file."""
        if self.packing is None:
            return self.tensor_bytes
        return self.packing.num_bytes(self.counts)

    @property
    def tensor_bytes(self) -> int:
        """Bytes of the tensors that count, as models are trained on them."""
        counted = [t for name, t in self.tensors.items() if self.counts(name)]
        return sum(t.numel() * t.element_size() for t in counted)

    @property
    def size_text(self) -> str:
        """Its size as tables and `repr` say it."""
        if self.packing is None:
            return f"{self.num_bytes / 1024:,.0f} KiB"
        return self.packing.describe(self.num_bytes)

    @property
    def packing(self) -> Packing | None:
        """How a compressed summary's tensors are stored, and what each lost."""
        return getattr(self.tensors, "packing", None)

    def counts(self, name: str) -> bool:
        """Whether a tensor is the summary's; one that belongs to the data is not."""
        return True

    @staticmethod
    def codec_of(name: str) -> Codec:
        """How `compress` stores a tensor of fractions; whole numbers stay exact."""
        return Codec("fitted")

    def compress(
        self, bits: int | None = None, *, budget_bytes: int | None = None
    ) -> Self:
        """The same set in few bits for each number: a new summary.

        Each tensor has a codec for what it holds, whose numbers a coder without loss
        then makes shorter. Whole numbers stay exact, and so does a tensor of few
        different numbers. The file holds the short form; in memory are the numbers
        that it stands for, so a score before saving is the score after loading.

        Args:
            bits: of a number, 2 to 8. Soft labels and weights of edges have 4 or more.
            budget_bytes: take the most bits with which `num_bytes` is at most this, or
                one more where numbers that go to cheaper levels make that fit. Give
                exactly one of the two.

        Returns:
            A new summary. `num_bytes` is the size in the file, `packing.max_error` the
            largest error of each tensor; the card says the bits and has no score.

        Raises:
            ValueError: neither or both, or out of range; a summary that is compressed;
                or 2 bits take more than the budget: says how many items would fit.
            NonFiniteError: a tensor holds NaN or infinity.

        Example:
            >>> import multidd
            >>> summary = multidd.graph.kmeans(multidd.samples.cora(), per_class=1)
            >>> small = summary.compress(bits=4)
            >>> small.num_bytes < summary.num_bytes / 10, small.packing.bits
            (True, 4)
        """
        if "compressed" in self.card.settings:
            raise ValueError(
                "this summary is compressed already, and its numbers have lost what "
                "they had; compress the one that it was made from"
            )
        remedy = "few bits hold finite numbers alone: find where they come from"
        files.check_finite(f"a {self.kind} summary", self.tensors, remedy)
        before = self.tensor_bytes
        if bits is not None and budget_bytes is None:
            packing = pack(self.tensors, bits, self.codec_of, before)
        elif bits is None and budget_bytes is not None:
            packing = pack_within(
                self.tensors, budget_bytes, self.codec_of, before, self.counts
            )
        else:
            raise ValueError("give exactly one of bits and budget_bytes")
        how = {"bits": packing.bits} | ({"rate": packing.rate} if packing.rate else {})
        settings = {**self.card.settings, "compressed": how}
        card = replace(self.card, settings=settings, protocol=None, score=None)
        return replace(self, tensors=packing.decode(), card=card)

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
            ValueError: tensors were changed in place after `compress`.
            SchemaError: card, types or shapes are not those of such a summary, so that
                the file could not be read again. Values that are not are only named in
                a warning.
            StorageError: the file cannot be written; an older one stays whole.
        """
        path = output_path(path)
        path = path if path.suffix == ".safetensors" else path / FILE
        info = {"card": asdict(self.card)}
        sizes = self.schema.check_header(path, info, forms_of(self.tensors))
        if self.packing and files.digest(self.packing.decode()) != self.digest():
            raise ValueError(
                "tensors of this compressed summary were changed in place, and its "
                "file would hold them as they were; compress the changed ones again"
            )
        files.check_writable(path.parent)
        files.write(path, self.tensors, info, kind=self.kind, packing=self.packing)
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
