"""Sketches of labelled texts that are more than fit into memory."""

import pathlib
import time
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import Any

from multidd.arguments import public_function
from multidd.errors import require
from multidd.sketches.hashing import seed_key
from multidd.sketches.labelled import LabelledSketch, check_per_class, facts_of
from multidd.sketches.merging import sketched
from multidd.sketches.shards import shards_of
from multidd.storage.atomic import replacing
from multidd.text.data.readers import make
from multidd.text.data.shard_reader import SUFFIXES, Request, of_record, read_shards
from multidd.text.data.tables import PARTS, RawTexts, TextColumns, numbers
from multidd.text.data.texts import Texts

__all__ = ["sketch", "write_texts"]


@public_function
def sketch(
    data: Any,
    per_class: int = 5_000,
    seed: int = 0,
    *,
    text: str = "text",
    pair: str | None = None,
    label: str = "label",
    executor: Executor | None = None,
    name: str = "",
) -> Texts:
    """A uniform sample of the texts of each class, from data of any size.

    Of each class the texts with the smallest hashes (of the text and the seed alone)
    are kept: one pass, memory that does not grow with the data, and the same texts for
    any cut of the rows into files, any order of these and any executor. A text that
    stands several times in a class is kept once; counts count it every time.

    Args:
        data: .parquet, .csv, .tsv or .jsonl files, folders of them (of one that holds
            parts the training part is read), a folder that `save_to_disk` wrote, a
            `datasets.Dataset` or `IterableDataset`, a frame or an Arrow table; or a
            list of these.
        per_class: texts of each class that are kept at most.
        seed: of the hashes: another one keeps other texts.
        text, pair, label: columns, as of `as_texts`.
        executor: reads and merges shards in parallel; any `concurrent.futures.Executor`
            will do. None: this process.
        name: what reports call the texts.

    Returns:
        The texts, class by class. `texts.sketch` says what was seen: `records` in all
        data, `counts` of each class, `kept`, `repeated` (how many of these stand there
        several times), `shards`, `seconds`.

    Raises:
        ValueError: a shard without the columns, empty texts, missing labels, classes
            that differ by shard, or one class only. Says which shard and row.
        TypeError: texts that are no strings.
        FileNotFoundError: no such file.
        CorruptFileError: a damaged file; says which row group.
        MultiddError: a worker of the executor was killed.

    Example:
        >>> import pandas
        >>> rows = {"text": list("abcabd"), "label": [0, 0, 0, 0, 1, 1]}
        >>> some = sketch(pandas.DataFrame(rows), per_class=2)
        >>> some.counts.tolist(), some.sketch["counts"]
        ([2, 2], [4, 2])
    """
    check_per_class(per_class)
    started = time.perf_counter()
    shards = shards_of(data, SUFFIXES, PARTS)
    columns = TextColumns(text, pair, label)
    request = Request(per_class, seed_key(seed), columns)
    state = sketched(partial(read_shards, request=request), shards, executor)
    if not state.records.counts:
        raise ValueError(
            f"there are no texts: {state.source} has no rows; read another"
        )
    sample = list(state.records.records())
    final = _final_labels(state)
    rows = [of_record(record.record, pair is not None) for record in sample]
    classes = state.classes
    raw = RawTexts(
        [first for first, _ in rows],
        None if pair is None else [second for _, second in rows],
        [final[record.label] for record in sample],
        classes,
        None if classes is None else tuple(range(len(classes))),
        name,
    )
    result = make(raw)
    seen = {final[key]: count for key, count in state.records.counts.items()}
    counts = [seen[value] for value in result.values]
    facts = facts_of(state, sample, counts, seed=seed, started=started)
    return replace(result, sketch=facts)


def _final_labels(state: LabelledSketch) -> dict[Any, Any]:
    """Label as it was read -> label: cells of text files are numbers where all are."""
    labels = list(state.records.counts)
    return dict(zip(labels, numbers(labels) if state.is_cells else labels, strict=True))


def write_texts(texts: Texts, path: pathlib.Path) -> None:
    """Write texts as one parquet file, which `as_texts` and `load` read again.

    Its columns are text, label and, of pairs, pair; numbers that have names are written
    with these. The file is written aside and renamed.

    Args:
        texts: not changed.
        path: of the file; its folder must be there.

    Raises:
        ValueError: another suffix than .parquet.
        StorageError: it cannot be written.

    Example:
        >>> import torch
        >>> y = torch.tensor([1, 0])
        >>> some = Texts(("good", "bad"), None, y, ("no", "yes"), (0, 1))
        >>> write_texts(some, pathlib.Path("two.parquet"))
        >>> from multidd.text.data.readers import as_texts
        >>> as_texts("two.parquet").classes
        ('no', 'yes')
    """
    datasets = require("datasets")
    if path.suffix.lower() != ".parquet":
        raise ValueError(f"texts are written as a .parquet file; got {path}")
    values = [texts.values[place] for place in texts.labels.tolist()]
    columns: dict[str, Any] = {"text": list(texts.texts), "label": values}
    columns |= {} if texts.pairs is None else {"pair": list(texts.pairs)}
    data = datasets.Dataset.from_dict(columns)
    if texts.values == tuple(range(len(texts.classes))):
        names = datasets.ClassLabel(names=list(texts.classes))
        data = data.cast(datasets.Features(data.features | {"label": names}))
    with replacing(path) as file:
        data.to_parquet(file)
