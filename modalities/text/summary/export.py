"""Distilled texts for people and other libraries: rows, a Hugging Face dataset."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd import html
from multidd.data.strings import line
from multidd.errors import NonFiniteError, SchemaError
from multidd.learning.optim import to_simplex
from multidd.settings import versions
from multidd.storage.fields import shown
from multidd.storage.limits import parse_json
from multidd.storage.schema import refuse
from multidd.summary import Card
from multidd.summary import card_of as card_of_fields
from multidd.text.summary.storage import SCHEMA

if TYPE_CHECKING:
    from multidd.text.summary.summary import TextSummary

__all__ = ["collator", "soft_label_loss"]


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
        selected = self.rows[index]
        return replace(self, rows=selected) if isinstance(index, slice) else selected

    def __repr__(self) -> str:
        return "\n".join(_lines(self.rows, self.classes, self.widest))

    def _repr_html_(self) -> str:
        """The rows as a table of a notebook."""
        columns = _shown(self.rows, self.classes, self.widest)
        cells = [list(columns), *zip(*columns.values(), strict=True)]
        return html.table(cells, max_rows=50)


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
    rows = tuple(Row(text=t, pair=p, **rest) for t, p, rest in parts)
    return Rows(rows, summary.classes)


def to_dataset(summary: "TextSummary", embeddings: bool) -> Any:
    """See `TextSummary.to_dataset`."""
    from datasets import Dataset, DatasetInfo, Features

    columns, kinds = _table(summary, embeddings)
    description = json.dumps({"multidd": asdict(summary.card)})
    info = DatasetInfo(description=description, features=Features(kinds))
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
    if not len(dataset):
        raise ValueError(
            f"the dataset has no rows: {', '.join(sorted(names))} are empty"
        )
    texts = _strings(dataset, "text") if "text" in names else None
    pairs = _strings(dataset, "pair") if "pair" in names else None
    tensors = {t: _tensor(dataset, n, t) for n, t in COLUMNS.items() if n in names}
    tensors["y"] = _tensor(dataset, "label", "y")
    tensors["x"] = (
        _tensor(dataset, "embedding", "x")
        if "embedding" in names
        else encode(texts, pairs)
    )
    return tensors, texts, pairs


def check_columns(summary: "TextSummary") -> None:
    """Refuse a summary of a dataset whose columns or card do not fit.

    Raises:
        SchemaError, NonFiniteError: names the column.
    """
    info = {"card": asdict(summary.card)}
    try:
        SCHEMA.check("the dataset", info, summary.tensors)
    except (SchemaError, NonFiniteError) as error:
        raise type(error)(by_column(str(error))) from None


def by_column(message: str) -> str:
    """A message about a tensor, as one about the column that it was read from.

    Example:
        >>> by_column("y must be 0..2; got 0..3")
        'column label: y must be 0..2; got 0..3'
    """
    tensors = COLUMNS | {"label": "y", "embedding": "x"}
    for column, name in tensors.items():
        if message.startswith((f"{name} ", f"{name}s ")):
            return f"column {column}: {message}"
        message = message.replace(f"tensor {name!r}", f"column {column!r}")
    return message


def _strings(dataset: Any, column: str) -> tuple[str, ...]:
    values = tuple(dataset[column])
    wrong = next((v for v in values if not isinstance(v, str)), None)
    if len(values) and wrong is not None or None in values:
        raise ValueError(f"the column {column} must hold texts; got {wrong!r:.80}")
    return values


def _tensor(dataset: Any, column: str, name: str) -> Tensor:
    """A column as the tensor of that name, whose type is checked, not made."""
    try:
        tensor = torch.tensor(dataset[column])
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ValueError(f"the column {column} is no tensor: {error}") from None
    whole = name in ("y", "source")
    if tensor.dtype == torch.bool or (whole and tensor.is_floating_point()):
        kind = "whole numbers" if whole else "numbers"
        raise ValueError(f"the column {column} must hold {kind}; got {tensor.dtype}")
    return tensor


def card_of(dataset: Any, source: Mapping[str, Any] | None, method: str | None) -> Card:
    """The card that a dataset carries, or one of what is given.

    Args:
        dataset: a `datasets.Dataset`.
        source: what it was distilled from.
        method: name of the method.

    Raises:
        ValueError: neither is there.
    """
    recorded = _recorded_card(dataset.info.description)
    if recorded is not None and source is None:
        facts = recorded | ({} if method is None else {"method": method})
        refuse("the dataset's description", SCHEMA.info.fault({"card": facts}, ""))
        return card_of_fields(facts)
    if source is None or method is None:
        raise ValueError(
            "the dataset does not say what it was distilled from; give source= "
            "(Texts.describe() of the training texts, with the names of classes) and "
            "method="
        )
    soft = "soft" if "soft_label" in dataset.column_names else "hard"
    return Card(method, {}, 0, dict(source), versions(), labels=soft)


def _recorded_card(description: str) -> dict[str, Any] | None:
    """The card in a description; None where it is of others."""
    if '"multidd"' not in description:
        return None
    try:
        text = parse_json(description)
    except ValueError as error:
        refuse("the dataset's description", f"multidd cannot be read: {error}")
    recorded = text.get("multidd") if isinstance(text, dict) else None
    stands = isinstance(text, dict) and "multidd" in text
    if stands and not isinstance(recorded, dict):
        refuse("the dataset's description", f"multidd is {shown(recorded)}, no card")
    return recorded


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
    columns: list[tuple[str, Any, Any]] = []
    for name, texts in (("text", summary.texts), ("pair", summary.pairs)):
        if texts is not None:
            columns.append((name, list(texts), Value("string")))
    names = list(summary.classes)
    columns.append(("label", tensors["y"].tolist(), ClassLabel(names=names)))
    if "y_soft" in tensors:
        columns.append(("soft_label", tensors["y_soft"].tolist(), floats))
    columns.append(("weight", summary.weight.tolist(), Value("float32")))
    if "source" in tensors:
        columns.append(("source_index", tensors["source"].tolist(), Value("int64")))
    if tensors["x"].dim() == 3:
        columns += _tokens(summary)
    elif embeddings or summary.texts is None:
        columns.append(("embedding", tensors["x"].tolist(), floats))
    return {n: c for n, c, _ in columns}, {n: k for n, _, k in columns}


def _tokens(summary: "TextSummary") -> list[tuple[str, Any, Any]]:
    from datasets import Array2D, Sequence, Value

    tensors = dict(summary.tensors)
    if not (summary.card.settings.get("table") or {}).get("typed"):
        tensors.pop("types", None)
    whole, x = Sequence(Value("int64")), tensors["x"]
    shape = (int(x.shape[1]), int(x.shape[2]))
    columns: list[tuple[str, Any, Any]] = [
        ("inputs_embeds", x.numpy(), Array2D(shape, "float32"))
    ]
    for column, name in TOKENS.items():
        if name in tensors:
            columns.append((column, tensors[name].tolist(), whole))
    return columns


def _lines(rows: Sequence[Row], classes: Sequence[str], widest: int) -> list[str]:
    """A heading and a line for each row."""
    shown = _shown(rows, classes, widest)
    wide = {n: max(len(n), *map(len, c)) for n, c in shown.items() if n != "text"}
    table = [list(shown), *map(list, zip(*shown.values(), strict=True))]
    lines = []
    for cells in table:
        padded = [c.ljust(wide[n]) for n, c in zip(wide, cells[:-1], strict=True)]
        lines.append("  ".join([*padded, cells[-1]]))
    return lines


def _shown(
    rows: Sequence[Row], classes: Sequence[str], widest: int
) -> dict[str, list[str]]:
    """Columns of a table; those that say nothing are left out."""
    shown: dict[str, list[str]] = {"label": [line(row.label) for row in rows]}
    if any(row.weight != 1 for row in rows):
        shown["weight"] = [f"{row.weight:.2f}" for row in rows]
    if classes and any(row.soft for row in rows):
        shown["soft label"] = [_largest(row.soft or (), classes) for row in rows]
    if any(row.source is not None for row in rows):
        shown["source"] = ["" if r.source is None else str(r.source) for r in rows]
    texts = [r.text if r.pair is None else f"{r.text} || {r.pair}" for r in rows]
    shown["text"] = [line(text, widest) for text in texts]
    return shown


def _largest(soft: Sequence[float], classes: Sequence[str], max_shown: int = 2) -> str:
    """The classes that a soft label has most of, and how much."""
    order = sorted(range(len(soft)), key=lambda i: -soft[i])[:max_shown]
    return " ".join(f"{classes[i]} {soft[i]:.2f}" for i in order)


def soft_label_loss(
    logits: Any,
    soft: Tensor,
    weight: Tensor | None = None,
    *,
    num_items_in_batch: Any = None,
) -> Tensor:
    r"""Cross-entropy with soft labels and weights.

    $$-\frac{\sum_i w_i \sum_c y_{ic} \log p_{ic}}{\sum_i w_i \sum_c y_{ic}}$$

    A `Trainer` takes it as `compute_loss_func=soft_label_loss`, with the batches of
    `collator`, whose labels have the weights in them.

    Args:
        logits: `[b, c]`, or the output of a model that has them.
        soft: `[b, c]`, probabilities, or these times a weight of the row; `[b]` of
            class numbers too.
        weight: `[b]`, how much each row counts; equal unless given.
        num_items_in_batch: what a `Trainer` passes; the mean is over weights instead.

    Returns:
        A scalar.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> round(soft_label_loss(logits, torch.eye(2)).item(), 4)
        0.1269
    """
    scores = logits if isinstance(logits, Tensor) else logits["logits"]
    if soft.dim() == 1:
        soft = F.one_hot(soft, scores.shape[1])
    if soft.shape != scores.shape:
        raise ValueError(
            f"soft labels must be {list(scores.shape)}, as the logits; got "
            f"{list(soft.shape)}; has the model as many labels as there are classes?"
        )
    mass = soft.to(scores.dtype)
    if weight is not None:
        mass = mass * weight.to(scores)[:, None]
    return -(mass * scores.log_softmax(1)).sum() / mass.sum()


def collator(
    tokenizer: Any, classes: int, *, max_length: int = 128
) -> Callable[[Sequence[Mapping[str, Any]]], dict[str, Tensor]]:
    """Collate rows of `TextSummary.to_dataset()` into padded batches.

    Args:
        tokenizer: of the model that is trained.
        classes: c.
        max_length: most tokens of a text.

    Returns:
        A function of rows. Texts (and pairs) are tokenized and padded; rows of
        `inputs_embeds` go in as they are, with their token types. `labels` are
        `[b, c]`: the soft label, or the one-hot one, times the weight. Centered labels
        become the nearest probabilities. The `Trainer` must be told
        `remove_unused_columns=False`.

    Example:
        >>> from multidd.text.models.encoder import Encoder
        >>> collate = collator(Encoder.of().tokenizer, classes=2)
        >>> batch = collate([{"text": "fine", "label": 1, "weight": 2.0}])
        >>> batch["labels"].tolist()
        [[0.0, 2.0]]
    """

    def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        return {**_inputs(rows, tokenizer, max_length), "labels": labels(rows, classes)}

    return collate


def labels(rows: Sequence[Mapping[str, Any]], classes: int) -> Tensor:
    """`[b, c]`, probabilities times weights, of rows of a dataset.

    Example:
        >>> labels([{"label": 0, "soft_label": [0.25, -0.25]}], 2).tolist()
        [[0.75, 0.25]]
    """
    if "soft_label" in rows[0]:
        soft = torch.tensor([row["soft_label"] for row in rows], dtype=torch.float32)
        if bool((soft.sum(1).abs() < 1e-3).all()):  # centered
            soft = soft + 1 / classes
        soft = to_simplex(soft)
    else:
        hard = torch.tensor([row["label"] for row in rows])
        soft = F.one_hot(hard, classes).float()
    mass = torch.tensor([row.get("weight", 1.0) for row in rows])
    return soft * mass[:, None]


def _inputs(
    rows: Sequence[Mapping[str, Any]], tokenizer: Any, max_length: int
) -> dict[str, Tensor]:
    if "inputs_embeds" in rows[0]:
        x = torch.tensor([row["inputs_embeds"] for row in rows], dtype=torch.float32)
        mask = [row.get("attention_mask", [1] * x.shape[1]) for row in rows]
        inputs = {"inputs_embeds": x, "attention_mask": torch.tensor(mask)}
        if "token_type_ids" in rows[0]:
            types = [row["token_type_ids"] for row in rows]
            inputs["token_type_ids"] = torch.tensor(types)
        return inputs
    if "text" not in rows[0]:
        raise ValueError(
            f"rows hold {', '.join(rows[0])} and no text: a set of embeddings trains "
            "no model of texts; decode it first. (A Trainer that drops the column "
            "needs remove_unused_columns=False.)"
        )
    columns = [[row[n] for row in rows] for n in ("text", "pair") if n in rows[0]]
    options = {"truncation": True, "padding": True, "max_length": max_length}
    return dict(tokenizer(*columns, return_tensors="pt", **options))
