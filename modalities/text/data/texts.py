"""Labelled texts, or pairs of texts, validated: the input of every text method."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from multidd import html
from multidd.data.labels import Value, check_labels
from multidd.data.splitting import hold_out
from multidd.settings import tensor_digest
from multidd.sketches.labelled import described_facts


@dataclass(frozen=True, eq=False, repr=False)
class Texts:
    """Labelled texts, or labelled pairs of texts.

    `as_texts` makes one of data of any kind, and refuses empty texts.

    Attributes:
        texts: n texts; of pairs the first ones (the premises).
        pairs: n second texts (the hypotheses), or None.
        labels: `[n]` int64, `0..c-1`.
        classes: name of each class.
        values: the label values as given, in the order of the classes.
        name: of the dataset; empty where unknown.
        sketch: what was seen, where the texts are a sketch; see `multidd.text.sketch`.

    Example:
        >>> Texts(("good", "bad"), None, torch.tensor([1, 0]), ("no", "yes"), (0, 1))
        Texts(2 texts, 2 classes)
    """

    texts: tuple[str, ...]
    pairs: tuple[str, ...] | None
    labels: Tensor
    classes: tuple[str, ...]
    values: tuple[Value, ...]
    name: str = ""
    sketch: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_strings("texts", self.texts)
        if self.pairs is not None:
            _check_strings("pairs", self.pairs)
            if len(self.pairs) != len(self.texts):
                raise ValueError(
                    f"{len(self.texts)} texts have {len(self.pairs)} second texts; "
                    "pairs must hold one for each text, or be None"
                )
        check_labels(self.labels, len(self.texts), self.classes, self.values)

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        named = f"{self.name}, " if self.name else ""
        kind = "texts" if self.pairs is None else "pairs of texts"
        return f"Texts({named}{len(self)} {kind}, {self.num_classes} classes)"

    def _repr_html_(self) -> str:
        """The first texts of each class in turn, as notebooks show them."""
        rows = html.in_turn(self.labels.numpy(), 10).tolist()
        cells = [["class", "text"]]
        for row in rows:
            pair = "" if self.pairs is None else f" || {self.pairs[row]}"
            cells.append([self.classes[self.labels[row]], f"{self.texts[row]}{pair}"])
        return html.box(repr(self), html.table(cells))

    @property
    def num_classes(self) -> int:
        """c."""
        return len(self.classes)

    @property
    def counts(self) -> Tensor:
        """`[c]`, texts of each class."""
        return torch.bincount(self.labels, minlength=self.num_classes)

    def take(self, rows: Tensor | Sequence[int]) -> "Texts":
        """The texts of the given rows, in their order; classes stay as they are.

        Args:
            rows: `[b]` numbers of rows, or a mask `[n]` of them.

        Raises:
            ValueError: a number that is none.

        Example:
            >>> some = Texts(("a", "b"), None, torch.tensor([0, 1]), ("x", "y"), (0, 1))
            >>> some.take([1]).texts
            ('b',)
        """
        index = _rows(rows, len(self))
        places = index.tolist()
        pairs = self.pairs and tuple(self.pairs[i] for i in places)
        texts = tuple(self.texts[i] for i in places)
        return replace(self, texts=texts, pairs=pairs, labels=self.labels[index])

    def split(
        self, share_or_count: float | int, seed: int = 0
    ) -> tuple["Texts", "Texts"]:
        """Part of each class held out, in proportion, at random.

        Args:
            share_or_count: below one the share held out, else the number of texts.
            seed: of the draw.

        Returns:
            The rest and the held out texts, both in their first order.

        Raises:
            ValueError: nothing would be held out, or nothing left of a class.

        Example:
            >>> labels = torch.tensor([0, 1] * 5)
            >>> some = Texts(tuple("abcdefghij"), None, labels, ("x", "y"), (0, 1))
            >>> [len(part) for part in some.split(0.2)]
            [8, 2]
        """
        rest, held = hold_out(
            self.labels, self.num_classes, share_or_count, seed, noun="text"
        )
        return self.take(rest), self.take(held)

    def describe(self) -> dict[str, Any]:
        """Sizes, labels and a fingerprint of the content: which texts these are."""
        return {
            "name": self.name,
            "texts": len(self),
            "pairs": self.pairs is not None,
            "classes": self.num_classes,
            "labels": list(self.values),
            "counts": self.counts.tolist(),
            "sha256": f"{self.fingerprint}{tensor_digest(self.labels)}",
            **described_facts(self.sketch),
        }

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the texts and pairs in their order, without labels; 32 digits."""
        return fingerprint(self.texts, self.pairs)


def fingerprint(texts: Sequence[str], pairs: Sequence[str] | None = None) -> str:
    """SHA-256 of texts in their order, first 32 digits; the same on every machine.

    Args:
        texts: n texts.
        pairs: n second texts, or None.

    Example:
        >>> fingerprint(["a", "b"]) == fingerprint(["ab", ""])
        False
    """
    sha = hashlib.sha256()
    for column in (texts, pairs):
        sha.update(b"none" if column is None else f"{len(column)} ".encode())
        for text in column or ():
            coded = text.encode("utf-8", "surrogatepass")
            sha.update(f"{len(coded)} ".encode())  # no two lists read alike
            sha.update(coded)
    return sha.hexdigest()[:32]


def _check_strings(name: str, texts: Iterable[Any]) -> None:
    if not isinstance(texts, tuple) or not all(isinstance(t, str) for t in texts):
        raise TypeError(
            f"{name} must be a tuple of strings, got {type(texts).__name__}; "
            "multidd.text.as_texts takes other forms"
        )


def _rows(rows: Tensor | Sequence[int], n: int) -> Tensor:
    index = torch.as_tensor(rows)
    if index.dtype == torch.bool and index.shape == (n,):
        return index.nonzero().flatten()
    if index.numel() == 0:
        return torch.empty(0, dtype=torch.int64)
    if index.dim() != 1 or index.is_floating_point() or index.dtype == torch.bool:
        raise ValueError(
            f"rows must be whole numbers [b] or a mask [{n}]; got {index.dtype} "
            f"{list(index.shape)}"
        )
    low, high = int(index.min()), int(index.max())
    if low < 0 or high >= n:
        raise ValueError(f"rows must be 0..{n - 1}, got {low}..{high}")
    return index.long()
