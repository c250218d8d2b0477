"""`from_arrays`: texts or embeddings that others distilled, as a summary."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multidd.arguments import public_function
from multidd.data.array_files import (
    array_by_name,
    is_path,
    numbers,
    origin_of,
    read_arrays,
)
from multidd.data.external_labels import external_labels, facts_of
from multidd.engine.card import external_card
from multidd.text.data.readers import as_texts, read
from multidd.text.data.tables import TextColumns, check_texts
from multidd.text.models.encoder import Encoder, encoder_settings
from multidd.text.models.feature_cache import features
from multidd.text.models.function_encoder import FunctionEncoder, is_function
from multidd.text.summary.summary import TextSummary

__all__ = ["from_arrays"]

X_NAMES, Y_NAMES = ("x", "embeddings", "features"), ("y", "labels", "y_soft")
"""Names of the arrays of a file, the first that is there."""

ARRAY_FILES = (".npz", ".safetensors")
TABLE_FILES = (".csv", ".tsv", ".parquet", ".jsonl")


@public_function
def from_arrays(
    x: Any,
    y: Any = None,
    *,
    source: Any,
    encoder: Any = None,
    weight: Any = None,
    labels: str | None = None,
    text: str = "text",
    label: str = "label",
    method: str = "external",
    origin: str = "",
) -> TextSummary:
    """A summary of texts or embeddings that others distilled, to be judged as ours.

    Args:
        x: m strings, or pairs of them; embeddings `[m, d]`; an .npz or .safetensors
            file of embeddings x and labels y; or a table of texts: a
            `datasets.Dataset`, a frame, a list of dicts, a .csv, .tsv, .parquet or
            .jsonl file.
        y: `[m]` labels as the real data have them, or `[m, c]` soft labels; those of
            the file or table unless given.
        source: the real training texts, as `as_texts` takes them; or what
            `Texts.describe()` says of them.
        encoder: of the embeddings, or what makes them of strings: what `Encoder.of`
            takes, or a function of texts; MiniLM of strings unless given.
        weight: `[m]`, how much each counts; ones unless given.
        labels: `"soft"` or `"centered"`, for y `[m, c]`; told by the sums of its rows
            unless given.
        text: column of the texts of a table.
        label: column of its labels.
        method: what reports call it.
        origin: where it came from, for the card; the name of the file or the type of
            the arrays unless given.

    Returns:
        A `TextSummary` that can be evaluated, printed and saved.

    Raises:
        TypeError, ValueError: texts, embeddings or labels that do not fit; embeddings
            without an encoder; a file of another kind, of a pickle with the way to
            convert it.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.sms()
        >>> from_arrays(["call me", "you won"], ["ham", "spam"], source=train).classes
        ('ham', 'spam')
    """
    facts = _source(source)
    place = origin_of(x, origin)
    embeddings, texts, pairs, y = _read(x, y, text, label)
    model = _encoder(encoder, embeddings is not None)
    if embeddings is None:
        embeddings = features(model, texts, pairs)
    elif embeddings.shape[1] != model.dim:
        raise ValueError(
            f"the embeddings have {embeddings.shape[1]} numbers, and {model.name!r} "
            f"gives {model.dim}; give the encoder they were made with"
        )
    targets = external_labels(
        y,
        facts["labels"],
        len(embeddings),
        names=facts.get("names"),
        kind=labels,
        noun="text",
    )
    draw = {"x": embeddings} | targets.tensors
    if weight is not None:
        draw["weight"] = numbers("weight", weight).float()
    card = external_card(
        place,
        facts,
        method=method,
        labels=targets.kind,
        settings={"encoder": encoder_settings(model)},
    )
    return TextSummary.of(draw, card, texts, pairs)


def _source(source: Any) -> dict[str, Any]:
    """What is known of the real texts."""
    is_facts = isinstance(source, Mapping) and isinstance(source.get("texts"), int)
    if not is_facts:
        real = as_texts(source)
        return real.describe() | {"names": list(real.classes)}
    how = "the real training texts, or what Texts.describe() says of them"
    facts = facts_of(source, ("texts", "classes", "labels"), how)
    return {"names": [str(value) for value in facts["labels"]]} | facts


Read = tuple[Tensor | None, Sequence[str] | None, Sequence[str] | None, Any]
"""Embeddings, texts and second texts, and labels of any form."""


def _read(x: Any, y: Any, text: str, label: str) -> Read:
    ending = pathlib.Path(x).suffix.lower() if is_path(x) else ""
    if is_path(x) and ending not in TABLE_FILES and not pathlib.Path(x).is_dir():
        arrays, name = read_arrays(x), pathlib.Path(x).name
        x = array_by_name(arrays, X_NAMES, name)
        y = array_by_name(arrays, Y_NAMES, name) if y is None else y
    if _is_numbers(x):
        if y is None:
            raise ValueError(
                "x holds embeddings and y is missing; give the label of each, or soft "
                "labels [m, c]"
            )
        return _embeddings(x), None, None, y
    columns = TextColumns(text, None, label if y is None else None)
    # Soft labels are no labels of a table: only the texts are read from it.
    zeros = None if y is None else [0] * len(x) if hasattr(x, "__len__") else y
    raw = read(x, zeros, columns)
    texts, pairs = check_texts(raw)
    return None, texts, pairs, raw.y if y is None else y


def _is_numbers(x: Any) -> bool:
    if isinstance(x, Tensor):
        return True
    if isinstance(x, np.ndarray):
        return x.dtype.kind in "biuf"
    rows = x if isinstance(x, list | tuple) else ()
    return (
        bool(rows)
        and isinstance(rows[0], list | tuple | np.ndarray | Tensor)
        and not (len(rows[0]) and isinstance(rows[0][0], str))
    )


def _embeddings(x: Any) -> Tensor:
    x = numbers("embeddings", x)
    if x.dim() != 2 or not x.numel():
        raise ValueError(
            f"embeddings must be [m, d], a row for each text; got {list(x.shape)}"
        )
    if not bool(torch.isfinite(x.float()).all()):
        raise ValueError("x holds NaN or infinite embeddings; drop these rows")
    return x.float()


def _encoder(encoder: Any, needed: bool) -> Encoder | FunctionEncoder:
    """What makes embeddings, or made them."""
    if encoder is None and needed:
        raise ValueError(
            "embeddings mean nothing without their encoder; give encoder=, the model "
            "or function that made them"
        )
    if encoder is not None and is_function(encoder):
        return FunctionEncoder.of(encoder)
    return Encoder.of(encoder)
