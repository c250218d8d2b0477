"""Labelled data by name: benchmarks, samples, paths and ids of the hub."""

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

from multidd.data.sources import (
    below_root,
    bundled,
    from_hub,
    is_hub_id,
    not_here,
    part_of,
)
from multidd.storage.atomic import user_path

HELD_OUT = 0.2  # tested on, where a set has no part for it

Raw = TypeVar("Raw")


class Divisible(Protocol):
    """Data of which a part can be held out."""

    def split(self, share_or_count: float | int, seed: int = 0) -> tuple[Self, Self]:
        """The rest and the part held out."""


Data = TypeVar("Data", bound=Divisible)


class Splits(tuple[Data, Data], Generic[Data]):
    """Training, test and perhaps validation data; the classes are the same.

    It is the pair of the first two: `train, test = splits`.

    Attributes:
        train: to distill.
        test: to judge on.
        val: to choose settings on, or None.

    Example:
        >>> Splits("some texts", "others").test
        'others'
    """

    val: Data | None

    def __new__(cls, train: Data, test: Data, val: Data | None = None) -> Self:
        splits = super().__new__(cls, (train, test))
        splits.val = val
        return splits

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (*self, self.val)

    @property
    def train(self) -> Data:
        """The first."""
        return self[0]

    @property
    def test(self) -> Data:
        """The second."""
        return self[1]

    def __repr__(self) -> str:
        val = "" if self.val is None else f", val={self.val!r}"
        return f"Splits(train={self.train!r}, test={self.test!r}{val})"


def divided(
    train: Data, test: Data | None, val: Data | None = None, *, seed: int
) -> Splits[Data]:
    """Splits of the parts there are; without a part to test on it is held out.

    Args:
        train: to distill.
        test: to judge on; None: `val` is, or else a seeded fifth of each class.
        val: to choose settings on, or None.
        seed: of the draw.
    """
    if test is not None:
        return Splits(train, test, val)
    if val is not None:
        return Splits(train, val)
    return Splits(*train.split(HELD_OUT, seed))


@dataclass(frozen=True)
class Source:
    """A benchmark: where its files lie, below a data root or on the hub.

    Attributes:
        paths: its file or folder below a data root, the first that exists.
        hub: its id among HF datasets, or empty.
        classes: names in the order of the labels, or None where the files have them.
        bundled_file: all of it, where it ships with the library.
    """

    paths: tuple[str, ...]
    hub: str = ""
    classes: tuple[str, ...] | None = None
    bundled_file: str = ""

    def place(self) -> pathlib.Path | None:
        """Where its files are, or None."""
        below = below_root(self.paths)
        if below is None and self.bundled_file:
            return bundled(self.bundled_file)
        return below


@dataclass(frozen=True)
class Sample:
    """Part of a benchmark, or all of it, that ships with the library.

    Attributes:
        name: what `load` takes, such as `"sample:sms"`.
        benchmark: that it is of.
        file: see `multidd.data.sources.bundled`.
    """

    name: str
    benchmark: str
    file: str


@dataclass(frozen=True)
class Parts(Generic[Raw]):
    """Parts of a dataset as read, not validated yet.

    Attributes:
        train, test, val: None where there is none.
        name: of the benchmark or of the dataset on the hub; empty for a path.
        source: the benchmark, or None for a path or an id of the hub.
    """

    train: Raw
    test: Raw | None
    val: Raw | None
    name: str = ""
    source: Source | None = None


@dataclass(frozen=True, eq=False)
class Loader(Generic[Raw]):
    """Reads labelled data of one modality by name.

    Attributes:
        sources: benchmarks by name.
        sample: what ships with the library.
        parts: part -> what splits call it; `"train"` and `"test"`, perhaps `"val"`.
        read_path: one part of a file or folder, or None where it lacks that part.
        read_split: a `datasets.Dataset`, and what errors call it.
        holds: what a folder of a benchmark should hold, for messages.
        instead: what else the caller may do without a network, for messages.
    """

    sources: Mapping[str, Source]
    sample: Sample
    parts: Mapping[str, Sequence[str]]
    read_path: Callable[[pathlib.Path, str], Raw | None]
    read_split: Callable[[Any, str], Raw]
    instead: str
    holds: str = ""

    def load(self, name: str | os.PathLike[str]) -> Parts[Raw]:
        """The parts of a benchmark, a sample, a path or an id of the hub.

        Raises:
            ValueError: unknown name, or nothing to train on.
            MultiddError: the files are not there, or cannot be downloaded.
        """
        text, path = os.fspath(name), user_path(name)
        if text == self.sample.name:
            source = self.sources[self.sample.benchmark]
            file = bundled(self.sample.file)
            return self._in_files(file, self.sample.benchmark, source)
        if text in self.sources:
            source = self.sources[text]
            place = source.place()
            if place is not None:
                return self._in_files(place, text, source)
            if source.hub:
                return self._on_hub(source.hub, text, source)
            holds = f"{source.paths[0]}{self.holds}"
            raise not_here(text, holds, self.sample.name)
        if text and path.exists():
            return self._in_files(path, "", None)
        if isinstance(name, str) and is_hub_id(name):
            return self._on_hub(name, name.split("/")[1], None)
        raise ValueError(
            f"data must be one of {', '.join(self.sources)}, {self.sample.name}, a "
            "file or folder that exists, or a hub id (owner/name); got "
            f"{text!r}"
        )

    def _in_files(
        self, path: pathlib.Path, name: str, source: Source | None
    ) -> Parts[Raw]:
        raw = {part: self.read_path(path, part) for part in self.parts}
        if raw["train"] is None:
            raise ValueError(f"{path} holds nothing to train on")
        return Parts(raw["train"], raw.get("test"), raw.get("val"), name, source)

    def _on_hub(self, hub: str, name: str, source: Source | None) -> Parts[Raw]:
        asked = hub if source is None else name
        data = from_hub(asked, hub, instead=self.instead)
        raw: dict[str, Raw | None] = {}
        for part, names in self.parts.items():
            split = part_of(data, names)
            is_there = split is not None
            raw[part] = self.read_split(split, f"{part} of {hub}") if is_there else None
        if raw["train"] is None:
            raise ValueError(f"{hub} has no training split; it has {sorted(data)}")
        return Parts(raw["train"], raw.get("test"), raw.get("val"), name, source)
