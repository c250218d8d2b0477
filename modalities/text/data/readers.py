"""`as_texts`: labelled texts from whatever holds them."""

import os
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from multidd.data.labels import Value, as_labels, check_classes, mapped
from multidd.data.sources import check_no_stream, part_of
from multidd.errors import MultiddWarning
from multidd.text.data.files import open_path
from multidd.text.data.tables import (
    PARTS,
    Found,
    Table,
    Wanted,
    checked,
    listed,
    of_arrow,
    of_hf,
    of_mapping,
    of_pandas,
    of_rows,
)
from multidd.text.data.texts import Texts

FORMS = (
    "a datasets.Dataset, a frame, a list of dicts, a pair (texts, labels), or the path "
    "of a .parquet, .csv, .tsv or .jsonl file or of a folder that save_to_disk wrote"
)


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
            is taken; a pandas or polars frame or an Arrow table; a list of dicts or a
            dict of columns; a pair `(texts, labels)` of lists, arrays or series; the
            path of a .parquet, .csv, .tsv or .jsonl file, or of a folder that
            `save_to_disk` wrote or that holds such files by the names of parts. A list
            of texts may also hold pairs of them.
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
    wanted = Wanted(text, pair, None if labels is not None else label)
    return make(read(data, labels, wanted), values=values)


def make(found: Found, *, values: Sequence[Value] | None = None) -> Texts:
    """`Texts` of what a reader found, checked.

    Example:
        >>> make(Found(["good", "bad"], None, [1, 0]))
        Texts(2 texts, 2 classes)
    """
    texts, pairs = checked(found)
    if hasattr(found.y, "__len__") and len(found.y) != len(texts):
        raise ValueError(
            f"{len(texts)} texts have {len(found.y)} labels; there must be one for "
            "each text"
        )
    known = values if values is not None else found.values
    labels, kept = as_labels(found.y, known, what="text")
    names = dict(zip(found.values or (), found.classes or (), strict=True))
    classes = tuple(str(names.get(value, value)) for value in kept)
    if values is None:
        check_classes(labels, classes, what="text")
    if known is None and isinstance(kept[0], int) and kept != tuple(range(len(kept))):
        warnings.warn(mapped(kept), MultiddWarning, stacklevel=3)
    return Texts(texts, pairs, labels, classes, kept, found.name)


def read(data: Any, labels: Any, wanted: Wanted) -> Found:
    """Texts and labels of any of the forms that `as_texts` takes, unchecked.

    Args:
        data: as of `as_texts`.
        labels: as of `as_texts`.
        wanted: columns.

    Raises:
        TypeError: another form.

    Example:
        >>> read((["a", "b"], [0, 1]), None, Wanted()).y
        [0, 1]
    """
    table = _table(data)
    if table is not None:
        found = table.found(wanted)
        return found if labels is None else replace(found, y=_labels(labels))
    if labels is None:
        data, labels = _parts(data)
    return _of_lists(listed(data, "texts"), _labels(labels))


def _table(data: Any) -> Table | None:
    """What has named columns, opened, or None."""
    if isinstance(data, str | os.PathLike):
        path = pathlib.Path(data)
        return open_path(path)
    check_no_stream(data)
    # By its methods, too: many projects have a module called datasets of their own.
    library = type(data).__module__.split(".")[0]
    if library == "datasets" and hasattr(data, "select_columns"):
        return _of_splits(data) if isinstance(data, Mapping) else of_hf(data)
    if library == "pandas" and hasattr(data, "columns") and hasattr(data, "iloc"):
        return of_pandas(data)
    if hasattr(data, "to_arrow"):  # polars and others
        data = data.to_arrow()
    if hasattr(data, "schema") and hasattr(data, "column"):
        return of_arrow(data)
    if isinstance(data, Mapping):
        splits = any(hasattr(value, "column_names") for value in data.values())
        return _of_splits(data) if splits else of_mapping(data)
    if isinstance(data, list | tuple) and data and isinstance(data[0], Mapping):
        return of_rows(data)
    return None


def _of_splits(data: Mapping[str, Any]) -> Table | None:
    train = part_of(data, PARTS["train"])
    if train is None:
        raise ValueError(
            f"data holds the splits {sorted(data)} and none to train on; pass one of "
            f"them, such as data[{sorted(data)[0]!r}]"
        )
    return _table(train)


def _parts(data: Any) -> tuple[Any, Any]:
    """The two of a pair (texts, labels)."""
    if isinstance(data, list | tuple) and data and isinstance(data[0], str):
        raise TypeError("texts need labels: as_texts(texts, labels)")
    if isinstance(data, list | tuple) and len(data) == 2:
        return data[0], data[1]
    size = f" of {len(data)}" if isinstance(data, list | tuple) else ""
    raise TypeError(f"texts must be {FORMS}; got {type(data).__name__}{size}")


def _labels(labels: Any) -> Any:
    return labels if isinstance(labels, Tensor) else listed(labels, "labels")


def _of_lists(items: list[Any], labels: Any) -> Found:
    if not items or not isinstance(items[0], list | tuple):
        return Found(items, None, labels)
    odd = [i for i, v in enumerate(items) if not _is_pair(v)]
    if odd:
        raise TypeError(
            "texts must all be strings, or all be pairs of strings; row "
            f"{odd[0]} (from 0) holds {items[odd[0]]!r:.60}"
        )
    first, second = zip(*items, strict=True)
    told = ("first texts", "second texts")
    return Found(first, second, labels, told=told)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2


def _relabeled(texts: Texts, values: Sequence[Value] | None) -> Texts:
    if values is None or tuple(values) == texts.values:
        return texts
    given = [texts.values[i] for i in texts.labels.tolist()]
    parts = (texts.texts, texts.pairs, given, texts.classes, texts.values, texts.name)
    return make(Found(*parts), values=values)
