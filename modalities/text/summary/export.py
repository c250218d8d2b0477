"""Distilled texts for people and other libraries: rows, a Hugging Face dataset."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from multidd.data.strings import line
from multidd.settings import versions
from multidd.summary import Card

if TYPE_CHECKING:
    from multidd.text.summary.summary import TextSummary

COLUMNS = {"weight": "weight", "source_index": "source", "soft_label": "y_soft"}
"""Column of a dataset -> tensor."""


TOKENS = {"attention_mask": "mask", "tokens": "ids", "token_type_ids": "types"}
"""The same of token vectors. Types are of models that have an embedding of them."""


@dataclass(frozen=True)
class Row:
    """One distilled text.

    Attributes:
        label: name of its class.
        text: the text.
        pair: the second text, or None.
        weight: how much it counts.
        soft: its soft label, one number for each class, or None.
        source: row of the training texts, or None where it is none of them.
    """

    label: str
    text: str
    pair: str | None = None
    weight: float = 1.0
    soft: tuple[float, ...] | None = None
    source: int | None = None


@dataclass(frozen=True, repr=False)
class Rows(Sequence[Row]):
    """Distilled texts, a table when printed.

    Attributes:
        rows: one for each text.
        classes: names for the numbers of soft labels; without them they are not shown.
        widest: letters of a text that are shown.

    Example:
        >>> Rows((Row("LOC", "What is the capital of Peru ?"),))
        label  text
        LOC    What is the capital of Peru ?
    """

    rows: tuple[Row, ...]
    classes: tuple[str, ...] = ()
    widest: int = field(default=100, compare=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        found = self.rows[index]
        return replace(self, rows=found) if isinstance(index, slice) else found

    def __repr__(self) -> str:
        return "\n".join(_lines(self.rows, self.classes, self.widest))


def rows(summary: "TextSummary") -> Rows:
    """See `TextSummary.decode`."""
    texts = summary.texts
    if texts is None:
        raise ValueError(
            f"{summary.card.method!r} gave embeddings, no texts; use a method that "
            "picks real texts, or decode the set first"
        )
    pairs = summary.pairs or (None,) * len(texts)
    parts = zip(texts, pairs, _columns(summary), strict=True)
    found = tuple(Row(text=t, pair=p, **rest) for t, p, rest in parts)
    return Rows(found, summary.classes)


def to_dataset(summary: "TextSummary", embeddings: bool) -> Any:
    """See `TextSummary.to_dataset`."""
    from datasets import Dataset, DatasetInfo, Features

    columns, kinds = _table(summary, embeddings)
    told = json.dumps({"multidd": asdict(summary.card)})
    info = DatasetInfo(description=told, features=Features(kinds))
    return Dataset.from_dict(columns, info=info)


def read_dataset(
    dataset: Any, encode: Any
) -> tuple[dict[str, Tensor], tuple[str, ...] | None, tuple[str, ...] | None]:
    """Tensors, texts and second texts of a dataset as `to_dataset` makes it.

    Args:
        dataset: a `datasets.Dataset` of sentences.
        encode: texts and second texts to features, where the dataset has none.

    Raises:
        ValueError: token vectors, or columns that are missing.
    """
    names = set(dataset.column_names)
    if "inputs_embeds" in names:
        raise ValueError(
            "the dataset has token vectors; read them back from the file that save "
            "wrote: multidd.load(path)"
        )
    if "label" not in names or not names & {"text", "embedding"}:
        raise ValueError(
            "dataset must have the columns label and text (or embedding); it has "
            f"{', '.join(sorted(names))}"
        )
    texts = tuple(dataset["text"]) if "text" in names else None
    pairs = tuple(dataset["pair"]) if "pair" in names else None
    own = {t: torch.tensor(dataset[n]) for n, t in COLUMNS.items() if n in names}
    own["y"] = torch.tensor(dataset["label"])
    own["x"] = (
        torch.tensor(dataset["embedding"])
        if "embedding" in names
        else encode(texts, pairs)
    )
    return own, texts, pairs


def card_of(dataset: Any, source: Mapping[str, Any] | None, method: str | None) -> Card:
    """The card that a dataset carries, or one of what is given.

    Args:
        dataset: a `datasets.Dataset`.
        source: what it was distilled from.
        method: name of the method.

    Raises:
        ValueError: neither is there.
    """
    kept = _kept(dataset.info.description)
    if kept is not None and source is None:
        own = dict(kept) | {"history": tuple(kept["history"])}
        return Card(**own | ({} if method is None else {"method": method}))
    if source is None or method is None:
        raise ValueError(
            "the dataset does not say what it was distilled from; give source= "
            "(Texts.describe() of the training texts, with the names of classes) and "
            "method="
        )
    soft = "soft" if "soft_label" in dataset.column_names else "hard"
    return Card(method, {}, 0, dict(source), versions(), labels=soft)


def _kept(description: str) -> Mapping[str, Any] | None:
    try:
        return json.loads(description)["multidd"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return None


def _columns(summary: "TextSummary") -> Iterator[dict[str, Any]]:
    """All but the text of each row."""
    tensors = summary.tensors
    soft = tensors["y_soft"].tolist() if "y_soft" in tensors else None
    source = tensors["source"].tolist() if "source" in tensors else None
    weight = summary.weight.tolist()
    for i, label in enumerate(tensors["y"].tolist()):
        yield {
            "label": summary.classes[label],
            "weight": weight[i],
            "soft": None if soft is None else tuple(soft[i]),
            "source": None if source is None or source[i] < 0 else source[i],
        }


def _table(
    summary: "TextSummary", embeddings: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns and their types."""
    from datasets import ClassLabel, Sequence, Value

    tensors, floats = summary.tensors, Sequence(Value("float32"))
    found: list[tuple[str, Any, Any]] = []
    for name, texts in (("text", summary.texts), ("pair", summary.pairs)):
        if texts is not None:
            found.append((name, list(texts), Value("string")))
    names = list(summary.classes)
    found.append(("label", tensors["y"].tolist(), ClassLabel(names=names)))
    if "y_soft" in tensors:
        found.append(("soft_label", tensors["y_soft"].tolist(), floats))
    found.append(("weight", summary.weight.tolist(), Value("float32")))
    if "source" in tensors:
        found.append(("source_index", tensors["source"].tolist(), Value("int64")))
    if tensors["x"].dim() == 3:
        found += _tokens(summary)
    elif embeddings or summary.texts is None:
        found.append(("embedding", tensors["x"].tolist(), floats))
    return {n: c for n, c, _ in found}, {n: k for n, _, k in found}


def _tokens(summary: "TextSummary") -> list[tuple[str, Any, Any]]:
    from datasets import Array2D, Sequence, Value

    tensors = dict(summary.tensors)
    if not (summary.card.settings.get("table") or {}).get("typed"):
        tensors.pop("types", None)
    whole, x = Sequence(Value("int64")), tensors["x"]
    shape = (int(x.shape[1]), int(x.shape[2]))
    found: list[tuple[str, Any, Any]] = [
        ("inputs_embeds", x.numpy(), Array2D(shape, "float32"))
    ]
    for column, name in TOKENS.items():
        if name in tensors:
            found.append((column, tensors[name].tolist(), whole))
    return found


def _lines(rows: Sequence[Row], classes: Sequence[str], widest: int) -> list[str]:
    """A heading and a line for each row; columns that say nothing are left out."""
    shown: dict[str, list[str]] = {"label": [line(row.label) for row in rows]}
    if any(row.weight != 1 for row in rows):
        shown["weight"] = [f"{row.weight:.2f}" for row in rows]
    if classes and any(row.soft for row in rows):
        shown["soft label"] = [_largest(row.soft or (), classes) for row in rows]
    if any(row.source is not None for row in rows):
        shown["source"] = ["" if r.source is None else str(r.source) for r in rows]
    texts = [r.text if r.pair is None else f"{r.text} || {r.pair}" for r in rows]
    shown["text"] = [line(text, widest) for text in texts]
    wide = {n: max(len(n), *map(len, c)) for n, c in shown.items() if n != "text"}
    table = [list(shown), *map(list, zip(*shown.values(), strict=True))]
    lines = []
    for cells in table:
        own = [c.ljust(wide[n]) for n, c in zip(wide, cells[:-1], strict=True)]
        lines.append("  ".join([*own, cells[-1]]))
    return lines


def _largest(soft: Sequence[float], classes: Sequence[str], most: int = 2) -> str:
    """The classes that a soft label has most of, and how much."""
    order = sorted(range(len(soft)), key=lambda i: -soft[i])[:most]
    return " ".join(f"{classes[i]} {soft[i]:.2f}" for i in order)
