"""A run's folder: the summary, its report and picture, and how to evaluate it."""

import json
import pathlib
import re
import shlex
import tempfile
import warnings
from dataclasses import asdict, dataclass, replace
from typing import Any

from multidd.cli.completion import RUN_CONFIG
from multidd.errors import (
    MultiddError,
    MultiddWarning,
    SchemaError,
    StorageError,
    first_line,
)
from multidd.evaluation.document import document_of, write_forms
from multidd.evaluation.report import Report
from multidd.storage.atomic import user_path
from multidd.storage.fields import FreeJSON, Number, Record, Text
from multidd.storage.files import write_text
from multidd.storage.limits import load_json
from multidd.storage.lock import FolderLock
from multidd.summary import FILE, Card, DataSummary, load

__all__ = ["RunFolder"]

_NOTE = "run.json"
_REPORTS = ("report.html", "report.md", "report.json")
_FILES = (FILE, _NOTE, RUN_CONFIG, "summary.txt", "summary.png", *_REPORTS)

NOTE = Record(
    {"data": Text(), "seed": Number(low=-(2**63), high=2**64, whole=True)},
    others=FreeJSON(max_depth=8, max_items=10_000),
)
"""What `multidd distill` notes of where the data came from; modalities add to it."""


@dataclass(frozen=True)
class RunFolder:
    """A folder made by the command line.

    Attributes:
        path: the folder.

    Example:
        >>> RunFolder(pathlib.Path("runs/cora")).picture.name
        'summary.png'
    """

    path: pathlib.Path

    @property
    def summary_path(self) -> pathlib.Path:
        """Path of the summary."""
        return self.path / FILE

    @property
    def config(self) -> pathlib.Path:
        """Path of the settings, which `multidd distill --config` takes."""
        return self.path / RUN_CONFIG

    @property
    def picture(self) -> pathlib.Path:
        """Path of the picture."""
        return self.path / "summary.png"

    @property
    def report(self) -> pathlib.Path:
        """Path of the report as Markdown."""
        return self.path / "report.md"

    @property
    def page(self) -> pathlib.Path:
        """Path of the report as a page."""
        return self.path / "report.html"

    @property
    def document(self) -> pathlib.Path:
        """Path of the report as JSON."""
        return self.path / "report.json"

    @property
    def log(self) -> pathlib.Path:
        """Path of the log of progress, one event a line."""
        return self.path / "log.jsonl"

    @property
    def listing(self) -> pathlib.Path:
        """Path of the records as text, for those that people can read."""
        return self.path / "summary.txt"

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", user_path(self.path))

    def lock(self) -> FolderLock:
        """Held from before the first step until all is written; proves that it can be.

        Raises:
            StorageError: on entering: the folder cannot be written to.
            LockedError: on entering: another command writes there.
        """
        return FolderLock(self.path, [re.escape(name) for name in _FILES])

    def write(self, summary: DataSummary, source: dict[str, Any]) -> None:
        """Write the summary and where its data came from.

        Raises:
            StorageError: they cannot be written; says where the summary lies instead.
        """
        try:
            summary.save(self.path / FILE)
        except StorageError as error:
            raise StorageError(f"{error}{_saved_elsewhere(summary)}") from error
        write_text(self.path / _NOTE, json.dumps(source, indent=2) + "\n")
        document = document_of(summary, commands=self.commands())
        self._write_forms(document, summary, describe(summary))
        self.listing.unlink(missing_ok=True)  # of an earlier run
        if summary.listing():
            write_text(self.listing, summary.listing() + "\n")

    def commands(self) -> tuple[str, ...]:
        """The command that makes the summary again."""
        return (f"multidd distill --config {shlex.quote(str(self.config))}",)

    def draw(self, summary: DataSummary, data: Any = None) -> bool:
        """Write the picture, beside real data if any; False where there is none.

        The summary is saved by then: what keeps it from being drawn is a warning.
        """
        try:
            summary.plot(self.picture, data=data)
        except NotImplementedError:
            return False
        except Exception as error:  # of a library that draws; nothing is lost
            warnings.warn(
                f"the summary is saved, but its picture could not be drawn: "
                f"{type(error).__name__}: {first_line(error)}",
                MultiddWarning,
                stacklevel=2,
            )
            return False
        return True

    def check_same(self, summary: DataSummary, source: dict[str, Any]) -> None:
        """Refuse a folder that another command wrote anew since these were read.

        Raises:
            MultiddError: it holds another summary, or another note.
        """
        if self.source() != source or self.summary().digest() != summary.digest():
            raise MultiddError(
                f"{self.path} was written anew while it was read; repeat the command"
            )

    def summary(self) -> DataSummary:
        """The summary."""
        return load(self.path)

    def source(self) -> dict[str, Any]:
        """Where the data came from.

        Raises:
            FileNotFoundError: the folder was not made by the command line.
            CorruptFileError: the note is damaged, or no note.
        """
        path = self.path / _NOTE
        try:
            note: dict[str, Any] = load_json(path)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{path} is not there, so the data is not known; make the folder with "
                "`multidd distill`, or use multidd.evaluate(multidd.load(...), data)"
            ) from None
        if fault := NOTE.fault(note, "note"):
            raise SchemaError(
                f"{path} is not a note of `multidd distill`: {fault}; distill again "
                "into another folder"
            )
        return note

    def write_report(
        self,
        summary: DataSummary,
        report: Report,
        facts: str = "",
        curve: dict[str, Any] | None = None,
    ) -> DataSummary:
        """Write the reports, and scores into the summary's card.

        Args:
            summary: that the folder holds.
            report: its scores.
            facts: of the summary beside real data, as Markdown.
            curve: scores against budgets, as plain values.
        """
        score = {
            row.model: {
                "metric": report.metric,
                "values": list(row.values[report.metric]),
                "seeds": list(range(len(row.values[report.metric]))),
            }
            for row in report.rows
            if row.name == report.method
        }
        card = replace(summary.card, protocol=report.protocol, score=score)
        scored = replace(summary, card=card)
        scored.save(self.path / FILE)
        document = replace(report, summary=scored).to_document()
        document |= {"facts": facts, "curve": curve}
        text = f"{describe(scored)}\n## Scores\n\n{report.to_markdown()}{facts}"
        self._write_forms(document, scored, text)
        return scored

    def _write_forms(
        self, document: dict[str, Any], summary: DataSummary, text: str
    ) -> None:
        """Write the reports; a first look that cannot be drawn is left out."""
        try:
            write_forms(self.path, document, summary, text)
        except (StorageError, OSError):
            raise
        except Exception as error:  # of a library that draws; nothing is lost
            warnings.warn(
                f"the summary is saved, but its page has no first look at it: "
                f"{type(error).__name__}: {first_line(error)}",
                MultiddWarning,
                stacklevel=2,
            )
            write_forms(self.path, document, None, text)


def _saved_elsewhere(summary: DataSummary) -> str:
    """Save a result that its folder does not take to a temporary one; says where."""
    try:
        folder = tempfile.mkdtemp(prefix="multidd-")
        path = summary.save(folder)
    except OSError:
        return ""
    return f". The finished summary lies at {path}: copy it before it is cleared"


def recorded_scores(card: Card) -> dict[str, dict[str, Any]]:
    """Metric, values and seeds of each model, as `write_report` notes them."""
    scores = card.score or {}
    return {model: one for model, one in scores.items() if isinstance(one, dict)}


def describe(summary: DataSummary) -> str:
    """A summary's card as Markdown."""
    card = asdict(summary.card)
    rows = {
        "method": card["method"],
        "seed": card["seed"],
        "steps": card["steps"],
        "seconds": card["seconds"],
        "bytes": summary.num_bytes,
        "labels": card["labels"],
    }
    rows |= {f"setting: {k}": _short(v) for k, v in card["settings"].items()}
    rows |= {f"source: {k}": _short(v) for k, v in card["source"].items()}
    rows |= {f"version: {k}": v for k, v in card["versions"].items()}
    lines = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"# {summary!r}\n\n| | |\n|---|---|\n{lines}\n"


def _short(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
