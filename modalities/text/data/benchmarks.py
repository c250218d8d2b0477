"""Benchmark texts by name, offline where their files are there."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from multidd.arguments import public_function
from multidd.data.benchmarks import Loader, Parts, Sample, Source, Splits, divided
from multidd.data.labels import is_missing
from multidd.data.table_source import of_hf
from multidd.errors import warn_caller
from multidd.text.data.files import read_path
from multidd.text.data.readers import make
from multidd.text.data.tables import PARTS, RawTexts, TextColumns, read_columns
from multidd.text.data.texts import Texts

__all__ = ["DATASETS", "Splits", "load", "load_for_evaluation"]

SAMPLE = Sample("sample:sms", "sms", "sms_spam")


def _source(folder: str, *classes: str, bundled_file: str = "") -> Source:
    paths = (f"text/{folder}", folder)
    return Source(paths, classes=classes, bundled_file=bundled_file)


DATASETS = {
    "sms": _source("sms_spam", "ham", "spam", bundled_file=SAMPLE.file),
    "trec6": _source("trec6", "ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"),
    "sst2": _source("sst2", "negative", "positive"),
}
"""Benchmarks by name. Only the first may be passed on, so it alone ships."""


@public_function
def load(
    name: str | os.PathLike[str],
    seed: int = 0,
    *,
    text: str = "text",
    pair: str | None = None,
    label: str = "label",
) -> Splits[Texts]:
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
    columns = TextColumns(text, pair, label)
    if os.fspath(name) in (SAMPLE.name, *DATASETS):
        columns = TextColumns()  # their own
    return _splits(_loader(columns).load(name), seed)


@public_function
def load_for_evaluation(
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
        >>> train, exam = load_for_evaluation("sample:sms")
        >>> len(exam["on"]), exam["train"] is train
        (1000, True)
    """
    train, test = load(name, seed, text=text, pair=pair, label=label)
    return train, {"on": test, "train": train}


def _loader(columns: TextColumns) -> Loader[RawTexts]:
    return Loader(
        DATASETS,
        SAMPLE,
        PARTS,
        read_path=lambda path, part: read_path(path, columns, part),
        read_split=lambda data, label: read_columns(
            of_hf(data, label),
            columns,
            labels_optional=not label.startswith("train"),
        ),
        instead=(
            f"pass texts and labels, or use {SAMPLE.name!r}, which ships with the "
            "library"
        ),
        holds=" with train.parquet and test.parquet",
    )


def _splits(parts: Parts[RawTexts], seed: int) -> Splits[Texts]:
    """The parts as `Texts`; labels mean in all of them what they mean in training."""
    named = partial(_named, name=parts.name, source=parts.source)
    raw = named(parts.train)
    train = make(raw)
    others = [parts.val and named(parts.val), parts.test and named(parts.test)]
    val, test = (
        _labelled(other, train, raw.classes, part)
        for part, other in zip(("validation", "test"), others, strict=True)
    )
    return divided(train, test, val, seed=seed)


def _named(raw: RawTexts, name: str, source: Source | None) -> RawTexts:
    """With the name and the classes of the benchmark; a path keeps its own."""
    if source is None or source.classes is None:
        return replace(raw, name=name or raw.name)
    values = tuple(range(len(source.classes)))
    return replace(raw, name=name, classes=source.classes, values=values)


def _labelled(
    raw: RawTexts | None, train: Texts, classes: tuple[str, ...] | None, part: str
) -> Texts | None:
    """A part as `Texts`, or None where it has no labels, as test parts of contests."""
    if raw is None:
        return None
    if _no_labels(raw.y) and -1 not in train.values:
        warn_caller(
            f"the {part} part is left out: none of its {len(raw.texts):,} texts has a "
            "label"
        )
        return None
    if raw.classes != classes:
        raise ValueError(
            f"the classes of the {part} part are {raw.classes}, those of the "
            f"training part {classes}; bring them to one order with cast_column"
        )
    return make(raw, values=train.values)


def _no_labels(y: Sequence[Any] | Tensor) -> bool:
    return all(is_missing(value) or value == -1 for value in y)
