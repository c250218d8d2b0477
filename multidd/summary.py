"""`DataSummary`: a distilled set with its card, saved and loaded."""

import pathlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self

from torch import Tensor

from multidd import modality
from multidd.arguments import public_function
from multidd.errors import CorruptFileError, WrongKindError
from multidd.settings import current_parameters
from multidd.storage import files
from multidd.storage.atomic import user_path

FILE = "summary.safetensors"


@dataclass(frozen=True)
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


@dataclass(frozen=True, eq=False, repr=False)
class DataSummary:
    """A distilled set: its tensors and the card that describes how it was made.

    Attributes:
        tensors: named tensors, on the CPU.
        card: how it was made.
    """

    kind: ClassVar[str] = "data"

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
            StorageError: the file cannot be written; an older one stays whole.
        """
        path = user_path(path)
        path = path if path.suffix == ".safetensors" else path / FILE
        files.check_writable(path.parent)
        files.write(path, self.tensors, {"card": asdict(self.card)}, kind=self.kind)
        return path

    @classmethod
    def load(cls, path: str | pathlib.Path, *, allow_nonfinite: bool = False) -> Self:
        """Read a summary of this modality; see `multidd.load`."""
        summary = load(path, allow_nonfinite=allow_nonfinite)
        if not isinstance(summary, cls):
            raise WrongKindError(
                f"{path} holds a {summary.kind} summary, a {cls.kind} one was asked "
                f"for; use multidd.load(path)"
            )
        return summary


@public_function
def load(path: str | pathlib.Path, *, allow_nonfinite: bool = False) -> "DataSummary":
    """Read a summary of any modality; the file says which.

    Args:
        path: a file, or a folder that holds `summary.safetensors`.
        allow_nonfinite: take a file that holds NaN or infinity.

    Returns:
        The modality's summary, such as a `multidd.graph.GraphSummary`.

    Raises:
        FileNotFoundError: there is no such file.
        CorruptFileError: the file is damaged or not ours.
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
    kind, _, _ = files.peek(path)
    cls = _class_of(kind, path)
    tensors, info = files.read(path, kind=kind, allow_nonfinite=allow_nonfinite)
    try:
        fields = dict(info["card"])
        fields["settings"] = current_parameters(fields["method"], fields["settings"])
        fields["history"] = tuple(fields.get("history", ()))
        return cls(tensors, Card(**fields))
    except (KeyError, TypeError) as error:
        raise CorruptFileError(f"{path} has an incomplete card: {error}") from None


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
