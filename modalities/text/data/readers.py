"""Read labelled texts from tables, pairs of lists, files and folders."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from multidd.arguments import public_function
from multidd.data.labels import Value, class_labels, mapped
from multidd.data.sources import check_no_stream, part_of
from multidd.data.table_source import TableSource, as_list, of_mapping, open_table
from multidd.errors import warn_caller
from multidd.text.data.files import open_path
from multidd.text.data.tables import (
    PARTS,
    RawTexts,
    TextColumns,
    check_texts,
    read_columns,
)
from multidd.text.data.texts import Texts

FORMS = (
    "a datasets.Dataset, a frame, a list of dicts, a pair (texts, labels), or the path "
    "of a .parquet, .csv, .tsv or .jsonl file or of a folder that save_to_disk wrote"
)


@public_function
def as_texts(
    data: Any,
    labels: Any = None,
    *,
    text: str = "text",
    pair: str | None = None,
    label: str = "label",
    values: Sequence[Value] | None = None,
) -> Texts:
    """Check labelled texts of any kind and bring them into the form of `Texts`.

    Labels become 0..c-1: class labels of `datasets` keep their order and names, others
    go in sorted order, and numbers that were not 0..c-1 are said.

    Args:
        data: `Texts`; a `datasets.Dataset`, or a `DatasetDict`, of which the train part
            is taken; a pandas or polars frame; an Arrow table, dataset or reader, or
            anything with `__arrow_c_stream__`; a list of dicts or a dict of columns; a
            pair `(texts, labels)` of lists, arrays or series; the path of a .parquet,
            .csv, .tsv or .jsonl file, or of a folder that `save_to_disk` wrote or that
            holds such files by the names of parts. A list of texts may also hold pairs
            of them.
        labels: of the texts, where `data` holds none: `[n]` whole numbers, booleans or
            strings.
        text: column of the texts.
        pair: column of the second texts (the hypotheses), if any.
        label: column of the labels.
        values: of the classes, as another set has them (`train.values` for a test
            set); a class may then be without texts.

    Returns:
        The `Texts`; `data` is not changed.

    Raises:
        TypeError: none of these kinds, a stream, or texts that are no strings.
        ValueError: a column that is not there; empty or missing texts or labels, one
            class only, an unknown label, lengths that differ; says where.
        FileNotFoundError: a path of nothing.
        CorruptFileError: a damaged file.

    Example:
        >>> as_texts(["so good", "so bad", "fine"], ["yes", "no", "yes"]).classes
        ('no', 'yes')
    """
    if isinstance(data, Texts):
        if labels is not None:
            raise TypeError("Texts have labels; pass data.texts with other labels")
        return _relabeled(data, values)
    columns = TextColumns(text, pair, None if labels is not None else label)
    return make(read(data, labels, columns), values=values)


def make(raw: RawTexts, *, values: Sequence[Value] | None = None) -> Texts:
    """`Texts` of what was read, validated.

    Example:
        >>> make(RawTexts(["good", "bad"], None, [1, 0]))
        Texts(2 texts, 2 classes)
    """
    texts, pairs = check_texts(raw)
    if hasattr(raw.y, "__len__") and len(raw.y) != len(texts):
        raise ValueError(
            f"{len(texts)} texts have {len(raw.y)} labels; there must be one for "
            "each text"
        )
    labels, classes, label_values = class_labels(raw, len(texts), values, noun="text")
    is_new = values is None and raw.values is None
    is_number = isinstance(label_values[0], int)
    if is_new and is_number and label_values != tuple(range(len(label_values))):
        warn_caller(mapped(label_values))
    return Texts(texts, pairs, labels, classes, label_values, raw.name)


def read(data: Any, labels: Any, columns: TextColumns) -> RawTexts:
    """Texts and labels of any of the forms that `as_texts` takes, unchecked.

    Args:
        data: as of `as_texts`.
        labels: as of `as_texts`.
        columns: which hold texts and labels, in a table.

    Raises:
        TypeError: another form.

    Example:
        >>> read((["a", "b"], [0, 1]), None, TextColumns()).y
        [0, 1]
    """
    table = _table(data)
    if table is not None:
        raw = read_columns(table, columns)
        return raw if labels is None else replace(raw, y=_labels(labels))
    if labels is None:
        data, labels = _pair_of(data)
    return _of_lists(as_list(data, "texts"), _labels(labels))


def _table(data: Any) -> TableSource | None:
    """What has named columns, opened, or None."""
    if isinstance(data, str | os.PathLike):
        return open_path(pathlib.Path(data))
    check_no_stream(data)
    if not isinstance(data, Mapping):
        return open_table(data)
    splits = any(hasattr(value, "column_names") for value in data.values())
    return _of_splits(data) if splits else of_mapping(data)


def _of_splits(data: Mapping[str, Any]) -> TableSource | None:
    train = part_of(data, PARTS["train"])
    if train is None:
        raise ValueError(
            f"data holds the splits {sorted(data)} and none to train on; pass one of "
            f"them, such as data[{sorted(data)[0]!r}]"
        )
    return _table(train)


def _pair_of(data: Any) -> tuple[Any, Any]:
    """The two of a pair (texts, labels)."""
    if isinstance(data, list | tuple) and data and isinstance(data[0], str):
        raise TypeError("texts need labels: as_texts(texts, labels)")
    if isinstance(data, list | tuple) and len(data) == 2:
        return data[0], data[1]
    size = f" of {len(data)}" if isinstance(data, list | tuple) else ""
    raise TypeError(f"texts must be {FORMS}; got {type(data).__name__}{size}")


def _labels(labels: Any) -> Any:
    return labels if isinstance(labels, Tensor) else as_list(labels, "labels")


def _of_lists(items: list[Any], labels: Any) -> RawTexts:
    if not items or not isinstance(items[0], list | tuple):
        return RawTexts(items, None, labels)
    odd = [i for i, v in enumerate(items) if not _is_pair(v)]
    if odd:
        raise TypeError(
            "texts must all be strings, or all be pairs of strings; row "
            f"{odd[0]} (from 0) holds {items[odd[0]]!r:.60}"
        )
    first, second = zip(*items, strict=True)
    names = ("first texts", "second texts")
    return RawTexts(first, second, labels, source_names=names)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2


def _relabeled(texts: Texts, values: Sequence[Value] | None) -> Texts:
    if values is None or tuple(values) == texts.values:
        return texts
    y = [texts.values[i] for i in texts.labels.tolist()]
    parts = (texts.texts, texts.pairs, y, texts.classes, texts.values, texts.name)
    return make(RawTexts(*parts), values=values)
