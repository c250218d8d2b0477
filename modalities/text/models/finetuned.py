"""A pre-trained transformer with a fresh head, learned on token vectors."""

from dataclasses import dataclass
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from multidd.protocols import Params
from multidd.text.models.encoder import Encoder
from multidd.text.models.layers import Shapes, dropped, linear, uniform
from multidd.text.models.transformer import pool, run, visible

__all__ = ["FineTuned"]

_INSIDE = "encoder."


@dataclass(frozen=True, eq=False)
class FineTuned:
    """The transformer of an encoder, pooled, and a fresh linear layer.

    Attention is plain (eager): second derivatives and attention labels need that.
    Token vectors go in behind the word-embedding table, which is no weight here.

    Attributes:
        encoder: its transformer, pooling and tokenizer.
        frozen: learn the head alone.
        normalize: pooled features of length one.
        dropout: share of the pooled features that are dropped in training.

    Reference:
        Maekawa, Kobayashi, Funakoshi, Okumura, "Dataset Distillation with Attention
        Labels for Fine-tuning BERT", ACL 2023.

    Example:
        >>> from multidd.seeds import at
        >>> net = FineTuned(Encoder.of(), frozen=True)
        >>> weights = net.weights(at(0, "head"), models=2, dim=384, classes=6)
        >>> weights["head.weight"].shape
        torch.Size([2, 6, 384])
    """

    typed: ClassVar[bool] = True  # takes the token types of pairs

    encoder: Encoder
    frozen: bool = False
    normalize: bool = False
    dropout: float = 0.0

    @property
    def inside(self) -> str:
        """How the names of pre-trained weights begin."""
        return _INSIDE

    def weights(
        self, rng: torch.Generator, models: int, dim: int, classes: int
    ) -> Params:
        """A fresh head `[k, ...]` for each model, and the pre-trained weights.

        All models share these until they are moved.

        Args:
            rng: draws the heads.
            models: k.
            dim: width of the token vectors.
            classes: c.

        Raises:
            ValueError: vectors of another width than the embedding table.
        """
        width = self.encoder.table.shape[1]
        if dim != width:
            raise ValueError(f"token vectors must have {width} entries; got {dim}")
        d = self.encoder.dim
        head: Shapes = {"head.weight": ((classes, d), d), "head.bias": ((classes,), d)}
        drawn = uniform(rng, models, head)
        if self.frozen:
            return drawn
        inside = self.pretrained()
        return drawn | {
            name: weight.to(rng.device).expand(models, *weight.shape)
            for name, weight in inside.items()
        }

    def pretrained(self) -> Params:
        """Weights of the transformer that features pass through, by name."""
        table = self.encoder.table
        return {
            f"{_INSIDE}{name}": weight.detach()
            for name, weight in self.encoder.model.named_parameters()
            if weight is not table and not name.startswith("pooler.")
        }

    def features(
        self,
        weights: Params,
        x: Tensor,
        mask: Tensor,
        rng: torch.Generator | None = None,
        types: Tensor | None = None,
    ) -> list[Tensor]:
        """Pooled states `[b, d]`, and logits `[b, c]`, under one model.

        Args:
            weights: of one model.
            x: `[b, L, e]`, with the vectors of the special tokens.
            mask: `[b, L]`.
            rng: draws dropout; left out in evaluation.
            types: `[b, L]`, token types; zeros unless given. Transformers without them
                see none.

        Raises:
            ValueError: other shapes.
        """
        hidden, _ = self._run(weights, x, mask, types, False)
        return self._headed(weights, hidden, mask, rng)

    def attentions(
        self,
        weights: Params,
        x: Tensor,
        mask: Tensor,
        rng: torch.Generator | None = None,
        types: Tensor | None = None,
    ) -> tuple[list[Tensor], Tensor]:
        """What `features` gives, and attention `[b, layers, heads, L, L]`."""
        hidden, seen = self._run(weights, x, mask, types, True)
        assert seen is not None
        return self._headed(weights, hidden, mask, rng), seen

    def _run(
        self,
        weights: Params,
        x: Tensor,
        mask: Tensor,
        types: Tensor | None,
        attentions: bool,
    ) -> tuple[Tensor, Tensor | None]:
        self.encoder.check(x, mask)
        shell = self.encoder.eager()
        inside = _on_device(shell, x.device) | {
            name.removeprefix(_INSIDE): weight
            for name, weight in weights.items()
            if name.startswith(_INSIDE)
        }

        def model(**inputs: Any) -> Any:
            return functional_call(shell, inside, (), inputs)

        kinds = visible(self.encoder.model, types)
        inputs = {"inputs_embeds": x}
        return run(model, inputs, mask, kinds, attentions, shell.config)

    def _headed(
        self, weights: Params, hidden: Tensor, mask: Tensor, rng: Any
    ) -> list[Tensor]:
        pooled = pool(hidden, mask, self.encoder.pooling)
        pooled = F.normalize(pooled, dim=-1) if self.normalize else pooled
        return [pooled, linear(weights, "head", dropped(pooled, self.dropout, rng))]


_moved = WeakKeyDictionary[nn.Module, dict[torch.device, Params]]()
"""Module -> its parameters and buffers on other devices, moved once."""


def _on_device(module: nn.Module, device: torch.device) -> Params:
    """What the module holds, where it lies on another device; else nothing."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    if all(tensor.device == device for tensor in tensors.values()):
        return {}
    by_device = _moved.setdefault(module, {})
    if device not in by_device:
        by_device[device] = {n: t.detach().to(device) for n, t in tensors.items()}
    return by_device[device]
