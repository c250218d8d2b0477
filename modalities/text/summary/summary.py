"""`TextSummary`: distilled texts."""

import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from multidd import html
from multidd.protocols import Draw
from multidd.storage.codecs import Codec
from multidd.storage.schema import Schema
from multidd.summary import Card, DataSummary
from multidd.text.models.encoder import encoder_of
from multidd.text.summary import export, storage

WHOLE = ("y", "source", "ids", "mask", "types")
"""Tensors of whole numbers."""

SOURCE = ("texts", "classes", "labels", "names")
"""What a card must tell of the training texts."""


@dataclass(frozen=True, eq=False, repr=False)
class TextSummary(DataSummary):
    """Distilled texts: their features, labels and weights, the texts, and the card.

    Tensors: `x` `[m, d]` features of an encoder, or `[m, L, d]` token vectors; `y`
    `[m]`; `y_soft` `[m, c]` where labels are soft or centered; `weight` `[m]`; `source`
    `[m]`, row of the training texts, -1 for none; `ids` and `mask` `[m, L]` of tokens,
    of pairs `types`, 1 in the second; texts as bytes. Sets of embeddings have no texts.
    """

    kind: ClassVar[str] = "text"
    schema: ClassVar[Schema] = storage.SCHEMA

    def __post_init__(self) -> None:
        missing = [name for name in SOURCE if name not in self.card.source]
        if missing:
            raise ValueError(f"the card's source lacks {', '.join(missing)}")
        storage.check(self.tensors, self.num_classes)

    @classmethod
    def of(
        cls,
        draw: Draw,
        card: Card,
        texts: Sequence[str] | None = None,
        pairs: Sequence[str] | None = None,
    ) -> Self:
        """The summary of a draw.

        Args:
            draw: tensors by name, as above; without the texts, or with them as
                `multidd.text.summary.storage.stored` makes them.
            card: how it was made.
            texts: m texts, if any.
            pairs: m second texts, if any.

        Raises:
            ValueError: tensors that do not fit each other or the card.

        Example:
            >>> source = {"texts": 9, "classes": 2, "labels": [0, 1]}
            >>> card = Card("mine", {}, 0, source | {"names": ["no", "yes"]}, {})
            >>> draw = {"x": torch.eye(2), "y": torch.arange(2)}
            >>> TextSummary.of(draw, card, ["dull", "fine"]).texts
            ('dull', 'fine')
        """
        parts = dict(draw) | storage.stored(texts, pairs)
        tensors = {name: _kept(name, tensor) for name, tensor in parts.items()}
        tensors.setdefault("weight", torch.ones(len(tensors["y"])))
        return cls(tensors, card)

    @staticmethod
    def codec_of(name: str) -> Codec:
        """Features fitted; labels in 4 bits or more; weights as they are."""
        if name == "weight":
            return Codec("exact")
        return Codec("fitted", min_bits=4 if name == "y_soft" else 2)

    @cached_property
    def texts(self) -> tuple[str, ...] | None:
        """m texts; None of a set of embeddings."""
        return storage.read(self.tensors, "text")

    @cached_property
    def pairs(self) -> tuple[str, ...] | None:
        """m second texts; None where there are none."""
        return storage.read(self.tensors, "pair")

    @property
    def num_classes(self) -> int:
        """c of the data it was made from."""
        return int(self.card.source["classes"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Name of each class."""
        return tuple(str(name) for name in self.card.source["names"])

    @property
    def weight(self) -> Tensor:
        """`[m]`, how much each row counts."""
        weight = self.tensors.get("weight")
        return torch.ones(len(self)) if weight is None else weight

    def __len__(self) -> int:
        return len(self.tensors["y"])

    def __repr__(self) -> str:
        m, of = len(self), self.card.source["texts"]
        noun = "embeddings" if self.texts is None else "texts"
        noun = noun if self.pairs is None else "pairs of texts"
        size = " x ".join(map(str, self.tensors["x"].shape[1:]))
        return (
            f"TextSummary({self.card.method}, {noun}={m}, {size}, "
            f"classes={self.num_classes}, labels={self.card.labels}, 1 for "
            f"{of / m:,.0f} of {of:,} real texts, {self.size_text}, "
            f"{self.card.seconds:.1f} s)"
        )

    def decode(self) -> export.Rows:
        """The texts with their labels and weights, a table when printed.

        Returns:
            A sequence of rows, each with `label` (the name of the class), `text`,
            `pair`, `weight`, `soft` and `source`, the row of the training texts.

        Raises:
            ValueError: a set of embeddings, which has no texts.

        Example:
            >>> source = {"texts": 9, "classes": 2, "labels": [0, 1]}
            >>> card = Card("mine", {}, 0, source | {"names": ["no", "yes"]}, {})
            >>> draw = {"x": torch.eye(2), "y": torch.arange(2)}
            >>> TextSummary.of(draw, card, ["dull", "fine"]).decode()
            label  text
            no     dull
            yes    fine
        """
        return export.rows(self)

    def facts(self, on: Any, train: Any = None) -> str:
        """`report`, where the set has a predictor of its own; see `DataSummary`."""
        if train is None or "kernel" not in self.card.settings:
            return ""
        return f"\n\n## The set and its text\n\n{self.report(on, train).to_markdown()}"

    def preview(self) -> str:
        """Texts of each class in turn; of embeddings how many each class has."""
        y = self.tensors["y"]
        if self.texts is None:
            counts = y.bincount(minlength=self.num_classes).tolist()
            pairs = zip(self.classes, counts, strict=True)
            return html.table([["class", "embeddings"], *pairs], max_rows=20)
        rows = html.in_turn(y.numpy(), 12).tolist()
        first = self.decode()
        table = replace(first, rows=tuple(first.rows[row] for row in rows))
        more = len(first) - len(rows)
        return table._repr_html_() + (html.note(f"{more:,} more texts") if more else "")

    def listing(self) -> str:
        """The texts as a table; empty for a set of embeddings."""
        return "" if self.texts is None else repr(self.decode())

    def plot(
        self,
        path: str | pathlib.Path | None = None,
        *,
        data: Any = None,
        encoder: Any = None,
    ) -> Any:
        """Draw the features on their first two principal axes, and list the texts.

        Args:
            path: a PNG, PDF or SVG to write; None only returns the figure.
            data: the real texts, in any form that `as_texts` takes: their features are
                then drawn too, and the axes are theirs. Token vectors of static words
                stand alone.
            encoder: the summary's, where the card does not tell where it is.

        Returns:
            The `matplotlib.figure.Figure`.

        Raises:
            ValueError: real texts of other classes; another encoder.
        """
        from multidd.text.summary.plotting import draw_summary

        return draw_summary(self, path, data, encoder)

    def report(self, on: Any, train: Any, **options: Any) -> Any:
        """Accuracy of the set, of its decoded text and of baselines.

        See `multidd.text.evaluation.report.report` for the arguments.
        """
        from multidd.text.evaluation.report import report

        return report(self, on, train, **options)

    def to_tensors(self) -> tuple[Tensor, Tensor]:
        """What models are trained on.

        Returns:
            `x` `[m, d]` or `[m, L, d]`, and `y` `[m]`, or `[m, c]` where labels are
            soft or centered (`card.labels`). New tensors, not shared.

        Example:
            >>> source = {"texts": 9, "classes": 2, "labels": [0, 1]}
            >>> card = Card("mine", {}, 0, source | {"names": ["no", "yes"]}, {})
            >>> draw = {"x": torch.eye(2), "y": torch.arange(2)}
            >>> TextSummary.of(draw, card).to_tensors()[1]
            tensor([0, 1])
        """
        y = self.tensors.get("y_soft", self.tensors["y"])
        return self.tensors["x"].clone(), y.clone()

    def to_dataset(self, *, embeddings: bool = False) -> Any:
        """A Hugging Face `datasets.Dataset`.

        Args:
            embeddings: keep the features too, in the column `embedding`; `from_dataset`
                then needs no encoder. Sets without texts always do.

        Returns:
            Columns `text` and `pair`, where there are texts, `label` (`ClassLabel`),
            `soft_label`, where labels are soft, `weight`, and `source_index`, where
            texts are real; of token vectors `inputs_embeds`, `attention_mask`,
            `tokens` and `token_type_ids`. The card travels in `info.description`.

        Example:
            >>> source = {"texts": 9, "classes": 2, "labels": [0, 1]}
            >>> card = Card("mine", {}, 0, source | {"names": ["no", "yes"]}, {})
            >>> draw = {"x": torch.eye(2), "y": torch.arange(2)}
            >>> summary = TextSummary.of(draw, card, ["dull", "fine"])
            >>> summary.to_dataset().column_names
            ['text', 'label', 'weight']
        """
        return export.to_dataset(self, embeddings)

    @classmethod
    def from_dataset(
        cls,
        dataset: Any,
        *,
        encoder: Any = None,
        source: Mapping[str, Any] | None = None,
        method: str | None = None,
    ) -> Self:
        """A summary of a dataset of sentences; the way back from `to_dataset`.

        Args:
            dataset: a `datasets.Dataset` with the columns of `to_dataset`; those beside
                `label` and one of `text` and `embedding` may be missing.
            encoder: makes the features where the dataset has none: an `Encoder`, or a
                model that `Encoder.of` takes; MiniLM unless given.
            source: what it was distilled from, `Texts.describe()` and `names`, where
                the dataset does not say.
            method: name of the method, where the dataset does not say.

        Raises:
            ValueError: columns that are missing, token vectors, or nothing said of
                where it is from; an encoder that is not the summary's.

        Example:
            >>> source = {"texts": 9, "classes": 2, "labels": [0, 1]}
            >>> card = Card("mine", {}, 0, source | {"names": ["no", "yes"]}, {})
            >>> draw = {"x": torch.eye(2), "y": torch.arange(2)}
            >>> summary = TextSummary.of(draw, card, ["dull", "fine"])
            >>> again = TextSummary.from_dataset(summary.to_dataset(embeddings=True))
            >>> again.digest() == summary.digest()
            True
        """
        card = export.card_of(dataset, source, method)

        def encode(texts: Any, pairs: Any) -> Tensor:
            from multidd.text.models.feature_cache import features

            return features(encoder_of(card, encoder), texts, pairs)

        draw, texts, pairs = export.read_dataset(dataset, encode)
        try:
            summary = cls.of(draw, card, texts, pairs)
        except ValueError as error:
            raise ValueError(export.by_column(str(error))) from None
        export.check_columns(summary)
        return summary


def _kept(name: str, tensor: Tensor) -> Tensor:
    stored = tensor.detach().cpu()
    if name in WHOLE or name.endswith("_ends"):
        stored = stored.long()
    elif not name.endswith("_bytes"):
        stored = stored.float()
    return stored.contiguous().clone()
