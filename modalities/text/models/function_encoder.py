"""An encoder of the caller's own: any function of texts that gives vectors."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.text.models.tokenization import columns

__all__ = ["FunctionEncoder", "is_function"]

BATCH_SIZE = 256
"""Texts in one call of the function."""

PROBE = "a fine film with a dull end"
"""The text whose features a card keeps some numbers of."""

PROBE_NUMBERS = 8
PROBE_TOLERANCE = 1e-3


def is_function(encoder: Any) -> bool:
    """Whether an encoder is any function of texts, or has a method `encode` that is.

    Models of transformers are none: they have a tokenizer and token vectors.

    Example:
        >>> is_function(lambda texts: [[1.0]] * len(texts)), is_function("a/b")
        (True, False)
    """
    if isinstance(encoder, FunctionEncoder):
        return True
    if callable(getattr(encoder, "encode", None)) and not isinstance(encoder, str):
        return not hasattr(encoder, "encode_counted")
    return callable(encoder) and not hasattr(encoder, "config")


@dataclass(frozen=True, eq=False)
class FunctionEncoder:
    """A function `list[str] -> [n, d]` in the place of an `Encoder`.

    Features are scaled to length one, as those of an `Encoder`. They are made anew by
    each method, since a file cannot know whether the function has changed; a card has
    its name and a few numbers that it gives, by which another one is refused.

    Attributes:
        function: texts to vectors: an array, a tensor, a sparse matrix or lists.
        name: for people.

    Example:
        >>> encoder = FunctionEncoder.of(lambda texts: [[len(t), 1.0] for t in texts])
        >>> encoder.encode(["ab"]).shape, encoder.dim
        (torch.Size([1, 2]), 2)
    """

    function: Callable[[list[str]], Any]
    name: str

    pooling = "mean"
    origin = ""
    normalize = True
    max_length = 0

    @classmethod
    def of(cls, encoder: Any) -> Self:
        """The encoder of a function, or of what has a method `encode`.

        Args:
            encoder: the function, an object such as a `SentenceTransformer`, or a
                `FunctionEncoder`, returned as it is.
        """
        if isinstance(encoder, cls):
            return encoder
        method = getattr(encoder, "encode", None)
        if callable(method):
            return cls(method, type(encoder).__name__)
        name = getattr(encoder, "__qualname__", type(encoder).__qualname__)
        return cls(encoder, name.rpartition("<locals>.")[2])

    def __repr__(self) -> str:
        return f"FunctionEncoder({self.name}, d={self.dim})"

    @property
    def dim(self) -> int:
        """d, width of the features."""
        return len(self._probed)

    @cached_property
    def key(self) -> str:
        """Digest of the name and of d; the code cannot be known."""
        return hashlib.sha256(f"{self.name} {self.dim}".encode()).hexdigest()

    @property
    def probe(self) -> list[float]:
        """The first numbers of what it gives for a fixed text."""
        return [round(float(v), 6) for v in self._probed[:PROBE_NUMBERS]]

    def check(self, recorded: dict[str, Any]) -> None:
        """Refuse to stand for another encoder.

        Args:
            recorded: what a card says of the encoder of its summary.

        Raises:
            ValueError: another name, width or output.
        """
        probe = recorded.get("probe") or [float("inf")]
        same = recorded.get("key") == self.key and len(probe) == len(self.probe)
        if not same or not np.allclose(probe, self.probe, atol=PROBE_TOLERANCE):
            raise ValueError(
                f"the summary was made with the encoder {recorded.get('name')!r}, "
                f"which gave {json.dumps(probe[:3])}... for a fixed text; {self!r} "
                f"gives {json.dumps(self.probe[:3])}...: its features mean other "
                "things; pass encoder= as it was in the making"
            )

    def to(self, device: torch.device | str) -> Self:
        """Itself: a function computes where it likes."""
        return self

    def encode(self, texts: Any, pairs: Sequence[str] | None = None) -> Tensor:
        """Features `[n, d]` of texts, float32, on the CPU, each of length one or zero.

        Args:
            texts: n strings, or a `Texts`.
            pairs: None: a function takes single texts.

        Raises:
            TypeError: an entry that is no string.
            ValueError: pairs; what is no `[n, d]` of finite numbers.
        """
        both = columns(texts, pairs)
        if both.pairs is not None:
            raise ValueError(
                f"the encoder {self.name} takes single texts; join the pairs, or take "
                "an Encoder"
            )
        rows = list(both.texts)
        batches = range(0, len(rows), BATCH_SIZE)
        return torch.cat([self._called(rows[i : i + BATCH_SIZE]) for i in batches])

    def _called(self, texts: list[str]) -> Tensor:
        result = self.function(texts)
        if hasattr(result, "toarray"):  # of a sparse matrix
            result = result.toarray()
        if isinstance(result, Tensor):
            result = result.detach().cpu().float().numpy()
        try:
            x = torch.from_numpy(np.array(result, dtype=np.float32))
        except (TypeError, ValueError):
            x = torch.empty(0)
        if x.dim() != 2 or len(x) != len(texts) or not x.shape[1]:
            shape = list(getattr(result, "shape", ())) or type(result).__name__
            raise ValueError(
                f"the encoder {self.name} must give one vector of each text, "
                f"[{len(texts)}, d]; it gave {shape}"
            )
        if not bool(torch.isfinite(x).all()):
            raise ValueError(
                f"the encoder {self.name} gives numbers that are not finite"
            )
        return F.normalize(x, dim=1)

    @cached_property
    def _probed(self) -> Tensor:
        return self._called([PROBE])[0]
