"""`load`: labelled texts by name or path, offline where their files are there."""

import os
import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from multidd import samples
from multidd.data.labels import is_missing
from multidd.data.sources import below_root, from_hub, is_hub_id, part_of
from multidd.errors import MultiddError
from multidd.text.data.files import read_path
from multidd.text.data.readers import make
from multidd.text.data.tables import PARTS, Found, Wanted, of_hf
from multidd.text.data.texts import Texts

__all__ = ["DATASETS", "Splits", "given", "load"]

HELD_OUT = 0.2  # tested on, where a set has no part for it
SAMPLE = "sample:sms"


@dataclass(frozen=True, eq=False)
class Splits:
    """Training, test and validation texts; the classes are the same.

    It unpacks as `train, test = splits`.

    Attributes:
        train: to distill.
        test: to judge on.
        val: to choose settings on, or None.
    """

    train: Texts
    test: Texts
    val: Texts | None = None

    def __iter__(self) -> Iterator[Texts]:
        return iter((self.train, self.test))


@dataclass(frozen=True)
class Source:
    """A benchmark of texts: its folder below a data root, and its classes.

    Attributes:
        folder: with `train.parquet`, `test.parquet` and perhaps `dev.parquet`.
        classes: names, in the order of the labels.
    """

    folder: str
    classes: tuple[str, ...]


DATASETS = {
    "sms": Source("sms_spam", ("ham", "spam")),
    "trec6": Source("trec6", ("ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM")),
    "sst2": Source("sst2", ("negative", "positive")),
}
"""Benchmarks by name. Only the first may be passed on, so it alone ships."""


def load(
    name: str | os.PathLike[str],
    seed: int = 0,
    *,
    text: str = "text",
    pair: str | None = None,
    label: str = "label",
) -> Splits:
    """Labelled texts, split into training and test texts.

    `"sms"` are 5,165 messages, 13 % of them spam; `"trec6"` questions by what they ask
    for, `"sst2"` sentences of film reviews by sentiment. These are looked for below
    `MULTIDD_DATA/text`; the first ships with the library as `"sample:sms"`. Where there
    is no test part with labels, the validation part is tested on; without either, a
    seeded fifth of each class.

    Args:
        name: one of these; the path of a file or folder that `as_texts` reads; or a
            hub id, owner/name.
        seed: of the split, where there is no other part.
        text, pair, label: columns, for a path or a hub id; as of `as_texts`.

    Returns:
        The `Splits`: `train, test = load(...)`, and `.val` or None.

    Raises:
        ValueError: unknown name, or files that cannot be read.
        MultiddError: the files are not there, or cannot be downloaded.

    Reference:
        Almeida, Gomez Hidalgo, Yamakami, "Contributions to the Study of SMS Spam
        Filtering", DocEng 2011; Li, Roth, "Learning Question Classifiers", COLING
        2002; Socher et al., "Recursive Deep Models for Semantic Compositionality Over
        a Sentiment Treebank", EMNLP 2013.

    Example:
        >>> load("sample:sms").train.counts.tolist()
        [3643, 522]
    """
    wanted, named, path = Wanted(text, pair, label), os.fspath(name), pathlib.Path(name)
    if named == SAMPLE:
        return _splits(_in_files(samples.SMS, Wanted()), seed, "sms")
    if named in DATASETS:
        return _splits(_in_files(_find(named), Wanted()), seed, named)
    if named and path.exists():
        return _splits(_in_files(path, wanted), seed)
    if isinstance(name, str) and is_hub_id(name):
        return _splits(_on_hub(name, wanted), seed)
    raise ValueError(
        f"data must be one of {', '.join(DATASETS)}, {SAMPLE}, a file or folder that "
        f"exists, or a hub id (owner/name); got {named!r}"
    )


def given(
    name: str | os.PathLike[str],
    *,
    seed: int = 0,
    text: str = "text",
    pair: str | None = None,
    label: str = "label",
) -> tuple[Texts, dict[str, Any]]:
    """Texts by name or path, for methods and for `multidd.evaluate`.

    Args:
        name: what `load` takes.
        seed: of the split, for sets without a test part.
        text, pair, label: columns, for a path or a hub id.

    Returns:
        The training texts, and the keywords with which `evaluate` judges a summary.

    Example:
        >>> train, exam = given("sample:sms")
        >>> len(exam["on"]), exam["train"] is train
        (1000, True)
    """
    train, test = load(name, seed, text=text, pair=pair, label=label)
    return train, {"on": test, "train": train}


Parts = dict[str, Found | None]


def _in_files(path: pathlib.Path, wanted: Wanted) -> Parts:
    return {part: read_path(path, wanted, part) for part in PARTS}


def _on_hub(hub: str, wanted: Wanted) -> Parts:
    instead = f"pass texts and labels, or use {SAMPLE!r}, which ships with the library"
    data = from_hub(hub, hub, instead=instead)
    name = hub.split("/")[1]
    parts: Parts = {}
    for part, names in PARTS.items():
        chosen = part_of(data, names)
        table = None if chosen is None else of_hf(chosen, f"{part} of {hub}")
        parts[part] = None if table is None else replace(table.found(wanted), name=name)
    if parts["train"] is None:
        raise ValueError(f"{hub} has no training split; it has {sorted(data)}")
    return parts


def _find(name: str) -> pathlib.Path:
    folder = DATASETS[name].folder
    found = below_root([f"text/{folder}", folder])
    if found is not None:
        return found
    if name == "sms":
        return samples.SMS
    root = os.environ.get("MULTIDD_DATA")
    told = f"MULTIDD_DATA is {root!r}" if root else "MULTIDD_DATA is not set"
    raise MultiddError(
        f"{name} is not here: {told}; set it to a folder that holds text/{folder} with "
        f"train.parquet and test.parquet, or use {SAMPLE!r}, which ships with the "
        "library"
    )


def _splits(parts: Parts, seed: int, name: str = "") -> Splits:
    """The parts as `Texts`; labels mean in all of them what they mean in training."""
    if name:
        classes = DATASETS[name].classes
        values = tuple(range(len(classes)))
        parts = {
            part: found and replace(found, name=name, classes=classes, values=values)
            for part, found in parts.items()
        }
    if parts["train"] is None:
        raise ValueError("there are no texts to train on")
    train = make(parts["train"])
    for part in ("val", "test"):
        _check_names(parts["train"], parts[part], part)
    val, test = (_labelled(parts[part], train) for part in ("val", "test"))
    if test is not None:
        return Splits(train, test, val)
    return Splits(*train.split(HELD_OUT, seed)) if val is None else Splits(train, val)


def _labelled(found: Found | None, train: Texts) -> Texts | None:
    """A part as `Texts`, or None where it has no labels, as test parts of contests."""
    if found is None or (_unknown(found.y) and -1 not in train.values):
        return None
    return make(found, values=train.values)


def _unknown(y: Sequence[Any] | Tensor) -> bool:
    return all(is_missing(value) or value == -1 for value in y)


def _check_names(train: Found, other: Found | None, part: str) -> None:
    if other is not None and other.classes != train.classes:
        raise ValueError(
            f"the classes of the {part} part are {other.classes}, those of the "
            f"training part {train.classes}; bring them to one order with cast_column"
        )
