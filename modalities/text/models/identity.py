"""Which encoder it is: a digest of its weights, its tokenizer and its settings."""

import hashlib
import json
import re
from typing import Any

import torch
from torch import Tensor

from multidd.storage.files import digest

__all__ = ["key_of", "unused"]

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
