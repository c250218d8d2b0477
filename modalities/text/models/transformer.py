"""Shared by transformers encoders: a pass, pooling, limits, plain attention."""

import copy
import hashlib
import inspect
import json
import re
from typing import Any, Literal

import torch
from torch import Tensor, nn

from multidd.storage.files import digest

__all__ = [
    "Pooling",
    "check_finite",
    "check_vectors",
    "key_of",
    "longest",
    "make_eager",
    "pool",
    "run",
    "shell",
    "typed",
    "unused",
    "visible",
]


Pooling = Literal["mean", "cls"]


def pool(hidden: Tensor, mask: Tensor, how: Pooling = "mean") -> Tensor:
    """`[m, d]` of hidden states `[m, L, d]`: mean over the tokens, or the first one.

    Args:
        hidden: of each place.
        mask: `[m, L]`, 1 at tokens, 0 at padding.
        how: `"mean"` or `"cls"`.

    Example:
        >>> hidden = torch.tensor([[[1.0], [3.0], [9.0]]])
        >>> pool(hidden, torch.tensor([[1, 1, 0]])).tolist()
        [[2.0]]
    """
    if how == "cls":
        return hidden[:, 0]
    weights = mask.to(hidden.device, hidden.dtype)[..., None]
    return (hidden * weights).sum(1) / weights.sum(1)


def run(
    model: Any,
    inputs: dict[str, Tensor],
    mask: Tensor,
    types: Tensor | None = None,
    attentions: bool = False,
    config: Any = None,
) -> tuple[Tensor, Tensor | None]:
    """Last hidden states `[m, L, d]`, and attention where it is asked for.

    Args:
        model: a transformer without a head, or what stands for one.
        inputs: `input_ids` or `inputs_embeds`.
        mask: `[m, L]`.
        types: `[m, L]`, token types; zeros unless given.
        attentions: give `[m, layers, heads, L, L]` too; needs plain attention.
        config: of the model, where what stands for it has none.
    """
    device = next(iter(inputs.values())).device
    if types is not None:
        inputs = inputs | {"token_type_ids": types.to(device)}
    attended = mask.to(device, torch.int64)
    config = getattr(model, "config", None) if config is None else config
    kind = getattr(config, "model_type", None)
    if device.type != "cpu" and kind in FULL_MASK_KINDS:
        width = attended.shape[1]
        hidden = (attended == 0)[:, None, None].expand(-1, 1, width, -1)
        # (m, 1, L, L); what a mask [m, L] becomes after transformers has read it.
        lowest = torch.finfo(torch.float32).min
        attended = hidden.new_zeros(hidden.shape, dtype=torch.float32)
        attended = attended.masked_fill(hidden, lowest)
    options = {"output_attentions": True} if attentions else {}
    out = model(**inputs, attention_mask=attended, return_dict=True, **options)
    seen = torch.stack(out.attentions, 1) if attentions else None
    return out.last_hidden_state, seen


FULL_MASK_KINDS = ("bert",)
"""Kinds of models that get masks of four dimensions on a device: to find out whether a
mask hides anything is to wait."""


def shell(model: Any) -> Any:
    """A second module over the same weights, with plain attention.

    Args:
        model: stays as it is.

    Raises:
        ValueError: a model whose attention is chosen once, as it is loaded.
    """
    tensors = [*model.parameters(), *model.buffers()]
    twin = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    make_eager(twin)
    return twin


def make_eager(model: Any) -> None:
    """Set plain attention.

    Args:
        model: is changed.

    Raises:
        ValueError: a model whose attention is chosen once, as it is loaded.
    """
    model.set_attn_implementation("eager")
    attention = getattr(model.config, "_attn_implementation", "eager")
    if attention != "eager":  # transformers only logs it
        raise ValueError(
            f"{type(model).__name__} keeps its {attention!r} attention, which has no "
            "second derivative and shows no attention; load it with "
            "attn_implementation='eager', or upgrade transformers"
        )


def typed(model: Any) -> bool:
    """Whether a model tells the first text of a pair from the second."""
    return getattr(model.config, "type_vocab_size", 0) > 1


def visible(model: Any, types: Tensor | None) -> Tensor | None:
    """Token types that a model can see: none where it has no embedding of them.

    Args:
        model: a transformer.
        types: `[m, L]`, or None.
    """
    return types if typed(model) else None


def longest(model: Any, tokenizer: Any) -> int:
    """Most tokens of a text: what the model has places for, and the tokenizer says."""
    limits = [int(min(tokenizer.model_max_length, 10**6))]
    places = getattr(model.config, "max_position_embeddings", None)
    if places and places > 0:
        limits.append(places - _before(model))
    return min(limits)


def _before(model: Any) -> int:
    """Places that come before the first token's: RoBERTa counts from its padding."""
    for name, part in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(part, nn.Embedding):
            return 0 if part.padding_idx is None else part.padding_idx + 1
    return 0


def check_vectors(model: Any, x: Tensor, mask: Tensor, max_tokens: int) -> None:
    """Refuse token vectors that a model cannot take.

    Args:
        model: a transformer.
        x: `[m, L, e]`.
        mask: `[m, L]`.
        max_tokens: tokens.

    Raises:
        ValueError: says what would fit.
    """
    width = model.get_input_embeddings().weight.shape[1]
    if x.dim() != 3 or x.shape[2] != width or mask.shape != x.shape[:2]:
        raise ValueError(
            f"token vectors must be [m, L, {width}] and their mask [m, L]; got "
            f"{list(x.shape)} and {list(mask.shape)}"
        )
    if x.shape[1] > max_tokens:
        raise ValueError(
            f"the model takes at most {max_tokens} tokens; got {x.shape[1]}"
        )
    if "inputs_embeds" not in inspect.signature(model.forward).parameters:
        raise ValueError(
            f"{type(model).__name__} takes no inputs_embeds; use another encoder for "
            "methods on token vectors"
        )


def check_finite(features: Tensor) -> None:
    """Refuse features that are NaN or infinite.

    Raises:
        ValueError: says of which text.

    Example:
        >>> check_finite(torch.zeros(2, 3))
    """
    bad = ~features.isfinite().all(1)
    if bad.any():
        raise ValueError(
            f"the features of {int(bad.sum())} of {len(bad)} texts are not finite, the "
            f"first is number {int(bad.nonzero()[0])}; check the model's weights, or "
            "load it in float32"
        )


_UNUSED = re.compile(r"[\[<]?unused_?\d+[\]>]?|madeupword\d+|<extra_id_\d+>")
_NO_MATTER = frozenset(
    "architectures bos_token_id classifier_dropout dtype eos_token_id finetuning_task "
    "gradient_checkpointing id2label initializer_range label2id name_or_path "
    "num_labels output_attentions output_hidden_states problem_type return_dict "
    "tie_word_embeddings torch_dtype transformers_version use_cache".split()
)
"""Entries of a config that leave features as they are."""


def key_of(model: Any, tokenizer: Any, settings: list[Any]) -> str:
    """SHA-256 over weights, architecture, tokenizer and settings.

    The same for a folder and for a model loaded from it, with or without a head.

    Args:
        model: a transformer without its head.
        tokenizer: its tokenizer.
        settings: what else features depend on.
    """
    state = model.state_dict()
    # Features never pass through a pooler; where a checkpoint lacks it, it is random.
    used = {name: w for name, w in state.items() if not name.startswith("pooler.")}
    entries = model.config.to_dict().items()
    config = {k: v for k, v in entries if k not in _NO_MATTER and k[0] != "_"}
    facts = [digest(used), type(model).__name__, config, _words(tokenizer), settings]
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _words(tokenizer: Any) -> Any:
    """What makes a tokenizer give the ids that it gives."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return [type(tokenizer).__name__, tokenizer.get_vocab()]
    facts = json.loads(backend.to_str())
    # What the last call asked for, not what the tokenizer is.
    return {k: v for k, v in facts.items() if k not in ("truncation", "padding")}


def unused(tokenizer: Any, rows: int) -> Tensor:
    """Ids that stand for no word.

    Args:
        tokenizer: of transformers.
        rows: of the embedding table, which may be longer than the tokenizer.

    Returns:
        Sorted, int64.
    """
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    free = [i for i, t in enumerate(tokens) if t is None or _UNUSED.fullmatch(t)]
    return torch.tensor([*free, *range(len(tokens), rows)], dtype=torch.int64)
